"""What the families of countermark/attachments.json run; `test_own_vectors` collects them."""

from __future__ import annotations

import hashlib
from typing import Any

from countermark_protocol.attachments import PIECE_BYTES, SealedAttachment, parse_sealed_attachment
from countermark_protocol.chunks import seal_chunks
from countermark_protocol.descriptors import descriptor_of, parse_descriptor
from countermark_protocol.disclosure import parse_disclosed, verify_shown, verify_shown_file
from countermark_protocol.encoding import parse_base64url
from countermark_protocol.padding import pad
from countermark_protocol.parts import Part, join_all_parts
from countermark_protocol.sealed_attachments import (
    AttachmentKey,
    AttachmentSealer,
    attachment_key,
    open_attachment,
)
from countermark_protocol.sealing import ContentSecrets


def _content(file: dict[str, Any]) -> bytes:
    return hashlib.shake_256(file["shake"].encode()).digest(file["size"])


def _key(value: dict[str, Any]) -> AttachmentKey:
    return attachment_key(ContentSecrets(bytes.fromhex(value["content_key"]), bytes(32)), value["number"])


def named_of(value: dict[str, Any]) -> tuple[SealedAttachment, ...]:
    """The manifest's attachments that a case may name."""
    return tuple(parse_sealed_attachment(one, "vector") for one in value.get("attachments", []))


def run_seal_attachment(value: dict[str, Any], _file: str) -> dict[str, Any]:
    data = _content(value["file"])
    blocks = [data[at : at + 1_000_001] for at in range(0, len(data), 1_000_001)]
    sealer = AttachmentSealer(_key(value), bytes.fromhex(value["salt"]), blocks)
    assert all(1 <= len(piece.data) <= PIECE_BYTES for piece in sealer)
    return {
        "key": _key(value).secret.hex(),
        "attachment": sealer.result.named.to_json(),
        "pieces": [digest.hex() for digest in sealer.result.pieces],
        "sha256": sealer.result.sha256.hex(),
    }


def _sealed(how: dict[str, Any]) -> bytes:
    padded, ends = pad(_content(how["file"])), bytes.fromhex(how.get("ends", ""))
    return seal_chunks(
        _key(how).secret, padded[: len(padded) - len(ends)] + ends, bytes.fromhex(how["salt"]), b""
    )


def run_open_attachment(value: dict[str, Any], _file: str) -> dict[str, Any]:
    sealed = [_sealed(how) for how in value["sealed"]]
    joined = bytearray(b"".join(sealed[which][begin:end] for which, begin, end in value["slices"]))
    for offset, mask in value["flips"]:
        joined[offset] ^= mask
    pieces = [bytes(joined[at : at + PIECE_BYTES]) for at in range(0, len(joined), PIECE_BYTES)]
    opening = open_attachment(
        _key(value),
        parse_sealed_attachment(value["attachment"], "vector"),
        [bytes.fromhex(digest) for digest in value["pieces"]],
        descriptor_of(value["descriptor"]),
        pieces,
    )
    original, opened = pad(_content(value["sealed"][0]["file"])), 0
    for block in opening:  # whatever fails later: what is given out before is how the sealed file begins
        assert block == original[opened : opened + len(block)]
        opened += len(block)
    return {"sha256": hashlib.sha256(original[:opened]).hexdigest(), "size": opened}


def run_descriptor(value: dict[str, Any], _file: str) -> dict[str, Any]:
    descriptor = parse_descriptor(parse_base64url(value["data"], "vector"))
    return {"name": descriptor.name, "size": descriptor.size}


def run_parts(value: dict[str, Any], _file: str) -> dict[str, Any]:
    parts = [Part(name, data.encode()) for name, data in value["parts"]]
    joined = join_all_parts(parts, named_of(value))
    return {
        "attachments": [f"attachment:{k}" for k in range(len(joined.attachments))],
        "document": joined.document,
    }


def run_shown_file(value: dict[str, Any], _file: str) -> dict[str, Any]:
    shown = verify_shown(parse_disclosed(parse_base64url(value["disclosure"], "vector")))
    return {"name": verify_shown_file(shown, value["attachment"], [_content(value["file"])]).name}
