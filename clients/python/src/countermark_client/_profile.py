"""A profile: one instance of one endpoint, as a folder of files that belong to its owner alone.

::

    profile.json          address, broker's URL, log, holder, where the keys are
    trust.countermark     the founding's signed document: the trust file, compared by fingerprint
    keys.json             private keys, encrypted (docs/spec/keys.md §6); or
    keys.token.json       names of keys in a token, and wrapped seeds (docs/spec/keys.md §8)
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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

from countermark_client._keystore import (
    INSTANCE,
    SEALING,
    GrowingKeystore,
    Keystore,
    MemoryKeystore,
    load_key_file,
    make_key,
    open_keystore,
    save_key_file,
    token_library,
    write_private,
)
from countermark_client._recovery import keep_copies, set_recovery_key
from countermark_client._store import Store
from countermark_client._tables_log import LOG_NAME
from countermark_client._token_file import TOKEN_FILE, TokenFile, read_token_file
from countermark_client._trust import TrustFile, read_trust_file
from countermark_client.errors import StorageError
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import encode_json, malformed, parse_object
from countermark_protocol.errors import (
    ConflictError,
    CountermarkError,
    InconsistentLogError,
    NotFoundError,
    UncheckableError,
)
from countermark_protocol.identifiers import Address, Origin, parse_address
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.keys import Algorithm, PublicKey
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
            passphrase: for the key file. Keys in a token: `create_in_token`.
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
        about = _About(parse_address(address) if address is not None else None, broker_url, trust, holder)
        chosen = tuple(keys) if keys is not None else (make_key(INSTANCE), make_key(SEALING))
        _make_folder(place)
        keystore = MemoryKeystore(chosen)
        about.recover(place, recovery, chosen)
        save_key_file(place / KEY_FILE, keystore, passphrase)
        return cls._establish(place, about, f"file:{KEY_FILE}", keystore, passphrase)

    @classmethod
    def create_in_token(
        cls,
        folder: Path | str,
        *,
        address: str | None,
        broker_url: str,
        trust: bytes,
        token: str,
        pin: str = "",
        holder: str = "default",
        uses: Iterable[str] = (INSTANCE,),
        algorithm: Algorithm | None = None,
        named: Mapping[str, str] | None = None,
        sealing: Iterable[StoredKey] | None = None,
        recovery: PublicKey | None = None,
    ) -> Profile:
        """Make a profile whose signing keys are in a PKCS#11 token, and whose sealing key only that token opens.

        Args:
            folder: as of `create`; as are `address`, `broker_url`, `trust` and `holder`.
            address: of the endpoint; None for an authority's profile, which has no sealing key.
            broker_url: base URL of the broker.
            trust: bytes of the trust file.
            token: ``pkcs11:`` URI of the token (RFC 7512), with ``module-path``; it names no key.
            pin: of the token's user; empty: from the file that the URI's ``pin-source`` names, or the variable
                ``COUNTERMARK_PIN``.
            holder: pseudonym of who uses this instance.
            uses: of signing keys to be made in the token.
            algorithm: of them; ES256 if None.
            named: URIs of signing keys that are in the token already, by their uses.
            sealing: sealing keys to be wrapped; if None, a fresh one for an endpoint, none without an address.
            recovery: as of `create`.

        Raises:
            UncheckableError: ``no_token_library``.
            TokenError: the token cannot be opened, or does not make such keys. What it made stays in it.
            CountermarkError: as `create`.
        """
        place = Path(folder)
        about = _About(parse_address(address) if address is not None else None, broker_url, trust, holder)
        fresh = (make_key(SEALING),) if address is not None else ()
        chosen = tuple(sealing) if sealing is not None else fresh
        tokens = token_library()
        _make_folder(place)
        keystore = tokens.TokenKeystore(place / TOKEN_FILE, TokenFile(token), pin)
        for use, uri in (named or {}).items():
            keystore = keystore.with_named(use, uri)
        for use in uses:
            keystore = keystore.with_made(use, algorithm, address or holder)
        for key in chosen:
            keystore = keystore.with_key(key, address or holder)
        about.recover(place, recovery, chosen)
        keystore.save()
        return cls._establish(place, about, f"token:{TOKEN_FILE}", keystore, pin)

    @classmethod
    def _establish(cls, place: Path, about: _About, uri: str, keystore: Keystore, passphrase: str) -> Profile:
        write_private(place / TRUST_FILE, about.trust)
        # Last, since it is what makes the folder a profile.
        write_private(place / PROFILE_FILE, about.encode(uri))
        profile = cls(
            address=about.address,
            broker_url=about.url,
            holder=about.holder,
            trust=about.trust_file,
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
        """Add a private key. A new sealing key makes the one before it a former one; in a token it is wrapped.

        Args:
            key: to be added.
            passphrase: of the key file; that by which the profile was opened, if empty.

        Raises:
            TypeError: the keystore is neither a key file nor a token.
            UncheckableError: ``keys_elsewhere``: a token makes its signing keys itself.
            SealError: ``wrong_passphrase``.
        """
        if isinstance(self.keystore, GrowingKeystore):
            grown = self.keystore.with_key(key, self._owner)
            if self.folder is not None:
                keep_copies(self.folder, self.log, self.address, [key])
            self._grow(grown)
            return
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

    def make_key(
        self, use: str, algorithm: Algorithm | None = None, passphrase: str = "", *, second: bool = False
    ) -> None:
        """Make a fresh key where this profile's keys are: in its key file, or in its token.

        Args:
            use: what it is for.
            algorithm: of it; the keystore's own default if None.
            passphrase: as of `add_key`.
            second: whether a signing key is paired with an ML-DSA-65 key.

        Raises:
            TypeError: as `add_key`.
            UncheckableError: ``no_pairs_in_tokens``.
            CountermarkError: as `add_key`; of a token also as it makes keys.
        """
        if isinstance(self.keystore, GrowingKeystore) and use != SEALING:
            if second:
                raise UncheckableError(
                    "no_pairs_in_tokens",
                    "a key in a token has no ML-DSA-65 half: say --no-second, or keep the pair in a key file",
                )
            self._grow(self.keystore.with_made(use, algorithm, self._owner))
        else:
            self.add_key(make_key(use, algorithm, second=second), passphrase)

    def name_key(self, use: str, uri: str) -> None:
        """Take a signing key that lies in the profile's token already.

        Args:
            use: what it is for.
            uri: of it, ``pkcs11:``.

        Raises:
            UncheckableError: ``keys_elsewhere``: the profile's keys are in no token.
            TokenError: ``other_token``, or the key cannot be found and used.
        """
        if not isinstance(self.keystore, GrowingKeystore):
            raise UncheckableError(
                "keys_elsewhere", "this profile's keys are in a key file: it takes no key of a token"
            )
        self._grow(self.keystore.with_named(use, uri))

    @property
    def _owner(self) -> str:
        return self.address or self.holder

    def _grow(self, keystore: GrowingKeystore) -> None:
        keystore.save()
        self.keystore = cast("Keystore", keystore)

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


class _About:
    """What a new profile is of, checked before anything is made.

    Args:
        address: of the endpoint, or None.
        broker_url: base URL of the broker.
        trust: bytes of the trust file.
        holder: pseudonym of who uses this instance.
    """

    def __init__(self, address: Address | None, broker_url: str, trust: bytes, holder: str) -> None:
        self.address, self.trust, self.holder = address, trust, holder
        self.url = check_broker_url(broker_url)
        self.trust_file = read_trust_file(trust)

    def encode(self, keys: str) -> bytes:
        """The profile file; `keys` names the keystore."""
        out: dict[str, Any] = {"format": FORMAT}
        if self.address is not None:
            out["address"] = self.address
        rest = {"broker": self.url, "log": self.trust_file.origin, "holder": self.holder, "keys": keys}
        return encode_json({**out, **rest})

    def recover(self, place: Path, recovery: PublicKey | None, keys: Iterable[StoredKey]) -> None:
        """Keep copies of sealing keys for the recovery key, if there is one."""
        if recovery is not None and self.address is not None:
            set_recovery_key(place, recovery, self.trust_file.origin, self.address, keys)


def _make_folder(place: Path) -> None:
    if place.exists() and any(place.iterdir()):
        raise ConflictError("profile_exists", f"the folder {place} is not empty: choose another one")
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.chmod(0o700)


def token_of(folder: Path | str) -> str | None:
    """URI of the token that a profile's keys are in; None if they are in a key file, or there is no profile.

    Raises:
        CountermarkError: the profile's files are damaged.
    """
    place = Path(folder)
    if not (place / PROFILE_FILE).exists():
        return None
    scheme, _, name = str(
        Claims(parse_object((place / PROFILE_FILE).read_bytes(), "profile"), "profile").raw("keys")
    ).partition(":")
    return read_token_file(place / name).token if scheme == "token" else None


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
