"""Drafting directory statements: enrolment and its kin, as files that gather signatures.

Each `Drafts` method gives a gathering file (docs/spec/documents.md §6). Whoever must sign adds a signature
(`sign_gathering`); `Client.publish_statement` posts it once it has them all. Who must sign what is in
docs/spec/directory.md §5: the writing principal's threshold, and every *new* key for possession.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from countermark_protocol.certificates import KeyCertificates
from countermark_protocol.claims import Header, Kind, Seen
from countermark_protocol.directory import Directory
from countermark_protocol.documents import Purpose
from countermark_protocol.encoding import encode_json
from countermark_protocol.gathering import (
    add_signature,
    finish_gathering,
    merge_gatherings,
    read_gathering,
    start_gathering,
)
from countermark_protocol.identifiers import (
    KeyId,
    Origin,
    Role,
    parse_address,
    parse_authority_code,
    parse_group_name,
    parse_origin,
)
from countermark_protocol.keys import PublicKey, Signer
from countermark_protocol.mandates import Oversight, Term, Witness
from countermark_protocol.merkle import EMPTY_ROOT
from countermark_protocol.offices import Alternate, OfficeHours
from countermark_protocol.policy import Policy
from countermark_protocol.records import (
    AuthorityRecord,
    DirectoryStatement,
    EndpointRecord,
    Ground,
    GroupRecord,
    InstanceKey,
    KeysRecord,
    LogRecord,
    Record,
    RevocationRecord,
    State,
    make_key_set,
    parse_directory_statement,
    subject_of,
)
from countermark_protocol.types import known_types

__all__ = [
    "NOTHING_SEEN",
    "Drafts",
    "add_signature",
    "finish_gathering",
    "merge_gatherings",
    "readable_types",
    "sign_gathering",
]

#: What a signer states who has not verified any checkpoint yet.
NOTHING_SEEN: Final = Seen(0, EMPTY_ROOT)
_DAY_MS: Final = 86_400_000


def readable_types() -> dict[str, tuple[int, ...]]:
    """Every message type and version that this software reads: what a ``keys`` record declares."""
    out: dict[str, tuple[int, ...]] = {}
    for name, version in known_types():
        out[name] = (*out.get(name, ()), version)
    return out


def sign_gathering(data: bytes, signers: Iterable[Signer] = (), possession: Iterable[Signer] = ()) -> bytes:
    """Add signatures to a gathering file.

    Args:
        data: the file.
        signers: keys of the writing principal.
        possession: new keys, which prove that they are held.

    Raises:
        MalformedError: not a gathering file.
        ConflictError: ``already_signed``.
    """
    for signer in signers:
        data = add_signature(data, signer)
    for signer in possession:
        data = add_signature(data, signer, Purpose.POSSESSION)
    return data


class Drafts:
    """Makes directory statements for one log.

    Args:
        log: its origin.
        directory: as verified, from which each statement takes the one before it; None while one cannot read
            it yet (then every statement is its subject's first).
        seen: the checkpoint last verified.
        ground: why, in words, stated with every statement made; None for nothing.
    """

    def __init__(
        self,
        log: Origin | str,
        directory: Directory | None = None,
        seen: Seen = NOTHING_SEEN,
        ground: str | None = None,
    ) -> None:
        self._log = parse_origin(log)
        self._directory = directory
        self._seen = seen
        self._ground = ground

    def because(self, ground: str | None) -> Drafts:
        """The same, stating this ground: text of 1 to 500 characters without control characters."""
        return Drafts(self._log, self._directory, self._seen, ground)

    def _draft(self, kind: Kind, name: str, record: Record) -> bytes:
        subject = subject_of(kind, name)
        held = self._directory.held(subject) if self._directory is not None else None
        prev = held.statement if held is not None and kind is not Kind.REVOCATION else None
        statement = DirectoryStatement(
            Header(kind, self._log, self._seen), subject, prev, record, self._ground
        )
        data = start_gathering(encode_json(statement.to_json()))
        parse_directory_statement(read_gathering(data).document.claims)  # refuse here what readers would
        return data

    def founding(
        self,
        *,
        log_key: PublicKey,
        governors: Sequence[PublicKey],
        quorum: int,
        broker: str,
        broker_administrator: Sequence[PublicKey],
        undelivered_grace: int = 15 * 60_000,
        reset_delay: int = _DAY_MS,
        witnesses: Sequence[Witness] = (),
        witness_quorum: int = 0,
        auditors: Sequence[Oversight] = (),
    ) -> bytes:
        """The founding: signed by every governor; possession by log key and broker's administrator."""
        record = LogRecord(
            log_key=log_key,
            governors=make_key_set(list(governors), quorum),
            broker=parse_address(broker),
            broker_administrator=make_key_set(list(broker_administrator)),
            undelivered_grace=undelivered_grace,
            reset_delay=reset_delay,
            witnesses=tuple(witnesses),
            witness_quorum=witness_quorum,
            auditors=tuple(auditors),
        )
        return self._draft(Kind.FOUNDING, "", record)

    def governance(self, record: LogRecord) -> bytes:
        """A new record of the log: signed by the quorum of governors; possession by new keys.

        A succession is drafted by the broker (`countermark-broker succession draft`), never here: what the record
        before says of one is left out.
        """
        return self._draft(Kind.GOVERNANCE, "", replace(record, predecessor=None))

    def policy(self, policy: Policy) -> bytes:
        """A new policy table: signed by the quorum of governors."""
        return self._draft(Kind.POLICY, "", policy)

    def authority(
        self,
        code: str,
        *,
        name: str,
        keys: Sequence[PublicKey],
        roles: Iterable[Role | str],
        threshold: int = 1,
        state: State = State.ACTIVE,
        certificates: Sequence[KeyCertificates] = (),
    ) -> bytes:
        """An authority's record: signed by the quorum of governors; possession by its new keys."""
        record = AuthorityRecord(
            code=parse_authority_code(code),
            name=name,
            keys=make_key_set(list(keys), threshold),
            roles=tuple(Role(r) for r in roles),
            state=state,
            certificates=tuple(certificates),
        )
        return self._draft(Kind.AUTHORITY, code, record)

    def endpoint(
        self,
        address: str,
        *,
        name: str,
        administrator: Sequence[PublicKey],
        threshold: int = 1,
        state: State = State.ACTIVE,
        audits: Term | None = None,
        alternates: Sequence[Alternate] = (),
        office_hours: OfficeHours | None = None,
        certificates: Sequence[KeyCertificates] = (),
        two_persons: bool = False,
    ) -> bytes:
        """An endpoint's record: signed by its authority; possession by the new administrator keys.

        An auditor's may state the term in which it audits all endpoints of its authority; anybody's, who stands in
        for it, when it is open, and that two persons must sign its messages.
        """
        record = EndpointRecord(
            address=parse_address(address),
            name=name,
            administrator=make_key_set(list(administrator), threshold),
            state=state,
            audits=audits,
            alternates=tuple(alternates),
            office_hours=office_hours,
            certificates=tuple(certificates),
            two_persons=two_persons,
        )
        return self._draft(Kind.ENDPOINT, address, record)

    def keys(
        self,
        address: str,
        *,
        signing: Iterable[InstanceKey | tuple[PublicKey, str]],
        sealing: PublicKey | None,
        reads: Mapping[str, Sequence[int]] | None = None,
        previous_sealing: PublicKey | None = None,
        previous_until: int = 0,
        sealing_from: int = 0,
        sealing_until: int | None = None,
        certificates: Sequence[KeyCertificates] = (),
    ) -> bytes:
        """An endpoint's keys: signed by its administrator; possession by each new signing key.

        Args:
            address: of the endpoint.
            signing: every instance, as record or as (key, holder); those left out no longer count.
            sealing: its one sealing key; None for the broker alone.
            reads: message types and versions; all that this software reads, if not said.
            previous_sealing: the sealing key before, while messages sealed to it are still accepted.
            previous_until: ms since 1970 until which they are.
            sealing_from: ms since 1970 from which messages to the sealing key are accepted; 0 if at once.
            sealing_until: ms since 1970 from which they are no more; None if that is not fixed.
            certificates: of an existing PKI, for instance keys among these.
        """
        instances = [one if isinstance(one, InstanceKey) else InstanceKey(*one) for one in signing]
        chosen = readable_types() if reads is None else reads
        record = KeysRecord(
            address=parse_address(address),
            signing=tuple(sorted(instances, key=lambda one: one.key.key_id)),
            sealing=sealing,
            previous_sealing=previous_sealing,
            previous_until=previous_until,
            reads={name: tuple(versions) for name, versions in chosen.items()},
            sealing_from=sealing_from,
            sealing_until=sealing_until,
            certificates=tuple(certificates),
        )
        return self._draft(Kind.KEYS, address, record)

    def group(self, name: str, *, title: str, members: Iterable[str], state: State = State.ACTIVE) -> bytes:
        """A group: signed by its owner, the authority in its name."""
        record = GroupRecord(
            name=parse_group_name(name),
            title=title,
            members=tuple(sorted(parse_address(m) for m in members)),
            state=state,
        )
        return self._draft(Kind.GROUP, name, record)

    def revocation(self, key_id: bytes, *, ground: Ground | str, compromised_at: int | None = None) -> bytes:
        """A key's revocation: signed by that key, its administrator, its authority or the governors."""
        record = RevocationRecord(KeyId(key_id), Ground(ground), compromised_at)
        return self._draft(Kind.REVOCATION, key_id.hex(), record)
