"""Messages that do not hold what their manifest promises: rejected with a signed reason, never given out."""

import dataclasses
import json

import pytest

from countermark_client import _contents, _seal, testing
from countermark_client._flows_receipts import encode_details
from countermark_protocol.manifest import Outcome, Stage
from countermark_protocol.messages.facts import ManifestFacts
from countermark_protocol.parts import Part
from countermark_protocol.receipts import RejectionReason

KENYA, BELGIUM = "ke.police.nairobi", "be.contact.federal"


@pytest.fixture
def world():
    return testing.world(KENYA, BELGIUM)


def _send(client):
    return client.send("tracing-request", testing.sample_request(), to=[BELGIUM])


def _invalid_content(monkeypatch):
    monkeypatch.setattr(
        _contents, "content_document", lambda _m: {**testing.sample_request("SECRET-1"), "items": "SECRET-2"}
    )


def _two_spellings(monkeypatch):
    monkeypatch.setattr(_seal, "split_content", lambda *_: (Part("/a", b"1"), Part("/a", b"2")))


def _other_commitment(monkeypatch):
    seal = _seal.seal_content

    def lie(*args):
        ciphertext, sealed = seal(*args)
        return ciphertext, dataclasses.replace(sealed, commitment=bytes(32))

    monkeypatch.setattr(_seal, "seal_content", lie)


def _other_key(monkeypatch):
    wrap = _seal.wrap_secrets

    def lie(key, info, secrets):
        return wrap(key, info, dataclasses.replace(secrets, content_key=bytes(32)))

    monkeypatch.setattr(_seal, "wrap_secrets", lie)


def _spliced(monkeypatch):
    wrap = _seal.wrap_secrets
    monkeypatch.setattr(_seal, "wrap_secrets", lambda key, info, secrets: wrap(key, info + b"x", secrets))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_invalid_content, RejectionReason.INVALID_CONTENT),
        (_two_spellings, RejectionReason.INVALID_CONTENT),
        (_other_commitment, RejectionReason.COMMITMENT_MISMATCH),
        (_other_key, RejectionReason.UNOPENABLE),
        (_spliced, RejectionReason.UNOPENABLE),
    ],
    ids=lambda v: getattr(v, "__name__", str(v)),
)
def test_a_spoilt_message_is_rejected_with_its_reason(world, monkeypatch, spoil, reason):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    with monkeypatch.context() as patch:
        spoil(patch)
        bad = _send(kenya)
    good = _send(kenya)

    assert [r.message for r in belgium.inbox()] == [good.message]
    [rejected] = belgium.rejected
    assert (rejected.message, rejected.reason) == (bad.message, reason)
    assert list(belgium.inbox()) != []  # the good one, not answered yet; the bad one is done
    assert bad.message not in [r.message for r in belgium.inbox()]

    kenya.notices()
    [status] = kenya.status(bad).recipients
    assert (status.stage, status.reason) == ("rejected", reason.value)
    assert status.details["code"] == rejected.details["code"]
    assert "SECRET" not in json.dumps(status.details)  # what came is told by its form alone
    # Sealed: nothing of the details is in what the broker holds.
    assert not any(status.details["message"].encode() in e.document.data for e in world.broker.entries)


def test_a_manifest_that_contradicts_its_content(world, monkeypatch):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    _send(kenya)
    [request] = belgium.inbox()
    answer = testing.sample_response(request.manifest.id)
    with monkeypatch.context() as patch:
        patch.setattr(_contents, "manifest_facts", lambda _m: ManifestFacts(Stage.FINAL, Outcome(success=1)))
        sent = belgium.reply(request, "tracing-response", answer)
    assert list(kenya.inbox()) == []
    belgium.notices()
    [status] = belgium.status(sent).recipients
    assert status.reason == "manifest_mismatch"
    assert status.details["code"] == "manifest_contradicts_content"


async def test_a_spoilt_message_on_an_event_loop(world, monkeypatch):
    kenya = world.client(KENYA)
    with monkeypatch.context() as patch:
        _invalid_content(patch)
        for _ in range(10):
            _send(kenya)
    async with world.async_client(BELGIUM) as belgium:
        assert [one async for one in belgium.inbox()] == []
        assert len(belgium.rejected) == 10


def test_the_sealed_original_of_a_rejected_message_is_kept(world, monkeypatch):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    with monkeypatch.context() as patch:
        _invalid_content(patch)
        bad = _send(kenya)
    list(belgium.inbox())
    stored = belgium.profile.store.message(bad.message)
    assert stored.stage == "rejected"
    assert stored.content is not None
    assert stored.stanza is not None
    [item] = belgium.conversation(bad)
    assert (item.content, item.stage, item.reason) == (None, "rejected", "invalid_content")


def test_details_fit_and_tell_little_by_their_size():
    short = encode_details({"code": "x", "message": "y"})
    assert len(short) == len(encode_details({"code": "x", "message": "y" * 50}))
    long = {"code": "x", "message": "m", "violations": [{"field": "/a" * 100, "rule": "r"}] * 100}
    data = encode_details(long)
    assert len(data) <= 14 * 1024 + 512
    kept = json.loads(data)["violations"]
    assert 1 <= len(kept) < 100
    assert json.loads(encode_details({"message": "é" * 20_000}))["message"] == "é" * 1000
