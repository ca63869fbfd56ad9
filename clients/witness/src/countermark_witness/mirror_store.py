"""What a mirror keeps of logs, in an SQLite file of its own: entries in bundles, the tree's hashes in tiles.

Of each bundle and tile only the widest is kept: a narrower one is its beginning. A bundle and the tiles over it are
one transaction, so whatever ends the process, what is kept is a whole tree of `Kept.held` leaves. It is apart from the
witness's own store: what is lost here can be fetched again, and a disk filled by leaves must not stop cosigning.

Source: C2SP tlog-tiles, tlog-mirror; docs/spec/witness.md §7.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from countermark_protocol.encoding import DIGEST_BYTES
from countermark_protocol.errors import ConflictError
from countermark_protocol.merkle import leaf_hash, root_of
from countermark_protocol.tiles import (
    TILE_WIDTH,
    Bundle,
    Tile,
    TileHashes,
    encode_bundle,
    parse_bundle,
    parse_tile,
    tile_width,
)
from countermark_protocol.tlog_witness import origin_hash
from countermark_witness.database import connect, failures, written
from countermark_witness.errors import WitnessError

_WHOSE: Final = "mirror"
#: What a lying log served, kept of one log: more of it proves no more.
MAX_EVIDENCE: Final = 8
#: Written into the file, and read again: a file of another layout is not opened.
LAYOUT: Final = 1

_SCHEMA: Final = f"""
PRAGMA user_version = {LAYOUT};
CREATE TABLE mirrored (
  origin TEXT PRIMARY KEY,
  origin_hash TEXT NOT NULL UNIQUE,
  url TEXT NOT NULL,
  ca_file TEXT,
  held INTEGER NOT NULL,
  size INTEGER NOT NULL,
  note BLOB
) STRICT;
CREATE TABLE bundle (
  origin TEXT NOT NULL REFERENCES mirrored,
  number INTEGER NOT NULL,
  width INTEGER NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (origin, number)
) STRICT;
CREATE TABLE tile (
  origin TEXT NOT NULL REFERENCES mirrored,
  level INTEGER NOT NULL,
  number INTEGER NOT NULL,
  hashes BLOB NOT NULL,
  PRIMARY KEY (origin, level, number)
) STRICT;
CREATE TABLE evidence (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  origin TEXT NOT NULL REFERENCES mirrored,
  reason TEXT NOT NULL,
  checkpoint BLOB NOT NULL,
  time INTEGER NOT NULL
) STRICT;
CREATE TABLE served (
  number INTEGER NOT NULL REFERENCES evidence,
  path TEXT NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (number, path)
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A log that is mirrored.

    Attributes:
        origin: name of the log.
        url: prefix below which the log serves checkpoint and tiles.
        ca_file: certificates of the authority to trust for TLS; None for the system's.
        held: leaves kept; each was verified under a checkpoint that the log signed.
        size: of the mirror checkpoint, at most `held`; 0 if there is none yet.
        note: the mirror checkpoint with the log's lines and the mirror's; None if there is none yet.
    """

    origin: str
    url: str
    ca_file: str | None
    held: int
    size: int
    note: bytes | None


@dataclass(frozen=True, slots=True)
class Lie:
    """What a log served that does not lead to the root that it signed.

    Attributes:
        number: from 1.
        origin: name of the log.
        reason: what was found, as an error's text.
        checkpoint: with the log's signature.
        served: path → bytes, all that was fetched to judge it.
        time: when, s since 1970.
    """

    number: int
    origin: str
    reason: str
    checkpoint: bytes
    served: Mapping[str, bytes]
    time: int


class MirrorStore:
    """The file, opened. Threads may share it; so may processes.

    Args:
        path: made by `MirrorStore.create`.
        keep_free: bytes that must stay free on its disk; below, nothing is added.

    Raises:
        WitnessError: ``no_mirror_store``: there is no such file, or it is none of this release.
    """

    def __init__(self, path: Path, keep_free: int = 0) -> None:
        if not path.exists():
            raise WitnessError("no_mirror_store", f"{path} is missing: `mirror init` makes it")
        self._path, self._keep_free = path, keep_free
        self._lock = threading.Lock()
        self._db = _connect(path)
        if self._db.execute("PRAGMA user_version").fetchone()[0] != LAYOUT:
            self._db.close()
            raise WitnessError("no_mirror_store", f"{path} is no store of this release of the mirror")

    @classmethod
    def create(cls, path: Path) -> None:
        """Make an empty store.

        Raises:
            WitnessError: ``home_in_use``: the file exists.
        """
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            raise WitnessError("home_in_use", f"{path} exists: choose another home directory") from None
        with closing(_connect(path)) as db:
            db.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}COMMIT;")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    # --- logs ---

    def add_log(self, origin: str, url: str, ca_file: str | None) -> None:
        """Mirror a log from now on; of a known one, from another place.

        Raises:
            WitnessError: ``store_failed``.
        """
        with self._changing():
            self._db.execute(
                "INSERT INTO mirrored (origin, origin_hash, url, ca_file, held, size) VALUES (?, ?, ?, ?, 0, 0) "
                "ON CONFLICT (origin) DO UPDATE SET url = excluded.url, ca_file = excluded.ca_file",
                (origin, origin_hash(origin), url, ca_file),
            )

    def logs(self) -> list[Kept]:
        """All logs that are mirrored, by their names."""
        return self._kept("ORDER BY origin")

    def log(self, origin: str) -> Kept | None:
        """One of them; None if it is not mirrored."""
        return next(iter(self._kept("WHERE origin = ?", origin)), None)

    def hashed(self, name: str) -> Kept | None:
        """One of them by the hash of its origin in lower-case hex; None if it is not mirrored."""
        return next(iter(self._kept("WHERE origin_hash = ?", name)), None)

    def _kept(self, where: str, *values: str) -> list[Kept]:
        with self._reading():
            rows = self._db.execute(
                f"SELECT origin, url, ca_file, held, size, note FROM mirrored {where}",  # noqa: S608  our own words
                values,
            ).fetchall()
        return [Kept(*row) for row in rows]

    # --- entries and hashes ---

    def add(self, origin: str, held: int, entries: Sequence[bytes]) -> int:
        """Keep the entries of one bundle, all of them verified; the leaves then kept.

        Args:
            origin: of the log, which is mirrored.
            held: leaves kept so far.
            entries: from the beginning of the bundle that entry `held` belongs to; more than are kept of it.

        Raises:
            ConflictError: ``mirror_differs``: those that are kept of it are others. The disk lost or changed what was
                written.
            WitnessError: ``mirror_disk_low``, ``store_failed``: nothing was changed.
        """
        free = shutil.disk_usage(self._path.parent).free
        if free < self._keep_free:
            raise WitnessError(
                "mirror_disk_low",
                f"{free >> 20} MiB are free beside {self._path}, and {self._keep_free >> 20} MiB must stay free",
            )
        number, known = divmod(held, TILE_WIDTH)
        if known and encode_bundle(entries[:known]) != self.bundle(origin, Bundle(number, known)):
            raise ConflictError(
                "mirror_differs", f"the entries kept of bundle {number} are not those of the log"
            )
        hashes = [leaf_hash(entry) for entry in entries]
        size = number * TILE_WIDTH + len(entries)
        with self._changing():
            self._db.execute(
                "INSERT OR REPLACE INTO bundle (origin, number, width, data) VALUES (?, ?, ?, ?)",
                (origin, number, len(entries), encode_bundle(entries)),
            )
            self._put_tile(origin, 0, number, b"".join(hashes))
            level = 1
            while len(hashes) == TILE_WIDTH:
                # A full tile is one hash of the level above.
                above, place = divmod(number, TILE_WIDTH)
                kept = self._tile(origin, level, above)[: place * DIGEST_BYTES]
                data = kept + root_of(hashes)
                self._put_tile(origin, level, above, data)
                hashes, number, level = list(parse_tile(data, place + 1)), above, level + 1
            self._db.execute("UPDATE mirrored SET held = ? WHERE origin = ?", (size, origin))
        return size

    def bundle(self, origin: str, bundle: Bundle) -> bytes:
        """A bundle that is kept, at least as wide, cut to its width; compared with the hashes over it.

        Raises:
            WitnessError: ``mirror_damaged``: it is not there, or not what was kept.
        """
        with self._reading():
            row = self._db.execute(
                "SELECT width, data FROM bundle WHERE origin = ? AND number = ?", (origin, bundle.index)
            ).fetchone()
        if row is None or row[0] < bundle.width:
            raise _damaged(f"bundle {bundle.index}")
        entries = parse_bundle(row[1], row[0])[: bundle.width]
        if b"".join(leaf_hash(e) for e in entries) != self.tile(origin, Tile(0, bundle.index, bundle.width)):
            raise _damaged(f"bundle {bundle.index}")
        return encode_bundle(entries)

    def tile(self, origin: str, tile: Tile) -> bytes:
        """A tile that is kept, at least as wide, cut to its width.

        Raises:
            WitnessError: ``mirror_damaged``: it is not there.
        """
        with self._reading():
            data = self._tile(origin, tile.level, tile.index)
        if len(data) < tile.width * DIGEST_BYTES:
            raise _damaged(f"the tile of level {tile.level}, number {tile.index}")
        return data[: tile.width * DIGEST_BYTES]

    def root(self, origin: str, size: int) -> bytes:
        """Root of the first leaves that are kept, from what is on the disk.

        Raises:
            WitnessError: ``mirror_damaged``, ``store_failed``.
        """
        hashes = TileHashes(lambda level, index, width: self.tile(origin, Tile(level, index, width)), size)
        return hashes.root_at(size)

    def check(self, origin: str, held: int) -> bytes:
        """Root of all leaves that are kept, from the entries alone; every hash over them is compared.

        Raises:
            WitnessError: ``mirror_damaged``: with the first place where something is not what was kept.
        """
        levels: list[list[bytes]] = [[]]
        for index in range(-(-held // TILE_WIDTH)):
            width = tile_width(0, index, held)
            entries = parse_bundle(self.bundle(origin, Bundle(index, width)), width)
            if width == TILE_WIDTH:
                levels[0].append(root_of([leaf_hash(e) for e in entries]))
        for level, hashes in enumerate(levels, 1):
            for index in range(-(-len(hashes) // TILE_WIDTH)):
                part = hashes[index * TILE_WIDTH : (index + 1) * TILE_WIDTH]
                if self.tile(origin, Tile(level, index, len(part))) != b"".join(part):
                    raise _damaged(f"the tile of level {level}, number {index}")
            whole = len(hashes) // TILE_WIDTH
            if whole:
                levels.append([root_of(hashes[i * TILE_WIDTH : (i + 1) * TILE_WIDTH]) for i in range(whole)])
        return self.root(origin, held)

    def publish(self, origin: str, size: int, note: bytes) -> None:
        """Set the mirror checkpoint: what is served, and no more.

        Args:
            origin: of the log.
            size: of the checkpoint; never below the one before.
            note: with the log's lines and the mirror's.

        Raises:
            WitnessError: ``store_failed``.
        """
        with self._changing():
            self._db.execute(
                "UPDATE mirrored SET size = ?, note = ? WHERE origin = ? AND size <= ?",
                (size, note, origin, size),
            )

    def _tile(self, origin: str, level: int, number: int) -> bytes:
        row = self._db.execute(
            "SELECT hashes FROM tile WHERE origin = ? AND level = ? AND number = ?", (origin, level, number)
        ).fetchone()
        return row[0] if row else b""

    def _put_tile(self, origin: str, level: int, number: int, data: bytes) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO tile (origin, level, number, hashes) VALUES (?, ?, ?, ?)",
            (origin, level, number, data),
        )

    # --- evidence ---

    def keep(
        self, origin: str, reason: str, checkpoint: bytes, served: Mapping[str, bytes], time: int
    ) -> bool:
        """Keep what a log served that is not under its root, the first `MAX_EVIDENCE` times; whether it was kept.

        Raises:
            WitnessError: ``store_failed``.
        """
        with self._changing():
            count = self._db.execute("SELECT count(*) FROM evidence WHERE origin = ?", (origin,)).fetchone()[
                0
            ]
            if count >= MAX_EVIDENCE:
                return False
            number = self._db.execute(
                "INSERT INTO evidence (origin, reason, checkpoint, time) VALUES (?, ?, ?, ?)",
                (origin, reason, checkpoint, time),
            ).lastrowid
            self._db.executemany(
                "INSERT INTO served (number, path, data) VALUES (?, ?, ?)",
                [(number, path, data) for path, data in served.items()],
            )
        return True

    def evidence(self) -> list[Lie]:
        """All of it, oldest first."""
        with self._reading():
            rows = self._db.execute(
                "SELECT number, origin, reason, checkpoint, time FROM evidence ORDER BY number"
            ).fetchall()
            served = {
                row[0]: dict(self._db.execute("SELECT path, data FROM served WHERE number = ?", row[:1]))
                for row in rows
            }
        return [
            Lie(number, origin, reason, checkpoint, served[number], time)
            for number, origin, reason, checkpoint, time in rows
        ]

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock, failures(_WHOSE):
            yield

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with written(self._db, self._lock, _WHOSE):
            yield


def _damaged(what: str) -> WitnessError:
    return WitnessError(
        "mirror_damaged", f"{what} is not what the mirror had kept: its disk lost or changed it"
    )


def _connect(path: Path) -> sqlite3.Connection:
    return connect(path, WitnessError("no_mirror_store", f"{path} is no store of a mirror"))
