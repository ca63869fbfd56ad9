"""Leaves from a mirror of the log are checked as the log's own: it can withhold, and nothing else."""

import pytest

from countermark_client.audit._findings import Check, evidence_of, list_findings
from countermark_client.audit._mirror import Mirror
from countermark_protocol.errors import NotFoundError, TransportError
from support.audited import MemoryLog, audited_world
from support.world import KAMPALA, NAIROBI


@pytest.fixture(scope="module")
def world():
    made = audited_world()
    for _ in range(4):
        made.accept(KAMPALA, made.send(NAIROBI, [KAMPALA]))
    return made


class LeafMirror:
    """What a witness serves that mirrors the log."""

    def __init__(self, log):
        self.log = log
        self.spoil = lambda _path, data: data
        self.away = None
        self.asked = []

    def __call__(self, path):
        self.asked.append(path)
        if self.away is not None:
            raise self.away
        if path == "checkpoint":
            return self.spoil(path, self.log.checkpoint())
        if not path.endswith(f".p/{self.log.size}"):
            # Of so small a log there is one tile and one bundle.
            raise NotFoundError("tile_not_served", path)
        return self.spoil(path, self.log.fetch(path))


@pytest.fixture
def log(world):
    found = MemoryLog(world)
    found.mirrored = LeafMirror(MemoryLog(world))
    return found


def leaves_of(mirror):
    return mirror.database.execute("SELECT idx, leaf FROM leaves ORDER BY idx").fetchall()


def test_leaves_come_from_the_mirror_and_not_from_the_log(world, log):
    asked, mirror = [], Mirror(None)
    log.spoil_tile = lambda path, data: (asked.append(path), data)[1]
    done = log.sync(mirror)
    assert (done.size, done.verified, done.open, done.remarks) == (log.size, log.size, (), ())
    assert done.from_mirror == 1
    assert not [path for path in asked if path.startswith("tile/entries/")]
    straight = Mirror(None)
    log.mirrored = None
    assert log.sync(straight).from_mirror == 0
    assert leaves_of(mirror) == leaves_of(straight)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path, data: data[:-1] + bytes([data[-1] ^ 1]) if "entries" in path else data,
        lambda path, data: data[:-1] if "entries" in path else data,
        lambda path, data: data[:-1] + bytes([data[-1] ^ 1]) if "tile/0/" in path else data,
    ],
)
def test_a_mirror_that_lies_is_told_and_blames_nobody_else(log, spoil):
    log.mirrored.spoil = spoil
    mirror = Mirror(None)
    done = log.sync(mirror)
    assert (done.size, done.verified, done.open) == (log.size, log.size, ())
    assert [r for r in done.remarks if "serves what the log did not sign" in r]
    assert leaves_of(mirror)


@pytest.mark.parametrize(
    ("error", "told", "asked"),
    [
        (TransportError("timeout", "no answer"), "did not answer (timeout)", 1),
        (NotFoundError("tile_not_served", "nothing"), "could not be compared", None),
    ],
)
def test_a_mirror_that_is_away_costs_one_question(log, error, told, asked):
    log.mirrored.away = error
    done = log.sync(Mirror(None))
    assert (done.size, done.verified, done.open, done.from_mirror) == (log.size, log.size, (), 0)
    assert [r for r in done.remarks if told in r]
    assert asked is None or len(log.mirrored.asked) == asked


def test_a_mirror_that_lags_behind_serves_what_it_has(log):
    """What it lacks is read from the log."""
    log.mirrored.log.size = log.size - 2
    done = log.sync(Mirror(None))
    assert (done.size, done.verified, done.open, done.remarks) == (log.size, log.size, (), ())


def test_a_mirror_that_holds_more_is_told(log):
    log.size -= 2
    done = log.sync(Mirror(None))
    assert done.open == ()
    assert [r for r in done.remarks if f"holds {log.size + 2} entries that the log signed" in r]


@pytest.mark.parametrize("shorter", [0, 2, -2])
def test_two_histories_that_the_log_signed_are_a_fork_whoever_shows_them(world, log, shorter):
    other = log.mirrored.log
    other.leaves[5] = other.leaves[5][:-1] + bytes([other.leaves[5][-1] ^ 1])
    other.size -= max(0, shorter)
    log.size += min(0, shorter)
    log.mirrored.spoil = lambda path, data: data
    mirror = Mirror(None)
    done = log.sync(mirror)
    [finding] = list_findings(mirror)
    assert (finding.check, done.open) == (Check.FORK, (finding,))
    evidence = evidence_of(mirror, finding.number)
    assert evidence["of_the_mirror"] == other.checkpoint()
    assert evidence["checkpoint"] == log.checkpoint()


def test_a_checkpoint_that_the_log_did_not_sign_is_no_fork(log):
    def forged(path, data):
        return (
            data.replace(b"\n%d\n" % log.size, b"\n%d\n" % (log.size + 1)) if path == "checkpoint" else data
        )

    log.mirrored.spoil = forged
    done = log.sync(Mirror(None))
    assert done.open == ()
    assert [r for r in done.remarks if "could not be compared" in r and "[bad_signature]" in r]
