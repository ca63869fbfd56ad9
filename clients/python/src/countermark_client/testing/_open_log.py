"""What a broker in memory shows to anybody: leaves, proofs, tiles, and what witnesses said.

Source: docs/spec/api.md §2, docs/spec/log.md §1.4, docs/spec/witness.md §6.3.
"""

from __future__ import annotations

import contextlib
from typing import Final
from urllib.parse import parse_qs

from countermark_client.testing._desk import Answer, Exchange
from countermark_client.testing._reception import Reception
from countermark_protocol.checkpoint import parse_checkpoint, verify_checkpoint
from countermark_protocol.encoding import encode_hex, encode_json, malformed
from countermark_protocol.errors import CountermarkError, NotFoundError
from countermark_protocol.leaf import LEAF_BYTES
from countermark_protocol.merkle import leaf_hash, root_of
from countermark_protocol.proof import Inclusion
from countermark_protocol.stamp_history import StampHistory, StampItem, oldest_stamps
from countermark_protocol.tiles import (
    TILE_WIDTH,
    encode_bundle,
    encode_tile,
    parse_bundle_path,
    parse_tile_path,
)
from countermark_protocol.tlog_policy import check_quorum
from countermark_protocol.witness_history import MAX_HISTORY, HistoryItem, WitnessHistory
from countermark_protocol.witnesses import quorum_policy

_JSON: Final = {"content-type": "application/json"}
_BYTES: Final = {"content-type": "application/octet-stream"}
_TEXT: Final = {"content-type": "text/plain; charset=utf-8"}
_MINUTE: Final = 60_000


class OpenLog(Reception):
    """The open half of a log.

    Attributes:
        witnessed: the series of cosigned checkpoints: the newest of each minute.
        stamps: the time stamps that it keeps.
    """

    witnessed: list[HistoryItem]
    stamps: list[StampItem]

    @property
    def cosigned(self) -> bytes:
        """The newest checkpoint that it says witnesses have cosigned; see `World.cosign`. Empty if there is none."""
        return self.witnessed[-1].checkpoint if self.witnessed else b""

    @cosigned.setter
    def cosigned(self, note: bytes) -> None:
        minute = self._minute_of(note)
        kept = [item for item in self.witnessed if item.minute < minute]
        self.witnessed = [*kept, HistoryItem(minute, note)]

    def _minute_of(self, note: bytes) -> int:
        """The minute of what its quorum last stated; of the clock, where it has none."""
        with contextlib.suppress(CountermarkError):
            policy, log_keys = quorum_policy(self.state.directory)
            checkpoint = verify_checkpoint(parse_checkpoint(note), self.origin, self._log_key.public_key.raw)
            current_at = check_quorum(policy, checkpoint, log_keys).current_at
            if current_at is not None:
                return current_at * 1000 // _MINUTE
        return self._clock() // _MINUTE

    def _witnessed(self, size: int) -> bytes:
        """The newest one; with a size the oldest of a tree with so many leaves."""
        if size:
            fitting = [i.checkpoint for i in self.witnessed if parse_checkpoint(i.checkpoint).size >= size]
        else:
            fitting = [self.cosigned] if self.cosigned else []
        if not fitting:
            raise NotFoundError(
                "not_witnessed", "no quorum of witnesses has cosigned such a tree of this log yet"
            )
        return fitting[0]

    def _tile(self, path: str) -> bytes:
        """A tile of hashes, or a bundle of leaves, as far as the tree goes."""
        leaves = [entry.leaf.encode() for entry in self.entries]
        is_bundle = path.startswith("tile/entries/")
        tile = parse_bundle_path(path) if is_bundle else parse_tile_path(path)
        span = 1 if is_bundle else TILE_WIDTH ** parse_tile_path(path).level
        first = tile.index * TILE_WIDTH
        if (first + tile.width) * span > len(leaves):
            raise NotFoundError("tile_not_published", "the published tree does not fill such a tile")
        if is_bundle:
            return encode_bundle(leaves[first : first + tile.width])
        hashes = [leaf_hash(leaf) for leaf in leaves]
        return encode_tile(
            [root_of(hashes[i * span : (i + 1) * span]) for i in range(first, first + tile.width)]
        )

    def _get_log(self, exchange: Exchange, what: str) -> Answer:
        size = self.state.size
        if what == "checkpoint":
            return 200, _TEXT, self.checkpoint
        if what == "witnessed":
            return 200, _TEXT, self._witnessed(number_in(exchange, "size", 0, 2**53 - 1, 0))
        if what == "witnessed/history":
            first = number_in(exchange, "from", 0, 2**53 - 1, 0)
            limit = number_in(exchange, "limit", 1, MAX_HISTORY, 100)
            items = [item for item in self.witnessed if item.minute >= first]
            history = WitnessHistory(tuple(items[:limit]), complete=len(items) <= limit)
            return 200, _JSON, encode_json(history.to_json())
        if what == "witnessed/stamps":
            covered = number_in(exchange, "size", 0, 2**53 - 1, 0)
            first = number_in(exchange, "from", 0, 2**53 - 1, 0)
            kept = [item for item in self.stamps if item.minute >= first]
            stamps = StampHistory(oldest_stamps(kept, covered) if covered else tuple(kept), complete=True)
            return 200, _JSON, encode_json(stamps.to_json())
        if what == "leaves":
            start = number_in(exchange, "from", 0, size, 0)
            limit = number_in(exchange, "limit", 1, 10_000, 10_000)
            leaves = [e.leaf.encode() for e in self.entries[start : start + limit]]
            assert all(len(leaf) == LEAF_BYTES for leaf in leaves)
            return 200, _BYTES, b"".join(leaves)
        if what == "inclusion":
            of = number_in(exchange, "size", 1, size, size)
            index = number_in(exchange, "index", 0, of - 1, None)
            proof = Inclusion(index, self.entries[index].leaf.encode(), self._tree.inclusion(index, of))
            return 200, _JSON, encode_json({**proof.to_json(), "size": of})
        if what == "consistency":
            new = number_in(exchange, "to", 0, size, size)
            old = number_in(exchange, "from", 0, new, None)
            path = [encode_hex(h) for h in self._tree.consistency(old, new)]
            return 200, _JSON, encode_json({"from": old, "to": new, "path": path})
        if what.startswith("tile/"):
            return 200, _BYTES, self._tile(what)
        raise NotFoundError("no_such_path", "there is no such call")


def number_in(exchange: Exchange, name: str, least: int, most: int, default: int | None) -> int:
    """A number of the query.

    Raises:
        MalformedError: ``bad_parameter``.
    """
    values = parse_qs(exchange.query, keep_blank_values=True).get(name, [])
    if not values and default is not None:
        return default
    if len(values) != 1 or not values[0].isascii() or not values[0].isdecimal() or len(values[0]) > 16:
        malformed("bad_parameter", f"expected one number for '{name}'")
    number = int(values[0])
    if not least <= number <= most:
        malformed("bad_parameter", f"'{name}' must be from {least} to {most}")
    return number
