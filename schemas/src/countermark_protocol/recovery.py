"""Recovery copies: an endpoint's sealing key, sealed to a key that lies in a safe. Never imported by the broker.

Who loses a disk loses the sealing key, and with it everything that is sealed to it. A recovery copy is that key's seed
under HPKE to a *recovery key*, whose ``info`` names log, address and both keys. It is no secret and proves nothing:
anybody could make one of another seed. So what it holds counts only if it gives the very key that the directory names.

On paper a recovery key is its seed and a check, in 14 groups of four letters and digits.

Source: docs/spec/keys.md §9.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from countermark_protocol.claims import Claims
from countermark_protocol.encoding import (
    encode_base64url,
    encode_hex,
    encode_json,
    labelled_bytes,
    labelled_hash,
    malformed,
    parse_base64url,
    parse_object,
)
from countermark_protocol.errors import NotFoundError, SealError, VerificationError
from countermark_protocol.identifiers import Address, KeyId, Origin, parse_address, parse_origin
from countermark_protocol.invitations import CODE_ALPHABET, as_typed
from countermark_protocol.keys import PublicKey, parse_key_json
from countermark_protocol.sealing import SECRET_BYTES, SealingKey, seal_to

FORMAT: Final = "countermark-recovery-1"
MAX_COPY_BYTES: Final = 16 * 1024
_CHECK_BYTES: Final = 3
#: 35 bytes of five bits a letter.
_PAPER_LETTERS: Final = (SECRET_BYTES + _CHECK_BYTES) * 8 // 5


@dataclass(frozen=True, slots=True)
class RecoveryCopy:
    """A sealing key under a recovery key, as read; nothing of it is verified before `open_copy`.

    Attributes:
        log: name of the log.
        address: of the endpoint.
        sealing: the key whose seed it holds.
        recovery: id of the recovery key that opens it.
        wrapped: HPKE enc ‖ ciphertext of the seed.
    """

    log: Origin
    address: Address
    sealing: PublicKey
    recovery: KeyId
    wrapped: bytes

    def encode(self) -> bytes:
        """The file."""
        return encode_json(
            {
                "format": FORMAT,
                "log": self.log,
                "address": self.address,
                "sealing": self.sealing.to_json(),
                "recovery": encode_hex(self.recovery),
                "wrapped": encode_base64url(self.wrapped),
            }
        )


def _info(log: Origin, address: Address, sealing: KeyId, recovery: KeyId) -> bytes:
    return labelled_bytes("recovery-copy", log.encode(), address.encode(), sealing, recovery)


def make_copy(
    log: Origin, address: Address, sealing: PublicKey, seed: bytes, recovery: PublicKey
) -> RecoveryCopy:
    """Seal a sealing key's seed to a recovery key.

    Args:
        log: name of the log.
        address: of the endpoint.
        sealing: the public half.
        seed: the private half, 32 bytes.
        recovery: public half of the recovery key.

    Raises:
        ValueError: `recovery` is no sealing key.
    """
    info = _info(log, address, sealing.key_id, recovery.key_id)
    return RecoveryCopy(log, address, sealing, recovery.key_id, seal_to(recovery, info, seed))


def parse_copy(data: bytes) -> RecoveryCopy:
    """Read a recovery copy.

    Raises:
        MalformedError: not one.
        UncheckableError: a key of an algorithm reserved for later.
    """
    if len(data) > MAX_COPY_BYTES:
        malformed("too_large", f"a recovery copy has at most {MAX_COPY_BYTES} bytes, got {len(data)}")
    claims = Claims(parse_object(data, "recovery copy"), "recovery copy")
    if claims.raw("format") != FORMAT:
        malformed("unknown_version", f"expected a recovery copy of format '{FORMAT}'")
    sealing = claims.parsed("sealing", parse_key_json)
    if sealing.is_signing:
        malformed("wrong_algorithm", "'sealing' of a recovery copy must be a sealing key")
    out = RecoveryCopy(
        claims.parsed("log", parse_origin),
        claims.parsed("address", parse_address),
        sealing,
        KeyId(claims.digest("recovery")),
        parse_base64url(claims.raw("wrapped"), "'wrapped' of recovery copy", limit=4096),
    )
    claims.done()
    return out


def open_copy(
    copy: RecoveryCopy,
    recovery: SealingKey,
    *,
    logs: Collection[Origin],
    address: Address,
    named: Callable[[KeyId], bool],
) -> bytes:
    """Open a recovery copy for one endpoint of one log.

    Args:
        copy: as read.
        recovery: the recovery key.
        logs: all names that the log ever had.
        address: of the endpoint.
        named: whether the verified directory ever named a key as a sealing key of this endpoint.

    Returns:
        The sealing key's seed, 32 bytes.

    Raises:
        VerificationError: ``recovery_other_log``, ``recovery_other_address``.
        NotFoundError: ``recovery_key_not_named``: the directory never named that key for this endpoint.
        SealError: ``other_recovery_key``; ``recovery_does_not_open``: it was altered, or made for something else;
            ``recovery_other_seed``: it opens, and what it holds is not the key that it states.
    """
    if copy.log not in logs:
        raise VerificationError(
            "recovery_other_log", f"this copy is of a key in the log '{copy.log}', expected '{min(logs)}'"
        )
    if copy.address != address:
        raise VerificationError(
            "recovery_other_address", f"this copy is of a key of {copy.address}, expected one of {address}"
        )
    key_id, held = copy.sealing.key_id, recovery.public_key.key_id
    if not named(key_id):
        raise NotFoundError(
            "recovery_key_not_named",
            f"the directory never named {key_id.hex()} as a sealing key of {address}: nothing was sealed to it",
        )
    if copy.recovery != held:
        raise SealError(
            "other_recovery_key",
            f"this copy opens with the recovery key {copy.recovery.hex()}, got {held.hex()}",
        )
    try:
        seed = recovery.open(copy.wrapped, _info(copy.log, address, key_id, held))
    except SealError:
        raise SealError(
            "recovery_does_not_open", "this copy does not open: it was altered, or put together from others"
        ) from None
    gives = SealingKey(seed, copy.sealing.algorithm).public_key if len(seed) == SECRET_BYTES else None
    if gives != copy.sealing:
        raise SealError(
            "recovery_other_seed",
            f"this copy opens, and holds another key than {key_id.hex()}, which it states",
        )
    return seed


def _paper_check(seed: bytes) -> bytes:
    return labelled_hash("recovery-paper", seed)[:_CHECK_BYTES]


def show_paper(seed: bytes) -> str:
    """A recovery key as it is printed: 14 groups of four."""
    number = int.from_bytes(seed + _paper_check(seed), "big")
    letters = [CODE_ALPHABET[number >> 5 * i & 31] for i in reversed(range(_PAPER_LETTERS))]
    return "-".join("".join(letters[i : i + 4]) for i in range(0, _PAPER_LETTERS, 4))


def parse_paper(text: str) -> bytes:
    """The seed of a recovery key as typed from paper: case, hyphens and spaces do not matter.

    Raises:
        MalformedError: ``recovery_paper``: letters missing, or mistyped.
    """
    letters = as_typed(text)
    if len(letters) != _PAPER_LETTERS or not set(letters) <= set(CODE_ALPHABET):
        malformed(
            "recovery_paper", f"expected 14 groups of four letters and digits, got {len(letters)} in all"
        )
    number = 0
    for letter in letters:
        number = number << 5 | CODE_ALPHABET.index(letter)
    data = number.to_bytes(SECRET_BYTES + _CHECK_BYTES, "big")
    seed = data[:SECRET_BYTES]
    if not hmac.compare_digest(_paper_check(seed), data[SECRET_BYTES:]):
        malformed("recovery_paper", "these letters do not fit together: one of them is mistyped")
    return seed
