"""The logs of a whole run, in both forms, hold no key, passphrase, seed, stanza, content, plaintext or query string."""

import json

import pytest

from countermark_protocol.encoding import encode_base64url
from countermark_protocol.receipts import ReceiptStage
from support.broker_fixtures import PASSPHRASE
from support.broker_process import BrokerProcess, run_cli
from support.database import sql
from support.world import BRUSSELS, KAMPALA, LYON, NAIROBI, seed

WRONG = "not the passphrase 4711"


def forms(secret):
    """How bytes might show up in a line."""
    return {
        secret.hex(),
        encode_base64url(secret),
        repr(secret)[2:-1],
        secret.hex(" "),
        encode_base64url(secret)[:22],
    }


def use_everything(world, client):
    """Send, repeat, receive, be refused, be malformed; what was sent."""
    first, second = world.message(NAIROBI, [KAMPALA, LYON]), world.message(NAIROBI, [BRUSSELS])
    assert client.post_message(first).status_code == 201
    assert client.post_message(first).status_code == 200
    assert client.post_message(second).status_code == 201
    client.refresh()
    client.box(KAMPALA, first.box)
    assert (
        client.post_receipt(world.receipt(KAMPALA, [first], ReceiptStage.DELIVERED), KAMPALA).status_code
        == 201
    )
    client.box(LYON, first.box, first=1, wait=1)
    forged = bytearray(world.message(NAIROBI, [KAMPALA]).data)
    forged[-200] ^= 1
    for body in (b"", b"\x00" * 300, bytes(forged), first.document, first.content):
        assert client.post_message(body).status_code >= 400
    assert client.post_statement(world.receipt(KAMPALA, [second], ReceiptStage.DELIVERED)).status_code >= 400
    for path in (
        "/v1/nothing?token=tell-tale-1",
        "/v1/log/leaves?from=tell-tale-2",
        "/v1/boxes/none?x=tell-tale-3",
    ):
        assert client.http.get(path).status_code >= 400
    answer = client.http.get(
        "/v1/health", headers={"authorization": "Bearer tell-tale-4", "x-request-id": "tell-tale-5"}
    )
    assert answer.headers["x-request-id"] != "tell-tale-5"
    return first, second


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_logs_of_a_whole_run(world, process_home, log_format):
    process = BrokerProcess(world, process_home, log_format=log_format).wait_until_listening()
    client = process.client()
    sent = use_everything(world, client)
    client.close()
    assert process.stop() == 0
    said = (process_home / "serve.log").read_text()
    # Each opens the key file anew, which is slow on purpose: once will do.
    commands = (["doctor"], ["rebuild", "--check"], ["fsck"], ["migrate"]) if log_format == "json" else ()
    for command in commands:
        done = run_cli(*command, "--home", process_home)
        assert done.returncode == 0, done.stderr
        said += done.stdout + done.stderr
    # Wrong ones, and a file that holds one, must not be repeated either.
    wrong = run_cli("doctor", "--home", process_home, passphrase=WRONG)
    assert wrong.returncode == 1
    said += wrong.stdout + wrong.stderr

    lines = (process_home / "serve.log").read_text().splitlines()
    assert any("/v1/messages" in line for line in lines)
    if log_format == "json":
        parsed = [json.loads(line) for line in lines if line.startswith("{")]
        posts = [line for line in parsed if line.get("path", "").startswith("/v1/messages")]
        assert {line["status"] for line in posts} >= {200, 201, 400}
        assert all(len(line["request"]) == 16 and len(line["node"]) == 16 for line in posts)
        assert len({line["request"] for line in posts}) == len(posts)

    secrets = {PASSPHRASE, WRONG, "Bearer", *(f"tell-tale-{n}" for n in range(1, 6))}
    for name in ("log", "node", "broker administrator", *(f"governor {n}" for n in range(3))):
        secrets |= forms(seed(name))
    for agency in world.agencies.values():
        secrets |= forms(seed(f"instance {agency.address}")) | forms(seed(f"administrator {agency.address}"))
        secrets |= forms(seed(f"sealing {agency.address}"))
    for message in sent:
        for blob in (*message.stanzas, message.content, message.document):
            secrets |= forms(blob[:40]) | forms(blob[-40:])
        secrets |= forms(message.secrets.content_key) | forms(message.secrets.opener)
    for (secret,) in sql(process_home, "SELECT secret FROM entries"):
        secrets |= forms(bytes(secret))
    found = {secret for secret in secrets if secret in said}
    assert found == set()
    assert "?" not in "".join(line for line in lines if "/v1/" in line)
