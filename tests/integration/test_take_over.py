"""A second operator imports an export, serves it, and goes on with the same log once the governors name its key."""

import json
from dataclasses import replace

import pytest

from countermark_broker.app import Broker
from countermark_broker.config import load_settings
from countermark_broker.errors import ConfigurationError, FatalError, NotStorableError, UnavailableError
from countermark_broker.parts import build_parts
from countermark_broker.services.accept import accept_directory, accept_message
from countermark_broker.services.backup import create_backup
from countermark_broker.services.export import adopt_log_key, draft_log_key, import_log
from countermark_broker.services.fsck import check_everything
from countermark_broker.services.keyring import load_keyring, write_keys
from countermark_broker.services.maintenance import rebuild_views
from countermark_protocol.boxes import Box
from countermark_protocol.checkpoint import parse_checkpoint, verify_checkpoint
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import SignatureError
from countermark_protocol.gathering import add_signature, finish_gathering
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.keys import Algorithm, fingerprint
from support.broker_fixtures import AUTHORITY, PASSPHRASE, keyring, running
from support.broker_process import BrokerProcess, environment, run_cli
from support.database import sql
from support.world import KAMPALA, NAIROBI, seed
from support.world import signer as seeded_signer


async def send_and_export(world, home):
    async with running(world, home) as broker:
        for _ in range(3):
            await accept_message(broker.node, world.message(NAIROBI, [KAMPALA]).data)
        await create_backup(broker.node, home / "log.countermark")


@pytest.fixture
def home(grown):
    """The first operator's: a log with some messages in it, and an export."""
    return grown(send_and_export)


@pytest.fixture
def exported(home):
    return home / "log.countermark"


def import_as_second(_world, home, database, exported):
    passphrase = home.with_name("passphrase")
    passphrase.write_text(PASSPHRASE)
    done = run_cli(
        *("import", "--home", home, exported, "--authority-host", AUTHORITY, "--passphrase-file", passphrase),
        "--json",
        database_url=database,
    )
    assert done.returncode == 0, done.stderr
    # What the environment said stands in the settings of everything that follows.
    assert load_settings(home, {}).database_url == database
    assert (home / "broker.toml").stat().st_mode & 0o777 == 0o600
    (home / "told.json").write_text(done.stdout)


@pytest.fixture
def second(grown, exported):
    """The second operator's home, as `import` makes it, on a database of its own, and what it said."""
    home = grown(import_as_second, "second", exported, founded=False)
    return home, json.loads((home / "told.json").read_text())


def test_import_replays_all_and_makes_a_home_of_its_own(world, home, exported, second):
    own, told = second
    assert told["fingerprint"] == fingerprint(parse_document(world.founding()).payload_hash)
    assert (own / "founding.trust").read_bytes() == world.founding()
    assert (own / "checkpoint" / "checkpoint").read_bytes() == (
        home / "checkpoint" / "checkpoint"
    ).read_bytes()
    assert told["findings"] == []
    keys = load_keyring(load_settings(own, environment()))
    assert keys.log[0].public_key != world.log_key.public_key
    assert run_cli("fsck", "--home", own).returncode == 0
    assert run_cli("rebuild", "--check", "--home", own).returncode == 0
    again = run_cli("import", "--home", own, exported, "--json")
    assert json.loads(again.stdout)["added"] == 0
    doctor = run_cli("doctor", "--home", own)
    assert "this node only reads" in doctor.stdout


async def test_a_copy_is_served_read_only(world, home, second):
    own, told = second
    process = BrokerProcess(world, own).wait_until_listening()
    client = process.client()
    assert client.http.get("/v1/ready").status_code == 200
    assert client.http.get("/v1/log/checkpoint").content == (home / "checkpoint" / "checkpoint").read_bytes()
    assert len(client.http.get("/v1/log/leaves").content) == 115 * told["size"]
    client.refresh()
    assert len(client.box(KAMPALA, Box.ROUTINE, limit=2).entries) == 2
    refused = client.post_message(world.message(NAIROBI, [KAMPALA]))
    assert (refused.status_code, refused.json()["code"]) == (503, "read_only")
    client.close()
    assert process.stop() == 0
    assert parse_checkpoint((own / "checkpoint" / "checkpoint").read_bytes()).size == told["size"]


async def test_the_second_operator_goes_on_with_the_same_log(world, home, second, tmp_path):
    own, told = second
    draft = own / "log-key.draft"
    # One governor of two is no quorum.
    alone = tmp_path / "alone"
    alone.write_bytes(add_signature(draft.read_bytes(), world.governors[0]))
    refused = run_cli("log-key", "adopt", "--home", own, "--governance", alone)
    assert refused.returncode == 1
    assert "[too_few_signatures]" in refused.stderr
    assert parse_checkpoint((own / "checkpoint" / "checkpoint").read_bytes()).size == told["size"]

    signed = tmp_path / "signed"
    signed.write_bytes(add_signature(alone.read_bytes(), world.governors[1]))
    done = run_cli("log-key", "adopt", "--home", own, "--governance", signed, "--json")
    assert done.returncode == 0, done.stderr
    # The governors' statement, then the broker's keys.
    assert json.loads(done.stdout)["size"] == told["size"] + 2

    process = BrokerProcess(world, own).wait_until_listening()
    client = process.client()
    sent = world.message(NAIROBI, [KAMPALA])
    assert client.post_message(sent).status_code == 201
    directory = client.refresh()
    note = client.http.get("/v1/log/checkpoint").content
    client.close()
    assert process.stop() == 0
    new = load_keyring(load_settings(own, environment())).log[0].public_key
    assert directory.log().log_key == new
    checkpoint = parse_checkpoint(note)
    assert checkpoint.size == told["size"] + 3
    verify_checkpoint(checkpoint, world.origin, new.raw)
    with pytest.raises(SignatureError):
        verify_checkpoint(checkpoint, world.origin, world.log_key.public_key.raw)
    # The old key still stands for the sizes that it has signed, and for none beyond.
    assert directory.log_key_for(told["size"]) == world.log_key.public_key
    assert directory.log_key_for(told["size"] + 1) == new
    signing = {k.key for k in directory.keys(directory.log().broker).signing}
    assert world.node_key.public_key not in signing
    assert run_cli("rebuild", "--check", "--home", own).returncode == 0
    assert run_cli("fsck", "--home", own).returncode == 0
    assert "FAIL keys" not in run_cli("doctor", "--home", own).stdout


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize("told", ["line", "environment"])
def test_adopting_ends_read_only_however_it_was_said(world, second, tmp_path, told):
    own, _ = second
    signed = tmp_path / "signed"
    data = (own / "log-key.draft").read_bytes()
    for governor in world.governors[:2]:
        data = add_signature(data, governor)
    signed.write_bytes(data)
    path = own / "broker.toml"
    text = path.read_text()
    assert "read_only = true\n" in text
    path.write_text(text.replace("read_only = true\n", "read_only=true   # until we are named\n"))
    variables = {} if told == "line" else {"read_only": "true"}
    done = run_cli("log-key", "adopt", "--home", own, "--governance", signed, **variables)
    assert not load_settings(own, {}).read_only
    if told == "line":
        assert done.returncode == 0, done.stderr
        assert "start the nodes" in done.stdout
        return
    assert done.returncode == 1
    assert "still told to be read-only" in done.stdout
    assert "environment" in done.stdout


async def test_an_import_never_touches_a_home_that_appends(world, home, exported):
    node = build_parts(load_settings(home, {}), keyring(world)).node
    with pytest.raises(ConfigurationError) as refused:
        await import_log(node, exported)
    node.verifier.close()
    await node.database.close()
    assert refused.value.code == "not_read_only"


async def test_a_new_log_key_at_the_same_operator(world, process_home, tmp_path):
    """The key changes while nobody but the governors decides; old checkpoints stay what they were."""
    # The administrator's keys of the usual world lie elsewhere: the draft leaves the administrator as it is.
    before = parse_checkpoint((process_home / "checkpoint" / "checkpoint").read_bytes())
    none_yet = run_cli("log-key", "draft", "--home", process_home, "--out", tmp_path / "draft")
    assert "[no_new_log_key]" in none_yet.stderr
    made = json.loads(run_cli("log-key", "new", "--home", process_home, "--json").stdout)
    assert (process_home / "keys" / "broker.keys").stat().st_mode & 0o777 == 0o600
    assert run_cli("log-key", "draft", "--home", process_home, "--out", tmp_path / "draft").returncode == 0
    data = (tmp_path / "draft").read_bytes()
    for governor in world.governors[:2]:
        data = add_signature(data, governor)
    (tmp_path / "signed").write_bytes(data)
    done = run_cli("log-key", "adopt", "--home", process_home, "--governance", tmp_path / "signed", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["size"] == before.size + 1

    process = BrokerProcess(world, process_home).wait_until_listening()
    client = process.client()
    assert client.post_message(world.message(NAIROBI, [KAMPALA])).status_code == 201
    directory = client.refresh()
    client.close()
    assert process.stop() == 0
    assert directory.log().log_key.key_id.hex() == made["key_id"]
    verify_checkpoint(before, world.origin, world.log_key.public_key.raw)
    assert directory.log_key_for(before.size) == world.log_key.public_key
    # A node that holds only the old key must not append: nothing it signs would be believed.
    node = build_parts(load_settings(process_home, {}), keyring(world))
    broker = Broker(node)
    with pytest.raises(FatalError) as refused:
        await broker.start()
    assert refused.value.code == "log_key_missing"
    await broker.stop()


async def new_log_key(world, home, keys):
    """The governors' statement that names the newest key of `keys`, signed."""
    node = build_parts(load_settings(home, {}), keys).node
    data = await draft_log_key(node, replace(keys, administrator=()))
    node.verifier.close()
    await node.database.close()
    for governor in world.governors[:2]:
        data = add_signature(data, governor)
    return data


@pytest.fixture
def next_key():
    return seeded_signer("the next log key")


async def test_a_running_node_without_the_new_log_key_commits_nothing(world, home, next_key):
    both = replace(keyring(world), log=(world.log_key, next_key))
    signed = await new_log_key(world, home, both)
    async with running(world, home) as broker:
        other = build_parts(load_settings(home, {}), both)
        await adopt_log_key(other.node, other.appender, signed, both, "node-1")
        other.node.verifier.close()
        await other.node.database.close()
        ((size,),) = sql(home, "SELECT size FROM head")
        with pytest.raises(UnavailableError):
            await accept_message(broker.node, world.message(NAIROBI, [KAMPALA]).data)
        assert broker.node.health.fatal.code == "log_key_missing"
    assert sql(home, "SELECT size FROM head") == [(size,)]


async def test_a_statement_that_names_a_log_key_of_no_node_is_refused_alone(world, home, next_key):
    both = replace(keyring(world), log=(world.log_key, next_key))
    signed = finish_gathering(await new_log_key(world, home, both))
    async with running(world, home) as broker:
        with pytest.raises(NotStorableError) as refused:
            await accept_directory(broker.node, signed)
        assert refused.value.code == "log_key_not_held"
        assert (await accept_message(broker.node, world.message(NAIROBI, [KAMPALA]).data)).fresh


async def test_a_node_whose_key_is_not_listed_does_not_start(world, home):
    keys = replace(keyring(world), node=seeded_signer("another node"))
    broker = Broker(build_parts(load_settings(home, {}), keys))
    with pytest.raises(FatalError) as refused:
        await broker.start()
    await broker.stop()
    assert refused.value.code == "node_key_not_listed"


def test_a_process_without_the_log_key_does_not_serve(world, process_home, tmp_path):
    (process_home / "keys" / "broker.keys").unlink()
    keys = (
        StoredKey("log", Algorithm.ED25519, seed("another log")),
        StoredKey("node", Algorithm.ED25519, seed("node")),
    )
    write_keys(process_home / "keys" / "broker.keys", keys, PASSPHRASE)
    ended = run_cli("serve", "--home", process_home, "--port", "0")
    assert ended.returncode == 3
    assert "[log_key_missing]" in ended.stderr


async def test_the_copy_is_the_same_log_entry_by_entry(world, home, second):
    own, _ = second
    for place, keys in (
        (home, keyring(world)),
        (own, load_keyring(load_settings(own, environment()), PASSPHRASE)),
    ):
        node = build_parts(load_settings(place, {}), keys).node
        assert (await check_everything(node)).findings == ()
        assert (await rebuild_views(node, check_only=True)).findings == ()
        node.verifier.close()
        await node.database.close()
