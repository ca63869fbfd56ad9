"""Resets: an authority gave an endpoint another administrator, whom nobody has vouched for but the authority.

A new sealing key that such an administrator certifies counts only after the log's `reset_delay_ms`, so that the
endpoint and everybody who writes to it can see it coming; at once, if the administrator before countersigns.

Whose word counts at once is its *confirmed* administrator: that of its first keys; any later one whose keys
statement bears enough signatures of the confirmed one; or one that has certified keys in the open for the whole
delay. What a record says of its sealing key's beginning (`sealing_from`) is checked against this when it is
logged, so that afterwards the record alone tells which key to use.

Source: docs/spec/directory.md §8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from countermark_protocol.directory import Directory, Held
from countermark_protocol.documents import Document, Purpose
from countermark_protocol.errors import PolicyError, SignatureError
from countermark_protocol.identifiers import Address, KeyId
from countermark_protocol.keys import PublicKey
from countermark_protocol.records import EndpointRecord, KeySet, KeysRecord

#: Between a draft and its leaf: time to gather signatures and to publish, ms.
DRAFTING_TIME: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Reset:
    """An endpoint whose administrator is not confirmed yet.

    Attributes:
        address: of the endpoint.
        index: log index of the statement by which its authority set the administrator.
        time: of that leaf, ms since 1970.
        sealing_from: when the sealing key that it has certified begins to count, ms since 1970; 0 if none waits.
        predecessor: the key before it, which is sealed to until then; None if senders have to wait.
    """

    address: Address
    index: int
    time: int
    sealing_from: int
    predecessor: PublicKey | None


def _administrator(directory: Directory, address: Address, at: int | None) -> KeySet | None:
    held = directory.held(f"endpoint/{address}", at)
    return held.record.administrator if held is not None and isinstance(held.record, EndpointRecord) else None


def _unrevoked(directory: Directory, keys: frozenset[KeyId], at: int | None) -> frozenset[KeyId]:
    return frozenset(k for k in keys if directory.revocation(k, at) is None)


def _backs(principal: KeySet, signers: frozenset[KeyId]) -> bool:
    return len(principal.ids & signers) >= principal.threshold


@dataclass(frozen=True, slots=True)
class Standing:
    """Who of an endpoint's administrators is believed at once, and who is on the way there.

    Attributes:
        confirmed: whose word on a new sealing key counts at once; None before the first keys.
        waiting: who has certified keys since a reset, and is confirmed from `until` on; None if nobody has.
        until: ms since 1970; 0 where nobody waits.
    """

    confirmed: KeySet | None
    waiting: KeySet | None = None
    until: int = 0


def administrators(directory: Directory, address: Address, time: int) -> Standing:
    """Who of an endpoint's administrators is confirmed.

    Args:
        directory: as it stands before the statement in question.
        address: of the endpoint.
        time: of that statement's leaf, ms since 1970.
    """
    confirmed: KeySet | None = None
    waiting: tuple[KeySet, int] | None = None
    for held in directory.history(f"keys/{address}"):
        before = held.index - 1
        if waiting is not None and held.time >= waiting[1]:
            confirmed, waiting = waiting[0], None
        by = _administrator(directory, address, before)
        assert by is not None  # nobody else could have signed it
        signers = _unrevoked(directory, held.signers | held.countersigners, before)
        if confirmed is None or _backs(confirmed, signers):
            confirmed, waiting = by, None
        elif waiting is None or not _backs(waiting[0], signers):
            waiting = by, held.time + directory.log(before).reset_delay
    if waiting is None:
        return Standing(confirmed)
    return Standing(waiting[0]) if time >= waiting[1] else Standing(confirmed, *waiting)


def check_reset(
    directory: Directory, record: KeysRecord, before: Held | None, document: Document, time: int
) -> None:
    """Check what a keys statement owes to a reset: who countersigned it, and when its sealing key begins to count.

    Args:
        directory: as it stands before the statement.
        record: of the statement.
        before: the record that it replaces.
        document: its signatures verified, and its principal's judged.
        time: of its leaf, ms since 1970.

    Raises:
        SignatureError: ``wrong_signer``, ``too_few_signatures`` or ``too_many_signatures`` of purpose `countersign`.
        PolicyError: ``reset_delay``.
    """
    signed, countersigned = document.keys_for(Purpose.SIGN), document.keys_for(Purpose.COUNTERSIGN)
    is_broker = record.address == directory.log().broker  # it has no sealing key, and no authority
    confirmed = None if is_broker else administrators(directory, record.address, time).confirmed
    if confirmed is None or _backs(confirmed, _unrevoked(directory, signed, None)):
        if countersigned:
            raise SignatureError(
                "too_many_signatures", "nobody countersigns this: its signers are confirmed already"
            )
        return
    if countersigned:
        _check_countersigners(directory, confirmed, signed, countersigned)
        return
    delay = directory.log().reset_delay
    least = _least_beginning(record, before, time + delay)
    if delay and record.sealing_from < least:
        raise PolicyError(
            "reset_delay",
            f"the administrator of {record.address} was reset: expected its new sealing key to count from {least} at "
            f"the earliest, got {record.sealing_from}; or let the administrator before countersign",
            sealing_from=least,
        )


def _check_countersigners(
    directory: Directory, confirmed: KeySet, signed: frozenset[KeyId], countersigned: frozenset[KeyId]
) -> None:
    live = _unrevoked(directory, confirmed.ids, None)
    if countersigned - live:
        raise SignatureError(
            "wrong_signer",
            f"key {min(countersigned - live).hex()} is none of the administrator before, or is revoked",
        )
    count = len((signed & live) | countersigned)
    if count != confirmed.threshold:
        few = count < confirmed.threshold
        raise SignatureError(
            "too_few_signatures" if few else "too_many_signatures",
            f"expected {confirmed.threshold} signatures of the administrator before, got {count}",
        )


def _least_beginning(record: KeysRecord, before: Held | None, after_delay: int) -> int:
    """When a sealing key that only a reset administrator vouches for may begin to count, ms since 1970."""
    old = before.record if before is not None else None
    if isinstance(old, KeysRecord) and old.sealing == record.sealing:
        return old.sealing_from  # announced already: it waits no longer for that, and no shorter
    return after_delay


def beginning_for(directory: Directory, address: Address, now: int) -> int:
    """What to state as `sealing_from` of a new sealing key that nobody countersigns; 0 if it counts at once.

    Some minutes later than needed, since who drafts does not know when it will be logged.

    Args:
        directory: as it stands.
        address: of the endpoint.
        now: ms since 1970.
    """
    confirmed = administrators(directory, address, now).confirmed
    held, delay = directory.held(f"endpoint/{address}"), directory.log().reset_delay
    if confirmed is None or held is None or not isinstance(held.record, EndpointRecord) or not delay:
        return 0
    return 0 if _backs(confirmed, held.record.administrator.ids) else now + delay + DRAFTING_TIME


def reset_of(directory: Directory, address: Address, time: int) -> Reset | None:
    """Whether an endpoint's administrator was reset and is not confirmed yet, and what that means for senders."""
    held, standing = directory.held(f"endpoint/{address}"), administrators(directory, address, time)
    if held is None or not isinstance(held.record, EndpointRecord) or standing.confirmed is None:
        return None
    if standing.waiting is None and _backs(standing.confirmed, held.record.administrator.ids):
        return None  # enough of those who are confirmed are among those who may sign now, and nobody else did
    since, record = _set_at(directory, held), directory.keys(address)
    begins = record.sealing_from if record is not None and record.sealing_from > time else 0
    return Reset(
        address, since.index, since.time, begins, directory.sealing_key(address, time) if begins else None
    )


def _set_at(directory: Directory, held: Held) -> Held:
    """The statement that set the administrator that an endpoint's record names."""
    assert isinstance(held.record, EndpointRecord)
    since = held
    for one in reversed(directory.history(held.subject)):
        if (
            not isinstance(one.record, EndpointRecord)
            or one.record.administrator != held.record.administrator
        ):
            break
        since = one
    return since


def resets(directory: Directory, time: int) -> Iterator[Reset]:
    """All resets that senders have to know of, by address in the order of the directory."""
    for subject in directory.subjects("endpoint/"):
        found = reset_of(directory, Address(subject.removeprefix("endpoint/")), time)
        if found is not None:
            yield found
