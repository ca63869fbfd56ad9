"""Invitations: how an endpoint-to-be and its authority find each other at the broker.

A code is a *locator*, not a secret: who has it learns an address and the log's trust file, and may hand in one request.
Nothing is enrolled by it. What is enrolled are keys, and two people compare by voice the fingerprint that
`enrolment_hash` gives: it binds the trust file, the administrator's keys and every other key of the request, so that a
broker which swaps any of them is found out before anything is signed.

Source: docs/spec/enrolment.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from countermark_protocol.claims import Claims
from countermark_protocol.documents import (
    Purpose,
    UnverifiedDocument,
    parse_document,
    parse_gathering,
    verify_document,
)
from countermark_protocol.encoding import (
    JsonObject,
    encode_base64url,
    labelled_hash,
    malformed,
    parse_base64url,
    parse_object,
)
from countermark_protocol.errors import NotFoundError, PolicyError, SignatureError
from countermark_protocol.gathering import merge_gatherings, read_gathering
from countermark_protocol.identifiers import Address, KeyId, Origin, authority_of, parse_address, role_of
from countermark_protocol.judging import check_signers
from countermark_protocol.keys import PublicKey
from countermark_protocol.records import (
    AuthorityRecord,
    DirectoryStatement,
    EndpointRecord,
    KeysRecord,
    State,
    keys_in,
    parse_directory_statement,
)

#: Crockford's base 32: no letter that is read or heard as another character. Of codes, and of keys on paper.
CODE_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_MISREAD: Final = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})
CODE_LENGTH: Final = 12
CODE_BYTES: Final = 8
#: Longest life of an invitation, days.
MAX_DAYS: Final = 31
#: Open invitations of one authority.
MAX_OPEN: Final = 500
#: Of a request's documents together, bytes.
MAX_REQUEST: Final = 128 * 1024
_MAX_TRUST: Final = 256 * 1024


# --- codes ---------------------------------------------------------------------------------------------


def make_code(random: bytes) -> str:
    """A code of 12 characters, 60 bits, from 8 random bytes."""
    if len(random) != CODE_BYTES:
        msg = f"expected {CODE_BYTES} random bytes"
        raise ValueError(msg)
    number = int.from_bytes(random, "big")
    return "".join(CODE_ALPHABET[number >> 5 * i & 31] for i in range(CODE_LENGTH))


def as_typed(text: str) -> str:
    """Letters as typed, without what does not matter: case, hyphens and spaces, O for 0, I and L for 1."""
    return text.upper().translate(_MISREAD)


def parse_code(text: str) -> str:
    """A code as typed: case, hyphens and spaces do not matter, nor O for 0 and I or L for 1.

    Raises:
        MalformedError: ``not_a_code``.
    """
    code = as_typed(text)
    if len(code) != CODE_LENGTH or not set(code) <= set(CODE_ALPHABET):
        malformed(
            "not_a_code", f"expected a code of {CODE_LENGTH} letters and digits, such as K7QF-2MXA-9TBW"
        )
    return code


def show_code(code: str) -> str:
    """A code for people, in groups of four."""
    return "-".join(code[i : i + 4] for i in range(0, CODE_LENGTH, 4))


# --- what the broker answers ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a code tells whoever asks. Nothing of it is proven: the fingerprint that is compared binds it.

    Attributes:
        code: of 12 characters.
        address: of the endpoint to be enrolled.
        authority: its name for people.
        expires: ms since 1970 by the broker's clock.
        trust: the log's trust file.
    """

    code: str
    address: Address
    authority: str
    expires: int
    trust: bytes

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        return {
            "code": self.code,
            "address": self.address,
            "authority": self.authority,
            "expires": self.expires,
            "trust": encode_base64url(self.trust),
        }


def parse_invitation(data: bytes) -> Invitation:
    """Parse the answer of ``GET /v1/invitations/{code}``."""
    claims = Claims(parse_object(data, "invitation"), "invitation")
    out = Invitation(
        code=parse_code(claims.text("code", 20)),
        address=claims.parsed("address", parse_address),
        authority=claims.text("authority"),
        expires=claims.time("expires"),
        trust=parse_base64url(claims.raw("trust"), "'trust' of invitation", _MAX_TRUST),
    )
    claims.done()
    return out


@dataclass(frozen=True, slots=True)
class Request:
    """What an endpoint-to-be hands in.

    Attributes:
        endpoint: a gathering (documents.md §6) of its ``endpoint`` statement, with possession by its administrator.
        keys: its complete ``keys`` statement.
    """

    endpoint: bytes
    keys: bytes

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        return {"endpoint": encode_base64url(self.endpoint), "keys": encode_base64url(self.keys)}


def _request(value: Any, what: str) -> Request:
    claims = Claims(value, what)
    out = Request(
        *(
            parse_base64url(claims.raw(name), f"'{name}' of {what}", MAX_REQUEST)
            for name in ("endpoint", "keys")
        )
    )
    claims.done()
    return out


def parse_request(data: bytes) -> Request:
    """Parse the body of ``POST /v1/invitations/{code}``."""
    return _request(parse_object(data, "enrolment request"), "enrolment request")


@dataclass(frozen=True, slots=True)
class Pending:
    """An invitation as its authority sees it.

    Attributes:
        code: of 12 characters.
        address: invited.
        created: ms since 1970 by the broker's clock.
        expires: the same.
        request: what came on it, if anything did.
    """

    code: str
    address: Address
    created: int
    expires: int
    request: Request | None

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        out: JsonObject = {
            "code": self.code,
            "address": self.address,
            "created": self.created,
            "expires": self.expires,
        }
        if self.request is not None:
            out["request"] = self.request.to_json()
        return out


def _pending(value: Any, what: str) -> Pending:
    claims = Claims(value, what)
    out = Pending(
        parse_code(claims.text("code", 20)),
        claims.parsed("address", parse_address),
        claims.time("created"),
        claims.time("expires"),
        claims.optional("request", _request),
    )
    claims.done()
    return out


def parse_pending(data: bytes) -> tuple[Pending, ...]:
    """Parse ``{"invitations": […]}``: those of one's own authority."""
    claims = Claims(parse_object(data, "invitations"), "invitations")
    out = tuple(_pending(v, "invitation") for v in claims.items("invitations", 0, MAX_OPEN))
    claims.done()
    return out


def encode_pending(found: tuple[Pending, ...] | list[Pending]) -> JsonObject:
    """``{"invitations": […]}``."""
    return {"invitations": [one.to_json() for one in found]}


@dataclass(frozen=True, slots=True)
class Asked:
    """What an authority asks for when it invites.

    Attributes:
        address: to be enrolled.
        days: that the invitation lives, 1 to 31.
    """

    address: Address
    days: int

    def to_json(self) -> JsonObject:
        """The body of ``POST /v1/invitations``."""
        return {"address": self.address, "days": self.days}


def parse_asked(data: bytes) -> Asked:
    """Parse the body of ``POST /v1/invitations``."""
    claims = Claims(parse_object(data, "invitation"), "invitation")
    out = Asked(claims.parsed("address", parse_address), claims.integer("days", 1, MAX_DAYS))
    claims.done()
    return out


# --- what a request must be ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A request that has been checked.

    Attributes:
        endpoint: its ``endpoint`` statement, as far as it is signed.
        statement: what that says.
        record: the endpoint's.
        keys: its ``keys`` statement.
        keys_record: what that says.
    """

    endpoint: UnverifiedDocument
    statement: DirectoryStatement
    record: EndpointRecord
    keys: UnverifiedDocument
    keys_record: KeysRecord

    def fingerprint_hash(self, trust: bytes) -> bytes:
        """What the two compare by voice (as `keys.fingerprint`); see `enrolment_hash`."""
        return enrolment_hash(trust, self.endpoint.payload_hash, self.keys.payload_hash)


def enrolment_hash(trust: bytes, endpoint: bytes, keys: bytes) -> bytes:
    """Binds trust file, administrator and all keys of a request.

    Args:
        trust: payload hash of the trust file, 32 bytes.
        endpoint: payload hash of the ``endpoint`` statement, 32 bytes.
        keys: payload hash of the ``keys`` statement, 32 bytes.
    """
    return labelled_hash("enrolment", trust, endpoint, keys)


def check_request(
    request: Request, log: Origin, address: Address, authority: Mapping[KeyId, PublicKey]
) -> Enrolment:
    """Check that a request is whole: both statements are this endpoint's first, and every key in them is proven.

    Args:
        request: as handed in.
        log: that it must be made for.
        address: that was invited.
        authority: keys of the endpoint's authority, whose signatures may be there already; none for an applicant's.

    Raises:
        MalformedError: not the two statements, or oversized; ``wrong_address``, ``not_a_first_request``, ``key_twice``.
        SignatureError: ``wrong_log``, a signature that does not verify, ``missing_possession``, ``wrong_signer``, …

    Does not prove: that the applicant is who the address says. That is what two people compare a fingerprint for.
    """
    if len(request.endpoint) + len(request.keys) > MAX_REQUEST:
        malformed("oversized_request", f"expected a request of at most {MAX_REQUEST} bytes")
    endpoint, keys = parse_gathering(request.endpoint), parse_document(request.keys)
    statement = parse_directory_statement(endpoint.claims)
    keys_statement = parse_directory_statement(keys.claims)
    record, keys_record = statement.record, keys_statement.record
    if not isinstance(record, EndpointRecord) or not isinstance(keys_record, KeysRecord):
        malformed("not_a_request", "expected an 'endpoint' and a 'keys' statement")
    for one in (statement, keys_statement):
        _check_first(one, log)
    if record.address != address or keys_record.address != address:
        malformed("wrong_address", f"the invitation is for {address}, the request for {record.address}")
    if record.state is not State.ACTIVE or record.audits is not None:
        malformed("not_a_first_request", "expected an active record without a mandate to audit")
    named = {k.key_id: k for k in (*keys_in(record), *keys_in(keys_record)) if k.is_signing}
    if len(named) != len(record.administrator.keys) + len(keys_record.signing):
        malformed("key_twice", "the request names a key twice: every use has keys of its own")
    approved = verify_document(endpoint, {**authority, **named}.get)
    strangers = approved.keys_for(Purpose.SIGN) - frozenset(authority)
    if strangers:
        raise SignatureError("wrong_signer", f"key {min(strangers).hex()} is none of the authority's")
    if approved.keys_for(Purpose.POSSESSION) != record.administrator.ids:
        raise SignatureError(
            "missing_possession", "expected possession by each key of the administrator, and by no other"
        )
    certified = verify_document(keys, named.get)
    check_signers(certified, record.administrator, frozenset(k.key.key_id for k in keys_record.signing))
    return Enrolment(endpoint, statement, record, keys, keys_record)


def _check_first(statement: DirectoryStatement, log: Origin) -> None:
    made_for = statement.header.log
    if made_for != log:
        raise SignatureError("wrong_log", f"the request is for the log '{made_for}', this one is '{log}'")
    if statement.prev is not None:
        malformed("not_a_first_request", "expected an endpoint's first statements, without 'prev'")


def no_invitation() -> NotFoundError:
    """The one answer to every code that leads nowhere: mistyped, expired, used, withdrawn and unknown look alike."""
    return NotFoundError(
        "no_invitation", "no open invitation has this code: it is mistyped, expired, used or withdrawn"
    )


def check_invitable(authority: AuthorityRecord, address: Address) -> None:
    """Demand that an authority invites within its mandate.

    Raises:
        PolicyError: ``outside_mandate``.
    """
    if authority_of(address) != authority.code or role_of(address) not in authority.roles:
        raise PolicyError(
            "outside_mandate", f"authority '{authority.code}' has no mandate to enrol {address}"
        )


def merge_approval(request: Request, endpoint: bytes) -> Request:
    """A request with the signatures of another copy of its ``endpoint`` statement.

    Raises:
        ConflictError: ``other_payload``: it is another statement.
    """
    return Request(merge_gatherings(request.endpoint, endpoint), request.keys)


def same_request(one: Request, other: Request) -> bool:
    """Whether two requests state the same, whoever has signed either of them again or besides."""
    return all(
        read_gathering(a).document.payload_hash == read_gathering(b).document.payload_hash
        for a, b in ((one.endpoint, other.endpoint), (one.keys, other.keys))
    )
