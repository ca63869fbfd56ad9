"""Padded sizes and the check of what stands behind the data."""

import math

import pytest

from countermark_protocol.errors import SealError
from countermark_protocol.padding import MIN_PADDED_BYTES, check_padding, pad, padded_size


def padme(length):
    """Padmé as the paper writes it, in floating point."""
    exponent = math.floor(math.log2(length))
    significant = math.floor(math.log2(exponent)) + 1
    unit = 2 ** (exponent - significant)
    return math.ceil(length / unit) * unit


def test_sizes_of_the_paper_and_by_hand():
    # 9 is padded to 10 in the paper; below our minimum everything looks alike.
    assert padme(9) == 10
    hand = {0: 256, 1: 256, 9: 256, 255: 256, 256: 256, 257: 272, 272: 272, 273: 288, 1025: 1088}
    assert {n: padded_size(n) for n in hand} == hand
    assert padded_size(1_000_000) == 1_015_808
    assert padded_size(2**30 + 1) == 2**30 + 2**25


@pytest.mark.parametrize("start", [257, 1000, 4090, 65530, 2**20 - 7, 2**30 - 3])
def test_sizes_are_padme(start):
    for n in range(start, start + 300):
        assert padded_size(n) == padme(n)


def test_size_grows_by_less_than_a_sixteenth_and_never_shrinks():
    previous = 0
    for n in range(1, 70_000):
        size = padded_size(n)
        assert size >= previous
        assert size >= n
        assert n <= MIN_PADDED_BYTES or (size - n) * 16 < n
        assert padded_size(size) == size
        previous = size


def test_negative_size_is_misuse():
    with pytest.raises(ValueError, match="not negative"):
        padded_size(-1)


@pytest.mark.parametrize("data", [b"", b"x", b"\x00" * 300, b"a" * 257])
def test_pad_appends_zeros_that_the_check_accepts(data):
    padded = pad(data)
    assert padded.startswith(data)
    assert set(padded[len(data) :]) <= {0}
    assert len(padded) == padded_size(len(data))
    check_padding(len(data), padded)


@pytest.mark.parametrize("at", [3, 100, 255])
def test_non_zero_padding(at):
    padded = bytearray(pad(b"abc"))
    padded[at] = 1
    with pytest.raises(SealError) as caught:
        check_padding(3, bytes(padded))
    assert caught.value.code == "non_zero_padding"


@pytest.mark.parametrize("padded", [b"abc", pad(b"abc") + b"\x00", pad(b"abc")[:-1], pad(b"a" * 257)])
def test_padding_size(padded):
    with pytest.raises(SealError) as caught:
        check_padding(3, padded)
    assert caught.value.code == "padding_size"


def test_data_said_to_be_longer_than_all_there_is():
    with pytest.raises(SealError) as caught:
        check_padding(257, pad(b"abc"))
    assert caught.value.code == "padding_size"
