"""Whether a witness cosigns: every check, and what is kept of it."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from countermark_protocol.checkpoint import parse_checkpoint
from countermark_protocol.errors import InconsistentLogError
from countermark_protocol.note import NoteSignature, UnverifiedNote, encode_note
from countermark_protocol.tlog_witness import add_cosignatures, encode_add_checkpoint, parse_add_checkpoint
from countermark_witness.judge import (
    CLOCK_TOLERANCE_S,
    Cosign,
    Evidence,
    Finding,
    Held,
    LogKey,
    LogState,
    Refuse,
    State,
    as_signed,
    judge,
)
from support.witnesses import (
    LOG,
    ORIGIN,
    TIME,
    checkpoint,
    cosigner,
    note_key,
    proof,
    raw_checkpoint,
    request,
)

NEXT = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
KEY = LogKey(0, note_key())
NEXT_KEY = LogKey(7, note_key(ORIGIN, NEXT.public_key().public_bytes_raw()))


def held(size, branch="", time=TIME):
    return Held(size, checkpoint(size, branch).root, raw_checkpoint(size, branch), time)


def state(size=None, *, keys=(KEY,), latest=TIME):
    return State(LogState(ORIGIN, keys, None if size is None else held(size)), latest)


def decide(before, body, now=TIME + 60):
    return judge(before, parse_add_checkpoint(body), now)


def refused(verdict, status, code):
    assert isinstance(verdict, Refuse)
    assert (verdict.status, verdict.error.code) == (status, code)
    return verdict


# --- cosigned ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 5])
def test_the_first_checkpoint_of_a_log(size):
    verdict = decide(state(latest=0), request(0, size))
    assert isinstance(verdict, Cosign)
    assert verdict.checkpoint == checkpoint(size)
    assert verdict.held == held(size, time=TIME + 60)


@pytest.mark.parametrize(("old", "new"), [(0, 5), (1, 5), (3, 7), (4, 8), (5, 5), (7, 8)])
def test_a_checkpoint_that_continues_the_one_held(old, new):
    verdict = decide(state(old), request(old, new))
    assert isinstance(verdict, Cosign)
    assert verdict.held == held(new, time=TIME + 60)


def test_strangers_lines_are_not_kept():
    lines = [cosigner("stranger").cosign(checkpoint(5), TIME), NoteSignature("x", b"\0\0\0\0", b"y")]
    body = encode_add_checkpoint(3, proof(3, 5), add_cosignatures(raw_checkpoint(5), lines))
    assert decide(state(3), body).held.checkpoint == raw_checkpoint(5)


def test_a_line_of_the_log_is_kept_once():
    note = parse_checkpoint(raw_checkpoint(5)).note
    twice = encode_note(UnverifiedNote(note.text, note.signatures * 2))
    verdict = decide(state(3), encode_add_checkpoint(3, proof(3, 5), twice))
    assert as_signed(verdict.checkpoint) == verdict.held.checkpoint == raw_checkpoint(5)


# --- times -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "stated"), [(TIME + 1, TIME + 1), (TIME, TIME), (TIME - CLOCK_TOLERANCE_S, TIME)]
)
def test_no_time_is_before_one_stated(now, stated):
    assert decide(state(3), request(3, 5), now).held.time == stated


def test_a_clock_far_behind_states_nothing():
    refused(decide(state(3), request(3, 5), TIME - CLOCK_TOLERANCE_S - 1), 503, "clock_went_back")


def test_the_latest_time_is_that_of_all_logs():
    assert decide(state(3, latest=TIME + 70), request(3, 5), TIME + 66).held.time == TIME + 70


# --- refused -----------------------------------------------------------------------------------------


def test_an_unknown_log():
    refused(decide(State(None, TIME), request(0, 5)), 404, "unknown_log")


def test_a_checkpoint_that_the_log_did_not_sign():
    other = encode_add_checkpoint(0, [], raw_checkpoint(5, log=NEXT))
    refused(decide(state(), other), 403, "signature_missing")
    note = parse_checkpoint(raw_checkpoint(5)).note
    false = NoteSignature(ORIGIN, note.signatures[0].key_id, bytes(64))
    for lines in ((false,), (*note.signatures, false)):
        body = encode_add_checkpoint(0, [], encode_note(UnverifiedNote(note.text, lines)))
        refused(decide(state(), body), 403, "bad_signature")


@pytest.mark.parametrize(
    ("size", "old", "new"), [(None, 3, 5), (5, 0, 7), (5, 3, 7), (5, 3, 4), (5, 6, 7), (5, 0, 5)]
)
def test_another_old_size_than_the_one_held(size, old, new):
    verdict = refused(decide(state(size), request(old, new)), 409, "old_size")
    assert verdict.held_size == (size or 0)
    assert verdict.evidence is None


def test_a_smaller_tree_is_never_cosigned():
    for old in range(5):
        for new in range(old, 5):
            assert decide(state(5), request(old, new)).status == 409


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ([], "consistency_path_length"),
        (proof(3, 6), "consistency_new_root"),
        ([*proof(3, 5), bytes(32)], "consistency_path_length"),
        ([bytes(32), *proof(3, 5)[1:]], "consistency_old_root"),
    ],
)
def test_a_path_that_fails_is_kept_as_unproven(path, code):
    verdict = refused(decide(state(3), encode_add_checkpoint(3, path, raw_checkpoint(5))), 422, code)
    assert verdict.evidence == Evidence(Finding.UNPROVEN, raw_checkpoint(3), raw_checkpoint(5))


def test_another_branch_is_kept_as_unproven():
    verdict = refused(decide(state(5), request(5, 7, "b")), 422, "consistency_old_root")
    assert verdict.evidence == Evidence(Finding.UNPROVEN, raw_checkpoint(5), raw_checkpoint(7, "b"))


@pytest.mark.parametrize("size", [None, 0])
def test_after_nothing_a_path_shows_nothing(size):
    body = encode_add_checkpoint(0, [bytes(32)], raw_checkpoint(5))
    assert refused(decide(state(size), body), 422, "consistency_path_length").evidence is None


def test_a_path_between_equal_trees_shows_nothing():
    body = encode_add_checkpoint(5, [bytes(32)], raw_checkpoint(5))
    assert refused(decide(state(5), body), 422, "consistency_path_length").evidence is None


# --- forks -------------------------------------------------------------------------------------------

FORK = Evidence(Finding.FORK, raw_checkpoint(5), raw_checkpoint(5, "b"))


def test_two_roots_of_one_size_are_a_fork():
    verdict = refused(decide(state(5), request(5, 5, "b")), 422, "log_forked")
    assert verdict.evidence == FORK
    assert isinstance(verdict.error, InconsistentLogError)
    assert verdict.error.evidence == (FORK.held, FORK.offered)


def test_a_fork_is_seen_whatever_old_size_came_with_it():
    for old in (0, 3, 4):
        verdict = refused(decide(state(5), request(old, 5, "b")), 409, "old_size")
        assert (verdict.held_size, verdict.evidence) == (5, FORK)


def test_a_fork_under_strangers_lines_is_the_same_fork():
    raw = add_cosignatures(raw_checkpoint(5, "b"), [NoteSignature("x", b"\0\0\0\0", b"y")])
    assert decide(state(5), encode_add_checkpoint(5, [], raw)).evidence == FORK


def test_what_the_log_did_not_sign_is_no_fork():
    body = encode_add_checkpoint(5, [], raw_checkpoint(5, "b", log=NEXT))
    assert refused(decide(state(5), body), 403, "signature_missing").evidence is None


# --- keys of the log ---------------------------------------------------------------------------------


def test_each_key_signs_its_own_sizes():
    keys = (KEY, NEXT_KEY)
    assert isinstance(decide(state(5, keys=keys), request(5, 6)), Cosign)
    refused(decide(state(5, keys=keys), request(5, 6, log=NEXT)), 403, "signature_missing")
    refused(decide(state(5, keys=keys), request(5, 7)), 403, "signature_missing")
    for size in (7, 8):
        assert isinstance(decide(state(5, keys=keys), request(5, size, log=NEXT)), Cosign)
    assert KEY.key.public_key.raw == LOG.public_key().public_bytes_raw()
