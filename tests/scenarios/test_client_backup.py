"""Encrypted backups: made while a client runs, restored elsewhere, compared with the log before anything is sent."""

import shutil
import threading

import pytest

from countermark_client import (
    Client,
    Draft,
    Profile,
    _backup,
    create_backup,
    restore_backup,
    testing,
    verify_backup,
)
from countermark_protocol.errors import (
    ConflictError,
    InconsistentLogError,
    MalformedError,
    NotFoundError,
    SealError,
    TransportError,
    UncheckableError,
)
from countermark_protocol.sealed_file import seal_file

KENYA, BELGIUM = "ke.police.nairobi", "be.contact.federal"
SECRET = "a passphrase of the backup alone"


class Desk:
    """Kenya's profile on a disk that can be lost."""

    def __init__(self, folder):
        self.world = testing.world(KENYA, BELGIUM)
        self.folder = folder
        self.home = folder / "home"
        self.file = folder / "profile.backup"
        self.client = self.world.client(self.world.profile(KENYA, folder=self.home))
        self.belgium = self.world.client(BELGIUM)

    def send(self, case="1", client=None):
        return (client or self.client).send("tracing-request", testing.sample_request(case), to=[BELGIUM])

    def write_while_away(self, case):
        self.world.broker.offline = True
        with pytest.raises(TransportError):
            self.send(case)
        self.world.broker.offline = False
        return self.client.outbox()[-1].payload

    def backup(self):
        create_backup(self.home, self.file, SECRET, clock=self.world.clock)
        return self.file

    def lose(self):
        self.client.profile.close()
        shutil.rmtree(self.home)

    def restore(self):
        restore_backup(self.file, self.folder / "new", SECRET)
        return self.world.client(Profile.open(self.folder / "new", testing.PASSPHRASE))

    def posts(self):
        return [r for r in self.world.broker.requests if r.method == "POST"]

    def logged(self, kind="message"):
        return [
            e.document.payload_hash for e in self.world.broker.entries if e.document.claims["kind"] == kind
        ]


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def test_a_lost_machine_is_restored_and_nothing_is_sent_twice(desk):
    first = desk.send("1")
    waited = desk.write_while_away("2")
    never = desk.write_while_away("3")
    desk.backup()
    # After the backup: one of the waiting ones is sent, and one more is made.
    [item] = [i for i in desk.client.outbox() if i.payload == waited]
    desk.world.broker.handle(_post_of(desk, item.body))
    desk.client._run(
        desk.client._core.sender.settler.find(item, desk.client.profile.keystore.signer("instance"))
    )
    unwritten = desk.client.profile.store
    unwritten._db.execute("UPDATE outbox SET state = 'given_up' WHERE payload = ?", (never,))
    later = desk.send("4")
    desk.lose()
    restored = desk.restore()
    before = len(desk.posts())

    with pytest.raises(UncheckableError) as caught:
        desk.send("5", restored)
    assert caught.value.code == "restored_unchecked"
    with pytest.raises(UncheckableError):
        restored.flush()
    with pytest.raises(ConflictError) as caught:
        restored.compare_restored()
    assert caught.value.code == "entries_to_adopt"
    assert [e["statement"] for e in caught.value.facts["entries"]] == [later.hash]
    with pytest.raises(UncheckableError):
        desk.send("5", restored)  # looking is not adopting

    compared = restored.compare_restored(adopt=True)
    assert [i.payload for i in compared.recognised] == [waited]
    assert [a.message for a in compared.adopted] == [later.message]
    assert [i.payload for i in compared.waiting] == [never]
    assert len(desk.posts()) == before
    assert restored.proof(waited)
    assert restored.status(waited).stage == "logged"

    desk.send("5", restored)
    assert restored.sync_sent() == 0
    assert restored.halted is None
    logged = desk.logged()
    assert len(logged) == len(set(logged))
    assert logged[:3] == [first.message, waited, later.message]
    # Received exactly once each at the other side.
    assert [m.message for m in desk.belgium.inbox()] == logged


def _post_of(desk, body):
    """What the broker gets when a waiting message is posted."""
    return testing.Exchange("POST", testing._world.HOST, "/v1/messages", "", (), body)


def test_messages_received_come_again_only_if_they_are_not_answered(desk):
    sent = [
        desk.belgium.send("lost-or-stolen-notice", testing.sample_notice(str(i)), to=[KENYA])
        for i in range(3)
    ]
    inbox = desk.client.inbox()
    next(inbox).accept()
    desk.backup()
    next(inbox).accept()  # after the backup: the log knows
    desk.lose()
    restored = desk.restore()
    with pytest.raises(UncheckableError):
        list(restored.inbox())
    restored.compare_restored(adopt=True)
    assert [m.message for m in restored.inbox()] == [sent[2].message]
    assert restored.open_message(sent[0]).content.national_case_ref == "0"


def test_a_backup_with_nothing_made_after_it_is_compared_without_adopting(desk):
    desk.send()
    desk.backup()
    desk.lose()
    restored = desk.restore()
    compared = restored.compare_restored()
    assert (compared.recognised, compared.adopted, compared.waiting) == ((), (), ())
    with pytest.raises(ConflictError) as caught:
        restored.compare_restored()
    assert caught.value.code == "not_restored"
    desk.send("2", restored)


def test_reading_sent_without_the_comparison_is_refused_and_is_no_alarm(desk):
    desk.backup()
    desk.send()
    desk.lose()
    restored = desk.restore()
    with pytest.raises(UncheckableError) as caught:
        restored.sync_sent()
    assert caught.value.code == "restored_unchecked"
    assert restored.halted is None


def test_an_entry_older_than_the_backup_that_it_does_not_know_is_an_alarm_even_then(desk):
    # Somebody else used the key before the backup was made, and this profile has not read `sent` since.
    desk.client.sync()
    thief = desk.world.client(desk.world.profile(KENYA))
    desk.send("stolen", thief)
    desk.client.sync()
    desk.backup()
    desk.lose()
    restored = desk.restore()
    with pytest.raises(InconsistentLogError) as caught:
        restored.compare_restored(adopt=True)
    assert caught.value.code == "unknown_sent_entry"
    assert restored.halted is not None


def test_a_broker_that_goes_away_while_comparing_leaves_the_profile_uncompared(desk):
    desk.client.sync()
    waited = desk.write_while_away("1")
    desk.backup()
    desk.lose()
    restored = desk.restore()

    def lie(exchange, answer):
        return (503, {}, b"") if "/statements/" in exchange.path else answer

    desk.world.broker.intercept = lie
    with pytest.raises(TransportError):
        restored.compare_restored()
    with pytest.raises(UncheckableError):
        desk.send("2", restored)
    desk.world.broker.intercept = None
    assert [i.payload for i in restored.compare_restored().waiting] == [waited]
    restored.flush()
    assert desk.logged() == [waited]


def test_a_backup_is_made_while_the_client_writes(desk):
    stop = threading.Event()
    errors = []

    def write():
        number = 0
        try:
            while not stop.is_set():
                number += 1
                desk.client.profile.store.add_known_root(number, bytes(32))
        except Exception as error:
            errors.append(error)

    desk.send()
    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(3):
            create_backup(desk.home, desk.folder / f"{number}.backup", SECRET)
    finally:
        stop.set()
        thread.join()
    assert errors == []
    for number in range(3):
        report = verify_backup(desk.folder / f"{number}.backup", SECRET)
        assert (report.address, report.waiting) == (KENYA, 0)
        assert report.checkpoint > 0
    assert not [p for p in desk.home.iterdir() if p.name.startswith(".")]


def test_every_file_of_the_profile_is_in_it_and_closed_to_others(desk):
    desk.client.profile.keep_evidence(InconsistentLogError("other_founding", "a drill", b"one", b"two"), 1)
    desk.backup()
    restore_backup(desk.file, desk.folder / "new", SECRET)
    old = {p.relative_to(desk.home).as_posix() for p in desk.home.rglob("*") if p.is_file()}
    new = {
        p.relative_to(desk.folder / "new").as_posix() for p in (desk.folder / "new").rglob("*") if p.is_file()
    }
    assert new == {n for n in old if not n.startswith("state.db-") and n != "lock"}
    assert any(n.startswith("evidence/") for n in new)
    assert all(not (desk.folder / "new" / n).stat().st_mode & 0o077 for n in new)
    assert not desk.file.stat().st_mode & 0o077


def test_nothing_of_the_profile_can_be_read_in_the_file(desk):
    desk.backup()
    data = desk.file.read_bytes()
    assert KENYA.encode() not in data
    assert b"SQLite" not in data


def refused(desk, data, code, kind, passphrase=SECRET):
    bad = desk.folder / "bad.backup"
    bad.write_bytes(data)
    before = sorted(p.name for p in desk.folder.iterdir())
    with pytest.raises(kind) as caught:
        restore_backup(bad, desk.folder / "new", passphrase)
    assert caught.value.code == code
    assert sorted(p.name for p in desk.folder.iterdir()) == before
    with pytest.raises(kind):
        verify_backup(bad, passphrase)


def test_a_wrong_passphrase(desk):
    refused(desk, desk.backup().read_bytes(), "wrong_passphrase", SealError, "another")


@pytest.mark.parametrize("keep", [100, 0.5, -1, -20])
def test_a_truncated_backup(desk, keep):
    data = desk.backup().read_bytes()
    cut = data[: keep if isinstance(keep, int) else int(len(data) * keep)]
    with pytest.raises(SealError) as caught:
        verify_backup(_written(desk, cut), SECRET)
    assert caught.value.code in {"truncated_ciphertext", "altered_ciphertext"}
    refused(desk, cut, caught.value.code, SealError)


def test_a_backup_cut_at_the_end_of_a_chunk(desk):
    data = desk.backup().read_bytes()
    header = 8 + 16 + 24 + 32
    refused(desk, data[: header + 2 * (16 * 1024 + 16)], "truncated_ciphertext", SealError)


def _written(desk, data):
    path = desk.folder / "cut.backup"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("at", "code", "kind"),
    [
        (0, "not_a_sealed_file", MalformedError),
        (7, "unknown_version", UncheckableError),
        (10, "wrong_passphrase", SealError),
        (60, "wrong_passphrase", SealError),
        (200, "altered_ciphertext", SealError),
        (-1, "altered_ciphertext", SealError),
    ],
)
def test_a_flipped_bit(desk, at, code, kind):
    data = bytearray(desk.backup().read_bytes())
    data[at] ^= 1
    refused(desk, bytes(data), code, kind)


def test_bytes_after_the_end(desk):
    refused(desk, desk.backup().read_bytes() + b"\0", "altered_ciphertext", SealError)


def test_an_empty_file(desk):
    refused(desk, b"", "not_a_sealed_file", MalformedError)


@pytest.mark.parametrize(
    "name",
    ["../escape", "/etc/passwd", "a/b/c/d", ".hidden", "a//b", "lock", "state.db-wal", "x" * 200, "a\\b"],
)
def test_a_backup_that_names_other_places_than_its_folder(desk, name):
    about = b'{"format":"countermark-backup-1","made_at":1}'
    records = [("about.json", about), (name, b"x")]
    plain = b"".join(_backup._head(n, len(d)) + d for n, d in records) + b"\0\0"
    sealed = b"".join(seal_file(SECRET, bytes(16), bytes(24), [plain]))
    refused(desk, sealed, "bad_backup", MalformedError)


def test_where_nothing_can_be_backed_up_or_restored(desk):
    with pytest.raises(NotFoundError):
        create_backup(desk.folder / "nowhere", desk.file, SECRET)
    desk.backup()
    with pytest.raises(ConflictError) as caught:
        desk.backup()
    assert caught.value.code == "file_exists"
    with pytest.raises(ConflictError) as caught:
        restore_backup(desk.file, desk.home, SECRET)
    assert caught.value.code == "profile_exists"


def _rows(*cases):
    return [
        Draft(type="tracing-request", content=testing.sample_request(c), to=[BELGIUM], reference=f"row {c}")
        for c in cases
    ]


def test_what_was_sent_after_the_backup_is_known_by_its_reference(desk):
    list(desk.client.send_bulk(_rows("1")))
    desk.backup()
    later = list(desk.client.send_bulk(_rows("2", "3")))
    desk.lose()
    restored = desk.restore()
    restored.compare_restored(adopt=True)
    outcomes = list(restored.send_bulk(_rows("1", "2", "3", "4")))
    assert [o.error for o in outcomes] == [None] * 4
    assert [o.message for o in outcomes[1:3]] == [o.message for o in later]
    assert [o.sent.index for o in outcomes[1:3]] == [o.sent.index for o in later]
    assert [m.content.national_case_ref for m in desk.belgium.inbox()] == ["1", "2", "3", "4"]
    # A backup of the restored profile brings it along.
    desk.client, desk.home = restored, desk.folder / "new"
    desk.file = desk.folder / "second.backup"
    desk.backup()
    desk.lose()
    restored = desk.restore()
    restored.compare_restored()
    assert all(o.sent for o in restored.send_bulk(_rows("2")))
    assert len(desk.logged()) == 4


def test_an_id_tells_nothing_of_its_reference_but_to_its_profile(desk):
    [one] = desk.client.send_bulk(_rows("1"))
    [other] = desk.world.client(desk.world.profile(KENYA)).send_bulk(_rows("1"))
    assert one.sent.id[-17:] != other.sent.id[-17:]


def test_a_backup_of_a_profile_that_was_not_compared_lacks_what_the_first_one_lacked(desk):
    desk.backup()
    sent = desk.send()
    desk.lose()
    restored = desk.restore()
    restored.sync()  # it knows a longer log now, and still not what it sent
    desk.client, desk.home = restored, desk.folder / "new"
    desk.file = desk.folder / "second.backup"
    desk.backup()
    desk.lose()
    again = desk.restore()
    assert [a.message for a in again.compare_restored(adopt=True).adopted] == [sent.message]
    assert again.halted is None


async def test_the_comparison_on_an_event_loop(desk):
    desk.backup()
    desk.send()
    desk.lose()
    restored = desk.restore()
    async with desk.world.async_client(restored.profile) as client:
        compared = await client.compare_restored(adopt=True)
        assert len(compared.adopted) == 1
    assert isinstance(restored, Client)
