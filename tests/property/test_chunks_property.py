"""Any message, cut anyhow: it opens to itself; changed anywhere, it does not open."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countermark_protocol.chunks import (
    CHUNK_BYTES,
    open_chunks,
    open_stream,
    seal_chunks,
    seal_stream,
    sealed_size,
)
from countermark_protocol.errors import SealError
from countermark_protocol.padding import check_padding, pad, padded_size
from support.examples import tried

keys = st.binary(min_size=32, max_size=32)
salts = st.binary(min_size=24, max_size=24)
contexts = st.binary(max_size=40)
# Around the borders of chunks is where it can go wrong.
sizes = st.one_of(
    st.integers(0, 600),
    st.builds(lambda n, d: max(0, n * CHUNK_BYTES + d), st.integers(0, 3), st.integers(-20, 20)),
)


def message(size, seed):
    return (seed * (size // len(seed) + 1))[:size]


def cut(data, at):
    borders = sorted({0, len(data), *(a % (len(data) + 1) for a in at)})
    return [data[a:b] for a, b in pairwise(borders)]


seeds = st.binary(min_size=1, max_size=37)
cuts = st.lists(st.integers(0, 2**17), max_size=12)


@given(keys, salts, contexts, sizes, seeds, cuts, cuts)
@tried(120)
def test_round_trip_however_it_is_cut(key, salt, context, size, seed, in_at, out_at):
    plaintext = message(size, seed)
    sealed = b"".join(seal_stream(key, salt, context, cut(plaintext, in_at)))
    assert sealed == seal_chunks(key, plaintext, salt, context)
    assert len(sealed) == sealed_size(size)
    assert b"".join(open_stream(key, context, cut(sealed, out_at))) == plaintext


@given(keys, salts, contexts, sizes, seeds, st.integers(0, 2**20), st.integers(1, 255))
@tried(150)
def test_any_altered_byte_is_refused(key, salt, context, size, seed, at, mask):
    sealed = bytearray(seal_chunks(key, message(size, seed), salt, context))
    at %= len(sealed)
    sealed[at] ^= mask
    with pytest.raises(SealError) as caught:
        open_chunks(key, bytes(sealed), context)
    assert caught.value.code == ("wrong_key" if at < 56 else "altered_ciphertext")


@given(keys, salts, sizes, seeds, st.integers(0, 2**20))
@tried(150)
def test_any_proper_prefix_is_refused(key, salt, size, seed, at):
    sealed = seal_chunks(key, message(size, seed), salt, b"")
    with pytest.raises(SealError) as caught:
        open_chunks(key, sealed[: at % len(sealed)], b"")
    assert caught.value.code in {"truncated_ciphertext", "altered_ciphertext"}


@given(keys, salts, sizes, seeds, st.binary(min_size=1, max_size=40))
@tried(100)
def test_anything_appended_is_refused(key, salt, size, seed, more):
    sealed = seal_chunks(key, message(size, seed), salt, b"")
    with pytest.raises(SealError):
        open_chunks(key, sealed + more, b"")


@given(keys, contexts, st.binary(max_size=200))
@tried(200)
def test_foreign_bytes_raise_nothing_but_seal_errors(key, context, data):
    with pytest.raises(SealError):
        open_chunks(key, data, context)


@given(st.binary(max_size=2000))
@settings(deadline=None)
def test_padding_round_trip(data):
    padded = pad(data)
    assert padded[: len(data)] == data
    check_padding(len(data), padded)


@given(st.integers(0, 2**62))
def test_padded_size_is_a_fixed_point_and_cheap(size):
    padded = padded_size(size)
    assert padded_size(padded) == padded
    assert size <= padded
    assert size <= 256 or (padded - size) * 16 < size
