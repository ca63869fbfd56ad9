"""Verdicts on old signatures: as of the leaf, and with what became known since. One table, and what it follows from."""

from dataclasses import replace

import pytest

from countermark_protocol.claims import Kind
from countermark_protocol.records import Ground, InstanceKey, RevocationRecord
from countermark_protocol.verdicts import VerdictClass, verdict_of
from support.protocol_world import NOW, make_world
from support.world import DAY, KAMPALA, MOMBASA, NAIROBI, signer


@pytest.fixture
def world():
    return make_world()


def revoke(world, key, by, *, at=None):
    record = RevocationRecord(key.public_key.key_id, Ground.COMPROMISE, at)
    return world.put(world.revocation(key, record, by))


def verdict(world, entry, author=NAIROBI, **more):
    key = world.agencies[author].instance.public_key.key_id
    return verdict_of(world.state.directory, author, key, entry.index, entry.leaf.time, **more)


def test_valid(world):
    found = verdict(world, world.put(world.compose(NAIROBI)))
    assert (found.kind, found.holder, found.revoked, found.fallen) == (
        VerdictClass.VALID,
        "worker-1",
        None,
        None,
    )


@pytest.mark.parametrize(
    ("compromised_at", "kind"),
    [
        (None, VerdictClass.REVOKED_LATER),
        (NOW + 1, VerdictClass.REVOKED_LATER),
        (NOW, VerdictClass.AFTER_COMPROMISE),
        (NOW - 5 * DAY, VerdictClass.AFTER_COMPROMISE),
    ],
)
def test_a_later_revocation_undoes_nothing_and_one_that_reaches_back_is_seen_to(world, compromised_at, kind):
    entry = world.put(world.compose(NAIROBI))
    world.now += DAY
    revocation = revoke(world, world.agencies[NAIROBI].instance, [world.authority("ke")], at=compromised_at)
    found = verdict(world, entry)
    assert (found.kind, found.holder) == (kind, "worker-1")
    assert (found.revoked.index, found.revoked.time) == (revocation.index, NOW + DAY)
    assert found.revoked.compromised_at == compromised_at
    assert found.revoked.reaches_back == (0 if compromised_at is None else NOW + DAY - compromised_at)


def test_an_earlier_date_stated_later_changes_the_verdict_and_says_when(world):
    entry = world.put(world.compose(NAIROBI))
    world.now += DAY
    revoke(world, world.agencies[NAIROBI].instance, [world.authority("ke")])
    assert verdict(world, entry).kind is VerdictClass.REVOKED_LATER
    world.now += DAY
    revoke(world, world.agencies[NAIROBI].instance, [world.authority("ke")], at=NOW - 1)
    found = verdict(world, entry)
    assert found.kind is VerdictClass.AFTER_COMPROMISE
    assert (found.revoked.time, found.revoked.reaches_back) == (NOW + 2 * DAY, 2 * DAY + 1)


def test_whoever_vouched_for_the_key_was_compromised_before_that(world):
    entry = world.put(world.compose(NAIROBI))
    world.now += DAY
    revoke(world, world.agencies[NAIROBI].administrator, [world.authority("ke")], at=NOW)
    found = verdict(world, entry)
    assert (found.kind, found.fallen, found.revoked) == (
        VerdictClass.AFTER_COMPROMISE,
        f"keys/{NAIROBI}",
        None,
    )
    assert verdict(world, world.put(world.compose(KAMPALA, [MOMBASA])), KAMPALA).kind is VerdictClass.VALID


def test_rotation_and_the_end_of_a_key_leave_what_it_signed_valid(world):
    agency, second = world.agencies[NAIROBI], signer("second")
    record = world.held(f"keys/{NAIROBI}")
    ending = replace(record, signing=(replace(record.signing[0], until=NOW + 10),))
    world.put(world.directory_statement(Kind.KEYS, NAIROBI, ending, [agency.administrator]))
    entry = world.put(world.compose(NAIROBI), time=NOW + 9)
    world.now = NOW + DAY
    other = replace(record, signing=(InstanceKey(second.public_key, "two"),))
    world.put(
        world.directory_statement(Kind.KEYS, NAIROBI, other, [agency.administrator], possession=[second])
    )
    assert verdict(world, entry).kind is VerdictClass.VALID
    later = verdict_of(
        world.state.directory, NAIROBI, agency.instance.public_key.key_id, entry.index, NOW + 10
    )
    assert (later.kind, later.holder) == (VerdictClass.NOT_VALID, None)


def test_not_valid_and_unknown(world):
    entry = world.put(world.compose(NAIROBI))
    key = world.agencies[NAIROBI].instance.public_key.key_id
    directory = world.state.directory
    assert verdict(world, entry, MOMBASA).kind is VerdictClass.VALID
    assert verdict_of(directory, MOMBASA, key, entry.index, NOW).kind is VerdictClass.NOT_VALID
    assert verdict_of(directory, NAIROBI, bytes(32), entry.index, NOW).kind is VerdictClass.UNKNOWN
    assert verdict_of(directory, NAIROBI, key, None, None).kind is VerdictClass.UNKNOWN
    before = revoke(world, world.agencies[NAIROBI].instance, [world.authority("ke")])
    assert verdict_of(directory, NAIROBI, key, before.index, NOW).kind is VerdictClass.NOT_VALID


def test_hindsight_may_know_more_than_the_log(world):
    entry = world.put(world.compose(NAIROBI))
    told = world.fork()
    revoke(told, told.agencies[NAIROBI].instance, [told.authority("ke")], at=NOW)
    assert verdict(world, entry).kind is VerdictClass.VALID
    assert verdict(world, entry, hindsight=told.state.directory).kind is VerdictClass.AFTER_COMPROMISE
