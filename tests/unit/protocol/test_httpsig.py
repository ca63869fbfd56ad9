"""Signed requests: one form, rebuilt from the request; interoperable with an RFC 9421 library."""

import base64
import contextlib
import datetime as dt
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    algorithms,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from countermark_protocol.encoding import labelled_hash
from countermark_protocol.errors import MalformedError, SignatureError
from countermark_protocol.httpsig import (
    MAX_CREATED,
    RequestFacts,
    SignatureParams,
    build_base,
    content_digest,
    parse_signature_headers,
    request_digest,
    sign_request,
    signature_base,
    verify_request,
)
from countermark_protocol.keys import Algorithm, parse_public_key

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = parse_public_key(Algorithm.ED25519, PRIVATE.public_key().public_bytes_raw())
OTHER = parse_public_key(
    Algorithm.ED25519, Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
)
NONCE = bytes(range(16))
NOW = 1_790_000_000
LIMITS = {"now_seconds": NOW, "max_age_seconds": 60, "max_skew_seconds": 5}

POST = RequestFacts("POST", "broker.example", "/v1/receipts", "", b'{"a":1}')
GET = RequestFacts("GET", "broker.example:8443", "/v1/boxes/routine", "after=7&wait=60", None)


def signed(facts=POST, created=NOW, nonce=NONCE, key=KEY, private=PRIVATE):
    return sign_request(facts, key.key_id, private.sign, created, nonce)


def refused(headers, facts=POST, error=MalformedError):
    with pytest.raises(error) as caught:
        parse_signature_headers(headers, facts)
    assert type(caught.value) is error
    return caught.value.code


def changed(headers, name, old, new):
    assert old in headers[name]
    return {**headers, name: headers[name].replace(old, new)}


# --- the form ----------------------------------------------------------------------------------------


def test_signature_base_with_a_body():
    params = SignatureParams(NOW, KEY.key_id, NONCE)
    digest = base64.b64encode(hashlib.sha256(POST.body).digest()).decode()
    expected = (
        '"@method": POST\n'
        '"@authority": broker.example\n'
        '"@path": /v1/receipts\n'
        '"@query": ?\n'
        f'"content-digest": sha-256=:{digest}:\n'
        '"@signature-params": ("@method" "@authority" "@path" "@query" "content-digest")'
        f';created=1790000000;keyid="{KEY.key_id.hex()}";nonce="AAECAwQFBgcICQoLDA0ODw";tag="countermark"'
    )
    assert signature_base(POST, params) == expected.encode()


def test_signature_base_without_a_body():
    base = signature_base(GET, SignatureParams(NOW, KEY.key_id, NONCE))
    assert base.startswith(
        b'"@method": GET\n"@authority": broker.example:8443\n"@path": /v1/boxes/routine\n'
        b'"@query": ?after=7&wait=60\n"@signature-params": ("@method" "@authority" "@path" "@query");created='
    )


@pytest.mark.parametrize("facts", [POST, GET])
def test_what_is_signed_verifies(facts):
    headers = signed(facts)
    assert ("Content-Digest" in headers) is (facts.body is not None)
    unverified = parse_signature_headers(headers, facts)
    verified = verify_request(unverified, KEY, **LIMITS)
    assert (verified.key_id, verified.created, verified.nonce) == (KEY.key_id, NOW, NONCE)
    base = signature_base(facts, SignatureParams(NOW, KEY.key_id, NONCE))
    assert verified.digest == request_digest(base) == labelled_hash("request", base)


def test_no_body_and_an_empty_body_are_the_same():
    empty = RequestFacts(POST.method, POST.authority, POST.path, POST.query, b"")
    none = RequestFacts(POST.method, POST.authority, POST.path, POST.query, None)
    assert signed(empty) == signed(none)
    assert "Content-Digest" not in signed(empty)
    verify_request(parse_signature_headers(signed(none), empty), KEY, **LIMITS)


@pytest.mark.parametrize(
    ("authority", "path", "query", "as_authority", "as_path", "as_query"),
    [
        ("Broker.EXAMPLE", "", "", "broker.example", "/", "?"),
        ("broker.example:443", "/", "a=b", "broker.example", "/", "?a=b"),
        ("broker.example:80", "/a%2Fb", "x=%C3%a9&?/", "broker.example", "/a%2Fb", "?x=%C3%a9&?/"),
        ("broker.example:8080", "//a", "?", "broker.example:8080", "//a", "??"),
        ("broker.example:4430", "/", "", "broker.example:4430", "/", "?"),
        ("[2001:DB8::1]:443", "/x;y=1/", "", "[2001:db8::1]", "/x;y=1/", "?"),
        ("node_1", "/", "", "node_1", "/", "?"),
    ],
)
def test_normal_form(authority, path, query, as_authority, as_path, as_query):
    base = signature_base(
        RequestFacts("GET", authority, path, query, None), SignatureParams(0, KEY.key_id, NONCE)
    )
    lines = base.decode().split("\n")
    assert lines[1:4] == [f'"@authority": {as_authority}', f'"@path": {as_path}', f'"@query": {as_query}']


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("method", "get", "method_form"),
        ("method", "", "method_form"),
        ("method", "GET\n", "method_form"),
        ("method", "G T", "method_form"),
        ("authority", "", "authority_form"),
        ("authority", "user@host", "authority_form"),
        ("authority", "host:0443", "authority_form"),
        ("authority", "host:", "authority_form"),
        ("authority", "host\n", "authority_form"),
        ("authority", "\u212aenya.example", "authority_form"),  # KELVIN SIGN lower-cases to an ASCII k
        ("authority", "é.example", "authority_form"),
        ("path", "relative", "path_form"),
        ("path", "*", "path_form"),
        ("path", "/a b", "path_form"),
        ("path", '/a"\n"@query": ?x', "path_form"),
        ("path", "/a?b", "path_form"),
        ("path", "/é", "path_form"),
        ("path", "/%4", "path_form"),
        ("path", "/a\n", "path_form"),
        ("query", "a b", "query_form"),
        ("query", "a#b", "query_form"),
        ("query", "a\n", "query_form"),
        ("query", "%zz", "query_form"),
    ],
)
def test_facts_outside_the_language(field, value, code):
    parts = {"method": "GET", "authority": "h", "path": "/", "query": "", "body": None, field: value}
    facts = RequestFacts(**parts)
    with pytest.raises(MalformedError) as caught:
        signed(facts)
    assert caught.value.code == code
    assert refused(signed(GET), facts) == code


@pytest.mark.parametrize(
    ("created", "key_id", "nonce"),
    [
        (-1, bytes(32), bytes(16)),
        (MAX_CREATED + 1, bytes(32), bytes(16)),
        (0, bytes(31), bytes(16)),
        (0, bytes(32), bytes(15)),
        (0, bytes(32), bytes(17)),
    ],
)
def test_params_that_the_form_cannot_hold_are_misuse(created, key_id, nonce):
    with pytest.raises(ValueError, match=r"expected|created"):
        sign_request(POST, key_id, PRIVATE.sign, created, nonce)


@pytest.mark.parametrize("created", [0, MAX_CREATED])
def test_first_and_last_time_that_can_be_stated(created):
    assert parse_signature_headers(signed(created=created), POST).created == created


@pytest.mark.parametrize(
    "components", [[("a", "x\ny")], [("a", "é")], [("a", "1"), ("a", "2")], [("a\n", "1")]]
)
def test_build_base_refuses_ambiguous_components(components):
    with pytest.raises(ValueError, match="component"):
        build_base(components, "")


# --- recognising the one form ------------------------------------------------------------------------


def test_headers_as_pairs_and_in_any_case():
    pairs = [(name.lower(), value) for name, value in signed().items()]
    other = [("Host", "x"), ("X-Signature", "y"), *pairs, ("host", "z")]
    assert parse_signature_headers(other, POST) == parse_signature_headers(signed(), POST)


@pytest.mark.parametrize("name", ["Signature", "Signature-Input", "Content-Digest"])
def test_header_repeated(name):
    pairs = [*signed().items(), (name.upper(), signed()[name])]
    assert refused(pairs) == "header_repeated"
    assert refused({**signed(), name.upper(): signed()[name]}) == "header_repeated"


@pytest.mark.parametrize("name", ["Signature", "Signature-Input"])
def test_signature_missing(name):
    headers = signed()
    del headers[name]
    assert refused(headers) == "signature_missing"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sig=(", "sig1=("),
        ("sig=(", " sig=("),
        ("sig=(", "sig= ("),
        ('"@method" ', '"@method"  '),
        ('"@method"', '"@method";req'),
        ('"@method"', '"@METHOD"'),
        ("created=1790000000", "created=01790000000"),
        ("created=1790000000", "created=-1790000000"),
        ("created=1790000000", "created=1790000000.0"),
        ("created=1790000000", "created=179000000000"),
        ("created=1790000000", "created=\uff11"),
        (";created=1790000000", ""),
        (";created=1790000000", ";created=1790000000;created=1790000000"),
        (";created=1790000000", ";created=1790000000;expires=1790000060"),
        (";created=1790000000", ';created=1790000000;alg="ed25519"'),
        ('keyid="', 'keyid="00'),
        ('keyid="', 'keyid="0x'),
        (f'keyid="{KEY.key_id.hex()}"', f'keyid="{KEY.key_id.hex().upper()}"'),
        (f';keyid="{KEY.key_id.hex()}"', ""),
        ('nonce="AAECAwQFBgcICQoLDA0ODw"', 'nonce="AAECAwQFBgcICQoLDA0OD"'),
        ('nonce="AAECAwQFBgcICQoLDA0ODw"', 'nonce="AAECAwQFBgcICQoLDA0ODw=="'),
        (';nonce="AAECAwQFBgcICQoLDA0ODw"', ""),
        ('tag="countermark"', 'tag="other"'),
        (';tag="countermark"', ""),
        ('tag="countermark"', 'tag="countermark", sig2=()'),
        ('tag="countermark"', 'tag="countermark"\n'),
        ('tag="countermark"', 'tag="countermark" '),
    ],
)
def test_signature_input_form(old, new):
    assert refused(changed(signed(), "Signature-Input", old, new)) == "signature_input_form"


def test_signature_input_form_when_parameters_are_in_another_order():
    headers = signed()
    keyid, nonce = f';keyid="{KEY.key_id.hex()}"', ';nonce="AAECAwQFBgcICQoLDA0ODw"'
    assert (
        refused(changed(headers, "Signature-Input", keyid + nonce, nonce + keyid)) == "signature_input_form"
    )


def test_nonce_with_trailing_bits():
    headers = changed(signed(), "Signature-Input", "LDA0ODw", "LDA0ODx")
    assert refused(headers) == "not_base64url"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (' "content-digest"', ""),
        (' "@query"', ""),
        ('"@method" "@authority"', '"@authority" "@method"'),
        ('"@method" ', '"@method" "@method" '),
        ('"content-digest"', '"content-type"'),
        ('"content-digest"', '"content-digest" "content-type"'),
        ('"@method" "@authority" "@path" "@query"', '"@method"'),
    ],
)
def test_components_mismatch(old, new):
    assert refused(changed(signed(), "Signature-Input", old, new)) == "components_mismatch"


def test_components_mismatch_when_the_body_was_removed_or_added():
    bare = RequestFacts(POST.method, POST.authority, POST.path, POST.query, None)
    assert refused(signed(POST), bare) == "components_mismatch"
    assert refused(signed(bare), POST) == "components_mismatch"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "sig=::",
        "sig=AAAA",
        "sig=:AAAA:;x",
        "sig=:AAAA:, sig2=:AAAA:",
        "sig1=:AAAA:",
        "sig=:AA AA:",
        "sig=:A===:",
        "sig=:AAA:",
        "sig=:AAAAA:",
        "sig=:AAB=:",  # non-zero trailing bits
        "sig=:AA-_:",
        "sig=:AAAA:\n",
        f"sig=:{'A' * 4416}:",
    ],
)
def test_signature_form(value):
    assert refused({**signed(), "Signature": value}) == "signature_form"


def test_content_digest_missing():
    headers = signed()
    del headers["Content-Digest"]
    assert refused(headers) == "content_digest_missing"


def test_content_digest_unexpected():
    assert refused({**signed(GET), "Content-Digest": content_digest(b"")}, GET) == "content_digest_unexpected"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sha-256", "sha-512"),
        ("sha-256", "SHA-256"),
        ("sha-256=:", "sha-256= :"),
        ("=:", "=:, sha-512=:AAAA:"),
        ("sha-256=:", "sha-256=:A"),
    ],
)
def test_content_digest_form(old, new):
    assert refused(changed(signed(), "Content-Digest", old, new)) == "content_digest_form"


def test_content_digest_mismatch():
    other = RequestFacts(POST.method, POST.authority, POST.path, POST.query, b'{"a":2}')
    assert refused(signed(), other, SignatureError) == "content_digest_mismatch"


text = st.text(st.characters(codec="latin-1"), max_size=60)
almost = st.builds(
    lambda value, at, junk, cut: value[: at % (len(value) + 1)] + junk + value[at % (len(value) + 1) + cut :],
    st.sampled_from([*signed().values()]),
    st.integers(0, 400),
    text,
    st.integers(0, 5),
)
names = st.sampled_from([*signed(), *(n.lower() for n in signed()), "Host"])


@given(
    st.lists(st.tuples(names, almost | text), max_size=4) | st.dictionaries(names, almost | text),
    st.builds(RequestFacts, st.just("POST") | text, text, text, text, st.none() | st.binary(max_size=9)),
)
@settings(max_examples=300, deadline=None)
def test_the_parser_raises_nothing_but_our_errors(headers, facts):
    for f in (facts, POST):
        with contextlib.suppress(MalformedError, SignatureError):
            parse_signature_headers(headers, f)


@given(st.sampled_from([*signed()]), st.integers(0, 400), st.characters(codec="latin-1"))
@settings(max_examples=300, deadline=None)
def test_any_altered_character_is_refused(name, at, character):
    headers = signed()
    value = headers[name]
    at %= len(value)
    altered = value[:at] + character + value[at + 1 :]
    if altered == value:
        return
    with pytest.raises((MalformedError, SignatureError)):
        verify_request(parse_signature_headers({**headers, name: altered}, POST), KEY, **LIMITS)


# --- verifying ---------------------------------------------------------------------------------------


def check(unverified, error_code, key=KEY, **limits):
    with pytest.raises(SignatureError) as caught:
        verify_request(unverified, key, **{**LIMITS, **limits})
    assert caught.value.code == error_code


@pytest.mark.parametrize(
    "facts",
    [
        RequestFacts("PUT", POST.authority, POST.path, POST.query, POST.body),
        RequestFacts(POST.method, "other.example", POST.path, POST.query, POST.body),
        RequestFacts(POST.method, POST.authority, "/v1/purges", POST.query, POST.body),
        RequestFacts(POST.method, POST.authority, POST.path, "dry=1", POST.body),
        RequestFacts(POST.method, POST.authority, POST.path + "/", POST.query, POST.body),
    ],
    ids=["method", "authority", "path", "query", "slash"],
)
def test_bad_signature_when_the_request_was_changed(facts):
    check(parse_signature_headers(signed(), facts), "bad_signature")


def test_bad_signature_when_body_and_digest_were_both_changed():
    other = RequestFacts(POST.method, POST.authority, POST.path, POST.query, b'{"a":2}')
    headers = {**signed(), "Content-Digest": content_digest(other.body)}
    check(parse_signature_headers(headers, other), "bad_signature")


@pytest.mark.parametrize(
    ("old", "new"),
    [("created=1790000000", "created=1790000001"), ("AAECAwQFBgc", "AQECAwQFBgc")],
    ids=["created", "nonce"],
)
def test_bad_signature_when_a_parameter_was_changed(old, new):
    check(parse_signature_headers(changed(signed(), "Signature-Input", old, new), POST), "bad_signature")


def test_other_key():
    check(parse_signature_headers(signed(), POST), "other_key", key=OTHER)
    renamed = changed(signed(), "Signature-Input", KEY.key_id.hex(), OTHER.key_id.hex())
    check(parse_signature_headers(renamed, POST), "other_key")
    check(parse_signature_headers(renamed, POST), "bad_signature", key=OTHER)


def test_signature_of_another_size():
    headers = {**signed(), "Signature": f"sig=:{base64.b64encode(bytes(63)).decode()}:"}
    check(parse_signature_headers(headers, POST), "signature_size")


def test_time_is_checked_at_its_borders():
    verify_request(parse_signature_headers(signed(created=NOW - 60), POST), KEY, **LIMITS)
    check(parse_signature_headers(signed(created=NOW - 61), POST), "request_too_old")
    verify_request(parse_signature_headers(signed(created=NOW + 5), POST), KEY, **LIMITS)
    check(parse_signature_headers(signed(created=NOW + 6), POST), "request_from_future")


# --- interoperability: an RFC 9421 library of other authors ------------------------------------------


class Resolver(HTTPSignatureKeyResolver):
    def resolve_public_key(self, key_id):
        return PRIVATE.public_key() if key_id == KEY.key_id.hex() else None

    def resolve_private_key(self, key_id):
        assert key_id == KEY.key_id.hex()
        return PRIVATE


class Message:
    def __init__(self, facts, headers):
        query = f"?{facts.query}" if facts.query else ""
        self.method, self.url = facts.method, f"https://{facts.authority}{facts.path}{query}"
        self.headers = dict(headers)


COVERED = ("@method", "@authority", "@path", "@query")


@pytest.mark.parametrize("facts", [POST, GET], ids=["body", "no body"])
def test_the_library_verifies_what_we_sign(facts):
    # The library reads the clock itself.
    created = int(dt.datetime.now(tz=dt.UTC).timestamp())
    message = Message(facts, signed(facts, created=created))
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=Resolver())
    results = verifier.verify(
        message, expect_tag="countermark", expect_label="sig", require_components=COVERED, body=facts.body
    )
    assert [r.label for r in results] == ["sig"]
    assert results[0].body == facts.body
    assert results[0].parameters["keyid"] == KEY.key_id.hex()


@pytest.mark.parametrize("facts", [POST, GET], ids=["body", "no body"])
def test_we_verify_what_the_library_signs(facts):
    message = Message(facts, {"Content-Digest": content_digest(facts.body)} if facts.body else {})
    signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=Resolver())
    signer.sign(
        message,
        key_id=KEY.key_id.hex(),
        created=dt.datetime.fromtimestamp(NOW, tz=dt.UTC),
        nonce="AAECAwQFBgcICQoLDA0ODw",
        tag="countermark",
        label="sig",
        include_alg=False,
        covered_component_ids=COVERED,
        body=facts.body,
        use_existing_digest=facts.body is not None,
    )
    assert verify_request(parse_signature_headers(message.headers, facts), KEY, **LIMITS).nonce == NONCE
    assert {k.lower(): v for k, v in message.headers.items()} == {
        k.lower(): v for k, v in signed(facts).items()
    }
