"""What a third party works out from bytes: keys and their standing, signed trees, entries, accounts.

It begins with the founding, whose fingerprint it has, and believes no party.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from countermark_protocol.accounts import (
    Account,
    parse_account,
    verify_account,
)
from countermark_protocol.answers import parse_checkpoint_text
from countermark_protocol.boxes import Row, Tail, delivery_root, verify_row
from countermark_protocol.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from countermark_protocol.claims import Claims
from countermark_protocol.cosignature import verify_cosignature
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document, statement_hash, verify_document
from countermark_protocol.encoding import parse_base64url, parse_object
from countermark_protocol.identifiers import Origin
from countermark_protocol.judging import judge_statement
from countermark_protocol.keys import fingerprint
from countermark_protocol.leaf import NO_DELIVERY, Leaf, parse_leaf
from countermark_protocol.merkle import leaf_hash, node_hash, verify_inclusion
from countermark_protocol.proof import Inclusion, parse_inclusion, parse_own_delivery, parse_row, verify_leaf
from countermark_protocol.statements import kind_of, verify_statement
from countermark_protocol.tlog_policy import Quorum, check_quorum
from countermark_protocol.witnesses import keys_of_witness, quorum_policy
from malicious_broker.evidence import Logged


class NotConvincedError(Exception):
    """The bytes prove nothing."""


@dataclass(frozen=True)
class Entry:
    """A statement proven to be an entry; its signatures are not checked by being here."""

    index: int
    leaf: Leaf
    document: bytes
    checkpoint: Checkpoint
    row: Row | None
    tail: Tail | None
    rows: tuple[Row, ...]


class Court:
    """What follows from the founding and the directory statements shown."""

    def __init__(self, directory: Sequence[Logged], trust_root: str) -> None:
        self.history = directory
        founding = parse_document(directory[0][2]) if directory else None
        if founding is None or fingerprint(founding.payload_hash) != trust_root:
            raise NotConvincedError("another founding")
        self.origin = Origin(str(founding.claims["log"]))
        self.directory = self.before(None)

    def extend(self, unread: bytes) -> None:
        """Take further directory statements."""
        claims = Claims(parse_object(unread, "statements"), "statements")
        for one in claims.items("statements", 0, 1000):
            inner = Claims(one, "statement")
            data = (parse_base64url(inner.raw(name), name, limit=10**7) for name in ("leaf", "document"))
            self.history = [*self.history, (inner.integer("index"), *data)]
            inner.done()
        claims.done()

    def before(self, index: int | None) -> Directory:
        """The directory after all statements shown below an index, each judged; all of them if None."""
        out, last = Directory(), -1
        for at, data, statement in self.history:
            if index is not None and at >= index:
                break
            leaf, document = parse_leaf(data), verify_statement(out, parse_document(statement))
            judged = judge_statement(out, document, leaf.time)
            out.apply(judged, document, at, leaf.time)
            fits = (leaf.kind, leaf.statement, leaf.delivery, leaf.dir_head, leaf.dir_count) == (
                int(judged.header.kind),
                document.statement_hash,
                NO_DELIVERY,
                out.head,
                out.count,
            )
            if not fits or judged.header.log != self.origin or at <= last:
                raise NotConvincedError("the directory shown is not one")
            last = at
        return out

    def committed(self, index: int, leaf: Leaf) -> Directory:
        """The directory by which an entry was to be judged: the one that the log itself has committed to."""
        directory = self.before(index)
        if (leaf.dir_head, leaf.dir_count) != (directory.head, directory.count):
            raise NotConvincedError("this is not the directory that the leaf commits to")
        return directory

    def checkpoint(self, raw: bytes) -> Checkpoint:
        """A checkpoint that the log signed, and nobody else."""
        unverified = parse_checkpoint(raw)
        checkpoint = verify_checkpoint(
            unverified, self.origin, self.directory.log_key_for(unverified.size).raw
        )
        known = [key for one in self.directory.log().witnesses for key in keys_of_witness(one)]
        for line in checkpoint.cosignatures:
            keys = [key for key in known if key.matches(line)]
            if not keys:
                raise NotConvincedError("a signature by nobody that the log's record names")
            verify_cosignature(checkpoint, keys[0], line)
        return checkpoint

    def witnessed(self, checkpoint: Checkpoint) -> Quorum:
        """When a quorum of the witnesses that the log's record names had seen a tree, and no larger one."""
        policy, log_keys = quorum_policy(self.directory)
        quorum = check_quorum(policy, checkpoint, log_keys)
        if quorum.current_at is None:
            raise NotConvincedError("the log names no witnesses")
        return quorum

    def leaf(self, proof: bytes) -> tuple[Inclusion, Checkpoint]:
        """A leaf in a tree that the log signed."""
        claims = Claims(parse_object(proof, "proof"), "proof")
        checkpoint = self.checkpoint(claims.parsed("checkpoint", parse_checkpoint_text))
        inclusion = claims.parsed("inclusion", parse_inclusion)
        claims.done()
        if not 0 <= inclusion.index < checkpoint.size:
            raise NotConvincedError("beyond the checkpoint")
        verify_inclusion(
            leaf_hash(inclusion.leaf),
            inclusion.index,
            checkpoint.size,
            list(inclusion.path),
            checkpoint.root,
        )
        return inclusion, checkpoint

    def entry(self, document: bytes, proof: bytes) -> Entry:
        """A statement in a tree that the log signed, with what is opened of its deliveries."""
        claims = Claims(parse_object(proof, "proof"), "proof")
        checkpoint = self.checkpoint(claims.parsed("checkpoint", parse_checkpoint_text))
        inclusion = claims.parsed("inclusion", parse_inclusion)
        own = claims.optional("delivery", parse_own_delivery)
        rows = tuple(parse_row(r) for r in claims.items("rows", 1, 1002)) if claims.has("rows") else ()
        claims.done()
        kind = int(kind_of(parse_document(document).claims))
        leaf = verify_leaf(inclusion, checkpoint, kind, statement_hash(document))
        if own is not None:
            verify_row(own.row, own.at, leaf.delivery)
            if own.tail.digest(inclusion.index, leaf.statement) != own.row.tail:
                raise NotConvincedError("the tail is not that of the row")
        if rows and delivery_root(rows) != leaf.delivery:
            raise NotConvincedError("the rows are not those of the leaf")
        row, tail = (own.row, own.tail) if own is not None else (None, None)
        return Entry(inclusion.index, leaf, document, checkpoint, row, tail, rows)

    def account(self, data: bytes) -> Account:
        """An account that a node of the broker signed, to whatever question."""
        document = verify_document(parse_document(data), self.directory.public_key)
        stated = parse_account(document.claims)
        return verify_account(document, self.directory, self.origin, stated.request)

    def root_below(self, proof: bytes, size: int, checkpoint: Checkpoint) -> bytes:
        """The root that a signed tree had at a smaller size, by the path of the last leaf below that size."""
        inclusion, under = self.leaf(proof)
        if under.raw != checkpoint.raw or inclusion.index != size - 1:
            raise NotConvincedError("the path of another leaf")
        root, number, last = leaf_hash(inclusion.leaf), size - 1, under.size - 1
        for sibling in inclusion.path:
            if number & 1 or number == last:
                root = node_hash(sibling, root)
                while not (number & 1 or number == 0):
                    number, last = number >> 1, last >> 1
            number, last = number >> 1, last >> 1
        return root
