"""Attachments at the broker: uploaded piece by piece, claimed by a message, released by its receipt, gone with its purge."""

import asyncio

import pytest

from countermark_broker.services.content_sweep import sweep_once
from countermark_broker.services.fsck import check_everything
from countermark_broker.services.maintenance import rebuild_views
from countermark_protocol.accounts import Verdict
from countermark_protocol.attachments import PIECE_BYTES, encode_digests, parse_digests, piece_digest
from support.broker_fixtures import HttpBroker, with_node
from support.content import photographs, setting, upload
from support.database import sql
from support.world import BRUSSELS, KAMPALA, LYON, NAIROBI


@pytest.fixture
def served(world, home, place):
    broker = HttpBroker(world, home).start()
    client = broker.client()
    client.refresh()
    yield client
    client.close()
    broker.stop()


def attachment(api, sealed, what, by):
    return api.request("GET", f"/v1/messages/{sealed.payload_hash.hex()}/attachments/{what}", by=by)


def missing(api, digests, by):
    answer = api.request("POST", "/v1/pieces/missing", encode_digests(digests), by)
    assert answer.status_code == 200, answer.text
    return parse_digests(answer.content)


def refused(api, answer, code, verdict=Verdict.REFUSED):
    account = api.verify_account_of(api.problem(answer, code).account, api.last_digest)
    assert account.verdict is verdict


async def sound(world, home):
    checked = await with_node(world, home, check_everything)
    assert checked.findings == ()
    rebuilt = await with_node(world, home, lambda node: rebuild_views(node, check_only=True))
    assert rebuilt.findings == ()


def test_from_upload_to_purge(world, home, place, served):
    api = served
    sealed = photographs(world, NAIROBI, [KAMPALA, BRUSSELS], 5_000_000, 1000)
    digests = list(sealed.pieces)
    assert [len(one.pieces) for one in sealed.attached] == [2, 1]

    # Nothing is final, and no account is needed: what is missing is uploaded, and the same bytes are sent again.
    problem = api.problem(api.post_message(sealed), "pieces_missing")
    assert (problem.status, problem.account, problem.facts["missing"]) == (409, None, 3)
    assert problem.facts["pieces"] == [digest.hex() for digest in digests]
    assert missing(api, digests, NAIROBI) == tuple(digests)
    assert set(upload(api, sealed, KAMPALA)) == {201}
    api.problem(api.post_message(sealed), "pieces_missing")
    assert missing(api, digests, NAIROBI) == tuple(digests)
    assert upload(api, sealed, NAIROBI) == [201, 201, 201]
    assert upload(api, sealed, NAIROBI) == [200, 200, 200]
    assert missing(api, [bytes(32), *digests, digests[0]], NAIROBI) == (bytes(32),)

    assert api.post_message(sealed).status_code == 201
    assert api.post_message(sealed).status_code == 200
    # Claimed: no upload any more, but held for another message of the same sender all the same.
    assert sql(home, "SELECT count(*) FROM uploads WHERE endpoint = :who", who=NAIROBI) == [(0,)]
    assert missing(api, digests, NAIROBI) == ()
    outside = place.kind != "database"
    assert sql(home, "SELECT count(*) FROM contents") == [(0 if outside else 1,)]
    assert len(place.names()) == 3 + outside

    # As the content: only after the receipt, and as if there were none to whom it does not concern.
    refused(api, attachment(api, sealed, 0, KAMPALA), "not_delivered")
    refused(api, attachment(api, sealed, "0/pieces/0", KAMPALA), "not_delivered")
    refused(api, attachment(api, sealed, "0/pieces/0", LYON), "not_held", Verdict.NOT_HELD)
    assert api.post_receipt(world.receipt(KAMPALA, [sealed]), KAMPALA).status_code == 201
    for by in (KAMPALA, NAIROBI):
        for part, one in enumerate(sealed.attached):
            named = parse_digests(attachment(api, sealed, part, by).content)
            assert named == tuple(piece.digest for piece in one.pieces)
            for number, piece in enumerate(one.pieces):
                assert attachment(api, sealed, f"{part}/pieces/{number}", by).content == piece.data
        answer = api.request("GET", f"/v1/messages/{sealed.payload_hash.hex()}/content", by=by)
        assert answer.content == sealed.content
    refused(api, attachment(api, sealed, 2, KAMPALA), "no_such_attachment")
    refused(api, attachment(api, sealed, "1/pieces/1", KAMPALA), "no_such_piece")

    metrics = api.request("GET", "/metrics").text
    assert 'countermark_pieces_total{what="uploaded"} 6.0' in metrics
    assert 'countermark_content_sweeps_total{outcome="done"}' in metrics

    # A purge leaves nothing behind, but what somebody else has uploaded and not claimed yet.
    assert api.request("POST", "/v1/acts", world.purge(NAIROBI, sealed), NAIROBI).status_code == 201
    for what in ("0", "0/pieces/0", "7"):
        refused(api, attachment(api, sealed, what, KAMPALA), "purged")
    assert sql(home, "SELECT count(*) FROM claims") == [(0,)]
    sql(home, "UPDATE uploads SET uploaded_at = 0")
    asyncio.run(with_node(world, home, sweep_once))
    assert (place.names(), sql(home, "SELECT * FROM blobs"), sql(home, "SELECT * FROM doomed_blobs")) == (
        [],
        [],
        [],
    )
    asyncio.run(sound(world, home))


@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_what_is_no_piece_is_refused(world, home, place, served):
    api, data = served, b"sealed bytes"
    named = piece_digest(data).hex()
    for path, body, by, code, status in (
        (named, data + b"!", NAIROBI, "piece_mismatch", 400),
        (named, b"", NAIROBI, "piece_size", 400),
        (named, bytes(PIECE_BYTES + 1), NAIROBI, "oversized_body", 413),
        (named.upper(), data, NAIROBI, "not_hex", 400),
        ("..%2f..%2fetc", data, NAIROBI, "unknown_path", 404),
        (named, data, None, "signature_missing", 400),
        (named, data, world.agency("ke.police.nobody").instance, "unknown_key", 401),
    ):
        answer = api.request("PUT", f"/v1/pieces/{path}", body, by)
        problem = api.problem(answer)
        assert (problem.code, problem.status) == (code, status), path
    for body, code in ((bytes(31), "bad_digest_list"), (bytes(32 * 2049), "oversized_body")):
        api.problem(api.request("POST", "/v1/pieces/missing", body, NAIROBI), code)
    assert missing(api, [], NAIROBI) == ()
    assert (place.names(), sql(home, "SELECT * FROM uploads")) == ([], [])


@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_uploads_have_quotas_of_their_own(world, home, place):
    setting(home, quota_uploads_mib=8, content_unclaimed_mib=5)
    broker = HttpBroker(world, home).start()
    api = broker.client()
    try:
        pieces = [bytes([n]) * PIECE_BYTES for n in range(3)]
        put = [(f"/v1/pieces/{piece_digest(data).hex()}", data) for data in pieces]
        assert api.request("PUT", *put[0], NAIROBI).status_code == 201
        # What it has uploaded and claims by no message is bounded; what it has already may come again.
        problem = api.problem(api.request("PUT", *put[1], NAIROBI), "too_much_unclaimed")
        assert (problem.status, problem.facts["most_mib"]) == (429, 5)
        assert api.request("PUT", *put[0], NAIROBI).status_code == 200
        problem = api.problem(api.request("PUT", *put[0], NAIROBI), "quota_exceeded")
        assert problem.facts["quota"] == "uploads"
        assert api.request("PUT", *put[2], KAMPALA).status_code == 201
        left = api.request("GET", "/v1/quotas", by=NAIROBI).json()["quotas"]["uploads"]
        assert left["per_minute"] == 8 << 20
        assert left["left"] < PIECE_BYTES
    finally:
        api.close()
        broker.stop()


@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_a_rule_is_told_before_anything_is_uploaded(world, home, place, served):
    """What a rule forbids is refused for good, with an account: nobody need upload gigabytes to learn it."""
    sealed = photographs(
        world, NAIROBI, [KAMPALA], 100, expires_at=1_000_000_000_000, sent_at=999_999_999_999
    )
    problem = served.problem(served.post_message(sealed))
    assert problem.code != "pieces_missing"
    assert problem.account is not None
