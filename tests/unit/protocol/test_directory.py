"""The directory's fold: what stands, as of any leaf, and whose keys count."""

from dataclasses import replace

import pytest

from countermark_protocol.claims import Kind
from countermark_protocol.directory import Directory
from countermark_protocol.errors import NotFoundError
from countermark_protocol.identifiers import Role
from countermark_protocol.policy import Policy
from countermark_protocol.records import (
    AuthorityRecord,
    EndpointRecord,
    Ground,
    InstanceKey,
    KeysRecord,
    RevocationRecord,
    State,
    make_key_set,
)
from countermark_protocol.sealing import SealingKey
from countermark_protocol.trie import verify_subject
from support.protocol_world import NOW, make_world
from support.world import BROKER, BRUSSELS, KAMPALA, LYON, MOMBASA, NAIROBI, TABLE, seed, signer


@pytest.fixture
def world():
    return make_world()


def revoke(world, key, by, *, at=None, ground=Ground.COMPROMISE):
    record = RevocationRecord(key.public_key.key_id, ground, at)
    return world.put(world.revocation(key, record, by))


def test_nothing_is_known_before_the_founding():
    directory = Directory()
    with pytest.raises(NotFoundError) as caught:
        directory.log()
    assert caught.value.code == "no_founding"
    assert directory.count == 0
    assert directory.head == bytes(32)
    assert directory.policy() == Policy(())
    assert directory.keys(NAIROBI) is None
    assert not directory.stands("log")


def test_what_stands(world):
    d = world.state.directory
    assert d.log().broker == BROKER
    assert d.policy() == TABLE
    assert d.authority("ke").code == "ke"
    assert d.endpoint(NAIROBI).address == NAIROBI
    assert d.keys(NAIROBI).sealing == world.agencies[NAIROBI].sealing.public_key
    assert d.keys(BROKER).sealing is None
    assert d.group("ke/all") is None
    for absent in (
        d.authority("fr"),
        d.endpoint("ke.police.x"),
        d.keys("ke.police.x"),
        d.principal("group/fr/x"),
    ):
        assert absent is None
    assert not d.stands("endpoint/ke.police.x")


def test_the_past_is_kept(world):
    d = world.state.directory
    before = world.state.size - 1
    world.put(world.authority_statement("ke", state=State.SUSPENDED))
    assert d.authority("ke") is None
    assert d.authority("ke", before) is not None
    assert d.keys(NAIROBI, before) is not None
    assert d.log(0).broker == BROKER
    with pytest.raises(NotFoundError):
        d.log(-1)
    assert d.policy(1) == Policy(())
    held = d.held("authority/ke", before)
    assert d.held_by_statement("authority/ke", held.statement) == held
    assert d.held_by_statement("authority/ke", bytes(32)) is None
    assert d.held_by_statement("authority/be", held.statement) is None


def test_suspension_of_an_authority_takes_all_below_it(world):
    world.put(world.authority_statement("ke", state=State.SUSPENDED))
    d = world.state.directory
    for address in (NAIROBI, MOMBASA):
        assert d.endpoint(address) is None
        assert d.keys(address) is None
        key = world.agencies[address].instance.public_key.key_id
        assert d.instance(address, key, time=NOW) is None
        assert d.endpoint_of_key(key, time=NOW) is None
        assert not d.key_stands(key)
        assert not d.accepts_sealing_key(address, world.agencies[address].sealing.public_key.key_id, NOW)
    assert d.keys(KAMPALA) is not None
    world.put(world.authority_statement("ke"))
    assert d.keys(NAIROBI) is not None


def test_suspension_of_an_endpoint_takes_its_keys(world):
    world.put(world.endpoint_statement(NAIROBI, State.SUSPENDED))
    d = world.state.directory
    assert d.keys(NAIROBI) is None
    assert d.principal(f"keys/{NAIROBI}") is None
    assert d.keys(MOMBASA) is not None


def test_a_group_stands_with_its_owner(world):
    world.put(world.group_statement("ke/all", [NAIROBI]))
    d = world.state.directory
    assert d.group("ke/all").members == (NAIROBI,)
    world.put(world.authority_statement("ke", state=State.SUSPENDED))
    assert d.group("ke/all") is None


@pytest.mark.parametrize(("offset", "stands"), [(-1, False), (0, False), (1, True)])
def test_a_compromised_administrator_takes_what_it_signed_from_that_date_on(world, offset, stands):
    # Keys were signed at NOW. From the date of compromise on (inclusive), its signatures do not count.
    world.now = NOW + 10_000
    admin = world.agencies[NAIROBI].administrator
    revoke(world, admin, [world.authority("ke")], at=NOW + offset)
    d = world.state.directory
    assert d.stands(f"keys/{NAIROBI}") is stands
    assert (d.keys(NAIROBI) is not None) is stands
    # Its predecessor in the log is judged as of then.
    assert d.keys(NAIROBI, world.state.size - 2) is not None
    # Others are untouched.
    assert d.keys(MOMBASA) is not None


def test_a_lost_key_does_not_take_what_it_signed(world):
    revoke(world, world.agencies[NAIROBI].administrator, [world.authority("ke")], ground=Ground.LOSS)
    assert world.state.directory.keys(NAIROBI) is not None


def test_a_compromised_governor_takes_admissions_below_the_quorum(world):
    world.now = NOW + 10_000
    # Two of three governors signed everything; one of them falls: what they signed keeps one sound signature of two.
    revoke(world, world.governors[0], world.governors[1:], at=NOW)
    d = world.state.directory
    assert d.authority("ke") is None
    assert d.policy() == Policy(())
    assert d.keys(NAIROBI) is None
    assert d.log().broker == BROKER  # the founding itself is the root of trust
    assert d.keys(BROKER) is not None
    # The remaining quorum admits anew.
    record = world.held("authority/ke")
    world.put(world.directory_statement(Kind.AUTHORITY, "ke", record, world.governors[1:]))
    assert d.authority("ke") is not None
    assert d.keys(NAIROBI) is not None


def test_a_revoked_instance_key_is_dead_at_once_and_alive_before(world):
    agency = world.agencies[NAIROBI]
    key = agency.instance.public_key.key_id
    d = world.state.directory
    before = world.state.size - 1
    assert d.instance(NAIROBI, key, time=NOW).holder == "worker-1"
    assert d.endpoint_of_key(key, time=NOW) == NAIROBI
    assert d.key_stands(key)
    revoke(world, agency.instance, [agency.instance], ground=Ground.REPLACED)
    assert d.instance(NAIROBI, key, time=NOW) is None
    assert d.endpoint_of_key(key, time=NOW) is None
    assert not d.key_stands(key)
    assert d.instance(NAIROBI, key, before, time=NOW) is not None
    assert d.endpoint_of_key(key, before, time=NOW) == NAIROBI
    assert d.key_stands(key, before)
    assert d.revocation(key).ground is Ground.REPLACED
    assert d.revocation(key, before) is None
    assert d.stands(f"revoked/{key.hex()}")


def test_keys_of_others_are_no_instances(world):
    d = world.state.directory
    agency = world.agencies[NAIROBI]
    assert d.instance(MOMBASA, agency.instance.public_key.key_id, time=NOW) is None
    assert d.instance(NAIROBI, agency.administrator.public_key.key_id, time=NOW) is None
    assert d.endpoint_of_key(agency.administrator.public_key.key_id, time=NOW) is None
    assert d.endpoint_of_key(bytes(32), time=NOW) is None
    assert d.key_stands(agency.administrator.public_key.key_id)  # may read the directory
    assert not d.key_stands(agency.sealing.public_key.key_id)  # makes no signatures
    assert not d.key_stands(bytes(32))
    assert d.public_key(agency.instance.public_key.key_id) == agency.instance.public_key
    assert d.public_key(bytes(32)) is None
    assert d.subjects_of_key(agency.instance.public_key.key_id) == (f"keys/{NAIROBI}",)
    assert d.subjects_of_key(bytes(32)) == ()


def rotated(world, until):
    agency = world.agencies[NAIROBI]
    new = SealingKey(seed("rotated"))
    record = replace(
        world.held(f"keys/{NAIROBI}"),
        sealing=new.public_key,
        previous_sealing=agency.sealing.public_key,
        previous_until=until,
    )
    world.put(world.directory_statement(Kind.KEYS, NAIROBI, record, [agency.administrator]))
    return agency.sealing.public_key.key_id, new.public_key.key_id


def test_rotation_overlaps(world):
    d = world.state.directory
    before = world.state.size - 1
    old, new = rotated(world, NOW + 100)
    assert d.accepts_sealing_key(NAIROBI, new, NOW)
    assert d.accepts_sealing_key(NAIROBI, new, NOW + 10**9)
    assert d.accepts_sealing_key(NAIROBI, old, NOW + 99)
    assert not d.accepts_sealing_key(NAIROBI, old, NOW + 100)
    assert not d.accepts_sealing_key(NAIROBI, new, NOW, before)
    assert d.accepts_sealing_key(NAIROBI, old, NOW + 10**9, before)
    assert not d.accepts_sealing_key(MOMBASA, new, NOW)
    assert not d.accepts_sealing_key("ke.police.x", new, NOW)
    assert not d.accepts_sealing_key(BROKER, new, NOW)


def test_a_revoked_sealing_key_is_not_accepted_even_in_the_overlap(world):
    old, new = rotated(world, NOW + 100)
    record = RevocationRecord(old, Ground.COMPROMISE, None)
    world.put(
        world.directory_statement(Kind.REVOCATION, old.hex(), record, [world.agencies[NAIROBI].administrator])
    )
    d = world.state.directory
    assert not d.accepts_sealing_key(NAIROBI, old, NOW)
    assert d.accepts_sealing_key(NAIROBI, new, NOW)


def test_an_instance_key_taken_out_of_its_record_no_longer_counts(world):
    agency, second = world.agencies[NAIROBI], signer("second instance")
    record = replace(world.held(f"keys/{NAIROBI}"), signing=(InstanceKey(second.public_key, "two"),))
    world.put(
        world.directory_statement(Kind.KEYS, NAIROBI, record, [agency.administrator], possession=[second])
    )
    d = world.state.directory
    assert d.instance(NAIROBI, agency.instance.public_key.key_id, time=NOW) is None
    assert not d.key_stands(agency.instance.public_key.key_id)
    assert d.instance(NAIROBI, second.public_key.key_id, time=NOW).holder == "two"
    # It is still known, so that old signatures can be checked.
    assert d.public_key(agency.instance.public_key.key_id) is not None


def test_a_new_log_key_signs_beyond_its_statement(world):
    size = world.state.size
    new = signer("second log key")
    record = replace(world.held("log"), log_key=new.public_key)
    world.put(world.directory_statement(Kind.GOVERNANCE, "", record, world.governors[:2], possession=[new]))
    d = world.state.directory
    assert d.log_key_for(0) == world.log_key.public_key
    assert d.log_key_for(size) == world.log_key.public_key
    assert d.log_key_for(size + 1) == new.public_key
    assert d.log_key_for(size + 1000) == new.public_key


def test_principals(world):
    d = world.state.directory
    governors = make_key_set([g.public_key for g in world.governors], 2)
    assert d.principal("log") == d.principal("policy") == d.principal("authority/fr") == governors
    assert d.principal(f"keys/{BROKER}") == make_key_set([world.administrator.public_key])
    assert d.principal(f"endpoint/{NAIROBI}") == make_key_set([world.authority("ke").public_key])
    assert d.principal("group/ke/all") == d.principal("endpoint/ke.police.new")
    assert d.principal(f"keys/{NAIROBI}") == make_key_set([world.agencies[NAIROBI].administrator.public_key])
    assert d.principal("endpoint/fr.police.x") is None
    assert d.principal("keys/ke.police.x") is None


def test_subjects_and_copies(world):
    d = world.state.directory
    assert list(d.subjects("authority/")) == [
        "authority/be",
        "authority/ke",
        "authority/ug",
        "authority/xo-interpol",
    ]
    assert set(d.subjects("keys/")) == {
        f"keys/{a}" for a in (BROKER, NAIROBI, KAMPALA, BRUSSELS, LYON, MOMBASA)
    }
    head, count = d.head, d.count
    twin = d.copy()
    world.state.directory = twin
    world.put(world.authority_statement("ke", state=State.SUSPENDED))
    assert (d.head, d.count) == (head, count)
    assert d.authority("ke") is not None
    assert (twin.count, twin.authority("ke")) == (count + 1, None)


def test_heads_and_proofs(world):
    d = world.state.directory
    subject = f"endpoint/{NAIROBI}"
    shown = verify_subject(d.head, subject, d.prove(subject))
    held = d.held(subject)
    assert (shown.index, shown.time, shown.statement) == (held.index, held.time, held.statement)
    assert verify_subject(d.head, "endpoint/fr.police.x", d.prove("endpoint/fr.police.x")) is None
    for index, entry in enumerate(world.entries):
        assert entry.leaf.dir_count == index + 1
    assert world.entries[-1].leaf.dir_head == d.head


def test_thresholds_above_one(world):
    a, b, c = signer("fr a"), signer("fr b"), signer("fr c")
    principal = make_key_set([k.public_key for k in (a, b, c)], 2)
    record = AuthorityRecord("fr", "France", principal, (Role.POLICE,), State.ACTIVE)
    world.put(
        world.directory_statement(Kind.AUTHORITY, "fr", record, world.governors[:2], possession=[a, b, c])
    )
    admin, instance = signer("fr admin"), signer("fr instance")
    endpoint = EndpointRecord("fr.police.x", "X", make_key_set([admin.public_key]), State.ACTIVE)
    world.put(world.directory_statement(Kind.ENDPOINT, "fr.police.x", endpoint, [a, c], possession=[admin]))
    keys = KeysRecord(
        "fr.police.x",
        (InstanceKey(instance.public_key, "i"),),
        SealingKey(seed("fr")).public_key,
        None,
        0,
        {},
    )
    world.put(world.directory_statement(Kind.KEYS, "fr.police.x", keys, [admin], possession=[instance]))
    d = world.state.directory
    assert d.held("endpoint/fr.police.x").threshold == 2
    # One of the two that signed falls: below the threshold. One that did not sign: no matter.
    twin = world.fork()
    revoke(twin, b, [b], at=0)
    assert twin.state.directory.keys("fr.police.x") is not None
    revoke(world, a, [a], at=0)
    assert d.endpoint("fr.police.x") is None
    assert d.keys("fr.police.x") is None
