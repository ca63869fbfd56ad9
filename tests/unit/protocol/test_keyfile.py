"""Encrypted key files: only the passphrase opens them, and nothing in them can be changed."""

import json

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from countermark_protocol.encoding import encode_base64url, encode_json
from countermark_protocol.errors import CountermarkError, MalformedError, SealError
from countermark_protocol.keyfile import StoredKey, _derive, _header, encode_key_file, parse_key_file
from countermark_protocol.keys import Algorithm
from support.world import seed

KEYS = (
    StoredKey("instance", Algorithm.ED25519, seed("a")),
    StoredKey("administrator", Algorithm.ES256, seed("b")),
    StoredKey("sealing", Algorithm.XWING, seed("c")),
)
SALT, NONCE = bytes(range(16)), bytes(range(12))
PASSPHRASE = "correct horse — 錠"
FILE = encode_key_file(KEYS, PASSPHRASE, SALT, NONCE)


@pytest.fixture(scope="module", autouse=True)
def derived_once():
    """Nothing is kept here: each file is derived as it is by those who use it."""


def refused(error, code, data, passphrase=PASSPHRASE):
    with pytest.raises(CountermarkError) as caught:
        parse_key_file(data, passphrase)
    assert (type(caught.value), caught.value.code) == (error, code)
    for key in KEYS:
        assert encode_base64url(key.private) not in str(caught.value)


def changed(**members):
    return encode_json(json.loads(FILE) | members)


def sealed(plain):
    """A file that opens, with any bytes inside: its writer knew the passphrase, and was wrong or evil."""
    box = AESGCM(_derive(PASSPHRASE, SALT)).encrypt(NONCE, plain, _header(SALT, NONCE))
    return changed(sealed=encode_base64url(box))


def test_round_trip():
    assert parse_key_file(FILE, PASSPHRASE) == KEYS
    for key in KEYS:
        assert encode_base64url(key.private).encode() not in FILE


@pytest.mark.parametrize("passphrase", ["", "correct horse", PASSPHRASE + " ", PASSPHRASE.upper()])
def test_another_passphrase(passphrase):
    refused(SealError, "wrong_passphrase", FILE, passphrase)


def test_altered_bytes_do_not_open():
    members = json.loads(FILE)
    other = "B" if members["sealed"][0] == "A" else "A"
    refused(SealError, "wrong_passphrase", changed(sealed=other + members["sealed"][1:]))
    refused(SealError, "wrong_passphrase", changed(salt=encode_base64url(bytes(16))))
    refused(SealError, "wrong_passphrase", changed(nonce=encode_base64url(bytes(12))))
    for size in (0, 1, 15, 16):
        refused(SealError, "wrong_passphrase", changed(sealed=encode_base64url(bytes(size))))


@pytest.mark.parametrize(
    ("code", "members"),
    [
        ("unknown_version", {"format": "countermark-keys-2"}),
        ("unknown_version", {"format": None}),
        ("unknown_version", {"kdf": {"name": "argon2id", "memory_kib": 8, "passes": 1, "lanes": 1}}),
        ("unknown_version", {"kdf": "none"}),
        ("bad_member", {"salt": encode_base64url(bytes(8))}),
        ("bad_member", {"nonce": encode_base64url(bytes(16))}),
        ("not_base64url", {"sealed": 5}),
        ("not_base64url", {"salt": "%%"}),
        ("unknown_member", {"comment": "hello"}),
    ],
)
def test_headers_are_fixed(code, members):
    refused(MalformedError, code, changed(**members))


@pytest.mark.parametrize(
    ("code", "plain"),
    [
        ("not_json", b"garbage"),
        ("bad_member", b"{}"),
        ("bad_member", b"[]"),
        ("not_an_object", b"[1]"),
        ("missing_member", b"[{}]"),
        ("bad_member", b'[{"alg":"none","use":"x","private":""}]'),
        ("bad_member", b'[{"alg":"Ed25519","use":"x","private":"AAAA"}]'),
        ("bad_member", b'[{"alg":"Ed25519","use":"","private":"%s"}]' % (b"A" * 43)),
        ("unknown_member", b'[{"alg":"Ed25519","use":"x","private":"%s","more":1}]' % (b"A" * 43)),
    ],
)
def test_what_is_inside_is_checked_too(code, plain):
    refused(MalformedError, code, sealed(plain))


def test_not_a_key_file():
    refused(MalformedError, "not_json", b"")
    refused(MalformedError, "not_an_object", b"[]")
    refused(MalformedError, "missing_member", b"{}")


def test_misuse_is_the_callers_fault():
    for args in [
        ((), "p", SALT, NONCE),
        (KEYS, "", SALT, NONCE),
        (KEYS, "p", b"", NONCE),
        (KEYS, "p", SALT, b""),
    ]:
        with pytest.raises(ValueError, match="expected keys"):
            encode_key_file(*args)


def test_a_stored_key_never_shows_itself():
    assert repr(KEYS[0]) == "StoredKey(use='instance', algorithm=ED25519, private=…)"
    assert repr(KEYS[0].private) not in f"{KEYS}"
