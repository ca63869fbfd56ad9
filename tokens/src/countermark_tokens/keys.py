"""Signing keys in tokens: made there, found by label or id, used without ever leaving.

Source: PKCS#11 3.0, ``CKM_EDDSA``, ``CKM_ECDSA``; docs/spec/keys.md §4.5, §8.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, exceptions

from countermark_protocol.errors import CountermarkError
from countermark_protocol.keys import ALGORITHM_NAMES, Algorithm, PublicKey, low_s, parse_public_key
from countermark_tokens.errors import TokenError
from countermark_tokens.sessions import Token, open_token
from countermark_tokens.uri import TokenUri

T = TypeVar("T")

# DER of the curves' object identifiers, as CKA_EC_PARAMS names them (RFC 8410, RFC 5480).
_ED25519_OID: Final = bytes.fromhex("06032b6570")
_P256_OID: Final = bytes.fromhex("06082a8648ce3d030107")
#: Some tokens name the curve by this string instead (PKCS#11 3.0, section 2.3.5).
_ED25519_NAME: Final = b"\x13\x0cedwards25519"
_ALGORITHMS: Final = {
    _ED25519_OID: Algorithm.ED25519,
    _ED25519_NAME: Algorithm.ED25519,
    _P256_OID: Algorithm.ES256,
}
_POINT_BYTES: Final = {Algorithm.ED25519: 32, Algorithm.ES256: 65}
_ID_BYTES: Final = 8


def find_object(session: pkcs11.Session, uri: TokenUri, kind: ObjectClass) -> Any:
    """The one object that a URI names.

    Raises:
        TokenError: ``no_token_key``, ``two_token_keys``.
    """
    known: dict[Attribute, Any] = {Attribute.CLASS: kind}
    if uri.object:
        known[Attribute.LABEL] = uri.object
    if uri.id:
        known[Attribute.ID] = uri.id
    # To its end: a search that is left open blocks the session.
    found = list(session.get_objects(known))
    if not found:
        raise TokenError(
            "no_token_key",
            f"there is no {uri}: correct object and id, make the key, or restore the token from its own backup",
        )
    if len(found) > 1:
        raise TokenError(
            "two_token_keys", f"there is more than one {uri}: name the one that is meant by id=… in the URI"
        )
    return found[0]


def _point(data: bytes, algorithm: Algorithm) -> bytes:
    """CKA_EC_POINT is a DER octet string by the book, and the bare point on some tokens."""
    size = _POINT_BYTES[algorithm]
    return data[2:] if len(data) == size + 2 and data[:2] == bytes((4, size)) else data


def _read_public(session: pkcs11.Session, uri: TokenUri) -> PublicKey:
    found = find_object(session, uri, ObjectClass.PUBLIC_KEY)
    algorithm = _ALGORITHMS.get(bytes(found[Attribute.EC_PARAMS]))
    if algorithm is None:
        raise TokenError("token_key_unusable", f"{uri}: expected an Ed25519 or a P-256 key")
    try:
        return parse_public_key(algorithm, _point(bytes(found[Attribute.EC_POINT]), algorithm))
    except CountermarkError as error:
        raise TokenError("token_key_unusable", f"{uri}: {error.message}") from None


class TokenSigner:
    """Signs with a key in a token; a `Signer`. Safe to use from several threads, and after a fork.

    Args:
        token: logged in.
        uri: of the key.
        public: the public half, where it is known; else it is read from the token.

    Raises:
        TokenError: as `find_object`, or ``token_key_unusable``.
    """

    def __init__(self, token: Token, uri: TokenUri, public: PublicKey | None = None) -> None:
        self._token, self._uri = token, uri
        self._public = public or _plain(token, uri, lambda session: _read_public(session, uri))
        #: The session that the handle is of: another session, another handle.
        self._found: tuple[pkcs11.Session, Any] | None = None

    def __repr__(self) -> str:
        """Which key; a token shows no more anyway."""
        return f"TokenSigner({self._uri})"

    @property
    def public_key(self) -> PublicKey:
        """The public half."""
        return self._public

    @property
    def uri(self) -> TokenUri:
        """Which key it is."""
        return self._uri

    def identity(self) -> tuple[str, bytes]:
        """Label and CKA_ID of the key, as the token has them.

        Raises:
            TokenError: as `find_object`.
        """

        def look(session: pkcs11.Session) -> tuple[str, bytes]:
            found = find_object(session, self._uri, ObjectClass.PRIVATE_KEY)
            return str(found[Attribute.LABEL]), bytes(found[Attribute.ID])

        return _plain(self._token, self._uri, look)

    def sign(self, message: bytes) -> bytes:
        """A raw signature over `message`, 64 bytes; ECDSA ones are low-S.

        Raises:
            TokenError: the token or the key cannot be reached, as `open_token` and `find_object`;
                ``token_unavailable``; ``token_key_changed``: it holds another key than is known by that name.
        """
        signature = _plain(self._token, self._uri, lambda session: self._sign(session, message))
        try:
            # A signature with a fault in it can give an Ed25519 key away; it must not leave this function.
            self._public.verify(message, signature)
        except CountermarkError:
            raise self._not_verified() from None
        return signature

    def _sign(self, session: pkcs11.Session, message: bytes) -> bytes:
        if self._found is None or self._found[0] is not session:
            self._found = session, find_object(session, self._uri, ObjectClass.PRIVATE_KEY)
        private = self._found[1]
        if self._public.algorithm is Algorithm.ED25519:
            return bytes(private.sign(message, mechanism=Mechanism.EDDSA))
        raw = bytes(private.sign(hashlib.sha256(message).digest(), mechanism=Mechanism.ECDSA))
        return low_s(raw)

    def _not_verified(self) -> TokenError:
        try:
            same = _plain(self._token, self._uri, lambda s: _read_public(s, self._uri)) == self._public
        except TokenError:
            same = True
        if same:
            return TokenError(
                "token_faulty", f"the {self._uri} gave a signature that does not verify: test the token"
            )
        return TokenError(
            "token_key_changed",
            f"the {self._uri} is another key than the one that was made under this name: restore the token",
        )


def _plain(token: Token, uri: TokenUri, action: Callable[[pkcs11.Session], T]) -> T:
    """Use a token; what it says of itself as our error."""
    try:
        return token.use(action)
    except exceptions.PKCS11Error as error:
        raise TokenError(
            "token_cannot", f"the token cannot do this with the {uri}: {type(error).__name__}"
        ) from None


def load_token_key(uri: TokenUri, pin: str) -> TokenSigner:
    """The signer of a key in a token.

    Raises:
        TokenError: as `open_token` and `TokenSigner`; ``no_token_key``: its private half is not there.
    """
    signer = TokenSigner(open_token(uri, pin), uri)
    _plain(signer._token, uri, lambda s: find_object(s, uri, ObjectClass.PRIVATE_KEY))  # noqa: SLF001
    return signer


def make_token_key(uri: TokenUri, pin: str, algorithm: Algorithm) -> TokenSigner:
    """Make a key in a token that cannot be taken out of it; never a second one under the same name.

    Args:
        uri: with the new key's label.
        pin: of the token's user.
        algorithm: Ed25519 or ES256.

    Raises:
        TokenError: ``token_key_exists``, ``token_cannot``, ``bad_token_uri``, or as `open_token`.
    """
    if not uri.object:
        raise TokenError("bad_token_uri", "PKCS#11 URI: expected object, the label of the new key (RFC 7512)")
    token = open_token(uri, pin)
    edwards = algorithm is Algorithm.ED25519

    def make(session: pkcs11.Session) -> None:
        check_new(session, uri)
        curve = session.create_domain_parameters(
            KeyType.EC_EDWARDS if edwards else KeyType.EC,
            {Attribute.EC_PARAMS: _ED25519_OID if edwards else _P256_OID},
            local=True,
        )
        curve.generate_keypair(
            mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN if edwards else Mechanism.EC_KEY_PAIR_GEN,
            store=True,
            label=uri.object,
            id=uri.id or os.urandom(_ID_BYTES),
            private_template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
        )

    try:
        token.use(make, writes=True)
    except exceptions.PKCS11Error as error:
        raise TokenError(
            "token_cannot",
            f"the token does not make {ALGORITHM_NAMES[algorithm]} keys: {type(error).__name__}",
        ) from None
    return TokenSigner(token, uri)


def check_new(session: pkcs11.Session, uri: TokenUri) -> None:
    """Check that no private or secret key has this label yet.

    Raises:
        TokenError: ``token_key_exists``.
    """
    for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.SECRET_KEY):
        wanted = {Attribute.LABEL: uri.object, Attribute.CLASS: kind}
        if list(session.get_objects(wanted)):
            raise TokenError("token_key_exists", f"there is already a {uri}: keys are never overwritten")


def weaknesses(token: Token, uri: TokenUri, *, secret: bool = False) -> tuple[str, ...]:
    """What is wrong with how a key is kept: empty if it can never leave the token.

    Args:
        token: logged in.
        uri: of the key.
        secret: whether it is a secret key, and not the private half of a pair.

    Raises:
        TokenError: as `find_object`.
    """
    kind = ObjectClass.SECRET_KEY if secret else ObjectClass.PRIVATE_KEY

    def look(session: pkcs11.Session) -> tuple[str, ...]:
        found = find_object(session, uri, kind)
        out = ["it can be taken out of the token"] if found[Attribute.EXTRACTABLE] else []
        out += ["the token shows it in the clear"] if not found[Attribute.SENSITIVE] else []
        return tuple(out)

    return _plain(token, uri, look)
