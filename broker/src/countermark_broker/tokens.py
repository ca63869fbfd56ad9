"""The broker's keys in PKCS#11 tokens, named by the URIs of RFC 7512.

A log key must be Ed25519, since checkpoints are (docs/spec/log.md §2); a node key may be Ed25519 or P-256. What
reaches into tokens is `countermark_tokens`, the extra ``countermark-broker[pkcs11]``: imported only where a URI is
configured.

Source: docs/operations/keys-in-tokens.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from countermark_broker.config import PIN_VARIABLE
from countermark_broker.errors import ConfigurationError, UnavailableError
from countermark_protocol.errors import CountermarkError
from countermark_protocol.keys import Algorithm, PublicKey, Signer


def _absent() -> NoReturn:
    raise ConfigurationError(
        "no_token_library", "keys in tokens need the extra: install countermark-broker[pkcs11]"
    ) from None


class _NodeSigner:
    """A signer of a running broker: a token that is away is a broker that is unavailable for the moment."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    @property
    def public_key(self) -> PublicKey:
        """The public half, as the token holds it."""
        return self._signer.public_key

    def sign(self, message: bytes) -> bytes:
        """A raw signature over `message`, 64 bytes; ECDSA ones are low-S.

        Raises:
            UnavailableError: ``token_unavailable``: the token does not answer, or answers with no signature.
        """
        try:
            return self._signer.sign(message)
        except CountermarkError as error:
            raise UnavailableError(
                "token_unavailable", f"a key of this node does not sign: {error}"
            ) from None


def load_token_key(text: str, environ: Mapping[str, str] | None = None) -> Signer:
    """The signer of a ``pkcs11:`` URI.

    Args:
        text: the URI.
        environ: for the PIN; the process's own if None.

    Raises:
        ConfigurationError: ``no_token_library``.
        TokenError: the URI, the token, the PIN or the key is not usable.
    """
    keys, pins, uris = _modules()
    uri = uris.parse_token_uri(text)
    return _NodeSigner(keys.load_token_key(uri, pins.read_pin(uri, PIN_VARIABLE, environ)))


def make_token_key(text: str, algorithm: Algorithm, environ: Mapping[str, str] | None = None) -> Signer:
    """Make a key in a token, that cannot be taken out of it; never a second one under the same name.

    Args:
        text: a URI with the new key's label.
        algorithm: Ed25519 or ES256.
        environ: for the PIN; the process's own if None.

    Raises:
        ConfigurationError: ``no_token_library``.
        TokenError: ``token_key_exists``, or as `load_token_key`.
    """
    keys, pins, uris = _modules()
    uri = uris.parse_token_uri(text)
    return _NodeSigner(keys.make_token_key(uri, pins.read_pin(uri, PIN_VARIABLE, environ), algorithm))


def _modules() -> tuple[Any, Any, Any]:
    try:
        from countermark_tokens import keys, pins, uri  # noqa: PLC0415  optional
    except ImportError:
        _absent()
    return keys, pins, uri
