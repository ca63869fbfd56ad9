"""Receipts and undelivered notices."""

import pytest

from countermark_protocol.claims import Header, Kind, Seen
from countermark_protocol.encoding import encode_base64url
from countermark_protocol.errors import MalformedError
from countermark_protocol.merkle import EMPTY_ROOT
from countermark_protocol.receipts import (
    MAX_DETAILS_BYTES,
    MAX_RECEIPT_ITEMS,
    Receipt,
    ReceiptItem,
    ReceiptStage,
    RejectionReason,
    Undelivered,
    parse_receipt,
    parse_undelivered,
)
from support.protocol_world import NOW
from support.world import BROKER, KAMPALA, NAIROBI, ORIGIN, seed

SEEN = Seen(0, EMPTY_ROOT)


def receipt(stage, *items):
    return Receipt(Header(Kind.RECEIPT, ORIGIN, SEEN), KAMPALA, NAIROBI, stage, NOW, items)


DELIVERED = receipt(ReceiptStage.DELIVERED, ReceiptItem(seed("m1")), ReceiptItem(seed("m2")))
ACCEPTED = receipt(ReceiptStage.ACCEPTED, ReceiptItem(seed("m1"), commitment_checked=True))
REJECTED = receipt(
    ReceiptStage.REJECTED,
    ReceiptItem(seed("m1"), False, RejectionReason.UNOPENABLE),
    ReceiptItem(seed("m2"), True, RejectionReason.INVALID_CONTENT, b"sealed details"),
)
NOTICE = Undelivered(Header(Kind.UNDELIVERED, ORIGIN, SEEN), BROKER, NAIROBI, seed("m1"), KAMPALA)


def refused(code, parse, value):
    with pytest.raises(MalformedError) as caught:
        parse(value)
    assert caught.value.code == code, caught.value


@pytest.mark.parametrize("one", [DELIVERED, ACCEPTED, REJECTED], ids=lambda r: r.stage.value)
def test_receipts_read_back(one):
    assert parse_receipt(one.to_json()) == one


@pytest.mark.parametrize("reason", RejectionReason)
def test_every_reason(reason):
    one = receipt(ReceiptStage.REJECTED, ReceiptItem(seed("m"), True, reason))
    assert parse_receipt(one.to_json()) == one


@pytest.mark.parametrize("name", sorted(DELIVERED.to_json()))
def test_what_must_be_there(name):
    refused("missing_member", parse_receipt, {k: v for k, v in DELIVERED.to_json().items() if k != name})


def item(one, **changes):
    value = one.to_json()
    value["items"][0] |= changes
    return {**value, "items": [{k: v for k, v in i.items() if v is not ...} for i in value["items"]]}


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("bad_member", DELIVERED.to_json() | {"kind": "message"}),
        ("bad_member", DELIVERED.to_json() | {"stage": "read"}),
        ("not_an_address", DELIVERED.to_json() | {"from": "nobody"}),
        ("bad_member", DELIVERED.to_json() | {"made_at": "now"}),
        ("bad_member", DELIVERED.to_json() | {"items": []}),
        ("bad_member", DELIVERED.to_json() | {"items": {}}),
        ("bad_member", DELIVERED.to_json() | {"items": [DELIVERED.items[0].to_json()] * 2}),
        ("bad_member", DELIVERED.to_json() | {"items": [{}] * (MAX_RECEIPT_ITEMS + 1)}),
        ("not_an_object", DELIVERED.to_json() | {"items": [1]}),
        ("unknown_member", DELIVERED.to_json() | {"on_behalf_of": KAMPALA}),
        ("not_hex", item(DELIVERED, message="00")),
        # `delivered` says nothing of content that nobody has opened yet.
        ("unknown_member", item(DELIVERED, commitment_checked=True)),
        ("unknown_member", item(DELIVERED, reason="duplicate")),
        ("bad_member", item(ACCEPTED, commitment_checked=False)),
        ("missing_member", item(ACCEPTED, commitment_checked=...)),
        ("unknown_member", item(ACCEPTED, reason="duplicate")),
        ("missing_member", item(REJECTED, reason=...)),
        ("missing_member", item(REJECTED, commitment_checked=...)),
        ("bad_member", item(REJECTED, reason="because")),
        ("oversized_field", item(REJECTED, details="")),
        ("oversized_field", item(REJECTED, details=encode_base64url(bytes(MAX_DETAILS_BYTES + 1)))),
        ("not_base64url", item(REJECTED, details="A" * (2 * MAX_DETAILS_BYTES))),
        ("not_base64url", item(REJECTED, details=None)),
    ],
)
def test_receipts_outside_the_language(code, value):
    refused(code, parse_receipt, value)


def test_as_many_and_as_much_as_allowed():
    items = tuple(ReceiptItem(seed(f"m{n}")) for n in range(MAX_RECEIPT_ITEMS))
    one = receipt(ReceiptStage.DELIVERED, *items)
    assert parse_receipt(one.to_json()) == one
    details = ReceiptItem(seed("m"), True, RejectionReason.INVALID_CONTENT, bytes(MAX_DETAILS_BYTES))
    one = receipt(ReceiptStage.REJECTED, details)
    assert parse_receipt(one.to_json()) == one


def test_notices_read_back():
    assert parse_undelivered(NOTICE.to_json()) == NOTICE
    for name in NOTICE.to_json():
        refused("missing_member", parse_undelivered, {k: v for k, v in NOTICE.to_json().items() if k != name})
    refused("bad_member", parse_undelivered, NOTICE.to_json() | {"kind": "receipt"})
    refused("unknown_member", parse_undelivered, NOTICE.to_json() | {"reason": "asleep"})


def test_one_kind_is_not_read_as_another():
    refused("bad_member", parse_receipt, NOTICE.to_json())
    refused("bad_member", parse_undelivered, DELIVERED.to_json())
