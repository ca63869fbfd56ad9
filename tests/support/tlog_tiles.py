"""A reader that knows nothing but the text of C2SP tlog-tiles: it imports nothing of ours.

Source: C2SP tlog-tiles.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable


def root_by_tiles(fetch: Callable[[str], bytes]) -> tuple[int, bytes, bytes, list[bytes]]:
    """Size, root as signed, root as the hash tiles give it, and the entries, checked against level 0."""
    _, size_line, root_line = fetch("checkpoint").decode().split("\n\n")[0].split("\n")
    size, signed = int(size_line), base64.b64decode(root_line)

    def sha(data):
        return hashlib.sha256(data).digest()

    def name(index):
        text = f"{index % 1000:03d}"
        while index := index // 1000:
            text = f"x{index % 1000:03d}/{text}"
        return text

    def level_hashes(level):
        count = size // 256**level
        out = []
        for n in range(-(-count // 256)):
            width = min(256, count - 256 * n)
            data = fetch(f"tile/{level}/{name(n)}" + (f".p/{width}" if width < 256 else ""))
            assert len(data) == 32 * width
            out += [data[i : i + 32] for i in range(0, len(data), 32)]
        return out

    def mth(hashes):
        if len(hashes) == 1:
            return hashes[0]
        k = 1
        while k * 2 < len(hashes):
            k *= 2
        return sha(b"\x01" + mth(hashes[:k]) + mth(hashes[k:]))

    base = level_hashes(0)
    level, below = 1, base
    while size // 256**level:
        above = level_hashes(level)
        for i, digest in enumerate(above):
            assert digest == mth(below[256 * i : 256 * i + 256])
        level, below = level + 1, above
    entries = []
    for n in range(-(-size // 256)):
        width = min(256, size - 256 * n)
        data, at = fetch(f"tile/entries/{name(n)}" + (f".p/{width}" if width < 256 else "")), 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 2], "big")
            entries.append(data[at + 2 : at + 2 + length])
            at += 2 + length
    assert [sha(b"\x00" + entry) for entry in entries] == base
    return size, signed, mth(base), entries
