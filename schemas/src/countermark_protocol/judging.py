"""Judging a directory statement: does it follow its subject's history, and did exactly the right keys sign?

Source: docs/spec/directory.md §3 (order of checks), §5 (who must sign what).
"""

from __future__ import annotations

from countermark_protocol.claims import Kind
from countermark_protocol.directory import Directory
from countermark_protocol.documents import Document, Purpose
from countermark_protocol.errors import ConflictError, NotFoundError, PolicyError, SignatureError
from countermark_protocol.identifiers import Address, AuthorityCode, KeyId, authority_of, role_of
from countermark_protocol.keys import PublicKey
from countermark_protocol.records import (
    DirectoryStatement,
    EndpointRecord,
    KeySet,
    KeysRecord,
    LogRecord,
    RevocationRecord,
    State,
    keys_in,
    parse_directory_statement,
)
from countermark_protocol.resets import check_reset
from countermark_protocol.succession import check_log, check_predecessor

#: A clock may be this far ahead before what it states is refused, ms.
CLOCK_TOLERANCE: int = 5 * 60 * 1000


def check_signers(
    document: Document, principal: KeySet, possession: frozenset[KeyId], *, countersigned: bool = False
) -> None:
    """Demand exactly the signatures a kind needs: the principal's threshold, and possession by new keys.

    Args:
        document: all its signatures verified.
        principal: who must sign.
        possession: new keys, which must show that they are held.
        countersigned: whether there may be countersignatures, which are judged by themselves (`check_reset`).

    Raises:
        SignatureError: ``wrong_signer``, ``too_few_signatures``, ``too_many_signatures`` or
            ``missing_possession``.
        PolicyError: a purpose that this version reserves.
    """
    if not countersigned and document.keys_for(Purpose.COUNTERSIGN):
        raise SignatureError("too_many_signatures", "nobody countersigns a statement of this kind")
    for purpose in (Purpose.RELEASE, Purpose.BEHALF):
        if document.keys_for(purpose):
            name = purpose.name.lower()
            raise PolicyError(
                f"reserved_{name}", f"signatures of purpose '{name}' are reserved for a later version"
            )
    signers = document.keys_for(Purpose.SIGN)
    strangers = signers - principal.ids
    if strangers:
        raise SignatureError(
            "wrong_signer", f"key {min(strangers).hex()} is not one of those who must sign this"
        )
    if len(signers) < principal.threshold:
        raise SignatureError(
            "too_few_signatures",
            f"expected {principal.threshold} signatures of the principal, got {len(signers)}",
        )
    if len(signers) > principal.threshold:
        raise SignatureError(
            "too_many_signatures",
            f"expected exactly {principal.threshold} signatures of the principal, got {len(signers)}",
        )
    proven = document.keys_for(Purpose.POSSESSION)
    if possession - proven:
        raise SignatureError(
            "missing_possession",
            f"new key {min(possession - proven).hex()} has not signed to prove its possession",
        )
    if proven - possession:
        raise SignatureError(
            "too_many_signatures",
            f"key {min(proven - possession).hex()} is not new here and need not prove possession",
        )


def resolve_signer(
    directory: Directory, payload_keys: tuple[PublicKey, ...], key_id: KeyId
) -> PublicKey | None:
    """The public key of a key id, from the directory or from the statement itself (new keys)."""
    known = directory.public_key(key_id)
    if known is not None:
        return known
    return next((k for k in payload_keys if k.key_id == key_id), None)


def judge_statement(directory: Directory, document: Document, time: int) -> DirectoryStatement:
    """Judge a directory statement by the directory as it stands, which must be the state before its leaf.

    Args:
        directory: folded up to the leaf before.
        document: all its signatures verified.
        time: of its leaf, ms since 1970.

    Returns:
        The statement, ready for `Directory.apply`.

    Raises:
        MalformedError: not a directory statement.
        SignatureError: not exactly the right keys signed.
        ConflictError: ``stale_statement``: `prev` does not fit; ``key_in_use``; ``already_revoked``.
        PolicyError: outside the writer's mandate, or the writer's own record does not stand.
    """
    statement = parse_directory_statement(document.claims)
    if statement.header.kind is Kind.FOUNDING:
        _judge_founding(directory, statement, document)
        return statement
    if isinstance(statement.record, RevocationRecord):
        _judge_revocation(directory, statement.record, document, time)
        return statement
    before = directory.held(statement.subject)
    expected = before.statement if before else None
    if statement.prev != expected:
        raise ConflictError(
            "stale_statement",
            f"'{statement.subject}' has changed since this was written: expected prev "
            f"{expected.hex() if expected else 'absent'}, got {statement.prev.hex() if statement.prev else 'absent'}",
        )
    principal = directory.principal(statement.subject)
    if principal is None:
        raise PolicyError(
            "principal_not_standing", f"who vouches for '{statement.subject}' is not admitted or is suspended"
        )
    _check_mandate(directory, statement, time)
    old = set(keys_in(before.record)) if before else set()
    new = [k for k in keys_in(statement.record) if k not in old]
    _check_new_keys(directory, statement.subject, new)
    live = KeySet(
        tuple(k for k in principal.keys if directory.revocation(k.key_id) is None), principal.threshold
    )
    is_keys = isinstance(statement.record, KeysRecord)
    possession = frozenset(k.key_id for k in new if k.is_signing)
    check_signers(document, live, possession, countersigned=is_keys)
    if isinstance(statement.record, KeysRecord):
        check_reset(directory, statement.record, before, document, time)
    return statement


def check_named(directory: Directory, statement: DirectoryStatement, index: int) -> None:
    """Check that a logged directory statement is made for this log, as it is named there, or succeeds it there.

    Args:
        directory: folded up to the leaf before.
        statement: judged.
        index: of its leaf.

    Raises:
        VerificationError: ``wrong_log``.
        PolicyError: ``wrong_predecessor``.
        ConflictError: ``predecessor_size``.

    Does not prove: that the root which a succession states is that of the leaves before it.
    """
    if not directory.count:
        return
    record = statement.record
    predecessor = record.predecessor if isinstance(record, LogRecord) else None
    check_log(statement.header.log, directory.origin(), predecessor)
    if predecessor is not None:
        check_predecessor(predecessor, index, predecessor.root)


def _judge_founding(directory: Directory, statement: DirectoryStatement, document: Document) -> None:
    if directory.count:
        raise ConflictError(
            "already_founded", "this log is already founded: a founding is entry 0 and nothing else"
        )
    record = statement.record
    assert isinstance(record, LogRecord)
    everyone = KeySet(record.governors.keys, len(record.governors.keys))
    check_signers(
        document,
        everyone,
        frozenset({record.log_key.key_id}) | record.broker_administrator.ids,
    )


def _check_mandate(directory: Directory, statement: DirectoryStatement, time: int) -> None:
    record = statement.record
    if isinstance(record, EndpointRecord):
        authority = directory.authority(authority_of(record.address))
        role = role_of(record.address)
        # What was enrolled under a wider mandate can still be ended, and by nobody else.
        ends = record.state is State.SUSPENDED and directory.held(statement.subject) is not None
        if authority is None or not (ends or role in authority.roles):
            raise PolicyError(
                "outside_mandate",
                f"authority '{authority_of(record.address)}' has no mandate to enrol the role '{role}'",
            )
    elif isinstance(record, LogRecord):
        current = directory.log()
        if record.broker != current.broker:
            raise PolicyError("broker_address_fixed", f"the broker's address stays '{current.broker}'")
    elif isinstance(record, KeysRecord):
        _check_keys(directory, record, time)


def _check_keys(directory: Directory, record: KeysRecord, time: int) -> None:
    if record.address == directory.log().broker and record.reads:
        raise PolicyError("broker_reads_nothing", "the broker is no recipient: expected 'reads' to be empty")
    if record.previous_sealing is None:
        return
    held = directory.held(f"keys/{record.address}")
    before = held.record if held is not None else None
    known: set[PublicKey | None] = set()
    if isinstance(before, KeysRecord):
        # One that never began to count would else begin at once, as the predecessor of a third.
        known = {before.sealing if before.sealing_from <= time else None, before.previous_sealing}
    if record.previous_sealing not in known:
        # Else a "predecessor" could be a second sealing key that nobody rotated away from.
        raise PolicyError(
            "not_a_predecessor",
            "'previous_sealing' must be a sealing key of the record that this one replaces, and have counted",
        )


def _check_new_keys(directory: Directory, subject: str, new: list[PublicKey]) -> None:
    for key in new:
        others = [s for s in directory.subjects_of_key(key.key_id) if s != subject]
        if others:
            raise ConflictError(
                "key_in_use", f"key {key.key_id.hex()} already belongs to '{others[0]}': make a new one"
            )
        known = directory.public_key(key.key_id)
        if known is not None and known != key:
            # Else who verifies a signature would have to know which pairing stood when it was made.
            raise ConflictError(
                "pair_changed",
                f"key {key.key_id.hex()} was named with another second half, or with none: make a new pair",
            )
        if directory.revocation(key.key_id) is not None:
            raise ConflictError("key_revoked", f"key {key.key_id.hex()} is revoked and cannot be used again")


def _judge_revocation(directory: Directory, record: RevocationRecord, document: Document, time: int) -> None:
    if not directory.subjects_of_key(record.key_id):
        raise NotFoundError("unknown_key", f"no record ever named key {record.key_id.hex()}")
    if record.compromised_at is not None and record.compromised_at > time + CLOCK_TOLERANCE:
        raise PolicyError("date_in_future", "the date of compromise lies in the future")
    if not adds_to_revocation(directory.revocation(record.key_id), record):
        raise ConflictError(
            "already_revoked",
            f"key {record.key_id.hex()} is already revoked: only an earlier date of compromise changes that",
        )
    signers = document.keys_for(Purpose.SIGN)
    choices = _revokers(directory, record.key_id)
    fitting = [c for c in choices if signers <= c.ids]
    if not fitting:
        raise SignatureError(
            "wrong_signer", "a key is revoked by itself, its administrator, its authority or the governors"
        )
    # With several fitting principals (a key that is its own and the administrator's) any one will do.
    for choice in fitting[:-1]:
        if len(signers) == choice.threshold:
            check_signers(document, choice, frozenset())
            return
    check_signers(document, fitting[-1], frozenset())


def adds_to_revocation(before: RevocationRecord | None, record: RevocationRecord) -> bool:
    """Whether a revocation says more than the one that stands: the first does, and an earlier date of compromise."""
    if before is None:
        return True
    if record.compromised_at is None:
        return False
    return before.compromised_at is None or record.compromised_at < before.compromised_at


def _revokers(directory: Directory, key_id: KeyId) -> list[KeySet]:
    own = directory.public_key(key_id)
    choices: list[KeySet] = []
    if own is not None and own.is_signing and directory.revocation(key_id) is None:
        choices.append(KeySet((own,), 1))
    sets: list[KeySet | None] = []
    for subject in directory.subjects_of_key(key_id):
        prefix, _, name = subject.partition("/")
        sets.append(directory.principal(subject))
        if prefix == "keys" and name != directory.log().broker:
            sets.append(directory.principal(f"endpoint/{Address(name)}"))
        if prefix == "authority":
            sets.append(directory.principal(f"authority/{AuthorityCode(name)}"))
    sets.append(directory.log().governors)
    for choice in sets:
        if choice is None:
            continue
        live = KeySet(
            tuple(k for k in choice.keys if directory.revocation(k.key_id) is None), choice.threshold
        )
        if live not in choices:
            choices.append(live)
    return choices
