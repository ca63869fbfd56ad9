"""A mirror of a clean log: nothing is found, by whichever mandate, however often it is interrupted."""

import pytest

from countermark_client.audit._findings import list_findings
from countermark_client.audit._mirror import DERIVED, Mirror
from countermark_protocol.acts import PurgeGround, Scope
from countermark_protocol.descriptors import attachment_size
from countermark_protocol.errors import ConflictError, TransportError
from countermark_protocol.identifiers import Address
from countermark_protocol.manifest import Outcome, ResolvedGroup, Stage, Urgency
from countermark_protocol.receipts import ReceiptItem, ReceiptStage, RejectionReason
from countermark_protocol.records import State
from support.audited import MemoryLog, audited_world
from support.world import BROKER, BRUSSELS, DAY, KAMPALA, KENYAN_AUDITOR, MOMBASA, NAIROBI, OVERSEER, handling

AUDITORS = (OVERSEER, KENYAN_AUDITOR)
#: Enrolled when the log is under way.
MALABA = Address("ke.border.malaba")


def busy_world():
    """A log in which everything occurs: messages, replies, receipts, notices, acts, directory statements."""
    world = audited_world()
    first = world.send(NAIROBI, [KAMPALA, MOMBASA], recipients_visible=True)
    world.accept(KAMPALA, first)
    world.put(world.receipt(MOMBASA, [first]))
    world.put(world.receipt(MOMBASA, [first], ReceiptStage.REJECTED, items=rejected(first)))
    request = world.send(
        NAIROBI, [KAMPALA], type="tracing-request", urgency=Urgency.URGENT, seen=world.seen()
    )
    world.accept(KAMPALA, request)
    answer = world.compose_reply(
        KAMPALA, request, type="tracing-response", stage=Stage.FINAL, outcome=Outcome(success=1)
    )
    world.put(answer)
    world.accept(NAIROBI, answer)
    world.put(world.look_up(KENYAN_AUDITOR, Scope.NATIONAL, until=world.now + 1000))
    world.put(world.look_up(OVERSEER, Scope.OVERSIGHT, until=world.now + 1000))
    world.put(world.disclosure(NAIROBI, first))
    world.put(world.keys_statement(BRUSSELS))
    late = world.send(MOMBASA, [KAMPALA], expires_at=world.now + DAY)
    world.now += 2 * DAY
    world.put(world.undelivered(late, KAMPALA))
    world.put(world.purge(NAIROBI, first, PurgeGround.WITHDRAWN))
    others = world.send(KAMPALA, [BRUSSELS], files={"left.jpg": b"x" * 1000, "right.jpg": b"y"})
    world.accept(BRUSSELS, others)
    kept = world.send(MOMBASA, [KAMPALA], handling=handling(retention_until=world.now + DAY))
    world.put(world.endpoint_statement(MALABA))
    world.put(world.keys_statement(MALABA))
    world.put(world.group_statement("ke/all", sorted([MALABA, NAIROBI])))
    group = ResolvedGroup("ke/all", world.newest["group/ke/all"])
    world.accept(MALABA, world.send(KAMPALA, [MALABA, NAIROBI], group=group))
    world.put(world.endpoint_statement(MOMBASA, State.SUSPENDED))
    world.now += 2 * DAY
    world.put(world.purge(BROKER, kept, PurgeGround.RETENTION_ENDED))
    for _ in range(3):
        world.send(NAIROBI, [KAMPALA], seen=world.seen())
    return world


def rejected(message):
    return (ReceiptItem(message.payload_hash, commitment_checked=True, reason=RejectionReason.NOT_FOR_US),)


@pytest.fixture(scope="module")
def world():
    return busy_world()


def rows_of(mirror):
    """All derived rows, by table."""
    return {
        table: sorted(
            mirror.database.execute(f"SELECT {'*' if '*' in columns else ', '.join(columns)} FROM {table}"),
            key=repr,
        )
        for table, columns in DERIVED.items()
    }


@pytest.mark.parametrize("auditor", AUDITORS)
def test_a_clean_log_gives_no_finding_and_verifies(world, auditor):
    log, mirror = MemoryLog(world, auditor), Mirror(None)
    done = log.sync(mirror)
    assert (done.size, done.verified, done.open) == (log.size, log.size, ())
    again = log.verify(mirror)
    assert (again.proven, again.entries, again.found) == (log.size, log.size, ())
    assert log.sync(mirror).new == 0


def test_a_mirror_counts_attachments_from_manifests(world):
    log, mirror = MemoryLog(world), Mirror(None)
    log.sync(mirror)
    found = mirror.database.execute(
        "SELECT sender, attachments, attached FROM messages WHERE attachments > 0"
    ).fetchall()
    assert found == [(KAMPALA, 2, attachment_size(1000) + attachment_size(1))]


def test_an_oversight_mirror_holds_every_box_head_of_the_log(world):
    log, mirror = MemoryLog(world), Mirror(None)
    log.sync(mirror)
    for (endpoint, box), state in world.state.boxes.items():
        if state.count:
            row = mirror.database.execute(
                "SELECT head FROM boxes WHERE endpoint = ? AND box = ? AND position = ?",
                (endpoint, box.value, state.count - 1),
            ).fetchone()
            assert row[0] == state.head


def test_a_national_mirror_holds_its_own_and_no_more(world):
    log, mirror = MemoryLog(world, KENYAN_AUDITOR), Mirror(None)
    log.sync(mirror)
    endpoints = {r[0] for r in mirror.database.execute("SELECT DISTINCT endpoint FROM boxes")}
    assert endpoints == {NAIROBI, MOMBASA, MALABA, KENYAN_AUDITOR}
    senders = {r[0] for r in mirror.database.execute("SELECT DISTINCT sender FROM messages")}
    assert senders == {NAIROBI, MOMBASA, KAMPALA}
    recipients = {r[0] for r in mirror.database.execute("SELECT DISTINCT recipient FROM deliveries")}
    assert recipients == {NAIROBI, MOMBASA, MALABA, KAMPALA}
    assert mirror.database.execute("SELECT count(*) FROM accounts WHERE compared").fetchone()[0] == 1


def test_what_reports_read(world):
    log, mirror = MemoryLog(world), Mirror(None)
    log.sync(mirror)
    stages = mirror.database.execute(
        "SELECT stage, count(*) FROM deliveries GROUP BY stage ORDER BY stage"
    ).fetchall()
    assert dict(stages) == {"accepted": 5, "open": 6, "rejected": 1}
    [(reason, settled, delivered)] = mirror.database.execute(
        "SELECT reason, settled_at, delivered_at FROM deliveries WHERE stage = 'rejected'"
    )
    assert (reason, settled is not None, delivered is not None) == ("not_for_us", True, True)
    acts = [r[0] for r in mirror.database.execute("SELECT kind FROM acts ORDER BY idx")]
    assert acts == ["look-up", "look-up", "disclosure", "purge", "purge"]
    grounds = mirror.database.execute(
        "SELECT purge_ground FROM messages WHERE purged_idx IS NOT NULL ORDER BY purged_idx"
    )
    assert [r[0] for r in grounds] == ["withdrawn", "retention-ended"]
    assert mirror.database.execute("SELECT count(undelivered_idx) FROM deliveries").fetchone()[0] == 1


@pytest.mark.parametrize("auditor", AUDITORS)
def test_interrupted_at_every_answer_it_goes_on(world, auditor, tmp_path):
    whole = Mirror(None)
    log = MemoryLog(world, auditor)
    log.page = 4
    log.sync(whole)
    expected, calls = rows_of(whole), log.calls
    for fail_at in range(1, calls + 1):
        log = MemoryLog(world, auditor)
        log.page, log.fail_at = 4, fail_at
        mirror = Mirror(None)
        with pytest.raises(KeyboardInterrupt):
            log.sync(mirror)
        assert log.verify(mirror).found == ()
        done = log.sync(mirror)
        assert (done.verified, done.open) == (log.size, ())
        assert rows_of(mirror) == expected


class PowerCutError(BaseException):
    """Nothing after it happens: no rollback either."""


def die_at(mirror, number):
    """Let a mirror's process die at its write of this number, before it is done."""
    real, count = mirror._db._connection, 0

    class Dying:
        def __getattr__(self, name):
            found = getattr(real, name)
            if name not in {"execute", "executemany"}:
                return found

            def call(sql, *values):
                nonlocal count
                if not sql.lstrip().upper().startswith(("SELECT", "PRAGMA")):
                    count += 1
                    if count >= number:
                        raise PowerCutError
                return found(sql, *values)

            return call

    mirror._db._connection = Dying()
    return real


@pytest.mark.parametrize("auditor", AUDITORS)
def test_killed_at_any_write_it_goes_on(world, auditor, tmp_path):
    whole = Mirror(None)
    log = MemoryLog(world, auditor)
    log.page = 8
    log.sync(whole)
    expected = rows_of(whole)
    for number in range(1, 2000, 3):
        path = tmp_path / f"{number}.db"
        mirror = Mirror(path)
        connection = die_at(mirror, number)
        try:
            log.sync(mirror)
            break
        except PowerCutError:
            connection.close()  # as the kernel does it: what was not committed is gone
        mirror = Mirror(path)
        done = log.sync(mirror)
        assert (done.verified, done.open) == (log.size, ())
        assert rows_of(mirror) == expected
        mirror.close()
    else:
        pytest.fail("more writes than were tried")
    assert number > 20
    connection.close()


@pytest.mark.parametrize("auditor", AUDITORS)
def test_a_log_that_grows_is_followed(world, auditor):
    mirror = Mirror(None)
    for size in (25, 31, 32, len(world.entries)):
        log = MemoryLog(world, auditor)
        log.size = size
        done = log.sync(mirror)
        assert (done.size, done.verified, done.open) == (size, size, ())
    assert MemoryLog(world, auditor).verify(mirror).found == ()


def test_a_node_that_lags_behind_is_no_finding(world):
    log, mirror = MemoryLog(world, KENYAN_AUDITOR), Mirror(None)
    log.lag = 4
    done = log.sync(mirror)
    assert (done.size, done.verified, done.open) == (log.size, log.size - 4, ())
    log.lag = 0
    done = log.sync(mirror)
    assert (done.verified, done.open) == (log.size, ())
    assert log.verify(mirror).found == ()


def test_an_older_directory_is_asked_for_again(world):
    log, mirror = MemoryLog(world), Mirror(None)
    whole = log.directory

    def older(start):
        log.size -= 1
        try:
            return whole(start)
        finally:
            log.size += 1

    log.directory = older
    with pytest.raises(TransportError, match="directory_behind"):
        log.sync(mirror)
    log.directory = whole
    assert log.sync(mirror).open == ()


def test_signatures_are_verified_in_processes_too(world):
    log, mirror = MemoryLog(world), Mirror(None)
    assert log.sync(mirror, processes=2).open == ()
    assert log.verify(mirror, processes=2).found == ()


def test_a_mirror_is_of_one_mandate(world):
    mirror = Mirror(None)
    MemoryLog(world, OVERSEER).sync(mirror)
    with pytest.raises(ConflictError, match="other_mirror"):
        MemoryLog(world, KENYAN_AUDITOR).sync(mirror)
    assert list_findings(mirror) == []
