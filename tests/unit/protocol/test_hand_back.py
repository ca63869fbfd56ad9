"""Hand-backs: what is written is read, and nothing else is."""

import io

import pytest

from countermark_protocol.answers import Accepted
from countermark_protocol.errors import CountermarkError, MalformedError
from countermark_protocol.hand_back import (
    MAGIC,
    HandBackFrame,
    HandBackHeader,
    HandBackWriter,
    HeldStatement,
    KeptEntry,
    TailRecord,
    parse_hand_back_header,
    parse_held_statement,
    parse_kept_entry,
    parse_tail_record,
    read_hand_back,
)
from countermark_protocol.proof import Inclusion
from support.world import KAMPALA, NAIROBI, World

HEADER = HandBackHeader("log.example.org/one", "ke.auditor.oversight", 7, 1_700_000_000_000)


@pytest.fixture(scope="module")
def pieces():
    sealed = World().message(NAIROBI, [KAMPALA])
    proof = Accepted(b"note\n", Inclusion(8, bytes(115), (bytes(32),)))
    return (
        TailRecord(7, bytes(115), sealed.document, b"s" * 32, sealed.rows),
        HeldStatement(8, sealed.data, is_message=True, proof=proof),
        KeptEntry(
            8, bytes(115), sealed.document, proof, sealed.rows, (b"stanza",) * len(sealed.rows), b"sealed"
        ),
        KeptEntry(9, bytes(115), sealed.document),
    )


@pytest.fixture(scope="module")
def written(pieces):
    out = io.BytesIO()
    writer = HandBackWriter(out.write, HEADER)
    writer.record(pieces[0])
    writer.held(pieces[1])
    writer.kept(pieces[2])
    writer.kept(pieces[3])
    writer.checkpoint(b"a note")
    writer.end()
    return out.getvalue()


def read(data):
    return list(read_hand_back(io.BytesIO(data).read))


def test_what_is_written_is_read(written, pieces):
    frames = read(written)
    assert [kind for kind, _ in frames] == [
        HandBackFrame.HEADER,
        HandBackFrame.RECORD,
        HandBackFrame.HELD,
        HandBackFrame.KEPT,
        HandBackFrame.KEPT,
        HandBackFrame.CHECKPOINT,
    ]
    assert parse_hand_back_header(frames[0][1]) == HEADER
    assert parse_tail_record(frames[1][1]) == pieces[0]
    assert parse_held_statement(frames[2][1]) == pieces[1]
    assert [parse_kept_entry(frames[i][1]) for i in (3, 4)] == list(pieces[2:])
    assert frames[5][1] == b"a note"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda data: b"x" + data[1:], "not a hand-back"),
        (lambda data: data[:-1], "cut short"),
        (lambda data: data + b"x", "digest differs"),
        (lambda data: data[:-40] + bytes([data[-40] ^ 1]) + data[-39:], "digest differs"),
        (lambda _: MAGIC + b"\x09\0\0\0\0", "does not know"),
        (lambda _: MAGIC + b"\x03\0\0\0\0", "its one header"),
    ],
)
def test_nothing_else_is_read(written, spoil, says):
    with pytest.raises(MalformedError, match=says) as refused:
        read(spoil(written))
    assert refused.value.code == "bad_hand_back"


def test_a_proof_of_another_index_is_refused(pieces):
    data = pieces[1].encode()
    with pytest.raises(MalformedError) as refused:
        parse_held_statement(bytes(7) + b"\x09" + data[8:])
    assert refused.value.code == "bad_hand_back"


@pytest.mark.parametrize("spoil", [lambda d: bytes(7) + b"\x09" + d[8:], lambda d: d[:9] + b"\x01" + d[10:]])
def test_a_kept_entry_whose_proof_is_of_another_index_or_leaf_is_refused(pieces, spoil):
    with pytest.raises(MalformedError) as refused:
        parse_kept_entry(spoil(pieces[2].encode()))
    assert refused.value.code == "bad_hand_back"


@pytest.mark.parametrize("flag", [2, 255])
def test_a_content_flag_has_two_values(pieces, flag):
    data = pieces[2].encode()
    # The flag stands before the length and the content, which are the last ten bytes.
    with pytest.raises(MalformedError) as refused:
        parse_kept_entry(data[:-11] + bytes([flag]) + data[-10:])
    assert refused.value.code == "bad_hand_back"


@pytest.mark.parametrize("cut", [0, 8, 100, 200, 500])
def test_frames_cut_short_are_malformed(pieces, cut):
    parsers = (parse_tail_record, parse_held_statement, parse_kept_entry, parse_kept_entry)
    for parse, piece in zip(parsers, pieces, strict=True):
        with pytest.raises(CountermarkError):
            parse(piece.encode()[:cut])


# --- attachments -----------------------------------------------------------------------------------------


def test_lists_of_pieces_are_those_of_the_manifest():
    sealed = World().message(NAIROBI, [KAMPALA], files={"a": b"a", "b": bytes(5_000_000)})
    lists = tuple(one.file.pieces for one in sealed.attached)
    assert list(map(len, lists)) == [1, 2]
    for pieces in (lists, ((), lists[1]), (lists[0], ()), ()):
        kept = KeptEntry(8, bytes(115), sealed.document, content=b"sealed", pieces=pieces)
        assert parse_kept_entry(kept.encode()) == kept
    with pytest.raises(ValueError, match="zip"):
        KeptEntry(8, bytes(115), sealed.document, pieces=lists[:1]).encode()
    wrong = KeptEntry(8, bytes(115), sealed.document, pieces=(lists[1], lists[0])).encode()
    with pytest.raises(MalformedError, match="bad_hand_back"):
        parse_kept_entry(wrong)
    with pytest.raises(MalformedError, match="truncated"):
        parse_kept_entry(KeptEntry(8, bytes(115), sealed.document, pieces=lists).encode()[:-1])
