"""Receipts release stanzas; what is not one's own looks exactly like what does not exist."""

import time

import pytest

from countermark_protocol.accounts import Verdict
from countermark_protocol.answers import parse_accepted
from countermark_protocol.boxes import Box
from countermark_protocol.encoding import parse_base64url, parse_object
from countermark_protocol.receipts import ReceiptItem, ReceiptStage, RejectionReason
from countermark_protocol.records import Ground, RevocationRecord
from support.world import BRUSSELS, KAMPALA, LYON, NAIROBI, hash_of, now_ms, signer


@pytest.fixture
def message(world, api):
    api.refresh()
    sealed = world.message(NAIROBI, [KAMPALA, BRUSSELS])
    assert api.post_message(sealed).status_code == 201
    return sealed


def refused(api, answer, code, request):
    problem = api.problem(answer, code)
    account = api.verify_account_of(problem.account, request)
    assert account.verdict is Verdict.REFUSED
    assert account.refusal.rule == code
    return account


def test_only_delivered_releases_and_a_repeat_releases_again(world, api, message):
    receipt = world.receipt(KAMPALA, [message])
    first = parse_accepted(api.post_receipt(receipt, KAMPALA).content)
    again = api.post_receipt(receipt, KAMPALA)
    assert again.status_code == 200
    assert parse_accepted(again.content).releases == first.releases
    own = next(s for r, s in zip(message.rows, message.stanzas, strict=True) if r.endpoint == KAMPALA)
    assert [r.stanza for r in first.releases] == [own]
    stanza = api.request("GET", f"/v1/messages/{message.payload_hash.hex()}/stanza", by=KAMPALA)
    (release,) = parse_object(stanza.content)["releases"]
    assert parse_base64url(release["stanza"], "stanza") == own
    accepted = world.receipt(KAMPALA, [message], ReceiptStage.ACCEPTED)
    assert parse_accepted(api.post_receipt(accepted, KAMPALA).content).releases == ()


def test_several_messages_in_one_receipt(world, api):
    api.refresh()
    messages = [world.message(NAIROBI, [KAMPALA]) for _ in range(5)]
    for sealed in messages:
        api.post_message(sealed)
    accepted = parse_accepted(api.post_receipt(world.receipt(KAMPALA, messages), KAMPALA).content)
    assert [r.message for r in accepted.releases] == [m.payload_hash for m in messages]


def test_a_receipt_moves_all_its_items_or_none(world, api, message):
    other = world.message(NAIROBI, [KAMPALA])
    api.post_message(other)
    api.post_receipt(world.receipt(KAMPALA, [message]), KAMPALA)
    both = world.receipt(KAMPALA, [message, other])
    account = refused(api, api.post_receipt(both, KAMPALA), "receipt_stands", hash_of(both))
    assert "delivered" in account.refusal.message
    # The other item has not been moved by the refused receipt.
    assert api.post_receipt(world.receipt(KAMPALA, [other]), KAMPALA).status_code == 201


def test_accepted_needs_delivered_first(world, api, message):
    early = world.receipt(KAMPALA, [message], ReceiptStage.ACCEPTED)
    refused(api, api.post_receipt(early, KAMPALA), "receipt_stands", hash_of(early))


def test_a_rejection_carries_its_reason(world, api, message):
    api.post_receipt(world.receipt(KAMPALA, [message]), KAMPALA)
    item = ReceiptItem(message.payload_hash, False, RejectionReason.INVALID_CONTENT, b"sealed details")
    rejected = world.receipt(KAMPALA, [message], ReceiptStage.REJECTED, items=(item,))
    assert api.post_receipt(rejected, KAMPALA).status_code == 201
    entries, _, _ = api.verified_box(NAIROBI, Box.NOTICES)
    assert entries[-1].document == rejected


def test_a_receipt_for_what_was_not_received(world, api, message):
    stranger = world.receipt(LYON, [message])
    refused(api, api.post_receipt(stranger, LYON), "unknown_message", hash_of(stranger))
    nothing = world.receipt(LYON, [bytes(32)])
    refused(api, api.post_receipt(nothing, LYON), "unknown_message", hash_of(nothing))


def test_a_receipt_is_posted_by_its_author(world, api, message):
    receipt = world.receipt(KAMPALA, [message])
    # The request is refused, not the receipt: of that the account must say nothing, it may be logged.
    answer = api.post_receipt(receipt, BRUSSELS)
    refused(api, answer, "not_author", api.last_digest)
    assert api.problem(api.request("POST", "/v1/receipts", receipt), "signature_missing").status == 400


def test_not_held_is_one_answer(world, api, message):
    """No party, and no such message: the same words and the same kind of account."""
    answers = []
    for who, name in ((LYON, message.payload_hash.hex()), (LYON, "00" * 32)):
        for what in ("stanza", "content"):
            problem = api.problem(api.request("GET", f"/v1/messages/{name}/{what}", by=who), "not_held")
            account = api.verify_account_of(problem.account, api.last_digest)
            assert account.verdict is Verdict.NOT_HELD
            answers.append((problem.status, problem.detail, problem.hint, problem.facts))
    assert len(set(map(repr, answers))) == 1
    # The sender is a party, but no recipient.
    target = f"/v1/messages/{message.payload_hash.hex()}"
    api.problem(api.request("GET", f"{target}/stanza", by=NAIROBI), "not_held")
    assert api.request("GET", f"{target}/content", by=NAIROBI).content == message.content


def test_own_statement_again(world, api, message):
    target = f"/v1/statements/{message.payload_hash.hex()}"
    answer = api.request("GET", target, by=NAIROBI)
    accepted, _ = api.verify_accepted(answer, message.document, message.expected_deliveries())
    assert accepted.document == message.document
    problem = api.problem(api.request("GET", target, by=KAMPALA), "not_held")
    assert api.verify_account_of(problem.account, api.last_digest).verdict is Verdict.NOT_HELD
    api.problem(api.request("GET", f"/v1/statements/{'11' * 32}", by=NAIROBI), "not_held")


def test_signed_requests_are_strict(world, api, message):
    instance = world.agencies[KAMPALA].instance
    target = f"/v1/boxes/{KAMPALA}/routine?from=0&limit=10&wait=0"

    def get(target, signed):
        return api.http.get(target, headers=signed.headers)

    assert get(target, api.sign("GET", target, None, instance)).status_code == 200
    old = api.sign("GET", target, None, instance, created=int(time.time()) - 120)
    assert api.problem(get(target, old), "request_too_old").status == 401
    ahead = api.sign("GET", target, None, instance, created=int(time.time()) + 120)
    assert api.problem(get(target, ahead), "request_from_future").status == 401
    elsewhere = api.sign("GET", target, None, instance, authority="other.example.org")
    assert api.problem(get(target, elsewhere), "unknown_key").status == 401
    moved = api.sign("GET", target, None, instance)
    assert api.problem(get(target.replace("limit=10", "limit=11"), moved), "unknown_key").status == 401
    administrator = api.sign("GET", target, None, world.agencies[KAMPALA].administrator)
    assert api.problem(get(target, administrator), "not_an_instance").status == 401
    receipt = world.receipt(KAMPALA, [message])
    signed = api.sign("POST", "/v1/receipts", receipt, instance)
    other = world.receipt(BRUSSELS, [message])
    swapped = api.http.post("/v1/receipts", content=other, headers=signed.headers)
    assert api.problem(swapped, "content_digest_mismatch").status == 401


def test_the_directory_is_read_by_any_standing_key(world, api):
    target = "/v1/directory?from=0&limit=500"
    for key in (world.governors[0], world.agencies[LYON].administrator, world.authority("ke")):
        assert api.request("GET", target, by=key).status_code == 200
    assert api.problem(api.request("GET", target, by=signer("nobody")), "unknown_key").status == 401
    assert api.problem(api.request("GET", target), "signature_missing").status == 400


def test_a_revoked_key_counts_for_nothing(world, api, message):
    agency = world.agencies[KAMPALA]
    record = RevocationRecord(agency.instance.public_key.key_id, Ground.COMPROMISE, now_ms())
    revocation = world.revocation(agency.instance, record, [agency.administrator])
    assert api.post_statement(revocation).status_code == 201
    assert api.problem(api.request("GET", f"/v1/boxes/{KAMPALA}/routine", by=KAMPALA), "not_an_instance")
    api.problem(api.post_message(world.message(KAMPALA, [NAIROBI])), "revoked_key")
    api.refresh()
