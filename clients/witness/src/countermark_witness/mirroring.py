"""A mirror at work: fetches what the witness has cosigned, verifies it, keeps it, and only then cosigns as mirror.

The witness's checkpoint is the mirror's *pending* one: consistent with all before it, and signed by the log. Bundle by
bundle comes under its root or is not kept. The mirror's own cosignature says that all of it is on this disk and served;
its time is that at which the witness saw nothing larger, never that of the fetching.

Source: C2SP tlog-mirror; docs/spec/witness.md §7.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Final, Protocol

from countermark_protocol.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from countermark_protocol.cosignature import TIME_BYTES, Cosigner
from countermark_protocol.errors import (
    CountermarkError,
    MalformedError,
    NotFoundError,
    ProofError,
    TransportError,
)
from countermark_protocol.note import parse_note
from countermark_protocol.tile_reader import Fetch, VerifiedTiles
from countermark_protocol.tiles import TILE_WIDTH
from countermark_protocol.tlog_witness import add_cosignatures
from countermark_witness.errors import WitnessError
from countermark_witness.judge import Held, key_for
from countermark_witness.mirror_store import Kept, MirrorStore
from countermark_witness.service import now_s
from countermark_witness.store import Store

_log = logging.getLogger("countermark_witness")

#: Bundles of one log that are fetched before it is looked whether to stop.
AT_ONCE: Final = 16
#: s between two looks where nothing wakes the mirror; and after a failure, so that nobody is hammered.
LOOK_S: Final = 10.0
#: s after which a mirror that waits sees that a log was moved.
REST_S: Final = 1.0


class Step(Enum):
    """What a step came to."""

    #: More is to be fetched at once.
    GOES_ON = auto()
    #: All that the witness cosigned is held and cosigned.
    DONE = auto()
    #: Try again later: it was logged why.
    WAITS = auto()


class Reader(Protocol):
    """What a log serves (`log_reader.LogReader`)."""

    def fetch(self, path: str) -> bytes:
        """What is served at a path, unverified."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class Mirror:
    """Follows logs, one step at a time.

    Args:
        witness: what it has cosigned is what is mirrored.
        store: of the mirror.
        cosigners: the mirror's own keys, apart from the witness's.
        clock: s since 1970; of evidence.
    """

    def __init__(
        self,
        witness: Store,
        store: MirrorStore,
        cosigners: Sequence[Cosigner],
        clock: Callable[[], int] = now_s,
    ) -> None:
        self._witness = witness
        self._store = store
        self._cosigners = tuple(cosigners)
        self._clock = clock

    def step(self, origin: str, fetch: Fetch) -> Step:
        """Fetch and keep a few bundles of a log, or cosign what is held. Blocks.

        Args:
            origin: of a log that is mirrored.
            fetch: what it serves.

        Returns:
            Whether there is more to do. Of what the log or the disk is to blame for, nothing is raised.
        """
        recorded: dict[str, bytes] = {}

        def record(path: str) -> bytes:
            recorded[path] = fetch(path)
            return recorded[path]

        try:
            return self._follow(origin, record, recorded)
        except (ProofError, MalformedError) as error:
            self._lied(origin, error, recorded)
        except (NotFoundError, TransportError) as error:
            _log.warning("the log %r is not mirrored further now: %s", origin[:64], error)
        except CountermarkError as error:
            _log.error("the log %r is not mirrored further: %s", origin[:64], error)
        return Step.WAITS

    def _follow(self, origin: str, fetch: Fetch, recorded: dict[str, bytes]) -> Step:
        kept = self._store.log(origin)
        pending = self._pending(origin)
        if kept is None or pending is None or pending[0].size < max(kept.size, 1):
            return Step.DONE
        checkpoint, held = pending
        if kept.size == checkpoint.size and self._stated(kept) == {held.time}:
            return Step.DONE
        size = kept.held
        if size < checkpoint.size:
            tiles = VerifiedTiles(fetch, checkpoint)
            for _ in range(AT_ONCE):
                size = self._store.add(origin, size, tiles.bundle(size // TILE_WIDTH))
                recorded.clear()
                if size >= checkpoint.size:
                    break
            else:
                return Step.GOES_ON
        self._cosign(kept, checkpoint, held)
        return Step.DONE

    def _pending(self, origin: str) -> tuple[Checkpoint, Held] | None:
        """What the witness cosigned last, verified again."""
        log = self._witness.log(origin)
        if log is None or log.held is None:
            return None
        key = key_for(log.keys, log.held.size)
        parsed = parse_checkpoint(log.held.checkpoint)
        return verify_checkpoint(parsed, origin, key.public_key.raw), log.held

    def _stated(self, kept: Kept) -> set[int]:
        """Times that the mirror's own lines on its checkpoint state, s since 1970; one if every key cosigned it."""
        lines = parse_note(kept.note).signatures if kept.note is not None else ()
        own = [next((line for line in lines if c.key.matches(line)), None) for c in self._cosigners]
        return {int.from_bytes(line.signature[:TIME_BYTES], "big") if line is not None else 0 for line in own}

    def _cosign(self, kept: Kept, checkpoint: Checkpoint, held: Held) -> None:
        root = self._store.root(kept.origin, checkpoint.size)
        if root != checkpoint.root:
            raise WitnessError(
                "mirror_damaged",
                f"what the mirror holds of {kept.origin[:64]!r} does not give the root of size {checkpoint.size}: "
                "its disk lost or changed something",
            )
        lines = tuple(c.cosign(checkpoint, held.time) for c in self._cosigners)
        self._store.publish(kept.origin, checkpoint.size, add_cosignatures(held.checkpoint, lines))
        if checkpoint.size > kept.size:
            _log.info("mirrored size %d of the log %r", checkpoint.size, kept.origin[:64])

    def _lied(self, origin: str, error: CountermarkError, served: dict[str, bytes]) -> None:
        _log.critical("what the log %r serves is not under the root that it signed: %s", origin[:64], error)
        log = self._witness.log(origin)
        if log is None or log.held is None or not served:
            return
        try:
            self._store.keep(origin, str(error), log.held.checkpoint, served, self._clock())
        except WitnessError as failed:
            _log.error("evidence could not be kept: %s", failed)


class Mirroring:
    """Keeps a thread for each log that is mirrored, so that none waits for another.

    Args:
        mirror: that follows them.
        store: tells which they are; others may be added meanwhile.
        connect: makes a reader of a log.
    """

    def __init__(self, mirror: Mirror, store: MirrorStore, connect: Callable[[Kept], Reader]) -> None:
        self._mirror = mirror
        self._store = store
        self._connect = connect
        self._stopped = threading.Event()
        self._changed = threading.Condition()
        self._turn = 0
        self._threads: dict[str, threading.Thread] = {}
        self._watch = threading.Thread(target=self._watching, name="mirroring", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._watch.start()

    def wake(self) -> None:
        """Look at once: the witness has cosigned something."""
        with self._changed:
            self._turn += 1
            self._changed.notify_all()

    def stop(self) -> None:
        """End; returns when what is under way is kept or dropped."""
        self._stopped.set()
        self.wake()
        self._watch.join()
        for thread in self._threads.values():
            thread.join()

    def _wait(self, seen: int) -> None:
        with self._changed:
            if self._turn == seen and not self._stopped.is_set():
                self._changed.wait(LOOK_S)

    def _rest(self, kept: Kept) -> None:
        """Wait after a failure; no longer once the log is said to be at another place."""
        for _ in range(round(LOOK_S / REST_S)):
            if self._stopped.wait(REST_S):
                return
            with contextlib.suppress(WitnessError):
                if _is_moved(kept, self._store.log(kept.origin)):
                    return

    def _watching(self) -> None:
        while not self._stopped.is_set():
            turn = self._turn
            try:
                for kept in self._store.logs():
                    if kept.origin not in self._threads:
                        name = f"mirror of {kept.origin[:40]}"
                        thread = threading.Thread(
                            target=self._following, args=(kept,), name=name, daemon=True
                        )
                        self._threads[kept.origin] = thread
                        thread.start()
            except WitnessError as error:
                _log.error("%s", error)
            self._wait(turn)

    def _following(self, kept: Kept) -> None:
        """Follow one log, until it is to stop; at another place, if the log is moved."""
        reader: Reader | None = None
        while not self._stopped.is_set():
            # What is cosigned from here on wakes it again.
            turn = self._turn
            step = Step.WAITS
            try:
                now = self._store.log(kept.origin) or kept
                if reader is not None and _is_moved(kept, now):
                    reader.close()
                    reader = None
                kept, reader = now, reader or self._connect(now)
                step = self._mirror.step(kept.origin, reader.fetch)
            except (WitnessError, OSError) as error:
                # Of OSError: the file of certificates that people gave is not there.
                _log.error("the log %r is not mirrored further: %s", kept.origin[:64], error)
            if step is Step.DONE:
                self._wait(turn)
            elif step is Step.WAITS:
                self._rest(kept)
        if reader is not None:
            reader.close()


def _is_moved(before: Kept, now: Kept | None) -> bool:
    return now is not None and (now.url, now.ca_file) != (before.url, before.ca_file)
