"""Recovery copies of a profile's sealing keys: made whenever there is a new one, opened when a disk is lost.

``recovery.pub`` in the profile's folder is the public half of the recovery key. While it is there, a sealing key is
kept only once its copy lies in ``recovery/``: so none is ever published that could not be recovered. The copies are
files to keep elsewhere, and part of every backup.

Source: docs/spec/keys.md §9.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from countermark_client._keystore import SEALING, SEALING_OLD, GrowingKeystore, MemoryKeystore, write_private
from countermark_protocol.directory import Directory
from countermark_protocol.encoding import encode_json, malformed, parse_object
from countermark_protocol.errors import UncheckableError
from countermark_protocol.identifiers import Address, KeyId, Origin
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.keys import PublicKey, parse_key_json
from countermark_protocol.records import KeysRecord
from countermark_protocol.recovery import make_copy, open_copy, parse_copy
from countermark_protocol.sealing import SealingKey

if TYPE_CHECKING:
    from countermark_client._profile import Profile

RECOVERY_FILE: Final = "recovery.pub"
RECOVERY_FOLDER: Final = "recovery"


def recovery_key(folder: Path) -> PublicKey | None:
    """The recovery key of a profile, if it has one.

    Raises:
        MalformedError: ``wrong_algorithm``, or ``recovery.pub`` is no key.
    """
    try:
        data = (folder / RECOVERY_FILE).read_bytes()
    except FileNotFoundError:
        return None
    return check_recovery_key(parse_key_json(parse_object(data, RECOVERY_FILE), RECOVERY_FILE))


def check_recovery_key(key: PublicKey) -> PublicKey:
    """Check that sealing keys can be sealed to a key.

    Raises:
        MalformedError: ``wrong_algorithm``.
    """
    if key.is_signing:
        malformed("wrong_algorithm", "a recovery key is a sealing key: `countermark key recovery-key new`")
    return key


def set_recovery_key(
    folder: Path, key: PublicKey, log: Origin, address: Address, held: Iterable[StoredKey]
) -> tuple[Path, ...]:
    """Make a key the recovery key of a profile, with copies of the sealing keys that it holds; their files.

    Raises:
        MalformedError: ``wrong_algorithm``.
    """
    write_private(folder / RECOVERY_FILE, encode_json(check_recovery_key(key).to_json()))
    return keep_copies(folder, log, address, held)


def keep_copies(
    folder: Path, log: Origin, address: Address | None, keys: Iterable[StoredKey]
) -> tuple[Path, ...]:
    """Write copies of the sealing keys among `keys`, if the profile has a recovery key; their files.

    Raises:
        MalformedError: as `recovery_key`.
    """
    recovery = recovery_key(folder)
    if recovery is None or address is None:
        return ()
    place = folder / RECOVERY_FOLDER
    place.mkdir(mode=0o700, exist_ok=True)
    out: list[Path] = []
    for key in keys:
        if key.use in {SEALING, SEALING_OLD}:
            public = SealingKey(key.private, key.algorithm).public_key
            path = place / f"{public.key_id.hex()}.json"
            write_private(path, make_copy(log, address, public, key.private, recovery).encode())
            out.append(path)
    return tuple(out)


def recover_keys(
    profile: Profile, directory: Directory, copies: Iterable[bytes], recovery: SealingKey, passphrase: str
) -> tuple[tuple[str, PublicKey], ...]:
    """Take sealing keys back into a profile; all copies are opened before any is kept.

    Returns:
        (use, public key) of those that the profile did not hold: the key that the directory names becomes the
        current one, any other a former one.

    Raises:
        CountermarkError: as `parse_copy` and `open_copy`.
        UncheckableError: ``keys_elsewhere``: the keystore is neither a key file nor a token.
    """
    address = profile.endpoint
    if not isinstance(profile.keystore, MemoryKeystore | GrowingKeystore):
        raise UncheckableError(
            "keys_elsewhere",
            "this profile's keys are neither in a key file nor in a token: nothing is added here",
        )
    held = {public for _, public in profile.keystore.public_keys()}
    record = directory.keys(address)
    found: list[tuple[StoredKey, PublicKey]] = []
    for data in copies:
        copy = parse_copy(data)
        seed = open_copy(
            copy,
            recovery,
            logs=profile.log_names,
            address=address,
            named=lambda key_id: _ever_named(directory, address, key_id),
        )
        if copy.sealing not in held:
            held.add(copy.sealing)
            current = record is not None and record.sealing == copy.sealing
            use = SEALING if current else SEALING_OLD
            found.append((StoredKey(use, copy.sealing.algorithm, seed), copy.sealing))
    for stored, _ in found:
        profile.add_key(stored, passphrase)
    return tuple((stored.use, public) for stored, public in found)


def _ever_named(directory: Directory, address: Address, key_id: KeyId) -> bool:
    records = (held.record for held in directory.history(f"keys/{address}"))
    return any(
        key is not None and key.key_id == key_id
        for record in records
        if isinstance(record, KeysRecord)
        for key in (record.sealing, record.previous_sealing)
    )
