"""Changing what stands: directory statements made from the record that is there, with one part changed.

`statements.Drafts` writes a whole record. What people decide is smaller: suspend this endpoint, add that
instance, let this key take over in thirty days. Each function here takes the record that stands, changes
what was decided and leaves the rest, or writes the first record where there is none yet. All give a
gathering file (docs/spec/documents.md §6).

Source: docs/spec/directory.md §2, §5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from countermark_client.statements import Drafts
from countermark_protocol.appointing import change_auditors, change_witnesses
from countermark_protocol.certificates import KeyCertificates, change_certificates
from countermark_protocol.claims import MAX_TIME, Kind
from countermark_protocol.directory import Directory
from countermark_protocol.documents import Document, UnverifiedDocument, verify_document
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import NotFoundError
from countermark_protocol.identifiers import KeyId, Role
from countermark_protocol.judging import judge_statement, resolve_signer
from countermark_protocol.keys import PublicKey
from countermark_protocol.mandates import Oversight, Term, Witness
from countermark_protocol.offices import Alternate, OfficeHours
from countermark_protocol.records import (
    AuthorityRecord,
    DirectoryStatement,
    EndpointRecord,
    GroupRecord,
    InstanceKey,
    KeySet,
    KeysRecord,
    State,
    keys_in,
    make_key_set,
    parse_directory_statement,
    subject_of,
)
from countermark_protocol.statements import verify_statement

__all__ = [
    "change_authority",
    "change_endpoint",
    "change_governance",
    "change_group",
    "change_keys",
    "check_complete",
    "check_signatures",
    "principal_of",
]

R = TypeVar("R", AuthorityRecord, EndpointRecord, KeysRecord, GroupRecord)
T = TypeVar("T")


def _held(directory: Directory, kind: Kind, name: str, record: type[R]) -> R | None:
    held = directory.held(subject_of(kind, name))
    return held.record if held is not None and isinstance(held.record, record) else None


def _needed(value: T | None, member: str, subject: str) -> T:
    if value is None:
        raise NotFoundError(
            "no_such_record", f"'{subject}' has no record yet: its first one needs {member}", member=member
        )
    return value


def _changed_keys(
    before: KeySet | None, add: Iterable[PublicKey], remove: Iterable[bytes], threshold: int | None
) -> KeySet | None:
    """A principal with keys added and removed; None if there was none and none is added.

    Raises:
        NotFoundError: ``unknown_key``: a key to be removed is not there.
        MalformedError: ``bad_threshold``.
    """
    keys = {k.key_id: k for k in before.keys} if before is not None else {}
    for key_id in remove:
        if KeyId(key_id) not in keys:
            raise NotFoundError("unknown_key", f"key {key_id.hex()} is not among those of the record")
        del keys[KeyId(key_id)]
    keys.update({k.key_id: k for k in add})
    if not keys and before is None:
        return None
    wanted = threshold if threshold is not None else (before.threshold if before is not None else 1)
    if not 1 <= wanted <= len(keys):
        malformed("bad_threshold", f"expected a threshold from 1 to {len(keys)} keys, got {wanted}")
    return make_key_set(list(keys.values()), wanted)


def change_authority(
    drafts: Drafts,
    directory: Directory,
    code: str,
    *,
    name: str | None = None,
    add_keys: Iterable[PublicKey] = (),
    remove_keys: Iterable[bytes] = (),
    threshold: int | None = None,
    roles: Sequence[Role | str] | None = None,
    state: State | None = None,
    certificates: Iterable[KeyCertificates] = (),
) -> bytes:
    """Admit an authority, or change its record; what is not given stays.

    Args:
        drafts: of the log.
        directory: as verified.
        code: of the authority, e.g. ``ke``.
        name: for people.
        add_keys: further keys of its principal; each must prove possession.
        remove_keys: ids of keys that no longer count.
        threshold: how many of its keys must sign.
        roles: all roles it may enrol.
        state: in force, or suspended.
        certificates: of an existing PKI, for keys of its principal; those of other keys stay.

    Raises:
        NotFoundError: ``no_such_record``: the first record lacks a member; ``unknown_key``.
        MalformedError: a member is wrong.
    """
    subject = subject_of(Kind.AUTHORITY, code)
    before = _held(directory, Kind.AUTHORITY, code, AuthorityRecord)
    keys = _needed(
        _changed_keys(before.keys if before else None, add_keys, remove_keys, threshold), "a key", subject
    )
    return drafts.authority(
        code,
        name=_needed(name or (before.name if before else None), "a name", subject),
        keys=keys.keys,
        threshold=keys.threshold,
        roles=_needed(roles or (before.roles if before else None), "roles that it may enrol", subject),
        state=state or (before.state if before else State.ACTIVE),
        certificates=change_certificates(before.certificates if before else (), certificates, keys.ids),
    )


def change_endpoint(
    drafts: Drafts,
    directory: Directory,
    address: str,
    *,
    name: str | None = None,
    add_keys: Iterable[PublicKey] = (),
    remove_keys: Iterable[bytes] = (),
    threshold: int | None = None,
    state: State | None = None,
    audits: Term | None = None,
    withdraw_audits: bool = False,
    alternates: Sequence[Alternate] | None = None,
    office_hours: OfficeHours | None = None,
    no_office_hours: bool = False,
    certificates: Iterable[KeyCertificates] = (),
    two_persons: bool | None = None,
) -> bytes:
    """Enrol an endpoint, or change its record: its administrator's keys, its name, whether it is in force.

    Args:
        drafts: of the log.
        directory: as verified.
        address: of the endpoint.
        name: for people.
        add_keys: further keys of its administrator; each must prove possession.
        remove_keys: ids of keys that no longer count.
        threshold: how many of its keys must sign.
        state: in force, or suspended.
        audits: the term in which it audits all endpoints of its authority; its role must be ``auditor``.
        withdraw_audits: whether it audits them no more.
        alternates: all who stand in for it; an empty list for none, None for those that stand.
        office_hours: when somebody is there.
        no_office_hours: whether that is said no more.
        certificates: of an existing PKI, for keys of its administrator; those of other keys stay.
        two_persons: whether its messages need a second person's signature; None for what stands.

    Raises:
        NotFoundError, MalformedError: as `change_authority`.
    """
    subject = subject_of(Kind.ENDPOINT, address)
    before = _held(directory, Kind.ENDPOINT, address, EndpointRecord)
    keys = _needed(
        _changed_keys(before.administrator if before else None, add_keys, remove_keys, threshold),
        "a key of its administrator",
        subject,
    )
    return drafts.endpoint(
        address,
        name=_needed(name or (before.name if before else None), "a name", subject),
        administrator=keys.keys,
        threshold=keys.threshold,
        state=state or (before.state if before else State.ACTIVE),
        audits=None if withdraw_audits else audits or (before.audits if before else None),
        alternates=alternates if alternates is not None else (before.alternates if before else ()),
        office_hours=None if no_office_hours else office_hours or (before.office_hours if before else None),
        certificates=change_certificates(before.certificates if before else (), certificates, keys.ids),
        two_persons=two_persons if two_persons is not None else bool(before and before.two_persons),
    )


def change_keys(
    drafts: Drafts,
    directory: Directory,
    address: str,
    *,
    add: Iterable[InstanceKey | tuple[PublicKey, str]] = (),
    remove: Iterable[bytes] = (),
    ends: Mapping[bytes, int] | None = None,
    sealing: PublicKey | None = None,
    overlap_until: int = 0,
    sealing_from: int = 0,
    sealing_until: int | None = None,
    reads: Mapping[str, Sequence[int]] | None = None,
    now: int = MAX_TIME,
    certificates: Iterable[KeyCertificates] = (),
) -> bytes:
    """Change an endpoint's keys: add, end or remove instances, or let a new sealing key take over.

    Args:
        drafts: of the log.
        directory: as verified.
        address: of the endpoint.
        add: further instances, as record or as (key, holder).
        remove: ids of instance keys that no longer count.
        ends: id of an instance key → ms since 1970 from which it counts no more.
        sealing: the new sealing key, if it changes.
        overlap_until: ms since 1970 until which messages to the sealing key before it are still accepted;
            0 for none, which is right only where that key is compromised or lost.
        sealing_from: ms since 1970 from which messages to the new sealing key are accepted; 0 if at once. After a
            reset see `countermark_protocol.resets.beginning_for`.
        sealing_until: ms since 1970 from which messages to the sealing key are accepted no more; what stands is
            kept if None, and a new key has no end then.
        reads: message types and versions; those of the record before, if not said.
        now: ms since 1970, where a sealing key of the record may still wait.
        certificates: of an existing PKI, for instance keys; those of other instances stay.

    Raises:
        NotFoundError: ``no_such_record``, ``unknown_key``.
        MalformedError: a member is wrong.
    """
    subject = subject_of(Kind.KEYS, address)
    before = _held(directory, Kind.KEYS, address, KeysRecord)
    instances = {k.key.key_id: k for k in before.signing} if before is not None else {}
    for key_id in remove:
        if KeyId(key_id) not in instances:
            raise NotFoundError("unknown_key", f"key {key_id.hex()} is not an instance of {address}")
        del instances[KeyId(key_id)]
    for key_id, until in (ends or {}).items():
        if KeyId(key_id) not in instances:
            raise NotFoundError("unknown_key", f"key {key_id.hex()} is not an instance of {address}")
        instances[KeyId(key_id)] = replace(instances[KeyId(key_id)], until=until)
    added = [one if isinstance(one, InstanceKey) else InstanceKey(*one) for one in add]
    instances.update({one.key.key_id: one for one in added})
    if not instances:
        malformed("no_instance", f"{address} would be left without a signing key")
    current = before.sealing if before is not None else None
    is_broker = directory.count > 0 and address == directory.log().broker
    previous, until = (before.previous_sealing, before.previous_until) if before is not None else (None, 0)
    begins, ends_at = (before.sealing_from, before.sealing_until) if before is not None else (0, None)
    if sealing is not None and sealing != current:
        if begins <= now:
            previous = current  # else that never counted, and the one before it still takes its place
        previous, until = (
            (previous, max(overlap_until, sealing_from)) if overlap_until and previous else (None, 0)
        )
        begins, ends_at = sealing_from, None
    return drafts.keys(
        address,
        signing=instances.values(),
        sealing=None if is_broker else _needed(sealing or current, "a sealing key", subject),
        previous_sealing=previous,
        previous_until=until,
        sealing_from=begins,
        sealing_until=ends_at if sealing_until is None else sealing_until,
        reads=reads if reads is not None else (before.reads if before is not None else None),
        certificates=change_certificates(before.certificates if before else (), certificates, instances),
    )


def change_group(
    drafts: Drafts,
    directory: Directory,
    name: str,
    *,
    title: str | None = None,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
    state: State | None = None,
) -> bytes:
    """Make a group, or change it.

    Args:
        drafts: of the log.
        directory: as verified.
        name: ``<owner>/<name>``.
        title: for people.
        add: addresses that become members.
        remove: addresses that are members no longer.
        state: in force, or suspended.

    Raises:
        NotFoundError: ``no_such_record``; ``unknown_member``: an address to be removed is no member.
    """
    before = _held(directory, Kind.GROUP, name, GroupRecord)
    members: set[str] = set(before.members) if before is not None else set()
    for address in remove:
        if address not in members:
            raise NotFoundError("unknown_member", f"{address} is not a member of {name}")
        members.discard(address)
    return drafts.group(
        name,
        title=_needed(title or (before.title if before else None), "a title", subject_of(Kind.GROUP, name)),
        members=members | set(add),
        state=state or (before.state if before else State.ACTIVE),
    )


def change_governance(
    drafts: Drafts,
    directory: Directory,
    *,
    add_governors: Iterable[PublicKey] = (),
    remove_governors: Iterable[bytes] = (),
    quorum: int | None = None,
    log_key: PublicKey | None = None,
    add_administrators: Iterable[PublicKey] = (),
    remove_administrators: Iterable[bytes] = (),
    undelivered_grace: int | None = None,
    reset_delay: int | None = None,
    add_witnesses: Iterable[Witness] = (),
    remove_witnesses: Iterable[str] = (),
    witness_quorum: int | None = None,
    add_auditors: Iterable[Oversight] = (),
    remove_auditors: Iterable[str] = (),
) -> bytes:
    """Change the log's own record: governors, log key, the broker's administrator, periods (ms), appointments.

    The broker's address never changes. Arguments and errors otherwise as in `change_authority`, and of witnesses
    and auditors as in `countermark_protocol.appointing`.
    """
    before = directory.log()
    witnesses, needed = change_witnesses(
        before.witnesses, before.witness_quorum, add_witnesses, remove_witnesses, witness_quorum
    )
    governors = _changed_keys(before.governors, add_governors, remove_governors, quorum)
    administrator = _changed_keys(
        before.broker_administrator, add_administrators, remove_administrators, None
    )
    assert governors is not None
    assert administrator is not None
    return drafts.governance(
        replace(
            before,
            governors=governors,
            broker_administrator=administrator,
            log_key=log_key or before.log_key,
            undelivered_grace=before.undelivered_grace if undelivered_grace is None else undelivered_grace,
            reset_delay=before.reset_delay if reset_delay is None else reset_delay,
            witnesses=witnesses,
            witness_quorum=needed,
            auditors=change_auditors(before.auditors, add_auditors, remove_auditors),
        )
    )


# --- how far a gathering is -----------------------------------------------------------------------------


def check_signatures(directory: Directory, unverified: UnverifiedDocument) -> Document:
    """Verify all signatures that a gathering has so far; there may still be some missing.

    Args:
        directory: as verified, or empty: then only keys that stand in the statement itself are known.
        unverified: a directory statement, or what gathers signatures to become one.

    Raises:
        MalformedError: not a directory statement.
        SignatureError: ``unknown_key``, or a signature does not verify.

    Does not prove: that those who signed were entitled to; see `check_complete`.
    """
    named = keys_in(parse_directory_statement(unverified.claims).record)
    return verify_document(unverified, lambda key_id: resolve_signer(directory, named, key_id))


def check_complete(directory: Directory, unverified: UnverifiedDocument, now: int) -> DirectoryStatement:
    """Check that a statement would be accepted: it fits what stands, and exactly the right keys have signed.

    Args:
        directory: as verified; empty for a founding.
        unverified: with at least one signature.
        now: ms since 1970.

    Raises:
        CountermarkError: what the broker would answer, e.g. ``too_few_signatures``, ``missing_possession``,
            ``stale_statement`` or ``outside_mandate``.
    """
    return judge_statement(directory, verify_statement(directory, unverified), now)


def principal_of(directory: Directory, statement: DirectoryStatement) -> KeySet | None:
    """Who must sign a statement; None where that is not one fixed principal, or it does not stand.

    A founding is signed by every governor. A revocation may be signed by any of several principals.
    """
    if statement.header.kind is Kind.FOUNDING:
        keys = getattr(statement.record, "governors", None)
        return KeySet(keys.keys, len(keys.keys)) if isinstance(keys, KeySet) else None
    if statement.header.kind is Kind.REVOCATION or directory.count == 0:
        return None
    return directory.principal(statement.subject)
