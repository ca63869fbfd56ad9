"""What follows from bytes for somebody who was not there: keys and their standing, signed trees, entries, accounts.

It begins with the founding, whose fingerprint people compare, and believes no party: whatever is taken from a piece
is signed by the log's key or a node key, or leads to a root that is.

Source: docs/spec/contradictions.md §2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from countermark_protocol.accounts import Account, parse_account, verify_account
from countermark_protocol.answers import LoggedStatement, parse_logged_statement
from countermark_protocol.boxes import Row, Tail, verify_row
from countermark_protocol.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from countermark_protocol.claims import Claims
from countermark_protocol.cosignature import verify_cosignature
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document, statement_hash, verify_document
from countermark_protocol.encoding import parse_object
from countermark_protocol.errors import ProofError
from countermark_protocol.identifiers import Origin, parse_origin
from countermark_protocol.judging import judge_statement
from countermark_protocol.leaf import NO_DELIVERY, Leaf, parse_leaf
from countermark_protocol.merkle import leaf_hash
from countermark_protocol.proof import Inclusion, verify_leaf
from countermark_protocol.proof_pieces import parse_proof_piece
from countermark_protocol.statements import kind_of, verify_statement
from countermark_protocol.tlog_policy import Quorum, check_quorum
from countermark_protocol.tree_views import TreeView, view_of_path, view_of_root
from countermark_protocol.witnesses import keys_of_witness, quorum_policy

#: Directory statements in one file.
MAX_STATEMENTS: Final = 100_000


def not_shown(why: str) -> NoReturn:
    """Refuse pieces that show nothing, or not that.

    Raises:
        ProofError: ``not_contradictory``.
    """
    raise ProofError("not_contradictory", f"these bytes convict nobody: {why}")


def demand(holds: bool, otherwise: str) -> None:
    """Refuse pieces that do not fit each other.

    Raises:
        ProofError: ``not_contradictory``.
    """
    if not holds:
        not_shown(otherwise)


@dataclass(frozen=True, slots=True)
class ShownEntry:
    """A leaf in a signed tree, with what is opened of its deliveries.

    Attributes:
        inclusion: of the leaf.
        leaf: parsed.
        checkpoint: of the tree.
        row: one delivery of it, or None.
        tail: of that row, opened, or None.
    """

    inclusion: Inclusion
    leaf: Leaf
    checkpoint: Checkpoint
    row: Row | None
    tail: Tail | None

    @property
    def index(self) -> int:
        """Index of the entry."""
        return self.inclusion.index

    @property
    def view(self) -> TreeView:
        """What it shows of its tree."""
        return view_of_path(
            leaf_hash(self.inclusion.leaf),
            self.index,
            self.checkpoint.size,
            self.inclusion.path,
            self.checkpoint.root,
        )


def fold_statements(
    statements: Sequence[LoggedStatement], origin: Origin, below: int | None = None
) -> Directory:
    """Fold directory statements, each judged, and each leaf as the fold says it must be.

    Args:
        statements: in the order of the log.
        origin: of the log.
        below: index from which on they are left out; None for all.

    Raises:
        ProofError: ``not_contradictory``: they are not the directory of any log.
        CountermarkError: one should have been refused.
    """
    out, last = Directory(), -1
    for shown in statements:
        if below is not None and shown.index >= below:
            break
        leaf, document = parse_leaf(shown.leaf), verify_statement(out, parse_document(shown.document))
        judged = judge_statement(out, document, leaf.time)
        out.apply(judged, document, shown.index, leaf.time)
        stated = (leaf.kind, leaf.statement, leaf.delivery, leaf.dir_head, leaf.dir_count)
        folded = (int(judged.header.kind), document.statement_hash, NO_DELIVERY, out.head, out.count)
        demand(
            stated == folded and judged.header.log == origin and shown.index > last,
            "the directory shown is not one",
        )
        last = shown.index
    return out


class Shown:
    """What follows from a log's directory statements and further pieces.

    Args:
        statements: of the directory, from the founding on.

    Attributes:
        founding: its payload hash, 32 bytes: what people compare.
        origin: of the log.
        statements: as given, and those taken since.
        directory: after all of them.

    Raises:
        CountermarkError: they are not the directory of any log.
    """

    def __init__(self, statements: Sequence[LoggedStatement]) -> None:
        demand(bool(statements), "no founding is shown")
        founding = parse_document(statements[0].document)
        self.founding = founding.payload_hash
        self.origin = parse_origin(founding.claims.get("log"), "'log' of the founding")
        self.statements = tuple(statements)
        self.directory = fold_statements(self.statements, self.origin)
        self._checkpoints: dict[bytes, Checkpoint] = {}

    def extend(self, unread: bytes) -> None:
        """Take further directory statements, which only `committed` uses: they need not be right."""
        claims = Claims(parse_object(unread, "statements"), "statements")
        more = [parse_logged_statement(s) for s in claims.items("statements", 0, MAX_STATEMENTS)]
        claims.done()
        self.statements += tuple(more)

    def before(self, index: int) -> Directory:
        """The directory after all statements below an index."""
        return fold_statements(self.statements, self.origin, index)

    def committed(self, index: int, leaf: Leaf) -> Directory:
        """The directory by which an entry was to be judged: the one that the log itself has committed to."""
        directory = self.before(index)
        demand(
            (leaf.dir_head, leaf.dir_count) == (directory.head, directory.count),
            "this is not the directory that the leaf commits to",
        )
        return directory

    def checkpoint(self, raw: bytes) -> Checkpoint:
        """A checkpoint that the log signed, and nobody else but witnesses that its record names."""
        known = self._checkpoints.get(raw)
        if known is not None:
            return known
        unverified = parse_checkpoint(raw)
        key = self.directory.log_key_for(unverified.size)
        checkpoint = verify_checkpoint(unverified, self.directory.origin_for(unverified.size), key.raw)
        keys = [key for one in self.directory.log().witnesses for key in keys_of_witness(one)]
        for line in checkpoint.cosignatures:
            fitting = [key for key in keys if key.matches(line)]
            demand(bool(fitting), "a signature by nobody that the log's record names")
            verify_cosignature(checkpoint, fitting[0], line)
        self._checkpoints[raw] = checkpoint
        return checkpoint

    def witnessed(self, checkpoint: Checkpoint) -> Quorum:
        """When a quorum of the witnesses that the log's record names had seen a tree, and no larger one.

        Raises:
            SignatureError: ``quorum_not_met``.
        """
        policy, log_keys = quorum_policy(self.directory)
        quorum = check_quorum(policy, checkpoint, log_keys)
        demand(quorum.current_at is not None, "the log names no witnesses")
        return quorum

    def entry(self, proof: bytes, document: bytes | None = None) -> ShownEntry:
        """An entry of a tree that the log signed, with what is opened of its deliveries.

        Args:
            proof: leaf, path and checkpoint, with a delivery opened or a row shown, if any.
            document: the signed document that the entry is; None where the leaf will do. Its signatures are not
                looked at.
        """
        piece = parse_proof_piece(proof)
        checkpoint, inclusion, own = self.checkpoint(piece.checkpoint), piece.inclusion, piece.delivery
        leaf = parse_leaf(inclusion.leaf)
        kind, statement = leaf.kind, leaf.statement
        if document is not None:
            kind, statement = int(kind_of(parse_document(document).claims)), statement_hash(document)
        verify_leaf(inclusion, checkpoint, kind, statement)
        if own is not None:
            verify_row(own.row, own.at, leaf.delivery)
            demand(own.tail.digest(inclusion.index, leaf.statement) == own.row.tail, "another tail")
            return ShownEntry(inclusion, leaf, checkpoint, own.row, own.tail)
        if piece.delivered is not None:
            verify_row(piece.delivered.row, piece.delivered.at, leaf.delivery)
            return ShownEntry(inclusion, leaf, checkpoint, piece.delivered.row, None)
        return ShownEntry(inclusion, leaf, checkpoint, None, None)

    def tree(self, piece: bytes) -> TreeView:
        """What a checkpoint, or a proof, shows of a tree that the log signed."""
        if piece.startswith(b"{"):
            return self.entry(piece).view
        checkpoint = self.checkpoint(piece)
        return view_of_root(checkpoint.size, checkpoint.root)

    def account(self, data: bytes) -> Account:
        """An account that a node of the broker signed, to whatever question."""
        document = verify_document(parse_document(data), self.directory.public_key)
        return verify_account(document, self.directory, parse_account(document.claims).request)
