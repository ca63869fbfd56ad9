"""A log is closed by its governors and goes on under the next name: what is accepted, and what must be refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from countermark_protocol.checkpoint import parse_checkpoint, verify_checkpoint
from countermark_protocol.claims import Kind
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import (
    ConflictError,
    CountermarkError,
    MalformedError,
    PolicyError,
    SignatureError,
    VerificationError,
)
from countermark_protocol.identifiers import Origin
from countermark_protocol.judging import check_named, judge_statement
from countermark_protocol.leaf import parse_leaf
from countermark_protocol.records import LogRecord, parse_directory_statement
from countermark_protocol.statements import verify_statement
from countermark_protocol.succession import Predecessor, check_log, next_origin
from support.protocol_world import make_world
from support.world import KAMPALA, ORIGIN, signer

NEXT = next_origin(Origin(ORIGIN))


def predecessor(world, **changes):
    return replace(Predecessor(world.state.origin, world.state.size, world.state.frontier.root()), **changes)


def succession(world, *, origin=NEXT, signers=None, possession=(), log_key=None, **changes):
    named = {"log_key": log_key.public_key} if log_key else {}
    record = replace(world.log_record(predecessor=predecessor(world, **changes)), **named)
    return world.record_statement(
        Kind.GOVERNANCE, "", record, signers or world.governors[: world.quorum], possession, origin=origin
    )


@pytest.fixture
def world():
    return make_world()


@pytest.mark.parametrize(
    ("origin", "following"),
    [
        ("log.example.org/countermark/1", "log.example.org/countermark/2"),
        ("log.example.org/9", "log.example.org/10"),
        ("log.example.org", "log.example.org/2"),
        ("log.example.org/countermark", "log.example.org/countermark/2"),
        ("log.example.org/v1", "log.example.org/v1/2"),
    ],
)
def test_names_are_counted_on(origin, following):
    assert next_origin(Origin(origin)) == following


def test_a_name_without_room_for_a_number_has_no_successor():
    with pytest.raises(MalformedError) as caught:
        next_origin(Origin("log.example.org/a/b/c"))
    assert caught.value.code == "not_an_origin"


def test_the_log_goes_on_under_the_next_name(world):
    before = world.send()
    size = world.state.size
    old = world.checkpoint()
    entry = world.put(succession(world))
    assert (entry.index, world.state.origin) == (size, NEXT)
    directory = world.state.directory
    assert [directory.origin(i) for i in (0, size - 1, size)] == [ORIGIN, ORIGIN, NEXT]
    assert [directory.origin_for(s) for s in (0, size, size + 1)] == [ORIGIN, ORIGIN, NEXT]
    assert directory.names() == (ORIGIN, NEXT)
    assert directory.succession(NEXT) == (size, Predecessor(ORIGIN, size, old.root))
    assert directory.succession(Origin(ORIGIN)) is None

    # Everything made for the old name is void from there on, everything for the new one counts.
    world.refuse(world.compose(), VerificationError, "wrong_log")
    world.refuse(world.receipt(KAMPALA, [before]), VerificationError, "wrong_log")
    world.refuse(world.policy_statement(), VerificationError, "wrong_log")
    world.origin = NEXT
    again = world.compose(id=before.manifest.id)
    world.refuse(again, ConflictError, "id_reused")
    positions = world.state.boxes
    world.send()
    world.accept(KAMPALA, before)
    assert world.state.messages[before.payload_hash].deliveries[KAMPALA].stage == "accepted"
    assert positions is world.state.boxes
    world.put(world.governance(), time=None)
    assert world.held("log").predecessor is None
    assert world.state.directory.succession(NEXT) == (size, Predecessor(ORIGIN, size, old.root))


def test_checkpoints_of_the_new_name_begin_with_the_succession(world):
    size = world.state.size
    world.put(succession(world))
    world.origin = NEXT
    checkpoint = parse_checkpoint(world.checkpoint_bytes())
    directory = world.state.directory
    verified = verify_checkpoint(
        checkpoint, directory.origin_for(checkpoint.size), directory.log_key_for(checkpoint.size).raw
    )
    assert (verified.origin, verified.size) == (NEXT, size + 1)
    # The same bytes under the old name would be another log's.
    with pytest.raises(SignatureError) as caught:
        verify_checkpoint(checkpoint, directory.origin_for(size), directory.log_key_for(size).raw)
    assert caught.value.code == "checkpoint_origin"


def test_it_may_name_a_new_log_key_which_shows_that_it_is_held(world):
    key = signer("the successor's log key")
    world.refuse(succession(world, log_key=key), SignatureError, "missing_possession")
    world.put(succession(world, log_key=key, possession=[key]))
    directory = world.state.directory
    assert directory.log_key_for(world.state.size) == key.public_key
    assert directory.log_key_for(world.state.size - 1) == world.log_key.public_key


def test_a_log_can_be_succeeded_twice(world):
    world.put(succession(world))
    world.origin = NEXT
    world.put(succession(world, origin=next_origin(NEXT)))
    assert world.state.directory.names() == (ORIGIN, NEXT, next_origin(NEXT))


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"origin": Origin(ORIGIN)}, VerificationError, "wrong_log"),
        ({"origin": next_origin(NEXT)}, VerificationError, "wrong_log"),
        ({"origin": Origin("log.example.net/countermark/2")}, VerificationError, "wrong_log"),
    ],
)
def test_a_succession_under_a_name_that_is_not_the_next(world, changes, error, code):
    world.refuse(succession(world, **changes), error, code)


def test_a_succession_of_another_log(world):
    record = world.log_record(
        predecessor=Predecessor(Origin("log.example.net/1"), world.state.size, world.state.frontier.root())
    )
    data = world.record_statement(
        Kind.GOVERNANCE, "", record, world.governors[: world.quorum], origin=Origin("log.example.net/2")
    )
    world.refuse(data, PolicyError, "wrong_predecessor")


def test_a_succession_that_leaves_entries_out(world):
    world.refuse(succession(world, size=world.state.size - 1), ConflictError, "predecessor_size")


def test_a_succession_beyond_what_there_is(world):
    world.refuse(succession(world, size=world.state.size + 1), ConflictError, "predecessor_size")


def test_a_succession_of_another_history(world):
    world.refuse(succession(world, root=bytes(32)), ConflictError, "predecessor_root")


def test_a_succession_without_the_quorum(world):
    world.refuse(
        succession(world, signers=world.governors[: world.quorum - 1]), SignatureError, "too_few_signatures"
    )


def test_a_succession_after_which_entries_followed_is_stale(world):
    drafted = succession(world)
    world.send()
    world.refuse(drafted, ConflictError, "predecessor_size")


def test_a_founding_succeeds_nothing(world):
    data = world.entries[0].document.data
    payload = dict(parse_document(data).claims)
    payload["record"] = payload["record"] | {"predecessor": Predecessor(NEXT, 1, bytes(32)).to_json()}
    with pytest.raises(MalformedError) as caught:
        parse_directory_statement(payload)
    assert caught.value.code == "bad_member"


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"origin": ORIGIN, "size": 0, "root": "00" * 32},
        {"origin": ORIGIN, "size": 1, "root": "00" * 31},
        {"origin": ORIGIN, "size": 1, "root": "00" * 32, "more": 1},
        {"origin": "Log.Example", "size": 1, "root": "00" * 32},
    ],
)
def test_a_predecessor_that_is_none(world, value):
    payload = dict(parse_document(world.governance()).claims)
    payload["record"] = payload["record"] | {"predecessor": value}
    with pytest.raises(CountermarkError) as caught:
        parse_directory_statement(payload)
    assert isinstance(caught.value, MalformedError)


def fold(world, spoil=lambda _index, data: data):
    """A participant's fold of the directory statements of a world."""
    directory = Directory()
    for entry in world.entries:
        if entry.decision.directory is None:
            continue
        document = verify_statement(directory, parse_document(spoil(entry.index, entry.document.data)))
        leaf = parse_leaf(entry.leaf.encode())
        statement = judge_statement(directory, document, leaf.time)
        check_named(directory, statement, entry.index)
        directory.apply(statement, document, entry.index, leaf.time)
    return directory


def test_a_participants_fold_follows(world):
    world.put(succession(world))
    world.origin = NEXT
    world.put(world.governance())
    assert fold(world).origin() == NEXT


def test_a_participants_fold_finds_a_succession_elsewhere_than_it_says(world):
    at = world.state.size
    world.put(succession(world))
    other = make_world()
    elsewhere = succession(other, size=at - 1)
    with pytest.raises(ConflictError) as caught:
        fold(world, lambda index, data: elsewhere if index == at else data)
    assert caught.value.code == "predecessor_size"


def test_a_record_keeps_what_it_succeeds(world):
    data = succession(world)
    record = parse_directory_statement(parse_document(data).claims).record
    assert isinstance(record, LogRecord)
    assert record.predecessor == predecessor(world)
    assert record.to_json()["predecessor"]["size"] == world.state.size


def test_a_statement_is_made_for_one_log():
    check_log(Origin(ORIGIN), Origin(ORIGIN))
    with pytest.raises(VerificationError):
        check_log(NEXT, Origin(ORIGIN))
