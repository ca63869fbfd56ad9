"""Secrets that no token can hold, sealed by a key that never leaves one: AES-256-GCM, computed in the token.

No token knows our sealing keys' algorithms. So a seed lies beside the profile, encrypted by a key of the token, and is
in the clear in memory alone. The wrapping key may encrypt and decrypt data, and may not wrap keys: nobody can use it to
take another key out of the token.

Source: NIST SP 800-38D; PKCS#11 3.0, ``CKM_AES_GCM``; docs/spec/keys.md §8; docs/adr/0023.
"""

from __future__ import annotations

import os
from typing import Final

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, exceptions
from pkcs11.mechanisms import GCMParams

from countermark_tokens.errors import TokenError
from countermark_tokens.keys import check_new, find_object
from countermark_tokens.sessions import Token
from countermark_tokens.uri import TokenUri

NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
_KEY_BITS: Final = 256


def make_wrapping_key(token: Token, uri: TokenUri) -> None:
    """Make an AES-256 key in a token, that cannot be taken out of it.

    Args:
        token: logged in.
        uri: with the new key's label and id.

    Raises:
        TokenError: ``token_key_exists``, ``token_cannot``, or as `Token.use`.
    """

    def make(session: pkcs11.Session) -> None:
        check_new(session, uri)
        session.generate_key(
            KeyType.AES,
            _KEY_BITS,
            store=True,
            label=uri.object,
            id=uri.id,
            template={
                Attribute.SENSITIVE: True,
                Attribute.EXTRACTABLE: False,
                Attribute.ENCRYPT: True,
                Attribute.DECRYPT: True,
                Attribute.WRAP: False,
                Attribute.UNWRAP: False,
                Attribute.SIGN: False,
                Attribute.VERIFY: False,
            },
        )

    try:
        token.use(make, writes=True)
    except exceptions.PKCS11Error as error:
        raise TokenError(
            "token_cannot",
            f"the token makes no AES-256 keys ({type(error).__name__}): keep sealing keys in a key file",
        ) from None


def wrap(token: Token, uri: TokenUri, secret: bytes, context: bytes) -> bytes:
    """Encrypt a secret in a token.

    Args:
        token: logged in.
        uri: of the wrapping key.
        secret: of any size.
        context: what it belongs to; authenticated, not kept.

    Returns:
        nonce 12 ‖ ciphertext ‖ tag 16.

    Raises:
        TokenError: ``token_cannot``, or as `Token.use` and `find_object`.
    """
    nonce = os.urandom(NONCE_BYTES)

    def encrypt(session: pkcs11.Session) -> bytes:
        key = find_object(session, uri, ObjectClass.SECRET_KEY)
        parameters = GCMParams(nonce, context, TAG_BYTES * 8)
        return bytes(key.encrypt(secret, mechanism=Mechanism.AES_GCM, mechanism_param=parameters))

    try:
        wrapped = nonce + token.use(encrypt)
    except exceptions.PKCS11Error as error:
        raise TokenError(
            "token_cannot",
            f"the token does not encrypt by AES-GCM ({type(error).__name__}): keep sealing keys in a key file",
        ) from None
    # A token that takes a nonce of its own instead of ours gives something that nobody opens.
    if unwrap(token, uri, wrapped, context) != secret:
        raise TokenError("token_cannot", "the token does not give back what it has encrypted: test it")
    return wrapped


def unwrap(token: Token, uri: TokenUri, wrapped: bytes, context: bytes) -> bytes:
    """Decrypt what `wrap` gave.

    Raises:
        TokenError: ``wrapped_key_altered``: altered, of another context, or by another key; or as `Token.use` and
            `find_object`.
    """
    if len(wrapped) <= NONCE_BYTES + TAG_BYTES:
        raise _altered(uri)

    def decrypt(session: pkcs11.Session) -> bytes:
        key = find_object(session, uri, ObjectClass.SECRET_KEY)
        parameters = GCMParams(wrapped[:NONCE_BYTES], context, TAG_BYTES * 8)
        try:
            opened = key.decrypt(
                wrapped[NONCE_BYTES:], mechanism=Mechanism.AES_GCM, mechanism_param=parameters
            )
        except (exceptions.EncryptedDataInvalid, exceptions.EncryptedDataLenRange, exceptions.GeneralError):
            # SoftHSM says the last of these of a tag that is wrong; the key was found in this very session.
            raise _altered(uri) from None
        return bytes(opened)

    try:
        return token.use(decrypt)
    except exceptions.PKCS11Error as error:
        raise TokenError("token_cannot", f"the token does not decrypt: {type(error).__name__}") from None


def _altered(uri: TokenUri) -> TokenError:
    return TokenError(
        "wrapped_key_altered",
        f"a wrapped sealing key does not open by the {uri}: it was altered, or the token holds another key by this "
        "name. Restore both from the backups of one time",
    )
