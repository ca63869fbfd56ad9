"""Files that go with a draft: carried beside it, judged before it is signed, sent by whoever sends it."""

import asyncio
import dataclasses
import io
import os
import shutil

import pytest

from countermark_client import Attach, Draft
from countermark_client.testing import sample_request, world
from countermark_protocol.attachments import PIECE_BYTES
from countermark_protocol.errors import (
    ConflictError,
    MalformedError,
    NotFoundError,
    PolicyError,
    SealError,
)
from countermark_protocol.message_draft import parse_message_draft
from scenarios.test_client_two_persons import (
    ANSWERER,
    CONTACT,
    POLICE,
    answer,
    four_eyes,
    notice,
    refused,
    second,
)

#: Two pieces.
REPORT = os.urandom(PIECE_BYTES + 50_000)
NOTE = b"drawn by the armourer"


def request(**changes):
    return Draft(
        type="tracing-request",
        content=sample_request(),
        to=[CONTACT],
        attachments=[Attach(REPORT, name="report.bin"), Attach(NOTE, name="report.bin", caption="left")],
        **changes,
    )


@pytest.fixture
def built():
    made = world(POLICE, CONTACT)
    four_eyes(made, POLICE)
    return made


def test_two_persons_sign_for_files_that_the_recipient_gets(built, tmp_path):
    alice, bob, reader = built.client(POLICE), second(built, POLICE), built.client(CONTACT)
    beside, carried = tmp_path / "trace.draft.files", tmp_path / "stick"
    data = alice.draft_message(request(), beside)
    assert not os.listdir(alice.profile.pieces._place())  # they lie in one place, beside the draft
    assert all(NOTE not in path.read_bytes() for path in beside.iterdir())
    beside.rename(carried)
    drafted = bob.read_message_draft(data, carried)
    assert [(a.name, a.size, a.caption, a.held) for a in drafted.attachments] == [
        ("report.bin", len(REPORT), None, True),
        ("report.bin", len(NOTE), "left", True),
    ]
    assert [a.held for a in bob.read_message_draft(data).attachments] == [False, False]
    looked = tmp_path / "look"
    looked.mkdir()
    done = bob.fetch_draft_attachments(data, carried, looked)
    assert [one.path.name for one in done] == ["report.bin", "report (2).bin"]
    assert (looked / "report.bin").read_bytes() == REPORT
    assert (looked / "report (2).bin").read_bytes() == NOTE
    refused(ConflictError, "file_exists", bob.fetch_draft_attachments, data, carried, looked)
    refused(MalformedError, "draft_files_needed", bob.sign_message_draft, data)
    signed = bob.sign_message_draft(data, carried)
    refused(MalformedError, "draft_files_needed", bob.send_message_draft, signed)
    assert bob.outbox() == []
    sent = bob.send_message_draft(signed, carried)
    shutil.rmtree(carried)  # the profile that sent it holds all that it needs
    assert bob.send_message_draft(signed).message == sent.message
    out = io.BytesIO()
    bob.fetch_attachment(sent, 0, out)
    assert out.getvalue() == REPORT
    [received] = reader.inbox()
    out = io.BytesIO()
    reader.fetch_attachment(received, 1, out)
    assert out.getvalue() == NOTE
    assert [one.holder for one in received.signed_by] == ["one", "two"]


def test_nothing_is_signed_or_sent_without_every_file_as_it_is_described(built, tmp_path):
    alice, bob = built.client(POLICE), second(built, POLICE)
    beside = tmp_path / "files"
    data = alice.draft_message(request(), beside)
    signed = bob.sign_message_draft(data, beside)
    first, last = parse_message_draft(data).submission.pieces[0]
    path = beside / last.hex()
    kept = path.read_bytes()

    def spoilt(kind, code):
        error = refused(kind, code, bob.sign_message_draft, data, beside)
        refused(kind, code, bob.send_message_draft, signed, beside)
        refused(kind, code, bob.fetch_draft_attachments, data, beside, tmp_path / "none")
        assert error.facts["pieces"] == [last.hex()]
        assert bob.outbox() == []

    path.unlink()
    spoilt(NotFoundError, "draft_piece_missing")
    assert [a.held for a in bob.read_message_draft(data, beside).attachments] == [False, True]
    for other in (kept[:-1] + bytes([kept[-1] ^ 1]), (beside / first.hex()).read_bytes() + b"more"):
        path.write_bytes(other)
        spoilt(SealError, "draft_piece_swapped")
    path.unlink()
    os.mkfifo(path)  # nobody waits for what never comes
    spoilt(SealError, "draft_piece_swapped")
    path.unlink()
    (tmp_path / "elsewhere").write_bytes(kept)
    path.symlink_to(tmp_path / "elsewhere")
    spoilt(NotFoundError, "draft_piece_missing")
    path.unlink()
    path.write_bytes(kept)
    bob.send_message_draft(signed, beside)


def test_a_file_that_is_not_what_the_draft_says_is_not_signed(built, tmp_path, monkeypatch):
    alice, bob = built.client(POLICE), second(built, POLICE)
    data = _lying(alice, tmp_path / "files", monkeypatch)
    error = refused(SealError, "draft_file_unopenable", bob.sign_message_draft, data, tmp_path / "files")
    assert (error.facts["attachment"], error.facts["reason"]) == (1, "file_mismatch")


def _lying(client, folder, monkeypatch):
    """A draft whose second file is sealed from other bytes than its descriptor says."""
    prepared = client.prepare_attachment(Attach(NOTE, name="note"))
    other = NOTE[::-1]
    monkeypatch.setattr(
        type(prepared), "blocks", lambda one: iter([REPORT if one.size != len(NOTE) else other])
    )
    data = client.draft_message(request(), folder)
    monkeypatch.undo()
    return data


def test_the_one_in_whose_name_it_is_sent_judges_the_files_too(tmp_path):
    built = world(POLICE, CONTACT, ANSWERER)
    built.client(POLICE).send("tracing-request", sample_request(), [CONTACT])
    [asked] = built.client(CONTACT).inbox()
    asked.accept()
    office, point, police = built.client(ANSWERER), built.client(CONTACT), built.client(POLICE)
    draft = dataclasses.replace(answer(asked), attachments=[Attach(NOTE, name="note")])
    data = office.draft_message(draft, tmp_path / "f")
    refused(MalformedError, "draft_files_needed", point.sign_message_draft, data)
    office.send_message_draft(point.sign_message_draft(data, tmp_path / "f"), tmp_path / "f")
    [received] = police.inbox()
    out = io.BytesIO()
    police.fetch_attachment(received, 0, out)
    assert out.getvalue() == NOTE


def test_a_draft_that_is_not_made_leaves_nothing(built, tmp_path):
    alice = built.client(POLICE)
    folder = tmp_path / "files"
    refused(MalformedError, "draft_files_needed", alice.draft_message, request())
    nobody = dataclasses.replace(request(), to=["zz.contact.none"])
    refused(PolicyError, "recipients_refused", alice.draft_message, nobody, folder)
    gone = dataclasses.replace(request(), attachments=[Attach(NOTE), Attach(tmp_path / "none")])
    refused(NotFoundError, "file_not_readable", alice.draft_message, gone, folder)
    assert not folder.exists()
    folder.mkdir()
    (folder / "other").write_bytes(b"x")
    refused(ConflictError, "file_exists", alice.draft_message, request(), folder)
    assert alice.draft_message(notice(), tmp_path / "unused")
    assert not (tmp_path / "unused").exists()


def test_from_an_event_loop(built, tmp_path):
    async def play():
        alice = built.async_client(POLICE)
        bob = built.async_client(built.profile(POLICE, keystore=built.add_instance(POLICE, "two")))
        data = await alice.draft_message(request(), tmp_path / "files")
        [first, _] = (await bob.read_message_draft(data, tmp_path / "files")).attachments
        assert first.held
        done = await bob.fetch_draft_attachments(data, tmp_path / "files", tmp_path)
        signed = await bob.sign_message_draft(data, tmp_path / "files")
        sent = await bob.send_message_draft(signed, tmp_path / "files")
        return done, sent

    done, sent = asyncio.run(play())
    assert done[0].path.read_bytes() == REPORT
    assert [m.message for m in built.client(CONTACT).inbox()] == [sent.message]
