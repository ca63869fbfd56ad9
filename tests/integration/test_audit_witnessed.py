"""An auditor's mirror of a real broker keeps the series of witnessed checkpoints, and holds leaves against it."""

import asyncio
import sqlite3

import httpx
import pytest

from countermark_broker.store.cosigned import CosignedRow, write_cosigned
from countermark_client import INSTANCE, SEALING, Profile
from countermark_client._keystore import StoredKey
from countermark_client.cli.common import Environment
from countermark_protocol.answers import parse_directory_page
from countermark_protocol.checkpoint import parse_checkpoint, verify_checkpoint
from countermark_protocol.cosignature import CosignatureType, Cosigner, encode_cosigner_vkey
from countermark_protocol.keys import Algorithm
from countermark_protocol.mandates import Oversight, Witness
from countermark_protocol.tlog_witness import add_cosignatures
from support.broker_fixtures import AUTHORITY, HttpBroker, found, write_home
from support.cli import PASSPHRASE, Cli
from support.forwarding import GONE
from support.world import ALWAYS, KAMPALA, NAIROBI, OVERSEER, USUAL, World, now_ms, seed

WATCHERS = [Cosigner(f"{n}.example/w", CosignatureType.ML_DSA_44, seed(n)) for n in ("east", "west")]
OWN = Cosigner("own.example/w", CosignatureType.ML_DSA_44, seed("own"))


@pytest.fixture
def broker(tmp_path, empty_database):
    named = tuple(Witness(w.key.name, (encode_cosigner_vkey(w.key),)) for w in WATCHERS)
    oversight = (Oversight(OVERSEER, ALWAYS),)
    world = World(endpoints=(*USUAL, OVERSEER), oversight=oversight, witnesses=named)
    home = write_home(world, tmp_path / "home", database_url=empty_database, witness_ms=3_600_000)
    asyncio.run(found(world, home))
    started = HttpBroker(world, home).start()
    yield started
    started.stop()


@pytest.fixture
def api(broker):
    client = broker.client()
    client.refresh()
    yield client
    client.close()


@pytest.fixture
def cli(broker, api, tmp_path):
    def forward(request):
        url = request.url.copy_with(scheme="http", host="127.0.0.1", port=broker.port)
        with httpx.HTTPTransport() as transport:
            sent = httpx.Request(request.method, url, headers=request.headers, content=request.read())
            answer = transport.handle_request(sent)
            body = answer.read()
            headers = [(k, v) for k, v in answer.headers.items() if k.lower() not in GONE]
            return httpx.Response(answer.status_code, headers=headers, content=body)

    page = parse_directory_page(api.request("GET", "/v1/directory?from=0&limit=1", by=NAIROBI).content)
    keys = [
        StoredKey(INSTANCE, Algorithm.ED25519, seed(f"instance {OVERSEER}")),
        StoredKey(SEALING, Algorithm.XWING, seed(f"sealing {OVERSEER}")),
    ]
    Profile.create(
        tmp_path / "auditors" / OVERSEER,
        address=OVERSEER,
        broker_url=f"https://{AUTHORITY}",
        trust=page.statements[0].document,
        passphrase=PASSPHRASE,
        keys=keys,
    ).close()
    return Cli(tmp_path / "auditors", Environment(transport=httpx.MockTransport(forward)))


def cosign(broker, api, at, by=WATCHERS):
    """Let the broker hold what these cosigned at a time, ms since 1970."""
    raw = api.request("GET", "/v1/log/checkpoint").content
    key = broker.world.log_key.public_key.raw
    checkpoint = verify_checkpoint(parse_checkpoint(raw), broker.world.origin, key)
    note = add_cosignatures(raw, [w.cosign(checkpoint, at // 1000) for w in by])
    row = CosignedRow(at // 60_000, checkpoint.size, note)
    loop = broker._server.servers[0].get_loop()
    written = broker.broker.node.database.write(write_cosigned, row)
    asyncio.run_coroutine_threadsafe(written, loop).result(30)
    return checkpoint.size


def audited(cli, command, *words, code=0):
    told = cli.json("audit", command, "--processes", "0", *words, home=OVERSEER, code=code)
    return [(f["check"], f["index"]) for f in told.get("open", told["found"])], told["remarks"]


def test_times_are_held_against_the_series(broker, api, cli, tmp_path):
    begun = now_ms()
    cosign(broker, api, begun)
    api.post_message(broker.world.message(NAIROBI, [KAMPALA]))
    cosign(broker, api, begun + 60_000, [*WATCHERS, OWN])
    cli.json("audit", "look-up", "--scope", "oversight", "--ground", "a review", home=OVERSEER)
    assert audited(cli, "sync") == ([], [])
    assert audited(cli, "verify") == ([], [])
    mirror = sqlite3.connect(tmp_path / "auditors" / OVERSEER / "mirror" / "mirror.db")
    assert mirror.execute("SELECT count(*) FROM cosigned").fetchone() == (2,)
    mirror.close()
    # Witnesses whose clocks are an hour ahead of the broker's say that what it logs next is not new.
    size = cosign(broker, api, begun + 3_600_000)
    api.post_message(broker.world.message(NAIROBI, [KAMPALA]))
    assert audited(cli, "sync", code=1)[0] == [("back_dated_leaf", size)]
    assert audited(cli, "verify", code=1)[0] == [("back_dated_leaf", size)]
    # Who believes another witness alone has no bound from them.
    policy = tmp_path / "own.policy"
    policy.write_text(f"witness mine {encode_cosigner_vkey(OWN.key)}\nquorum mine\n")
    found, remarks = audited(cli, "verify", "--policy", str(policy))
    assert found == []
    assert "2 witnessed checkpoints do not meet the policy" in remarks[-1]
    assert "remark" in cli.run("audit", "verify", "--policy", policy, home=OVERSEER).stdout
    beside = tmp_path / "auditors" / OVERSEER / "mirror" / "witnesses.policy"
    beside.write_bytes(policy.read_bytes())
    assert audited(cli, "verify") == ([], remarks)
