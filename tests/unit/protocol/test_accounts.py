"""Accounts: signed negative answers, and the entries that contradict them."""

from dataclasses import replace

import pytest

from countermark_protocol.accounts import (
    Account,
    Refusal,
    StatedBox,
    Verdict,
    check_account,
    check_account_against_tail,
    parse_account,
    state_of,
    verify_account,
)
from countermark_protocol.boxes import EMPTY_HEAD, Box, BoxState, Tail
from countermark_protocol.claims import Seen
from countermark_protocol.documents import parse_document, sign_document, verify_document
from countermark_protocol.encoding import encode_json, parse_object
from countermark_protocol.errors import CountermarkError, InconsistentLogError, MalformedError, SignatureError
from countermark_protocol.records import Ground, RevocationRecord
from support.protocol_world import NOW, make_world
from support.world import BROKER, KAMPALA, LYON, NAIROBI, ORIGIN, seed, signer

REQUEST = seed("request")


def account(**changes):
    values = {
        "log": ORIGIN,
        "seen": Seen(20, seed("root")),
        "author": BROKER,
        "caller": KAMPALA,
        "request": REQUEST,
        "made_at": NOW,
        "verdict": Verdict.END_OF_BOX,
        "boxes": (
            StatedBox(KAMPALA, Box.ROUTINE, BoxState(2, seed("head"))),
            StatedBox(KAMPALA, Box.URGENT, BoxState()),
        ),
    }
    return Account(**(values | changes))


REFUSED = account(verdict=Verdict.REFUSED, refusal=Refusal("policy_denied", "no rule allows it", NOW, 20))


def refused(error, code, function, *args):
    with pytest.raises(CountermarkError) as caught:
        function(*args)
    assert (type(caught.value), caught.value.code) == (error, code), caught.value
    return caught.value


# --- form ---


@pytest.mark.parametrize(
    "one",
    [account(), account(verdict=Verdict.NOT_HELD, boxes=()), REFUSED],
    ids=["end", "not held", "refused"],
)
def test_reads_back(one):
    assert parse_account(parse_object(encode_json(one.to_json()))) == one


def stated(**changes):
    return {"endpoint": KAMPALA, "box": "sent", "count": 1, "head": seed("h").hex()} | changes


@pytest.mark.parametrize("name", sorted(account().to_json()))
def test_what_must_be_there(name):
    value = {k: v for k, v in account().to_json().items() if k != name}
    refused(MalformedError, "missing_member", parse_account, value)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("bad_member", {"kind": "message"}),
        ("bad_member", {"verdict": "gone"}),
        ("unknown_member", {"stage": "x"}),
        ("not_an_object", {"boxes": [1]}),
        ("bad_member", {"boxes": {}}),
        ("bad_member", {"boxes": [stated(count=0)]}),
        ("bad_member", {"boxes": [stated(head="00" * 32)]}),
        ("bad_member", {"boxes": [stated(box="drafts")]}),
        ("unknown_member", {"boxes": [stated(x=1)]}),
        ("bad_member", {"boxes": [stated(), stated()]}),
        ("bad_member", {"boxes": [stated(), stated(count=2)]}),  # one box with two states
        ("bad_member", {"refusal": REFUSED.to_json()["refusal"]}),
        ("bad_member", {"verdict": "refused"}),
    ],
)
def test_outside_the_language(code, changes):
    refused(MalformedError, code, parse_account, account().to_json() | changes)


def test_refusals_are_decided_within_what_is_published():
    beyond = replace(REFUSED, refusal=replace(REFUSED.refusal, decided_size=21))
    refused(MalformedError, "bad_member", parse_account, beyond.to_json())
    value = REFUSED.to_json()
    value["refusal"]["x"] = 1
    refused(MalformedError, "unknown_member", parse_account, value)


def test_state_of():
    assert state_of(account(), KAMPALA, Box.ROUTINE) == BoxState(2, seed("head"))
    assert state_of(account(), KAMPALA, Box.URGENT) == BoxState(0, EMPTY_HEAD)
    assert state_of(account(), KAMPALA, Box.SENT) is None
    assert state_of(account(), LYON, Box.ROUTINE) is None


# --- who answers what ---


@pytest.fixture
def world():
    return make_world()


def signed(world, one, *signers, possession=()):
    data = sign_document(encode_json(one.to_json()), signers or [world.node_key], possession)
    extra = {s.public_key.key_id: s.public_key for s in (*signers, *possession)}
    return verify_document(
        parse_document(data), lambda key_id: extra.get(key_id) or world.state.directory.public_key(key_id)
    )


def test_the_brokers_answer_to_this_request(world):
    one = account(seen=world.seen())
    assert verify_account(signed(world, one), world.state.directory, REQUEST) == one


def test_nobody_else_makes_accounts(world):
    one = account(seen=world.seen())
    d = world.state.directory
    for signers in (
        [world.administrator],
        [world.log_key],
        [world.agencies[NAIROBI].instance],
        [signer("x")],
        [world.node_key, world.agencies[NAIROBI].instance],
        world.governors,
    ):
        refused(SignatureError, "wrong_signer", verify_account, signed(world, one, *signers), d, REQUEST)
    held = sign_document(encode_json(one.to_json()), [], [world.node_key])
    document = verify_document(parse_document(held), d.public_key)
    refused(SignatureError, "wrong_signer", verify_account, document, d, REQUEST)
    # An endpoint cannot answer in its own name either.
    own = replace(one, author=NAIROBI)
    document = signed(world, own, world.agencies[NAIROBI].instance)
    refused(SignatureError, "wrong_signer", verify_account, document, d, REQUEST)


def test_another_request_or_log(world):
    d = world.state.directory
    one = account(seen=world.seen())
    refused(SignatureError, "wrong_request", verify_account, signed(world, one), d, bytes(32))
    other = replace(one, log="other.example")
    refused(SignatureError, "wrong_log", verify_account, signed(world, other), d, REQUEST)


def test_the_signer_is_judged_as_of_the_size_stated(world):
    d = world.state.directory
    before = account(seen=world.seen())
    record = RevocationRecord(world.node_key.public_key.key_id, Ground.COMPROMISE, None)
    world.put(world.revocation(world.node_key, record, [world.administrator]))
    assert verify_account(signed(world, before), d, REQUEST) == before
    after = account(seen=world.seen())
    refused(SignatureError, "wrong_signer", verify_account, signed(world, after), d, REQUEST)
    # Size 1: founded, but no node key yet; size 0: nothing at all.
    for size in (1, 0):
        early = account(seen=world.seen(size))
        refused(SignatureError, "wrong_signer", verify_account, signed(world, early), d, REQUEST)


# --- contradictions ---

ENTRIES = [(index, seed(f"statement {index}")) for index in (3, 8, 12, 30)]


def head_of(count):
    state = BoxState()
    for index, statement in ENTRIES[:count]:
        state = state.after(index, statement)
    return state


def about(count, head=None, size=20):
    state = head_of(count) if head is None else BoxState(count, head)
    return account(seen=Seen(size, seed("root")), boxes=(StatedBox(KAMPALA, Box.ROUTINE, state),))


def check(one, entries):
    check_account(one, b"signed account", KAMPALA, Box.ROUTINE, entries)


def test_an_honest_account_is_not_contradicted():
    for known in range(5):
        check(about(3), ENTRIES[:known])
    check(about(4, size=31), ENTRIES)
    check(about(0, size=3), ENTRIES)
    check(about(0), [])
    # Of a box it does not speak of, it says nothing.
    check_account(about(1), b"", KAMPALA, Box.URGENT, ENTRIES)
    check_account(about(1), b"", LYON, Box.ROUTINE, ENTRIES)


@pytest.mark.parametrize(
    ("one", "known"),
    [
        (about(2), 3),  # one entry below its size is not counted
        (about(0), 1),
        (about(3, seed("other")), 3),
        (about(2, seed("other")), 3),
        (about(2, seed("other")), 2),
        (about(4, seed("other"), size=31), 4),
        (about(4, head_of(4).head), 4),  # counts one that stands beyond its size
        (about(9, seed("other")), 4),  # counts entries that cannot exist
    ],
)
def test_contradicted_by_a_box(one, known):
    error = refused(InconsistentLogError, "account_contradicted", check, one, ENTRIES[:known])
    assert error.evidence == (b"signed account",)


def test_what_the_owner_does_not_know_yet_contradicts_nothing():
    check(about(9, seed("unknown")), ENTRIES[:3])
    check(about(3, seed("other")), ENTRIES[:2])


def against(one, number, **changes):
    index, statement = ENTRIES[number]
    before = head_of(number)
    tail = replace(Tail(bytes(32), before.count, before.head), **changes)
    check_account_against_tail(one, b"signed account", KAMPALA, Box.ROUTINE, index, statement, tail)


def test_an_honest_account_fits_every_single_entry():
    for number in range(4):
        against(about(3), number)
        against(about(4, size=31), number)
        against(about(0, size=3), number)
    check_account_against_tail(about(0), b"", KAMPALA, Box.SENT, *ENTRIES[0], Tail(bytes(32), 0, EMPTY_HEAD))


@pytest.mark.parametrize(
    ("one", "number"),
    [
        (about(2), 2),  # below its size at a position it does not count
        (about(0), 0),
        (about(0), 2),
        (about(3, seed("other")), 2),  # the last one it counts, and another head
        (about(4, head_of(4).head), 3),  # counts one that stands beyond its size
        (about(9, seed("other")), 3),
        (about(3, seed("other")), 3),  # the first after those it counts, and another past
        (about(1, seed("other"), size=8), 1),
    ],
)
def test_contradicted_by_one_entry_alone(one, number):
    error = refused(InconsistentLogError, "account_contradicted", against, one, number)
    assert error.evidence == (b"signed account",)


def test_an_entry_in_the_middle_decides_nothing_about_the_head():
    against(about(3, seed("other")), 0)
    against(about(3, seed("other")), 1)
