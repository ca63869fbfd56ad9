"""Resets of an administrator: a new sealing key waits, unless the administrator before countersigns. By pure decision."""

from dataclasses import replace

import pytest

from countermark_protocol.claims import Kind
from countermark_protocol.documents import Purpose, encode_document, make_signature, parse_document
from countermark_protocol.errors import ConflictError, PolicyError, SignatureError
from countermark_protocol.records import Ground, InstanceKey, RevocationRecord, make_key_set
from countermark_protocol.resets import administrators, reset_of, resets
from countermark_protocol.sealing import SealingKey
from support.protocol_world import NOW, make_world
from support.world import DAY, KAMPALA, MOMBASA, NAIROBI, seed, signer

NEW_ADMIN, OLD_ADMIN = signer("administrator after reset"), signer(f"administrator {NAIROBI}")
OTHER_ADMIN = signer("administrator of the owner")
OLD_SEALING, NEW_SEALING = SealingKey(seed(f"sealing {NAIROBI}")), SealingKey(seed("after reset"))
THIRD_SEALING = SealingKey(seed("third"))


@pytest.fixture
def world():
    return make_world()


def set_administrator(world, *keys, threshold=1):
    record = replace(
        world.held(f"endpoint/{NAIROBI}"), administrator=make_key_set([k.public_key for k in keys], threshold)
    )
    old = world.held(f"endpoint/{NAIROBI}").administrator.keys
    world.put(
        world.directory_statement(
            Kind.ENDPOINT,
            NAIROBI,
            record,
            [world.authority("ke")],
            possession=[k for k in keys if k.public_key not in old],
        )
    )


def keys(world, by, *, countersign=(), possession=(), **changes):
    record = replace(world.held(f"keys/{NAIROBI}"), **changes)
    data = world.directory_statement(Kind.KEYS, NAIROBI, record, by, possession=possession)
    document = parse_document(data)
    extra = [make_signature(document.payload, key, Purpose.COUNTERSIGN) for key in countersign]
    return encode_document(document.payload, [*document.signatures, *extra])


def waiting(**changes):
    """A new sealing key after a reset, and the one before it until then."""
    return {
        "sealing": NEW_SEALING.public_key,
        "sealing_from": NOW + DAY,
        "previous_sealing": OLD_SEALING.public_key,
        "previous_until": NOW + 2 * DAY,
    } | changes


def accepts(world, key, time):
    return world.state.directory.accepts_sealing_key(NAIROBI, key.public_key.key_id, time)


def revoke(world, key, by, *, at=None, ground=Ground.COMPROMISE):
    record = RevocationRecord(key.public_key.key_id, ground, at)
    return world.put(world.revocation(key, record, by))


@pytest.mark.parametrize(("begins", "refused"), [(0, True), (NOW + DAY - 1, True), (NOW + DAY, False)])
def test_a_new_sealing_key_waits_as_long_as_the_log_says(world, begins, refused):
    set_administrator(world, NEW_ADMIN)
    data = keys(world, [NEW_ADMIN], **waiting(sealing_from=begins))
    if refused:
        assert world.refuse(data, PolicyError, "reset_delay").facts == {"sealing_from": NOW + DAY}
    else:
        world.put(data)
        assert accepts(world, NEW_SEALING, NOW + DAY)
        assert not accepts(world, NEW_SEALING, NOW + DAY - 1)


def test_until_then_senders_use_the_one_before(world):
    set_administrator(world, NEW_ADMIN)
    world.put(keys(world, [NEW_ADMIN], **waiting()))
    directory = world.state.directory
    assert directory.sealing_key(NAIROBI, NOW) == OLD_SEALING.public_key
    assert directory.sealing_key(NAIROBI, NOW + DAY) == NEW_SEALING.public_key
    assert accepts(world, OLD_SEALING, NOW + 2 * DAY - 1)  # what is in flight
    assert not accepts(world, OLD_SEALING, NOW + 2 * DAY)
    world.put(world.compose(KAMPALA, [NAIROBI]))


@pytest.mark.parametrize("compromised", [True, False])
def test_a_predecessor_whose_record_has_fallen_is_not_used_and_senders_wait(world, compromised):
    revoke(world, OLD_ADMIN, [world.authority("ke")], at=NOW if compromised else None)
    set_administrator(world, NEW_ADMIN)
    instance = signer("instance after theft")
    world.put(
        keys(
            world,
            [NEW_ADMIN],
            possession=[instance],
            signing=(InstanceKey(instance.public_key, "one"),),
            **waiting(),
        )
    )
    directory = world.state.directory
    assert (directory.sealing_key(NAIROBI, NOW) is None) is compromised
    message = world.compose(KAMPALA, [NAIROBI])
    if compromised:
        world.refuse(message, ConflictError, "sealing_key_not_accepted")
    else:
        world.put(message)
    # Once the new key counts, nobody asks for the record before it any more: the overlap is the new record's word.
    assert accepts(world, NEW_SEALING, NOW + DAY)


def test_without_a_predecessor_senders_wait(world):
    set_administrator(world, NEW_ADMIN)
    world.put(keys(world, [NEW_ADMIN], **waiting(previous_sealing=None, previous_until=0)))
    assert world.state.directory.sealing_key(NAIROBI, NOW) is None
    world.refuse(world.compose(KAMPALA, [NAIROBI]), ConflictError, "sealing_key_not_accepted")
    found = reset_of(world.state.directory, NAIROBI, NOW)
    assert (found.sealing_from, found.predecessor) == (NOW + DAY, None)


def test_a_countersignature_by_the_administrator_before_lets_it_count_at_once(world):
    set_administrator(world, NEW_ADMIN)
    world.put(keys(world, [NEW_ADMIN], countersign=[OLD_ADMIN], sealing=NEW_SEALING.public_key))
    assert world.state.directory.sealing_key(NAIROBI, NOW) == NEW_SEALING.public_key
    assert reset_of(world.state.directory, NAIROBI, NOW) is None
    # It is confirmed from then on.
    world.put(keys(world, [NEW_ADMIN], sealing=THIRD_SEALING.public_key))


@pytest.mark.parametrize(
    ("setup", "countersign", "code"),
    [
        ("reset", [signer("a stranger"), OLD_ADMIN], "unknown_key"),
        ("reset", [signer(f"administrator {MOMBASA}")], "wrong_signer"),
        ("reset", [OLD_ADMIN, signer(f"administrator {MOMBASA}")], "wrong_signer"),
        ("revoked", [OLD_ADMIN], "wrong_signer"),
        ("not reset", [signer(f"administrator {MOMBASA}")], "too_many_signatures"),
    ],
)
def test_nobody_else_countersigns(world, setup, countersign, code):
    by = OLD_ADMIN
    if setup != "not reset":
        set_administrator(world, NEW_ADMIN)
        by = NEW_ADMIN
    if setup == "revoked":
        revoke(world, OLD_ADMIN, [world.authority("ke")], ground=Ground.LOSS)
    data = keys(world, [by], countersign=countersign, sealing=NEW_SEALING.public_key)
    world.refuse(data, SignatureError, code)


def test_the_threshold_of_the_administrator_before_must_countersign(world):
    three = [signer(f"administrator {i}") for i in range(3)]
    set_administrator(world, *three, threshold=2)
    world.put(keys(world, three[:2]))  # the first administrator does not stand behind this one
    assert administrators(world.state.directory, NAIROBI, NOW).waiting is not None
    world.now += DAY
    assert administrators(world.state.directory, NAIROBI, world.now).confirmed.threshold == 2
    set_administrator(world, NEW_ADMIN)
    new = {"sealing": NEW_SEALING.public_key}
    world.refuse(keys(world, [NEW_ADMIN], countersign=three[:1], **new), SignatureError, "too_few_signatures")
    world.refuse(keys(world, [NEW_ADMIN], countersign=three, **new), SignatureError, "too_many_signatures")
    revoke(world, three[0], [world.authority("ke")], ground=Ground.LOSS)
    world.refuse(keys(world, [NEW_ADMIN], countersign=three[:2], **new), SignatureError, "wrong_signer")
    world.put(keys(world, [NEW_ADMIN], countersign=three[1:], **new))


def test_one_who_was_administrator_before_counts_among_those_who_countersign(world):
    two = [OLD_ADMIN, OTHER_ADMIN]
    set_administrator(world, *two, threshold=2)
    world.put(keys(world, two))  # the old one is among them: no reset
    set_administrator(world, OLD_ADMIN, NEW_ADMIN, threshold=2)
    new = {"sealing": NEW_SEALING.public_key}
    world.refuse(keys(world, [OLD_ADMIN, NEW_ADMIN], **new), PolicyError, "reset_delay")
    world.put(keys(world, [OLD_ADMIN, NEW_ADMIN], countersign=[OTHER_ADMIN], **new))


def test_a_key_added_to_the_administrators_is_not_believed_at_once_and_the_old_one_is(world):
    set_administrator(world, OLD_ADMIN, NEW_ADMIN)
    world.refuse(keys(world, [NEW_ADMIN], sealing=NEW_SEALING.public_key), PolicyError, "reset_delay")
    world.put(keys(world, [OLD_ADMIN], sealing=NEW_SEALING.public_key))
    world.put(
        keys(world, [NEW_ADMIN], sealing=THIRD_SEALING.public_key)
    )  # the old one has acted with it there


def test_waiting_is_not_got_round_by_a_statement_that_changes_nothing(world):
    set_administrator(world, NEW_ADMIN)
    world.put(keys(world, [NEW_ADMIN]))
    world.now += DAY - 1
    world.refuse(keys(world, [NEW_ADMIN], sealing=NEW_SEALING.public_key), PolicyError, "reset_delay")
    world.now += 1  # it has certified keys in the open for a whole day
    world.put(keys(world, [NEW_ADMIN], sealing=NEW_SEALING.public_key))


def test_waiting_is_not_got_round_by_naming_the_waiting_key_as_predecessor_of_a_third(world):
    set_administrator(world, NEW_ADMIN)
    world.put(keys(world, [NEW_ADMIN], **waiting()))
    again = waiting(
        sealing=THIRD_SEALING.public_key, previous_sealing=NEW_SEALING.public_key, sealing_from=NOW + 9 * DAY
    )
    world.refuse(keys(world, [NEW_ADMIN], **again), PolicyError, "not_a_predecessor")
    world.put(keys(world, [NEW_ADMIN], **again | {"previous_sealing": OLD_SEALING.public_key}))


def test_other_changes_meanwhile_do_not_begin_the_waiting_anew(world):
    set_administrator(world, NEW_ADMIN)
    world.put(keys(world, [NEW_ADMIN], **waiting()))
    world.now += DAY // 2
    world.refuse(keys(world, [NEW_ADMIN], sealing_from=NOW), PolicyError, "reset_delay")
    second = signer("second")
    signing = sorted(
        (*world.held(f"keys/{NAIROBI}").signing, InstanceKey(second.public_key, "two")),
        key=lambda k: k.key.key_id,
    )
    world.put(keys(world, [NEW_ADMIN], possession=[second], signing=tuple(signing)))
    assert world.held(f"keys/{NAIROBI}").sealing_from == NOW + DAY


def test_a_second_reset_waits_for_itself(world):
    set_administrator(world, NEW_ADMIN)
    world.put(keys(world, [NEW_ADMIN]))
    set_administrator(world, OTHER_ADMIN)
    world.put(keys(world, [OTHER_ADMIN]))
    world.now += DAY - 1
    world.refuse(keys(world, [OTHER_ADMIN], sealing=NEW_SEALING.public_key), PolicyError, "reset_delay")
    world.now += 1
    world.put(keys(world, [OTHER_ADMIN], sealing=NEW_SEALING.public_key))


def test_senders_are_shown_a_reset_from_the_authoritys_statement_until_it_is_confirmed(world):
    directory = world.state.directory
    assert list(resets(directory, NOW)) == []
    set_administrator(world, NEW_ADMIN)
    entry = world.state.size - 1
    assert [(r.address, r.index, r.sealing_from) for r in resets(directory, NOW)] == [(NAIROBI, entry, 0)]
    world.put(keys(world, [NEW_ADMIN], **waiting()))
    [found] = resets(directory, NOW + DAY - 1)
    assert (found.index, found.time, found.sealing_from) == (entry, NOW, NOW + DAY)
    assert found.predecessor == OLD_SEALING.public_key
    assert list(resets(directory, NOW + DAY)) == []


def test_a_log_that_waits_for_nothing(world):
    record = replace(world.held("log"), reset_delay=0)
    world.put(world.directory_statement(Kind.GOVERNANCE, "", record, world.governors[:2]))
    set_administrator(world, NEW_ADMIN)
    world.put(keys(world, [NEW_ADMIN], sealing=NEW_SEALING.public_key))
    assert accepts(world, NEW_SEALING, NOW)
    assert list(resets(world.state.directory, NOW)) == []
