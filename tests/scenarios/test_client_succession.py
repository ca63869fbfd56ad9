"""Superseded, withdrawn, late, undelivered: what became of a message is told to who holds it and to who sent it."""

import json

import pytest

from countermark_client import _succession, testing
from countermark_client._records import StoredMessage
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import PolicyError, ProofError, TransportError, UncheckableError

KENYA, UGANDA, TANZANIA = "ke.police.nairobi", "ug.police.kampala", "tz.police.dodoma"


@pytest.fixture
def world():
    return testing.world(KENYA, UGANDA, TANZANIA)


def notice(case="C-1", **changes):
    return {**testing.sample_notice(case), **changes}


def send(client, content, to=(UGANDA,), **more):
    return client.send("lost-or-stolen-notice", content, to=list(to), **more)


def kept(client, sent):
    return next(i for i in client.messages() if i.message == sent.message)


def test_a_superseded_message_says_so_to_who_holds_it_before_and_after_opening(world):
    kenya, uganda = world.client(KENYA), world.client(UGANDA)
    first = send(kenya, notice("A"))
    [opened] = uganda.inbox()
    assert opened.successor is None
    opened.accept()
    second = send(kenya, notice("B"), supersedes=first)
    assert kept(kenya, first).successor.message == second.message
    assert kenya.status(first).successor.index == second.index
    uganda.read_boxes()  # listed only: nothing of it was opened
    found = kept(uganda, first).successor
    assert (found.message, found.index, found.withdraws) == (second.message, second.index, None)
    assert uganda.open_message(first).successor == found
    list(uganda.inbox())
    assert kept(uganda, first).successor.withdraws is False
    assert kept(uganda, second).successor is None


def test_who_has_not_read_the_first_is_told_with_it(world):
    kenya, uganda = world.client(KENYA), world.client(UGANDA)
    first = send(kenya, notice("A"))
    second = send(kenya, notice("B"), supersedes=first)
    one, two = uganda.inbox()
    assert (one.message, two.message) == (first.message, second.message)
    assert one.successor.message == second.message
    assert two.successor is None


def test_an_urgent_correction_is_known_before_the_routine_message_is_read(world):
    kenya, uganda = world.client(KENYA), world.client(UGANDA)
    first = send(kenya, notice("A"))
    second = send(kenya, notice("B"), supersedes=first, urgency="urgent")
    one, two = uganda.inbox()
    assert (one.message, two.message) == (second.message, first.message)
    assert two.successor.message == second.message


def test_a_cancelled_record_is_withdrawn_once_that_was_opened(world):
    kenya, uganda = world.client(KENYA), world.client(UGANDA)
    first = send(kenya, notice("A"))
    list(uganda.inbox())
    send(kenya, notice("A", action="CANCEL"), supersedes=first)
    uganda.read_boxes()
    assert kept(uganda, first).successor.withdraws is None
    list(uganda.inbox())
    assert kept(uganda, first).successor.withdraws is True
    assert kenya.status(first).successor.withdraws is True


def test_the_newest_of_several_counts(world):
    kenya, uganda = world.client(KENYA), world.client(UGANDA)
    first = send(kenya, notice("A"))
    send(kenya, notice("B"), supersedes=first)
    third = send(kenya, notice("C"), supersedes=first)
    list(uganda.inbox())
    assert kept(uganda, first).successor.message == third.message


def test_the_end_of_the_chain_counts_and_not_its_next_link(world):
    """Else whoever holds the first would hold the second for true, which is withdrawn."""
    kenya, uganda = world.client(KENYA), world.client(UGANDA)
    first = send(kenya, notice("A"))
    second = send(kenya, notice("B"), supersedes=first)
    third = send(kenya, notice("B", action="CANCEL"), supersedes=second)
    list(uganda.inbox())
    for client in (kenya, uganda):
        for one in (first, second):
            found = kept(client, one).successor
            assert (found.message, found.index, found.withdraws) == (third.message, third.index, True)
        assert kept(client, third).successor is None
    assert kenya.status(first).successor.message == third.message


def test_the_newest_by_the_log_counts_where_there_are_several_chains(world):
    kenya, uganda = world.client(KENYA), world.client(UGANDA)
    first = send(kenya, notice("A"))
    second = send(kenya, notice("B"), supersedes=first)
    newer = send(kenya, notice("C"), supersedes=first)
    list(uganda.inbox())
    assert kept(uganda, first).successor.message == newer.message
    newest = send(kenya, notice("D"), supersedes=second)
    list(uganda.inbox())
    assert kept(uganda, first).successor.message == newest.message
    assert kept(uganda, newer).successor is None


def test_looking_along_a_chain_ends(world, monkeypatch):
    monkeypatch.setattr(_succession, "_MAX_FOLLOWED", 2)
    kenya = world.client(KENYA)
    chain = [send(kenya, notice("A"))]
    for number in range(4):
        chain.append(send(kenya, notice(str(number)), supersedes=chain[-1]))
    assert kept(kenya, chain[0]).successor.message == chain[2].message
    assert kept(kenya, chain[3]).successor.message == chain[4].message


def test_what_waits_takes_nobodys_place_yet(world):
    kenya = world.client(KENYA)
    first = send(kenya, notice("A"))
    world.broker.offline = True
    with pytest.raises(TransportError):
        send(kenya, notice("B"), supersedes=first)
    assert kenya.status(first).successor is None
    world.broker.offline = False
    kenya.flush()
    assert kenya.status(first).successor is not None


def test_a_message_of_another_sender_takes_nobodys_place(world):
    kenya, uganda, tanzania = (world.client(a) for a in (KENYA, UGANDA, TANZANIA))
    first = send(kenya, notice("A"))
    list(uganda.inbox())
    strange = send(tanzania, notice("B"))
    received = list(uganda.inbox())[-1]
    # The broker refuses such a message; here a store is made to hold one.
    store = uganda.profile.store
    store._db.execute(
        "UPDATE messages SET supersedes = ? WHERE payload = ?", (first.message, strange.message)
    )
    assert isinstance(store.message(received.message), StoredMessage)
    assert store.successors(first.message)
    assert kept(uganda, first).successor is None


def test_a_correction_goes_to_everyone_who_got_the_original(world):
    kenya = world.client(KENYA)
    first = send(kenya, notice("A"), to=[UGANDA, TANZANIA])
    with pytest.raises(PolicyError) as caught:
        send(kenya, notice("B"), supersedes=first)
    assert caught.value.facts["problems"] == [
        {
            "recipient": TANZANIA,
            "code": "superseded_not_reached",
            "message": "received the message that this supersedes, and would go on believing it: send this one there "
            "too",
            "remedy": "name it among the recipients",
        }
    ]
    world.suspend(TANZANIA)
    world.clock.advance(minutes=2)
    assert send(kenya, notice("B"), supersedes=first).index > first.index


@pytest.mark.parametrize("read", [True, False])
def test_a_correction_goes_to_everyone_whom_another_instance_told(world, read):
    """Before any receipt has come: who they are is proven by the statement's own leaf."""
    one = world.client(KENYA)
    two = world.client(world.profile(KENYA, keystore=world.add_instance(KENYA, "second")))
    first = send(one, notice("A"), to=[UGANDA, TANZANIA])
    if read:
        two.read_boxes()
    with pytest.raises(PolicyError) as caught:
        send(two, notice("A", action="CANCEL"), supersedes=first.message)
    assert [(p["recipient"], p["code"]) for p in caught.value.facts["problems"]] == [
        (TANZANIA, "superseded_not_reached")
    ]
    both = send(two, notice("A", action="CANCEL"), to=[UGANDA, TANZANIA], supersedes=first.message)
    tanzania = world.client(TANZANIA)
    list(tanzania.inbox())
    assert kept(tanzania, first).successor.message == both.message
    if read:
        assert [(r.recipient, r.stage) for r in two.status(first.message).recipients] == [
            (TANZANIA, "open"),
            (UGANDA, "open"),
        ]


def test_without_the_broker_what_another_instance_sent_is_not_superseded(world):
    one = world.client(KENYA)
    two = world.client(world.profile(KENYA, keystore=world.add_instance(KENYA, "second")))
    first = send(one, notice("A"))
    two.read_boxes()
    world.broker.offline = True
    with pytest.raises(UncheckableError) as caught:
        send(two, notice("B"), supersedes=first.message)
    assert caught.value.code == "superseded_not_known"
    assert two.outbox() == []
    world.broker.offline = False
    assert send(two, notice("B"), supersedes=first.message).index > first.index


def _drop_a_row(value):
    value["deliveries"]["rows"] = [r for r in value["deliveries"]["rows"] if r["endpoint"] != TANZANIA]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda value: value.pop("document"), "statement_not_shown"),
        (lambda value: value.pop("deliveries"), "statement_not_shown"),
        (_drop_a_row, "deliveries_mismatch"),
    ],
)
def test_recipients_that_are_not_proven_are_not_believed(world, change, code):
    one = world.client(KENYA)
    two = world.client(world.profile(KENYA, keystore=world.add_instance(KENYA, "second")))
    first = send(one, notice("A"), to=[UGANDA, TANZANIA])

    def intercept(request, answer):
        if not request.path.startswith("/v1/statements/"):
            return answer
        value = json.loads(answer[2])
        change(value)
        return answer[0], answer[1], encode_json(value)

    world.broker.intercept = intercept
    with pytest.raises(ProofError) as caught:
        send(two, notice("B"), supersedes=first.message)
    assert caught.value.code == code
    assert two.outbox() == []


def test_another_statement_of_the_endpoint_is_not_taken_for_the_one_superseded(world):
    one = world.client(KENYA)
    two = world.client(world.profile(KENYA, keystore=world.add_instance(KENYA, "second")))
    first, other = send(one, notice("A"), to=[UGANDA, TANZANIA]), send(one, notice("B"))
    shown = {}

    def intercept(request, answer):
        if request.path.startswith("/v1/statements/"):
            shown.setdefault("other", answer)
            return shown["other"]
        return answer

    world.broker.intercept = intercept
    send(two, notice("C"), supersedes=other.message)
    with pytest.raises(ProofError) as caught:
        send(two, notice("C"), supersedes=first.message)
    assert caught.value.code == "wrong_entry"


def test_what_was_never_logged_is_superseded_by_nothing(world):
    kenya = world.client(KENYA)
    kenya.sync()
    world.broker.offline = True
    with pytest.raises(TransportError):
        send(kenya, notice("A"))
    world.broker.offline = False
    [item] = kenya.outbox()
    kenya.give_up(item.payload, "wrong weapon")
    with pytest.raises(PolicyError) as caught:
        send(kenya, notice("B"), supersedes=item.payload)
    assert caught.value.facts["problems"][0]["code"] == "supersedes_not_own"


def test_undelivered_and_late_are_told_to_the_sender_and_stay(world):
    kenya, uganda = world.client(KENYA), world.client(UGANDA)
    sent = send(kenya, notice("A"), to=[UGANDA, TANZANIA])
    manifest = kept(kenya, sent).manifest
    world.clock.now = manifest.expires_at + 120_000
    assert world.broker.tick() == 2
    noticed = world.clock()
    kenya.notices()
    assert {(r.stage, r.undelivered, r.late, r.undelivered_at) for r in kenya.status(sent).recipients} == {
        ("open", True, False, noticed)
    }
    assert (kept(kenya, sent).undelivered, kept(kenya, sent).late) == (2, 0)
    world.clock.advance(hours=1)
    [received] = uganda.inbox()
    signed_for = world.clock()
    world.clock.advance(hours=1)
    received.accept()
    kenya.notices()
    by_name = {r.recipient: r for r in kenya.status(sent).recipients}
    late = by_name[UGANDA]
    # Accepted by now, and still late.
    assert (late.stage, late.late, late.delivered_at) == ("accepted", True, signed_for)
    assert late.time > signed_for
    assert (late.undelivered, late.undelivered_at) == (True, noticed)
    assert (by_name[TANZANIA].stage, by_name[TANZANIA].late) == ("open", False)
    assert (kept(kenya, sent).undelivered, kept(kenya, sent).late) == (2, 1)
