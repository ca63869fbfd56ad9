"""Secrets wrapped by a key of a token: opened by that key for that context, and by nothing else."""

import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from countermark_tokens.errors import TokenError
from countermark_tokens.sessions import open_token
from countermark_tokens.uri import parse_token_uri
from countermark_tokens.wrapping import make_wrapping_key, unwrap, wrap
from support.softhsm import PIN

pkcs11 = pytest.importorskip("pkcs11", reason="NOT RUN: needs the extra countermark-client[pkcs11]")


@pytest.fixture(scope="module")
def opened(softhsm):
    """A token, and the URI of a wrapping key in it."""
    softhsm.make("wrapping")
    uri = parse_token_uri(f"{softhsm.uri('wrapping', 'w')}".replace("object=w", "object=w;id=%01"))
    token = open_token(uri, PIN)
    make_wrapping_key(token, uri)
    return token, uri


@pytest.mark.parametrize("size", [1, 32, 64, 5000])
def test_a_secret_of_any_size_comes_back(opened, size):
    secret = os.urandom(size)
    wrapped = wrap(*opened, secret, b"context")
    assert len(wrapped) == size + 28
    assert wrapped != wrap(*opened, secret, b"context")
    assert unwrap(*opened, wrapped, b"context") == secret


def test_whatever_is_altered_does_not_open(opened):
    wrapped = wrap(*opened, bytes(range(32)), b"context")
    spoilt = [wrapped[:at] + bytes([wrapped[at] ^ 1]) + wrapped[at + 1 :] for at in range(0, len(wrapped), 7)]
    for data, context in (
        *((s, b"context") for s in spoilt),
        (wrapped, b"contexu"),
        (wrapped[:-1], b"context"),
        (b"", b"context"),
    ):
        with pytest.raises(TokenError) as refused:
            unwrap(*opened, data, context)
        assert refused.value.code == "wrapped_key_altered"


def test_it_is_the_standard_algorithm(opened):
    """By an independent implementation: a key put into the token from outside, for this test alone."""
    token, _ = opened
    key = os.urandom(32)

    def put(session):
        session.create_object(
            {
                pkcs11.Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY,
                pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.AES,
                pkcs11.Attribute.TOKEN: True,
                pkcs11.Attribute.LABEL: "known",
                pkcs11.Attribute.VALUE: key,
                pkcs11.Attribute.ENCRYPT: True,
                pkcs11.Attribute.DECRYPT: True,
            }
        )

    token.use(put, writes=True)
    uri = parse_token_uri(opened[1].text.replace("object=w;id=%01", "object=known"))
    wrapped = wrap(token, uri, b"secret", b"context")
    assert AESGCM(key).decrypt(wrapped[:12], wrapped[12:], b"context") == b"secret"


def test_the_wrapping_key_cannot_be_taken_out_and_takes_no_other_key_out(opened):
    token, _ = opened

    def look(session):
        key = session.get_key(label="w", object_class=pkcs11.ObjectClass.SECRET_KEY)
        with pytest.raises(pkcs11.exceptions.AttributeSensitive):
            key[pkcs11.Attribute.VALUE]
        attributes = (pkcs11.Attribute.EXTRACTABLE, pkcs11.Attribute.WRAP, pkcs11.Attribute.UNWRAP)
        return [key[a] for a in attributes]

    assert token.use(look) == [False, False, False]


def test_there_is_one_wrapping_key_of_a_name(opened):
    with pytest.raises(TokenError) as refused:
        make_wrapping_key(*opened)
    assert refused.value.code == "token_key_exists"
