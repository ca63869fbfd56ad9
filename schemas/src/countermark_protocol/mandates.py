"""Who may look into a log, and who watches that it shows everybody the same: auditors' terms and witnesses' keys.

Source: docs/spec/directory.md §2; docs/spec/audit.md §1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from countermark_protocol.claims import Claims
from countermark_protocol.encoding import JsonObject, malformed
from countermark_protocol.identifiers import Address, Role, parse_address, role_of

MAX_AUDITORS: Final = 64
MAX_WITNESSES: Final = 32
#: Of a verifier key: a name, and an ML-DSA-44 public key in base64.
MAX_VKEY: Final = 2_500


@dataclass(frozen=True, slots=True)
class Term:
    """A term of office: an auditor may look from `since` on, before `until`; ms since 1970."""

    since: int
    until: int

    def holds(self, time: int) -> bool:
        """Whether a look-up in a leaf of this time falls into it."""
        return self.since <= time < self.until

    def to_json(self) -> JsonObject:
        """``{"since": …, "until": …}``."""
        return {"since": self.since, "until": self.until}


def read_term(claims: Claims) -> Term:
    """Read the members of a term."""
    term = Term(claims.time("since"), claims.time("until"))
    if term.until <= term.since:
        claims.bad("until", "a time after 'since'")
    return term


def parse_term(value: Any, what: str) -> Term:
    """Parse ``{"since": …, "until": …}``."""
    claims = Claims(value, what)
    term = read_term(claims)
    claims.done()
    return term


@dataclass(frozen=True, slots=True)
class Oversight:
    """An oversight auditor: sees every statement and no content. Appointed by the governors, in the log's record.

    Attributes:
        address: an endpoint with the role ``auditor``.
        term: of office.
    """

    address: Address
    term: Term

    def to_json(self) -> JsonObject:
        """Its form in the log's record."""
        return {"address": self.address, **self.term.to_json()}


def parse_oversight(value: Any, what: str) -> Oversight:
    """Parse one of the log record's ``auditors``."""
    claims = Claims(value, what)
    address = claims.parsed("address", parse_address)
    if role_of(address) is not Role.AUDITOR:
        claims.bad("address", "an address with the role 'auditor'")
    out = Oversight(address, read_term(claims))
    claims.done()
    return out


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness that the governors name.

    Attributes:
        name: for people.
        vkeys: one or two verifier keys (C2SP signed-note) of its cosigner; a cosignature by one of them counts.
        url: where the broker asks for cosignatures; None: they come by another way.
    """

    name: str
    vkeys: tuple[str, ...]
    url: str | None = None

    def to_json(self) -> JsonObject:
        """Its form in the log's record."""
        out: JsonObject = {"name": self.name, "keys": list(self.vkeys)}
        if self.url is not None:
            out["url"] = self.url
        return out


def _vkey(value: Any, what: str) -> str:
    # What is in it is read where it is used: a witness may have a kind of key that not every release knows.
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_VKEY or value.count("+") < 2:
        malformed("bad_vkey", f"{what}: expected a verifier key: <name>+<key id>+<base64>")
    return value


def parse_witness(value: Any, what: str) -> Witness:
    """Parse one of the log record's ``witnesses``."""
    claims = Claims(value, what)
    out = Witness(
        name=claims.text("name", 64),
        vkeys=claims.list_of("keys", _vkey, 1, 2),
        url=claims.text("url", 500) if claims.has("url") else None,
    )
    claims.done()
    return out
