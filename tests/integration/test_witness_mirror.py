"""A witness that mirrors, as its operator runs it: fetched from a log over HTTP, killed, lied to, and read by anybody."""

import functools
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from countermark_client.audit import HttpTiles
from countermark_protocol.checkpoint import parse_checkpoint, verify_checkpoint
from countermark_protocol.cosignature import parse_cosigner_vkey, verify_cosignature
from countermark_protocol.merkle import root_of
from countermark_protocol.tile_reader import VerifiedTiles
from countermark_protocol.tiles import (
    TILE_WIDTH,
    encode_bundle,
    encode_tile,
    parse_bundle_path,
    parse_tile_path,
)
from countermark_protocol.tlog_witness import monitoring_path, origin_hash
from support.tlog_tiles import root_by_tiles
from support.witness_process import WitnessProcess, make_witness, run_cli
from support.witnesses import LOG_KEY, ORIGIN, checkpoint, leaves, raw_checkpoint, request

SIZE = 1300
PREFIX = f"/mirror/{origin_hash(ORIGIN)}/"


def tile_bytes(path):
    """What the tests' log serves."""
    if path.startswith("tile/entries/"):
        bundle = parse_bundle_path(path)
        first = bundle.index * TILE_WIDTH
        return encode_bundle([b"%d" % i for i in range(first, first + bundle.width)])
    tile = parse_tile_path(path)
    span = TILE_WIDTH**tile.level
    first = tile.index * TILE_WIDTH * span
    hashes = leaves(SIZE)[first : first + tile.width * span]
    return encode_tile([root_of(hashes[i : i + span]) for i in range(0, len(hashes), span)])


class Served:
    """The log's tiles over HTTP.

    Attributes:
        url: prefix of the log.
        asked: paths, in order.
        held: paths at which it answers nothing until it is let go.
        reached: set once such a path is asked for.
        changed: path → what it answers instead.
    """

    def __init__(self):
        self.asked, self.changed, self.held = [], {}, set()
        self.reached, self.let_go = threading.Event(), threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, self))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/log"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path):
        self.asked.append(path)
        if path in self.held:
            self.reached.set()
            self.let_go.wait(30)
        return self.changed.get(path) or tile_bytes(path)

    def end(self):
        self.let_go.set()
        self.server.shutdown()
        self.server.server_close()


class Handler(BaseHTTPRequestHandler):
    def __init__(self, served, *arguments):
        self.served = served
        super().__init__(*arguments)

    def do_GET(self):
        body = self.served.answer(self.path.removeprefix("/log/"))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def log():
    served = Served()
    yield served
    served.end()


def done(*words):
    ended = run_cli(*words)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture
def home(tmp_path, log):
    home = make_witness(tmp_path / "witness")
    done("mirror", "init", "--home", home, "--name", "mirror.example/m1")
    done("mirror", "add-log", "--home", home, ORIGIN, log.url)
    return home


def shown(home, *words):
    return json.loads(done("mirror", "show", "--home", home, "--json", *words))


def until(look):
    deadline = time.monotonic() + 60
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def mirrored(witness, size):
    """Wait until the mirror has cosigned a size; its checkpoint."""

    def look():
        answer = witness.get(PREFIX + "checkpoint")
        return answer.status_code == 200 and parse_checkpoint(answer.content).size == size and answer.content

    return until(look)


def test_leaves_are_fetched_verified_cosigned_and_served_to_a_reader_by_the_specification(home, log):
    with WitnessProcess(home) as witness:
        assert witness.get(PREFIX + "checkpoint").status_code == 404
        assert witness.post(request(0, 300)).status_code == 200
        mirrored(witness, 300)
        assert witness.post(request(300, SIZE)).status_code == 200
        note = mirrored(witness, SIZE)
        signed = verify_checkpoint(parse_checkpoint(note), ORIGIN, LOG_KEY)
        own = [parse_cosigner_vkey(v) for v in (home / "mirror.vkeys").read_text().split()]
        lines = {line.key_id: line for line in signed.cosignatures}
        assert {key.key_id for key in own} == set(lines)
        for key in own:
            assert verify_cosignature(checkpoint(SIZE), key, lines[key.key_id]) > 0
        # The witness's own checkpoint bears none of the mirror's.
        assert b"mirror.example" not in witness.get(monitoring_path(ORIGIN)).content

        for accept in ("identity", "gzip"):
            with httpx.Client(base_url=witness.url + PREFIX, headers={"Accept-Encoding": accept}) as http:

                def fetch(path, http=http, accept=accept):
                    answer = http.get(path)
                    assert answer.status_code == 200, path
                    if path == "checkpoint":
                        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
                        assert answer.headers["cache-control"] == "no-cache"
                    else:
                        assert answer.headers["content-type"] == "application/octet-stream"
                        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
                        coded = accept == "gzip" and path.startswith("tile/entries/")
                        assert answer.headers.get("content-encoding") == ("gzip" if coded else None)
                    return answer.content

                size, root, computed, entries = root_by_tiles(fetch)
                assert (size, root) == (SIZE, computed)
                assert entries == [b"%d" % i for i in range(SIZE)]
        with HttpTiles(witness.url + PREFIX) as tiles:
            read = VerifiedTiles(tiles.fetch, signed).leaves()
            assert [leaf for _, leaf in read] == [b"%d" % i for i in range(SIZE)]
        assert witness.get(PREFIX + "tile/0/005.p/21").status_code == 404
        assert witness.get(PREFIX + "tile/0/5").status_code == 400
        assert witness.stop() == 0
    told = shown(home)
    assert [(m["held"], m["size"]) for m in told["logs"]] == [(SIZE, SIZE)]
    assert told["evidence"] == []
    assert "all as they were kept" in done("mirror", "check", "--home", home)


def test_killed_while_it_fetches_it_goes_on(home, log):
    log.held = {"tile/entries/003"}
    with WitnessProcess(home) as witness:
        assert witness.post(request(0, SIZE)).status_code == 200
        assert log.reached.wait(60)
        # Cosigning waits for no mirror.
        assert witness.post(request(SIZE, SIZE)).status_code == 200
        assert witness.get(PREFIX + "checkpoint").status_code == 404
        witness.kill()
    assert shown(home)["logs"][0]["held"] == 3 * TILE_WIDTH
    log.let_go.set()
    log.asked.clear()
    with WitnessProcess(home) as witness:
        mirrored(witness, SIZE)
    assert "tile/entries/002" not in log.asked
    done("mirror", "check", "--home", home)


def test_a_log_that_lies_is_found_out_and_what_it_served_is_kept(home, log, tmp_path):
    spoilt = bytearray(tile_bytes("tile/entries/004"))
    spoilt[-1] ^= 1
    log.changed = {"tile/entries/004": bytes(spoilt)}
    with WitnessProcess(home) as witness:
        assert witness.post(request(0, SIZE)).status_code == 200
        until(lambda: shown(home)["evidence"])
        assert witness.get(PREFIX + "checkpoint").status_code == 404
        assert witness.get(PREFIX + "tile/entries/004").status_code == 404
        assert witness.stop() == 0
    [lie] = shown(home, "--evidence", tmp_path / "lies")["evidence"]
    assert "[tile_mismatch]" in lie["reason"]
    assert lie["checkpoint"].encode() == raw_checkpoint(SIZE)
    assert (tmp_path / "lies" / "1" / "tile-entries-004").read_bytes() == bytes(spoilt)
    assert b"is not under the root that it signed" in (home / "serve.log").read_bytes()
    # A damaged or wrong copy is set aside, never deleted, and all is fetched anew.
    log.changed = {}
    assert (home / "mirror.db.1").name in done("mirror", "empty", "--home", home)
    with WitnessProcess(home) as witness:
        mirrored(witness, SIZE)
    assert (home / "mirror.db.1").exists()
    assert shown(home)["evidence"] == []


@contextmanager
def refusing(code):
    """A command that must end with an error of a code."""
    found = []
    yield found
    [ended] = found
    assert ended.returncode == 1
    assert f"[{code}]" in ended.stderr, ended.stderr


def test_what_is_no_mirror_is_refused(tmp_path, log):
    home = make_witness(tmp_path / "witness")
    for name in ("witness.example/w1", ORIGIN):
        with refusing("mirror_name") as found:
            found.append(run_cli("mirror", "init", "--home", home, "--name", name))
    with refusing("no_mirror_store") as found:
        found.append(run_cli("mirror", "add-log", "--home", home, ORIGIN, log.url))
    done("mirror", "init", "--home", home, "--name", "mirror.example/m1")
    with refusing("home_in_use") as found:
        found.append(run_cli("mirror", "init", "--home", home, "--name", "mirror.example/m2"))
    with refusing("log_not_known") as found:
        found.append(run_cli("mirror", "add-log", "--home", home, "log.example/2", log.url))
    with refusing("bad_log_url") as found:
        found.append(run_cli("mirror", "add-log", "--home", home, ORIGIN, "ftp://log.example"))
    assert "mirror.example/m1" in done("mirror", "vkey", "--home", home)
    assert "no log is mirrored" in done("mirror", "show", "--home", home)
    # Bytes of the store that changed are told by `check`.
    with (home / "mirror.db").open("r+b") as file:
        file.write(b"no database")
    with refusing("no_mirror_store") as found:
        found.append(run_cli("mirror", "check", "--home", home))
