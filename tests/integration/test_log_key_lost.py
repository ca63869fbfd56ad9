"""The log's own key lost or stolen, from the operator's commands to what an agency's client makes of it.

The procedures of docs/operations/keys-lost-or-stolen.md §4.
"""

import json
import time

import httpx
import pytest

from countermark_broker.services.keyring import write_keys
from countermark_client import INSTANCE, SEALING, Client, MemoryKeystore, Profile, testing
from countermark_protocol.checkpoint import parse_checkpoint, sign_checkpoint
from countermark_protocol.errors import SignatureError
from countermark_protocol.gathering import add_signature, read_gathering
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.keys import Algorithm
from countermark_protocol.records import Ground, LogRecord, parse_directory_statement
from support.broker_fixtures import AUTHORITY, PASSPHRASE
from support.broker_process import BrokerProcess, run_cli
from support.forwarding import Forwarding
from support.world import KAMPALA, NAIROBI, seed

pytestmark = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)


class Line(Forwarding):
    """The line to the broker, with a hand on its answers."""

    def __init__(self):
        super().__init__()
        self.answer = None

    def handle_request(self, request):
        response = super().handle_request(request)
        return self.answer(request, response) if self.answer is not None else response


@pytest.fixture
def to():
    line = Line()
    yield line
    line.end()


class served:
    def __init__(self, world, home, to):
        self._process = BrokerProcess(world, home)
        self._to = to

    def __enter__(self):
        self._process.wait_until_listening()
        self._to.port = self._process.port

    def __exit__(self, *_):
        assert self._process.stop() == 0


def send(client):
    return client.send("lost-or-stolen-notice", testing.sample_notice(), [KAMPALA])


def told(*args):
    done = run_cli(*args, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def sign(world, path):
    """What two governors do with `countermark document sign`, each on a machine of its own."""
    data = path.read_bytes()
    for governor in world.governors[:2]:
        data = add_signature(data, governor)
    path.write_bytes(data)


def test_a_stolen_log_key_is_replaced_and_what_it_signs_beyond_is_refused(world, process_home, tmp_path, to):
    home, draft = process_home, tmp_path / "log-key.draft"
    client = agency(world, to)
    with served(world, home, to):
        client.sync()
        before = send(client)
        old_view = client.checkpoint
    made = told("log-key", "new", "--home", home)
    told("log-key", "draft", "--home", home, "--out", draft)
    record = parse_directory_statement(read_gathering(draft.read_bytes()).document.claims).record
    assert isinstance(record, LogRecord)
    assert record.log_key.key_id.hex() == made["key_id"]
    sign(world, draft)
    told("log-key", "adopt", "--home", home, "--governance", draft)
    with served(world, home, to):
        client.sync()
        after = send(client)
        assert client.halted is None
        assert client.directory.log().log_key.key_id.hex() == made["key_id"]
        # The governors revoke the old one, for all to see when it was stolen.
        old = world.log_key.public_key
        revoke(world, client, old, Ground.COMPROMISE)
        client.sync()
        assert client.directory.revocation(old.key_id).ground is Ground.COMPROMISE
        # Old checkpoints and proofs stay what they were, and the old key signs nothing beyond.
        assert client.directory.log_key_for(old_view.size) == old
        assert client.directory.log_key_for(after.index + 1) != old
        assert client.proof(before)
        assert client.verify_log().size > after.index
        to.answer = forge(world)
        with pytest.raises(SignatureError):
            client.sync()
        to.answer = None
        client.sync()
        assert client.halted is None
    client.close()


def test_the_key_file_is_lost_without_a_copy(world, process_home, tmp_path, to):
    """Log key and node key are gone. The governors name a new log key, the administrator the new node key."""
    home, draft = process_home, tmp_path / "log-key.draft"
    client = agency(world, to)
    with served(world, home, to):
        client.sync()
        send(client)
    (home / "keys" / "broker.keys").unlink()
    assert run_cli("serve", "--home", home, "--port", "0").returncode != 0
    made = told("log-key", "new", "--home", home)
    assert (home / "keys" / "broker.keys").stat().st_mode & 0o777 == 0o600
    # The administrator's keys come from where they are kept, for as long as it takes.
    administrator = (StoredKey("administrator", Algorithm.ED25519, seed("administrator")),)
    write_keys(home / "keys" / "administrator.keys", administrator, PASSPHRASE)
    told("log-key", "draft", "--home", home, "--out", draft)
    sign(world, draft)
    told("log-key", "adopt", "--home", home, "--governance", draft, "--holder", "node-2")
    (home / "keys" / "administrator.keys").unlink()
    with served(world, home, to):
        client.sync()
        sent = send(client)
        assert client.directory.log().log_key.key_id.hex() == made["key_id"]
        assert client.directory.log_key_for(sent.index + 1).key_id.hex() == made["key_id"]
        # An end of box is signed by the new node key.
        assert client.notices() == []
        revoke(world, client, world.log_key.public_key, Ground.LOSS)
        assert client.verify_log().size == client.checkpoint.size
    assert told("fsck", "--home", home)["findings"] == []
    client.close()


def agency(world, to):
    """An agency's client, which has the log's trust file."""
    keys = (
        StoredKey(INSTANCE, Algorithm.ED25519, seed(f"instance {NAIROBI}")),
        StoredKey(SEALING, world.agencies[NAIROBI].sealing.public_key.algorithm, seed(f"sealing {NAIROBI}")),
    )
    profile = Profile.in_memory(
        address=NAIROBI,
        broker_url=f"http://{AUTHORITY}",
        trust=world.founding(),
        keystore=MemoryKeystore(keys),
    )
    return Client(profile, transport=to)


def revoke(world, client, key, ground):
    since = int(time.time() * 1000) - 60_000 if ground is Ground.COMPROMISE else None
    draft = client.drafts.revocation(key.key_id, ground=ground, compromised_at=since)
    for governor in world.governors[:2]:
        draft = add_signature(draft, governor)
    client.publish_statement(draft)


def forge(world):
    """Who has the old key, and sits on the line, serves a directory under a checkpoint of its own."""

    def answer(request, response):
        if request.url.path != "/v1/directory":
            return response
        page = response.json()
        real = parse_checkpoint(page["checkpoint"].encode())
        forged = sign_checkpoint(
            real.origin, real.size, real.root, world.log_key.sign, world.log_key.public_key.raw
        )
        page["checkpoint"] = forged.decode()
        return httpx.Response(200, json=page)

    return answer
