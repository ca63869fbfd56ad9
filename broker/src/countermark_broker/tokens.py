"""Keys that never leave a token: PKCS#11, named by the URIs of RFC 7512.

A log key must be Ed25519, since checkpoints are (docs/spec/log.md §2); a node key may be Ed25519 or P-256. The
library `python-pkcs11` is the extra ``countermark-broker[pkcs11]``, imported only where a URI is configured.

Source: RFC 7512; PKCS#11 3.0, ``CKM_EDDSA``, ``CKM_ECDSA``; docs/operations/keys-in-tokens.md §1.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, unquote_to_bytes

from countermark_broker.config import PIN_VARIABLE
from countermark_broker.errors import ConfigurationError, UnavailableError
from countermark_protocol.errors import CountermarkError
from countermark_protocol.keys import Algorithm, PublicKey, low_s, parse_public_key

if TYPE_CHECKING:
    import pkcs11

SCHEME: Final = "pkcs11:"

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
#: The library is one for the process and initialised without locking of its own: one call at a time.
_ONE_AT_A_TIME: Final = threading.RLock()
_POINT_BYTES: Final = {Algorithm.ED25519: 32, Algorithm.ES256: 65}


@dataclass(frozen=True, slots=True)
class TokenUri:
    """Which key in which token.

    Attributes:
        module: the token's PKCS#11 library.
        token: label of the token; empty if the serial number names it.
        serial: serial number of the token; may be empty.
        object: label of the key; may be empty if `id` is not.
        id: CKA_ID of the key; may be empty.
        pin_source: file with the PIN; None: the variable COUNTERMARK_BROKER_PIN.
    """

    module: Path
    token: str
    serial: str
    object: str
    id: bytes
    pin_source: Path | None

    def __str__(self) -> str:
        """For people: token and key."""
        return f"key {self.object or self.id.hex()} in token {self.token or self.serial}"


def _bad(message: str) -> ConfigurationError:
    return ConfigurationError("bad_token_uri", f"PKCS#11 URI: {message} (RFC 7512)")


def parse_token_uri(text: str) -> TokenUri:
    """Parse a ``pkcs11:`` URI that names one key.

    Raises:
        ConfigurationError: ``bad_token_uri``.
    """
    if not text.startswith(SCHEME):
        raise _bad(f"expected it to begin '{SCHEME}'")
    path, _, query = text.removeprefix(SCHEME).partition("?")
    found: dict[str, str] = {}
    for part in (*path.split(";"), *(query.split("&") if query else ())):
        name, equals, value = part.partition("=")
        if not equals or name in found:
            raise _bad("expected name=value parts, none twice")
        found[name] = value
    if "pin-value" in found:
        raise _bad("a PIN must not stand in a URI: use pin-source=file:… or the variable " + PIN_VARIABLE)
    if found.pop("type", "private") != "private":
        raise _bad("expected type=private")
    unknown = found.keys() - {"token", "serial", "object", "id", "module-path", "pin-source"}
    if unknown:
        raise _bad(f"this broker does not know '{min(unknown)}'")
    if "module-path" not in found:
        raise _bad("expected module-path, the token's PKCS#11 library")
    if not (found.get("token") or found.get("serial")) or not (found.get("object") or found.get("id")):
        raise _bad("expected token or serial, and object or id")
    pin = found.get("pin-source")
    return TokenUri(
        Path(unquote(found["module-path"])),
        unquote(found.get("token", "")),
        unquote(found.get("serial", "")),
        unquote(found.get("object", "")),
        unquote_to_bytes(found.get("id", "")),
        Path(unquote(pin.removeprefix("file:"))) if pin is not None else None,
    )


def _library() -> Any:
    try:
        import pkcs11  # noqa: PLC0415  optional
    except ImportError:
        raise ConfigurationError(
            "no_token_library", "keys in tokens need the extra: install countermark-broker[pkcs11]"
        ) from None
    return pkcs11


def _pin(uri: TokenUri, environ: Mapping[str, str]) -> str:
    if uri.pin_source is None:
        pin = environ.get(PIN_VARIABLE, "")
    else:
        try:
            pin = uri.pin_source.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            raise ConfigurationError("no_pin", f"cannot read the PIN file {uri.pin_source}") from None
    if not pin:
        raise ConfigurationError("no_pin", f"give pin-source=file:… in the URI, or set {PIN_VARIABLE}")
    return pin


def _open(uri: TokenUri, pin: str, *, writes: bool = False) -> pkcs11.Session:
    library = _library()
    try:
        known = {
            name: value
            for name, value in (("token_label", uri.token), ("token_serial", uri.serial.encode()))
            if value
        }
        token = library.lib(str(uri.module)).get_token(**known)
        try:
            session: pkcs11.Session = token.open(rw=writes, user_pin=pin)
        except library.UserAlreadyLoggedIn:
            # A log-in holds for the whole process: another key of the same token made it.
            session = token.open(rw=writes)
    except (library.PinIncorrect, library.PinInvalid, library.PinLenRange, library.PinLocked) as error:
        # Never tried again: tokens lock themselves after a few wrong PINs.
        raise ConfigurationError(
            "pin_refused", f"the token refuses the PIN: {type(error).__name__}"
        ) from None
    except (library.NoSuchToken, library.MultipleTokensReturned) as error:
        raise ConfigurationError("no_token", f"no one token for {uri}: {type(error).__name__}") from None
    except (library.PKCS11Error, RuntimeError, OSError) as error:
        raise ConfigurationError(
            "no_token", f"cannot open the token of {uri} by {uri.module}: {type(error).__name__}"
        ) from None
    return session


def _point(data: bytes, algorithm: Algorithm) -> bytes:
    """CKA_EC_POINT is a DER octet string by the book, and the bare point on some tokens."""
    size = _POINT_BYTES[algorithm]
    return data[2:] if len(data) == size + 2 and data[:2] == bytes((4, size)) else data


class TokenSigner:
    """Signs with a key in a token; a `Signer`. Safe to use from several threads.

    Args:
        uri: of the key.
        pin: of the token's user.

    Raises:
        ConfigurationError: no such token or key, a wrong PIN, or not a key that can sign here.
    """

    def __init__(self, uri: TokenUri, pin: str) -> None:
        self._uri, self._pin = uri, pin
        self._library = _library()
        try:
            with _ONE_AT_A_TIME:
                self._session = _open(uri, pin)
                self._public = self._read_public()
                self._private: Any = self._find(self._library.ObjectClass.PRIVATE_KEY)
        except (self._library.NoSuchKey, self._library.MultipleObjectsReturned) as error:
            raise ConfigurationError(
                "no_token_key",
                f"no one {uri}: {type(error).__name__}; `countermark-broker token-key` makes one",
            ) from None
        except self._library.PKCS11Error as error:
            raise ConfigurationError("no_token_key", f"{uri}: {type(error).__name__}") from None

    @property
    def public_key(self) -> PublicKey:
        """The public half, as the token holds it."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """A raw signature over `message`, 64 bytes; ECDSA ones are low-S.

        Raises:
            UnavailableError: ``token_unavailable``: the token does not answer, or answers with no signature.
        """
        with _ONE_AT_A_TIME:
            try:
                signature = self._sign(message)
            except self._library.PKCS11Error:
                # A token that was away has closed the session: one new one, then it is the caller's matter.
                signature = self._sign_anew(message)
        try:
            # A signature with a fault in it can give an Ed25519 key away; it must not leave this function.
            self._public.verify(message, signature)
        except CountermarkError:
            raise UnavailableError(
                "token_unavailable", "the token gave a signature that does not verify"
            ) from None
        return signature

    def _sign(self, message: bytes) -> bytes:
        mechanism = self._library.Mechanism
        if self._public.algorithm is Algorithm.ED25519:
            return bytes(self._private.sign(message, mechanism=mechanism.EDDSA))
        digest = hashlib.sha256(message).digest()
        return low_s(bytes(self._private.sign(digest, mechanism=mechanism.ECDSA)))

    def _sign_anew(self, message: bytes) -> bytes:
        try:
            self._session = _open(self._uri, self._pin)
            self._private = self._find(self._library.ObjectClass.PRIVATE_KEY)
            return self._sign(message)
        except (self._library.PKCS11Error, ConfigurationError) as error:
            raise UnavailableError(
                "token_unavailable", f"the token of {self._uri} does not sign: {type(error).__name__}"
            ) from None

    def _find(self, kind: Any) -> Any:
        known: dict[str, Any] = {"object_class": kind}
        if self._uri.object:
            known["label"] = self._uri.object
        if self._uri.id:
            known["id"] = self._uri.id
        return self._session.get_key(**known)

    def _read_public(self) -> PublicKey:
        attribute = self._library.Attribute
        found = self._find(self._library.ObjectClass.PUBLIC_KEY)
        algorithm = _ALGORITHMS.get(bytes(found[attribute.EC_PARAMS]))
        if algorithm is None:
            raise ConfigurationError("no_token_key", f"{self._uri}: expected an Ed25519 or P-256 key")
        try:
            return parse_public_key(algorithm, _point(bytes(found[attribute.EC_POINT]), algorithm))
        except CountermarkError as error:
            raise ConfigurationError("no_token_key", f"{self._uri}: {error.message}") from None


def load_token_key(text: str, environ: Mapping[str, str] | None = None) -> TokenSigner:
    """The signer of a ``pkcs11:`` URI.

    Args:
        text: the URI.
        environ: for the PIN; the process's own if None.

    Raises:
        ConfigurationError: the URI, the token, the PIN or the key is not usable.
    """
    uri = parse_token_uri(text)
    return TokenSigner(uri, _pin(uri, os.environ if environ is None else environ))


def make_token_key(text: str, algorithm: Algorithm, environ: Mapping[str, str] | None = None) -> TokenSigner:
    """Make a key in a token, that cannot be taken out of it; never a second one under the same name.

    Args:
        text: a URI with the new key's label.
        algorithm: Ed25519 or ES256.
        environ: for the PIN; the process's own if None.

    Raises:
        ConfigurationError: ``token_key_exists``, or as `load_token_key`.
    """
    uri = parse_token_uri(text)
    pin = _pin(uri, os.environ if environ is None else environ)
    library = _library()
    if not uri.object:
        raise _bad("expected object, the label of the new key")
    edwards = algorithm is Algorithm.ED25519
    with _ONE_AT_A_TIME, _open(uri, pin, writes=True) as session:
        wanted = {
            library.Attribute.LABEL: uri.object,
            library.Attribute.CLASS: library.ObjectClass.PRIVATE_KEY,
        }
        if any(True for _ in session.get_objects(wanted)):
            raise ConfigurationError(
                "token_key_exists", f"there is already a {uri}: keys are never overwritten"
            )
        try:
            curve = session.create_domain_parameters(
                library.KeyType.EC_EDWARDS if edwards else library.KeyType.EC,
                {library.Attribute.EC_PARAMS: _ED25519_OID if edwards else _P256_OID},
                local=True,
            )
            mechanism = library.Mechanism
            curve.generate_keypair(
                mechanism=mechanism.EC_EDWARDS_KEY_PAIR_GEN if edwards else mechanism.EC_KEY_PAIR_GEN,
                store=True,
                label=uri.object,
                id=uri.id or os.urandom(8),
                private_template={
                    library.Attribute.SENSITIVE: True,
                    library.Attribute.EXTRACTABLE: False,
                },
            )
        except library.PKCS11Error as error:
            raise ConfigurationError(
                "token_cannot", f"the token does not make {algorithm.name} keys: {type(error).__name__}"
            ) from None
    return TokenSigner(uri, pin)
