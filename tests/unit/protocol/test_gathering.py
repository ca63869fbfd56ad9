"""Gathering signatures by files that pass from hand to hand."""

import pytest

from countermark_protocol.documents import (
    MAX_SIGNATURES,
    Purpose,
    parse_document,
    sign_document,
    verify_document,
)
from countermark_protocol.errors import ConflictError, CountermarkError, MalformedError, SignatureError
from countermark_protocol.gathering import (
    add_signature,
    finish_gathering,
    merge_gatherings,
    read_gathering,
    start_gathering,
    verify_signature_of,
)
from countermark_protocol.signers import Ed25519Signer
from support.world import signer

A, B, C = signer("a"), signer("b"), signer("c")
PAYLOAD = b'{"a":1}'


def refused(error, code, function, *args):
    with pytest.raises(CountermarkError) as caught:
        function(*args)
    assert (type(caught.value), caught.value.code) == (error, code)


def test_a_gathering_becomes_the_very_document():
    data = start_gathering(PAYLOAD)
    assert read_gathering(data).data == data
    assert read_gathering(data).signed_by() == frozenset()
    refused(MalformedError, "signature_count", finish_gathering, data)
    data = add_signature(add_signature(add_signature(data, C), A), B, Purpose.POSSESSION)
    assert read_gathering(data).signed_by() == {s.public_key.key_id for s in (A, B, C)}
    assert finish_gathering(data) == sign_document(PAYLOAD, [A, C], [B])
    verify_document(parse_document(data), {s.public_key.key_id: s.public_key for s in (A, B, C)}.get)


def test_only_our_payloads_are_gathered_for():
    refused(MalformedError, "not_an_object", start_gathering, b"[]")
    refused(MalformedError, "oversized_field", start_gathering, b'{"a":"%s"}' % (b"x" * 262144))
    refused(MalformedError, "truncated", read_gathering, b"\x01")


def test_nobody_signs_twice():
    data = add_signature(start_gathering(PAYLOAD), A)
    refused(ConflictError, "already_signed", add_signature, data, A)
    refused(ConflictError, "already_signed", add_signature, data, A, Purpose.POSSESSION)


def test_copies_signed_apart_come_together():
    start = start_gathering(PAYLOAD)
    left, right = add_signature(add_signature(start, A), C), add_signature(add_signature(start, B), C)
    merged = merge_gatherings(left, right)
    assert merged == merge_gatherings(right, left) == sign_document(PAYLOAD, [A, B, C])
    refused(ConflictError, "other_payload", merge_gatherings, left, start_gathering(b'{"a":2}'))


def test_a_signature_in_a_file_is_not_believed():
    data = add_signature(add_signature(start_gathering(PAYLOAD), A), B, Purpose.POSSESSION)
    verify_signature_of(data, A.public_key)
    verify_signature_of(data, B.public_key, Purpose.POSSESSION)
    refused(SignatureError, "too_few_signatures", verify_signature_of, data, C.public_key)
    refused(SignatureError, "too_few_signatures", verify_signature_of, data, B.public_key)
    bad = data[:-1] + bytes([data[-1] ^ 1])
    last = max((A, B), key=lambda s: s.public_key.key_id)
    purpose = Purpose.SIGN if last is A else Purpose.POSSESSION
    refused(SignatureError, "bad_signature", verify_signature_of, bad, last.public_key, purpose)


def test_a_file_never_holds_more_signatures_than_can_be_read():
    data = start_gathering(PAYLOAD)
    for number in range(MAX_SIGNATURES):
        data = add_signature(data, Ed25519Signer(number.to_bytes(32, "big")))
    parse_document(data)
    refused(MalformedError, "signature_count", add_signature, data, A)
    refused(
        MalformedError, "signature_count", merge_gatherings, data, add_signature(start_gathering(PAYLOAD), A)
    )
