"""What both independent verifiers stand on: labelled hashes, strict JSON, Merkle trees, sealed chunks.

Written from docs/spec with nothing but the standard library and `cryptography`, like verify_independently.py.
"""

import base64
import hashlib
import hmac
import json
import re

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class Bad(Exception):
    """Something does not verify."""


#: What broken input may raise beside Bad; all of it means: not verified.
BROKEN = (Bad, InvalidSignature, InvalidTag, ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError)  # fmt: skip


def need(condition, what):
    if not condition:
        raise Bad(what)


# --- encoding.md: labelled hashes, text forms, strict JSON ---


def frame(label, fields):
    name = b"countermark/1/" + label.encode()
    return bytes([len(name)]) + name + b"".join(len(f).to_bytes(8, "big") + f for f in fields)


def H(label, *fields):
    return hashlib.sha256(frame(label, fields)).digest()


def mac(label, key, *fields):
    return hmac.digest(key, frame(label, fields), "sha256")


def b64(text):
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    need(
        base64.urlsafe_b64encode(data).rstrip(b"=").decode() == text, "base64url in another than its one form"
    )
    return data


def hex32(text):
    need(re.fullmatch("[0-9a-f]{64}", text), "a digest is 64 lower-case hexadecimal digits")
    return bytes.fromhex(text)


def u(value, width):
    return value.to_bytes(width, "big")


def no_float(_text):
    raise Bad("a number with fraction or exponent")


def integer(text):
    need(text != "-0" and abs(int(text[:20])) < 2**53, "an integer beyond 53 bits")
    return int(text)


def unique(pairs):
    need(len(dict(pairs)) == len(pairs), "a JSON member twice")
    return dict(pairs)


def strict_json(data):
    value = json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_float=no_float, parse_constant=no_float, parse_int=integer)  # fmt: skip
    text = json.dumps(value, ensure_ascii=False)
    need("\\u0000" not in text and not re.search("[\ud800-\udfff]", text), "U+0000 or a lone surrogate")
    return value


def take(data, at, size):
    need(size >= 0 and at + size <= len(data), "bytes that end too early")
    return data[at : at + size], at + size


# --- log.md: Merkle trees ---


def leaf_hash(data):
    return hashlib.sha256(b"\x00" + data).digest()


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def tree_root(leaves):
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return node(tree_root(leaves[:k]), tree_root(leaves[k:]))


# --- sealing.md: chunks and padding ---


def open_chunks(key, sealed):
    """C2SP chunked-encryption, AES-256-GCM with a key commitment."""
    salt, commitment = sealed[:24], sealed[24:56]
    out, block, info = b"", b"", b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00" + salt
    for number in (1, 2):
        block = hmac.digest(key, block + info + bytes([number]), "sha512")
        out += block
    need(
        len(sealed) >= 72 and out[44:76] == commitment, "a ciphertext that commits to another key, or is cut"
    )
    aead, base, plain = AESGCM(out[:32]), int.from_bytes(out[32:44], "big"), b""
    count = (len(sealed) - 56) // (16384 + 16) + 1
    for n in range(count):
        chunk = sealed[56 + n * 16400 : 56 + (n + 1) * 16400]
        plain += aead.decrypt(u(base ^ n, 12), chunk, None)
    return plain


def padded_size(size):
    if size <= 256:
        return 256
    e = size.bit_length() - 1
    mask = (1 << e - e.bit_length()) - 1
    return size + mask & ~mask
