"""What answers tell strangers: headers on every one, and one answer, after one amount of work, where two would tell."""

import socket
import time
from collections import Counter

import pytest
from sqlalchemy import event

from countermark_protocol.answer_headers import SECURITY_HEADERS
from countermark_protocol.keys import Algorithm, PublicKey
from countermark_protocol.signers import load_signer
from support.world import KAMPALA, LYON, NAIROBI, signer

BY_NAME = {name.decode(): value.decode() for name, value in SECURITY_HEADERS}


def protected(headers):
    for name, value in BY_NAME.items():
        assert headers[name] == value, name
    assert "server" not in headers
    assert "x-powered-by" not in headers
    return headers["cache-control"]


def test_headers_on_every_kind_of_answer(world, api):
    api.refresh()
    message = world.message(NAIROBI, [KAMPALA])
    kept = {
        ("POST", "/v1/messages", message.data, None): "no-store",
        ("GET", f"/v1/boxes/{KAMPALA}/routine", None, KAMPALA): "no-store",
        ("GET", "/v1/directory", None, KAMPALA): "no-store",
        ("GET", "/v1/log/checkpoint", None, None): "no-cache",
        ("GET", "/v1/log/tile/0/000.p/1", None, None): "public, max-age=31536000, immutable",
        ("GET", "/v1/log/leaves", None, None): "no-store",
        ("GET", "/v1/health", None, None): "no-store",
        ("GET", "/v1/ready", None, None): "no-store",
        ("GET", "/metrics", None, None): "no-store",
        ("GET", "/v1/openapi.json", None, None): "no-store",
        ("GET", "/v1/nowhere", None, None): "no-store",
        ("PUT", "/v1/messages", b"", None): "no-store",
        ("POST", "/v1/messages", b"junk", None): "no-store",
        ("GET", f"/v1/boxes/{KAMPALA}/routine", None, None): "no-store",
        ("GET", f"/v1/boxes/{KAMPALA}/routine", None, LYON): "no-store",
        ("HEAD", "/v1/health", None, None): "no-store",
        ("OPTIONS", "/v1/health", None, None): "no-store",
    }
    for (method, target, body, by), caches in kept.items():
        assert protected(api.request(method, target, body, by=by).headers) == caches, target


def test_headers_where_the_application_is_not_reached(http_broker):
    for raw in (b"junk\r\n\r\n", b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", http_broker.port)) as one:
            one.sendall(raw)
            answer = b""
            while part := one.recv(65_536):
                answer += part
        head = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        assert protected(dict(line.split(": ", 1) for line in head)) == "no-store"


def test_a_defect_tells_nothing(api, http_broker, monkeypatch):
    def broken(_self):
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr(type(http_broker.broker.node.health), "check", broken)
    answer = api.request("GET", "/v1/ready")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert b"secret" not in answer.content
    protected(answer.headers)


def test_no_browser_of_another_site_is_let_in(api):
    answer = api.http.get("/v1/log/checkpoint", headers={"Origin": "https://elsewhere.example"})
    assert not [name for name in answer.headers if name.startswith("access-control-")]


# --- one answer ---------------------------------------------------------------------------------------


@pytest.fixture
def work(http_broker, monkeypatch):
    """What the node does: how many queries, how many signatures it verifies and makes."""
    done = Counter()
    # What a node does by itself would be counted with it.
    tasks = http_broker.broker._tasks
    for task in tasks:
        http_broker._loop.call_soon_threadsafe(task.cancel)
    while not all(task.done() for task in tasks):
        time.sleep(0.005)
    engine = http_broker.broker.node.database._readers

    def queried(*_arguments):
        done["queries"] += 1

    event.listen(engine, "before_cursor_execute", queried)
    verify = PublicKey.verify

    def verified(self, message, signature):
        done["verified"] += 1
        return verify(self, message, signature)

    monkeypatch.setattr(PublicKey, "verify", verified)
    yield done
    event.remove(engine, "before_cursor_execute", queried)


def measured(work, call):
    """The answer, and the least that it took: a thread that was at work before may add to one of three."""
    costs = []
    for _ in range(3):
        work.clear()
        answer = call()
        costs.append(dict(work))
    return answer, {name: min(cost.get(name, 0) for cost in costs) for name in ("queries", "verified")}


def test_a_message_of_others_is_no_message(world, api, work):
    api.refresh()
    message = world.message(NAIROBI, [KAMPALA])
    assert api.post_message(message).status_code == 201
    for what in ("stanza", "content", "purge"):
        seen = []
        for name in (message.payload_hash.hex(), "77" * 32):
            target = f"/v1/messages/{name}/{what}"
            answer, cost = measured(work, lambda target=target: api.request("GET", target, by=LYON))
            problem = api.problem(answer, "not_held")
            seen.append((problem.status, problem.detail, problem.hint, problem.facts, cost))
        assert seen[0] == seen[1]
        assert seen[0][-1]["queries"] > 0
    seen = []
    for name in (message.payload_hash.hex(), "77" * 32):
        target = f"/v1/statements/{name}"
        answer, cost = measured(work, lambda target=target: api.request("GET", target, by=LYON))
        problem = api.problem(answer, "not_held")
        seen.append((problem.status, problem.detail, problem.hint, problem.facts, cost))
    assert seen[0] == seen[1]


def test_a_box_of_others_is_like_one_of_nobody(api, work):
    seen = []
    for address in (KAMPALA, "zz.police.nowhere"):
        target = f"/v1/boxes/{address}/routine"
        answer, cost = measured(work, lambda target=target: api.request("GET", target, by=LYON))
        problem = api.problem(answer, "not_own_box")
        seen.append((problem.status, problem.detail, problem.facts, cost))
    assert seen[0] == seen[1]


def test_a_key_that_is_known_is_like_one_that_is_not(world, api, work):
    """Whoever has a public key cannot ask whether it stands in the directory."""
    target = f"/v1/boxes/{KAMPALA}/routine"
    instance = world.agencies[KAMPALA].instance
    stranger = signer("stranger")

    class As:
        """Signs with one key, and says that it is another."""

        public_key = instance.public_key

        def sign(self, message):
            return stranger.sign(message)

    seen = []
    for key, created in ((stranger, None), (As(), None), (stranger, 1), (As(), 1)):
        options = {} if created is None else {"created": created}
        signed = api.sign("GET", target, None, key, **options)
        headers = {"Host": api.authority, **signed.headers}
        answer, cost = measured(work, lambda headers=headers: api.http.get(target, headers=headers))
        problem = api.problem(answer)
        detail = problem.detail.replace(key.public_key.key_id.hex(), "KEY")
        detail = detail if created is None else "AGE"
        seen.append((problem.status, problem.code, detail, problem.hint, problem.facts, cost))
    assert seen[0] == seen[1]
    assert seen[0][1] == "unknown_key"
    assert seen[0][-1]["verified"] == 1
    assert seen[2] == seen[3]
    assert seen[2][1] == "request_too_old"


def test_the_key_that_stands_in_for_unknown_ones_opens_nothing(api):
    """Its private half is public (RFC 8032 §7.1, test 2): whoever signs with it is a stranger all the same."""
    private = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    nobody = load_signer(Algorithm.ED25519, private)
    assert nobody.public_key.raw.hex().startswith("3d4017c3e843895a")
    answer = api.request("GET", f"/v1/boxes/{KAMPALA}/routine", by=nobody)
    api.problem(answer, "unknown_key")
