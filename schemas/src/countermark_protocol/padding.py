"""Padded sizes: what is sealed shows roughly how large it is, never exactly.

Padmé leaves O(log log L) bits of a length visible; from our minimum on it costs at most a sixteenth, less the
larger it gets. Content up to `MIN_PADDED_BYTES` all looks alike. Padding is zero bytes *inside* the seal, and
checked: it is not a place to hide anything that the commitment does not cover.

Sources: Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs",
PoPETS 2019(4), §4 (Padmé); docs/spec/sealing.md §3.
"""

from __future__ import annotations

from typing import Final

from countermark_protocol.errors import SealError

#: The shortest typed messages (a receipt's details, an acknowledgement) must not differ by size.
MIN_PADDED_BYTES: Final = 256


def padded_size(size: int) -> int:
    """The size to which `size` bytes are padded: never smaller, and a fixed point of itself.

    Args:
        size: bytes before padding, 0 or more.

    Raises:
        ValueError: `size` is negative.
    """
    if size < 0:
        msg = f"a size is not negative, got {size}"
        raise ValueError(msg)
    if size <= MIN_PADDED_BYTES:
        return MIN_PADDED_BYTES
    exponent = size.bit_length() - 1  # floor(log2 L)
    kept = exponent.bit_length()  # floor(log2 E) + 1: so many bits of L may stay significant
    mask = (1 << exponent - kept) - 1
    return (size + mask) & ~mask


def pad(data: bytes) -> bytes:
    """Append zero bytes up to the padded size."""
    return data.ljust(padded_size(len(data)), b"\x00")


def check_padding(data_size: int, padded: bytes) -> None:
    """Check that all beyond the data is exactly the padding `pad` would have appended.

    Args:
        data_size: bytes of `padded` that are data; where the data ends is known from its own encoding.
        padded: the whole opened plaintext.

    Raises:
        SealError: ``padding_size`` (more or fewer bytes than the padded size), ``non_zero_padding``.
    """
    expected = padded_size(data_size)
    if len(padded) != expected:
        raise SealError(
            "padding_size",
            f"content of {data_size} bytes must be padded to {expected}, got {len(padded)} bytes",
            expected=expected,
            got=len(padded),
        )
    if padded.count(0, data_size) != expected - data_size:
        raise SealError("non_zero_padding", "the padding after the content holds bytes other than zero")
