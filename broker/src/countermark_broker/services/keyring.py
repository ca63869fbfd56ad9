"""The broker's own keys, in encrypted key files in its home directory.

`broker.keys` (log key and node key) is needed to serve, unless both are in tokens. `administrator.keys` is needed
to found the log and to change the broker's keys, and should lie elsewhere in between.

Source: docs/spec/keys.md §6; docs/operations/running-a-broker.md §2.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from countermark_broker.config import Settings, load_passphrase
from countermark_broker.errors import ConfigurationError
from countermark_broker.tokens import load_token_key
from countermark_protocol.errors import CountermarkError
from countermark_protocol.keyfile import NONCE_BYTES, SALT_BYTES, StoredKey, encode_key_file, parse_key_file
from countermark_protocol.keys import Algorithm, PublicKey, Signer
from countermark_protocol.signers import PRIVATE_BYTES, load_signer

LOG: Final = "log"
NODE: Final = "node"
ADMINISTRATOR: Final = "administrator"
#: No key that signs: from it come the secrets of entries. The file states an algorithm for it as for all others.
ENTRIES: Final = "entries"


@dataclass(frozen=True, slots=True)
class Keyring:
    """Signers by use.

    Attributes:
        log: log keys; the directory says which of them signs a size.
        node: this node's key; None in a file that has none.
        administrator: the broker's administrator keys.
        entries: 32 bytes, from which the secrets of entries come; None: they are drawn at random.
    """

    log: tuple[Signer, ...]
    node: Signer | None
    administrator: tuple[Signer, ...]
    entries: bytes | None = None


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
        signers = [
            (key.use, load_signer(key.algorithm, key.private, key.second))
            for key in stored
            if key.use != ENTRIES
        ]
    except (CountermarkError, ValueError) as error:
        raise ConfigurationError("bad_key_file", f"{path}: {error}") from None
    nodes = [signer for use, signer in signers if use == NODE]
    return Keyring(
        log=tuple(signer for use, signer in signers if use == LOG),
        node=nodes[0] if nodes else None,
        administrator=tuple(signer for use, signer in signers if use == ADMINISTRATOR),
        entries=next((key.private for key in stored if key.use == ENTRIES), None),
    )


def load_keyring(settings: Settings, passphrase: str = "") -> Keyring:
    """The keys that a node serves with: from tokens where the settings name them there, else from the key file.

    During a change of the log key both may be at hand: the new one in a token, the old one in the file.

    Args:
        settings: of this node.
        passphrase: of the key file; empty: as the settings say.

    Raises:
        ConfigurationError: a file, passphrase, token or key is missing or not usable.
    """
    in_tokens = tuple(load_log_key(uri) for uri in settings.log_key.split())
    node = load_token_key(settings.node_key) if settings.node_key else None
    if in_tokens and node is not None and not settings.keys.exists():
        return Keyring(in_tokens, node, ())
    stored = load_keys(settings.keys, passphrase or load_passphrase(settings))
    return replace(stored, log=(*in_tokens, *stored.log), node=node or stored.node)


def load_log_key(uri: str) -> Signer:
    """A log key in a token.

    Raises:
        ConfigurationError: as `load_token_key`, or ``not_a_log_key``: checkpoints are signed with Ed25519 alone.
    """
    signer = load_token_key(uri)
    if signer.public_key.algorithm is not Algorithm.ED25519:
        raise ConfigurationError(
            "not_a_log_key", f"a log key must be Ed25519, the token holds {signer.public_key.algorithm.name}"
        )
    return signer


def add_log_key(path: Path, passphrase: str) -> PublicKey:
    """Add a fresh log key to a key file, beside those in it; the file is replaced as a whole.

    Where there is none any more, a fresh one is made, with a node key besides: what was in the old one is lost.

    Raises:
        ConfigurationError: as `load_keys`.
    """
    if not path.exists():
        made = make_keys((LOG, NODE, ENTRIES))
        write_keys(path, made, passphrase)
        return next(load_signer(key.algorithm, key.private).public_key for key in made if key.use == LOG)
    new = _add_key(path, passphrase, LOG)
    return load_signer(new.algorithm, new.private).public_key


def add_entry_key(path: Path, passphrase: str) -> bytes:
    """Add the key from which secrets of entries come to a key file, which is made if everything else is in tokens.

    Raises:
        ConfigurationError: ``entry_key_there``: it holds one, which must stay; else as `load_keys`.
    """
    if not path.exists():
        (new,) = made = make_keys((ENTRIES,))
        write_keys(path, made, passphrase)
        return new.private
    if load_keys(path, passphrase).entries is not None:
        raise ConfigurationError(
            "entry_key_there", f"{path} holds an entry key: what was logged with it comes back by it alone"
        )
    return _add_key(path, passphrase, ENTRIES).private


def _add_key(path: Path, passphrase: str, use: str) -> StoredKey:
    load_keys(path, passphrase)
    (new,) = make_keys((use,))
    stored = (*parse_key_file(path.read_bytes(), passphrase), new)
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    write_keys(temporary, stored, passphrase)
    temporary.rename(path)
    return new
