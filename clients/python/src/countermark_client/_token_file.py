"""What a profile keeps of keys in a token: their names, their public halves, and wrapped seeds. Nothing secret.

Source: docs/spec/keys.md §8.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from countermark_client._keystore import SEALING, SEALING_OLD
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import (
    JsonObject,
    encode_base64url,
    encode_json,
    labelled_bytes,
    malformed,
    parse_base64url,
    parse_object,
)
from countermark_protocol.errors import NotFoundError
from countermark_protocol.keys import PublicKey, parse_key_json

FORMAT: Final = "countermark-token-keys-1"
#: In the folder of a profile.
TOKEN_FILE: Final = "keys.token.json"  # noqa: S105  a file's name
MAX_KEYS: Final = 256
_MAX_URI: Final = 1000
_MAX_ID: Final = 64


@dataclass(frozen=True, slots=True)
class KeyName:
    """A key in the token.

    Attributes:
        label: CKA_LABEL.
        id: CKA_ID.
    """

    label: str
    id: bytes


@dataclass(frozen=True, slots=True)
class NamedKey:
    """A signing key in the token.

    Attributes:
        use: what it is for.
        name: of it.
        public: its public half.
    """

    use: str
    name: KeyName
    public: PublicKey


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A sealing key, whose seed only the token's wrapping key opens.

    Attributes:
        use: ``sealing`` or ``sealing-old``.
        public: its public half.
        wrapped: the seed.
    """

    use: str
    public: PublicKey
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class TokenFile:
    """A token file.

    Attributes:
        token: URI of the token.
        wrapping: the wrapping key; None where there are no sealing keys.
        keys: oldest first within a use.
        sealing: oldest first.
    """

    token: str
    wrapping: KeyName | None = None
    keys: tuple[NamedKey, ...] = ()
    sealing: tuple[WrappedKey, ...] = ()

    def with_sealing(self, key: WrappedKey) -> TokenFile:
        """With one more sealing key; a current one makes the one before it a former one."""
        kept = self.sealing
        if key.use == SEALING:
            kept = tuple(replace(k, use=SEALING_OLD) for k in kept)
        return replace(self, sealing=(*kept, key))


def wrapping_context(public: PublicKey) -> bytes:
    """What a wrapped seed belongs to: the additional data of its encryption."""
    return labelled_bytes("wrapped-seed", int(public.algorithm).to_bytes(2, "big"), public.raw)


def _name_json(name: KeyName) -> JsonObject:
    return {"label": name.label, "id": encode_base64url(name.id)}


def encode_token_file(file: TokenFile) -> bytes:
    """The bytes of a token file."""
    return encode_json(
        {
            "format": FORMAT,
            "token": file.token,
            "wrapping": _name_json(file.wrapping) if file.wrapping is not None else None,
            "keys": [{"use": k.use, **_name_json(k.name), **k.public.to_json()} for k in file.keys],
            "sealing": [
                {"use": k.use, **k.public.to_json(), "wrapped": encode_base64url(k.wrapped)}
                for k in file.sealing
            ],
        }
    )


def _name(claims: Claims) -> KeyName:
    key_id = parse_base64url(claims.raw("id"), "'id' of token file")
    if not 1 <= len(key_id) <= _MAX_ID:
        claims.bad("id", f"1 to {_MAX_ID} bytes in base64url")
    return KeyName(claims.text("label"), key_id)


def _public(claims: Claims) -> PublicKey:
    return parse_key_json({"alg": claims.raw("alg"), "pub": claims.raw("pub")}, "key of token file")


def _named(value: Any) -> NamedKey:
    claims = Claims(value, "key of token file")
    key = NamedKey(claims.text("use", 64), _name(claims), _public(claims))
    if not key.public.is_signing:
        claims.bad("alg", "a signature algorithm")
    claims.done()
    return key


def _wrapped(value: Any) -> WrappedKey:
    claims = Claims(value, "sealing key of token file")
    key = WrappedKey(
        claims.text("use", 64),
        _public(claims),
        parse_base64url(claims.raw("wrapped"), "'wrapped' of token file"),
    )
    if key.public.is_signing or key.use not in {SEALING, SEALING_OLD}:
        claims.bad("use", f"a sealing key of use '{SEALING}' or '{SEALING_OLD}'")
    claims.done()
    return key


def parse_token_file(data: bytes) -> TokenFile:
    """Parse a token file.

    Raises:
        MalformedError: none of this format.
        UncheckableError: a key of an algorithm reserved for later.
    """
    claims = Claims(parse_object(data, "token file"), "token file")
    if claims.raw("format") != FORMAT:
        malformed("unknown_version", f"expected a token file of format '{FORMAT}'")
    wrapping = None
    if claims.raw("wrapping") is not None:
        inner = Claims(claims.raw("wrapping"), "'wrapping' of token file")
        wrapping = _name(inner)
        inner.done()
    file = TokenFile(
        claims.text("token", _MAX_URI),
        wrapping,
        tuple(_named(v) for v in claims.items("keys", 0, MAX_KEYS)),
        tuple(_wrapped(v) for v in claims.items("sealing", 0, MAX_KEYS)),
    )
    if file.sealing and file.wrapping is None:
        claims.bad("wrapping", "the key that the sealing keys are wrapped by")
    claims.done()
    return file


def read_token_file(path: Path) -> TokenFile:
    """Read a token file.

    Raises:
        NotFoundError: ``no_key_file``.
        CountermarkError: as `parse_token_file`.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError("no_key_file", f"there is no token file {path.name} in {path.parent}") from None
    return parse_token_file(data)
