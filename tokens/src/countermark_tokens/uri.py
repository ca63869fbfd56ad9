"""Which key in which token: ``pkcs11:`` URIs.

Source: RFC 7512.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, unquote_to_bytes

from countermark_tokens.errors import TokenError

SCHEME: Final = "pkcs11:"
_PATH: Final = frozenset({"token", "serial", "object", "id", "type"})
_QUERY: Final = frozenset({"module-path", "pin-source"})


@dataclass(frozen=True, slots=True)
class TokenUri:
    """A token, and the key in it that is meant. No PIN ever stands in it, so it may be shown and kept.

    Attributes:
        module: the token's PKCS#11 library.
        token: label of the token; empty if the serial number names it.
        serial: serial number of the token; may be empty.
        object: label of the key; may be empty.
        id: CKA_ID of the key; may be empty.
        pin_source: file with the PIN; None: it comes from elsewhere.
    """

    module: Path
    token: str
    serial: str
    object: str = ""
    id: bytes = b""
    pin_source: Path | None = None

    def __str__(self) -> str:
        """For people: key and token."""
        key = f"key {self.object or self.id.hex()} in " if self.object or self.id else ""
        return f"{key}token {self.token or self.serial}"

    @property
    def names_key(self) -> bool:
        """Whether a key is named, and not the token alone."""
        return bool(self.object or self.id)

    @property
    def text(self) -> str:
        """The URI itself, as `parse_token_uri` reads it."""
        path = [
            f"{name}={quote(value, safe='')}"
            for name, value in (("token", self.token), ("serial", self.serial), ("object", self.object))
            if value
        ]
        path += [f"id={quote(self.id, safe='')}"] if self.id else []
        query = [f"module-path={quote(str(self.module), safe='/')}"]
        query += [f"pin-source=file:{quote(str(self.pin_source), safe='/')}"] if self.pin_source else []
        return f"{SCHEME}{';'.join(path)}?{'&'.join(query)}"


def _bad(message: str) -> TokenError:
    return TokenError("bad_token_uri", f"PKCS#11 URI: {message} (RFC 7512)")


def parse_token_uri(text: str, *, key: bool = True) -> TokenUri:
    """Parse a ``pkcs11:`` URI.

    Args:
        text: the URI.
        key: whether it must name a key; else it names a token alone.

    Raises:
        TokenError: ``bad_token_uri``.
    """
    if not text.startswith(SCHEME):
        raise _bad(f"expected it to begin '{SCHEME}'")
    path, _, query = text.removeprefix(SCHEME).partition("?")
    found: dict[str, str] = {}
    for known, parts in ((_PATH, path.split(";")), (_QUERY, query.split("&") if query else ())):
        for part in parts:
            name, equals, value = part.partition("=")
            if not equals or name in found:
                raise _bad("expected name=value parts, none twice")
            if name == "pin-value":
                raise _bad("a PIN must not stand in a URI: use pin-source=file:… or the environment")
            if name not in known:
                raise _bad(f"'{name}' is not known here")
            found[name] = value
    if found.pop("type", "private") != "private":
        raise _bad("expected type=private")
    if not found.get("module-path"):
        raise _bad("expected module-path, the token's PKCS#11 library")
    if not (found.get("token") or found.get("serial")):
        raise _bad("expected token or serial")
    if key and not (found.get("object") or found.get("id")):
        raise _bad("expected object or id, the key's label or CKA_ID")
    if not key and (found.get("object") or found.get("id")):
        raise _bad("expected a token and no key: leave object and id out")
    pin = found.get("pin-source")
    try:
        return TokenUri(
            Path(unquote(found["module-path"], errors="strict")),
            unquote(found.get("token", ""), errors="strict"),
            unquote(found.get("serial", ""), errors="strict"),
            unquote(found.get("object", ""), errors="strict"),
            unquote_to_bytes(found.get("id", "")),
            Path(unquote(pin.removeprefix("file:"), errors="strict")) if pin is not None else None,
        )
    except UnicodeDecodeError:
        raise _bad("expected percent-encoded UTF-8") from None
