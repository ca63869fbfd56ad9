"""Files sealed into pieces: what opens, and every way in which nothing does."""

import os
import tracemalloc
from dataclasses import replace
from hashlib import sha256

import pytest

from countermark_protocol import sealed_attachments
from countermark_protocol.attachments import (
    MAX_FILE_BYTES,
    MAX_SEALED_BYTES,
    MIN_SEALED_BYTES,
    PIECE_BYTES,
    SealedAttachment,
    attachment_digest,
    piece_digest,
    piece_size,
)
from countermark_protocol.chunks import seal_chunks, sealed_size
from countermark_protocol.descriptors import AttachmentDescriptor, attachment_size
from countermark_protocol.encoding import labelled_hash, labelled_hmac
from countermark_protocol.errors import SealError
from countermark_protocol.padding import pad, padded_size
from countermark_protocol.sealed_attachments import (
    AttachmentKey,
    AttachmentSealer,
    attachment_key,
    open_attachment,
)
from countermark_protocol.sealing import ContentSecrets
from support.attached import Attached, attach

SECRETS = ContentSecrets(bytes(range(32)), bytes(32))
OTHER = ContentSecrets(bytes(range(1, 33)), bytes(32))
KEY = attachment_key(SECRETS, 0)
#: So that files of several pieces need not be large; nothing else in the protocol knows the size of a piece.
PIECE = 20_000


def data_of(size):
    return (b"the file %d " % size * (size // 10 + 1))[:size]


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr("countermark_protocol.attachments.PIECE_BYTES", PIECE)
    monkeypatch.setattr(sealed_attachments, "PIECE_BYTES", PIECE)


def opened(one: Attached, key=KEY, pieces=None, **changes):
    """What opens, and the code of the error that ends it."""
    given = {
        "named": one.file.named,
        "digests": one.file.pieces,
        "descriptor": one.descriptor,
        "pieces": [p.data for p in one.pieces] if pieces is None else pieces,
    }
    out = b""
    try:
        for block in open_attachment(key, **(given | changes)):
            out += block
    except SealError as error:
        return out, error.code
    return out, None


@pytest.mark.parametrize("size", [1, 255, 256, 257, 16_383, 16_384, 16_385, 100_000])
def test_a_file_opens_to_itself(size):
    one = attach(SECRETS, 0, data_of(size), "a.bin")
    assert opened(one) == (data_of(size), None)
    assert one.file.named.size == sum(len(p.data) for p in one.pieces) == sealed_size(padded_size(size))
    assert (one.file.sha256, one.file.size) == (sha256(data_of(size)).digest(), size)
    assert [p.number for p in one.pieces] == list(range(one.file.named.pieces))


# A file of 4,190,208 bytes is padded by none and has 4,194,312 sealed; none has exactly a piece's.
@pytest.mark.parametrize("size", [4_000_000, PIECE_BYTES - 4096, PIECE_BYTES, 2 * PIECE_BYTES + 1])
def test_files_about_as_large_as_a_piece(size):
    one = attach(SECRETS, 0, data_of(size), "a.bin")
    assert opened(one) == (data_of(size), None)
    assert [len(p.data) for p in one.pieces] == [
        piece_size(one.file.named.size, n) for n in range(one.file.named.pieces)
    ]
    assert all(len(p.data) == PIECE_BYTES for p in one.pieces[:-1])


def test_a_sealed_size_of_whole_pieces_has_no_empty_last_piece(monkeypatch, small_pieces):
    whole = attachment_size(100_000)
    for name in (
        "countermark_protocol.attachments.PIECE_BYTES",
        "countermark_protocol.sealed_attachments.PIECE_BYTES",
    ):
        monkeypatch.setattr(name, whole // 2)
    one = attach(SECRETS, 0, data_of(100_000), "a.bin")
    assert whole % 2 == 0
    assert [len(p.data) for p in one.pieces] == [whole // 2] * 2
    assert opened(one) == (data_of(100_000), None)


def test_it_is_what_the_spec_says():
    data, salt = data_of(70_000), os.urandom(24)
    one = attach(SECRETS, 7, data, "a.bin", salt)
    key = labelled_hmac("attachment-key", SECRETS.content_key, b"\0\0\0\7")
    [piece] = one.pieces
    assert piece.data == seal_chunks(key, pad(data), salt, b"")
    assert piece.digest == labelled_hash("ciphertext", piece.data)
    leaf = sha256(b"\0" + piece.digest).digest()
    assert one.file.named.digest == labelled_hash("attachment", len(piece.data).to_bytes(8, "big"), leaf)


def test_the_bounds_of_sealed_sizes_are_those_of_files():
    assert attachment_size(1) == MIN_SEALED_BYTES
    assert attachment_size(MAX_FILE_BYTES) == MAX_SEALED_BYTES


def test_equal_files_have_nothing_in_common():
    ones = [attach(secrets, k, bytes(40_000), "a.bin") for secrets in (SECRETS, OTHER) for k in (0, 0, 1)]
    assert len(
        {p.data[at : at + 16] for one in ones for p in one.pieces for at in range(0, len(p.data), 16)}
    ) == sum(-(-len(p.data) // 16) for one in ones for p in one.pieces)


# --- what is refused, and that nothing altered is given out before --------------------------------------


@pytest.fixture
def one(small_pieces):
    return attach(SECRETS, 0, data_of(100_000), "a.bin")


@pytest.fixture
def another(small_pieces):
    return attach(SECRETS, 0, data_of(100_000)[::-1], "b.bin")


def relisted(one, pieces):
    """As a sender, or a broker and a sender, would have it who name the pieces as they are."""
    size = sum(map(len, pieces))
    digests = tuple(map(piece_digest, pieces))
    return {
        "pieces": pieces,
        "digests": digests,
        "named": SealedAttachment(attachment_digest(size, digests), size),
    }


def test_pieces_that_a_broker_changes(one, another):
    pieces, data = [p.data for p in one.pieces], data_of(100_000)
    flipped = bytes([pieces[2][0] ^ 1]) + pieces[2][1:]
    assert len(pieces) == 6
    for wrong, at in [
        ([*pieces[:2], flipped, *pieces[3:]], 2),
        ([pieces[1], pieces[0], *pieces[2:]], 0),
        ([*pieces[:3], pieces[3][:-1], *pieces[4:]], 3),
        ([*pieces[:4], pieces[3], pieces[5]], 4),
        ([*pieces[:1], another.pieces[1].data, *pieces[2:]], 1),
    ]:
        out, code = opened(one, pieces=wrong)
        assert (code, data.startswith(out)) == ("piece_swapped", True)
        assert len(out) <= at * PIECE
    out, code = opened(one, pieces=pieces[:-1])
    assert (code, data.startswith(out)) == ("truncated_ciphertext", True)
    assert opened(one, pieces=[*pieces, b""])[1] == "piece_swapped"
    assert opened(one, pieces=[]) == (b"", "truncated_ciphertext")


def test_lists_that_a_broker_changes(one, another):
    digests = one.file.pieces
    for wrong in (digests[:-1], (*digests, digests[0]), digests[::-1], another.file.pieces, ()):
        assert opened(one, digests=wrong) == (b"", "attachment_swapped")
    assert opened(one, named=replace(one.file.named, size=one.file.named.size + 1)) == (
        b"",
        "attachment_swapped",
    )


def test_chunks_that_a_sender_swaps(one):
    whole = b"".join(p.data for p in one.pieces)
    chunk = 16_384 + 16
    body = [whole[56 + n * chunk : 56 + (n + 1) * chunk] for n in range(7)]
    for order, good in [((1, 0, 2, 3, 4, 5, 6), 0), ((0, 1, 2, 4, 3, 5, 6), 3), ((0, 1, 1, 3, 4, 5, 6), 2)]:
        moved = whole[:56] + b"".join(body[n] for n in order)
        pieces = [moved[at : at + PIECE] for at in range(0, len(moved), PIECE)]
        out, code = opened(one, **relisted(one, pieces))
        assert (code, out) == ("altered_ciphertext", data_of(100_000)[: good * 16_384])


def test_keys_of_other_attachments_and_messages(one):
    for key in (attachment_key(SECRETS, 1), attachment_key(OTHER, 0), AttachmentKey(SECRETS.content_key)):
        assert opened(one, key) == (b"", "wrong_key")


def test_a_sender_who_seals_another_file_than_it_describes(one, another):
    assert opened(one, descriptor=another.descriptor) == (data_of(100_000), "file_mismatch")
    smaller = replace(one.descriptor, size=90_000)
    assert opened(one, descriptor=smaller) == (b"", "attachment_size")
    cut = replace(one.descriptor, size=99_999)  # is padded to the same size
    assert opened(one, descriptor=cut)[1] == "non_zero_padding"
    zeros = attach(SECRETS, 0, data_of(99_000) + bytes(1000), "a.bin")
    assert padded_size(99_000) == padded_size(100_000)
    assert opened(zeros, descriptor=replace(zeros.descriptor, size=99_000))[1] == "file_mismatch"


def test_padding_that_is_not_zero(small_pieces):
    data = data_of(300)
    padded = pad(data)
    for at in (300, len(padded) - 1):
        bad = bytearray(padded)
        bad[at] ^= 1
        sealed = seal_chunks(KEY.secret, bytes(bad), bytes(24), b"")
        descriptor = AttachmentDescriptor(sha256(data).digest(), 300, "a", "text/plain")
        base = attach(SECRETS, 0, data, "a")
        assert opened(base, descriptor=descriptor, **relisted(base, [sealed])) == (b"", "non_zero_padding")


def test_what_failed_keeps_failing(one):
    blocks = open_attachment(KEY, one.file.named, one.file.pieces, one.descriptor, [])
    for _ in range(2):
        with pytest.raises(SealError, match="truncated_ciphertext"):
            next(blocks)


def test_pieces_are_taken_one_by_one(one):
    taken = []

    def coming():
        for piece in one.pieces:
            taken.append(piece.number)
            yield piece.data

    blocks = open_attachment(KEY, one.file.named, one.file.pieces, one.descriptor, coming())
    assert taken == []
    assert len(next(blocks)) == 16_384
    assert taken == [0]
    assert b"".join(blocks) == data_of(100_000)[16_384:]


# --- sealing ---------------------------------------------------------------------------------------------


def test_files_of_no_size_and_of_too_much(monkeypatch):
    with pytest.raises(SealError, match="file_size"):
        list(AttachmentSealer(KEY, bytes(24), [b"", b""]))
    monkeypatch.setattr(sealed_attachments, "MAX_FILE_BYTES", 1000)
    list(AttachmentSealer(KEY, bytes(24), [bytes(999), b"1"]))
    sealer = AttachmentSealer(KEY, bytes(24), [bytes(999), b"12"])
    with pytest.raises(SealError, match="file_size"):
        list(sealer)
    with pytest.raises(RuntimeError, match="not sealed to its end"):
        _ = sealer.result


def test_misuse():
    sealer = AttachmentSealer(KEY, bytes(24), [b"1"])
    with pytest.raises(RuntimeError):
        _ = sealer.result
    with pytest.raises(ValueError, match="salt"):
        AttachmentSealer(KEY, bytes(23), [b"1"])
    with pytest.raises(ValueError, match="32 bytes"):
        AttachmentKey(bytes(31))
    for number in (-1, 256):
        with pytest.raises(ValueError, match="numbered"):
            attachment_key(SECRETS, number)
    assert "secret" not in repr(KEY)


def test_neither_way_holds_more_than_a_few_pieces():
    block, size = bytes(range(256)) * 4096, 40

    def sealer():
        return AttachmentSealer(KEY, bytes(24), (block for _ in range(size)))

    tracemalloc.start()
    try:
        first = sealer()
        assert sum(1 for _ in first) == 11
        file = first.result
        descriptor = AttachmentDescriptor(file.sha256, file.size, "a", "text/plain")
        pieces = (piece.data for piece in sealer())
        opened = open_attachment(KEY, file.named, file.pieces, descriptor, pieces)
        assert sum(map(len, opened)) == size * len(block)
        assert tracemalloc.get_traced_memory()[1] < 7 * PIECE_BYTES  # half of them the sealer's
    finally:
        tracemalloc.stop()
