"""The sealed chunk layout: our frozen vectors, streaming, and every way of failing."""

import hashlib
import importlib.util
import json
from pathlib import Path

import pytest

from countermark_protocol import chunks
from countermark_protocol.chunks import (
    CHUNK_BYTES,
    HEADER_BYTES,
    SEALED_CHUNK_BYTES,
    open_chunks,
    open_stream,
    seal_chunks,
    seal_stream,
    sealed_size,
)
from countermark_protocol.errors import SealError

VECTORS = Path(__file__).parents[2] / "vectors"
FILE = json.loads((VECTORS / "countermark" / "chunks.json").read_bytes())
POSITIVE = {v["name"]: v for v in FILE["positive_vectors"]}
NEGATIVE = {v["name"]: v for v in FILE["negative_vectors"]}

KEY, SALT = bytes(range(32)), bytes(range(24))


def plaintext_of(vector):
    size = vector["plaintext_size"]
    blocks = (hashlib.sha256(n.to_bytes(4, "big")).digest() for n in range(size // 32 + 1))
    return b"".join(blocks)[:size]


def inputs_of(vector):
    return (bytes.fromhex(vector[name]) for name in ("key", "salt", "context"))


def sealed_of(vector):
    key, salt, context = inputs_of(vector)
    return seal_chunks(key, plaintext_of(vector), salt, context)


def code_of(call, *args):
    with pytest.raises(SealError) as caught:
        call(*args)
    return caught.value.code


@pytest.mark.parametrize("name", POSITIVE)
def test_sealing_gives_the_frozen_bytes(name):
    vector = POSITIVE[name]
    sealed = sealed_of(vector)
    assert len(sealed) == vector["sealed_size"] == sealed_size(vector["plaintext_size"])
    assert hashlib.sha256(sealed).hexdigest() == vector["sealed_sha256"]
    assert sealed.hex() == vector.get("sealed", sealed.hex())


@pytest.mark.parametrize("name", POSITIVE)
def test_opening_gives_the_plaintext(name):
    key, _, context = inputs_of(POSITIVE[name])
    assert open_chunks(key, sealed_of(POSITIVE[name]), context) == plaintext_of(POSITIVE[name])


@pytest.mark.parametrize("name", NEGATIVE)
def test_the_named_check_fails(name):
    vector = NEGATIVE[name]
    of = POSITIVE[vector["of"]]
    sealed = sealed_of(of)
    altered = bytearray(b"".join(sealed[a:b] for a, b in vector["slices"]) + bytes.fromhex(vector["append"]))
    for offset, mask in vector["flip"]:
        altered[offset] ^= mask
    key, context = (bytes.fromhex(vector.get(n, of[n])) for n in ("key", "context"))
    assert code_of(open_chunks, key, bytes(altered), context) == vector["fails"]


def test_every_check_has_a_negative_vector():
    assert {v["fails"] for v in NEGATIVE.values()} == {
        "truncated_ciphertext",
        "wrong_key",
        "altered_ciphertext",
    }


def test_the_committed_vectors_are_the_generated_ones():
    spec = importlib.util.spec_from_file_location("generate_chunks", VECTORS / "generate_chunks.py")
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    assert generator.document() == FILE


# --- streaming ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 55, 56, 57, 1000, 16383, 16384, 16385, 16400, 40000])
def test_blocks_of_any_size_give_the_same(block):
    plaintext = plaintext_of(POSITIVE["three_chunks"])[: 20000 if block == 1 else None]
    sealed = seal_chunks(KEY, plaintext, SALT, b"c")
    cut = [plaintext[i : i + block] for i in range(0, len(plaintext), block)]
    assert b"".join(seal_stream(KEY, SALT, b"c", cut)) == sealed
    cut = [sealed[i : i + block] for i in range(0, len(sealed), block)]
    assert b"".join(open_stream(KEY, b"c", cut)) == plaintext


def test_empty_blocks_change_nothing():
    sealed = seal_chunks(KEY, b"abc", SALT, b"")
    assert b"".join(seal_stream(KEY, SALT, b"", [b"", b"a", b"", b"bc", b""])) == sealed
    assert b"".join(open_stream(KEY, b"", [b"", sealed[:30], b"", sealed[30:], b""])) == b"abc"


def test_no_blocks_seal_as_the_empty_message():
    assert b"".join(seal_stream(KEY, SALT, b"", [])) == seal_chunks(KEY, b"", SALT, b"")


def test_sealing_reads_no_more_than_it_needs():
    read = []

    def blocks():
        for n in range(4):
            read.append(n)
            yield bytes(CHUNK_BYTES)

    stream = seal_stream(KEY, SALT, b"", blocks())
    assert next(stream)[:24] == SALT
    assert read == []
    assert len(next(stream)) == SEALED_CHUNK_BYTES
    assert read == [0]


def test_opening_gives_chunks_as_they_become_authentic():
    sealed = seal_chunks(KEY, bytes(CHUNK_BYTES) + b"end", SALT, b"")
    seen = []

    def blocks():
        for at in range(0, len(sealed), HEADER_BYTES):
            seen.append(at)
            yield sealed[at : at + HEADER_BYTES]

    stream = open_stream(KEY, b"", blocks())
    assert next(stream) == bytes(CHUNK_BYTES)
    assert seen[-1] < len(sealed) - HEADER_BYTES
    assert list(stream) == [b"end"]


def test_a_failed_opening_never_ends_like_a_whole_message():
    sealed = seal_chunks(KEY, bytes(CHUNK_BYTES) + b"end", SALT, b"")
    stream = open_stream(KEY, b"", [sealed[:-1]])
    assert next(stream) == bytes(CHUNK_BYTES)
    for _ in range(3):
        assert code_of(next, stream) == "altered_ciphertext"


def test_a_failed_source_never_ends_like_a_whole_message():
    sealed = seal_chunks(KEY, bytes(CHUNK_BYTES) + b"end", SALT, b"")

    def blocks():
        yield sealed[:20000]
        raise OSError("disk gone")

    stream = open_stream(KEY, b"", blocks())
    assert next(stream) == bytes(CHUNK_BYTES)
    for _ in range(2):
        with pytest.raises(OSError, match="disk gone"):
            next(stream)


def test_a_whole_message_ends_once_and_stays_ended():
    stream = open_stream(KEY, b"", [seal_chunks(KEY, b"x", SALT, b"")])
    assert list(stream) == [b"x"]
    assert list(stream) == []


def test_too_many_chunks(monkeypatch):
    three = bytes(2 * CHUNK_BYTES)
    sealed = seal_chunks(KEY, three, SALT, b"")
    monkeypatch.setattr(chunks, "MAX_CHUNKS", 2)
    assert code_of(seal_chunks, KEY, three, SALT, b"") == "too_many_chunks"
    assert code_of(open_chunks, KEY, sealed, b"") == "too_many_chunks"


# --- misuse and secrecy ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_key_of_another_size_is_misuse_at_once(size):
    with pytest.raises(ValueError, match="key of 32 bytes"):
        seal_stream(bytes(size), SALT, b"", [])
    with pytest.raises(ValueError, match="key of 32 bytes"):
        open_stream(bytes(size), b"", [])


@pytest.mark.parametrize("size", [0, 23, 25])
def test_salt_of_another_size_is_misuse_at_once(size):
    with pytest.raises(ValueError, match="salt of 24 bytes"):
        seal_stream(KEY, bytes(size), b"", [])


def test_negative_size_is_misuse():
    with pytest.raises(ValueError, match="not negative"):
        sealed_size(-1)


def test_errors_and_reprs_hold_no_key_material():
    derived = chunks._derive(KEY, SALT, b"")
    assert derived.base_nonce.hex() not in repr(derived)
    assert str(derived.base_nonce) not in repr(derived)
    with pytest.raises(SealError) as caught:
        open_chunks(KEY, seal_chunks(KEY, b"secret text", SALT, b"")[:-1] + b"!", b"")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_nonce_is_the_base_nonce_xor_the_number_in_all_its_bits():
    derived = chunks._derive(KEY, SALT, b"")
    base = int.from_bytes(derived.base_nonce, "big")
    for number in (0, 1, 255, 256, 2**16, 2**32 + 1, 2**38 - 1):
        assert int.from_bytes(derived.nonce(number), "big") == base ^ number
