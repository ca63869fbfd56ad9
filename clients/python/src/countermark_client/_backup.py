"""Encrypted backup of a whole profile in one file, made while a client runs, restored on a new machine.

It holds every file of the profile: the key file (still under the profile's own passphrase) or the token file (the
token's keys are not in it, and cannot be), the trust file, and
the store with outbox, messages and cursors as it stood at one moment. A file that does not open, or not to its
end, restores nothing. What was restored sends nothing before it was compared with the log (_restored.py).

Source: docs/spec/backup.md; docs/spec/keys.md §7.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from countermark_client._bundle_post import EXPORTED
from countermark_client._database import check_integrity, snapshot
from countermark_client._halting import RESTORED
from countermark_client._piece_files import PIECES_FOLDER
from countermark_client._profile_files import (
    KEY_FILE,
    LOCK_FILE,
    PROFILE_FILE,
    STATE_FILE,
    TRUST_FILE,
    token_of,
)
from countermark_client._restored import mark_of
from countermark_client._session import Clock, system_clock
from countermark_client._store import Store
from countermark_client._trust import read_trust_file
from countermark_protocol.checkpoint import parse_checkpoint
from countermark_protocol.chunks import SALT_BYTES as CHUNK_SALT_BYTES
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import encode_json, malformed, parse_object
from countermark_protocol.errors import ConflictError, NotFoundError
from countermark_protocol.identifiers import Address, Origin, parse_address
from countermark_protocol.keyfile import SALT_BYTES
from countermark_protocol.sealed_file import open_file, seal_file

FORMAT: Final = "countermark-backup-1"
_ABOUT: Final = "about.json"
_BLOCK: Final = 1024 * 1024
_MAX_FILES: Final = 100_000
_MAX_SMALL: Final = 64 * 1024
_NAME: Final = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}/){0,2}[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}\Z")
#: Files of SQLite beside the store, and the lock: of one machine and moment.
_LEFT_OUT: Final = frozenset(
    {STATE_FILE, f"{STATE_FILE}-wal", f"{STATE_FILE}-shm", f"{STATE_FILE}-journal", LOCK_FILE}
)


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What a backup holds.

    Attributes:
        made_at: ms since 1970.
        address: of the endpoint, or None for an authority's profile.
        log: origin.
        files: how many.
        size: of them, bytes.
        waiting: statements in the outbox that were not answered then.
        checkpoint: size of the newest checkpoint verified then; 0 if none.
        token: URI of the token that the signing keys are in, and that alone opens the sealing keys; None: all keys are
            in the backup.
    """

    made_at: int
    address: Address | None
    log: Origin
    files: int
    size: int
    waiting: int
    checkpoint: int
    token: str | None = None


# --- making ------------------------------------------------------------------------------------------


def create_backup(
    folder: Path | str, file: Path | str, passphrase: str, *, clock: Clock | None = None
) -> None:
    """Write an encrypted backup of a profile; a client may run over it meanwhile.

    Args:
        folder: of the profile.
        file: to be written; must not be there yet.
        passphrase: to choose for the backup; not the profile's own, which still opens its key file.
        clock: ms since 1970; the machine's if None.

    Raises:
        NotFoundError: ``no_profile``.
        ConflictError: ``file_exists``.
        StorageError: the store cannot be read.
        ValueError: an empty passphrase.
    """
    place, target = Path(folder), Path(file)
    if not (place / PROFILE_FILE).exists():
        raise NotFoundError("no_profile", f"there is no profile in {place}: make one first")
    if target.exists():
        raise ConflictError("file_exists", f"{target} exists: choose another name")
    about = {"format": FORMAT, "made_at": (clock or system_clock)()}
    with tempfile.TemporaryDirectory(dir=place, prefix=".backup-") as scratch:
        copy = Path(scratch) / STATE_FILE
        snapshot(place / STATE_FILE, copy)
        # After the snapshot: keys are added to the key file before anything uses them.
        files = [(path.relative_to(place).as_posix(), path) for path in _files_of(place)]
        blocks = _archive(encode_json(about), [*files, (STATE_FILE, copy)])
        salts = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(CHUNK_SALT_BYTES)
        _write(target, seal_file(passphrase, *salts, blocks))


def _files_of(place: Path) -> Iterator[Path]:
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place).as_posix()
        if path.is_file() and not path.is_symlink() and name not in _LEFT_OUT and _NAME.match(name):
            yield path


def _archive(about: bytes, files: Iterable[tuple[str, Path]]) -> Iterator[bytes]:
    """Records (name u16-sized ‖ size u64 ‖ bytes), the first about the backup, ended by an empty name."""
    yield _head(_ABOUT, len(about)) + about
    for name, path in files:
        if name.startswith(f"{PIECES_FOLDER}/") and not path.exists():
            continue  # of a message that was forgotten meanwhile
        with path.open("rb") as source:
            left = os.fstat(source.fileno()).st_size
            yield _head(name, left)
            while left:
                block = source.read(min(left, _BLOCK))
                if not block:
                    raise ConflictError("file_changed", f"{name} grew shorter while it was read: try again")
                left -= len(block)
                yield block
    yield b"\0\0"


def _head(name: str, size: int) -> bytes:
    data = name.encode("ascii")
    return len(data).to_bytes(2, "big") + data + size.to_bytes(8, "big")


def _write(target: Path, blocks: Iterable[bytes]) -> None:
    """Write a file durably; it is there whole or not at all."""
    new = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for block in blocks:
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        new.replace(target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- reading -----------------------------------------------------------------------------------------


class _Pieces:
    """Takes pieces of any size out of blocks of any size."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._pending = b""

    def some(self, most: int) -> bytes:
        """At least one byte and at most so many; none at the end."""
        while not self._pending:
            block = next(self._blocks, None)
            if block is None:
                return b""
            self._pending = block
        out, self._pending = self._pending[:most], self._pending[most:]
        return out

    def take(self, size: int) -> bytes:
        out = bytearray()
        while len(out) < size:
            piece = self.some(size - len(out))
            if not piece:
                malformed("bad_backup", "the backup ends inside a file: make another one")
            out += piece
        return bytes(out)


def _unpack(blocks: Iterator[bytes], place: Path) -> tuple[bytes, int, int]:
    """Write the files of an archive into a folder; (about, number, bytes)."""
    pieces = _Pieces(blocks)
    about: bytes | None = None
    seen: set[str] = set()
    total = 0
    while length := int.from_bytes(pieces.take(2), "big"):
        name = pieces.take(length).decode("ascii", "replace")
        size = int.from_bytes(pieces.take(8), "big")
        if about is None:
            if name != _ABOUT or size > _MAX_SMALL:
                malformed("bad_backup", "a backup begins with what it says of itself")
            about = pieces.take(size)
            continue
        if (
            name in seen
            or not _NAME.match(name)
            or name in _LEFT_OUT - {STATE_FILE}
            or len(seen) == _MAX_FILES
        ):
            malformed("bad_backup", "the backup names a file that no profile has, or one twice")
        seen.add(name)
        total += size
        path = place / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            while size:
                block = pieces.some(min(size, _BLOCK))
                if not block:
                    malformed("bad_backup", "the backup ends inside a file: make another one")
                file.write(block)
                size -= len(block)
            file.flush()
            os.fsync(file.fileno())
    if pieces.some(1):
        malformed("bad_backup", "the backup goes on after its end")
    if about is None or not {PROFILE_FILE, TRUST_FILE, STATE_FILE} <= seen:
        malformed("bad_backup", "the backup lacks files that every profile has")
    return about, len(seen), total


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def _open(file: Path, passphrase: str, place: Path) -> BackupReport:
    """Unpack a backup into an empty folder and check that it is a whole profile; it is marked as restored."""
    data, files, size = _unpack(open_file(passphrase, _read(file)), place)
    claims = Claims(parse_object(data, "backup"), "backup")
    if claims.raw("format") != FORMAT:
        malformed("unknown_version", f"expected a backup of format '{FORMAT}'")
    made_at = claims.time("made_at")
    claims.done()
    profile = Claims(parse_object((place / PROFILE_FILE).read_bytes(), "profile"), "profile")
    address = profile.optional("address", parse_address)
    trust = read_trust_file((place / TRUST_FILE).read_bytes())
    if profile.raw("log") != trust.origin:
        malformed("bad_profile", "profile and trust file are of different logs")
    if profile.raw("keys") == f"file:{KEY_FILE}" and not (place / KEY_FILE).exists():
        malformed("bad_backup", "the backup lacks the key file that its profile names")
    token = token_of(place)
    check_integrity(place / STATE_FILE)
    with contextlib.closing(Store(place / STATE_FILE)) as store:
        raw = store.meta("checkpoint")
        checkpoint = parse_checkpoint(raw).size if raw is not None else 0
        waiting = sum(1 for item in store.outbox() if item.state.value in {"waiting", "failed"})
        # One restored and not compared when it was backed up keeps its mark: what it lacks is older than this backup.
        if address is not None and store.meta(RESTORED) is None:
            store.set_meta(RESTORED, mark_of(made_at, checkpoint))
        # An answer to what was exported before may be older than what was sent since: it compares nothing.
        store.set_meta(EXPORTED, None)
    return BackupReport(made_at, address, trust.origin, files, size, waiting, checkpoint, token)


def verify_backup(file: Path | str, passphrase: str) -> BackupReport:
    """Open a backup to its end and check that it is a whole profile; nothing is kept of it.

    Raises:
        SealError: ``wrong_passphrase``, ``altered_ciphertext``, ``truncated_ciphertext``.
        MalformedError: no backup.
        StorageError: the store in it is damaged.
    """
    with tempfile.TemporaryDirectory(prefix="countermark-") as scratch:
        return _open(Path(file), passphrase, Path(scratch))


def restore_backup(file: Path | str, folder: Path | str, passphrase: str) -> BackupReport:
    """Restore a profile into a new or empty folder: whole, or the folder stays as it was.

    The profile sends nothing before `Client.compare_restored`. The machine that it was made on must not run on: one
    key in two places is an alarm to both.

    Raises:
        ConflictError: ``profile_exists``.
        CountermarkError: as `verify_backup`.
    """
    place = Path(folder)
    if place.exists() and any(place.iterdir()):
        raise ConflictError("profile_exists", f"the folder {place} is not empty: choose another one")
    place.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}.restoring-"))
    try:
        report = _open(Path(file), passphrase, scratch)
        _sync_folder(scratch)
        scratch.replace(place)  # over an empty folder, or none
        _sync_folder(place.parent)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return report
