"""Strict reading of parsed JSON objects, and the members every statement begins with.

Source: docs/spec/documents.md §5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cache
from typing import Any, Final, NoReturn, TypeVar

from countermark_protocol.encoding import DIGEST_BYTES, JsonObject, encode_hex, malformed, parse_hex
from countermark_protocol.identifiers import Origin, parse_origin

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

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

    __slots__ = ("_members", "_read", "_what")

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
        try:
            value = self._members[name]
        except KeyError:
            self._missing(name)
        self._read.add(name)
        return value

    def _missing(self, name: str) -> NoReturn:
        malformed("missing_member", f"{self._what} lacks the member '{name}'")

    def bad(self, name: str, expected: str) -> NoReturn:
        """Refuse a member: expected X, got the form of what came."""
        malformed(
            "bad_member",
            f"'{name}' of {self._what}: expected {expected}, got {form_of(self._members.get(name))}",
            member=name,
        )

    def parsed(self, name: str, parse: Callable[[Any, str], T]) -> T:
        """The member through a `parse_*` function of (value, what)."""
        try:
            value = self._members[name]
        except KeyError:
            self._missing(name)
        self._read.add(name)
        return parse(value, f"'{name}' of {self._what}")

    def optional(self, name: str, parse: Callable[[Any, str], T]) -> T | None:
        """As `parsed`, or None where the member is absent."""
        return self.parsed(name, parse) if name in self._members else None

    def text(self, name: str, limit: int = 200) -> str:
        """A non-empty string of at most `limit` characters without control characters."""
        value = self.raw(name)
        if not isinstance(value, str) or not 1 <= len(value) <= limit or any(c < " " for c in value):
            self.bad(name, f"text of 1 to {limit} characters without control characters")
        return str(value)

    def integer(self, name: str, least: int = 0, most: int = 2**53 - 1) -> int:
        """An integer within bounds (a boolean is none)."""
        try:
            value = self._members[name]
        except KeyError:
            self._missing(name)
        self._read.add(name)
        if type(value) is not int or not least <= value <= most:
            self.bad(name, f"an integer from {least} to {most}")
        return value

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
        return value

    def digest(self, name: str) -> bytes:
        """A 32-byte digest in lower-case hexadecimal."""
        return parse_hex(self.raw(name), DIGEST_BYTES, f"'{name}' of {self._what}")

    def optional_digest(self, name: str) -> bytes | None:
        """As `digest`, or None where absent."""
        return self.digest(name) if self.has(name) else None

    def choice(self, name: str, choices: type[E]) -> E:
        """A member of a closed list, given as a `StrEnum` class."""
        value = self.raw(name)
        found: E | None = codes_of(choices).get(value) if isinstance(value, str) else None
        if found is None:
            self.bad(name, f"one of the codes of {choices.__name__}")
        return found

    def items(self, name: str, least: int, most: int) -> list[Any]:
        """An array with a bounded number of elements."""
        value = self.raw(name)
        if not isinstance(value, list) or not least <= len(value) <= most:
            self.bad(name, f"an array of {least} to {most} elements")
        return list(value)

    def list_of(self, name: str, parse: Callable[[Any, str], T], least: int, most: int) -> tuple[T, ...]:
        """An array each of whose elements goes through `parse`, none twice."""
        what = f"'{name}' of {self._what}"
        values = tuple([parse(v, what) for v in self.items(name, least, most)])
        if len(set(values)) != len(values):
            self.bad(name, "an array without repetitions")
        return values

    def done(self) -> None:
        """Refuse members that were not read."""
        # Only members can have been read, so as many are the same ones.
        if len(self._read) != len(self._members):
            unknown = sorted(set(self._members) - self._read)
            malformed("unknown_member", f"{self._what} has the unknown member {unknown[0][:64]!r}")


@cache
def codes_of(choices: type[E]) -> Mapping[str, E]:
    """The members of a `StrEnum` by their codes; to ask this is several times cheaper than to call the class."""
    return {member.value: member for member in choices}


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
