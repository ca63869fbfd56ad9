"""The directory: a fold over directory statements, and who counts as what at any leaf.

The broker, its test double, every client and every auditor fold the same statements with this class and
compare the head. History is kept, so verdicts on old messages are taken as of their own leaf.

``at`` arguments are log indexes and mean "the state after that leaf"; None means the newest.

Source: docs/spec/directory.md §3, §4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from countermark_protocol.claims import Kind
from countermark_protocol.documents import Document, Purpose
from countermark_protocol.errors import NotFoundError
from countermark_protocol.identifiers import (
    Address,
    AuthorityCode,
    GroupName,
    KeyId,
    Origin,
    authority_of,
    owner_of_group,
)
from countermark_protocol.keys import PublicKey
from countermark_protocol.policy import Policy
from countermark_protocol.records import (
    AuthorityRecord,
    DirectoryStatement,
    EndpointRecord,
    GroupRecord,
    InstanceKey,
    KeySet,
    KeysRecord,
    LogRecord,
    Record,
    RevocationRecord,
    State,
    keys_in,
)
from countermark_protocol.succession import Predecessor
from countermark_protocol.trie import Trie, TrieProof, TrieRecord

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Held:
    """A record as the directory holds it.

    Attributes:
        subject: whose record it is.
        record: the record.
        index: log index of the statement that set it.
        time: of that leaf, ms since 1970.
        statement: hash of the signed document, 32 bytes.
        signers: keys that signed it as its principal.
        threshold: how many of them its principal demanded then.
        countersigners: keys of a former administrator that stand behind it after a reset (resets.py).
        log: name of the log that its statement was made for.
        ground: why it was stated, in words; None if that was not said.
    """

    subject: str
    record: Record
    index: int
    time: int
    statement: bytes
    signers: frozenset[KeyId]
    threshold: int
    log: Origin
    countersigners: frozenset[KeyId] = frozenset()
    ground: str | None = None


def _runs(until: int | None, time: int) -> bool:
    return until is None or time < until


class Directory:
    """All directory statements of a log, folded. Grows by `apply` only."""

    def __init__(self) -> None:
        self._history: dict[str, list[Held]] = {}
        self._subjects_of_key: dict[KeyId, list[str]] = {}
        self._keys: dict[KeyId, PublicKey] = {}
        self._trie = Trie()
        self._count = 0
        #: What `stands` and `_standing` have found of the newest state; every statement of an endpoint asks for
        #: the same few. Replaced, never emptied: who began to look before `apply` must not add to it after.
        self._known_standing: dict[str, bool] = {}
        self._standing_records: dict[str, Record] = {}

    # --- fold ---

    def copy(self) -> Directory:
        """The same directory as a value of its own: folding into one leaves the other as it was.

        A broker folds a group of statements into a copy, and takes the copy once the group is committed.
        """
        other = Directory()
        other._history = {subject: list(held) for subject, held in self._history.items()}
        other._subjects_of_key = {key_id: list(s) for key_id, s in self._subjects_of_key.items()}
        other._keys = dict(self._keys)
        other._trie, other._count = self._trie, self._count
        return other

    @property
    def count(self) -> int:
        """Directory statements folded so far."""
        return self._count

    @property
    def head(self) -> bytes:
        """Root of the trie, 32 bytes."""
        return self._trie.head

    def head_with(self, statement: DirectoryStatement, document: Document, index: int, time: int) -> bytes:
        """What `head` will be once this statement is applied; changes nothing."""
        record = TrieRecord(statement.subject, index, time, document.statement_hash)
        return self._trie.with_record(record).head

    def apply(self, statement: DirectoryStatement, document: Document, index: int, time: int) -> None:
        """Fold in a statement that has been judged (judging.py).

        Args:
            statement: read from the document's payload.
            document: with all its signatures verified.
            index: of its log entry; must exceed all before.
            time: of its leaf, ms since 1970.
        """
        held = Held(
            statement.subject,
            statement.record,
            index,
            time,
            document.statement_hash,
            document.keys_for(Purpose.SIGN),
            self._threshold_demanded(statement, document),
            statement.header.log,
            document.keys_for(Purpose.COUNTERSIGN),
            statement.ground,
        )
        self._history.setdefault(statement.subject, []).append(held)
        self._trie = self._trie.with_record(
            TrieRecord(statement.subject, index, time, document.statement_hash)
        )
        self._count += 1
        for key in keys_in(statement.record):
            self._keys[key.key_id] = key
            subjects = self._subjects_of_key.setdefault(key.key_id, [])
            if statement.subject not in subjects:
                subjects.append(statement.subject)
        self._known_standing = {}
        self._standing_records = {}

    def _threshold_demanded(self, statement: DirectoryStatement, document: Document) -> int:
        # Judging demanded exactly as many signatures as the threshold was, so their number is the threshold.
        return 0 if statement.header.kind is Kind.REVOCATION else len(document.keys_for(Purpose.SIGN))

    def prove(self, subject: str) -> TrieProof:
        """The newest head's path to `subject`, present or absent."""
        return self._trie.prove(subject)

    # --- records ---

    def held(self, subject: str, at: int | None = None) -> Held | None:
        """The newest record of `subject` as of `at`, standing or not."""
        history = self._history.get(subject)
        if not history:
            return None
        if at is None:
            return history[-1]
        return next((held for held in reversed(history) if held.index <= at), None)

    def history(self, subject: str) -> tuple[Held, ...]:
        """All records that `subject` ever had, the oldest first."""
        return tuple(self._history.get(subject, ()))

    def held_by_statement(self, subject: str, statement: bytes) -> Held | None:
        """The record that a certain statement set for `subject`, if it ever did."""
        return next((h for h in self._history.get(subject, ()) if h.statement == statement), None)

    def _record(self, subject: str, kind: type[R], at: int | None) -> R | None:
        held = self.held(subject, at)
        return held.record if held is not None and isinstance(held.record, kind) else None

    def log(self, at: int | None = None) -> LogRecord:
        """The log's record; there is one from entry 0 on.

        Raises:
            NotFoundError: the founding has not been folded yet.
        """
        record = self._record("log", LogRecord, at)
        if record is None:
            raise NotFoundError(
                "no_founding", "the directory is empty: the log's founding has not been read yet"
            )
        return record

    def origin(self, at: int | None = None) -> Origin:
        """Name of the log as of `at`: a succession changes it.

        Raises:
            NotFoundError: ``no_founding``.
        """
        held = self.held("log", at)
        if held is None:
            self.log(at)
            raise AssertionError
        return held.log

    def origin_for(self, size: int) -> Origin:
        """Name under which checkpoints of this size are signed."""
        return self.origin(max(size - 1, 0))

    def names(self) -> tuple[Origin, ...]:
        """All names that the log ever had, the oldest first."""
        return tuple(dict.fromkeys(held.log for held in self.history("log")))

    def succession(self, name: Origin) -> tuple[int, Predecessor] | None:
        """Index and predecessor of the statement by which the log took a name; None for its first."""
        for held in self.history("log"):
            if (
                held.log == name
                and isinstance(held.record, LogRecord)
                and held.record.predecessor is not None
            ):
                return held.index, held.record.predecessor
        return None

    def policy(self, at: int | None = None) -> Policy:
        """The policy table that stands; without one nothing is allowed."""
        return self._standing("policy", Policy, at) or Policy(())

    def authority(self, code: AuthorityCode, at: int | None = None) -> AuthorityRecord | None:
        """The authority's record, if it stands."""
        return self._standing(f"authority/{code}", AuthorityRecord, at)

    def endpoint(self, address: Address, at: int | None = None) -> EndpointRecord | None:
        """The endpoint's record, if it stands."""
        return self._standing(f"endpoint/{address}", EndpointRecord, at)

    def keys(self, address: Address, at: int | None = None) -> KeysRecord | None:
        """The endpoint's keys, if they stand."""
        return self._standing(f"keys/{address}", KeysRecord, at)

    def group(self, name: GroupName, at: int | None = None) -> GroupRecord | None:
        """The group, if it stands."""
        return self._standing(f"group/{name}", GroupRecord, at)

    def revocation(self, key_id: KeyId, at: int | None = None) -> RevocationRecord | None:
        """The newest revocation of a key, if it is revoked."""
        return self._record(f"revoked/{key_id.hex()}", RevocationRecord, at)

    def _standing(self, subject: str, kind: type[R], at: int | None) -> R | None:
        if at is not None:
            record = self._record(subject, kind, at)
            return record if record is not None and self._stands(subject, at) else None
        known = self._standing_records
        found = known.get(subject)
        if found is None:
            held = self.held(subject)
            if held is None or not self.stands(subject):
                return None
            found = known[subject] = held.record
        return found if isinstance(found, kind) else None

    def subjects(self, prefix: str) -> Iterator[str]:
        """Subjects that begin with `prefix`, in the order they first appeared."""
        return (s for s in self._history if s.startswith(prefix))

    # --- standing ---

    def stands(self, subject: str, at: int | None = None) -> bool:
        """Whether the newest record of `subject` is in force as of `at`.

        It is while it is active, the record above it stands, and it keeps its threshold without signatures
        by keys whose date of compromise is not after its leaf time.
        """
        if at is not None:
            return self._stands(subject, at)
        known = self._known_standing
        stands = known.get(subject)
        if stands is None:
            stands = known[subject] = self._stands(subject, None)
        return stands

    def _stands(self, subject: str, at: int | None) -> bool:
        held = self.held(subject, at)
        if held is None:
            return False
        if subject == "log" or subject.startswith("revoked/"):
            return True
        if getattr(held.record, "state", State.ACTIVE) is not State.ACTIVE:
            return False
        return self._sound(held, at) and self.stands(self._above(subject, at), at)

    def _sound(self, held: Held, at: int | None) -> bool:
        """Whether a record keeps its threshold without signatures by keys that were compromised by then."""
        sound = sum(1 for key_id in held.signers if not self._compromised(key_id, held.time, at))
        return sound >= held.threshold

    def _above(self, subject: str, at: int | None) -> str:
        prefix, _, name = subject.partition("/")
        if prefix == "endpoint":
            return f"authority/{authority_of(name)}"
        if prefix == "keys":
            return "log" if name == self.log(at).broker else f"endpoint/{name}"
        if prefix == "group":
            return f"authority/{owner_of_group(name)}"
        return "log"

    def _compromised(self, key_id: KeyId, time: int, at: int | None) -> bool:
        revocation = self.revocation(key_id, at)
        return (
            revocation is not None
            and revocation.compromised_at is not None
            and revocation.compromised_at <= time
        )

    # --- keys ---

    def public_key(self, key_id: KeyId) -> PublicKey | None:
        """The key with this id, if any statement ever named it; says nothing of its standing."""
        return self._keys.get(key_id)

    def subjects_of_key(self, key_id: KeyId) -> tuple[str, ...]:
        """Subjects under which a key was ever named."""
        return tuple(self._subjects_of_key.get(key_id, ()))

    def instance(
        self, address: Address, key_id: KeyId, at: int | None = None, *, time: int
    ) -> InstanceKey | None:
        """The instance key of an endpoint, if it counts: its record stands, it is not revoked and not over.

        Args:
            address: of the endpoint.
            key_id: of the key.
            at: log index as of which to judge.
            time: of the leaf (or of the request) it has signed, ms since 1970.
        """
        instance = self.listed_instance(address, key_id, at)
        return instance if instance is not None and _runs(instance.until, time) else None

    def listed_instance(self, address: Address, key_id: KeyId, at: int | None = None) -> InstanceKey | None:
        """As `instance`, at whatever time: a key whose time is over is still listed."""
        record = self.keys(address, at)
        if record is None or self.revocation(key_id, at) is not None:
            return None
        for instance in record.signing:
            if instance.key.key_id == key_id:
                return instance
        return None

    def node_key(self, key_id: KeyId, at: int | None = None) -> bool:
        """Whether a key counts as a node key of the broker; node keys have no end of their own."""
        return self.listed_instance(self.log(at).broker, key_id, at) is not None

    def endpoint_of_key(self, key_id: KeyId, at: int | None = None, *, time: int) -> Address | None:
        """The endpoint for which a key counts as an instance key; arguments as of `instance`."""
        for subject in self.subjects_of_key(key_id):
            prefix, _, name = subject.partition("/")
            if prefix == "keys" and self.instance(Address(name), key_id, at, time=time) is not None:
                return Address(name)
        return None

    def key_stands(self, key_id: KeyId, at: int | None = None) -> bool:
        """Whether a signing key counts for anything as of `at`: such a key may read the directory.

        Whenever that is: who comes with a key whose time is over can still learn that it is.
        """
        if self.revocation(key_id, at) is not None:
            return False
        for subject in self.subjects_of_key(key_id):
            held = self.held(subject, at)
            if (
                held is not None
                and any(k.key_id == key_id and k.is_signing for k in keys_in(held.record))
                and self.stands(subject, at)
            ):
                return True
        return False

    def accepts_sealing_key(self, address: Address, key_id: KeyId, time: int, at: int | None = None) -> bool:
        """Whether rows to this sealing key of an endpoint are accepted in a leaf of this time."""
        record = self.keys(address, at)
        if record is None or self.revocation(key_id, at) is not None:
            return False
        if record.sealing is not None and record.sealing.key_id == key_id:
            return record.sealing_from <= time and _runs(record.sealing_until, time)
        previous = record.previous_sealing
        if previous is None or previous.key_id != key_id or time >= record.previous_until:
            return False
        return record.sealing_from <= time or self._predecessor_stands(address, previous, at)

    def _predecessor_stands(self, address: Address, key: PublicKey, at: int | None) -> bool:
        """Whether the record that set a sealing key still stands, now that another one took its place.

        Asked only while the new key waits: after a reset the one before may have been the thief's.
        """
        for held in reversed(self.history(f"keys/{address}")):
            if at is not None and held.index > at:
                continue
            if isinstance(held.record, KeysRecord) and held.record.sealing == key:
                return self._sound(held, at)
        return False

    def sealing_key(self, address: Address, time: int, at: int | None = None) -> PublicKey | None:
        """The key to seal to for an endpoint at a time: its own, or while that waits the one before; None if neither.

        One that is revoked or over has no substitute: its owner must publish another.
        """
        record = self.keys(address, at)
        if record is None:
            return None
        key = record.sealing if record.sealing_from <= time else record.previous_sealing
        usable = key is not None and self.accepts_sealing_key(address, key.key_id, time, at)
        return key if usable else None

    def log_key_for(self, size: int) -> PublicKey:
        """The log key that signs checkpoints of this size: a new one signs beyond its statement's index."""
        return self.log(max(size - 1, 0)).log_key

    def principal(self, subject: str, at: int | None = None) -> KeySet | None:
        """Who writes `subject` as of `at`, or None where the record above does not stand."""
        log = self.log(at)
        if subject in {"log", "policy"} or subject.startswith("authority/"):
            return log.governors
        if subject.startswith("keys/"):
            address = Address(subject.removeprefix("keys/"))
            if address == log.broker:
                return log.broker_administrator
            endpoint = self.endpoint(address, at)
            return endpoint.administrator if endpoint else None
        above = self._above(subject, at)
        record = self._standing(above, AuthorityRecord, at)
        return record.keys if record else None
