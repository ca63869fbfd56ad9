"""Strict reading of parsed JSON objects, and the members every statement begins with.

Source: docs/spec/documents.md §5.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NoReturn, TypeVar

from countermark_protocol.encoding import JsonObject, encode_hex, malformed, parse_digest
from countermark_protocol.identifiers import Origin, parse_origin

T = TypeVar("T")

#: Latest time that can be stated: 9999-12-31, in ms since 1970.
MAX_TIME: Final = 253_402_300_799_999


class Kind(IntEnum):
    """What a statement is. NOTE: numbers are wire format: never reuse, never renumber.

    Numbers with the high bit set (0x8000) may be ignored by who does not know them.
    """

    FOUNDING = 1
    GOVERNANCE = 2
    AUTHORITY = 3
    POLICY = 4
    ENDPOINT = 5
    KEYS = 6
    GROUP = 7
    REVOCATION = 8
    MESSAGE = 9
    RECEIPT = 10
    UNDELIVERED = 11
    PURGE = 12
    LOOKUP = 13
    DISCLOSURE = 14


KIND_NAMES: Final = {
    Kind.FOUNDING: "founding",
    Kind.GOVERNANCE: "governance",
    Kind.AUTHORITY: "authority",
    Kind.POLICY: "policy",
    Kind.ENDPOINT: "endpoint",
    Kind.KEYS: "keys",
    Kind.GROUP: "group",
    Kind.REVOCATION: "revocation",
    Kind.MESSAGE: "message",
    Kind.RECEIPT: "receipt",
    Kind.UNDELIVERED: "undelivered",
    Kind.PURGE: "purge",
    Kind.LOOKUP: "look-up",
    Kind.DISCLOSURE: "disclosure",
}
_KIND_BY_NAME: Final = {name: kind for kind, name in KIND_NAMES.items()}

DIRECTORY_KINDS: Final = frozenset(
    {
        Kind.FOUNDING,
        Kind.GOVERNANCE,
        Kind.AUTHORITY,
        Kind.POLICY,
        Kind.ENDPOINT,
        Kind.KEYS,
        Kind.GROUP,
        Kind.REVOCATION,
    }
)


@dataclass(frozen=True, slots=True)
class Seen:
    """The published checkpoint that a signer last verified.

    Attributes:
        size: leaves in that tree; 0 if none was seen.
        root: its root, 32 bytes; the hash of nothing if none.
    """

    size: int
    root: bytes

    def to_json(self) -> JsonObject:
        """``{"size": …, "root": …}``."""
        return {"size": self.size, "root": encode_hex(self.root)}


class Claims:
    """Reads the members of one JSON object, each once; `done` refuses members nobody asked for.

    All failures are `MalformedError`, naming member, what was expected, and the form of what came.
    """

    def __init__(self, value: Any, what: str) -> None:
        if not isinstance(value, dict):
            malformed("not_an_object", f"{what} must be a JSON object, got {form_of(value)}")
        self._members: JsonObject = value
        self._what = what
        self._read: set[str] = set()

    def has(self, name: str) -> bool:
        """Whether the member is present. Absence is stated by leaving it out, never by null."""
        return name in self._members

    def raw(self, name: str) -> Any:
        """The member as parsed; it must be present."""
        if name not in self._members:
            malformed("missing_member", f"{self._what} lacks the member '{name}'")
        self._read.add(name)
        return self._members[name]

    def bad(self, name: str, expected: str) -> NoReturn:
        """Refuse a member: expected X, got the form of what came."""
        malformed(
            "bad_member",
            f"'{name}' of {self._what}: expected {expected}, got {form_of(self._members.get(name))}",
            member=name,
        )

    def parsed(self, name: str, parse: Callable[[Any, str], T]) -> T:
        """The member through a `parse_*` function of (value, what)."""
        return parse(self.raw(name), f"'{name}' of {self._what}")

    def optional(self, name: str, parse: Callable[[Any, str], T]) -> T | None:
        """As `parsed`, or None where the member is absent."""
        return self.parsed(name, parse) if self.has(name) else None

    def text(self, name: str, limit: int = 200) -> str:
        """A non-empty string of at most `limit` characters without control characters."""
        value = self.raw(name)
        if not isinstance(value, str) or not 1 <= len(value) <= limit or any(c < " " for c in value):
            self.bad(name, f"text of 1 to {limit} characters without control characters")
        return str(value)

    def integer(self, name: str, least: int = 0, most: int = 2**53 - 1) -> int:
        """An integer within bounds (a boolean is none)."""
        value = self.raw(name)
        if type(value) is not int or not least <= value <= most:
            self.bad(name, f"an integer from {least} to {most}")
        return int(value)

    def time(self, name: str) -> int:
        """A time in ms since 1970."""
        return self.integer(name, 0, MAX_TIME)

    def optional_time(self, name: str) -> int | None:
        """A time in ms since 1970, or None where absent."""
        return self.time(name) if self.has(name) else None

    def boolean(self, name: str) -> bool:
        """A boolean."""
        value = self.raw(name)
        if type(value) is not bool:
            self.bad(name, "true or false")
        return bool(value)

    def digest(self, name: str) -> bytes:
        """A 32-byte digest in lower-case hexadecimal."""
        return self.parsed(name, parse_digest)

    def optional_digest(self, name: str) -> bytes | None:
        """As `digest`, or None where absent."""
        return self.digest(name) if self.has(name) else None

    def choice(self, name: str, choices: Callable[[str], T]) -> T:
        """A member of a closed list, given as a `StrEnum` class."""
        value = self.raw(name)
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                return choices(value)
        self.bad(name, f"one of the codes of {getattr(choices, '__name__', 'the list')}")

    def items(self, name: str, least: int, most: int) -> list[Any]:
        """An array with a bounded number of elements."""
        value = self.raw(name)
        if not isinstance(value, list) or not least <= len(value) <= most:
            self.bad(name, f"an array of {least} to {most} elements")
        return list(value)

    def list_of(self, name: str, parse: Callable[[Any, str], T], least: int, most: int) -> tuple[T, ...]:
        """An array each of whose elements goes through `parse`, none twice."""
        values = tuple(parse(v, f"'{name}' of {self._what}") for v in self.items(name, least, most))
        if len(set(values)) != len(values):
            self.bad(name, "an array without repetitions")
        return values

    def done(self) -> None:
        """Refuse members that were not read."""
        unknown = sorted(set(self._members) - self._read)
        if unknown:
            malformed("unknown_member", f"{self._what} has the unknown member {unknown[0][:64]!r}")


def form_of(value: Any) -> str:
    """What a value looks like without showing it: type and length."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, str):
        return f"text of {len(value)} characters"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    return "an object"


def parse_seen(value: Any, what: str) -> Seen:
    """Parse ``{"size": …, "root": …}``."""
    claims = Claims(value, what)
    seen = Seen(claims.integer("size"), claims.digest("root"))
    claims.done()
    return seen


def parse_kind(value: Any, what: str = "'kind'") -> Kind:
    """Parse the name of a kind of statement."""
    if not isinstance(value, str) or value not in _KIND_BY_NAME:
        malformed("unknown_kind", f"{what} is not a kind of statement of docs/spec/documents.md")
    return _KIND_BY_NAME[value]


@dataclass(frozen=True, slots=True)
class Header:
    """What every statement's payload begins with.

    Attributes:
        kind: its leaf's kind must equal it.
        log: origin of the log it was made for; void elsewhere.
        seen: the published checkpoint its signer last verified.
    """

    kind: Kind
    log: Origin
    seen: Seen

    def to_json(self) -> JsonObject:
        """The three members, to begin a payload with."""
        return {"kind": KIND_NAMES[self.kind], "log": self.log, "seen": self.seen.to_json()}


def read_header(claims: Claims) -> Header:
    """Read kind, log and seen of a payload."""
    return Header(
        claims.parsed("kind", parse_kind),
        claims.parsed("log", parse_origin),
        claims.parsed("seen", parse_seen),
    )
