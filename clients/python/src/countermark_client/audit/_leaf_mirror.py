"""Leaves from a mirror of the log, by whoever runs it: the same checks, since nothing of it is believed.

What it serves must lead to the root of the log's own checkpoint. What it lacks, or serves wrongly, is read from the
log. Beside, its checkpoint is held against the log's: two that the log signed, and of which none continues the other,
are a fork, whoever shows them.

Source: C2SP tlog-mirror; docs/spec/witness.md §7.9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from countermark_protocol.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from countermark_protocol.directory import Directory
from countermark_protocol.errors import CountermarkError, NotFoundError, TransportError
from countermark_protocol.tile_reader import Fetch, VerifiedTiles


@dataclass(slots=True)
class LeafMirror:
    """A mirror of the log's leaves, for one run.

    Attributes:
        ask: gets what it serves at a path below its prefix (`HttpTiles.fetch`); unverified.
        bundles: how many bundles of entries came from it.
        remarks: what people should know about it; none of it is a finding about the log.
    """

    ask: Fetch
    bundles: int = 0
    remarks: list[str] = field(default_factory=list)
    _away: bool = False

    def before(self, log: Fetch) -> Fetch:
        """Asks the mirror first, and the log for what it lacks; a mirror that is away once is asked no more."""

        def fetch(path: str) -> bytes:
            if self._away:
                return log(path)
            try:
                data = self.ask(path)
            except NotFoundError:
                return log(path)
            except TransportError as error:
                self._away = True
                self.remarks.append(
                    f"the mirror of leaves did not answer ({error.code}): the log was read instead"
                )
                return log(path)
            self.bundles += path.startswith("tile/entries/")
            return data

        return fetch

    def spoilt(self, error: CountermarkError) -> None:
        """Note that it served what is not the log's."""
        self.remarks.append(
            f"the mirror of leaves serves what the log did not sign ({error.code}): it was read from the log instead; "
            "tell who runs the mirror"
        )

    def fork(
        self, checkpoint: Checkpoint, directory: Directory, root: Callable[[int], bytes | None]
    ) -> tuple[Checkpoint, bytes] | None:
        """Hold its checkpoint against the log's.

        Args:
            checkpoint: of the log, verified; all leaves below it are held.
            directory: as of it.
            root: gives the root of the first leaves.

        Returns:
            None, or its checkpoint and the root that the log's leaves give at the smaller of both sizes: a fork.
        """
        if self._away:
            return None
        try:
            parsed = parse_checkpoint(self.ask("checkpoint"))
            key = directory.log_key_for(parsed.size)
            theirs = verify_checkpoint(parsed, directory.origin_for(parsed.size), key.raw)
            common = min(theirs.size, checkpoint.size)
            expected = root(common) or b""
            if theirs.size <= checkpoint.size:
                return None if theirs.root == expected else (theirs, expected)
            if VerifiedTiles(self.ask, theirs).frontier_at(common).root() != expected:
                return theirs, expected
        except CountermarkError as error:
            self.remarks.append(f"the checkpoint of the mirror of leaves could not be compared: {error}")
            return None
        self.remarks.append(
            f"the mirror of leaves holds {theirs.size} entries that the log signed, the log shows {checkpoint.size}: a "
            "node that lags behind, or a log that was rolled back; run this again"
        )
        return None
