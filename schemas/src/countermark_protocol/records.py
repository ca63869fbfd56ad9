"""What directory statements carry: the whole new record of their subject.

Subjects are ``log``, ``policy``, ``authority/<code>``, ``endpoint/<address>``, ``keys/<address>``,
``group/<name>`` and ``revoked/<key id>``, each with one writing principal.

Source: docs/spec/directory.md §2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from countermark_protocol.certificates import KeyCertificates, certificates_json, read_certificates
from countermark_protocol.claims import MAX_TIME, Claims, Header, Kind, codes_of, read_header
from countermark_protocol.encoding import JsonObject, encode_hex, malformed, parse_digest
from countermark_protocol.identifiers import (
    Address,
    AuthorityCode,
    GroupName,
    KeyId,
    Role,
    authority_of,
    parse_address,
    parse_authority_code,
    parse_group_name,
    role_of,
)
from countermark_protocol.keys import Algorithm, PublicKey, parse_key_json, parse_pair_json
from countermark_protocol.mandates import (
    MAX_AUDITORS,
    MAX_WITNESSES,
    Oversight,
    Term,
    Witness,
    parse_oversight,
    parse_term,
    parse_witness,
)
from countermark_protocol.offices import (
    MAX_ALTERNATES,
    Alternate,
    OfficeHours,
    parse_alternate,
    parse_office_hours,
)
from countermark_protocol.policy import Policy
from countermark_protocol.policy_form import parse_policy
from countermark_protocol.succession import Predecessor, parse_predecessor

MAX_KEYS: Final = 32
MAX_MEMBERS: Final = 1000
#: Of the ground of a statement, characters.
MAX_GROUND: Final = 500


class State(StrEnum):
    """Whether what a record vouches for is in force."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class Ground(StrEnum):
    """Why a key was revoked."""

    COMPROMISE = "compromise"
    LOSS = "loss"
    REPLACED = "replaced"
    LEFT_OFFICE = "left-office"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class KeySet:
    """A principal: keys, and how many of them must sign.

    Attributes:
        keys: signing keys, ordered by key id.
        threshold: 1 to the number of keys.
    """

    keys: tuple[PublicKey, ...]
    threshold: int

    @property
    def ids(self) -> frozenset[KeyId]:
        """Ids of the keys."""
        return frozenset(k.key_id for k in self.keys)

    def to_json(self) -> JsonObject:
        """``{"keys": […], "threshold": n}``."""
        return {"keys": [k.to_json() for k in self.keys], "threshold": self.threshold}


def make_key_set(keys: tuple[PublicKey, ...] | list[PublicKey], threshold: int = 1) -> KeySet:
    """A key set in its one order."""
    return KeySet(tuple(sorted(keys, key=lambda k: k.key_id)), threshold)


def _signing_key(value: Any, what: str) -> PublicKey:
    key = parse_pair_json(value, what)
    if not key.is_signing:
        malformed("wrong_algorithm", f"{what} must be a signing key")
    return key


def parse_key_set(value: Any, what: str) -> KeySet:
    """Parse a key set; keys must be ordered by key id, none twice."""
    claims = Claims(value, what)
    keys = claims.list_of("keys", _signing_key, 1, MAX_KEYS)
    if list(keys) != sorted(keys, key=lambda k: k.key_id):
        claims.bad("keys", "keys ordered by key id")
    out = KeySet(keys, claims.integer("threshold", 1, len(keys)))
    claims.done()
    return out


@dataclass(frozen=True, slots=True)
class LogRecord:
    """Subject ``log``: who runs and governs it. The founding's record is the trust file.

    Attributes:
        log_key: signs checkpoints only (Ed25519).
        governors: whose quorum changes this record, admits authorities and sets policy.
        broker: the broker's address.
        broker_administrator: who certifies the node keys.
        undelivered_grace: ms after expiry until a message without ``delivered`` gets its notice.
        reset_delay: ms until a sealing key set after a reset is used.
        witnesses: who may cosign checkpoints.
        witness_quorum: how many of them make a checkpoint *witnessed*; 0 exactly while there are none.
        auditors: oversight auditors, none twice.
        predecessor: the log that this statement succeeds; None but in a succession itself.
    """

    log_key: PublicKey
    governors: KeySet
    broker: Address
    broker_administrator: KeySet
    undelivered_grace: int
    reset_delay: int
    witnesses: tuple[Witness, ...] = ()
    witness_quorum: int = 0
    auditors: tuple[Oversight, ...] = ()
    predecessor: Predecessor | None = None

    def to_json(self) -> JsonObject:
        """The record."""
        quorum = {"witness_quorum": self.witness_quorum} if self.witnesses else {}
        predecessor = {"predecessor": self.predecessor.to_json()} if self.predecessor is not None else {}
        return {
            "log_key": self.log_key.to_json(),
            "governors": self.governors.to_json(),
            "broker": {"address": self.broker, "administrator": self.broker_administrator.to_json()},
            "witnesses": [w.to_json() for w in self.witnesses],
            **quorum,
            "auditors": [a.to_json() for a in self.auditors],
            "undelivered_grace_ms": self.undelivered_grace,
            "reset_delay_ms": self.reset_delay,
            **predecessor,
        }


@dataclass(frozen=True, slots=True)
class AuthorityRecord:
    """Subject ``authority/<code>``: who vouches for endpoints, and for which.

    Attributes:
        code: the code it speaks for.
        name: for people.
        keys: its principal.
        roles: the roles it may enrol.
        state: suspended ones vouch for nobody.
        certificates: of an existing PKI for its keys, if any; the broker does not judge them.
    """

    code: AuthorityCode
    name: str
    keys: KeySet
    roles: tuple[Role, ...]
    state: State
    certificates: tuple[KeyCertificates, ...] = ()

    def to_json(self) -> JsonObject:
        """The record."""
        return {
            "name": self.name,
            "principal": self.keys.to_json(),
            "roles": [r.value for r in self.roles],
            "state": self.state.value,
            **certificates_json(self.certificates),
        }


@dataclass(frozen=True, slots=True)
class EndpointRecord:
    """Subject ``endpoint/<address>``: its administrator and state.

    Attributes:
        address: of the endpoint.
        name: for people.
        administrator: certifies its keys.
        state: suspended ones neither send nor receive.
        audits: term in which it audits all endpoints of its authority; None unless its role is ``auditor``.
        alternates: who stands in for it, and when: endpoints of the same authority.
        office_hours: when somebody is there; None if that is not said.
        certificates: of an existing PKI for its administrator's keys, if any; the broker does not judge them.
        two_persons: its messages, and those sent on its behalf, need a second person's signature.
    """

    address: Address
    name: str
    administrator: KeySet
    state: State
    audits: Term | None = None
    alternates: tuple[Alternate, ...] = ()
    office_hours: OfficeHours | None = None
    certificates: tuple[KeyCertificates, ...] = ()
    two_persons: bool = False

    def to_json(self) -> JsonObject:
        """The record."""
        out: JsonObject = {
            "name": self.name,
            "administrator": self.administrator.to_json(),
            "state": self.state.value,
        }
        if self.audits is not None:
            out["audits"] = self.audits.to_json()
        if self.alternates:
            out["alternates"] = [alternate.to_json() for alternate in self.alternates]
        if self.office_hours is not None:
            out["office_hours"] = self.office_hours.to_json()
        if self.two_persons:
            out["two_persons"] = True
        return {**out, **certificates_json(self.certificates)}


@dataclass(frozen=True, slots=True)
class InstanceKey:
    """A signing key of an endpoint.

    Attributes:
        key: the public key.
        holder: pseudonym of the worker or person that holds it.
        until: ms since 1970 from which it counts no more; None while that is not fixed.
    """

    key: PublicKey
    holder: str
    until: int | None = None

    def to_json(self) -> JsonObject:
        """The key with its holder."""
        out = {**self.key.to_json(), "holder": self.holder}
        return out if self.until is None else {**out, "until": self.until}


@dataclass(frozen=True, slots=True)
class KeysRecord:
    """Subject ``keys/<address>``: all keys of an endpoint, and what it reads.

    Attributes:
        address: of the endpoint.
        signing: its instance keys (the broker's: node keys), ordered by key id.
        sealing: its one sealing key; None for the broker.
        previous_sealing: the sealing key before it, if rows to that are still accepted.
        previous_until: ms since 1970 until which they are.
        reads: message type → versions it reads.
        sealing_from: ms since 1970 from which rows to `sealing` are accepted; 0 if at once.
        sealing_until: ms since 1970 from which they are no more; None while that is not fixed.
        certificates: of an existing PKI for its instance keys, if any; the broker does not judge them.
    """

    address: Address
    signing: tuple[InstanceKey, ...]
    sealing: PublicKey | None
    previous_sealing: PublicKey | None
    previous_until: int
    reads: Mapping[str, tuple[int, ...]]
    sealing_from: int = 0
    sealing_until: int | None = None
    certificates: tuple[KeyCertificates, ...] = ()

    def to_json(self) -> JsonObject:
        """The record."""
        out: JsonObject = {"signing": [k.to_json() for k in self.signing]}
        if self.sealing is not None:
            out["sealing"] = self.sealing.to_json()
        if self.sealing_from:
            out["sealing_from"] = self.sealing_from
        if self.sealing_until is not None:
            out["sealing_until"] = self.sealing_until
        if self.previous_sealing is not None:
            out["previous_sealing"] = {"key": self.previous_sealing.to_json(), "until": self.previous_until}
        out["reads"] = {name: list(versions) for name, versions in self.reads.items()}
        return {**out, **certificates_json(self.certificates)}


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """Subject ``group/<name>``: endpoints that senders may address together.

    Attributes:
        name: begins with its owner's code.
        title: for people.
        members: endpoints; resolved to explicit recipients by the sender's client.
        state: suspended groups are not resolved.
    """

    name: GroupName
    title: str
    members: tuple[Address, ...]
    state: State

    def to_json(self) -> JsonObject:
        """The record."""
        return {"title": self.title, "members": list(self.members), "state": self.state.value}


@dataclass(frozen=True, slots=True)
class RevocationRecord:
    """Subject ``revoked/<key id>``: a key is dead from its first revocation's leaf on.

    Attributes:
        key_id: the revoked key.
        ground: why.
        compromised_at: ms since 1970 from which its signatures are not to be trusted; None if never.
    """

    key_id: KeyId
    ground: Ground
    compromised_at: int | None

    def to_json(self) -> JsonObject:
        """The record."""
        out: JsonObject = {"ground": self.ground.value}
        if self.compromised_at is not None:
            out["compromised_at"] = self.compromised_at
        return out


Record = LogRecord | Policy | AuthorityRecord | EndpointRecord | KeysRecord | GroupRecord | RevocationRecord


def keys_in(record: Record) -> tuple[PublicKey, ...]:
    """Every public key a record names, signing keys first; a pair is one, named by its first half."""
    if isinstance(record, LogRecord):
        return (record.log_key, *record.governors.keys, *record.broker_administrator.keys)
    if isinstance(record, AuthorityRecord):
        return record.keys.keys
    if isinstance(record, EndpointRecord):
        return record.administrator.keys
    if isinstance(record, KeysRecord):
        sealing = tuple(k for k in (record.sealing, record.previous_sealing) if k is not None)
        return tuple(k.key for k in record.signing) + sealing
    return ()


# --- parsing -----------------------------------------------------------------------------------------


def _broker(value: Any, what: str) -> tuple[Address, KeySet]:
    claims = Claims(value, what)
    address = claims.parsed("address", parse_address)
    if address.split(".")[1] != Role.BROKER:
        claims.bad("address", "an address with the role 'broker'")
    out = address, claims.parsed("administrator", parse_key_set)
    claims.done()
    return out


def _log(claims: Claims, _name: str) -> LogRecord:
    log_key = claims.parsed("log_key", _signing_key)
    if log_key.algorithm is not Algorithm.ED25519 or log_key.second is not None:
        claims.bad("log_key", "an Ed25519 key (C2SP tlog-checkpoint)")
    broker, administrator = claims.parsed("broker", _broker)
    witnesses = claims.list_of("witnesses", parse_witness, 0, MAX_WITNESSES)
    vkeys = [vkey for witness in witnesses for vkey in witness.vkeys]
    if len(set(vkeys)) != len(vkeys):
        claims.bad("witnesses", "no key of two witnesses, nor twice of one")
    auditors = claims.list_of("auditors", parse_oversight, 0, MAX_AUDITORS)
    if len({auditor.address for auditor in auditors}) != len(auditors):
        claims.bad("auditors", "every auditor once")
    return LogRecord(
        log_key=log_key,
        governors=claims.parsed("governors", parse_key_set),
        broker=broker,
        broker_administrator=administrator,
        undelivered_grace=claims.integer("undelivered_grace_ms", 0, 7 * 86_400_000),
        reset_delay=claims.integer("reset_delay_ms", 0, 30 * 86_400_000),
        witnesses=witnesses,
        witness_quorum=claims.integer("witness_quorum", 1, len(witnesses)) if witnesses else 0,
        auditors=auditors,
        predecessor=claims.parsed("predecessor", parse_predecessor) if claims.has("predecessor") else None,
    )


def _role(value: Any, what: str) -> Role:
    found: Role | None = codes_of(Role).get(value) if isinstance(value, str) else None
    if found is None or found is Role.BROKER:
        malformed("bad_member", f"{what}: expected roles that an authority may enrol")
    return found


def _authority(claims: Claims, name: str) -> AuthorityRecord:
    principal = claims.parsed("principal", parse_key_set)
    return AuthorityRecord(
        code=parse_authority_code(name),
        name=claims.text("name"),
        keys=principal,
        roles=claims.list_of("roles", _role, 1, len(Role)),
        state=claims.choice("state", State),
        certificates=read_certificates(claims, principal.ids),
    )


def _endpoint(claims: Claims, name: str) -> EndpointRecord:
    address = parse_address(name)
    if claims.has("audits") and role_of(address) is not Role.AUDITOR:
        claims.bad("audits", "no 'audits' but on an address with the role 'auditor'")
    alternates = (
        claims.list_of("alternates", parse_alternate, 1, MAX_ALTERNATES) if claims.has("alternates") else ()
    )
    if any(a.address == address or authority_of(a.address) != authority_of(address) for a in alternates):
        claims.bad("alternates", "other endpoints of the same authority")
    administrator = claims.parsed("administrator", parse_key_set)
    if claims.has("two_persons") and claims.raw("two_persons") is not True:
        claims.bad("two_persons", "true, or no such member")
    return EndpointRecord(
        address=address,
        name=claims.text("name"),
        administrator=administrator,
        state=claims.choice("state", State),
        audits=claims.optional("audits", parse_term),
        alternates=alternates,
        office_hours=claims.optional("office_hours", parse_office_hours),
        certificates=read_certificates(claims, administrator.ids),
        two_persons=claims.has("two_persons"),
    )


def _moment(claims: Claims, name: str) -> int | None:
    """A time that is left out where there is none, so that a record has one form; never 0."""
    return claims.integer(name, 1, MAX_TIME) if claims.has(name) else None


def _instance(value: Any, what: str) -> InstanceKey:
    claims = Claims(value, what)
    second = {"second": claims.raw("second")} if claims.has("second") else {}
    key = _signing_key({"alg": claims.raw("alg"), "pub": claims.raw("pub"), **second}, what)
    out = InstanceKey(key, claims.text("holder", 64), _moment(claims, "until"))
    claims.done()
    return out


def _sealing(value: Any, what: str) -> PublicKey:
    key = parse_key_json(value, what)
    if key.is_signing:
        malformed("wrong_algorithm", f"{what} must be a sealing key")
    return key


def _previous(value: Any, what: str) -> tuple[PublicKey, int]:
    claims = Claims(value, what)
    out = claims.parsed("key", _sealing), claims.time("until")
    claims.done()
    return out


def _reads(value: Any, what: str) -> Mapping[str, tuple[int, ...]]:
    if not isinstance(value, dict) or len(value) > 200:
        malformed("bad_member", f"{what}: expected an object of message types")
    out: dict[str, tuple[int, ...]] = {}
    for name, versions in value.items():
        if (
            len(name) > 64
            or not isinstance(versions, list)
            or not 1 <= len(versions) <= 32
            or any(type(v) is not int or not 1 <= v <= 65535 for v in versions)
            or sorted(set(versions)) != versions
        ):
            malformed("bad_member", f"{what}: expected ascending version numbers for each message type")
        out[name] = tuple(versions)
    return out


def _keys(claims: Claims, name: str) -> KeysRecord:
    address = parse_address(name)
    signing = claims.list_of("signing", _instance, 1, 256)
    if list(signing) != sorted(signing, key=lambda k: k.key.key_id):
        claims.bad("signing", "keys ordered by key id")
    is_broker = address.split(".")[1] == Role.BROKER
    if claims.has("sealing") == is_broker:
        claims.bad("sealing", "a sealing key for every endpoint but the broker, which opens nothing")
    if is_broker and (claims.has("sealing_from") or claims.has("sealing_until")):
        claims.bad("sealing", "no times of a sealing key where there is none")
    if is_broker and any(k.until is not None for k in signing):
        # Unattended it would end the broker's answers; node keys are replaced by a statement.
        claims.bad("signing", "node keys without 'until'")
    previous = claims.optional("previous_sealing", _previous)
    return KeysRecord(
        address=address,
        signing=signing,
        sealing=claims.optional("sealing", _sealing),
        previous_sealing=previous[0] if previous else None,
        previous_until=previous[1] if previous else 0,
        reads=claims.parsed("reads", _reads),
        sealing_from=_moment(claims, "sealing_from") or 0,
        sealing_until=_moment(claims, "sealing_until"),
        certificates=read_certificates(claims, (one.key.key_id for one in signing)),
    )


def _group(claims: Claims, name: str) -> GroupRecord:
    return GroupRecord(
        name=parse_group_name(name),
        title=claims.text("title"),
        members=claims.list_of("members", parse_address, 0, MAX_MEMBERS),
        state=claims.choice("state", State),
    )


def _revocation(claims: Claims, name: str) -> RevocationRecord:
    return RevocationRecord(
        KeyId(parse_digest(name, "revoked key id")),
        claims.choice("ground", Ground),
        claims.optional_time("compromised_at"),
    )


def _policy(claims: Claims, _name: str) -> Policy:
    return parse_policy(claims)


_PARSERS: Final[dict[Kind, tuple[str, Callable[[Claims, str], Record]]]] = {
    Kind.FOUNDING: ("log", _log),
    Kind.GOVERNANCE: ("log", _log),
    Kind.POLICY: ("policy", _policy),
    Kind.AUTHORITY: ("authority/", _authority),
    Kind.ENDPOINT: ("endpoint/", _endpoint),
    Kind.KEYS: ("keys/", _keys),
    Kind.GROUP: ("group/", _group),
    Kind.REVOCATION: ("revoked/", _revocation),
}


@dataclass(frozen=True, slots=True)
class DirectoryStatement:
    """A directory statement's payload.

    Attributes:
        header: kind, log, seen.
        subject: whose record it carries.
        prev: hash of the subject's previous statement, 32 bytes, or None if there is none.
        record: the whole new record.
        ground: why, in words; None if that is not said. Who and when are the signatures' and the leaf's.
    """

    header: Header
    subject: str
    prev: bytes | None
    record: Record
    ground: str | None = None

    def to_json(self) -> JsonObject:
        """The payload; encode it with `encode_json`."""
        out: JsonObject = {**self.header.to_json(), "subject": self.subject}
        if self.prev is not None:
            out["prev"] = encode_hex(self.prev)
        if self.ground is not None:
            out["ground"] = self.ground
        out["record"] = self.record.to_json()
        return out


def parse_directory_statement(payload: JsonObject) -> DirectoryStatement:
    """Read a directory statement from a parsed payload.

    Raises:
        MalformedError: a member is missing, wrong or unknown, or the subject does not fit the kind.
        UncheckableError: a key of an algorithm reserved for later.
    """
    claims = Claims(payload, "directory statement")
    header = read_header(claims)
    if header.kind not in _PARSERS:
        claims.bad("kind", "a kind of directory statement")
    prefix, parse = _PARSERS[header.kind]
    subject = claims.text("subject", 160)
    name = subject.removeprefix(prefix)
    if subject != prefix + name or bool(name) != prefix.endswith("/"):
        claims.bad("subject", f"'{prefix}…' for this kind")
    record_claims = Claims(claims.raw("record"), "record")
    record = parse(record_claims, name)
    record_claims.done()
    if header.kind is Kind.FOUNDING and isinstance(record, LogRecord) and record.predecessor is not None:
        claims.bad("record", "no 'predecessor' in a founding: it is the beginning of a log")
    named = [key.key_id for key in keys_in(record)]
    named += [key.second.key_id for key in keys_in(record) if key.second is not None]
    if len(set(named)) != len(named):
        malformed(
            "key_twice", "the record names a key twice: every principal and every use has keys of its own"
        )
    if claims.has("prev") and header.kind in {Kind.FOUNDING, Kind.REVOCATION}:
        claims.bad("prev", "no 'prev' on this kind")
    ground = claims.text("ground", MAX_GROUND) if claims.has("ground") else None
    statement = DirectoryStatement(header, subject, claims.optional_digest("prev"), record, ground)
    claims.done()
    return statement


def subject_of(kind: Kind, name: str = "") -> str:
    """The subject of a kind of directory statement, e.g. ``endpoint/ke.police.nairobi``."""
    return _PARSERS[kind][0] + name
