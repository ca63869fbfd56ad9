"""Whether a logged purge was right, as far as its message is known; and what is told of one.

Source: docs/spec/audit.md §4.
"""

from __future__ import annotations

from countermark_client._models import Purged
from countermark_client._store import StoredPurge
from countermark_protocol.acts import Purge, PurgeGround
from countermark_protocol.directory import Directory
from countermark_protocol.errors import InconsistentLogError
from countermark_protocol.identifiers import Address
from countermark_protocol.leaf import Leaf
from countermark_protocol.manifest import Manifest


def check_purge_rules(
    directory: Directory, purge: Purge, manifest: Manifest | None, index: int, leaf: Leaf, *evidence: bytes
) -> None:
    """Check a logged purge by the rules of its leaf, as far as its message is known here.

    Args:
        directory: folded at least up to the leaf.
        purge: proven, its signatures verified.
        manifest: of the message; None if it is not held here.
        index: of the purge's entry.
        leaf: its own.
        evidence: what shows it.

    Raises:
        InconsistentLogError: ``decision_against_rules``: it should have been refused.
    """
    by_broker = purge.author == directory.log(index).broker
    rule = ""
    if manifest is not None and not by_broker and purge.author != manifest.sender:
        rule = "not_originator"
    elif purge.ground is not (PurgeGround.RETENTION_ENDED if by_broker else PurgeGround.WITHDRAWN):
        rule = "purge_ground"
    elif manifest is not None and by_broker and leaf.time < manifest.handling.retention_until:
        rule = "retention_running"
    if rule:
        raise InconsistentLogError(
            "decision_against_rules",
            f"entry {index} purges message {purge.message.hex()} and should have been refused ({rule})",
            leaf.encode(),
            *evidence,
            rule=rule,
        )


def purged_of(stored: StoredPurge | None) -> Purged | None:
    """What is told of a kept purge."""
    if stored is None:
        return None
    return Purged(stored.index, stored.time, Address(stored.author), PurgeGround(stored.ground))
