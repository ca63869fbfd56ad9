"""The directory as far as evidence shows it, and whether each record shown was written by whom it must be.

A directory statement is proven to be a subject's newest record after a leaf by one path from that leaf's head. Records
are never removed and only ever replaced by later ones, so a record of index k that stands after leaf a stood after
every leaf from k to a, and a subject that has none after a had none before. All questions that a check asks
are therefore answered by few paths; what no path covers is ``evidence_incomplete``, never guessed. Of the leaves
that matter (of the statements in question, and the newest) only their own heads are taken.

Source: docs/spec/evidence.md §2; docs/spec/directory.md §4, §5; docs/spec/log.md §4.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from countermark_protocol.claims import Kind
from countermark_protocol.directory import Directory, Held
from countermark_protocol.documents import Document, Purpose, parse_document, verify_document
from countermark_protocol.errors import PolicyError, ProofError, SignatureError
from countermark_protocol.identifiers import Address, AuthorityCode, KeyId, Origin, authority_of, role_of
from countermark_protocol.judging import check_signers, judge_statement
from countermark_protocol.keys import PublicKey
from countermark_protocol.leaf import Leaf
from countermark_protocol.records import (
    DirectoryStatement,
    EndpointRecord,
    KeySet,
    KeysRecord,
    RevocationRecord,
    State,
    keys_in,
    parse_directory_statement,
)
from countermark_protocol.shown_facts import Fact
from countermark_protocol.trie import verify_subject


def covers(shown_at: int, held: Held | None, wanted: int, exact: frozenset[int]) -> bool:
    """Whether what a subject had after leaf `shown_at` tells what it had after leaf `wanted`."""
    if wanted in exact:
        return shown_at == wanted
    return wanted <= shown_at and (held is None or held.index <= wanted)


class ShownDirectory(Directory):
    """A directory that knows only what paths prove; it answers every question of `Directory` about a leaf.

    Args:
        statements: directory statements, each a signed document.
        facts: what the directory held, and when.
        leaves: proven leaves by index.
        newest: index of the last leaf of the tree: what "now" means.
        exact: indexes of leaves whose own head must show what is asked of them.

    Raises:
        ProofError: ``bad_trie_path``, ``evidence_incomplete``: a path without its leaf, or a record without its
            statement; ``leaf_mismatch``: a record is of another subject than its statement.
        SignatureError: a signature of a statement does not verify.
        MalformedError: not directory statements.
    """

    def __init__(
        self,
        statements: Iterable[bytes],
        facts: Iterable[Fact],
        leaves: Mapping[int, Leaf],
        newest: int,
        exact: frozenset[int],
    ) -> None:
        super().__init__()
        self._now = newest
        self._exact = exact
        self._shown: dict[str, list[tuple[int, Held | None]]] = defaultdict(list)
        self._by_statement: dict[bytes, tuple[Document, DirectoryStatement]] = {}
        unverified = [parse_document(data) for data in statements]
        read = [parse_directory_statement(u.claims) for u in unverified]
        for statement in read:
            for key in keys_in(statement.record):
                self._keys[key.key_id] = key
        for one, statement in zip(unverified, read, strict=True):
            # Who countersigned may stand in no record shown: that a key waited long enough is not shown here anyway.
            document = verify_document(one, self._keys.get, frozenset({Purpose.COUNTERSIGN}))
            self._by_statement[document.statement_hash] = document, statement
        for fact in facts:
            if fact.at not in leaves:
                raise ProofError(
                    "evidence_incomplete", f"leaf {fact.at}, which a path leads from, is not shown"
                )
            found = verify_subject(leaves[fact.at].dir_head, fact.subject, fact.proof)
            held = None
            if found is not None:
                if found.statement not in self._by_statement or found.index > fact.at:
                    raise ProofError(
                        "evidence_incomplete",
                        f"the statement of '{fact.subject}' at entry {fact.at} is not shown",
                    )
                held = self._held(fact.subject, found.index, found.time, found.statement)
            self._shown[fact.subject].append((fact.at, held))

    def _held(self, subject: str, index: int, time: int, statement_hash: bytes) -> Held:
        document, statement = self._by_statement[statement_hash]
        if statement.subject != subject:
            raise ProofError(
                "leaf_mismatch", f"the directory names a statement of another subject for '{subject}'"
            )
        signers = document.keys_for(Purpose.SIGN)
        threshold = 0 if statement.header.kind is Kind.REVOCATION else len(signers)
        return Held(
            subject, statement.record, index, time, statement_hash, signers, threshold, statement.header.log
        )

    def held(self, subject: str, at: int | None = None) -> Held | None:
        """The newest record of `subject` as of `at`, as far as it is shown.

        Raises:
            ProofError: ``evidence_incomplete``.
        """
        wanted = self._now if at is None else at
        for shown_at, held in self._shown.get(subject, ()):
            if covers(shown_at, held, wanted, self._exact):
                return held
        raise ProofError(
            "evidence_incomplete",
            f"the evidence does not show what the directory held for '{subject}' at entry {wanted}",
        )

    def _predecessor_stands(self, address: Address, key: PublicKey, at: int | None) -> bool:  # noqa: ARG002
        # NOTE: of a record that was replaced no path shows anything: that it stood is the log's decision, not shown.
        return True

    def records(self) -> list[tuple[Held, Document]]:
        """Every record shown, with its document, in log order."""
        found = {h.statement: h for shown in self._shown.values() for _, h in shown if h is not None}
        return [
            (h, self._by_statement[h.statement][0]) for h in sorted(found.values(), key=lambda h: h.index)
        ]


def name_at(directory: Directory, log: Origin, founding: bytes, index: int) -> Origin:
    """Name of the log as of a leaf: that of the founding, unless the evidence is of a log that succeeded it.

    Args:
        directory: shown or whole; asked only where there was a succession.
        log: its name as of the newest leaf shown.
        founding: signed, which the evidence begins with.
        index: of the leaf.

    Raises:
        ProofError: ``evidence_incomplete``.
    """
    if parse_document(founding).claims.get("log") == log:
        return log
    return directory.origin(index)


# --- who wrote it --------------------------------------------------------------------------------------


def check_founding(founding: bytes, document: Document) -> None:
    """Check that a shown record of the log is the founding that the evidence begins with.

    Raises:
        ProofError: ``other_founding``: it is another one.
        CountermarkError: it is not signed by all whom it names.
    """
    if document.data != founding:
        raise ProofError("other_founding", "the log begins with another founding than the evidence names")
    judge_statement(Directory(), document, 0)


def check_written(directory: Directory, held: Held, document: Document) -> None:
    """Check that a record, other than the founding, was written by whom its subject's records are written by.

    Args:
        directory: shown or whole.
        held: the record.
        document: that set it, all its signatures verified.

    Raises:
        SignatureError: not exactly the principal's threshold of keys signed, or one that was revoked.
        PolicyError: ``principal_not_standing`` or ``outside_mandate``.
        ProofError: ``evidence_incomplete``.

    Does not prove: what an honest log also demanded of it (directory.md §3, §8), such as that its keys were new, or
        that a new sealing key waited long enough after a reset.
    """
    before = held.index - 1
    record = held.record
    if isinstance(record, RevocationRecord):
        _check_revocation(directory, record, document, before)
        return
    principal = directory.principal(held.subject, before)
    if principal is None:
        raise PolicyError(
            "principal_not_standing", f"who vouches for '{held.subject}' was not admitted, or was suspended"
        )
    if isinstance(record, EndpointRecord) and record.state is not State.SUSPENDED:
        authority = directory.authority(authority_of(record.address), before)
        if authority is None or role_of(record.address) not in authority.roles:
            raise PolicyError(
                "outside_mandate", f"the authority of {record.address} had no mandate to enrol its role"
            )
    named = frozenset(key.key_id for key in keys_in(record))
    check_signers(
        document,
        _unrevoked(directory, principal, before),
        document.keys_for(Purpose.POSSESSION) & named,
        countersigned=isinstance(record, KeysRecord),
    )


def _unrevoked(directory: Directory, principal: KeySet, at: int) -> KeySet:
    keys = tuple(k for k in principal.keys if directory.revocation(k.key_id, at) is None)
    return KeySet(keys, principal.threshold)


def _check_revocation(
    directory: Directory, record: RevocationRecord, document: Document, before: int
) -> None:
    signers = document.keys_for(Purpose.SIGN)
    for principal in _revokers(directory, record.key_id, before):
        if signers <= principal.ids:
            check_signers(document, _unrevoked(directory, principal, before), frozenset())
            return
    raise SignatureError(
        "wrong_signer", "a key is revoked by itself, its administrator, its authority or the governors"
    )


def _revokers(directory: Directory, key_id: KeyId, before: int) -> Iterable[KeySet]:
    """Who may revoke a key, lazily: what is not asked for need not be shown."""
    own: PublicKey | None = directory.public_key(key_id)
    if own is not None and own.is_signing:
        yield KeySet((own,), 1)
    for subject in owners_of(directory, key_id):
        principal = directory.principal(subject, before)
        if principal is not None:
            yield principal
        prefix, _, name = subject.partition("/")
        if prefix == "keys" and name != directory.log(before).broker:
            above = directory.principal(f"endpoint/{Address(name)}", before)
            if above is not None:
                yield above
        if prefix == "authority":
            record = directory.authority(AuthorityCode(name), before)
            if record is not None:
                yield record.keys
    yield directory.log(before).governors


def owners_of(directory: Directory, key_id: KeyId) -> tuple[str, ...]:
    """Subjects whose shown records name a key."""
    if not isinstance(directory, ShownDirectory):
        return directory.subjects_of_key(key_id)
    found: dict[str, None] = {}
    for held, _ in directory.records():
        if any(key.key_id == key_id for key in keys_in(held.record)):
            found[held.subject] = None
    return tuple(found)
