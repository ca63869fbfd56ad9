"""Making evidence: which paths of the directory a file must show, found by running its own checks over the whole.

The checks ask a directory what it held for a subject after a leaf. Run over a whole directory, each question is
noted; the few paths that answer all of them, and the statements at their ends, are what the file shows.

Source: docs/spec/evidence.md §2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from countermark_protocol.directory import Directory
from countermark_protocol.evidence import Evidence
from countermark_protocol.evidence_checks import check_statements, exact_leaves
from countermark_protocol.evidence_directory import name_at
from countermark_protocol.proof import Inclusion
from countermark_protocol.shown_planning import LoggedStatement, Plan, plan_shown, shown_by


def plan_evidence(
    draft: Evidence, whole: Directory, documents: Mapping[bytes, bytes], sizes: Sequence[int]
) -> Plan:
    """Find what must be shown.

    Args:
        draft: evidence without leaves, directory statements and facts.
        whole: the whole directory.
        documents: every directory statement by its hash.
        sizes: of the checkpoints, the newest last.

    Raises:
        CountermarkError: the draft would not verify.
    """
    newest = sizes[-1] - 1

    def ask(directory: Directory) -> None:
        check_statements(directory, draft)
        directory.log()
        for size in sizes:
            directory.log_key_for(size)
            name_at(directory, draft.log, draft.founding, max(size - 1, 0))

    return plan_shown(whole, documents, newest, exact_leaves(draft, newest), ask)


def complete_evidence(
    draft: Evidence, plan: Plan, history: Sequence[LoggedStatement], leaves: Mapping[int, Inclusion]
) -> Evidence:
    """Add to a draft what its plan demands.

    Args:
        draft: evidence without leaves, directory statements and facts.
        plan: from `plan_evidence`.
        history: every directory statement, in log order.
        leaves: the leaves of the plan, with their paths.

    Raises:
        ProofError: ``evidence_incomplete``: a leaf of the plan is not given.
    """
    shown = shown_by(plan, history, leaves)
    return replace(draft, leaves=shown.leaves, statements=shown.statements, facts=shown.facts)
