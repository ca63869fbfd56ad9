"""Renewal that is interrupted, alarms that are acknowledged, the cached directory, and keys proven in one file."""

import json

import pytest

from countermark_client import INSTANCE, Settings, testing
from countermark_protocol.errors import CountermarkError, TransportError, UncheckableError
from countermark_protocol.key_proof import verify_key_proof
from support.cli import cli_for

KENYA, BELGIUM, UGANDA = "ke.contact.office", "be.contact.federal", "ug.contact.office"


@pytest.fixture
def world():
    return testing.world(KENYA, BELGIUM)


def _cut(_data):
    raise RuntimeError("the machine is switched off")


def test_a_renewal_that_was_interrupted_is_taken_up_with_the_same_key(world):
    client = world.client(KENYA)
    client.sync()
    post = world.broker.post_statement
    world.broker.post_statement = _cut
    with pytest.raises(RuntimeError):
        client.renew_keys()
    made = client.profile.keystore.signer(INSTANCE).public_key
    world.broker.post_statement = post
    sent = client.send("tracing-request", testing.sample_request(), to=[BELGIUM], exercise=True)
    assert world.broker.entries[sent.index].document.signers[0][1] != made.key_id  # not certified yet
    assert client.renew_keys().instance == made
    assert client.strangers == ()


def test_a_colleague_is_an_alarm_until_acknowledged(world, tmp_path):
    cli = cli_for(world, tmp_path)
    world.profile(KENYA, folder=tmp_path / "home").close()
    cli.run("alarms")
    second = world.add_instance(KENYA).signer(INSTANCE).public_key.key_id.hex()
    result = cli.run("alarms", "--json", code=4)
    assert [s["key_id"] for s in json.loads(result.stdout)["strangers"]] == [second]
    cli.run("alarms", "--acknowledge", second)
    assert cli.json("alarms")["alarms"] == []


def test_the_cached_directory_is_used_up_to_its_age_and_no_further(world):
    client = world.client(KENYA, settings=Settings(attempts=1, max_checkpoint_age=60 * 60_000))
    client.sync()
    world.broker.offline = True
    world.clock.advance(minutes=50)
    with pytest.raises(TransportError):
        client.send("tracing-request", testing.sample_request(), to=[BELGIUM], exercise=True)
    assert len(client.outbox()) == 1  # sealed, and waiting
    assert 50 * 60_000 <= client.checkpoint_age < 60 * 60_000
    world.clock.advance(minutes=11)
    with pytest.raises(UncheckableError, match="stale_checkpoint"):
        client.send("tracing-request", testing.sample_request(), to=[BELGIUM], exercise=True)
    assert len(client.outbox()) == 1


def test_keys_are_proven_in_one_file(world, tmp_path):
    cli = cli_for(world, tmp_path)
    world.profile(BELGIUM, folder=tmp_path / "home").close()
    cli.run("key-proof", "make", KENYA, "-o", tmp_path / "kenya.key-proof")
    found = cli.json("key-proof", "verify", tmp_path / "kenya.key-proof")
    record = world.broker.state.directory.keys(KENYA)
    assert found["seal_to"] == record.sealing.key_id.hex()
    assert {k["key_id"] for k in found["keys"]} == {k.key.key_id.hex() for k in record.signing} | {
        found["seal_to"]
    }
    data = (tmp_path / "kenya.key-proof").read_bytes()
    trust = found["fingerprint"]
    assert verify_key_proof(data, trust).compared
    with pytest.raises(CountermarkError, match="other_fingerprint"):
        verify_key_proof(data, "00" * 16)
    with pytest.raises(UncheckableError, match="stale_checkpoint"):
        verify_key_proof(data).check_age(world.clock() + 16 * 60_000, 15 * 60_000)
    world.clock.advance(minutes=16)
    cli.run("key-proof", "verify", tmp_path / "kenya.key-proof", code=3)


def test_that_somebody_has_no_keys_is_proven_too(world):
    data = world.client(BELGIUM).prove_keys(UGANDA)
    proven = verify_key_proof(data)
    assert (proven.keys, proven.index) == (None, None)


def test_a_proof_of_which_a_byte_was_changed_proves_nothing(world):
    data = json.loads(world.client(BELGIUM).prove_keys(KENYA))
    for fact in range(len(data["facts"])):
        changed = json.loads(json.dumps(data))
        siblings = changed["facts"][fact]["siblings"]
        if not siblings:
            continue
        siblings[0] = f"{int(siblings[0], 16) ^ 1:064x}"
        with pytest.raises(CountermarkError, match="bad_trie_path"):
            verify_key_proof(json.dumps(changed).encode())
    changed = json.loads(json.dumps(data))
    changed["facts"] = changed["facts"][1:]
    with pytest.raises(CountermarkError):
        verify_key_proof(json.dumps(changed).encode())


def test_keys_are_accepted_by_a_path_without_reading_the_directory(world, tmp_path):
    client = world.client(BELGIUM)
    proven = client.accept_keys(KENYA)
    assert (
        proven.directory.sealing_key(KENYA, world.clock()) == world.broker.state.directory.keys(KENYA).sealing
    )
    assert client.accept_keys(UGANDA).keys is None
    assert client.directory.count == 0
    assert "/v1/directory" not in {request.path for request in world.broker.requests}
    # What was accepted before is of the same history as what is read later.
    client.sync()
    world.add_instance(KENYA)
    assert len(client.accept_keys(KENYA).keys.signing) == 2
    assert (client.halted, client.profile.evidence) == (None, ())


def test_keys_are_fetched_on_the_command_line(world, tmp_path):
    cli = cli_for(world, tmp_path)
    world.profile(BELGIUM, folder=tmp_path / "home").close()
    file = tmp_path / "kenya.key-proof"
    told = cli.json("key-proof", "fetch", KENYA, "-o", file)
    assert told["fingerprint_compared"]
    assert cli.json("key-proof", "verify", file)["seal_to"] == told["seal_to"]
    assert "none that stand" in cli.run("key-proof", "fetch", UGANDA).stdout
    world.broker.offline = True
    cli.run("key-proof", "fetch", KENYA, code=3)
