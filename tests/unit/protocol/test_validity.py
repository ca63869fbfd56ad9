"""Keys that state an end: what they sign, or what is sealed to them, counts before it and not from it on."""

from dataclasses import replace

import pytest

from countermark_protocol.claims import Kind
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import ConflictError, MalformedError, SignatureError
from countermark_protocol.key_ends import endpoints_ending
from countermark_protocol.records import InstanceKey, KeysRecord, parse_directory_statement
from support.protocol_world import NOW, make_world
from support.world import BROKER, KAMPALA, NAIROBI, signer


@pytest.fixture
def world():
    return make_world()


def set_keys(world, **changes):
    agency = world.agencies[NAIROBI]
    record = replace(world.held(f"keys/{NAIROBI}"), **changes)
    world.put(world.directory_statement(Kind.KEYS, NAIROBI, record, [agency.administrator]))


def ending(world, until):
    [key] = world.held(f"keys/{NAIROBI}").signing
    return (replace(key, until=until),)


def test_an_instance_key_signs_until_its_end_and_no_longer(world):
    set_keys(world, signing=ending(world, NOW + 100))
    world.put(world.compose(NAIROBI), time=NOW + 99)
    world.refuse(world.compose(NAIROBI), SignatureError, "key_over", time=NOW + 100)
    directory, key = world.state.directory, world.agencies[NAIROBI].instance.public_key.key_id
    assert directory.instance(NAIROBI, key, time=NOW + 99) is not None
    assert directory.instance(NAIROBI, key, time=NOW + 100) is None
    assert directory.endpoint_of_key(key, time=NOW + 100) is None
    assert directory.listed_instance(NAIROBI, key) is not None
    assert directory.key_stands(key)  # it may still read why


def test_its_administrator_gives_it_more_time(world):
    set_keys(world, signing=ending(world, NOW + 100))
    set_keys(world, signing=ending(world, NOW + 200))
    world.put(world.compose(NAIROBI), time=NOW + 199)


def test_a_sealing_key_is_sealed_to_between_its_beginning_and_its_end(world):
    set_keys(world, sealing_from=NOW + 10, sealing_until=NOW + 20)
    directory, key = world.state.directory, world.held(f"keys/{NAIROBI}").sealing
    for time, counts in ((NOW + 9, False), (NOW + 10, True), (NOW + 19, True), (NOW + 20, False)):
        assert directory.accepts_sealing_key(NAIROBI, key.key_id, time) is counts
        assert directory.sealing_key(NAIROBI, time) == (key if counts else None)
    message = world.compose(KAMPALA, [NAIROBI])
    world.refuse(message, ConflictError, "sealing_key_not_accepted", time=NOW + 9)
    world.put(message, time=NOW + 10)


def test_what_states_no_end_has_the_bytes_that_it_always_had(world):
    record = world.held(f"keys/{NAIROBI}")
    assert set(record.to_json()) == {"signing", "sealing", "reads"}
    assert set(record.to_json()["signing"][0]) == {"alg", "pub", "holder"}


@pytest.mark.parametrize("member", ["sealing_from", "sealing_until"])
@pytest.mark.parametrize("value", [0, -1, "1", 1.5, True, None])
def test_times_are_whole_and_stated_by_absence_where_there_are_none(world, member, value):
    payload = keys_payload(world, NAIROBI, world.held(f"keys/{NAIROBI}").to_json() | {member: value})
    with pytest.raises(MalformedError):
        parse_directory_statement(payload)


def test_the_brokers_keys_state_no_end(world):
    node = signer("node")
    record = KeysRecord(BROKER, (InstanceKey(node.public_key, "node-1", NOW + 1),), None, None, 0, {})
    with pytest.raises(MalformedError) as caught:
        parse_directory_statement(keys_payload(world, BROKER, record.to_json()))
    assert caught.value.facts["member"] == "signing"
    plain = replace(record, signing=(InstanceKey(node.public_key, "node-1"),), sealing_until=NOW)
    with pytest.raises(MalformedError) as caught:
        parse_directory_statement(keys_payload(world, BROKER, plain.to_json() | {"sealing_until": NOW}))
    assert caught.value.facts["member"] == "sealing"


def keys_payload(world, address, record):
    seen = {"size": 0, "root": bytes(32).hex()}
    payload = {
        "kind": "keys",
        "log": world.origin,
        "seen": seen,
        "subject": f"keys/{address}",
        "record": record,
    }
    encode_json(payload)
    return payload


def test_endpoints_whose_keys_end_are_told(world):
    directory = world.state.directory
    assert list(endpoints_ending(directory, NOW + 10**9)) == []
    set_keys(world, signing=ending(world, NOW + 100))
    assert list(endpoints_ending(directory, NOW + 99)) == []
    assert list(endpoints_ending(directory, NOW + 100)) == [NAIROBI]
    set_keys(world, signing=ending(world, None), sealing_until=NOW + 50)
    assert list(endpoints_ending(directory, NOW + 49)) == []
    assert list(endpoints_ending(directory, NOW + 50)) == [NAIROBI]
