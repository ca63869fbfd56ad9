"""The log goes on under its next name: what a participant demands before it follows, and what it keeps.

The whole directory is read anew. It must say, by the governors' quorum, that the successor begins with leaves that
this participant knows to be the log's; then everything from there on is the successor's. Whoever saw more keeps the
proof of what is lost, and takes its own boxes back to that size.

Source: docs/spec/log.md §10.4; docs/adr/0017.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from countermark_client._continuity import continues
from countermark_client._io import Flow
from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.claims import Seen
from countermark_protocol.errors import InconsistentLogError, SignatureError
from countermark_protocol.identifiers import Origin
from countermark_protocol.succession import Predecessor

if TYPE_CHECKING:
    from countermark_client._log import LogView


def succeed(view: LogView, name: str) -> Flow[Checkpoint]:
    """Read the log under the name that it has now, and follow it there.

    Args:
        view: of the log under its name until now.
        name: that the broker states in its newest checkpoint.

    Raises:
        SignatureError: ``checkpoint_origin``: no quorum of governors has given the log that name.
        InconsistentLogError: ``checkpoint_fork``: the successor does not begin with leaves of this log.
    """
    store, before, old = view.store, view.checkpoint, view.directory.origin()
    if view.session.profile.log == name != old:
        # Another client over this profile followed it meanwhile: what is logged since then is not lost.
        view.load()
        return (yield from view.sync())
    kept = store.directory()
    read, page = yield from view.read_anew()
    names = view.directory.names()
    if name not in names or old not in names or names.index(Origin(name)) <= names.index(old):
        raise SignatureError(
            "checkpoint_origin",
            f"expected a checkpoint of the log '{old}' or of its successor, got '{name[:64]}'",
        )
    checkpoint = view.verify_checkpoint(page.checkpoint)
    view.check_last(page.last, checkpoint)
    found = view.directory.succession(names[names.index(old) + 1])
    assert found is not None
    at, predecessor = found
    document = next(data for index, _, data in read if index == at)
    yield from _check_begins(view, predecessor, checkpoint, kept, read, document)
    seen = before.size if before is not None else 0
    lost = store.lost_proofs(at)
    why = f"the log '{old}' was closed at size {at}; what was logged beyond it, or was made for it, is not in '{name}'"
    if before is not None and seen > at:
        error = InconsistentLogError(
            "log_succeeded",
            f"'{old}' had at least {seen} entries, its successor goes on from {at}: {seen - at} or more are lost",
            before.raw,
            document,
            *lost,
        )
        view.keep_evidence(error)
    with store.transaction():
        view.forget_checkpoint()
        store.take_back(at, why)
        view.keep_read(0, read, checkpoint)
    return checkpoint


def _check_begins(
    view: LogView,
    predecessor: Predecessor,
    checkpoint: Checkpoint,
    kept: list[tuple[int, bytes, bytes]],
    read: list[tuple[int, bytes, bytes]],
    succession: bytes,
) -> Flow[None]:
    """Demand that the successor begins with leaves of the log that is known here, as far as is known."""
    size = predecessor.size
    known = view.store.newest_root(size)
    trees = [Seen(size, predecessor.root)]
    if known is not None and known.size:
        trees.append(known)
    here, there = ([one for one in statements if one[0] < size] for statements in (kept, read))
    saw_less = view.checkpoint is not None and view.checkpoint.size < size
    same = here == (there[: len(here)] if saw_less else there)
    for tree in trees:
        same = same and (yield from continues(view.session, tree, checkpoint))
    if not same:
        before = view.checkpoint
        raise InconsistentLogError(
            "checkpoint_fork",
            f"the log that calls itself '{checkpoint.origin}' does not begin with the {size} leaves that it says",
            *((before.raw,) if before is not None else ()),
            checkpoint.raw,
            succession,
        )
