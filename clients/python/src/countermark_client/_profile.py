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
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

from countermark_client._evidence_kept import Evidence, keep_evidence, kept_evidence
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
from countermark_client._piece_files import PieceFiles
from countermark_client._profile_files import (
    FORMAT,
    KEY_FILE,
    PROFILE_FILE,
    TRUST_FILE,
    About,
    check_broker_url,
    lock_folder,
    make_folder,
    open_store,
)
from countermark_client._recovery import keep_copies
from countermark_client._store import Store
from countermark_client._tables_log import LOG_NAME
from countermark_client._token_file import TOKEN_FILE, TokenFile
from countermark_client._trust import TrustFile, read_trust_file
from countermark_client.errors import StorageError
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import malformed, parse_object
from countermark_protocol.errors import (
    InconsistentLogError,
    NotFoundError,
    UncheckableError,
)
from countermark_protocol.identifiers import Address, Origin, parse_address
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.keys import Algorithm, PublicKey
from countermark_protocol.succession import next_origin


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
        #: Sealed pieces of attachments, sent and received.
        self.pieces = PieceFiles(folder)
        self.pieces.sweep(store.all_pieces())
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
        about = About(parse_address(address) if address is not None else None, broker_url, trust, holder)
        chosen = tuple(keys) if keys is not None else (make_key(INSTANCE), make_key(SEALING))
        make_folder(place)
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
        about = About(parse_address(address) if address is not None else None, broker_url, trust, holder)
        fresh = (make_key(SEALING),) if address is not None else ()
        chosen = tuple(sealing) if sealing is not None else fresh
        tokens = token_library()
        make_folder(place)
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
    def _establish(cls, place: Path, about: About, uri: str, keystore: Keystore, passphrase: str) -> Profile:
        write_private(place / TRUST_FILE, about.trust)
        # Last, since it is what makes the folder a profile.
        write_private(place / PROFILE_FILE, about.encode(uri))
        profile = cls(
            address=about.address,
            broker_url=about.url,
            holder=about.holder,
            trust=about.trust_file,
            keystore=keystore,
            store=open_store(place),
            folder=place,
        )
        profile._lock = lock_folder(place)
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
        lock = lock_folder(place)
        try:
            profile = cls(
                address=address,
                broker_url=url,
                holder=holder,
                trust=trust,
                keystore=open_keystore(uri, place, passphrase),
                store=open_store(place),
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
        self.pieces.close()
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
        evidence = keep_evidence(self.folder, self.store, self.log, error, at)
        self._evidence.append(evidence)
        return evidence

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """Contradictions found, those of earlier runs first."""
        kept = kept_evidence(self.folder) if self.folder is not None else None
        return tuple(self._evidence) if kept is None else kept
