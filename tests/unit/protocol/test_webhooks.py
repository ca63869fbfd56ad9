"""Looks: signed in the shape of Standard Webhooks, checked by us and by an independent computation."""

import base64
import json
from dataclasses import replace

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from countermark_protocol.boxes import Box
from countermark_protocol.documents import Purpose, signing_input
from countermark_protocol.errors import MalformedError, SignatureError, UncheckableError
from countermark_protocol.httpsig import RequestFacts, SignatureParams, signature_base
from countermark_protocol.keys import Algorithm
from countermark_protocol.signers import Ed25519Signer, Es256Signer
from countermark_protocol.webhooks import (
    Look,
    Webhook,
    encode_look,
    encode_webhook_key,
    parse_boxes,
    parse_look,
    parse_webhook_key,
    parse_webhooks,
    sign_look,
    verify_look,
)

NODE = Ed25519Signer(bytes(range(32)))
OTHER = Ed25519Signer(bytes(32))
NOW = 1_764_000_000
ENDPOINT = "ke.police.nairobi"
LOOK = Look("look_0123456789abcdef", ENDPOINT, Box.URGENT, 1_763_999_990_000)


def signed(look=LOOK, signer=NODE, now=NOW):
    return sign_look(look, signer, now)


def check(headers, body, keys=(NODE.public_key,), endpoint=ENDPOINT, now=NOW):
    return verify_look(parse_look(headers, body), keys, endpoint=endpoint, now_seconds=now)


def test_what_is_signed_is_verified():
    headers, body = signed()
    assert check(headers, body) == LOOK
    assert check(list({k.upper(): v for k, v in headers.items()}.items()), body) == LOOK
    assert check(headers, body, [OTHER.public_key, NODE.public_key]) == LOOK


def test_the_body_says_no_more_than_that_a_box_moved():
    assert json.loads(encode_look(LOOK)) == {
        "type": "box.moved",
        "timestamp": "2025-11-24T15:59:50Z",
        "data": {"endpoint": ENDPOINT, "box": "urgent"},
    }


def test_an_independent_computation_agrees():
    """As the specification has it: base64 of Ed25519 over id, time and body, joined by full stops."""
    headers, body = signed()
    key = encode_webhook_key(NODE.public_key)
    assert key.startswith("whpk_")
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key[5:]))
    scheme, _, signature = headers["webhook-signature"].partition(",")
    assert scheme == "v1a"
    message = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
    public.verify(base64.b64decode(signature), message)
    with pytest.raises(InvalidSignature):
        public.verify(base64.b64decode(signature), message + b" ")


def test_signatures_of_other_schemes_may_stand_beside_ours():
    headers, body = signed()
    more = f"v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4= {headers['webhook-signature']}"
    assert check(headers | {"webhook-signature": more}, body) == LOOK
    rotated = f"{signed(signer=OTHER)[0]['webhook-signature']} {headers['webhook-signature']}"
    assert check(headers | {"webhook-signature": rotated}, body) == LOOK


@pytest.mark.parametrize(
    ("error", "code", "changes"),
    [
        (SignatureError, "webhook_not_signed", {"keys": [OTHER.public_key]}),
        (SignatureError, "webhook_too_old", {"now": NOW + 301}),
        (SignatureError, "webhook_from_future", {"now": NOW - 301}),
        (SignatureError, "webhook_other_endpoint", {"endpoint": "ke.police.mombasa"}),
        (UncheckableError, "no_webhook_key", {"keys": []}),
        (UncheckableError, "no_webhook_key", {"keys": [Es256Signer(bytes([1]) * 32).public_key]}),
    ],
)
def test_refused(error, code, changes):
    with pytest.raises(error) as caught:
        check(*signed(), **changes)
    assert caught.value.code == code


@pytest.mark.parametrize("now", [NOW + 300, NOW - 300])
def test_the_tolerance_is_inclusive(now):
    assert check(*signed(), now=now) == LOOK


def test_each_part_is_under_the_signature():
    headers, body = signed()
    for changed in (
        headers | {"webhook-id": "look_1123456789abcdef"},
        headers | {"webhook-timestamp": str(NOW - 1)},
    ):
        with pytest.raises(SignatureError, match="webhook_not_signed"):
            check(changed, body)
    for i in range(len(body)):
        garbled = body[:i] + bytes([body[i] ^ 1]) + body[i + 1 :]
        with pytest.raises(SignatureError, match="webhook_not_signed"):
            check(headers, garbled)


def test_an_id_cannot_reach_into_what_follows_it():
    with pytest.raises(ValueError, match="id"):
        sign_look(replace(LOOK, id="look.1"), NODE, NOW)
    with pytest.raises(ValueError, match="Ed25519"):
        sign_look(LOOK, Es256Signer(bytes([1]) * 32), NOW)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("webhook_header_missing", {"webhook-id": None}),
        ("webhook_header_missing", {"webhook-timestamp": None}),
        ("webhook_header_missing", {"webhook-signature": None}),
        ("webhook_header_form", {"webhook-id": "a.b"}),
        ("webhook_header_form", {"webhook-id": ""}),
        ("webhook_header_form", {"webhook-id": "x" * 65}),
        ("webhook_header_form", {"webhook-timestamp": "-1"}),
        ("webhook_header_form", {"webhook-timestamp": "01"}),
        ("webhook_header_form", {"webhook-timestamp": "1.5"}),
        ("webhook_header_form", {"webhook-timestamp": "1" * 30}),
        ("webhook_header_form", {"webhook-signature": "v1,AAAA"}),
        ("webhook_header_form", {"webhook-signature": "v1a,not base64"}),
        ("webhook_header_form", {"webhook-signature": "v1a,é"}),
        ("webhook_header_form", {"webhook-signature": "v1a,AAAB="}),
        ("webhook_header_form", {"webhook-signature": " ".join(["v1a,AAAA"] * 9)}),
    ],
)
def test_malformed_headers(code, changes):
    headers, body = signed()
    headers = {k: v for k, v in (headers | changes).items() if v is not None}
    with pytest.raises(MalformedError) as caught:
        parse_look(headers, body)
    assert caught.value.code == code


def test_a_repeated_header_is_seen():
    headers, body = signed()
    with pytest.raises(MalformedError) as caught:
        parse_look([*headers.items(), ("Webhook-Id", "look_2")], body)
    assert caught.value.code == "webhook_header_repeated"


def test_a_huge_body_is_not_hashed():
    headers, _ = signed()
    with pytest.raises(MalformedError) as caught:
        parse_look(headers, bytes(4097))
    assert caught.value.code == "oversized_body"


@pytest.mark.parametrize(
    ("code", "body"),
    [
        ("not_json", b"look"),
        ("not_an_object", b"[]"),
        ("bad_member", b'{"type":"box.emptied","timestamp":"2025-11-24T15:59:50Z","data":{}}'),
        ("missing_member", b'{"type":"box.moved","timestamp":"2025-11-24T15:59:50Z"}'),
        ("webhook_time_form", b'{"type":"box.moved","timestamp":"2025-11-24 15:59:50","data":{}}'),
        ("webhook_time_form", b'{"type":"box.moved","timestamp":"2025-02-30T15:59:50Z","data":{}}'),
        ("webhook_time_form", b'{"type":"box.moved","timestamp":5,"data":{}}'),
        (
            "not_an_address",
            b'{"type":"box.moved","timestamp":"2025-11-24T15:59:50Z","data":{"endpoint":"x"}}',
        ),
        ("unknown_member", encode_look(LOOK).replace(b'"box":', b'"count":3,"box":')),
        ("unknown_member", encode_look(LOOK).replace(b'"type":', b'"id":"x","type":')),
    ],
)
def test_what_is_signed_but_no_look(code, body):
    seconds, look_id = str(NOW), "look_x"
    signature = NODE.sign(f"{look_id}.{seconds}.".encode() + body)
    headers = {
        "webhook-id": look_id,
        "webhook-timestamp": seconds,
        "webhook-signature": "v1a," + base64.b64encode(signature).decode(),
    }
    with pytest.raises(MalformedError) as caught:
        check(headers, body)
    assert caught.value.code == code


def test_no_other_thing_that_a_node_key_signs_begins_like_a_look():
    """A node key signs documents and could sign requests: none of these is a look, and no look one of these."""
    look_id = "look_0123456789abcdef"
    key_id = NODE.public_key.key_id
    document = signing_input(b"{}", Algorithm.ED25519, key_id, Purpose.SIGN)
    request = signature_base(RequestFacts("GET", "a", "/", "", None), SignatureParams(1, key_id, bytes(16)))
    # A document has exactly one full stop and no brace; a request begins with a quotation mark.
    assert document.count(b".") == 1
    assert b"{" not in document
    assert request.startswith(b'"@method"')
    assert f"{look_id}.1.{{".encode().count(b".") == 2


def test_keys_in_the_form_of_the_specification():
    text = encode_webhook_key(NODE.public_key)
    assert parse_webhook_key(text) == NODE.public_key
    with pytest.raises(ValueError, match="Ed25519"):
        encode_webhook_key(Es256Signer(bytes([1]) * 32).public_key)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("whsec_AAAA", "webhook_key_form"),
        ("whpk_", "key_size"),
        ("whpk_AAAA", "key_size"),
        ("whpk_é", "webhook_key_form"),
        ("whpk_" + base64.urlsafe_b64encode(b"\xff" * 32).decode(), "webhook_key_form"),
        ("whpk_" + base64.b64encode(bytes(32)).decode(), "key_invalid"),
    ],
)
def test_malformed_keys(text, code):
    with pytest.raises(MalformedError) as caught:
        parse_webhook_key(text)
    assert caught.value.code == code


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text(max_size=40)
    ),
    st.binary(max_size=60),
)
def test_only_our_errors_leave_the_parser(headers, body):
    try:
        check(headers, body)
    except (MalformedError, SignatureError):
        return
    msg = "nothing random verifies"
    raise AssertionError(msg)


# --- registrations ---

STATE = Webhook(
    url="https://hooks.example.org/a",
    boxes=(Box.URGENT, Box.NOTICES),
    on=False,
    registered_at=1,
    failures=7,
    failing_since=2,
    error="status_500",
    succeeded_at=3,
    next_try=4,
    off_at=5,
)


def test_a_registration_comes_back_as_it_was_written():
    bare = replace(STATE, on=True, failures=0, failing_since=None, error=None, succeeded_at=None, off_at=None)
    data = json.dumps({"webhooks": [STATE.to_json(), bare.to_json()]}).encode()
    assert parse_webhooks(data) == (STATE, bare)
    assert "error" not in bare.to_json()


@pytest.mark.parametrize(
    "change",
    [{"boxes": []}, {"boxes": ["inbox"]}, {"boxes": "urgent"}, {"on": 1}, {"failures": -1}, {"more": 1}],
)
def test_a_garbled_registration_is_refused(change):
    with pytest.raises(MalformedError):
        parse_webhooks(json.dumps({"webhooks": [STATE.to_json() | change]}).encode())


@pytest.mark.parametrize("value", [None, [], ["urgent", "urgent"], ["x"], [1], ["urgent"] * 5, [["urgent"]]])
def test_malformed_boxes(value):
    with pytest.raises(MalformedError) as caught:
        parse_boxes(value, "'boxes'")
    assert caught.value.code == "webhook_boxes"


def test_boxes_come_in_one_order():
    assert parse_boxes(["routine", "sent"], "'boxes'") == (Box.SENT, Box.ROUTINE)
