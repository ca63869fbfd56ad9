"""What judging by replay and judging by boxes have in common: what they stand on, and the state that they keep.

Source: docs/spec/log.md §6, docs/spec/audit.md §1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from countermark_client.audit._derived import Derived
from countermark_client.audit._findings import Findings
from countermark_client.audit._leaves import Tree
from countermark_client.audit._mirror import Mirror
from countermark_client.audit._signatures import Signatures
from countermark_client.audit._state import StoredState
from countermark_protocol.directory import Directory
from countermark_protocol.identifiers import KeyId, Origin
from countermark_protocol.keys import PublicKey


@dataclass(frozen=True, slots=True)
class Basis:
    """What entries are judged on.

    Attributes:
        mirror: its derived tables, judged up to `verified`; its boxes, read as far as is to be judged.
        documents: the mirror that holds documents, and rows as shown.
        tree: over the log's leaves.
        origin: of the log.
        keys: every key that any statement ever named.
        directory: folded up to `verified`; changed.
        verified: below it everything is judged.
        findings: where what is wrong is taken down.
        signatures: verifies them.
        keeps_bytes: see `Derived`.
    """

    mirror: Mirror
    documents: Mirror
    tree: Tree
    origin: Origin
    keys: Callable[[KeyId], PublicKey | None]
    directory: Directory
    verified: int
    findings: Findings
    signatures: Signatures
    keeps_bytes: bool = True


class Decider:
    """Judges entries in the order of the log, each by the state after the one before."""

    def __init__(self, basis: Basis) -> None:
        self._mirror = basis.mirror
        self._documents = basis.documents
        self._tree = basis.tree
        self._keys = basis.keys
        self._findings = basis.findings
        self._signatures = basis.signatures
        self._derived = Derived(basis.mirror, keeps_bytes=basis.keeps_bytes)
        self._stored = StoredState(basis.mirror, basis.tree, basis.origin, basis.directory, basis.verified)
        self._state = self._stored.log
