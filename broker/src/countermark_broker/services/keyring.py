"""The broker's own keys, in encrypted key files in its home directory.

`broker.keys` (log key and node key) is needed to serve. `administrator.keys` is needed to found the log and to
change the broker's keys, and should lie elsewhere in between.

Source: docs/spec/keys.md §6; docs/operations/running-a-broker.md §2.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from countermark_broker.errors import ConfigurationError
from countermark_protocol.errors import CountermarkError
from countermark_protocol.keyfile import NONCE_BYTES, SALT_BYTES, StoredKey, encode_key_file, parse_key_file
from countermark_protocol.keys import Algorithm, Signer
from countermark_protocol.signers import PRIVATE_BYTES, load_signer

LOG: Final = "log"
NODE: Final = "node"
ADMINISTRATOR: Final = "administrator"


@dataclass(frozen=True, slots=True)
class Keyring:
    """Signers by use.

    Attributes:
        log: log keys; the directory says which of them signs a size.
        node: this node's key; None in a file that has none.
        administrator: the broker's administrator keys.
    """

    log: tuple[Signer, ...]
    node: Signer | None
    administrator: tuple[Signer, ...]


def make_keys(uses: Iterable[str]) -> tuple[StoredKey, ...]:
    """Fresh Ed25519 keys, one for each use."""
    return tuple(StoredKey(use, Algorithm.ED25519, os.urandom(PRIVATE_BYTES)) for use in uses)


def write_keys(path: Path, keys: tuple[StoredKey, ...], passphrase: str) -> None:
    """Write a key file that only its owner may read; never over another.

    Raises:
        ConfigurationError: ``key_file_exists``.
    """
    data = encode_key_file(keys, passphrase, os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        raise ConfigurationError("key_file_exists", f"{path} exists: keys are never overwritten") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def load_keys(path: Path, passphrase: str) -> Keyring:
    """Read a key file.

    Raises:
        ConfigurationError: ``no_key_file``, ``open_key_file`` (others may read it) or ``bad_key_file``.
    """
    try:
        mode = path.stat().st_mode
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            "no_key_file", f"cannot read the key file {path}: {error.strerror}"
        ) from None
    if mode & 0o077:
        raise ConfigurationError("open_key_file", f"others may read {path}: run `chmod 600` on it")
    try:
        stored = parse_key_file(data, passphrase)
        signers = [(key.use, load_signer(key.algorithm, key.private)) for key in stored]
    except (CountermarkError, ValueError) as error:
        raise ConfigurationError("bad_key_file", f"{path}: {error}") from None
    nodes = [signer for use, signer in signers if use == NODE]
    return Keyring(
        log=tuple(signer for use, signer in signers if use == LOG),
        node=nodes[0] if nodes else None,
        administrator=tuple(signer for use, signer in signers if use == ADMINISTRATOR),
    )
