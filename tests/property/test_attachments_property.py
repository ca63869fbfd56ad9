"""Attachments in any blocks, with any fault: a file opens to itself or not at all, and nothing altered is given out."""

import itertools
import random
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark_protocol import attachments, sealed_attachments
from countermark_protocol.attachments import SealedAttachment, attachment_digest, piece_digest
from countermark_protocol.errors import SealError
from countermark_protocol.sealed_attachments import AttachmentSealer, attachment_key, open_attachment
from countermark_protocol.sealing import ContentSecrets
from support.attached import Attached, attach
from support.examples import tried

SECRETS = ContentSecrets(bytes(range(32)), bytes(32))
KEY = attachment_key(SECRETS, 3)
#: Not a multiple of a chunk, and of no other size in the protocol.
PIECE = 21_001
DATA = random.Random(8).randbytes(90_000)
sizes = st.one_of(st.integers(1, 600), st.integers(16_000, 17_000), st.integers(1, len(DATA)))
some = tried(120)


@pytest.fixture(autouse=True, scope="module")
def small_pieces():
    with (
        patch.object(attachments, "PIECE_BYTES", PIECE),
        patch.object(sealed_attachments, "PIECE_BYTES", PIECE),
    ):
        yield


def cut(data, cuts):
    places = sorted({0, len(data), *(c % (len(data) + 1) for c in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


def opened(one: Attached, pieces, **changes):
    """What is given out, and whether it ended well."""
    given_ = {"named": one.file.named, "digests": one.file.pieces} | changes
    out = []
    try:
        out.extend(open_attachment(KEY, descriptor=one.descriptor, pieces=pieces, **given_))
    except SealError:
        return b"".join(out), False
    return b"".join(out), True


@given(sizes, st.lists(st.integers(0, 2**20), max_size=12))
@some
def test_blocks_are_cut_anywhere(size, cuts):
    data = DATA[:size]
    whole = attach(SECRETS, 3, data, "a", bytes(24))
    sealer = AttachmentSealer(KEY, bytes(24), [*cut(data, cuts), b""])
    pieces = list(sealer)
    assert (pieces, sealer.result) == (list(whole.pieces), whole.file)
    assert opened(whole, (memoryview(p.data) for p in pieces)) == (data, True)


@given(sizes, st.integers(0, 2**20), st.integers(0, 7))
@some
def test_any_bit_that_flips_on_the_way(size, at, bit):
    one = attach(SECRETS, 3, DATA[:size], "a", bytes(24))
    pieces = [bytearray(p.data) for p in one.pieces]
    flipped = pieces[at % len(pieces)]
    flipped[at % len(flipped)] ^= 1 << bit
    out, whole = opened(one, [bytes(p) for p in pieces])
    assert not whole
    assert DATA.startswith(out)
    assert len(out) <= at % len(pieces) * PIECE


@given(sizes, st.integers(0, 2**20), st.integers(0, 7))
@some
def test_any_bit_that_a_sender_flips_and_names(size, at, bit):
    one = attach(SECRETS, 3, DATA[:size], "a", bytes(24))
    pieces = [bytearray(p.data) for p in one.pieces]
    flipped = pieces[at % len(pieces)]
    flipped[at % len(flipped)] ^= 1 << bit
    digests = tuple(map(piece_digest, map(bytes, pieces)))
    named = SealedAttachment(attachment_digest(one.file.named.size, digests), one.file.named.size)
    out, whole = opened(one, [bytes(p) for p in pieces], digests=digests, named=named)
    assert not whole
    assert DATA.startswith(out)


@given(sizes, st.data())
@some
def test_pieces_in_any_order_and_number(size, draw):
    one = attach(SECRETS, 3, DATA[:size], "a", bytes(24))
    pieces = [p.data for p in one.pieces]
    order = draw.draw(st.lists(st.integers(0, len(pieces) - 1), max_size=len(pieces) + 2))
    given_ = [pieces[n] for n in order]
    out, whole = opened(one, given_)
    assert whole == (given_ == pieces)
    assert DATA.startswith(out)
    same = next((n for n, (a, b) in enumerate(zip(given_, pieces, strict=False)) if a != b), len(given_))
    assert len(out) <= same * PIECE


@given(st.integers(0, 60_000), st.integers(0, 60_000))
@some
def test_equal_files_share_no_block(at, other):
    """Wherever two sealings of one file are looked at, sixteen bytes of one are not in the other."""
    first, second = (attach(SECRETS, k, DATA[:60_000], "a") for k in (3, 3))
    a, b = (b"".join(p.data for p in one.pieces) for one in (first, second))
    assert a[at : at + 16] not in b
    assert b[other : other + 16] not in a
