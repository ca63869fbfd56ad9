"""Bundles, backups and workers against the real broker in a process of its own."""

import io
import os
import time
from dataclasses import replace

import pytest

from countermark_client import (
    Attach,
    Client,
    Draft,
    Profile,
    Settings,
    create_backup,
    default_handling,
    make_key,
    restore_backup,
    testing,
)
from countermark_client.statements import sign_gathering
from countermark_protocol.attachments import PIECE_BYTES
from countermark_protocol.boxes import Box
from countermark_protocol.errors import ConflictError, TransportError, UncheckableError
from countermark_protocol.handling import Classification
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.signers import load_signer
from support.demo import governed, serving

KENYA, BELGIUM = "ke.ncb.nairobi", "be.contact.national"
CAST = {"ke": ("Kenya", {KENYA: "Bureau"}), "be": ("Belgium", {BELGIUM: "Contact point"})}
NOTICE = "lost-or-stolen-notice"


@pytest.fixture(scope="module")
def world(tmp_path_factory, real_database):
    with governed(tmp_path_factory.mktemp("offline") / "world", real_database, CAST) as world, serving(world):
        yield world


@pytest.fixture(scope="module")
def second(world):
    """A further instance of Kenya."""
    client = world.clients[KENYA]
    fresh = make_key("instance")
    signer = load_signer(fresh.algorithm, fresh.private)
    record = client.directory.keys(KENYA)
    signing = [*((k.key, k.holder) for k in record.signing), (signer.public_key, "second")]
    draft = client.drafts.keys(KENYA, signing=signing, sealing=record.sealing, reads=record.reads)
    administrator = client.profile.keystore.signer("administrator")
    client.publish_statement(sign_gathering(draft, [administrator], [signer]))
    sealing = next(k for k in client.profile.keystore.stored if k.use == "sealing")
    profile = Profile.create(
        world.root / "second",
        address=KENYA,
        broker_url=world.url,
        trust=world.trust,
        passphrase=world.passphrase,
        holder="second",
        keys=[fresh, StoredKey("sealing", sealing.algorithm, sealing.private)],
    )
    yield profile
    profile.close()


def _file(client, message):
    out = io.BytesIO()
    client.fetch_attachment(message, 0, out)
    return out.getvalue()


def test_a_post_without_a_line(world, second):
    belgium, town = world.clients[BELGIUM], world.clients[KENYA]
    film = os.urandom(PIECE_BYTES + 1)
    files = [], [Attach(film, "film.bin")], []
    sent = [
        belgium.send(NOTICE, testing.sample_notice(str(i)), [KENYA], exercise=True, attachments=of_it)
        for i, of_it in enumerate(files)
    ]
    with Client(second, settings=Settings(cut_off=True, max_checkpoint_age=86_400_000)) as hill:
        took = hill.import_bundle(town.carry_bundle(hill.export_bundle().data).data)
        assert (took.opened, took.complete) == (3, True)
        received = list(hill.inbox())
        assert [r.message for r in received] == [s.message for s in sent]
        assert _file(hill, received[1]) == film
        assert hill.accept_many(received) == 3
        with pytest.raises(TransportError):
            hill.send(
                NOTICE,
                testing.sample_notice("hill"),
                [BELGIUM],
                exercise=True,
                attachments=[Attach(film, "f")],
            )
        took = hill.import_bundle(town.carry_bundle(hill.export_bundle().data).data)
        assert (took.logged, took.refused, took.complete) == (2, 0, True)
        [message] = belgium.inbox()
        assert _file(belgium, message) == film
        message.accept()
        belgium.notices()
        assert {belgium.status(s).recipients[0].stage for s in sent} == {"accepted"}
        took = hill.import_bundle(town.carry_bundle(hill.export_bundle().data).data)
        assert took.entries[Box.NOTICES] == 2
        assert hill.status(message.message).recipients[0].stage == "accepted"
    assert town.sync_sent() == 0
    assert town.backlog() == []


def test_files_of_a_draft_are_judged_by_its_second_person_and_reach_the_recipient(world, second, tmp_path):
    one, belgium = world.clients[KENYA], world.clients[BELGIUM]
    film = os.urandom(PIECE_BYTES + 1)
    draft = Draft(
        type=NOTICE,
        content=testing.sample_notice("two persons"),
        to=[BELGIUM],
        exercise=True,
        handling=replace(
            default_handling(int(time.time() * 1000)), classification=Classification.CONFIDENTIAL
        ),
        attachments=[Attach(film, name="film.bin"), Attach(b"note", name="note")],
    )
    data = one.draft_message(draft, tmp_path / "files")
    with Client(second) as two:
        assert two.read_message_draft(data, tmp_path / "files").missing == ("release",)
        signed = two.sign_message_draft(data, tmp_path / "files")
        sent = two.send_message_draft(signed, tmp_path / "files")
    [received] = [m for m in belgium.inbox() if m.message == sent.message]
    assert len(received.signed_by) == 2
    assert _file(belgium, received) == film
    received.accept()


def test_workers_share_by_leases(world, second):
    belgium, one = world.clients[BELGIUM], world.clients[KENYA]
    sent = [belgium.send(NOTICE, testing.sample_notice(str(i)), [KENYA], exercise=True) for i in range(4)]
    with Client(second) as two:
        share = one.work(at_once=2)
        first = next(share)
        others = list(two.work())
        assert [m.message for m in others] == [s.message for s in sent[2:]]
        assert [p.holder for p in two.backlog()] == ["worker-1", "worker-1", "second", "second"]
        first.accept()
        two.accept_many(others)
        share.close()  # what was leased and not given out comes back at once
        [taken] = two.work()
        taken.accept()
        assert one.backlog() == two.backlog() == []


def test_what_another_instance_sent_is_superseded_and_shown_by_its_proof(world, second):
    one, belgium = world.clients[KENYA], world.clients[BELGIUM]
    first = one.send(NOTICE, testing.sample_notice("first"), [BELGIUM], exercise=True)
    with Client(second) as two:
        two.sync_sent()
        later = two.send(
            NOTICE, testing.sample_notice("later"), [BELGIUM], exercise=True, supersedes=first.message
        )
        assert [r.recipient for r in two.status(first.message).recipients] == [BELGIUM]
    received = list(belgium.inbox())
    assert [r.message for r in received] == [first.message, later.message]
    assert received[0].successor.message == later.message


def test_what_is_in_the_log_is_not_given_up_though_its_answer_was_lost(world):
    client = world.clients[KENYA]
    sent = client.send(NOTICE, testing.sample_notice("lost answer"), [BELGIUM], exercise=True)
    client.profile.store.set_outbox_waiting(sent.message)
    with pytest.raises(ConflictError) as caught:
        client.give_up(sent.message, "told them by telephone")
    assert caught.value.code == "already_logged"


def test_a_restored_profile_sends_nothing_twice(world):
    belgium = world.clients[BELGIUM]
    kenya = world.clients[KENYA]
    belgium.send(NOTICE, testing.sample_notice("before"), [KENYA], exercise=True)
    create_backup(belgium.profile.folder, world.root / "be.backup", "of the backup")
    later = belgium.send(NOTICE, testing.sample_notice("after"), [KENYA], exercise=True)
    restore_backup(world.root / "be.backup", world.root / "restored", "of the backup")
    profile = Profile.open(world.root / "restored", world.passphrase)
    with Client(profile) as restored:
        with pytest.raises(UncheckableError):
            restored.send(NOTICE, testing.sample_notice("too soon"), [KENYA], exercise=True)
        with pytest.raises(ConflictError):
            restored.compare_restored()
        compared = restored.compare_restored(adopt=True)
        assert [a.message for a in compared.adopted] == [later.message]
        restored.send(NOTICE, testing.sample_notice("again"), [KENYA], exercise=True)
        assert restored.sync_sent() == 0
    profile.close()
    received = list(kenya.inbox())
    assert [r.content.national_case_ref for r in received] == ["before", "after", "again"]
