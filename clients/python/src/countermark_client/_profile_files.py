"""The files of a profile's folder: their names, what a new profile is of, and who holds the folder.

Source: `countermark_client._profile`, which lists them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from countermark_client._recovery import set_recovery_key
from countermark_client._store import Store
from countermark_client._token_file import read_token_file
from countermark_client._trust import read_trust_file
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import encode_json, malformed, parse_object
from countermark_protocol.errors import ConflictError
from countermark_protocol.identifiers import Address
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.keys import PublicKey

FORMAT: Final = "countermark-profile-1"
PROFILE_FILE: Final = "profile.json"
TRUST_FILE: Final = "trust.countermark"
KEY_FILE: Final = "keys.json"
STATE_FILE: Final = "state.db"
LOCK_FILE: Final = "lock"


def check_broker_url(url: str) -> str:
    """Check a broker's base URL: scheme, host, port, and nothing else.

    Raises:
        MalformedError: ``broker_url``.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
        malformed("broker_url", "the broker's URL must be http(s)://<host>[:<port>] without a path")
    return f"{parts.scheme}://{parts.netloc}"


class About:
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


def make_folder(place: Path) -> None:
    """Make the folder of a new profile, for its owner alone.

    Raises:
        ConflictError: ``profile_exists``: it is not empty.
    """
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


def open_store(folder: Path) -> Store:
    """Open what a profile knows; a new file is for its owner alone."""
    path = folder / STATE_FILE
    path.touch(mode=0o600, exist_ok=True)
    return Store(path)


def lock_folder(folder: Path) -> int:
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
