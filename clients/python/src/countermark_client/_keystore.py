"""Keystores: where private keys are, behind an interface that never shows them.

A keystore is named by a URI. ``file:<path>`` is an encrypted key file (docs/spec/keys.md §6), ``token:<path>`` names
keys in a PKCS#11 token (§8); other schemes join through `register_scheme`.
"""

from __future__ import annotations

import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final, Protocol

from countermark_protocol.errors import CountermarkError, NotFoundError, UncheckableError
from countermark_protocol.identifiers import KeyId
from countermark_protocol.keyfile import NONCE_BYTES, SALT_BYTES, StoredKey, encode_key_file, parse_key_file
from countermark_protocol.keys import SIGNATURE_ALGORITHMS, Algorithm, PublicKey, Signer
from countermark_protocol.sealing import SealingKey
from countermark_protocol.signers import load_signer

#: What keys of a profile are for. Governors, authorities and administrators sign directory statements.
INSTANCE: Final = "instance"
ADMINISTRATOR: Final = "administrator"
AUTHORITY: Final = "authority"
GOVERNOR: Final = "governor"
SEALING: Final = "sealing"
SEALING_OLD: Final = "sealing-old"
#: A key to which sealing keys are copied (_recovery.py). It is no key of a profile.
RECOVERY: Final = "recovery"
SIGNING_USES: Final = (INSTANCE, ADMINISTRATOR, AUTHORITY, GOVERNOR)


class Keystore(Protocol):
    """Holds private keys, or reaches them in a token."""

    def signer(self, use: str) -> Signer:
        """The newest signing key of a use.

        Raises:
            NotFoundError: ``no_such_key``.
        """
        ...

    def signers(self, use: str) -> tuple[Signer, ...]:
        """All signing keys of a use, newest first."""
        ...

    def sealing_key(self, key_id: KeyId | None = None) -> SealingKey:
        """The sealing key with this id, former ones included; without an id the current one.

        Raises:
            NotFoundError: ``no_such_key``.
        """
        ...

    def sealing_keys(self) -> tuple[SealingKey, ...]:
        """The current sealing key and the former ones, newest first."""
        ...

    def public_keys(self) -> tuple[tuple[str, PublicKey], ...]:
        """(use, public key) of every key."""
        ...

    @property
    def stored(self) -> tuple[StoredKey, ...]:
        """The private keys that it can give away, to be kept elsewhere; none of a token's own."""
        ...


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found of one key.

    Attributes:
        use: what it is for.
        public: its public half; None of a token's wrapping key.
        label: in the token; empty of a wrapped sealing key.
        error: why it is of no use, or not kept as it should be; None if all is well.
    """

    use: str
    public: PublicKey | None
    label: str
    error: CountermarkError | None


class GrowingKeystore(ABC):
    """A keystore that makes signing keys itself, and keeps what it is."""

    @property
    @abstractmethod
    def token(self) -> str:
        """URI of the token that the keys are in."""

    @abstractmethod
    def with_made(self, use: str, algorithm: Algorithm | None, owner: str) -> GrowingKeystore:
        """This keystore with one more signing key, to be saved."""

    @abstractmethod
    def with_key(self, key: StoredKey, owner: str) -> GrowingKeystore:
        """This keystore with a key from elsewhere, to be saved."""

    @abstractmethod
    def with_named(self, use: str, uri: str) -> GrowingKeystore:
        """This keystore with one more signing key, that lies where its keys are already; to be saved."""

    @abstractmethod
    def check(self) -> tuple[Checked, ...]:
        """Use every key once, and look whether any of them could leave."""

    @abstractmethod
    def save(self) -> None:
        """Keep it."""


def make_key(use: str, algorithm: Algorithm | None = None, *, second: bool = False) -> StoredKey:
    """A fresh private key.

    Args:
        use: what it is for; `SEALING` gives a sealing key.
        algorithm: of the key; Ed25519 if not said, of a sealing key ML-KEM-768+X25519.
        second: whether a signing key is paired with an ML-DSA-65 key, without which it does not count.

    Raises:
        ValueError: not an algorithm for this use.
    """
    if use in {SEALING, SEALING_OLD}:
        fresh = StoredKey(use, algorithm or Algorithm.XWING, secrets.token_bytes(32))
        SealingKey(fresh.private, fresh.algorithm)
        return fresh
    chosen = algorithm or Algorithm.ED25519
    while True:
        private = secrets.token_bytes(32)
        try:
            load_signer(chosen, private)
        except ValueError:  # a P-256 scalar at or above the group order: one in 2^32
            if chosen is not Algorithm.ES256:
                raise
            continue
        return StoredKey(use, chosen, private, secrets.token_bytes(32) if second else None)


class KeyLookup(ABC):
    """How a key is found among those that a keystore opened, wherever they lie."""

    #: (use, signer), the oldest first within a use.
    _signers: Sequence[tuple[str, Signer]]

    @abstractmethod
    def sealing_keys(self) -> tuple[SealingKey, ...]:
        """The current sealing key and the former ones, newest first."""

    def signer(self, use: str) -> Signer:
        """The newest signing key of a use."""
        found = self.signers(use)
        if not found:
            raise NotFoundError("no_such_key", f"this keystore has no key for '{use}': make one first")
        return found[0]

    def signers(self, use: str) -> tuple[Signer, ...]:
        """All signing keys of a use, newest first."""
        return tuple(signer for u, signer in reversed(self._signers) if u == use)

    def sealing_key(self, key_id: KeyId | None = None) -> SealingKey:
        """The sealing key with this id, or the current one."""
        for key in self.sealing_keys():
            if key_id is None or key.public_key.key_id == key_id:
                return key
        raise NotFoundError(
            "no_such_key",
            "this keystore has no sealing key"
            if key_id is None
            else f"this keystore does not hold the sealing key {key_id.hex()}: restore it from its backup",
        )


class MemoryKeystore(KeyLookup):
    """Keys held in memory: what a key file gives once opened, and what tests use."""

    def __init__(self, keys: tuple[StoredKey, ...]) -> None:
        self._stored = keys
        self._signers = [(k.use, load_signer(k.algorithm, k.private, k.second)) for k in keys if _signs(k)]
        self._sealing = {
            use: [SealingKey(k.private, k.algorithm) for k in keys if k.use == use]
            for use in (SEALING, SEALING_OLD, RECOVERY)
        }

    def __repr__(self) -> str:
        """Uses only; never a key."""
        return f"{type(self).__name__}({', '.join(sorted({k.use for k in self._stored}))})"

    @property
    def stored(self) -> tuple[StoredKey, ...]:
        """The keys as kept, oldest first within a use."""
        return self._stored

    def sealing_keys(self) -> tuple[SealingKey, ...]:
        """The current sealing key and the former ones, newest first."""
        return (*reversed(self._sealing[SEALING]), *reversed(self._sealing[SEALING_OLD]))

    def with_key(self, key: StoredKey) -> MemoryKeystore:
        """This keystore with one more key. A new sealing key makes the one before it `SEALING_OLD`."""
        kept = self._stored
        if key.use == SEALING:
            kept = tuple(
                StoredKey(SEALING_OLD, k.algorithm, k.private) if k.use == SEALING else k for k in kept
            )
        return MemoryKeystore((*kept, key))

    def public_keys(self) -> tuple[tuple[str, PublicKey], ...]:
        """(use, public key) of every key."""
        return (
            *((use, signer.public_key) for use, signer in self._signers),
            *((use, key.public_key) for use, keys in self._sealing.items() for key in keys),
        )


def _signs(key: StoredKey) -> bool:
    return key.algorithm in SIGNATURE_ALGORITHMS


def load_key_file(path: Path, passphrase: str) -> MemoryKeystore:
    """Open an encrypted key file.

    Raises:
        NotFoundError: ``no_key_file``.
        MalformedError: not a key file.
        SealError: ``wrong_passphrase``.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError("no_key_file", f"there is no key file {path.name} in {path.parent}") from None
    return MemoryKeystore(parse_key_file(data, passphrase))


def save_key_file(path: Path, keystore: MemoryKeystore, passphrase: str) -> None:
    """Write an encrypted key file: a reader sees the old file or the new one, never a part of either."""
    data = encode_key_file(
        keystore.stored, passphrase, secrets.token_bytes(SALT_BYTES), secrets.token_bytes(NONCE_BYTES)
    )
    write_private(path, data)


def write_private(path: Path, data: bytes) -> None:
    """Replace a file durably; only its owner may read it."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


#: Opens a keystore: (what follows the scheme, the profile's folder, passphrase or PIN) → keystore.
Opener = Callable[[str, Path, str], Keystore]


def _open_file(name: str, folder: Path, passphrase: str) -> Keystore:
    return load_key_file(folder / name, passphrase)


def _open_token(name: str, folder: Path, pin: str) -> Keystore:
    opened: Keystore = token_library().open_token_keystore(folder / name, pin)
    return opened


def token_library() -> ModuleType:
    """The module `_token_keystore`, which few installations can load.

    Raises:
        UncheckableError: ``no_token_library``.
    """
    try:
        # Only who has keys in a token needs the extra.
        from countermark_client import _token_keystore  # noqa: PLC0415
    except ModuleNotFoundError:
        raise UncheckableError(
            "no_token_library",
            "keys in tokens need more than is installed: pip install 'countermark-client[pkcs11]'",
        ) from None
    return _token_keystore


_OPENERS: Final[dict[str, Opener]] = {"file": _open_file, "token": _open_token}


def register_scheme(scheme: str, opener: Opener) -> None:
    """Make a further kind of keystore known, e.g. one in a service of an agency's own."""
    _OPENERS[scheme] = opener


def open_keystore(uri: str, folder: Path, passphrase: str) -> Keystore:
    """Open the keystore that a URI names.

    Args:
        uri: ``<scheme>:<what the scheme says>``; a ``file:`` path may be relative to `folder`.
        folder: of the profile.
        passphrase: passphrase or PIN.

    Raises:
        UncheckableError: ``unknown_keystore``: nothing here opens that scheme.
        CountermarkError: as the keystore's own opener.
    """
    scheme, _, rest = uri.partition(":")
    opener = _OPENERS.get(scheme)
    if opener is None:
        raise UncheckableError(
            "unknown_keystore", f"no keystore for '{scheme}:' here; known: {', '.join(sorted(_OPENERS))}"
        )
    return opener(rest, folder, passphrase)
