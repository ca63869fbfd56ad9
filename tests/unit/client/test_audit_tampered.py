"""A mirror that was changed, cut off or belongs to another log: verifying it finds exactly that."""

import sqlite3

import pytest

from countermark_client.audit._findings import Check, list_findings, settle
from countermark_client.audit._mirror import Mirror
from countermark_protocol.acts import Scope
from countermark_protocol.errors import NotFoundError
from support.audited import MemoryLog, audited_world
from support.world import KAMPALA, MOMBASA, NAIROBI, OVERSEER


@pytest.fixture
def kept(tmp_path):
    """A clean mirror as a file."""
    world = audited_world()
    world.send(NAIROBI, [KAMPALA])
    world.put(world.look_up(OVERSEER, Scope.OVERSIGHT, until=world.now + 1000))
    for _ in range(2):
        world.accept(KAMPALA, world.send(NAIROBI, [KAMPALA]))
        world.accept(MOMBASA, world.send(KAMPALA, [MOMBASA]))
    world.send(NAIROBI, [KAMPALA], seen=world.seen())
    log = MemoryLog(world)
    path = tmp_path / "mirror.db"
    mirror = Mirror(path)
    assert log.sync(mirror).open == ()
    mirror.close()
    return log, path


TAMPERED = {
    "a leaf": ("UPDATE leaves SET leaf = zeroblob(115) WHERE idx = 5", Check.ROOT),
    "two leaves": (
        "UPDATE leaves SET leaf = (SELECT leaf FROM leaves WHERE idx = 30) WHERE idx = 29",
        Check.ROOT,
    ),
    "a leaf that is gone": ("DELETE FROM leaves WHERE idx = 20", Check.MIRROR_DAMAGED),
    "a checkpoint": ("UPDATE checkpoints SET root = zeroblob(32)", Check.MIRROR_CHANGED),
    "a note": ("UPDATE checkpoints SET note = x'00'", Check.CHECKPOINT),
    "a document": ("UPDATE entries SET document = zeroblob(10) WHERE idx = (SELECT min(idx) FROM entries WHERE kind = 'receipt')", Check.DOCUMENT),
    "an entry that is gone": ("DELETE FROM entries WHERE idx = (SELECT max(idx) FROM entries)", Check.MISSING),
    "an author": ("UPDATE entries SET author = 'x' WHERE idx = 30", Check.MIRROR_CHANGED),
    "a sender": ("UPDATE messages SET sender = 'x' WHERE idx = (SELECT min(idx) FROM messages)",
                 Check.MIRROR_CHANGED),
    "a stage": ("UPDATE deliveries SET settled_at = 1 WHERE message = (SELECT min(message) FROM deliveries)", Check.MIRROR_CHANGED),
    "an act": ("UPDATE acts SET ground = 'none'", Check.MIRROR_CHANGED),
    "a head": ("UPDATE boxes SET head = zeroblob(32) WHERE position = 1 AND box = 'routine' AND endpoint LIKE 'ug%'",
               Check.MIRROR_CHANGED),
    "a row too many": ("INSERT INTO acts (idx, kind, time, author, ground) VALUES (1, 'look-up', 1, 'x', 'x')", Check.MIRROR_CHANGED),
    "a directory statement": ("UPDATE entries SET document = zeroblob(10) WHERE idx = 5", Check.DOCUMENT),
    "rows": ("UPDATE entries SET rows = x'00' WHERE rows IS NOT NULL", Check.MIRROR_DAMAGED),
    "another type": ("UPDATE messages SET size = 'x'", Check.MIRROR_DAMAGED),
    "how far it does not go": ("UPDATE meta SET value = x'39393939' WHERE name = 'verified'", Check.MIRROR_DAMAGED),
    "a scope": ("UPDATE meta SET value = x'00' WHERE name = 'scope'", Check.MIRROR_DAMAGED),
    "how far it goes": ("UPDATE meta SET value = '9999' WHERE name = 'verified'", Check.MIRROR_DAMAGED),
    "the founding": ("UPDATE meta SET value = x'00' WHERE name = 'founding'", Check.FOUNDING),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERED)
def test_a_tampered_row(kept, what):
    log, path = kept
    sql, check = TAMPERED[what]
    with sqlite3.connect(path) as database:
        assert database.execute(sql).rowcount >= 1
    database.close()
    mirror = Mirror(path)
    found = log.verify(mirror).found
    assert [f.check for f in found] == [check], found
    assert [f.check for f in list_findings(mirror)] == [check]
    # Looking again drops what was found the last time, and finds it again.
    assert [f.check for f in log.verify(mirror).found] == [check]
    settle(mirror, list_findings(mirror)[0].number, "seen")
    assert list_findings(mirror) == []
    with pytest.raises(NotFoundError, match="unknown_finding"):
        settle(mirror, 9999, "seen")
    mirror.close()


def test_a_truncated_file(kept):
    log, path = kept
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3 // 4096 * 4096])
    assert [f.check for f in log.verify_file(path).found] == [Check.MIRROR_DAMAGED]


def test_a_mirror_of_another_log(kept):
    log, path = kept
    mirror = Mirror(path)
    log.world.entries[0] = log.world.entries[1]  # as if another trust file had been compared
    assert [f.check for f in log.verify(mirror).found] == [Check.FOUNDING]
    mirror.close()
