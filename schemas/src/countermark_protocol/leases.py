"""Leases: which worker of an endpoint works on which position of a box just now.

A lease is (endpoint, box, position, key, until). It is no statement and no entry of the log: it hides nothing,
decides nothing, and ends by itself. What is *done* is a view of the log (receipts in ``sent``); leases only keep
several workers of one endpoint from doing the same at the same time.

Source: docs/spec/api.md §3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from countermark_protocol.boxes import Box
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import JsonObject, encode_hex, parse_object
from countermark_protocol.identifiers import KeyId

#: Positions in one call.
MAX_LEASED: Final = 256
#: Longest lease, seconds.
MAX_LEASE_SECONDS: Final = 3600
_LEASED_BOXES: Final = frozenset({Box.URGENT, Box.ROUTINE})
_MOST_LISTED: Final = 100_000


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """What a worker asks for.

    Attributes:
        box: ``urgent`` or ``routine``.
        positions: 1 to 256, none twice.
        seconds: how long, 1 to 3600; 0 gives them back.
    """

    box: Box
    positions: tuple[int, ...]
    seconds: int

    def to_json(self) -> JsonObject:
        """The body of the call."""
        return {"box": self.box.value, "positions": list(self.positions), "seconds": self.seconds}


@dataclass(frozen=True, slots=True)
class Granted:
    """What the broker grants.

    Attributes:
        positions: of those asked for, the ones that no other key holds.
        until: when the lease ends, ms since 1970 by the broker's clock.
    """

    positions: tuple[int, ...]
    until: int

    def to_json(self) -> JsonObject:
        """The answer."""
        return {"granted": list(self.positions), "until": self.until}


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that stands.

    Attributes:
        position: in its box.
        key: of the instance that holds it.
        until: ms since 1970 by the broker's clock.
    """

    position: int
    key: KeyId
    until: int

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        return {"position": self.position, "key": encode_hex(self.key), "until": self.until}


def _positions(claims: Claims, name: str, least: int) -> tuple[int, ...]:
    def position(value: Any, what: str) -> int:
        return Claims({"position": value}, what).integer("position")

    return claims.list_of(name, position, least, MAX_LEASED)


def leased_box(claims: Claims) -> Box:
    """The member ``box``: one of the two that messages come by.

    Raises:
        MalformedError: another.
    """
    box = claims.choice("box", Box)
    if box not in _LEASED_BOXES:
        claims.bad("box", "'urgent' or 'routine'")
    return box


def parse_lease_request(data: bytes) -> LeaseRequest:
    """Parse the body of ``POST /v1/leases``."""
    claims = Claims(parse_object(data, "lease request"), "lease request")
    out = LeaseRequest(
        leased_box(claims),
        _positions(claims, "positions", 1),
        claims.integer("seconds", 0, MAX_LEASE_SECONDS),
    )
    claims.done()
    return out


def parse_granted(data: bytes, asked: LeaseRequest) -> Granted:
    """Parse the answer of ``POST /v1/leases``.

    Raises:
        MalformedError: not one, or it grants what was not asked for.
    """
    claims = Claims(parse_object(data, "lease"), "lease")
    out = Granted(_positions(claims, "granted", 0), claims.time("until"))
    claims.done()
    if not set(out.positions) <= set(asked.positions):
        claims.bad("granted", "positions that were asked for")
    return out


def parse_leases(data: bytes) -> tuple[Lease, ...]:
    """Parse the answer of ``GET /v1/leases?box=…``: the endpoint's leases that stand."""
    claims = Claims(parse_object(data, "leases"), "leases")
    out: list[Lease] = []
    for value in claims.items("leases", 0, _MOST_LISTED):
        one = Claims(value, "lease")
        out.append(Lease(one.integer("position"), KeyId(one.digest("key")), one.time("until")))
        one.done()
    claims.done()
    return tuple(out)
