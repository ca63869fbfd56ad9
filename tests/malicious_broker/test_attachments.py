"""Acts on the pieces of attachments: each is named by its digest, and the manifest names all of them."""

from __future__ import annotations

import os

import pytest

from countermark_client import Attach, testing
from countermark_protocol.attachments import PIECE_BYTES
from countermark_protocol.errors import ConflictError
from malicious_broker.kit import BELGIUM, KENYA, malicious_world
from malicious_broker.verdicts import Act, silent

FILE = os.urandom(PIECE_BYTES + 5)


@pytest.fixture
def scene():
    world, broker = malicious_world(KENYA, BELGIUM)
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    kenya.sync()
    belgium.sync()
    return world, broker, kenya, belgium


def _send(client):
    return client.send(
        "tracing-request", testing.sample_request(), [BELGIUM], attachments=[Attach(FILE, name="a.bin")]
    )


def _serve(broker, part, change):
    """Change what is served of calls whose path has a part."""

    def intercept(request, answer):
        status, headers, body = answer
        return (status, headers, change(request.path, body)) if part in request.path else answer

    broker.intercept = intercept


def _honest(broker, client, message, folder, *silently):
    """The honest twin: the same client gets the file after all, and nobody has noticed anything."""
    broker.intercept, broker.dropped = None, ()
    [fetched] = client.fetch_attachments(message, folder)
    assert fetched.path.read_bytes() == FILE
    silent(client, *silently)


@pytest.mark.parametrize("how", ["altered", "moved", "cut", "of another message"])
def test_swapping_pieces(scene, tmp_path, how):
    world, broker, kenya, belgium = scene
    act = Act("swapping pieces of an attachment", world)
    sent, other = _send(kenya), _send(kenya)
    own, others = (
        [broker._pieces[d] for d in broker._submissions[m.message].pieces[0]] for m in (sent, other)
    )
    assert len(list(belgium.inbox())) == 2

    def change(path, body):
        number = int(path.rpartition("/")[2])
        return {
            "altered": body[:-1] + bytes([body[-1] ^ 1]),
            "moved": own[1 - number],
            "cut": body[: len(body) // 2],
            "of another message": others[number],
        }[how]

    _serve(broker, "/pieces/", change)
    act.raises(lambda: belgium.fetch_attachments(sent, tmp_path), "piece_swapped")
    assert os.listdir(tmp_path) == []
    act.convinces_nobody(belgium)
    _honest(broker, belgium, sent, tmp_path, kenya)


@pytest.mark.parametrize("how", ["reversed", "cut", "repeated", "of another message"])
def test_swapping_the_list_of_pieces(scene, tmp_path, how):
    world, broker, kenya, belgium = scene
    act = Act("swapping pieces of an attachment", world)
    sent, other = _send(kenya), _send(kenya)
    others = b"".join(broker._submissions[other.message].pieces[0])
    assert len(list(belgium.inbox())) == 2
    _serve(
        broker,
        "/attachments/0",
        lambda _, body: {
            "reversed": body[32:] + body[:32],
            "cut": body[:32],
            "repeated": body + body[32:],
            "of another message": others,
        }[how],
    )
    act.raises(lambda: belgium.fetch_attachments(sent, tmp_path), "attachment_swapped")
    assert os.listdir(tmp_path) == []
    act.convinces_nobody(belgium)
    _honest(broker, belgium, sent, tmp_path, kenya)


def test_withholding_a_piece(scene, tmp_path):
    world, broker, kenya, belgium = scene
    act = Act("withholding a piece of an attachment", world)
    sent = _send(kenya)
    assert len(list(belgium.inbox())) == 1
    broker.dropped = ("/pieces/1",)
    act.raises(lambda: belgium.fetch_attachments(sent, tmp_path), "broker_unreachable")
    assert os.listdir(tmp_path) == []
    act.convinces_nobody(belgium)
    # What came before is kept, and what proves itself may come by any way: the sender hands it over.
    digest = broker._submissions[sent.message].pieces[0][1]
    belgium.profile.pieces.write(digest, kenya.profile.pieces.read(digest))
    [fetched] = belgium.fetch_attachments(sent, tmp_path)
    assert fetched.path.read_bytes() == FILE
    silent(belgium, kenya)


def test_lacking_what_was_uploaded(scene, tmp_path):
    world, broker, kenya, belgium = scene
    act = Act("lacking for ever the pieces that a sender has uploaded", world)
    lacking = ConflictError("pieces_missing", "upload them")
    broker.intercept = lambda request, answer: (
        broker._problem(409, lacking) if request.path == "/v1/messages" else answer
    )
    act.raises(lambda: _send(kenya), "broker_unavailable")
    assert kenya.outbox()[0].state == "waiting"
    act.convinces_nobody(kenya)
    broker.intercept = None
    [logged] = kenya.flush().logged
    assert len(list(belgium.inbox())) == 1
    _honest(broker, belgium, logged.payload, tmp_path, kenya)
