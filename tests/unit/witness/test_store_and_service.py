"""What a witness remembers, and what it lets out: nothing that is not stored."""

import sqlite3
import threading

import httpx
import pytest

from countermark_protocol.answer_headers import SECURITY_HEADERS
from countermark_protocol.checkpoint import parse_checkpoint, verify_checkpoint
from countermark_protocol.cosignature import verify_cosignature
from countermark_protocol.errors import ConflictError, MalformedError
from countermark_protocol.note import NoteSignature
from countermark_protocol.tlog_witness import (
    SIZE_TYPE,
    add_cosignatures,
    encode_add_checkpoint,
    origin_hash,
    parse_answer,
    verify_answer,
)
from countermark_witness.app import build_app
from countermark_witness.errors import WitnessError
from countermark_witness.judge import Evidence, Finding
from countermark_witness.service import Witness, now_s
from countermark_witness.store import MAX_EVIDENCE, Store
from support.witnesses import (
    KINDS,
    LOG_KEY,
    ORIGIN,
    TIME,
    checkpoint,
    cosigner,
    note_key,
    proof,
    raw_checkpoint,
    request,
)

COSIGNERS = tuple(cosigner("witness.example/w1", kind) for kind in KINDS)
KEYS = [c.key for c in COSIGNERS]


class Clock:
    now = TIME

    def __call__(self):
        return self.now


@pytest.fixture
def path(tmp_path):
    Store.create(tmp_path / "witness.db")
    return tmp_path / "witness.db"


@pytest.fixture
def store(path):
    found = Store(path)
    with found.transaction() as transaction:
        transaction.add_log(note_key())
    yield found
    found.close()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def witness(store, clock):
    return Witness(store, COSIGNERS, clock)


def times(witness, body, size, branch=""):
    answer = witness.add_checkpoint(body)
    assert answer.status == 200, answer.body
    verified = verify_answer(checkpoint(size, branch), parse_answer(200, "", answer.body), KEYS)
    assert [v.key for v in verified] == KEYS
    return [v.time for v in verified]


def evidence(store):
    with store.transaction() as transaction:
        return [(e.origin, e.evidence) for e in transaction.evidence()]


# --- answers -----------------------------------------------------------------------------------------


def test_a_log_that_grows(witness, clock):
    assert times(witness, request(0, 3), 3) == [TIME] * 2
    clock.now += 5
    assert times(witness, request(3, 7), 7) == [TIME + 5] * 2
    clock.now -= 3
    assert times(witness, request(7, 7), 7) == [TIME + 5] * 2
    clock.now += 63
    assert times(witness, request(7, 7), 7) == [TIME + 65] * 2


def test_within_a_second_a_repeated_request_gets_the_same_bytes(witness, clock):
    first = witness.add_checkpoint(request(0, 5))
    junk = add_cosignatures(raw_checkpoint(5), [NoteSignature("x", b"\0\0\0\0", b"y")])
    assert witness.add_checkpoint(encode_add_checkpoint(5, [], junk)) == first
    clock.now += 1
    assert witness.add_checkpoint(request(5, 5)).body != first.body


def test_refusals_tell_status_reason_and_size(witness):
    assert times(witness, request(0, 5), 5)
    stale = witness.add_checkpoint(request(3, 7))
    assert (stale.status, stale.body, stale.media_type) == (409, b"5\n", SIZE_TYPE)
    for body, status, code in (
        (b"x", 400, b"[witness_request]"),
        (b"old 0\n\n" + raw_checkpoint(5).replace(b"\n5\n", b"\n0\n"), 422, b"[empty_root]"),
        (request(0, 5, origin="other.example"), 404, b"[unknown_log]"),
        (b"old 5\n\n" + raw_checkpoint(6).replace(b"\n6\n", b"\n7\n"), 403, b"[bad_signature]"),
        (request(5, 7, "b"), 422, b"[consistency_old_root]"),
    ):
        answer = witness.add_checkpoint(body)
        assert (answer.status, code in answer.body) == (status, True), answer


def test_logs_are_apart_but_times_are_not(witness, store, clock):
    with store.transaction() as transaction:
        transaction.add_log(note_key("other.example"))
    clock.now += 4
    assert times(witness, request(0, 5), 5) == [TIME + 4] * 2
    clock.now -= 4
    answer = witness.add_checkpoint(request(0, 2, origin="other.example"))
    raw = raw_checkpoint(2, origin="other.example")
    other = verify_checkpoint(parse_checkpoint(raw), "other.example", LOG_KEY)
    lines = parse_answer(answer.status, "", answer.body).signatures
    assert [verify_cosignature(other, key, line) for key, line in zip(KEYS, lines, strict=True)] == [
        TIME + 4
    ] * 2
    clock.now -= 60
    assert witness.add_checkpoint(request(5, 7)).status == 503


def test_monitors_read_the_lines_of_log_and_witness_and_no_others(witness):
    assert witness.newest(origin_hash(ORIGIN)).status == 404
    junk = add_cosignatures(raw_checkpoint(5), [cosigner("stranger").cosign(checkpoint(5), TIME)])
    answer = witness.add_checkpoint(encode_add_checkpoint(0, [], junk))
    assert witness.newest(origin_hash(ORIGIN)).body == raw_checkpoint(5) + answer.body
    assert witness.newest(origin_hash("other")).status == 404
    assert witness.newest("x").status == 404


def test_the_systems_clock():
    assert abs(now_s() - TIME) > 1_000_000


# --- durable before it is answered -------------------------------------------------------------------


def test_nothing_is_answered_before_it_can_be_read_by_others(store, path, clock):
    seen = []

    def look():
        other = sqlite3.connect(path)
        seen.append(other.execute("SELECT size, time FROM log").fetchone())
        other.close()

    Witness(store, COSIGNERS, clock, durable=look).add_checkpoint(request(0, 5))
    assert seen == [(5, TIME)]


def test_commits_reach_the_disk(store, path):
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert path.stat().st_mode & 0o077 == 0


def test_a_store_that_fails_cosigns_nothing(store, clock, monkeypatch):
    witness = Witness(store, COSIGNERS, clock)
    assert times(witness, request(0, 3), 3)
    store._db.execute("PRAGMA query_only = ON")
    answer = witness.add_checkpoint(request(3, 5))
    assert (answer.status, "—".encode() in answer.body) == (503, False)
    store._db.execute("PRAGMA query_only = OFF")
    assert times(witness, request(3, 7), 7)
    store.close()
    assert witness.add_checkpoint(request(7, 8)).status == 503
    assert witness.newest(origin_hash(ORIGIN)).status == 503


def test_an_error_inside_a_transaction_undoes_it(store):
    def fail():
        with store.transaction() as transaction:
            transaction.add_log(note_key("other.example"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with store.transaction() as transaction:
        assert [log.origin for log in transaction.logs()] == [ORIGIN]


def test_a_transaction_that_is_over_needs_no_undoing(store):
    def fail():
        with store.transaction() as transaction:
            transaction._db.execute("COMMIT")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with store.transaction() as transaction:
        assert [log.origin for log in transaction.logs()] == [ORIGIN]


def test_of_two_requests_for_one_old_size_one_wins(store, path, clock):
    assert times(Witness(store, COSIGNERS, clock), request(0, 3), 3)
    start = threading.Barrier(8)
    answers = []

    def ask(number):
        mine = Store(path) if number % 2 else store  # threads of one process, and what stands for another
        start.wait()
        answers.append(Witness(mine, COSIGNERS, clock).add_checkpoint(request(3, 5 + number)))
        if mine is not store:
            mine.close()

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(a.status for a in answers) == [200] + [409] * 7
    with store.transaction() as transaction:
        size = transaction.state(ORIGIN).log.held.size
    assert {a.body for a in answers if a.status == 409} == {b"%d\n" % size}


# --- evidence ----------------------------------------------------------------------------------------


def test_a_fork_is_kept_once(witness, store):
    assert times(witness, request(0, 5), 5)
    fork = Evidence(Finding.FORK, raw_checkpoint(5), raw_checkpoint(5, "b"))
    for old in (5, 3, 5):
        assert witness.add_checkpoint(request(old, 5, "b")).status == (422 if old == 5 else 409)
    assert evidence(store) == [(ORIGIN, fork)]
    assert times(witness, request(5, 7), 7)  # the branch that it holds goes on
    assert evidence(store) == [(ORIGIN, fork)]


def test_what_was_unproven_is_settled_by_its_proof(witness, store):
    assert times(witness, request(0, 3), 3)
    for bad in ([], [bytes(32)]):
        assert witness.add_checkpoint(encode_add_checkpoint(3, bad, raw_checkpoint(5))).status == 422
        assert witness.add_checkpoint(encode_add_checkpoint(3, bad, raw_checkpoint(6))).status == 422
    unproven = [Evidence(Finding.UNPROVEN, raw_checkpoint(3), raw_checkpoint(size)) for size in (5, 6)]
    assert evidence(store) == [(ORIGIN, e) for e in unproven]
    assert times(witness, request(3, 5), 5)
    assert evidence(store) == [(ORIGIN, unproven[1])]


def test_evidence_is_bounded(store):
    with store.transaction() as transaction:
        for number in range(MAX_EVIDENCE + 2):
            for finding in Finding:
                new = transaction.keep(ORIGIN, Evidence(finding, b"held", b"%d" % number), TIME)
                assert new == (finding is Finding.UNPROVEN or number < MAX_EVIDENCE)
        kept = transaction.evidence()
    offered = {f: [int(e.evidence.offered) for e in kept if e.evidence.finding is f] for f in Finding}
    assert offered[Finding.FORK] == list(range(MAX_EVIDENCE))
    assert offered[Finding.UNPROVEN] == list(range(2, MAX_EVIDENCE + 2))


# --- logs and their keys -----------------------------------------------------------------------------


def code_of(error, call, *arguments):
    with pytest.raises(error) as caught:
        call(*arguments)
    return caught.value.code


def test_a_log_is_added_once(store):
    with store.transaction() as transaction:
        assert code_of(ConflictError, transaction.add_log, note_key()) == "log_known"
        assert code_of(MalformedError, transaction.add_log, note_key("o" * 256)) == "cosigned_name_size"
        transaction.add_log(note_key("o" * 255))


def test_a_new_key_signs_beyond_what_is_cosigned(witness, store):
    assert times(witness, request(0, 5), 5)
    new = note_key(ORIGIN, b"\x33" * 32)
    with store.transaction() as transaction:
        assert code_of(ConflictError, transaction.add_key, note_key("other"), 9) == "log_not_known"
        assert code_of(ConflictError, transaction.add_key, new, 5) == "key_size_taken"
        transaction.add_key(new, 7)
        assert code_of(ConflictError, transaction.add_key, note_key(), 7) == "key_size_taken"
        keys = transaction.state(ORIGIN).log.keys
    assert [(k.from_size, k.key) for k in keys] == [(0, note_key()), (7, new)]
    assert times(witness, request(5, 6), 6)
    assert witness.add_checkpoint(request(6, 7)).status == 403


# --- the file ----------------------------------------------------------------------------------------


def test_a_store_is_made_once_and_never_by_opening(path, tmp_path):
    assert code_of(WitnessError, Store.create, path) == "home_in_use"
    assert code_of(WitnessError, Store, tmp_path / "none.db") == "no_store"
    assert not (tmp_path / "none.db").exists()


def test_other_files_are_no_store(tmp_path):
    (tmp_path / "text").write_text("x" * 5000)
    (tmp_path / "empty").touch()
    newer = sqlite3.connect(tmp_path / "newer")
    newer.execute("PRAGMA user_version = 2")
    newer.close()
    for name in ("text", "empty", "newer"):
        assert code_of(WitnessError, Store, tmp_path / name) == "no_store"


def test_a_reopened_store_holds_what_it_held(witness, store, path, clock):
    assert times(witness, request(0, 5), 5)
    store.close()
    again = Store(path)
    assert times(
        Witness(again, COSIGNERS, clock), encode_add_checkpoint(5, proof(5, 8), raw_checkpoint(8)), 8
    )
    again.close()


async def test_every_answer_bears_security_headers(witness):
    transport = httpx.ASGITransport(app=build_app(witness))
    async with httpx.AsyncClient(transport=transport, base_url="http://w.example") as client:
        answers = [
            await client.post("/add-checkpoint", content=request(0, 5)),
            await client.post("/add-checkpoint", content=b"junk"),
            await client.get(f"/{origin_hash(ORIGIN)}/checkpoint"),
            await client.get("/nowhere"),
            await client.put("/add-checkpoint"),
        ]
    assert [a.status_code for a in answers] == [200, 400, 200, 404, 405]
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        for name, value in SECURITY_HEADERS:
            assert answer.headers[name.decode()] == value.decode()
