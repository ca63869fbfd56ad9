"""Attachments, written from docs/spec (sealing.md §9, messages.md §9, disclosure.md §3) a second time.

Nothing but the standard library and `cryptography`, and nothing of Countermark; part of verify_independently.py.
"""

import hashlib
import hmac
import re

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from independent_basics import (
    H,
    b64,
    hex32,
    leaf_hash,
    mac,
    need,
    open_chunks,
    padded_size,
    strict_json,
    tree_root,
    u,
)

PIECE = 4_194_304
HIDDEN = [
    (0x0000, 0x001F), (0x007F, 0x009F), (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160),
    (0x17B4, 0x17B5), (0x180E, 0x180E), (0x200B, 0x200B), (0x200E, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F),
    (0x3164, 0x3164), (0xD800, 0xF8FF), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFF), (0xE0000, 0x10FFFF),
]  # fmt: skip
DEVICES = {"con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in "0123456789¹²³")}


# --- pieces and what the manifest names ---


def pieces_of(size):
    """How many pieces so many sealed bytes are."""
    return (size + PIECE - 1) // PIECE


def check_named(attachments):
    """The member `attachments` of a manifest."""
    need(
        isinstance(attachments, list) and len(attachments) <= 256, "attachments that are no list, or too many"
    )
    for one in attachments:
        need(set(one) == {"digest", "size"}, "an attachment with other members")
        hex32(one["digest"])
        need(
            type(one["size"]) is int and 328 <= one["size"] <= 2_149_580_872, "a size that no attachment has"
        )
    need(len({(a["digest"], a["size"]) for a in attachments}) == len(attachments), "an attachment twice")
    need(sum(pieces_of(a["size"]) for a in attachments) <= 2048, "too many pieces")


def check_pieces(named, digests):
    """The list of pieces is the one that the manifest names."""
    root = tree_root([leaf_hash(d) for d in digests])
    need(len(digests) == pieces_of(named["size"]), "another number of pieces")
    need(H("attachment", u(named["size"], 8), root) == hex32(named["digest"]), "other pieces than are named")


# --- descriptors ---


def shown_text(text, most):
    need(isinstance(text, str) and 1 <= len(text) <= most, "a text of another length")
    need(
        not any(low <= ord(c) <= high for c in text for low, high in HIDDEN),
        "a character that is not to be seen",
    )


def check_name(name):
    shown_text(name, 120)
    need(
        len(name.encode()) <= 240 and not set(name) & set('/\\:*?"<>|'), "a name too long, or that is a path"
    )
    need(name[0] not in " ." and name[-1] not in " .", "a name that begins or ends in a space or full stop")
    need(name.split(".")[0].lower() not in DEVICES, "a name of a device")


def read_descriptor(data):
    d = strict_json(data)
    need({"sha256", "size", "name", "mediaType"} <= set(d) <= {"sha256", "size", "name", "mediaType", "caption", "thumbnail"}, "other members")  # fmt: skip
    hex32(d["sha256"])
    need(type(d["size"]) is int and 1 <= d["size"] <= 2**31, "a size that no file has")
    check_name(d["name"])
    token = r"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}"
    need(re.fullmatch(f"{token}/{token}", d["mediaType"]), "no media type")
    if "caption" in d:
        shown_text(d["caption"], 500)
    if "thumbnail" in d:
        t = d["thumbnail"]
        need(set(t) == {"mediaType", "width", "height", "data"}, "a thumbnail with other members")
        need(t["mediaType"] in {"image/jpeg", "image/png"}, "a thumbnail of another form")
        need(
            all(type(t[side]) is int and 1 <= t[side] <= 512 for side in ("width", "height")),
            "too many pixels",
        )
        need(1 <= len(b64(t["data"])) <= 16_384, "a thumbnail of no or too many bytes")
    return d


def read_descriptors(parts, named):
    """(parts of the content, descriptors) of a whole list of parts, in the manifest's number and sizes."""
    content = [(name, data) for name, data in parts if not name.startswith("attachment:")]
    described = parts[len(content) :]
    need(
        [name for name, _ in described] == [f"attachment:{k}" for k in range(len(described))],
        "parts out of order",
    )
    need(len(described) == len(named), "another number of descriptors than of attachments")
    descriptors = [read_descriptor(data) for _, data in described]
    for descriptor, one in zip(descriptors, named, strict=True):
        check_size(descriptor, one)
    return content, descriptors


def check_size(descriptor, named):
    padded = padded_size(descriptor["size"])
    need(named["size"] == 56 + padded + 16 * (padded // 16384 + 1), "another size than described")


def check_file(descriptor, data):
    need(len(data) == descriptor["size"], "a file of another size")
    need(hashlib.sha256(data).hexdigest() == descriptor["sha256"], "another file than described")


# --- sealing and opening ---


def attachment_key(content_key, number):
    return mac("attachment-key", content_key, u(number, 4))


def seal(key, salt, padded):
    """C2SP chunked-encryption of a padded file."""
    okm, block = b"", b""
    for number in (1, 2):
        info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00" + salt
        block = hmac.digest(key, block + info + bytes([number]), "sha512")
        okm += block
    aead, base, out = AESGCM(okm[:32]), int.from_bytes(okm[32:44], "big"), [salt + okm[44:76]]
    for n in range(len(padded) // 16384 + 1):
        out.append(aead.encrypt(u(base ^ n, 12), padded[n * 16384 : (n + 1) * 16384], None))
    return b"".join(out)


def open_file(key, named, digests, descriptor, pieces):
    """The file, once everything about it was checked."""
    check_pieces(named, digests)
    check_size(descriptor, named)
    need(len(pieces) == len(digests), "pieces that are missing or left over")
    for n, (piece, digest) in enumerate(zip(pieces, digests, strict=True)):
        need(len(piece) == min(PIECE, named["size"] - n * PIECE), "a piece of another size")
        need(H("ciphertext", piece) == digest, "another piece than is named")
    plain = open_chunks(key, b"".join(pieces))
    data, padding = plain[: descriptor["size"]], plain[descriptor["size"] :]
    need(padding == bytes(padded_size(len(data)) - len(data)), "padding that is not zero, or of another size")
    check_file(descriptor, data)
    return data


# --- vectors ---


def file_of(v):
    return hashlib.shake_256(v["shake"].encode()).digest(v["size"])


def sealed_of(v):
    data, ends = file_of(v["file"]), bytes.fromhex(v.get("ends", ""))
    padded = data.ljust(padded_size(len(data)) - len(ends), b"\0") + ends
    return seal(attachment_key(hex32(v["content_key"]), v["number"]), bytes.fromhex(v["salt"]), padded)


def cut(sealed):
    return [sealed[at : at + PIECE] for at in range(0, len(sealed), PIECE)]


def run_seal(v):
    """What is stated of a sealed file; only here the output matters too, since no input is wrong."""
    sealed = sealed_of(v)
    digests = [H("ciphertext", piece) for piece in cut(sealed)]
    stated = v["stated"]
    need(stated["key"] == attachment_key(hex32(v["content_key"]), v["number"]).hex(), "another key")
    need(stated["sha256"] == hashlib.sha256(file_of(v["file"])).hexdigest(), "another file")
    need(stated["pieces"] == [d.hex() for d in digests], "other pieces")
    need(stated["attachment"]["size"] == len(sealed), "another size")
    check_named([stated["attachment"]])
    check_pieces(stated["attachment"], digests)


def run_open(v):
    sealed = [sealed_of(one) for one in v["sealed"]]
    joined = bytearray(b"".join(sealed[which][begin:end] for which, begin, end in v["slices"]))
    for offset, mask in v["flips"]:
        joined[offset] ^= mask
    key = attachment_key(hex32(v["content_key"]), v["number"])
    open_file(key, v["attachment"], list(map(hex32, v["pieces"])), v["descriptor"], cut(bytes(joined)))


def shown_file(opened, named, number, data):
    """The name of a file that was disclosed: `opened` are the open parts, by name."""
    need(f"attachment:{number}" in opened, "a part that is closed")
    need(number < len(named), "an attachment that the manifest does not name")
    descriptor = read_descriptor(opened[f"attachment:{number}"])
    check_size(descriptor, named[number])
    check_file(descriptor, data)
    return descriptor["name"]
