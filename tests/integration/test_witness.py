"""A witness as its operator runs it and as logs and monitors ask it: over HTTP, killed at the worst moments."""

import json
import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from countermark_protocol.checkpoint import parse_checkpoint, verify_checkpoint
from countermark_protocol.cosignature import encode_cosigner_vkey, parse_cosigner_vkey
from countermark_protocol.note import encode_vkey
from countermark_protocol.tlog_policy import check_quorum, threshold_policy
from countermark_protocol.tlog_witness import (
    MAX_REQUEST_BYTES,
    SIZE_TYPE,
    HeldSize,
    add_cosignatures,
    monitoring_path,
    parse_answer,
    verify_answer,
)
from support.witness_process import WitnessProcess, make_witness, run_cli, run_program
from support.witnesses import (
    LOG_KEY,
    ORIGIN,
    checkpoint,
    cosigner,
    note_key,
    raw_checkpoint,
    request,
)


@pytest.fixture
def home(tmp_path):
    return make_witness(tmp_path / "witness")


def keys_of(home):
    return [parse_cosigner_vkey(v) for v in (home / "witness.vkeys").read_text().split()]


def answer_of(response):
    return parse_answer(response.status_code, response.headers.get("content-type", ""), response.content)


def cosigned(home, response, size, branch=""):
    return verify_answer(checkpoint(size, branch), answer_of(response), keys_of(home))


def shown(home, *arguments):
    done = run_cli("show", "--home", home, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- what operators, logs and monitors see -----------------------------------------------------------


def test_a_log_asks_and_its_checkpoint_is_witnessed(home):
    with WitnessProcess(home) as witness:
        before = int(time.time())
        first = cosigned(home, witness.post(request(0, 3)), 3)
        assert all(before <= v.time <= time.time() for v in first)
        assert answer_of(witness.post(request(0, 7))) == HeldSize(3)
        second = cosigned(home, witness.post(request(3, 7)), 7)
        quorum = check_quorum(
            threshold_policy([keys_of(home)], 1), checkpoint(7, lines=[v.line for v in second]), [LOG_KEY]
        )
        assert quorum.current_at == second[0].time
        # A monitor sees what the log was told, and the log's own line.
        seen = witness.get(monitoring_path(ORIGIN))
        assert seen.content == add_cosignatures(raw_checkpoint(7), [v.line for v in second])
        assert verify_checkpoint(parse_checkpoint(seen.content), ORIGIN, LOG_KEY).size == 7
        assert witness.get(monitoring_path("other")).status_code == 404
        assert witness.stop() == 0
    assert shown(home)["logs"][0]["held"]["size"] == 7


def test_refusals_over_http(home):
    with WitnessProcess(home) as witness:
        assert witness.post(request(0, 5)).status_code == 200
        stale = witness.post(request(3, 7))
        assert (stale.status_code, stale.headers["content-type"], stale.content) == (409, SIZE_TYPE, b"5\n")
        for body, status in (
            (b"", 400),
            (b"old 0\n\n" + raw_checkpoint(5).replace(b"\n5\n", b"\n0\n"), 422),
            (request(0, 5, origin="other.example"), 404),
            (b"old 5\n\n" + raw_checkpoint(6).replace(b"\n6\n", b"\n7\n"), 403),
            (request(5, 7, "b"), 422),
            (b"x" * (MAX_REQUEST_BYTES + 1), 413),
        ):
            assert witness.post(body).status_code == status
        assert witness.get("/add-checkpoint").status_code == 405
        assert witness.get("/").status_code == 404
        # A sender that goes away in the middle of its body harms nobody.
        host, port = witness.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as half:
            half.sendall(b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nold 0")
        assert cosigned(home, witness.post(request(5, 8)), 8)


def test_a_fork_is_refused_and_both_sides_are_kept(home, tmp_path):
    with WitnessProcess(home) as witness:
        assert witness.post(request(0, 5)).status_code == 200
        refused = witness.post(request(5, 5, "b"))
        assert (refused.status_code, b"[log_forked]" in refused.content) == (422, True)
        assert witness.post(request(5, 7, "b")).status_code == 422
        folder = tmp_path / "evidence"
        found = shown(home, "--evidence", folder)["evidence"]  # while it serves
        assert [(e["number"], e["finding"]) for e in found] == [(1, "fork"), (2, "unproven")]
        shown(home, "--evidence", folder)
        assert {p.name: p.read_bytes() for p in folder.iterdir()} == {
            "1-fork-held.checkpoint": raw_checkpoint(5),
            "1-fork-offered.checkpoint": raw_checkpoint(5, "b"),
            "2-unproven-held.checkpoint": raw_checkpoint(5),
            "2-unproven-offered.checkpoint": raw_checkpoint(7, "b"),
        }
    text = run_cli("show", "--home", home).stdout
    assert "evidence 1: fork of log.example/1" in text
    assert f"{ORIGIN}: size 5" in text


def test_of_many_requests_at_once_one_history_is_cosigned(home):
    with WitnessProcess(home) as witness:
        assert witness.post(request(0, 3)).status_code == 200
        bodies = [request(3, 5 + n % 4, "b" if n % 2 else "") for n in range(16)]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(witness.post, bodies))
        assert sorted(a.status_code for a in answers).count(200) == 1
        assert {a.status_code for a in answers} == {200, 409}


# --- killed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_around_the_commit(home, moment):
    with WitnessProcess(home) as witness:
        assert witness.post(request(0, 3)).status_code == 200
    with WitnessProcess(home, moment) as witness, pytest.raises(httpx.HTTPError):
        witness.post(request(3, 5))
    with WitnessProcess(home) as witness:
        held = 3 if moment == "before" else 5
        assert answer_of(witness.post(request(0, 5, "b"))) == HeldSize(held)
        if held == 5:  # nobody has seen that cosignature, but it may have been seen
            assert [e["finding"] for e in shown(home)["evidence"]] == ["fork"]
            assert witness.post(request(5, 5, "b")).status_code == 422
            assert answer_of(witness.post(request(3, 4))) == HeldSize(5)
        assert cosigned(home, witness.post(request(held, 7)), 7)


def test_killed_at_any_moment_one_history_is_cosigned(home):
    seen: dict[int, set[bytes]] = {}
    chance, times = random.Random(5), []
    last = 0
    for _ in range(4):
        with WitnessProcess(home) as witness:
            stop = threading.Timer(chance.uniform(0, 0.2), witness.kill)
            grown = {"": last, "b": last}
            for turn in range(1000):
                branch = "b" if turn % 2 else ""
                size = max(grown[branch] + 1, 4)  # the branches part at 4
                try:
                    response = witness.post(request(grown[branch], size, branch))
                except httpx.HTTPError:
                    break
                if response.status_code == 409:
                    grown[branch] = answer_of(response).size
                elif response.status_code == 200:
                    seen.setdefault(size, set()).add(checkpoint(size, branch).root)
                    times += [v.time for v in cosigned(home, response, size, branch)]
                    assert size > last
                    last = grown[branch] = size
                    if stop.ident is None:
                        stop.start()
            stop.join()
    assert len(seen) >= 4
    assert all(len(roots) == 1 for roots in seen.values())
    branches = {b for size, roots in seen.items() for b in ("", "b") if roots == {checkpoint(size, b).root}}
    assert len(branches) == 1
    assert times == sorted(times)


# --- the command line --------------------------------------------------------------------------------


def test_init_makes_a_witness_once(tmp_path):
    home = tmp_path / "w"
    done = run_program("init", "--home", home, "--name", "witness.example/w1", "--json")
    made = json.loads(done.stdout)
    assert made["vkeys"] == [encode_cosigner_vkey(k) for k in keys_of(home)]
    assert run_cli("vkey", "--home", home).stdout.split() == made["vkeys"]
    again = run_cli("init", "--home", home, "--name", "witness.example/w1")
    assert (again.returncode, "[home_in_use]" in again.stderr, "hint:" in again.stderr) == (1, True, True)
    for name in ("witness.keys", "witness.db"):
        assert (home / name).stat().st_mode & 0o077 == 0
    assert run_cli("show", "--home", home).stdout == "no log is known\nno evidence\n"


def test_no_secret_has_a_default(tmp_path):
    done = run_cli("init", "--home", tmp_path / "w", "--name", "w", passphrase="")
    assert (done.returncode, "[no_passphrase]" in done.stderr) == (1, True)
    assert not (tmp_path / "w").exists()
    assert "[unknown_variable]" in run_cli("show", "--home", tmp_path, pasphrase="x").stderr


def test_logs_and_their_keys_are_added(home):
    def refusal(*arguments):
        done = run_cli("add-log", "--home", home, *arguments, "--json")
        assert done.returncode == 1
        return json.loads(done.stdout)["error"]["code"]

    assert refusal(ORIGIN, encode_vkey(note_key())) == "log_known"
    assert refusal("other", encode_vkey(note_key())) == "bad_key_name"
    assert refusal("w", encode_cosigner_vkey(cosigner("w").key)) == "note_key_type"
    assert refusal("witness.example/w1", encode_vkey(note_key("witness.example/w1"))) == "witness_is_log"
    own = keys_of(home)[0].raw
    assert refusal("other", encode_vkey(note_key("other", own))) == "witness_is_log"
    new = encode_vkey(note_key(ORIGIN, b"\x33" * 32))
    assert (
        "[log_not_known]"
        in run_cli("add-log", "--home", home, "o", encode_vkey(note_key("o")), "--from-size", 3).stderr
    )
    done = run_cli("add-log", "--home", home, ORIGIN, new, "--from-size", 3)
    assert (done.returncode, "from size 3 on" in done.stdout) == (0, True)
    assert [k["from_size"] for k in shown(home)["logs"][0]["keys"]] == [0, 3]
    text = run_cli("show", "--home", home).stdout
    assert f"{ORIGIN}: nothing cosigned yet" in text
    assert f"  key from size 3: {new}" in text


def test_a_witness_without_its_store_or_keys_does_not_serve(home):
    def refusal(**variables):
        done = run_cli("serve", "--home", home, "--port", 0, **variables)
        assert done.returncode == 1, done.stderr
        return done.stderr

    assert "[bad_key_file]" in refusal(passphrase="another")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_cli("serve", "--home", home, "--port", port)
        assert (done.returncode, "[cannot_listen]" in done.stderr) == (1, True)
    for path in home.glob("witness.db*"):
        path.unlink()
    assert "[no_store]" in refusal()
    assert not Path(home / "witness.db").exists()
    done = run_cli("show", "--home", home / "nowhere")
    assert (done.returncode, "[no_store]" in done.stderr) == (1, True)
    done = run_cli("vkey", "--home", home / "nowhere")
    assert (done.returncode, "[file]" in done.stderr) == (1, True)
