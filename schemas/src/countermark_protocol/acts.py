"""What else endpoints and the broker do with a log: an auditor's look-up, a disclosure, a purge.

Source: docs/spec/audit.md §2 to §4.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from countermark_protocol.claims import Claims, Header, Kind, read_header
from countermark_protocol.encoding import JsonObject, encode_hex
from countermark_protocol.identifiers import Address, parse_address

MAX_GROUND: Final = 1_000


class Scope(StrEnum):
    """What an auditor's mandate covers."""

    #: All that the endpoints of its own authority are party to.
    NATIONAL = "national"
    #: Every statement of the log.
    OVERSIGHT = "oversight"


@dataclass(frozen=True, slots=True)
class LookUp:
    """An auditor's statement that it is going to look, logged before anything is shown.

    Attributes:
        header: kind, log, seen.
        author: the auditor.
        scope: the mandate it looks under.
        ground: why, for people.
        until: ms since 1970 until which it looks under this ground.
    """

    header: Header
    author: Address
    scope: Scope
    ground: str
    until: int

    def to_json(self) -> JsonObject:
        """The payload; encode it with `encode_json`."""
        return {
            **self.header.to_json(),
            "from": self.author,
            "scope": self.scope.value,
            "ground": self.ground,
            "until": self.until,
        }


def parse_look_up(payload: JsonObject) -> LookUp:
    """Read a look-up from a parsed payload.

    Raises:
        MalformedError: a member is missing, wrong or unknown.
    """
    claims = Claims(payload, "look-up")
    header = _header(claims, Kind.LOOKUP)
    out = LookUp(
        header=header,
        author=claims.parsed("from", parse_address),
        scope=claims.choice("scope", Scope),
        ground=claims.text("ground", MAX_GROUND),
        until=claims.time("until"),
    )
    claims.done()
    return out


@dataclass(frozen=True, slots=True)
class Disclosure:
    """A party's statement that it has disclosed a message, or parts of it.

    Attributes:
        header: kind, log, seen.
        author: the party that discloses.
        message: payload hash, 32 bytes.
        to: the auditor's address, or a court by name.
        ground: why, for people.
        disclosed: parts shown, 1 to `parts`.
        parts: that the content has.
        digest: of the disclosure as handed over, 32 bytes.
    """

    header: Header
    author: Address
    message: bytes
    to: str
    ground: str
    disclosed: int
    parts: int
    digest: bytes

    def to_json(self) -> JsonObject:
        """The payload; encode it with `encode_json`."""
        return {
            **self.header.to_json(),
            "from": self.author,
            "message": encode_hex(self.message),
            "to": self.to,
            "ground": self.ground,
            "disclosed": self.disclosed,
            "parts": self.parts,
            "digest": encode_hex(self.digest),
        }


def parse_disclosure(payload: JsonObject) -> Disclosure:
    """Read a disclosure from a parsed payload.

    Raises:
        MalformedError: a member is missing, wrong or unknown.
    """
    claims = Claims(payload, "disclosure")
    header = _header(claims, Kind.DISCLOSURE)
    parts = claims.integer("parts", 1, 1_000_000)
    out = Disclosure(
        header=header,
        author=claims.parsed("from", parse_address),
        message=claims.digest("message"),
        to=claims.text("to"),
        ground=claims.text("ground", MAX_GROUND),
        disclosed=claims.integer("disclosed", 1, parts),
        parts=parts,
        digest=claims.digest("digest"),
    )
    claims.done()
    return out


class PurgeGround(StrEnum):
    """Why content is deleted."""

    #: The message's ``retention_until`` has passed; stated by the broker.
    RETENTION_ENDED = "retention-ended"
    #: The originator withdraws it; stated, and signed, by itself.
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Purge:
    """The statement that a message's stanzas and content are deleted. Its manifest stays.

    Attributes:
        header: kind, log, seen.
        author: the broker, or the message's originator.
        message: payload hash, 32 bytes.
        ground: why.
    """

    header: Header
    author: Address
    message: bytes
    ground: PurgeGround

    def to_json(self) -> JsonObject:
        """The payload; encode it with `encode_json`."""
        return {
            **self.header.to_json(),
            "from": self.author,
            "message": encode_hex(self.message),
            "ground": self.ground.value,
        }


def parse_purge(payload: JsonObject) -> Purge:
    """Read a purge from a parsed payload.

    Raises:
        MalformedError: a member is missing, wrong or unknown.
    """
    claims = Claims(payload, "purge")
    header = _header(claims, Kind.PURGE)
    out = Purge(
        header=header,
        author=claims.parsed("from", parse_address),
        message=claims.digest("message"),
        ground=claims.choice("ground", PurgeGround),
    )
    claims.done()
    return out


def _header(claims: Claims, kind: Kind) -> Header:
    header = read_header(claims)
    if header.kind is not kind:
        claims.bad("kind", f"'{kind.name.lower()}'")
    return header


ACT_KINDS: Final = frozenset({Kind.LOOKUP, Kind.DISCLOSURE, Kind.PURGE})


def parse_act(payload: JsonObject) -> LookUp | Disclosure | Purge:
    """Read a look-up, a disclosure or a purge.

    Raises:
        MalformedError: none of them, or not in its one form.
    """
    kind = read_header(Claims(payload, "payload")).kind
    if kind is Kind.LOOKUP:
        return parse_look_up(payload)
    if kind is Kind.DISCLOSURE:
        return parse_disclosure(payload)
    return parse_purge(payload)
