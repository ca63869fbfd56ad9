"""Boxes over real HTTP: gapless, paged, waited for; and the account at their end."""

import threading

import pytest

from countermark_protocol.accounts import Verdict, check_account, state_of
from countermark_protocol.boxes import Box
from countermark_protocol.documents import statement_hash
from countermark_protocol.errors import InconsistentLogError
from countermark_protocol.manifest import Urgency
from support.world import BRUSSELS, KAMPALA, LYON, NAIROBI


def test_urgent_and_routine_are_apart(world, api):
    api.refresh()
    urgency = [Urgency.ROUTINE, Urgency.FLASH, Urgency.PRIORITY, Urgency.URGENT]
    sent = [world.message(NAIROBI, [KAMPALA], urgency=u) for u in urgency]
    for sealed in sent:
        api.verify_accepted(api.post_message(sealed), sealed.document, sealed.expected_deliveries())
    urgent, _, _ = api.verified_box(KAMPALA, Box.URGENT)
    routine, _, _ = api.verified_box(KAMPALA, Box.ROUTINE)
    own, _, _ = api.verified_box(NAIROBI, Box.SENT)
    assert [e.document for e in urgent] == [sent[1].document, sent[3].document]
    assert [e.document for e in routine] == [sent[0].document, sent[2].document]
    assert [e.document for e in own] == [s.document for s in sent]
    assert own[0].recipient is None
    assert own[0].recipients is None


def test_pages_follow_one_another(world, api):
    api.refresh()
    sent = [world.message(NAIROBI, [KAMPALA]) for _ in range(7)]
    for sealed in sent:
        api.post_message(sealed)
    read = []
    while page := api.box(KAMPALA, Box.ROUTINE, len(read), limit=3).entries:
        assert len(page) <= 3
        read += page
    assert [e.document for e in read] == [s.document for s in sent]
    assert [e.delivery.tail.position for e in read] == list(range(7))


def test_the_table_of_recipients_is_shown_only_where_the_sender_says_so(world, api):
    api.refresh()
    hidden = world.message(NAIROBI, [KAMPALA, BRUSSELS])
    shown = world.message(NAIROBI, [KAMPALA, BRUSSELS], recipients_visible=True)
    for sealed in (hidden, shown):
        api.post_message(sealed)
    first, second = api.box(KAMPALA, Box.ROUTINE).entries
    assert first.recipients is None
    assert second.recipients == shown.rows
    assert first.recipient.row.endpoint == KAMPALA


def test_a_long_poll_wakes(world, api, http_broker):
    api.refresh()
    sealed = world.message(NAIROBI, [KAMPALA])
    pages = []
    client = http_broker.client()
    waiting = threading.Thread(target=lambda: pages.append(client.box(KAMPALA, Box.ROUTINE, wait=60)))
    waiting.start()
    while http_broker.broker.listeners.count == 0:
        assert waiting.is_alive()
    # What goes to others does not end the wait.
    api.post_message(world.message(NAIROBI, [LYON]))
    api.post_message(sealed)
    waiting.join(30)
    assert [e.document for e in pages[0].entries] == [sealed.document]
    client.close()


def test_the_end_of_a_wait_is_signed(world, api):
    api.refresh()
    page = api.box(LYON, Box.URGENT, wait=1)
    account = api.verify_account_of(page.account, api.last_digest)
    assert account.verdict is Verdict.END_OF_BOX
    assert {(b.endpoint, b.box) for b in account.boxes} == {(LYON, box) for box in Box}


def test_accounts_state_all_boxes_as_they_are(world, api):
    api.refresh()
    for sealed in (world.message(NAIROBI, [KAMPALA]), world.message(KAMPALA, [NAIROBI])):
        api.post_message(sealed)
    for box in Box:
        entries, state, raw = api.verified_box(KAMPALA, box)
        account = api.verify_account_of(raw, api.last_digest)
        assert state_of(account, KAMPALA, box) == state
        held = [(e.inclusion.index, statement_hash(e.document)) for e in entries]
        check_account(account, raw, KAMPALA, box, held)
        if held:
            # An account that lies would be caught: here the holder knows one entry more.
            with pytest.raises(InconsistentLogError):
                check_account(account, raw, KAMPALA, box, [(0, bytes(32)), *held])


def test_another_ones_box_is_refused_with_an_account(world, api):
    api.refresh()
    problem = api.problem(api.request("GET", f"/v1/boxes/{KAMPALA}/routine", by=LYON), "not_own_box")
    account = api.verify_account_of(problem.account, api.last_digest)
    assert account.verdict is Verdict.REFUSED
    assert account.caller == LYON


@pytest.mark.parametrize(
    ("target", "code"),
    [
        (f"/v1/boxes/{KAMPALA}/nothing", "bad_parameter"),
        (f"/v1/boxes/{KAMPALA}/routine?limit=0", "bad_parameter"),
        (f"/v1/boxes/{KAMPALA}/routine?limit=501", "bad_parameter"),
        (f"/v1/boxes/{KAMPALA}/routine?wait=61", "bad_parameter"),
        (f"/v1/boxes/{KAMPALA}/routine?from=-1", "bad_parameter"),
        ("/v1/boxes/nobody/routine", "not_an_address"),
        ("/v1/messages/xyz/content", "not_hex"),
        ("/v1/log/inclusion", "bad_parameter"),
        ("/v1/log/inclusion?index=1000000", "beyond_published"),
        ("/v1/log/consistency?from=0&to=1000000", "beyond_published"),
        ("/v1/log/consistency?from=5&to=2", "beyond_published"),
        ("/v1/log/leaves?limit=10001", "bad_parameter"),
    ],
)
def test_bad_parameters(shared_api, target, code):
    answer = shared_api.request("GET", target, by=KAMPALA)
    assert shared_api.problem(answer, code).status == 400


def test_unknown_paths_and_methods(api):
    assert api.problem(api.request("GET", "/v1/nothing"), "unknown_path").status == 404
    assert api.problem(api.request("DELETE", "/v1/messages"), "unknown_method").status == 405
