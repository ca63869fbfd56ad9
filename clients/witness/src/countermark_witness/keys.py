"""The witness's own keys: one of each kind, in one file under a passphrase.

The file is a sealed one (docs/spec/keys.md §7) whose content is a strict JSON object. Beside it lie the verifier
keys in the clear, to be given to whoever shall believe this witness.

Source: docs/spec/witness.md §1.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from countermark_protocol.claims import Claims
from countermark_protocol.cosignature import (
    SEED_BYTES,
    CosignatureType,
    Cosigner,
    encode_cosigner_vkey,
)
from countermark_protocol.encoding import encode_base64url, encode_json, parse_base64url, parse_object
from countermark_protocol.errors import CountermarkError
from countermark_protocol.keyfile import SALT_BYTES
from countermark_protocol.sealed_file import open_file, seal_file
from countermark_witness.errors import WitnessError

FORMAT: Final = "countermark-witness-keys-1"
#: Salt of the chunked encryption, bytes (docs/spec/sealing.md §2).
_CHUNK_SALT_BYTES: Final = 24
_MEMBERS: Final = {"ed25519": CosignatureType.ED25519, "ml_dsa_44": CosignatureType.ML_DSA_44}


def make_keys(path: Path, name: str, passphrase: str) -> tuple[Cosigner, ...]:
    """Make one key of each kind and write them to a file that only its owner may read.

    Args:
        path: of the new file; never over another.
        name: of the witness.
        passphrase: not empty.

    Raises:
        MalformedError: ``bad_key_name``, ``cosigned_name_size``.
        WitnessError: ``home_in_use``: the file exists.
    """
    seeds = {member: os.urandom(SEED_BYTES) for member in _MEMBERS}
    cosigners = tuple(Cosigner(name, kind, seeds[member]) for member, kind in _MEMBERS.items())
    plain = encode_json(
        {"format": FORMAT, "name": name} | {m: encode_base64url(seed) for m, seed in seeds.items()}
    )
    sealed = seal_file(passphrase, os.urandom(SALT_BYTES), os.urandom(_CHUNK_SALT_BYTES), [plain])
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        raise WitnessError("home_in_use", f"{path} exists: keys are never overwritten") from None
    with os.fdopen(descriptor, "wb") as file:
        file.writelines(sealed)
        file.flush()
        os.fsync(file.fileno())
    return cosigners


def load_keys(path: Path, passphrase: str) -> tuple[Cosigner, ...]:
    """Open a key file.

    Raises:
        WitnessError: ``no_key_file``, ``open_key_file`` (others may read it), or ``bad_key_file``: it does not
            open with this passphrase, or is none.
    """
    try:
        mode = path.stat().st_mode
        data = path.read_bytes()
    except OSError as error:
        raise WitnessError("no_key_file", f"cannot read the key file {path}: {error.strerror}") from None
    if mode & 0o077:
        raise WitnessError("open_key_file", f"others may read {path}: run `chmod 600` on it")
    try:
        return _parse(b"".join(open_file(passphrase, [data])))
    except CountermarkError as error:
        raise WitnessError("bad_key_file", f"{path}: {error}") from None


def _parse(plain: bytes) -> tuple[Cosigner, ...]:
    claims = Claims(parse_object(plain, "key file"), "key file")
    if claims.text("format") != FORMAT:
        claims.bad("format", FORMAT)
    name = claims.text("name", 255)
    seeds = {member: claims.parsed(member, _seed) for member in _MEMBERS}
    claims.done()
    return tuple(Cosigner(name, kind, seeds[member]) for member, kind in _MEMBERS.items())


def _seed(value: object, what: str) -> bytes:
    seed = parse_base64url(value, what)
    if len(seed) != SEED_BYTES:
        raise WitnessError("bad_key_file", f"{what} must have {SEED_BYTES} bytes, got {len(seed)}")
    return seed


def vkeys_text(cosigners: tuple[Cosigner, ...]) -> str:
    """The verifier keys, one a line."""
    return "".join(f"{encode_cosigner_vkey(c.key)}\n" for c in cosigners)
