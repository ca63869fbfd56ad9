"""The witness's home directory: its files, and the settings in the environment.

Source: docs/howto/run-a-witness.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from countermark_witness.errors import WitnessError

PREFIX: Final = "COUNTERMARK_WITNESS_"
HOME_VARIABLE: Final = f"{PREFIX}HOME"
PASSPHRASE_VARIABLE: Final = f"{PREFIX}PASSPHRASE"

KEYS_FILE: Final = "witness.keys"
VKEYS_FILE: Final = "witness.vkeys"
STORE_FILE: Final = "witness.db"
MIRROR_KEYS_FILE: Final = "mirror.keys"
MIRROR_VKEYS_FILE: Final = "mirror.vkeys"
MIRROR_STORE_FILE: Final = "mirror.db"


def check_environment(environment: Mapping[str, str]) -> None:
    """Refuse variables that begin as ours do and are none: a misspelt one would be silently without effect.

    Raises:
        WitnessError: ``unknown_variable``.
    """
    known = {HOME_VARIABLE, PASSPHRASE_VARIABLE}
    unknown = sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise WitnessError("unknown_variable", f"{unknown[0]} is no setting of a witness")


def read_passphrase(path: Path | None, environment: Mapping[str, str]) -> str:
    """The passphrase of the key file; there is no default.

    Raises:
        WitnessError: ``no_passphrase``, ``open_key_file``: everybody may read the file that holds it.
    """
    if path is None:
        text = environment.get(PASSPHRASE_VARIABLE, "")
    else:
        # A group may read it: systemd grants its credentials by an access list, which shows as that.
        if path.stat().st_mode & 0o027:
            raise WitnessError("open_key_file", f"everybody may read {path}: run `chmod 600` on it")
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    if not text:
        raise WitnessError("no_passphrase", f"give --passphrase-file, or set {PASSPHRASE_VARIABLE}")
    return text


def make_home(home: Path) -> None:
    """Make the directory, for its owner alone, if it is not there.

    Raises:
        WitnessError: ``home_in_use``: a witness lives there.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in (KEYS_FILE, VKEYS_FILE, STORE_FILE):
        if (home / name).exists():
            raise WitnessError("home_in_use", f"{home / name} exists: choose another home directory")


def write_new(path: Path, text: str) -> None:
    """Write a small file durably; never over another."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
