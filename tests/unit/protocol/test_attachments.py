"""Pieces and what names them."""

from hashlib import sha256

import pytest

from countermark_protocol.attachments import (
    MAX_PIECES,
    PIECE_BYTES,
    SealedAttachment,
    attachment_digest,
    check_piece,
    check_pieces,
    encode_digests,
    parse_digests,
    piece_count,
    piece_digest,
    piece_size,
)
from countermark_protocol.encoding import labelled_hash
from countermark_protocol.errors import MalformedError
from countermark_protocol.merkle import leaf_hash, node_hash

A, B, C = (sha256(letter).digest() for letter in (b"a", b"b", b"c"))


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        (328, [328]),
        (PIECE_BYTES - 1, [PIECE_BYTES - 1]),
        (PIECE_BYTES, [PIECE_BYTES]),
        (PIECE_BYTES + 1, [PIECE_BYTES, 1]),
        (3 * PIECE_BYTES, [PIECE_BYTES] * 3),
    ],
)
def test_where_is_cut(size, sizes):
    assert piece_count(size) == SealedAttachment(A, size).pieces == len(sizes)
    assert [piece_size(size, n) for n in range(len(sizes))] == sizes
    for number in (-1, len(sizes)):
        with pytest.raises(ValueError, match="expected a piece below"):
            piece_size(size, number)


def test_digests_are_those_of_the_spec():
    assert piece_digest(memoryview(b"piece")) == labelled_hash("ciphertext", b"piece")
    size = 2 * PIECE_BYTES + 5
    root = node_hash(node_hash(leaf_hash(A), leaf_hash(B)), leaf_hash(C))
    digest = labelled_hash("attachment", size.to_bytes(8, "big"), root)
    assert attachment_digest(size, [A, B, C]) == digest
    check_pieces(SealedAttachment(digest, size), [A, B, C])
    for size_, pieces in [
        (size, [B, A, C]),
        (size, [A, B]),
        (size, [A, B, C, C]),
        (size + 1, [A, B, C]),
        (size, []),
        (5, [A, B, C]),
    ]:
        with pytest.raises(MalformedError, match="attachment_mismatch"):
            check_pieces(SealedAttachment(digest, size_), pieces)


def test_a_node_of_the_tree_passes_for_no_piece():
    size = PIECE_BYTES + 5
    digest = attachment_digest(size, [A, B])
    inner = node_hash(leaf_hash(A), leaf_hash(B))
    assert attachment_digest(size, [inner]) != digest


def test_pieces():
    check_piece(b"piece", piece_digest(b"piece"))
    whole = bytes(PIECE_BYTES)
    check_piece(whole, piece_digest(whole))
    for piece, code in [
        (b"Piece", "piece_mismatch"),
        (b"", "piece_size"),
        (bytes(PIECE_BYTES + 1), "piece_size"),
    ]:
        with pytest.raises(MalformedError, match=code):
            check_piece(piece, piece_digest(b"piece"))


def test_lists_of_digests():
    assert parse_digests(encode_digests([A, B, C])) == (A, B, C)
    assert parse_digests(b"") == ()
    assert len(parse_digests(bytes(32 * MAX_PIECES))) == MAX_PIECES
    for data, most in [(bytes(33), 3), (bytes(32 * 4), 3), (bytes(32 * (MAX_PIECES + 1)), MAX_PIECES)]:
        with pytest.raises(MalformedError, match="bad_digest_list"):
            parse_digests(data, most)
