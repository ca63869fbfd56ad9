"""Which paths of the directory a file must show, so that some questions can be asked of what it shows.

Run over a whole directory, each question is noted; the few paths that answer all of them, and the statements at their
ends, are what the file shows.

Source: docs/spec/evidence.md §2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from countermark_protocol.directory import Directory, Held
from countermark_protocol.documents import parse_document, statement_hash, verify_document
from countermark_protocol.errors import ProofError
from countermark_protocol.evidence_directory import check_written, covers
from countermark_protocol.identifiers import KeyId
from countermark_protocol.keys import PublicKey
from countermark_protocol.leaf import parse_leaf
from countermark_protocol.proof import Inclusion
from countermark_protocol.records import parse_directory_statement
from countermark_protocol.shown_facts import Fact
from countermark_protocol.trie import Trie, TrieRecord

#: (index, leaf, signed document) of a logged directory statement.
LoggedStatement = tuple[int, bytes, bytes]


class _Asked(Directory):
    """A whole directory that notes what it is asked; "now" is the last leaf of the newest checkpoint."""

    def __init__(self, whole: Directory, newest: int) -> None:
        super().__init__()
        self._whole = whole
        self._now = newest
        self.asked: dict[str, set[int]] = defaultdict(set)
        self.found: dict[bytes, Held] = {}

    def held(self, subject: str, at: int | None = None) -> Held | None:
        wanted = self._now if at is None else at
        self.asked[subject].add(wanted)
        held = self._whole.held(subject, wanted)
        if held is not None:
            self.found[held.statement] = held
        return held

    def public_key(self, key_id: KeyId) -> PublicKey | None:
        return self._whole.public_key(key_id)

    def subjects_of_key(self, key_id: KeyId) -> tuple[str, ...]:
        return self._whole.subjects_of_key(key_id)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a file of evidence must show of the directory.

    Attributes:
        paths: for each subject the leaves after which its state is shown, newest first.
        leaves: indexes of leaves to be shown beside those of the statements.
        statements: hashes of the directory statements to be shown.
    """

    paths: Mapping[str, tuple[int, ...]]
    leaves: tuple[int, ...]
    statements: frozenset[bytes]


def plan_shown(
    whole: Directory,
    documents: Mapping[bytes, bytes],
    newest: int,
    exact: frozenset[int],
    ask: Callable[[Directory], None],
) -> Plan:
    """Find what must be shown of a directory so that some questions can be asked of what is shown.

    Args:
        whole: the whole directory.
        documents: every directory statement by its hash.
        newest: index of the last leaf of the newest checkpoint.
        exact: indexes of leaves whose own directory heads must show what is asked of them; `newest` among them.
        ask: asks the questions.

    Raises:
        CountermarkError: what `ask` raises; or a record was not written by whom it must be.
    """
    asked = _Asked(whole, newest)
    ask(asked)
    judged: set[bytes] = set()
    while fresh := [held for statement, held in asked.found.items() if statement not in judged]:
        for held in fresh:
            judged.add(held.statement)
            if len(whole.names()) > 1:
                asked.origin(held.index)
            if held.index:
                document = verify_document(parse_document(documents[held.statement]), whole.public_key)
                check_written(asked, held, document)
    paths = {
        subject: _fewest(whole, subject, questions, exact)
        for subject, questions in sorted(asked.asked.items())
    }
    used = {at for chosen in paths.values() for at in chosen} | {newest}
    ends = [whole.held(subject, at) for subject, chosen in paths.items() for at in chosen]
    shown = frozenset(end.statement for end in ends if end is not None)
    return Plan(paths, tuple(sorted(used - (exact - {newest}))), shown)


def _fewest(whole: Directory, subject: str, questions: set[int], exact: frozenset[int]) -> tuple[int, ...]:
    """The fewest leaves after which the state of a subject answers all questions about it."""
    chosen: list[int] = []
    for wanted in sorted(questions, reverse=True):
        if not any(covers(at, whole.held(subject, at), wanted, exact) for at in chosen):
            chosen.append(wanted)
    return tuple(chosen)


@dataclass(frozen=True, slots=True)
class ShownParts:
    """What a plan demands, ready to be written: attributes as of `Evidence`."""

    leaves: tuple[Inclusion, ...]
    statements: tuple[bytes, ...]
    facts: tuple[Fact, ...]


def shown_by(plan: Plan, history: Sequence[LoggedStatement], leaves: Mapping[int, Inclusion]) -> ShownParts:
    """What a plan demands; arguments and errors as of `complete_evidence`."""
    lacking = set(plan.leaves) - set(leaves)
    if lacking:
        raise ProofError("evidence_incomplete", f"leaf {min(lacking)} is needed and was not given")
    subjects_at: dict[int, list[str]] = defaultdict(list)
    for subject, chosen in plan.paths.items():
        for at in chosen:
            subjects_at[at].append(subject)
    facts: list[Fact] = []
    statements: list[bytes] = []
    trie, rest = Trie(), list(reversed(history))
    for at in sorted(subjects_at):
        while rest and rest[-1][0] <= at:
            index, leaf, data = rest.pop()
            subject = parse_directory_statement(parse_document(data).claims).subject
            hashed = statement_hash(data)
            trie = trie.with_record(TrieRecord(subject, index, parse_leaf(leaf).time, hashed))
            if hashed in plan.statements:
                statements.append(data)
        facts.extend(Fact(at, subject, trie.prove(subject)) for subject in subjects_at[at])
    return ShownParts(tuple(leaves[at] for at in plan.leaves), tuple(statements), tuple(facts))
