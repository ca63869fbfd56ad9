"""The store: what is written together, in which order it comes back, and that nothing decrypted is in it."""

import sqlite3

import pytest

from countermark_client import OutboxState, Profile, StorageError, testing
from countermark_client._store import _ADDED, Store
from countermark_protocol.boxes import Box, BoxState
from countermark_protocol.errors import CountermarkError, InconsistentLogError, UncheckableError


def test_a_transaction_is_all_or_nothing(tmp_path):
    store = Store(tmp_path / "s.db")

    def write_and_fail():
        with store.transaction():
            store.set_meta("a", b"1")
            with store.transaction():
                store.add_outbox(b"h" * 32, "message", b"body", 1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    assert store.meta("a") is None
    assert store.outbox() == []
    store.close()


def test_durability_settings(tmp_path):
    store = Store(tmp_path / "s.db")
    assert store._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert store._db.execute("PRAGMA synchronous").fetchone()[0] == 2
    store.close()


def test_a_later_version_is_refused(tmp_path):
    Store(tmp_path / "s.db").close()
    db = sqlite3.connect(tmp_path / "s.db")
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(CountermarkError) as caught:
        Store(tmp_path / "s.db")
    assert caught.value.code == "store_version"


def test_the_outbox_keeps_its_order_and_refuses_a_second_copy():
    store = Store(None)
    for i in (3, 1, 2):
        store.add_outbox(bytes([i]) * 32, "message", bytes([i]), i)
    assert [item.body for item in store.outbox(OutboxState.WAITING)] == [b"\x03", b"\x01", b"\x02"]
    with pytest.raises(StorageError):
        store.add_outbox(b"\x01" * 32, "message", b"other bytes", 4)
    store.close()


def test_boxes_are_chained():
    store = Store(None)
    state = BoxState()
    for i in range(5):
        state = state.after(i * 2, bytes([i]) * 32)
        store.add_box_entry(Box.ROUTINE, i * 2, bytes([i]) * 32, state)
    assert store.box_state(Box.ROUTINE) == state
    assert store.box_state(Box.URGENT) == BoxState()
    assert store.last_below(Box.ROUTINE, 5) == 2
    assert store.last_below(Box.ROUTINE, 0) is None
    index, statement, previous = store.box_entry(Box.ROUTINE, 0)
    assert (index, statement, previous) == (0, bytes(32), bytes(32))
    assert store.box_entry(Box.ROUTINE, 5) is None
    store.close()


def test_nothing_decrypted_reaches_the_disk(tmp_path):
    world = testing.world("ke.police.nairobi", "be.contact.federal")
    sender, receiver = (
        world.client(world.profile(a, folder=tmp_path / a))
        for a in ("ke.police.nairobi", "be.contact.federal")
    )
    sent = sender.send("tracing-request", testing.sample_request("HIDDEN-CASE-77"), to=["be.contact.federal"])
    [received] = receiver.inbox()
    received.reject("not_for_us", "HIDDEN-DETAIL-78")
    sender.notices()
    assert sender.conversation(sent)[0].content.national_case_ref == "HIDDEN-CASE-77"
    assert receiver.conversation(sent)[0].content.national_case_ref == "HIDDEN-CASE-77"
    assert sender.status(sent).recipients[0].details == {"message": "HIDDEN-DETAIL-78"}
    for file in tmp_path.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert b"HIDDEN-CASE" not in data, file
            assert b"HIDDEN-DETAIL" not in data, file
    assert "HIDDEN" not in repr(received) + repr(sender.conversation(sent)) + repr(sender.status(sent))


def _fill(store):
    """Let the file grow no more, as on a full disk."""
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={pages}")


def _make_room(store):
    store._db.execute("PRAGMA max_page_count=1000000")


def test_a_full_disk_is_our_error_and_loses_nothing(tmp_path):
    world = testing.world("ke.police.nairobi", "be.contact.federal")
    profile = world.profile("ke.police.nairobi", folder=tmp_path / "profile")
    sender = world.client(profile)
    sender.send("tracing-request", testing.sample_request(), to=["be.contact.federal"])
    _fill(profile.store)

    def until_full():
        for _ in range(50):
            sender.send("tracing-request", testing.sample_request(), to=["be.contact.federal"])

    with pytest.raises(StorageError) as caught:
        until_full()
    assert caught.value.code == "storage_failed"
    assert "full" in caught.value.message
    assert isinstance(caught.value, CountermarkError)
    with pytest.raises(StorageError):  # and again: no transaction is left open
        until_full()
    _make_room(profile.store)
    sender.flush()
    sender.send("tracing-request", testing.sample_request(), to=["be.contact.federal"])
    assert {item.state for item in sender.outbox()} == {OutboxState.LOGGED}
    assert len(sender.outbox()) == len(world.broker._submissions)
    profile.close()


def test_a_contradiction_stops_sending_even_on_a_full_disk(tmp_path):
    world = testing.world("ke.police.nairobi", "be.contact.federal")
    profile = world.profile("ke.police.nairobi", folder=tmp_path / "profile")
    sender = world.client(profile)
    sender.sync()
    error = InconsistentLogError("some_code", "x" * 10_000, b"one", b"other")
    _fill(profile.store)
    with pytest.raises(StorageError):
        sender._core.log.halt(error)
    assert sender.halted == str(error)
    with pytest.raises(UncheckableError):
        sender.send("tracing-request", testing.sample_request(), to=["be.contact.federal"])
    profile.close()


def test_a_damaged_file_is_our_error(tmp_path):
    (tmp_path / "s.db").write_bytes(b"this is no database, " * 100)
    with pytest.raises(StorageError) as caught:
        Store(tmp_path / "s.db")
    assert caught.value.code == "storage_failed"


def test_a_store_of_version_1_is_brought_up_to_date_and_keeps_what_it_holds(tmp_path):
    world = testing.world("ke.police.nairobi", "ug.police.kampala")
    profile = world.profile("ke.police.nairobi", folder=tmp_path / "profile")
    sender = world.client(profile)
    first = sender.send("lost-or-stolen-notice", testing.sample_notice("A"), to=["ug.police.kampala"])
    second = sender.send(
        "lost-or-stolen-notice", testing.sample_notice("B"), to=["ug.police.kampala"], supersedes=first
    )
    profile.close()
    db = sqlite3.connect(tmp_path / "profile" / "state.db")
    db.executescript("DROP INDEX outbox_by_proven; DROP INDEX messages_by_supersedes; DROP TABLE drafts;")
    for table, column, _ in _ADDED:
        db.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    db.execute("PRAGMA user_version=1")
    db.close()
    profile = Profile.open(tmp_path / "profile", testing.PASSPHRASE)
    sender = world.client(profile)
    assert sender.status(first).successor.message == second.message
    assert [(i.tries, i.proven) for i in sender.outbox()] == [(1, first.time), (1, second.time)]
    world.clock.advance(days=31)
    sender.flush()
    assert [i.body for i in sender.outbox()] == [b"", b""]
    assert sender.conversation(second)[0].content.national_case_ref == "B"
    profile.close()


def test_a_store_of_the_version_before_gets_the_new_tables(tmp_path):
    store = Store(tmp_path / "s.db")
    for table in ("known_roots", "revocations", "receipts_ahead"):
        store._db.execute(f"DROP TABLE {table}")
    store.close()
    store = Store(tmp_path / "s.db")
    store.add_known_root(3, b"r" * 32)
    assert (store.known_root(3), store.known_root(4), store.revocations()) == (b"r" * 32, None, [])
    store.close()
