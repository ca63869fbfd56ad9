"""A profile: one instance of one endpoint, as a folder of files that belong to its owner alone.

::

    profile.json          address, broker's URL, log, holder, where the keys are
    trust.countermark     the founding's signed document: the trust file, compared by fingerprint
    keys.json             private keys, encrypted (docs/spec/keys.md §6)
    state.db              what was verified, sent and received; messages stay sealed (_store.py)
    evidence/             what contradicts itself: signed bytes of both sides
    recovery.pub          public half of the recovery key, if the endpoint has one (_recovery.py)
    recovery/             copies of its sealing keys for that one: to be kept elsewhere too
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from countermark_client._keystore import (
    INSTANCE,
    SEALING,
    Keystore,
    MemoryKeystore,
    load_key_file,
    make_key,
    open_keystore,
    save_key_file,
    write_private,
)
from countermark_client._recovery import keep_copies, set_recovery_key
from countermark_client._store import Store
from countermark_client._tables_log import LOG_NAME
from countermark_client._trust import TrustFile, read_trust_file
from countermark_client.errors import StorageError
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import encode_json, malformed, parse_object
from countermark_protocol.errors import ConflictError, CountermarkError, InconsistentLogError, NotFoundError
from countermark_protocol.identifiers import Address, Origin, parse_address
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.keys import PublicKey
from countermark_protocol.succession import next_origin

FORMAT: Final = "countermark-profile-1"
PROFILE_FILE: Final = "profile.json"
TRUST_FILE: Final = "trust.countermark"
KEY_FILE: Final = "keys.json"
STATE_FILE: Final = "state.db"
LOCK_FILE: Final = "lock"
EVIDENCE_FOLDER: Final = "evidence"
#: What convinces a third party, beside the pieces that it is made of.
CONTRADICTION_FILE: Final = "contradiction.json"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Signed bytes that contradict each other, kept for governors and auditors.

    Attributes:
        code: of the error.
        message: what contradicts what.
        pieces: the raw bytes of both sides, in the order the message names them.
        folder: where they are kept, or None for a profile in memory.
        contradiction: the file that convinces a third party; None of what is an alarm and no more.
    """

    code: str
    message: str
    pieces: tuple[bytes, ...]
    folder: Path | None
    contradiction: bytes | None = None


def check_broker_url(url: str) -> str:
    """Check a broker's base URL: scheme, host, port, and nothing else.

    Raises:
        MalformedError: ``broker_url``.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
        malformed("broker_url", "the broker's URL must be http(s)://<host>[:<port>] without a path")
    return f"{parts.scheme}://{parts.netloc}"


class Profile:
    """An opened profile. Use `create`, `open` or `in_memory`.

    Attributes:
        address: the endpoint, or None for a profile that only signs directory statements (an authority's).
        broker_url: base URL of the broker.
        holder: pseudonym of the worker or person that uses this instance.
        trust: the trust file, verified.
        keystore: its private keys.
        store: what it knows.
        folder: on disk, or None.
    """

    def __init__(
        self,
        *,
        address: Address | None,
        broker_url: str,
        holder: str,
        trust: TrustFile,
        keystore: Keystore,
        store: Store,
        folder: Path | None,
    ) -> None:
        self.address = address
        self.broker_url = broker_url
        self.holder = holder
        self.trust = trust
        self.keystore = keystore
        self.store = store
        self._log = trust.origin
        self.folder = folder
        self._evidence: list[Evidence] = []
        #: Of the key file that is open anyway, so that a running client can add the keys that it renews.
        self._passphrase = ""
        self._lock: int | None = None

    def __repr__(self) -> str:
        """Address and folder; never a key."""
        return f"Profile(address={self.address!r}, folder={str(self.folder) if self.folder else None!r})"

    @property
    def log(self) -> Origin:
        """Name of the log, as of what was last read of it: a succession changes it."""
        with contextlib.suppress(StorageError):  # closed: as of when it was last asked
            name = self.store.meta(LOG_NAME)
            self._log = Origin(name.decode()) if name is not None else self.trust.origin
        return self._log

    @property
    def log_names(self) -> tuple[Origin, ...]:
        """All names that the log ever had, as far as was read, the oldest first."""
        names = [self.trust.origin]
        while names[-1] != self.log:
            names.append(next_origin(names[-1]))
        return tuple(names)

    @property
    def endpoint(self) -> Address:
        """The endpoint's address.

        Raises:
            NotFoundError: ``no_endpoint``: this profile belongs to no endpoint.
        """
        if self.address is None:
            raise NotFoundError("no_endpoint", "this profile belongs to no endpoint: it sends no messages")
        return self.address

    # --- making and opening ---

    @classmethod
    def create(
        cls,
        folder: Path | str,
        *,
        address: str | None,
        broker_url: str,
        trust: bytes,
        passphrase: str,
        holder: str = "default",
        keys: Iterable[StoredKey] | None = None,
        recovery: PublicKey | None = None,
    ) -> Profile:
        """Make a profile in a new or empty folder, with fresh keys unless given some.

        Args:
            folder: to be made, mode 0700.
            address: of the endpoint; None for an authority's profile.
            broker_url: base URL of the broker.
            trust: bytes of the trust file; compare `trust.fingerprint` by voice with another participant.
            passphrase: for the key file.
            holder: pseudonym of who uses this instance.
            keys: to be kept; if None, a fresh ``instance`` and ``sealing`` key. An endpoint's first profile
                also holds the ``administrator`` key; a further instance needs the endpoint's sealing key.
            recovery: public half of the endpoint's recovery key, if it has one (_recovery.py).

        Raises:
            ConflictError: ``profile_exists``.
            MalformedError: an address, URL or trust file that is none.
            VerificationError: the trust file is not signed as it must be.
        """
        place = Path(folder)
        parsed = parse_address(address) if address is not None else None
        url = check_broker_url(broker_url)
        trust_file = read_trust_file(trust)
        chosen = tuple(keys) if keys is not None else (make_key(INSTANCE), make_key(SEALING))
        if place.exists() and any(place.iterdir()):
            raise ConflictError("profile_exists", f"the folder {place} is not empty: choose another one")
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.chmod(0o700)
        keystore = MemoryKeystore(chosen)
        if recovery is not None and parsed is not None:
            set_recovery_key(place, recovery, trust_file.origin, parsed, chosen)
        save_key_file(place / KEY_FILE, keystore, passphrase)
        write_private(place / TRUST_FILE, trust)
        # Last, since it is what makes the folder a profile.
        write_private(place / PROFILE_FILE, _encode(parsed, url, trust_file.origin, holder))
        profile = cls(
            address=parsed,
            broker_url=url,
            holder=holder,
            trust=trust_file,
            keystore=keystore,
            store=_open_store(place),
            folder=place,
        )
        profile._lock = _lock_folder(place)
        profile._passphrase = passphrase
        return profile

    @classmethod
    def open(cls, folder: Path | str, passphrase: str) -> Profile:
        """Open a profile.

        Raises:
            NotFoundError: ``no_profile``.
            MalformedError: a file of it is damaged.
            SealError: ``wrong_passphrase``.
            SignatureError: the trust file is not signed as it must be.
            ConflictError: ``profile_in_use``: another process has it open. Two that share one key and outbox
                could send a message twice; a further worker gets an instance of its own.
        """
        place = Path(folder)
        try:
            settings = Claims(parse_object((place / PROFILE_FILE).read_bytes(), "profile"), "profile")
            trust = read_trust_file((place / TRUST_FILE).read_bytes())
        except FileNotFoundError:
            raise NotFoundError("no_profile", f"there is no profile in {place}: make one first") from None
        if settings.raw("format") != FORMAT:
            malformed("unknown_version", f"expected a profile of format '{FORMAT}'")
        if settings.raw("log") != trust.origin:
            malformed("bad_profile", "profile and trust file are of different logs")
        address = settings.optional("address", parse_address)
        url = check_broker_url(settings.text("broker", 300))
        holder, uri = settings.text("holder", 64), settings.text("keys", 300)
        settings.done()
        lock = _lock_folder(place)
        try:
            profile = cls(
                address=address,
                broker_url=url,
                holder=holder,
                trust=trust,
                keystore=open_keystore(uri, place, passphrase),
                store=_open_store(place),
                folder=place,
            )
        except BaseException:
            os.close(lock)
            raise
        profile._lock = lock
        profile._passphrase = passphrase
        return profile

    @classmethod
    def in_memory(
        cls,
        *,
        address: str | None,
        broker_url: str,
        trust: bytes,
        keystore: Keystore,
        holder: str = "default",
    ) -> Profile:
        """A profile without files, for tests."""
        return cls(
            address=parse_address(address) if address is not None else None,
            broker_url=check_broker_url(broker_url),
            holder=holder,
            trust=read_trust_file(trust),
            keystore=keystore,
            store=Store(None),
            folder=None,
        )

    def close(self) -> None:
        """Close its store, and let others open the folder."""
        self.store.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def add_key(self, key: StoredKey, passphrase: str = "") -> None:
        """Add a private key to the key file. A new sealing key makes the one before it a former one.

        Args:
            key: to be added.
            passphrase: of the key file; that by which the profile was opened, if empty.

        Raises:
            TypeError: the keystore is no key file.
            SealError: ``wrong_passphrase``.
        """
        if not isinstance(self.keystore, MemoryKeystore):
            msg = "keys are added to this keystore by its own tools"
            raise TypeError(msg)
        keystore = self.keystore
        if self.folder is not None:
            keystore = load_key_file(self.folder / KEY_FILE, passphrase or self._passphrase)
        keystore = keystore.with_key(key)
        if self.folder is not None:
            keep_copies(self.folder, self.log, self.address, [key])
            save_key_file(self.folder / KEY_FILE, keystore, passphrase or self._passphrase)
        self.keystore = keystore

    # --- evidence ---

    def keep_evidence(self, error: InconsistentLogError, at: int) -> Evidence:
        """Keep both sides of a contradiction; and, if they convince a third party, the file that does.

        Args:
            error: with the raw signed bytes.
            at: ms since 1970.
        """
        place, contradiction = None, self._contradiction(error)
        if self.folder is not None:
            place = self.folder / EVIDENCE_FOLDER / f"{at}-{error.code}-{secrets.token_hex(2)}"
            place.mkdir(mode=0o700, parents=True)
            for number, piece in enumerate(error.evidence, 1):
                write_private(place / f"{number}.bin", piece)
            if contradiction is not None:
                write_private(place / CONTRADICTION_FILE, contradiction)
            about: dict[str, Any] = {
                "code": error.code,
                "message": error.message,
                "at": at,
                "facts": error.facts,
            }
            write_private(place / "about.json", json.dumps(about, indent=1, default=str).encode())
        evidence = Evidence(error.code, error.message, error.evidence, place, contradiction)
        self._evidence.append(evidence)
        return evidence

    def _contradiction(self, error: InconsistentLogError) -> bytes | None:
        """The file that convinces a third party, by the directory as read; None if the judge is not convinced."""
        # Only who has found something needs the judge.
        from countermark_protocol import contradictions  # noqa: PLC0415

        with contextlib.suppress(CountermarkError):
            made = contradictions.Contradiction(
                error.code, error.evidence, contradictions.of_logged(self.store.directory())
            )
            contradictions.prove_contradiction(made)
            return contradictions.encode_contradiction(made, self.log)
        return None

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """Contradictions found, those of earlier runs first."""
        if self.folder is None or not (self.folder / EVIDENCE_FOLDER).exists():
            return tuple(self._evidence)
        out: list[Evidence] = []
        for place in sorted((self.folder / EVIDENCE_FOLDER).iterdir()):
            about = parse_object((place / "about.json").read_bytes(), "evidence")
            file = place / CONTRADICTION_FILE
            pieces = sorted(place.glob("*.bin"), key=lambda p: int(p.stem))
            out.append(
                Evidence(
                    str(about["code"]),
                    str(about["message"]),
                    tuple(p.read_bytes() for p in pieces),
                    place,
                    file.read_bytes() if file.exists() else None,
                )
            )
        return tuple(out)


def _encode(address: Address | None, url: str, origin: Origin, holder: str) -> bytes:
    out: dict[str, Any] = {"format": FORMAT}
    if address is not None:
        out["address"] = address
    return encode_json({**out, "broker": url, "log": origin, "holder": holder, "keys": f"file:{KEY_FILE}"})


def _open_store(folder: Path) -> Store:
    path = folder / STATE_FILE
    path.touch(mode=0o600, exist_ok=True)
    return Store(path)


def _lock_folder(folder: Path) -> int:
    """Hold a profile's folder for this process; the descriptor that holds it."""
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    with contextlib.suppress(ImportError):  # no such locks on this system: the user keeps to one process
        import fcntl  # noqa: PLC0415

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise ConflictError(
                "profile_in_use", f"another process has the profile in {folder} open: wait until it ends"
            ) from None
    return descriptor
