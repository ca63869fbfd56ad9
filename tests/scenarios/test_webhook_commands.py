"""`countermark webhook` against a real broker, and a receiver that really listens."""

import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from countermark_client import Client, Profile, webhooks
from countermark_client.cli.common import Environment
from countermark_client.testing import PASSPHRASE
from countermark_protocol.boxes import Box
from countermark_protocol.errors import PolicyError, SignatureError
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.keys import Algorithm
from countermark_protocol.webhooks import Look, encode_webhook_key, sign_look
from support.broker_fixtures import AUTHORITY, HttpBroker
from support.cli import Cli
from support.world import KAMPALA, MOMBASA, NAIROBI, seed

EXAMPLE = Path(__file__).parents[2] / "clients" / "python" / "examples" / "receive_webhooks.py"


class To(httpx.HTTPTransport):
    """The network in which the broker's public name leads to the port that it got."""

    def __init__(self, port):
        super().__init__()
        self._port = port

    def handle_request(self, request):
        assert request.headers["host"] == AUTHORITY
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        return super().handle_request(request)


class Receiver:
    """Answers every call with `status`, and keeps them."""

    def __init__(self):
        self.calls, self.status, self.came = [], 204, threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                with receiver.came:
                    receiver.calls.append((list(self.headers.items()), body))
                    receiver.came.notify_all()
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def wait_for(self, count):
        with self.came:
            assert self.came.wait_for(lambda: len(self.calls) >= count, 60)
        return self.calls

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver():
    started = Receiver()
    yield started
    started.stop()


def profile(world, folder, address):
    """The profile of an endpoint of the usual world."""
    return Profile.create(
        folder,
        address=address,
        broker_url=f"https://{AUTHORITY}",
        trust=world.founding(),
        passphrase=PASSPHRASE,
        keys=[
            StoredKey("instance", Algorithm.ED25519, seed(f"instance {address}")),
            StoredKey("sealing", Algorithm.XWING, seed(f"sealing {address}")),
        ],
    )


@pytest.fixture
def open_broker(world, home):
    """A broker that may call loopback by plain HTTP."""
    path = home / "broker.toml"
    lines = [
        "webhook_allow_http = true",
        'webhook_allowed_networks = ["127.0.0.0/8"]',
        "webhook_pause_ms = 0",
    ]
    path.write_text(path.read_text() + "\n".join(lines) + "\n")
    started = HttpBroker(world, home).start()
    yield started
    started.stop()


@pytest.fixture
def cli(world, open_broker, tmp_path):
    profile(world, tmp_path / "cli" / "home", KAMPALA).close()
    return Cli(tmp_path / "cli", Environment(transport=To(open_broker.port)))


def test_set_show_test_remove(world, open_broker, cli, receiver):
    shown = cli.json("webhook", "set", receiver.url, "--box", "routine", "--box", "urgent")
    assert [w["url"] for w in shown["webhooks"]] == [receiver.url]
    keys = shown["keys"]
    looks = [webhooks.verify(*call, keys, endpoint=KAMPALA) for call in receiver.wait_for(2)]
    assert [look.box for look in looks] == [Box.URGENT, Box.ROUTINE]

    api = open_broker.client()
    assert api.post_message(world.message(NAIROBI, [KAMPALA])).status_code == 201
    api.close()
    look = webhooks.verify(*receiver.wait_for(3)[2], keys, endpoint=KAMPALA)
    assert (look.endpoint, look.box) == (KAMPALA, Box.ROUTINE)
    with pytest.raises(SignatureError, match="webhook_other_endpoint"):
        webhooks.verify(*receiver.calls[2], keys, endpoint=MOMBASA)

    cli.run("webhook", "test")
    assert len(receiver.wait_for(5)) >= 5
    assert "works, last told" in cli.run("webhook", "show").stdout
    receiver.status = 500
    failed = cli.run("webhook", "test", receiver.url, code=1)
    assert "webhook_not_answered" in failed.stderr
    assert "status_500" in failed.stderr
    assert "FAILING since" in cli.run("webhook", "show").stdout
    assert "unknown_webhook" in cli.run("webhook", "remove", "https://x.example/", code=1).stderr
    assert cli.json("webhook", "remove", receiver.url)["webhooks"] == []
    assert "no webhooks" in cli.run("webhook", "show").stdout
    assert cli.json("webhook", "remove", "--all")["webhooks"] == []
    cli.run("webhook", "remove", code=2)
    cli.run("webhook", "test", code=2)


def test_one_that_is_switched_off_is_shown_so(cli, receiver):
    receiver.status = 410
    cli.run("webhook", "set", receiver.url)
    receiver.wait_for(1)
    while cli.json("webhook", "show")["webhooks"][0]["on"]:
        pass
    shown = cli.run("webhook", "show")
    assert "OFF since" in shown.stdout
    assert "switched off" in shown.stderr
    receiver.status = 200
    cli.run("webhook", "test")
    assert cli.json("webhook", "show")["webhooks"][0]["on"] is True


def test_refused_by_a_broker_that_allows_no_such_thing(world, http_broker, tmp_path):
    """With a signed account, which the client verifies before it believes the refusal."""
    one = profile(world, tmp_path / "profile", KAMPALA)
    with Client(one, transport=To(http_broker.port)) as client:
        client.sync()
        assert client.webhook_keys
        for url, code in (
            ("http://hooks.example.org/", "webhook_not_https"),
            ("https://10.0.0.1/", "webhook_address_refused"),
        ):
            with pytest.raises(PolicyError) as caught:
                client.set_webhook(url)
            assert caught.value.code == code
        assert client.webhooks() == ()
        [kept] = client.set_webhook("https://hooks.invalid/a?b=c&d=%20")
        assert kept.boxes == (Box.URGENT, Box.ROUTINE, Box.NOTICES)
        assert client.remove_webhook(kept.url) == ()
    one.close()


def test_the_example_of_a_receiver(world):
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as probe:
        port = probe.server_address[1]
    key = encode_webhook_key(world.node_key.public_key)
    command = [sys.executable, str(EXAMPLE), KAMPALA, str(port), key]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            look = Look("look_1", KAMPALA, Box.URGENT, 0)
            headers, body = sign_look(look, world.node_key, int(time.time()))
            client = httpx.Client(transport=httpx.HTTPTransport(retries=10), trust_env=False)
            url = f"http://127.0.0.1:{port}/"
            # One after the other: it answers first, and then says what it makes of it.
            for sent, status, said in (
                (body, 204, "look into urgent"),
                (body + b" ", 400, "webhook_not_signed"),
            ):
                assert client.post(url, content=sent, headers=headers).status_code == status
                assert said in process.stdout.readline()
            client.close()
        finally:
            process.kill()
