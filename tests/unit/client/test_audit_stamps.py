"""A mirror keeps time stamps on witnessed checkpoints, and holds the log's times against those that are believed."""

from datetime import UTC, datetime

import pytest

from countermark_client.audit._findings import Check, evidence_of
from countermark_client.audit._mirror import Mirror
from countermark_protocol.checkpoint import parse_checkpoint, sign_checkpoint, verify_checkpoint
from countermark_protocol.cosignature import CosignatureType, Cosigner, encode_cosigner_vkey
from countermark_protocol.mandates import Witness
from countermark_protocol.stamp_history import StampItem
from countermark_protocol.timestamps import parse_tsa_roots
from countermark_protocol.tlog_witness import add_cosignatures
from support.audited import MemoryLog, audited_world
from support.protocol_world import NOW
from support.tsa import Tsa
from support.world import KAMPALA, KENYAN_AUDITOR, NAIROBI, OVERSEER, seed

MINUTE = 60_000
WATCHERS = [Cosigner(f"{n}.example/w", CosignatureType.ED25519, seed(n)) for n in ("east", "west")]


@pytest.fixture(scope="module")
def tsa():
    return Tsa("Time")


@pytest.fixture
def world():
    names = tuple(Witness(w.key.name, (encode_cosigner_vkey(w.key),)) for w in WATCHERS)
    world = audited_world(witnesses=names)
    world.first = world.send(NAIROBI, [KAMPALA])
    return world


def cosigned(world, size, at, by=WATCHERS, root=None):
    own = world.log_key.public_key.raw
    raw = sign_checkpoint(world.origin, size, root or MemoryLog(world).root(size), world.log_key.sign, own)
    checkpoint = verify_checkpoint(parse_checkpoint(raw), world.origin, own)
    return add_cosignatures(raw, [w.cosign(checkpoint, at // 1000) for w in by])


def stamped(note, tsa, at, authority="time", over=None):
    response = tsa.stamp(over or note, datetime.fromtimestamp(at // 1000, UTC))
    return StampItem(at // MINUTE, authority, note, response)


def judged(world, items, roots=b"", auditor=OVERSEER):
    log = MemoryLog(world, auditor)
    log.stamped = sorted(items, key=lambda item: (item.minute, item.authority))
    log.roots = parse_tsa_roots(roots) if roots else ()
    log.page = 2
    mirror = Mirror(None)
    done = log.sync(mirror)
    assert log.sync(mirror).found == ()
    again = log.verify(mirror)
    found = [(f.check, f.place) for f in done.open if f.found_by == "sync"]
    assert [(f.check, f.place) for f in again.found] == found
    # Witnesses' own series is not shown here, and that is remarked on.
    remarks = [r for r in again.remarks if "vouched for" not in r]
    kept = mirror.database.execute("SELECT count(*) FROM stamps").fetchone()[0]
    return mirror, list(done.open), remarks, kept


@pytest.mark.parametrize("auditor", [OVERSEER, KENYAN_AUDITOR])
def test_honest_stamps_give_nothing(world, tsa, auditor):
    size = world.state.size
    items = [
        stamped(cosigned(world, size, NOW + 1000 * i), tsa, NOW + MINUTE * i, name)
        for i in (1, 70, 130)
        for name in ("east", "time")
    ]
    _, found, remarks, kept = judged(world, items, tsa.roots, auditor)
    assert (found, remarks, kept) == ([], [], 6)


def test_without_roots_they_are_kept_and_bound_nothing(world, tsa):
    note = cosigned(world, world.state.size, NOW - 10 * MINUTE)
    item = stamped(note, tsa, NOW - 9 * MINUTE)
    _, found, remarks, kept = judged(world, [item])
    assert (found, kept) == ([], 1)
    assert remarks == ["1 time stamps by 'time' bound no time: no roots were given (--tsa-roots)"]
    _, found, remarks, _ = judged(world, [item], Tsa("Other").roots)
    assert (found, remarks) == (
        [],
        ["1 time stamps by 'time' bound no time: their certificates lead to none of the roots given"],
    )


@pytest.mark.parametrize(("seconds", "ahead"), [(60, False), (61, True)])
def test_a_leaf_from_the_future_by_a_stamp(world, tsa, seconds, ahead):
    size = world.state.size
    time = world.entries[-1].leaf.time
    at = (time // 1000 - seconds) * 1000 + (1000 if time % 1000 else 0)
    note = cosigned(world, size, at)
    mirror, found, _, _ = judged(world, [stamped(note, tsa, at)], tsa.roots)
    assert [(f.check, f.index) for f in found if f.found_by == "sync"] == (
        [(Check.FUTURE, size - 1)] if ahead else []
    )
    if ahead:
        assert set(evidence_of(mirror, found[0].number)) == {"leaf", "checkpoint", "stamp"}


def test_a_stamp_older_than_what_it_is_on_is_remarked_on(world, tsa):
    note = cosigned(world, world.state.size, NOW + 30 * MINUTE)
    _, found, remarks, _ = judged(world, [stamped(note, tsa, NOW - MINUTE)], tsa.roots)
    assert found == []
    (remark,) = remarks
    assert "is older than what it is on" in remark


def test_what_is_no_stamp_on_a_checkpoint_of_this_log(world, tsa):
    size = world.state.size
    note = cosigned(world, size, NOW + 1000)

    def found(item, roots=tsa.roots):
        _, found, _, _ = judged(world, [item], roots)
        return [f.check for f in found if f.found_by == "sync"]

    at = NOW + MINUTE
    assert found(stamped(note, tsa, at)) == []
    assert found(stamped(note, tsa, at, over=b"another")) == [Check.STAMP]
    assert found(stamped(note, tsa, at, over=b"another"), b"") == [Check.STAMP]
    assert found(StampItem(at // MINUTE, "time", note, b"junk")) == [Check.STAMP]
    assert found(stamped(cosigned(world, size, NOW, WATCHERS[:1]), tsa, at)) == [Check.STAMP]
    assert found(stamped(cosigned(world, size, NOW, root=bytes(32)), tsa, at)) == [Check.FORK]
    spoilt = bytearray(tsa.stamp(note))
    spoilt[-1] ^= 1
    assert found(StampItem(at // MINUTE, "time", note, bytes(spoilt))) == [Check.STAMP]


def test_one_on_a_larger_tree_waits(world, tsa):
    note = cosigned(world, world.state.size, NOW + 1000)
    bigger = sign_checkpoint(world.origin, 999, bytes(32), world.log_key.sign, world.log_key.public_key.raw)
    items = [stamped(note, tsa, NOW + MINUTE), stamped(bigger, tsa, NOW + 2 * MINUTE)]
    _, found, _, kept = judged(world, items, tsa.roots)
    assert (found, kept) == ([], 1)
