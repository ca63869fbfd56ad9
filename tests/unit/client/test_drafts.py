"""Changing what stands: each function starts from the record that is there, and the broker accepts the result."""

import pytest

from countermark_client import make_key, testing
from countermark_client._keystore import MemoryKeystore
from countermark_client.drafts import (
    change_authority,
    change_endpoint,
    change_governance,
    change_group,
    change_keys,
    check_complete,
    check_signatures,
    principal_of,
)
from countermark_client.statements import Drafts, sign_gathering
from countermark_protocol.directory import Directory
from countermark_protocol.errors import ConflictError, MalformedError, NotFoundError, SignatureError
from countermark_protocol.gathering import read_gathering
from countermark_protocol.identifiers import Role
from countermark_protocol.records import State, parse_directory_statement

NAIROBI, MOMBASA = "ke.police.nairobi", "ke.customs.mombasa"


@pytest.fixture
def world():
    return testing.world(NAIROBI, MOMBASA)


def signer(use="authority"):
    return MemoryKeystore((make_key(use),)).signer(use)


def directory(world):
    return world.broker.state.directory


def record(data):
    return parse_directory_statement(read_gathering(data).document.claims).record


def test_suspending_an_endpoint_keeps_everything_else(world):
    before = directory(world).endpoint(NAIROBI)
    data = change_endpoint(world.drafts, directory(world), NAIROBI, state=State.SUSPENDED)
    assert (record(data).name, record(data).administrator) == (before.name, before.administrator)
    world.broker.post_statement(sign_gathering(data, [world.authority("ke")]))
    assert directory(world).endpoint(NAIROBI) is None
    again = change_endpoint(world.drafts, directory(world), NAIROBI, state=State.ACTIVE)
    world.broker.post_statement(sign_gathering(again, [world.authority("ke")]))
    assert directory(world).endpoint(NAIROBI) == before


def test_a_change_names_the_statement_before(world):
    data = change_endpoint(world.drafts, directory(world), NAIROBI, name="Nairobi")
    held = directory(world).held(f"endpoint/{NAIROBI}")
    assert parse_directory_statement(read_gathering(data).document.claims).prev == held.statement


def test_an_authority_gets_a_second_key_and_threshold(world):
    first, second = world.authority("ke"), signer()
    data = change_authority(
        world.drafts, directory(world), "ke", add_keys=[second.public_key], threshold=2, roles=[Role.POLICE]
    )
    world.broker.post_statement(sign_gathering(data, [world._governor], [second]))
    standing = directory(world).authority("ke")
    assert standing.keys.ids == {first.public_key.key_id, second.public_key.key_id}
    assert (standing.keys.threshold, standing.roles) == (2, (Role.POLICE,))
    data = change_authority(
        world.drafts, directory(world), "ke", remove_keys=[first.public_key.key_id], threshold=1
    )
    assert record(data).keys.ids == {second.public_key.key_id}


@pytest.mark.parametrize("threshold", [0, 2, 33])
def test_a_threshold_beyond_the_keys_is_refused(world, threshold):
    world.authority("ke")
    with pytest.raises(MalformedError, match="threshold"):
        change_authority(world.drafts, directory(world), "ke", threshold=threshold)


def test_removing_the_last_key_is_refused(world):
    only = world.authority("ke").public_key.key_id
    with pytest.raises(MalformedError, match="threshold"):
        change_authority(world.drafts, directory(world), "ke", remove_keys=[only])


def test_removing_a_key_that_is_not_there_is_refused(world):
    world.authority("ke")
    with pytest.raises(NotFoundError) as caught:
        change_authority(world.drafts, directory(world), "ke", remove_keys=[bytes(32)])
    assert caught.value.code == "unknown_key"


@pytest.mark.parametrize(
    ("given", "lacking"), [({}, "a key"), ({"name": "X"}, "a key"), ({"roles": [Role.POLICE]}, "a key")]
)
def test_a_first_record_names_what_it_lacks(world, given, lacking):
    with pytest.raises(NotFoundError, match=lacking) as caught:
        change_authority(world.drafts, directory(world), "be", **given)
    assert caught.value.code == "no_such_record"


def test_adding_an_instance_keeps_the_others_and_what_is_read(world):
    before = directory(world).keys(NAIROBI)
    fresh = signer("instance")
    data = change_keys(world.drafts, directory(world), NAIROBI, add=[(fresh.public_key, "desk-2")])
    administrator = world.keystore(NAIROBI).signer("administrator")
    world.broker.post_statement(sign_gathering(data, [administrator], [fresh]))
    after = directory(world).keys(NAIROBI)
    assert {k.holder for k in after.signing} == {"one", "desk-2"}
    assert (after.sealing, after.reads) == (before.sealing, before.reads)


def test_removing_the_only_instance_is_refused(world):
    only = directory(world).keys(NAIROBI).signing[0].key.key_id
    with pytest.raises(MalformedError, match="without a signing key"):
        change_keys(world.drafts, directory(world), NAIROBI, remove=[only])
    with pytest.raises(NotFoundError):
        change_keys(world.drafts, directory(world), NAIROBI, remove=[bytes(32)])


def test_a_new_sealing_key_takes_over_with_and_without_overlap(world):
    before = directory(world).keys(NAIROBI)
    fresh = MemoryKeystore((make_key("sealing"),)).sealing_key().public_key
    until = world.clock() + 1000
    data = change_keys(world.drafts, directory(world), NAIROBI, sealing=fresh, overlap_until=until)
    assert record(data).sealing == fresh
    assert (record(data).previous_sealing, record(data).previous_until) == (before.sealing, until)
    administrator = world.keystore(NAIROBI).signer("administrator")
    world.broker.post_statement(sign_gathering(data, [administrator]))
    # A further change of something else leaves the overlap as it is.
    extra = signer("instance")
    data = change_keys(world.drafts, directory(world), NAIROBI, add=[(extra.public_key, "x")])
    assert (record(data).previous_sealing, record(data).previous_until) == (before.sealing, until)
    lost = change_keys(
        world.drafts,
        directory(world),
        NAIROBI,
        sealing=MemoryKeystore((make_key("sealing"),)).sealing_key().public_key,
    )
    assert record(lost).previous_sealing is None


def test_the_brokers_node_keys_change_without_a_sealing_key(world):
    fresh = signer("node")
    broker = directory(world).log().broker
    data = change_keys(world.drafts, directory(world), broker, add=[(fresh.public_key, "node-2")])
    assert record(data).sealing is None
    assert len(record(data).signing) == 2


def test_a_group_is_made_and_changed(world):
    data = change_group(world.drafts, directory(world), "ke/all", title="All", add=[NAIROBI])
    world.broker.post_statement(sign_gathering(data, [world.authority("ke")]))
    data = change_group(world.drafts, directory(world), "ke/all", add=[MOMBASA], remove=[NAIROBI])
    world.broker.post_statement(sign_gathering(data, [world.authority("ke")]))
    assert directory(world).group("ke/all").members == (MOMBASA,)
    assert directory(world).group("ke/all").title == "All"
    with pytest.raises(NotFoundError) as caught:
        change_group(world.drafts, directory(world), "ke/all", remove=[NAIROBI])
    assert caught.value.code == "unknown_member"
    with pytest.raises(NotFoundError, match="title"):
        change_group(world.drafts, directory(world), "ke/other", add=[NAIROBI])


def test_governance_changes_what_was_decided_only(world):
    before = directory(world).log()
    fresh = signer("governor")
    data = change_governance(
        world.drafts, directory(world), add_governors=[fresh.public_key], quorum=2, undelivered_grace=5
    )
    world.broker.post_statement(sign_gathering(data, [world._governor], [fresh]))
    after = directory(world).log()
    assert len(after.governors.keys) == after.governors.threshold == 2
    assert (after.log_key, after.broker, after.reset_delay) == (
        before.log_key,
        before.broker,
        before.reset_delay,
    )
    assert after.undelivered_grace == 5


# --- how far a gathering is ---


def test_check_complete_says_what_is_missing(world):
    second = signer()
    data = change_authority(world.drafts, directory(world), "ke", add_keys=[second.public_key])
    signed = sign_gathering(data, [world._governor])
    with pytest.raises(SignatureError) as caught:
        check_complete(directory(world), read_gathering(signed).document, world.clock())
    assert caught.value.code == "missing_possession"
    whole = sign_gathering(signed, possession=[second])
    statement = check_complete(directory(world), read_gathering(whole).document, world.clock())
    assert statement.subject == "authority/ke"
    assert principal_of(directory(world), statement) == directory(world).log().governors


def test_check_complete_notices_that_something_else_was_first(world):
    stale = change_endpoint(world.drafts, directory(world), NAIROBI, name="A")
    first = change_endpoint(world.drafts, directory(world), NAIROBI, name="B")
    world.broker.post_statement(sign_gathering(first, [world.authority("ke")]))
    signed = sign_gathering(stale, [world.authority("ke")])
    with pytest.raises(ConflictError) as caught:
        check_complete(directory(world), read_gathering(signed).document, world.clock())
    assert caught.value.code == "stale_statement"


def test_check_signatures_refuses_a_signature_that_does_not_verify(world):
    data = sign_gathering(
        change_endpoint(world.drafts, directory(world), NAIROBI, name="A"), [world.authority("ke")]
    )
    check_signatures(directory(world), read_gathering(data).document)
    spoilt = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(SignatureError):
        check_signatures(directory(world), read_gathering(spoilt).document)


def test_every_governor_signs_a_founding():
    governors = [signer("governor") for _ in range(3)]
    data = Drafts("log.test/x").founding(
        log_key=signer("log").public_key,
        governors=[g.public_key for g in governors],
        quorum=2,
        broker="xo-test.broker.log",
        broker_administrator=[signer("administrator").public_key],
    )
    statement = parse_directory_statement(read_gathering(data).document.claims)
    principal = principal_of(Directory(), statement)
    assert principal.threshold == 3
    assert principal.ids == {g.public_key.key_id for g in governors}


def test_a_revocation_has_no_one_principal(world):
    key = world.keystore(NAIROBI).signer("instance").public_key.key_id
    data = world.drafts.revocation(key, ground="loss")
    statement = parse_directory_statement(read_gathering(data).document.claims)
    assert principal_of(directory(world), statement) is None
