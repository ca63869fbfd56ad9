"""What becomes of files that a profile keeps: backups, retention, workers, posts without a line, auditors, courts."""

import io
import os

import pytest

from countermark_client import (
    Attach,
    Client,
    Direction,
    Profile,
    Settings,
    create_backup,
    restore_backup,
    testing,
)
from countermark_client._piece_files import PIECES_FOLDER
from countermark_client._settings import DAY_MS
from countermark_client.errors import StorageError
from countermark_protocol.disclosure import parse_disclosed, verify_shown
from countermark_protocol.errors import CountermarkError, NotFoundError, TransportError

KENYA, BELGIUM = "ke.police.nairobi", "be.contact.federal"
DATA = os.urandom(50_000)


@pytest.fixture
def world():
    return testing.world(KENYA, BELGIUM)


def _send(client, *attachments, **more):
    given = attachments or (Attach(DATA, name="a.bin", caption="c"),)
    return client.send("tracing-request", testing.sample_request(), to=[BELGIUM], attachments=given, **more)


def _read(client, message, index=0):
    out = io.BytesIO()
    client.fetch_attachment(message, index, out)
    return out.getvalue()


def _files(profile):
    folder = profile.folder / PIECES_FOLDER
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_pieces_are_for_their_owner_alone_and_a_damaged_one_is_found(world, tmp_path):
    profile = world.profile(KENYA, folder=tmp_path / "ke")
    client = world.client(profile)
    sent = _send(client)
    [name] = _files(profile)
    folder = profile.folder / PIECES_FOLDER
    assert (folder.stat().st_mode & 0o777, (folder / name).stat().st_mode & 0o777) == (0o700, 0o600)
    assert DATA[:16] not in (folder / name).read_bytes()
    (folder / name).write_bytes(b"\x00" * 100)
    with pytest.raises(StorageError) as caught:
        _read(client, sent)
    assert caught.value.code == "piece_damaged"
    assert _read(client, sent) == DATA  # the broker has it: what is missing is fetched


def test_a_backup_holds_the_files(world, tmp_path):
    profile = world.profile(KENYA, folder=tmp_path / "ke")
    client = world.client(profile)
    sent = _send(client)
    # Left over by a crash: it is in the backup, and swept when what was restored is opened.
    (tmp_path / "ke" / PIECES_FOLDER / ("0" * 64)).write_bytes(b"x")
    create_backup(tmp_path / "ke", tmp_path / "b", "another passphrase", clock=world.clock)
    profile.close()
    restore_backup(tmp_path / "b", tmp_path / "again", "another passphrase")
    restored = Profile.open(tmp_path / "again", testing.PASSPHRASE)
    assert len(_files(restored)) == 1
    world.broker.offline = True
    assert _read(world.client(restored), sent) == DATA
    restored.close()


def test_a_message_whose_piece_is_gone_fails_and_holds_up_nothing(world, tmp_path):
    profile = world.profile(KENYA, folder=tmp_path / "ke")
    client = world.client(profile, settings=Settings(attempts=1))
    client.sync()
    world.broker.offline = True
    for attachments in ((), (Attach(b"other"),)):
        with pytest.raises(TransportError):
            _send(client, *attachments)
    world.broker.offline = False
    first = client.outbox()[0].payload
    profile.pieces.remove(profile.store.pieces(first, Direction.OUT, 0))
    report = client.flush()
    assert [item.payload for item in report.failed] == [first]
    assert client.outbox()[0].code == "piece_not_held"
    assert client.outbox()[1].state == "logged"


def test_what_is_forgotten_is_gone_with_its_files(world, tmp_path):
    kenya = world.client(KENYA)
    profile = world.profile(BELGIUM, folder=tmp_path / "be")
    belgium = world.client(profile)
    _send(kenya)
    [received] = belgium.inbox()
    assert _read(belgium, received) == DATA
    received.accept()
    assert len(_files(profile)) == 1
    world.clock.advance(days=6 * 365)
    assert belgium.forget_expired() == (received.message,)
    assert _files(profile) == []
    with pytest.raises(NotFoundError):
        _read(belgium, received)


def test_a_profile_that_keeps_no_files(world, tmp_path):
    kept_for = Settings(keep_attachments=False, outbox_kept_for=0)
    ke, be = (world.profile(a, folder=tmp_path / a) for a in (KENYA, BELGIUM))
    kenya, belgium = world.client(ke, settings=kept_for), world.client(be, settings=kept_for)
    sent = _send(kenya)
    [received] = belgium.inbox()
    assert _read(belgium, received) == DATA
    assert _files(be) == []
    assert _read(belgium, received) == DATA  # as often as the broker has it
    world.clock.advance(days=1)
    kenya.flush()
    assert _files(ke) == []
    assert _read(kenya, sent) == DATA


def test_another_worker_of_the_endpoint_fetches_too(world):
    _send(world.client(KENYA))
    one = world.client(BELGIUM)
    two = world.client(world.profile(BELGIUM, keystore=world.add_instance(BELGIUM, "two")))
    [received] = one.inbox()
    [same] = two.inbox()
    assert _read(two, same) == DATA == _read(one, received)


def test_a_broker_that_lost_pieces_gets_them_back_from_any_party(world):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    sent = _send(kenya)
    [received] = belgium.inbox()
    with pytest.raises(NotFoundError) as caught:
        belgium.give_back_attachments(received)  # not fetched yet
    assert caught.value.code == "no_pieces"
    belgium.hold_attachment(received, 0)
    for client in (kenya, belgium):
        world.broker._pieces.clear()
        world.broker._uploaded.clear()
        assert client.give_back_attachments(sent) == 1
        assert client.give_back_attachments(sent) == 0
        other = world.client(world.profile(BELGIUM, keystore=world.add_instance(BELGIUM, str(client))))
        other.sync()
        [same] = other.inbox()
        assert _read(other, same) == DATA


class _NoLine:
    def handle_request(self, request):
        raise AssertionError(f"a post without a line asked for {request.url}")

    def close(self):
        pass


def test_a_post_without_a_line_reads_the_files(world):
    town = world.client(BELGIUM)
    hill_profile = world.profile(BELGIUM, keystore=world.add_instance(BELGIUM, "hill"))
    hill = Client(
        hill_profile,
        transport=_NoLine(),
        settings=Settings(cut_off=True, max_checkpoint_age=DAY_MS),
        clock=world.clock,
        sleep=world.clock.sleep,
    )
    for _ in range(2):
        hill.import_bundle(town.carry_bundle(hill.export_bundle().data).data)
        if not town.messages():
            _send(world.client(KENYA))
    [received] = hill.inbox()
    [attachment] = received.attachments
    assert (attachment.name, attachment.caption, attachment.held) == ("a.bin", "c", True)
    assert _read(hill, received) == DATA


def test_one_file_is_shown_to_a_court_without_the_others(world):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    sent = _send(kenya, Attach(DATA, name="a.bin"), Attach(b"of somebody else", name="b.txt"))
    [received] = belgium.inbox()
    for client in (kenya, belgium):
        made = client.disclose(sent, "High Court, Nairobi", "case 12 of 2026", parts=["attachment:0"])
        shown = verify_shown(parse_disclosed(made.data))
        assert shown.opened["attachment:0"]["sha256"] == received.attachments[0].sha256
        assert "attachment:1" in shown.closed
        assert b"b.txt" not in made.data
    with pytest.raises(CountermarkError) as caught:
        kenya.disclose(sent, "High Court, Nairobi", "case 12 of 2026", parts=["attachment:2"])
    assert caught.value.code == "unknown_part"
