"""Acts on the pieces of attachments."""

from __future__ import annotations

import io
import os

import pytest

from countermark_client import Attach, testing
from countermark_protocol.attachments import PIECE_BYTES, encode_digests
from countermark_protocol.errors import ConflictError
from malicious_broker.kit import BELGIUM, KENYA, malicious_world
from malicious_broker.verdicts import Act, silent

#: Two pieces, and equal ones: only what they are sealed under tells two messages apart.
REPORT = os.urandom(PIECE_BYTES + 1_000)


@pytest.fixture
def scene():
    world, broker = malicious_world(KENYA, BELGIUM)
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    for _ in range(2):
        attach(kenya)
    first, second = belgium.inbox()
    return world, broker, kenya, belgium, (first, second)


def attach(kenya):
    report = Attach(REPORT, name="report.bin")
    return kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM], attachments=[report])


def fetched(client, received):
    """What arrives of an attachment, and how the fetch ends."""
    out = io.BytesIO()
    client.fetch_attachment(received, 0, out)
    return out.getvalue()


def pieces_of(broker, received):
    [digests] = broker._submissions[received.message].pieces
    return digests, [broker._pieces[digest] for digest in digests]


def test_the_honest_twin(scene):
    _, broker, kenya, belgium, both = scene
    assert [fetched(belgium, received) for received in both] == [REPORT, REPORT]
    (one, _), (other, _) = (pieces_of(broker, received) for received in both)
    assert not set(one) & set(other)
    silent(kenya, belgium)


def test_swapping_pieces(scene):
    world, broker, _, belgium, (received, other) = scene
    act = Act("swapping pieces of an attachment", world)
    (digests, own), (foreign, others) = (pieces_of(broker, one) for one in (received, other))
    flipped = own[1][:-1] + bytes([own[1][-1] ^ 1])
    for path, body, code in [
        ("/pieces/0", others[0], "piece_swapped"),
        ("/pieces/0", own[1], "piece_swapped"),
        ("/pieces/1", flipped, "piece_swapped"),
        ("/pieces/1", own[1][:-1], "piece_swapped"),
    ]:
        broker.intercept = lambda request, answer, path=path, body=body: (
            (*answer[:2], body) if request.path.endswith(path) else answer
        )
        act.raises(lambda: fetched(belgium, received), code)
    # A list is kept once it was found to be the one signed for, so its lies are told to who has not asked yet.
    lists = [foreign, digests[::-1], digests[:-1], (*digests, digests[0])]
    fresh = world.client(world.profile(BELGIUM, keystore=world.add_instance(BELGIUM)))
    again = next(one for one in fresh.inbox() if one.message == received.message)
    for listed in lists:
        broker.intercept = lambda request, answer, listed=listed: (
            (*answer[:2], encode_digests(listed)) if request.path.endswith("/attachments/0") else answer
        )
        act.raises(lambda: fetched(fresh, again), "attachment_swapped")
    broker.intercept = None
    assert fetched(belgium, received) == fetched(fresh, again) == REPORT
    act.convinces_nobody(belgium, fresh)


def test_withholding_a_piece(scene):
    world, broker, _, belgium, (received, _) = scene
    act = Act("withholding a piece of an attachment", world)
    broker.dropped = ("/pieces/1",)
    act.raises(lambda: fetched(belgium, received), "broker_unreachable")
    act.convinces_nobody(belgium)
    broker.dropped = ()
    assert fetched(belgium, received) == REPORT


def test_lacking_what_was_uploaded(scene):
    world, broker, kenya, _, _ = scene
    act = Act("lacking for ever the pieces that a sender has uploaded", world)

    def lack(request, answer):
        if request.path != "/v1/messages":
            return answer
        return broker._problem(
            409, ConflictError("pieces_missing", "upload them, and send the same bytes again")
        )

    broker.intercept = lack
    act.raises(lambda: attach(kenya), "broker_unavailable")
    assert [item.state.value for item in kenya.outbox()][-1] == "waiting"
    act.convinces_nobody(kenya)
    broker.intercept = None
    kenya.flush()
    assert {item.state.value for item in kenya.outbox()} == {"logged"}
    silent(kenya)
