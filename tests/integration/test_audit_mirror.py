"""Auditors' mirrors against the real broker, on both databases, by the commands that people run."""

import asyncio
import json
import sqlite3

import httpx
import pytest

from countermark_client import INSTANCE, SEALING, Profile
from countermark_client._keystore import StoredKey
from countermark_client.cli.common import Environment
from countermark_protocol.answers import parse_directory_page
from countermark_protocol.keys import Algorithm
from countermark_protocol.mandates import Oversight
from countermark_protocol.receipts import ReceiptStage
from support.broker_fixtures import AUTHORITY, HttpBroker, found, write_home
from support.cli import PASSPHRASE, Cli
from support.forwarding import GONE
from support.world import (
    ALWAYS,
    BRUSSELS,
    KAMPALA,
    KENYAN_AUDITOR,
    MOMBASA,
    NAIROBI,
    OVERSEER,
    USUAL,
    World,
    now_ms,
    seed,
)

SCOPES = {OVERSEER: "oversight", KENYAN_AUDITOR: "national"}


class Forwarding(httpx.BaseTransport):
    """Carries requests for the broker's name to the port where it listens; spoils answers where a test wants it."""

    def __init__(self, port):
        self.to = httpx.HTTPTransport()
        self._port = port
        self.spoil = lambda _path, body: body

    def close(self):
        """Commands close what they were given; the connections are this test's."""

    def handle_request(self, request):
        path = request.url.path
        url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        answer = self.to.handle_request(
            httpx.Request(request.method, url, headers=request.headers, content=request.read())
        )
        body = self.spoil(path, answer.read())
        headers = [(k, v) for k, v in answer.headers.items() if k.lower() not in GONE]
        answer.close()
        return httpx.Response(answer.status_code, headers=headers, content=body)


@pytest.fixture(scope="module")
def real(real_database, tmp_path_factory):
    """A broker with traffic, and a folder with the profiles of both auditors."""
    world = World(
        endpoints=(*USUAL, KENYAN_AUDITOR, OVERSEER), oversight=(Oversight(OVERSEER, ALWAYS),), grace_ms=0
    )
    settings = {"database_url": real_database} if real_database else {}
    home = write_home(world, tmp_path_factory.mktemp("mirrored") / "home", **settings)
    asyncio.run(found(world, home))
    broker = HttpBroker(world, home).start()
    api = broker.client()
    api.refresh()
    api.traffic = lambda: traffic(api)
    traffic(api)
    folder = tmp_path_factory.mktemp("auditors")
    transport = Forwarding(broker.port)
    for auditor in SCOPES:
        keys = [
            StoredKey(INSTANCE, Algorithm.ED25519, seed(f"instance {auditor}")),
            StoredKey(SEALING, Algorithm.XWING, seed(f"sealing {auditor}")),
        ]
        Profile.create(
            folder / auditor,
            address=auditor,
            broker_url=f"https://{AUTHORITY}",
            trust=founding_of(api),
            passphrase=PASSPHRASE,
            keys=keys,
        ).close()
    yield api, Cli(folder, Environment(transport=transport)), transport
    transport.to.close()
    api.close()
    broker.stop()


def founding_of(api):
    answer = api.request("GET", "/v1/directory?from=0&limit=1", by=NAIROBI)
    return parse_directory_page(answer.content).statements[0].document


def traffic(api):
    """Messages of all sorts, with receipts."""
    world = api.world
    first = world.message(NAIROBI, [KAMPALA, MOMBASA], recipients_visible=True)
    others = world.message(KAMPALA, [BRUSSELS])
    for sealed in (first, world.message(KAMPALA, [NAIROBI]), others):
        assert api.post_message(sealed).status_code == 201
    assert api.post_receipt(world.receipt(MOMBASA, [first]), MOMBASA).status_code == 201
    accepted = world.receipt(MOMBASA, [first], ReceiptStage.ACCEPTED)
    assert api.post_receipt(accepted, MOMBASA).status_code == 201
    assert api.post_receipt(world.receipt(BRUSSELS, [others]), BRUSSELS).status_code == 201
    act = world.purge(NAIROBI, first)
    assert api.request("POST", "/v1/acts", act, by=NAIROBI).status_code == 201


@pytest.mark.parametrize("auditor", SCOPES)
def test_an_auditor_looks_up_mirrors_and_verifies(real, auditor):
    api, cli, _ = real
    cli.run("audit", "sync", home=auditor, code=1)
    made = cli.json("audit", "look-up", "--scope", SCOPES[auditor], "--ground", "review", home=auditor)
    assert made["until"] > now_ms()
    first = cli.json("audit", "sync", "--processes", 0, home=auditor)
    assert (first["open"], first["verified"]) == ([], first["size"])
    assert first["size"] > made["index"]
    assert cli.json("audit", "verify", "--processes", 0, home=auditor)["found"] == []
    api.traffic()
    second = cli.json("audit", "sync", "--processes", 0, home=auditor)
    assert (second["open"], second["verified"]) == ([], second["size"])
    assert second["new"] >= 7
    # Leaves from elsewhere, if they are the same: here the broker itself stands for the mirror.
    url = "https://mirror.example.org/v1/log"
    other = ("--mirror", cli.folder / f"leaves of {auditor}")
    cli.run("audit", "look-up", "--scope", SCOPES[auditor], "--ground", "review", *other, home=auditor)
    third = cli.json("audit", "sync", "--processes", 0, "--leaves", url, *other, home=auditor)
    assert (third["open"], third["remarks"]) == ([], second["remarks"])
    assert (third["verified"], third["from_mirror"] > 0) == (third["size"], True)
    told = cli.run("audit", "sync", "--processes", 0, "--leaves", url, *other, home=auditor).stdout
    assert f"bundles read from {url}" in told
    again = cli.json("audit", "verify", "--processes", 2, home=auditor)
    assert (again["found"], again["verified"], again["proven"]) == ([], second["size"], second["size"])
    assert cli.json("audit", "findings", home=auditor)["findings"] == []
    with sqlite3.connect(cli.folder / auditor / "mirror" / "mirror.db") as mirror:
        purged = mirror.execute("SELECT count(*) FROM messages WHERE purged_idx IS NOT NULL").fetchone()[0]
        looks = mirror.execute("SELECT count(*) FROM acts WHERE kind = 'look-up'").fetchone()[0]
    mirror.close()
    assert (purged >= 2, looks >= 1) == (True, True)
    # The auditor's own client reads on over its look-ups.
    assert cli.json("verify", home=auditor)["halted"] is None


def test_what_a_broker_withholds_is_a_finding_with_evidence(real, tmp_path):
    api, cli, transport = real
    mirror = tmp_path / "other"
    cli.run(
        "audit", "look-up", "--scope", "oversight", "--ground", "x", "--for", "30m", "--mirror", mirror,
        home=OVERSEER,
    )  # fmt: skip
    before = cli.json("audit", "sync", "--mirror", mirror, "--processes", 0, home=OVERSEER)
    api.traffic()

    def withhold(path, body):
        if not path.endswith("/entries"):
            return body
        return json.dumps(json.loads(body) | {"entries": []}).encode()

    transport.spoil = withhold
    try:
        found = cli.json("audit", "sync", "--mirror", mirror, home=OVERSEER, code=1)
    finally:
        transport.spoil = lambda _path, body: body
    [finding] = found["open"]
    assert (finding["check"], finding["index"]) == ("entry_missing", before["size"])
    listed = cli.run(
        "audit", "findings", "--mirror", mirror, "--evidence", tmp_path / "case", home=OVERSEER, code=1
    )
    assert "entry_missing" in listed.stdout
    assert (tmp_path / "case" / f"finding-{finding['number']}" / "leaf.bin").stat().st_size == 115
    # Once it is shown, the mirror goes on; the finding stays until people have dealt with it.
    done = cli.json("audit", "sync", "--mirror", mirror, "--processes", 0, home=OVERSEER, code=1)
    assert done["verified"] == done["size"]
    settled = ("--settle", finding["number"], "--remark", "network fault, minutes of 3 May")
    assert cli.json("audit", "findings", *settled, "--mirror", mirror, home=OVERSEER)["findings"] == []
    assert cli.json("audit", "sync", "--mirror", mirror, home=OVERSEER)["open"] == []
    kept = cli.json("audit", "findings", "--all", "--mirror", mirror, home=OVERSEER)["findings"]
    assert [f["settled"] for f in kept] == ["network fault, minutes of 3 May"]


def test_a_mandate_that_one_has_not_is_refused(real, tmp_path):
    _, cli, _ = real
    mirror = tmp_path / "none"
    refused = cli.run(
        "audit", "look-up", "--scope", "oversight", "--ground", "x", "--mirror", mirror,
        home=KENYAN_AUDITOR, code=1,
    )  # fmt: skip
    assert "no_mandate" in refused.stderr
    cli.run("audit", "sync", "--mirror", mirror, home=KENYAN_AUDITOR, code=1)
    cli.run("audit", "verify", "--mirror", tmp_path / "nowhere", home=KENYAN_AUDITOR, code=1)
    cli.run("audit", "findings", "--settle", 1, home=KENYAN_AUDITOR, code=2)
    cli.run(
        "audit", "look-up", "--scope", "national", "--ground", "x", "--for", "2d", home=KENYAN_AUDITOR, code=2
    )
