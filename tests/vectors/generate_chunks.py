"""Write countermark/chunks.json: positive and negative vectors of the sealed chunk layout.

The layout is written here a second time, from the specification alone (HKDF-Expand by HMAC, RFC 5869 §2.3),
so that running the product against the file compares two implementations. Run: python generate_chunks.py
"""

import hashlib
import hmac
import json
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TARGET = Path(__file__).parent / "countermark" / "chunks.json"
CHUNK = 16384


def expand(key, info, size):
    out, block, number = b"", b"", 1
    while len(out) < size:
        block = hmac.digest(key, block + info + bytes([number]), "sha512")
        out, number = out + block, number + 1
    return out[:size]


def seal(key, salt, context, plaintext):
    out = expand(key, b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00" + salt + context, 76)
    aead, base, commitment = AESGCM(out[:32]), out[32:44], out[44:]
    sealed = salt + commitment
    for number in range(len(plaintext) // CHUNK + 1):
        nonce = (int.from_bytes(base, "big") ^ number).to_bytes(12, "big")
        sealed += aead.encrypt(nonce, plaintext[number * CHUNK : (number + 1) * CHUNK], None)
    return sealed


def pattern(size):
    """Plaintext of the vectors: SHA-256 of the block number (u32, big-endian), block after block."""
    blocks = (hashlib.sha256(n.to_bytes(4, "big")).digest() for n in range(size // 32 + 1))
    return b"".join(blocks)[:size]


def fixed(label, size):
    return hashlib.shake_256(b"countermark chunk vectors " + label.encode()).digest(size)


POSITIVE = {
    "empty": (0, b""),
    "one_byte": (1, b""),
    "short_with_context": (300, b"message 7"),
    "one_short_of_a_chunk": (CHUNK - 1, b""),
    "exactly_one_chunk": (CHUNK, b""),
    "one_over_a_chunk": (CHUNK + 1, b""),
    "three_chunks": (2 * CHUNK + 500, b""),
}

# name, vector it is made of, slices of its ciphertext in order, bytes appended, flips (offset, mask),
# overrides (key, context), the check that must fail.
HEADER, SEALED = 56, CHUNK + 16
END = HEADER + 2 * SEALED + 516
ALL = [[0, END]]
SHORT = [[0, HEADER + 316]]
NEGATIVE = [
    ("no_bytes", "empty", [], "", [], {}, "truncated_ciphertext"),
    ("ends_inside_salt", "empty", [[0, 23]], "", [], {}, "truncated_ciphertext"),
    ("ends_inside_commitment", "empty", [[0, 55]], "", [], {}, "truncated_ciphertext"),
    ("header_only", "empty", [[0, 56]], "", [], {}, "truncated_ciphertext"),
    ("ends_inside_last_tag", "empty", [[0, 71]], "", [], {}, "truncated_ciphertext"),
    ("last_chunk_missing", "three_chunks", [[0, HEADER + 2 * SEALED]], "", [], {}, "truncated_ciphertext"),
    (
        "empty_last_chunk_missing",
        "exactly_one_chunk",
        [[0, HEADER + SEALED]],
        "",
        [],
        {},
        "truncated_ciphertext",
    ),
    ("two_chunks_missing", "three_chunks", [[0, HEADER + SEALED]], "", [], {}, "truncated_ciphertext"),
    (
        "last_chunk_cut_below_a_tag",
        "three_chunks",
        [[0, HEADER + 2 * SEALED + 15]],
        "",
        [],
        {},
        "truncated_ciphertext",
    ),
    ("ends_inside_last_chunk", "three_chunks", [[0, END - 1]], "", [], {}, "altered_ciphertext"),
    ("ends_inside_a_full_chunk", "three_chunks", [[0, HEADER + 100]], "", [], {}, "altered_ciphertext"),
    (
        "first_chunk_missing",
        "three_chunks",
        [[0, HEADER], [HEADER + SEALED, END]],
        "",
        [],
        {},
        "altered_ciphertext",
    ),
    (
        "chunks_swapped",
        "three_chunks",
        [
            [0, HEADER],
            [HEADER + SEALED, HEADER + 2 * SEALED],
            [HEADER, HEADER + SEALED],
            [HEADER + 2 * SEALED, END],
        ],
        "",
        [],
        {},
        "altered_ciphertext",
    ),
    (
        "chunk_repeated",
        "three_chunks",
        [[0, HEADER + SEALED], [HEADER, HEADER + SEALED], [HEADER + SEALED, END]],
        "",
        [],
        {},
        "altered_ciphertext",
    ),
    (
        "last_chunk_repeated",
        "short_with_context",
        [*SHORT, [HEADER, HEADER + 316]],
        "",
        [],
        {},
        "altered_ciphertext",
    ),
    ("byte_appended", "short_with_context", SHORT, "00", [], {}, "altered_ciphertext"),
    (
        "byte_appended_to_full_chunk",
        "exactly_one_chunk",
        [[0, HEADER + SEALED]],
        "00",
        [],
        {},
        "truncated_ciphertext",
    ),
    ("body_flipped", "short_with_context", SHORT, "", [[HEADER, 1]], {}, "altered_ciphertext"),
    ("tag_flipped", "short_with_context", SHORT, "", [[HEADER + 315, 128]], {}, "altered_ciphertext"),
    ("second_chunk_flipped", "three_chunks", ALL, "", [[HEADER + SEALED + 9, 4]], {}, "altered_ciphertext"),
    ("salt_flipped", "short_with_context", SHORT, "", [[0, 1]], {}, "wrong_key"),
    ("commitment_flipped", "short_with_context", SHORT, "", [[55, 1]], {}, "wrong_key"),
    ("other_key", "short_with_context", SHORT, "", [], {"key": fixed("other key", 32).hex()}, "wrong_key"),
    ("other_context", "short_with_context", SHORT, "", [], {"context": b"message 8".hex()}, "wrong_key"),
    ("context_left_out", "short_with_context", SHORT, "", [], {"context": ""}, "wrong_key"),
]


def document():
    positive = []
    for name, (size, context) in POSITIVE.items():
        key, salt = fixed(f"key {name}", 32), fixed(f"salt {name}", 24)
        sealed = seal(key, salt, context, pattern(size))
        vector = {"name": name, "key": key.hex(), "salt": salt.hex(), "context": context.hex()}
        vector |= {
            "plaintext_size": size,
            "sealed_size": len(sealed),
            "sealed_sha256": hashlib.sha256(sealed).hexdigest(),
        }
        if size < 1000:
            vector["sealed"] = sealed.hex()
        positive.append(vector)
    negative = [
        {"name": name, "of": of, "slices": slices, "append": append, "flip": flip, **changed, "fails": fails}
        for name, of, slices, append, flip, changed, fails in NEGATIVE
    ]
    return {
        "layout": "c2sp.org/chunked-encryption@v1, Cobblestone-256",
        "plaintext": "SHA-256(u32 n) for n = 0, 1, 2, ... concatenated, cut to plaintext_size",
        "negative": "the slices [from, to) of the sealed bytes of `of`, then `append`, then bytes XORed by `flip`"
        " [offset, mask]; opened under the key and context of `of` unless given; `fails` is the code of the check",
        "positive_vectors": positive,
        "negative_vectors": negative,
    }


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(document(), indent=1) + "\n")
