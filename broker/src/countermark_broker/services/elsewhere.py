"""What others hold of this log: checkpoints of its witnesses and mirrors, and leaves from the mirrors.

Asked when this database may lack what was published. A checkpoint counts by the log's own signature, a leaf by leading
to it; who shows them does not matter.

Source: docs/spec/witness.md §5.6, §7; docs/spec/export.md §6.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from countermark_broker.errors import FatalError
from countermark_broker.services.node import Node
from countermark_protocol.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from countermark_protocol.directory import Directory
from countermark_protocol.errors import CountermarkError, NotFoundError, SignatureError, TransportError
from countermark_protocol.leaf import LEAF_BYTES
from countermark_protocol.tile_reader import Fetch, VerifiedTiles
from countermark_protocol.tlog_witness import monitoring_path

if TYPE_CHECKING:
    import httpx

#: s to connect, and to wait for the next bytes; s that one answer may take in all.
_TIMEOUT_S: Final = 10.0
_DEADLINE_S: Final = 60.0
#: A checkpoint is the largest of what is asked for; a bundle of leaves has 29,952 bytes.
_MAX_ANSWER: Final = 1_000_000
_OK: Final = 200
#: What to do about two histories that one log key signed.
TWO_HISTORIES: Final = (
    "keep both: they prove that the log key signed two histories. Nothing was written; tell the governors "
    "(docs/operations/running-a-broker.md §7)"
)
_GONE: Final = frozenset({404, 410})


@dataclass(frozen=True, slots=True)
class Heard:
    """What one of them said.

    Attributes:
        source: who, for people.
        checkpoint: that the log signed; None if there was none.
        problem: why not, for people; empty if there was one.
    """

    source: str
    checkpoint: Checkpoint | None
    problem: str = ""


class MirroredLeaves:
    """Leaves from a mirror, each under the root of a checkpoint that the log signed.

    Args:
        source: who, for people.
        checkpoint: that they are under.
        first: index of the first.
        data: one after the other, up to the checkpoint's size.
    """

    def __init__(self, source: str, checkpoint: Checkpoint, first: int, data: bytes) -> None:
        self.source = source
        self.checkpoint = checkpoint
        self._first = first
        self._data = data

    def leaf(self, index: int) -> bytes | None:
        """The leaf at an index; None outside of what was read."""
        at = (index - self._first) * LEAF_BYTES
        return self._data[at : at + LEAF_BYTES] or None if at >= 0 else None


class Elsewhere:
    """Asks witnesses and mirrors.

    Args:
        node: whose log it is; not running.
        directory: as its database knows it: names the witnesses.
        transport: of httpx, in tests; None for the network.
    """

    def __init__(
        self, node: Node, directory: Directory, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._node = node
        self._directory = directory
        self._transport = transport

    def witnesses(self) -> Iterator[Heard]:
        """What each witness with a URL cosigned last."""
        for witness in self._directory.log().witnesses:
            if witness.url is not None:
                path = monitoring_path(self._node.origin).removeprefix("/")
                with _Reader(witness.url, self._transport) as reader:
                    yield self._heard(f"witness {witness.name}", reader.fetch, path)

    def checkpoints(self, mirrors: Sequence[str]) -> tuple[Heard, ...]:
        """What each witness with a URL, and each mirror, holds; no leaves.

        Args:
            mirrors: prefixes below which they serve the log.
        """
        heard = list(self.witnesses())
        for url in dict.fromkeys(mirrors):
            with _Reader(url, self._transport) as reader:
                heard.append(self._heard(f"mirror {url}", reader.fetch, "checkpoint"))
        return tuple(heard)

    def mirror(
        self, url: str, first: int, root: Callable[[int], bytes]
    ) -> tuple[Heard, MirroredLeaves | None]:
        """The checkpoint of a mirror, and its leaves from an index on; none of a mirror that lies or is away.

        Args:
            url: prefix below which it serves the log.
            first: entries that the database holds.
            root: gives the root of the database's tree at a size.

        Raises:
            FatalError: ``tail_of_fork``: the log signed its checkpoint, and the database is of another history.
        """
        source = f"mirror {url}"
        with _Reader(url, self._transport) as reader:
            heard = self._heard(source, reader.fetch, "checkpoint")
            if heard.checkpoint is None:
                return heard, None
            tiles = VerifiedTiles(reader.fetch, heard.checkpoint)
            try:
                start = min(first, heard.checkpoint.size)
                mirrored = tiles.frontier_at(start).root()
                data = b"".join(leaf for _, leaf in tiles.leaves(start))
            except CountermarkError as error:
                # Its checkpoint stands all the same: the log signed it.
                return Heard(source, heard.checkpoint, f"its leaves cannot be read: {error}"), None
        if mirrored != root(start):
            raise FatalError(
                "tail_of_fork",
                f"{source} is of another history: the log key signed its checkpoint of size {heard.checkpoint.size}, "
                f"whose first {start} leaves are not those of this database",
                TWO_HISTORIES,
            )
        if len(data) != (heard.checkpoint.size - start) * LEAF_BYTES:
            return Heard(source, heard.checkpoint, "what it mirrors are no leaves of a log of messages"), None
        return heard, MirroredLeaves(source, heard.checkpoint, start, data)

    def _heard(self, source: str, fetch: Fetch, path: str) -> Heard:
        try:
            return Heard(source, self._signed(fetch(path)))
        except CountermarkError as error:
            return Heard(source, None, str(error))

    def _signed(self, note: bytes) -> Checkpoint:
        """By the key that the directory names, or one that this node holds: what is lost may have named it."""
        parsed = parse_checkpoint(note)
        keys = [self._directory.log_key_for(parsed.size), *self._node.publisher.own_keys]
        for key in keys[:-1]:
            try:
                return verify_checkpoint(parsed, self._node.origin, key.raw)
            except SignatureError:
                continue
        return verify_checkpoint(parsed, self._node.origin, keys[-1].raw)


class _Reader:
    """Fetches what is served below a prefix, within bounds; nothing of it is believed."""

    def __init__(self, url: str, transport: httpx.BaseTransport | None) -> None:
        import httpx  # noqa: PLC0415  slow to load, and needed here alone

        self._prefix = url.rstrip("/")
        self._httpx = httpx
        self._http = httpx.Client(
            transport=transport, timeout=_TIMEOUT_S, trust_env=False, headers={"Accept-Encoding": "identity"}
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def fetch(self, path: str) -> bytes:
        """What is served at a path.

        Raises:
            NotFoundError: ``tile_not_served``.
            TransportError: ``elsewhere_away``, ``elsewhere_answer``.
        """
        try:
            with self._http.stream("GET", f"{self._prefix}/{path}") as answer:
                if answer.status_code in _GONE:
                    raise NotFoundError("tile_not_served", f"it serves nothing at {path}")
                if (
                    answer.status_code != _OK
                    or answer.headers.get("Content-Encoding", "identity") != "identity"
                ):
                    raise TransportError(
                        "elsewhere_answer", f"it answers {path} with status {answer.status_code}, or coded"
                    )
                began, data = time.monotonic(), bytearray()
                for block in answer.iter_raw():
                    data += block
                    if len(data) > _MAX_ANSWER or time.monotonic() - began > _DEADLINE_S:
                        raise TransportError(
                            "elsewhere_answer", f"its answer to {path} is too large or too slow"
                        )
                return bytes(data)
        except (self._httpx.HTTPError, self._httpx.StreamError, self._httpx.InvalidURL) as error:
            raise TransportError("elsewhere_away", f"it does not answer ({type(error).__name__})") from error


@dataclass(frozen=True, slots=True)
class Asked:
    """What everybody said.

    Attributes:
        heard: of each.
        leaves: of the mirrors that hold more than the database.
    """

    heard: tuple[Heard, ...] = ()
    leaves: tuple[MirroredLeaves, ...] = ()


def ask_elsewhere(
    node: Node,
    directory: Directory,
    mirrors: Sequence[str],
    first: int,
    root: Callable[[int], bytes],
    transport: httpx.BaseTransport | None = None,
) -> Asked:
    """Ask all witnesses that have a URL, and mirrors.

    Args:
        node: not running.
        directory: as its database knows it; with a founding.
        mirrors: prefixes below which they serve the log.
        first: entries that the database holds.
        root: gives the root of its tree at a size.
        transport: of httpx, in tests; None for the network.

    Raises:
        FatalError: ``tail_of_fork``.
    """
    elsewhere = Elsewhere(node, directory, transport)
    heard, leaves = list(elsewhere.witnesses()), list[MirroredLeaves]()
    for url in dict.fromkeys(mirrors):
        said, read = elsewhere.mirror(url, first, root)
        heard.append(said)
        if read is not None:
            leaves.append(read)
    # The one that holds most first.
    leaves.sort(key=lambda one: -one.checkpoint.size)
    return Asked(tuple(heard), tuple(leaves))
