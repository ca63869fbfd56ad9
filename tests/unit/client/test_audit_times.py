"""Every leaf's time is held against what quorums of witnesses cosigned: planted defects, remarks, a policy of one's own."""

import pytest

from countermark_client.audit import _series
from countermark_client.audit._findings import Check, evidence_of
from countermark_client.audit._mirror import Mirror
from countermark_protocol.checkpoint import parse_checkpoint, sign_checkpoint, verify_checkpoint
from countermark_protocol.cosignature import CosignatureType, Cosigner, encode_cosigner_vkey
from countermark_protocol.mandates import Witness
from countermark_protocol.tlog_policy import parse_policy
from countermark_protocol.tlog_witness import add_cosignatures
from countermark_protocol.witness_history import HistoryItem, WitnessHistory
from support.audited import MemoryLog, audited_world
from support.protocol_world import NOW
from support.world import KAMPALA, KENYAN_AUDITOR, NAIROBI, OVERSEER, seed

AUDITORS = (OVERSEER, KENYAN_AUDITOR)
MINUTE = 60_000
KINDS = (CosignatureType.ML_DSA_44, CosignatureType.ED25519, CosignatureType.ML_DSA_44)
WATCHERS = [
    Cosigner(f"{n}.example/w", k, seed(n)) for n, k in zip(("east", "west", "north"), KINDS, strict=True)
]
OWN = Cosigner("own.example/w", CosignatureType.ML_DSA_44, seed("own"))


@pytest.fixture
def world():
    names = tuple(Witness(w.key.name, (encode_cosigner_vkey(w.key),)) for w in WATCHERS)
    world = audited_world(witnesses=names)
    world.first = world.send(NAIROBI, [KAMPALA])
    return world


def cosigned(world, size, at, by=WATCHERS[:2], root=None):
    """A checkpoint that these cosigned at a time, ms since 1970."""
    log = MemoryLog(world)
    own = world.log_key.public_key.raw
    raw = sign_checkpoint(world.origin, size, root or log.root(size), world.log_key.sign, own)
    checkpoint = verify_checkpoint(parse_checkpoint(raw), world.origin, own)
    lines = [w.cosign(checkpoint, at // 1000) for w in by]
    return HistoryItem(at // MINUTE, add_cosignatures(raw, lines))


def shown(world, series, auditor=OVERSEER, own=None):
    log = MemoryLog(world, auditor)
    log.series = sorted(series, key=lambda item: item.minute)
    log.own = own
    return log


def judged(log, mirror=None):
    """What a synchronisation finds and remarks; verifying the mirror finds the same."""
    mirror = mirror or Mirror(None)
    done = log.sync(mirror)
    found = [f for f in done.open if f.found_by == "sync"]
    for finding in found:
        assert evidence_of(mirror, finding.number)
    assert log.sync(mirror).found == ()
    again = log.verify(mirror)
    assert [(f.check, f.place) for f in again.found] == [(f.check, f.place) for f in found]
    assert again.remarks == done.remarks
    return [(f.check, f.index) for f in found], done.remarks


def later(world, minutes):
    """The next entry, so many minutes after the first."""
    world.now = NOW + minutes * MINUTE
    return world.send(NAIROBI, [KAMPALA])


@pytest.mark.parametrize("auditor", AUDITORS)
def test_an_honest_series_gives_nothing(world, auditor):
    series = [cosigned(world, world.state.size, NOW + 1_000)]
    for minutes in (1, 2, 20, 50):
        later(world, minutes)
        series.append(cosigned(world, world.state.size, world.now + 2_000, WATCHERS[1:]))
    series.append(cosigned(world, world.state.size, world.now + 30 * MINUTE))
    assert judged(shown(world, series, auditor)) == ([], ())


@pytest.mark.parametrize("auditor", AUDITORS)
def test_a_back_dated_leaf(world, auditor):
    size = world.state.size
    quorum = cosigned(world, size, NOW + 10 * MINUTE)
    later(world, 8)
    later(world, 8)
    later(world, 11)
    log = shown(world, [cosigned(world, 4, NOW), quorum], auditor)
    mirror = Mirror(None)
    assert judged(log, mirror) == ([(Check.WITNESSED, size)], ())
    finding = log.sync(mirror).open[0]
    assert "and 1 more" in finding.got
    assert evidence_of(mirror, finding.number) == {"leaf": log.leaves[size], "checkpoint": quorum.checkpoint}


@pytest.mark.parametrize(("seconds", "found"), [(60, False), (61, True)])
def test_the_tolerance_of_back_dating(world, seconds, found):
    size = world.state.size
    later(world, 5)
    at = NOW + 5 * MINUTE + seconds * 1000
    assert judged(shown(world, [cosigned(world, size, at)]))[0] == (
        [(Check.WITNESSED, size)] if found else []
    )


@pytest.mark.parametrize("auditor", AUDITORS)
def test_a_clock_that_ran_ahead(world, auditor):
    size = world.state.size
    later(world, 30)
    early = cosigned(world, world.state.size, NOW + 2 * MINUTE)
    later(world, 31)
    series = [cosigned(world, size, NOW), early, cosigned(world, size + 2, NOW + 31 * MINUTE)]
    log, mirror = shown(world, series, auditor), Mirror(None)
    assert judged(log, mirror) == ([(Check.FUTURE, size)], ())
    finding = log.sync(mirror).open[0]
    assert evidence_of(mirror, finding.number) == {"leaf": log.leaves[size], "checkpoint": early.checkpoint}


@pytest.mark.parametrize(("seconds", "found"), [(60, False), (61, True)])
def test_the_tolerance_of_the_future(world, seconds, found):
    later(world, 5)
    size = world.state.size
    series = [cosigned(world, size - 1, NOW), cosigned(world, size, NOW + 5 * MINUTE - seconds * 1000)]
    assert judged(shown(world, series))[0] == ([(Check.FUTURE, size - 1)] if found else [])


def test_defects_that_come_between_synchronisations(world):
    mirror, size = Mirror(None), world.state.size
    series = [cosigned(world, size, NOW)]
    assert judged(shown(world, series), mirror) == ([], ())
    series.append(cosigned(world, size, NOW + 10 * MINUTE))
    later(world, 2)
    series.append(cosigned(world, size + 1, NOW + 11 * MINUTE))
    log = shown(world, series)
    log.page = 1
    assert judged(log, mirror) == ([(Check.WITNESSED, size)], ())
    later(world, 40)
    series.append(cosigned(world, size + 2, NOW + 12 * MINUTE))
    found, remarks = judged(shown(world, series), mirror)
    assert (found, remarks) == ([(Check.WITNESSED, size), (Check.FUTURE, size + 1)], ())


def test_a_checkpoint_that_is_ahead_of_the_mirror_waits(world):
    size = world.state.size
    mirror, kept = Mirror(None), [cosigned(world, size, NOW)]
    ahead = shown(world, kept)
    later(world, 1)
    ahead.series.append(cosigned(world, size + 1, NOW + MINUTE))
    assert judged(ahead, mirror) == ([], ())
    rows = mirror.database.execute("SELECT size FROM cosigned").fetchall()
    assert rows == [(size,)]
    assert judged(shown(world, ahead.series), mirror) == ([], ())
    assert mirror.database.execute("SELECT max(size) FROM cosigned").fetchone() == (size + 1,)


# --- what is shown as witnessed and is not ---


@pytest.mark.parametrize(
    ("by", "reason"),
    [
        (WATCHERS[:1], "quorum_not_met"),
        ([WATCHERS[0], OWN], "quorum_not_met"),
        (
            [Cosigner("east.example/w", CosignatureType.ML_DSA_44, seed("false")), WATCHERS[0]],
            "quorum_not_met",
        ),
    ],
)
def test_less_than_a_quorum(world, by, reason):
    log, mirror = shown(world, [cosigned(world, world.state.size, NOW, by)]), Mirror(None)
    assert judged(log, mirror)[0] == [(Check.UNWITNESSED, None)]
    assert reason in log.sync(mirror).open[0].got


def test_a_checkpoint_in_a_minute_that_is_not_its_quorums(world):
    item = cosigned(world, world.state.size, NOW)
    moved = HistoryItem(item.minute + 5, item.checkpoint)
    assert judged(shown(world, [moved]))[0] == [(Check.UNWITNESSED, None)]


def test_a_checkpoint_of_another_tree(world):
    item = cosigned(world, 5, NOW, root=b"\1" * 32)
    assert judged(shown(world, [item]))[0] == [(Check.FORK, None)]


def test_a_checkpoint_that_the_log_did_not_sign(world):
    item = cosigned(world, 5, NOW)
    other = HistoryItem(item.minute, item.checkpoint.replace(b"\n5\n", b"\n6\n", 1))
    assert judged(shown(world, [other]))[0] == [(Check.CHECKPOINT, None)]


def test_what_is_no_checkpoint_is_an_answer_of_no_form(world):
    log, mirror = shown(world, [HistoryItem(1, b"no checkpoint")]), Mirror(None)
    assert [f.check for f in log.sync(mirror).open] == [Check.ANSWER]


def test_a_log_without_witnesses_shows_a_series_all_the_same():
    world = audited_world()
    assert judged(shown(world, [cosigned(world, 3, NOW)]))[0] == [(Check.UNWITNESSED, None)]


def test_a_series_that_goes_back_is_an_answer_of_no_form(world):
    log, mirror = shown(world, [cosigned(world, 5, NOW)]), Mirror(None)
    log.sync(mirror)
    log.witnessed = lambda start: WitnessHistory((HistoryItem(start - 1, log.series[0].checkpoint),), False)
    assert [f.check for f in log.sync(mirror).open] == [Check.ANSWER]


def test_a_minute_of_another_day_stops_nothing_for_good(world):
    item, mirror = cosigned(world, 5, NOW), Mirror(None)
    far = HistoryItem(item.minute + 24 * 60 + 1, item.checkpoint)
    assert [f.check for f in shown(world, [item, far]).sync(mirror).open] == [Check.ANSWER]
    assert mirror.database.execute("SELECT count(*) FROM cosigned").fetchone() == (0,)
    shown(world, [item, cosigned(world, 6, NOW + MINUTE)]).sync(mirror)
    assert mirror.database.execute("SELECT count(*) FROM cosigned").fetchone() == (2,)


def test_a_mirror_with_a_minute_beyond_all_dates(world):
    log, mirror = shown(world, [cosigned(world, 5, NOW)]), Mirror(None)
    log.sync(mirror)
    mirror.database.execute("UPDATE cosigned SET minute = ?", (2**62 // MINUTE,))
    done = log.verify(mirror)
    assert [f.check for f in done.found] == [Check.UNWITNESSED]
    assert "ms since 1970" in done.remarks[0]


def test_a_series_of_many_pages(world, monkeypatch):
    monkeypatch.setattr(_series, "_PAGE", 3)
    size = world.state.size
    series = [cosigned(world, size, NOW + m * MINUTE) for m in range(12)]
    later(world, 2)
    log, mirror = shown(world, series), Mirror(None)
    log.page = 2
    assert judged(log, mirror) == ([(Check.WITNESSED, size)], ())
    finding = log.sync(mirror).open[0]
    assert evidence_of(mirror, finding.number)["checkpoint"] == series[-1].checkpoint


def test_a_row_that_was_changed_in_the_mirror(world):
    log, mirror = shown(world, [cosigned(world, 5, NOW)]), Mirror(None)
    log.sync(mirror)
    mirror.database.execute("UPDATE cosigned SET size = 4")
    assert [f.check for f in log.verify(mirror).found] == [Check.MIRROR_CHANGED]


# --- remarks, and a policy of one's own ---


def test_gaps_are_remarks(world):
    size = world.state.size
    later(world, 200)
    series = [cosigned(world, size, NOW + m * MINUTE) for m in (1, 50, 111)]
    found, remarks = judged(shown(world, series))
    assert found == []
    assert len(remarks) == 2
    assert all(r.startswith("no quorum of witnesses cosigned between 2026-") for r in remarks)


def test_named_witnesses_that_cosigned_nothing(world):
    found, (remark,) = judged(shown(world, []))
    assert found == []
    assert "shows no checkpoint that they cosigned" in remark
    assert judged(shown(audited_world(), [])) == ([], ())


def test_a_policy_of_ones_own(world):
    size = world.state.size
    policy = parse_policy(f"witness mine {encode_cosigner_vkey(OWN.key)}\nquorum mine\n".encode())
    series = [
        cosigned(world, size, NOW, [*WATCHERS[:2], OWN]),
        # To whoever believes the log's own witnesses alone, the next leaf is back-dated.
        cosigned(world, size, NOW + 10 * MINUTE),
    ]
    later(world, 3)
    found, (remark,) = judged(shown(world, series, own=policy))
    assert found == []
    assert remark.startswith("1 witnessed checkpoints do not meet the policy")
    assert judged(shown(world, series))[0] == [(Check.WITNESSED, size)]
    series[1] = cosigned(world, size, NOW + 10 * MINUTE, [*WATCHERS[:2], OWN])
    assert judged(shown(world, series, own=policy))[0] == [(Check.WITNESSED, size)]
