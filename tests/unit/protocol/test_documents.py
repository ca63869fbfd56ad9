"""Signed documents: one encoding, every signature checked, nothing read from a header."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from countermark_protocol.documents import (
    MAX_PAYLOAD_BYTES,
    MAX_SIGNATURES,
    Purpose,
    Signature,
    encode_document,
    export_jws,
    make_signature,
    parse_document,
    payload_hash,
    sign_document,
    signing_input,
    statement_hash,
    verify_document,
)
from countermark_protocol.encoding import labelled_hash
from countermark_protocol.errors import CountermarkError, MalformedError, SignatureError, UncheckableError
from countermark_protocol.keys import Algorithm
from countermark_protocol.signers import Ed25519Signer, Es256Signer
from support.world import seed

A, B = Ed25519Signer(seed("a")), Es256Signer(seed("b"))
KEYS = {s.public_key.key_id: s.public_key for s in (A, B)}
PAYLOAD = b'{"kind":"message", "text":"caf\xc3\xa9"}'
DOCUMENT = sign_document(PAYLOAD, [A, B])
SIGNATURES_AT = 1 + 4 + len(PAYLOAD)
ONE = 2 + 32 + 1 + 2 + 64


def refused(error, code, function, *args):
    with pytest.raises(CountermarkError) as caught:
        function(*args)
    assert (type(caught.value), caught.value.code) == (error, code), caught.value


def verify(data, keys=KEYS):
    return verify_document(parse_document(data), keys.get)


def patched(at, new):
    return DOCUMENT[:at] + new + DOCUMENT[at + len(new) :]


def test_layout_is_that_of_the_spec():
    assert DOCUMENT[:5] == b"\x01" + len(PAYLOAD).to_bytes(4, "big")
    assert DOCUMENT[5:SIGNATURES_AT] == PAYLOAD
    assert DOCUMENT[SIGNATURES_AT] == 2
    assert len(DOCUMENT) == SIGNATURES_AT + 1 + 2 * ONE
    first = min(KEYS)
    at = SIGNATURES_AT + 1
    assert DOCUMENT[at : at + 2] == int(KEYS[first].algorithm).to_bytes(2, "big")
    assert DOCUMENT[at + 2 : at + 34] == first
    assert DOCUMENT[at + 34 : at + 37] == b"\x01\x00\x40"


def test_a_verified_document_knows_its_signers_and_hashes():
    document = verify(sign_document(PAYLOAD, [A], [B]))
    assert document.payload == PAYLOAD
    assert document.claims == {"kind": "message", "text": "café"}
    assert document.keys_for(Purpose.SIGN) == {A.public_key.key_id}
    assert document.keys_for(Purpose.POSSESSION) == {B.public_key.key_id}
    assert document.keys_for(Purpose.RELEASE) == frozenset()
    assert document.payload_hash == payload_hash(PAYLOAD) == labelled_hash("payload", PAYLOAD)
    assert (
        document.statement_hash == statement_hash(document.data) == labelled_hash("statement", document.data)
    )
    assert parse_document(document.data).payload_hash == document.payload_hash


def test_the_signing_input_is_that_of_a_jws():
    text = signing_input(PAYLOAD, Algorithm.ED25519, A.public_key.key_id, Purpose.SIGN)
    header, payload = (base64.urlsafe_b64decode(p + b"==") for p in text.split(b"."))
    assert payload == PAYLOAD
    kid = A.public_key.key_id.hex()
    assert header.decode() == f'{{"alg":"Ed25519","kid":"{kid}","typ":"countermark/1/sign"}}'


def test_any_jose_tool_verifies_the_export():
    [jws] = export_jws(parse_document(sign_document(PAYLOAD, [A])))
    assert set(jws) == {"protected", "payload", "signature"}
    signature = base64.urlsafe_b64decode(jws["signature"] + "==")
    Ed25519PublicKey.from_public_bytes(A.public_key.raw).verify(
        signature, f"{jws['protected']}.{jws['payload']}".encode()
    )
    assert json.loads(base64.urlsafe_b64decode(jws["protected"] + "=="))["alg"] == "Ed25519"
    assert len(export_jws(parse_document(DOCUMENT))) == 2


# --- form ---


@pytest.mark.parametrize(
    ("error", "code", "data"),
    [
        (UncheckableError, "unknown_version", patched(0, b"\x02")),
        (UncheckableError, "unknown_version", patched(0, b"\x00")),
        (MalformedError, "truncated", b""),
        (MalformedError, "oversized_field", patched(1, (MAX_PAYLOAD_BYTES + 1).to_bytes(4, "big"))),
        (MalformedError, "oversized_field", patched(1, b"\xff\xff\xff\xff")),
        (MalformedError, "signature_count", DOCUMENT[:SIGNATURES_AT] + b"\x00"),
        (MalformedError, "signature_count", patched(SIGNATURES_AT, bytes([MAX_SIGNATURES + 1]))),
        (MalformedError, "unknown_algorithm", patched(SIGNATURES_AT + 1, b"\x03\xe7")),
        (MalformedError, "unknown_algorithm", patched(SIGNATURES_AT + 1, b"\x00\x10")),  # a sealing algorithm
        (UncheckableError, "algorithm_reserved", patched(SIGNATURES_AT + 1, b"\x00\x20")),
        (MalformedError, "unknown_purpose", patched(SIGNATURES_AT + 35, b"\x00")),
        (MalformedError, "unknown_purpose", patched(SIGNATURES_AT + 35, b"\x06")),
        (MalformedError, "oversized_field", patched(SIGNATURES_AT + 36, b"\xff\xff")),
        (MalformedError, "trailing_bytes", DOCUMENT + b"\x00"),
        (MalformedError, "trailing_bytes", DOCUMENT + DOCUMENT),
        (MalformedError, "not_an_object", sign_document(b"[]", [A])),
        (MalformedError, "not_json", sign_document(b"", [A])),
        (MalformedError, "duplicate_member", sign_document(b'{"kind":"message","kind":"receipt"}', [A])),
    ],
)
def test_documents_outside_the_language(error, code, data):
    refused(error, code, parse_document, data)


def test_every_truncation_is_refused():
    for cut in range(len(DOCUMENT)):
        with pytest.raises((MalformedError, UncheckableError)):
            parse_document(DOCUMENT[:cut])


def test_signatures_stand_in_one_order_and_no_key_twice():
    at = SIGNATURES_AT + 1
    first, second = DOCUMENT[at : at + ONE], DOCUMENT[at + ONE :]
    refused(MalformedError, "signature_order", parse_document, DOCUMENT[:at] + second + first)
    refused(MalformedError, "signature_order", parse_document, DOCUMENT[:at] + first + first)
    # The same key under two purposes would count twice.
    again = encode_document(PAYLOAD, [make_signature(PAYLOAD, A, Purpose.POSSESSION)])[at:]
    mine = encode_document(PAYLOAD, [make_signature(PAYLOAD, A)])[at:]
    refused(MalformedError, "signature_order", parse_document, DOCUMENT[:at] + mine + again)
    with pytest.raises(ValueError, match="a key signed twice"):
        sign_document(PAYLOAD, [A], [A])


# --- signatures ---


def test_every_signature_must_verify():
    for flip in range(len(DOCUMENT)):
        bad = bytearray(DOCUMENT)
        bad[flip] ^= 1
        with pytest.raises(CountermarkError):
            verify(bytes(bad))


def test_unknown_keys_are_no_keys():
    refused(SignatureError, "unknown_key", verify, DOCUMENT, {A.public_key.key_id: A.public_key})


def test_a_resolver_cannot_hand_in_another_key():
    data = sign_document(PAYLOAD, [A])
    refused(
        SignatureError,
        "wrong_algorithm",
        verify_document,
        parse_document(data),
        lambda _: Ed25519Signer(seed("mallory")).public_key,
    )


def test_the_algorithm_of_a_key_cannot_be_chosen_by_the_document():
    honest = make_signature(PAYLOAD, A)
    forged = encode_document(PAYLOAD, [Signature(honest.key_id, Algorithm.ES256, Purpose.SIGN, honest.raw)])
    refused(SignatureError, "wrong_algorithm", verify, forged)


def test_a_signature_for_one_purpose_is_none_for_another():
    honest = make_signature(PAYLOAD, A, Purpose.POSSESSION)
    for purpose in set(Purpose) - {Purpose.POSSESSION}:
        forged = encode_document(PAYLOAD, [Signature(honest.key_id, honest.algorithm, purpose, honest.raw)])
        refused(SignatureError, "bad_signature", verify, forged)


@pytest.mark.parametrize("size", [0, 63, 65, 8192])
def test_signatures_of_another_size(size):
    honest = make_signature(PAYLOAD, A)
    raw = honest.raw.ljust(size, b"\x00")[:size]
    refused(
        SignatureError,
        "signature_size",
        verify,
        encode_document(PAYLOAD, [Signature(honest.key_id, honest.algorithm, Purpose.SIGN, raw)]),
    )


def test_white_space_makes_another_payload():
    other = PAYLOAD.replace(b" ", b"")
    assert json.loads(other) == json.loads(PAYLOAD)
    data = DOCUMENT.replace(len(PAYLOAD).to_bytes(4, "big") + PAYLOAD, len(other).to_bytes(4, "big") + other)
    refused(SignatureError, "bad_signature", verify, data)
