"""Submissions: everything that the manifest names, and nothing else."""

from dataclasses import replace

import pytest

from countermark_protocol.documents import sign_document
from countermark_protocol.encoding import Writer, encode_json
from countermark_protocol.errors import CountermarkError, MalformedError, UncheckableError
from countermark_protocol.recipients import MAX_STANZA_BYTES, order_rows, recipients_root, stanza_hash
from countermark_protocol.submission import MAX_DOCUMENT_BYTES, encode_submission, parse_submission
from support.protocol_world import make_world
from support.world import BRUSSELS, KAMPALA, LYON, NAIROBI

WORLD = make_world()
GOOD = WORLD.compose(NAIROBI, [KAMPALA, LYON, BRUSSELS])
OTHER = WORLD.compose(NAIROBI, [KAMPALA, LYON, BRUSSELS])


def refused(error, code, data):
    with pytest.raises(CountermarkError) as caught:
        parse_submission(data)
    assert (type(caught.value), caught.value.code) == (error, code), caught.value


def encoded(rows=GOOD.rows, stanzas=GOOD.stanzas, content=GOOD.content, document=GOOD.document):
    return encode_submission(document, rows, stanzas, content)


def test_round_trip():
    submission = parse_submission(GOOD.data)
    assert submission.manifest == GOOD.manifest
    assert submission.rows == GOOD.rows
    assert submission.stanzas == GOOD.stanzas
    assert submission.content == GOOD.content
    assert submission.document.data == GOOD.document
    assert encoded() == GOOD.data


def test_every_truncation_is_refused():
    for cut in [*range(64), *range(64, len(GOOD.data), 97), len(GOOD.data) - 1]:
        with pytest.raises((MalformedError, UncheckableError)):
            parse_submission(GOOD.data[:cut])


def test_version_and_end():
    refused(UncheckableError, "unknown_version", b"\x02" + GOOD.data[1:])
    refused(MalformedError, "trailing_bytes", GOOD.data + b"\x00")
    refused(MalformedError, "oversized_field", b"\x01" + (MAX_DOCUMENT_BYTES + 1).to_bytes(4, "big"))


def test_a_recipient_stripped_added_or_changed():
    refused(MalformedError, "recipients_root_mismatch", encoded(GOOD.rows[:-1], GOOD.stanzas[:-1]))
    extra = replace(GOOD.rows[0], endpoint="be.police.eve")
    pairs = sorted(
        zip((*GOOD.rows, extra), (*GOOD.stanzas, GOOD.stanzas[0]), strict=True), key=lambda p: p[0].digest()
    )
    refused(MalformedError, "recipients_root_mismatch", encoded(*zip(*pairs, strict=True)))
    # In place of another, so that the count fits.
    others = [p for p in pairs if p[0].endpoint != LYON]
    refused(MalformedError, "recipients_root_mismatch", encoded(*zip(*others, strict=True)))


def test_a_stanza_changed_or_swapped():
    # Its hash is in the row: the rows are then others, and out of order as often as not.
    stanzas = (GOOD.stanzas[1], GOOD.stanzas[0], GOOD.stanzas[2])
    rows = [replace(r, stanza=stanza_hash(s)) for r, s in zip(GOOD.rows, stanzas, strict=True)]
    by_row = dict(zip(rows, stanzas, strict=True))
    ordered = order_rows(rows)
    refused(MalformedError, "recipients_root_mismatch", encoded(ordered, [by_row[r] for r in ordered]))


def test_rows_out_of_order_and_twice():
    refused(MalformedError, "rows_order", encoded(GOOD.rows[::-1], GOOD.stanzas[::-1]))
    twin = replace(GOOD.rows[0], salt=bytes(32))
    pair = order_rows([GOOD.rows[0], twin])
    payload = replace(GOOD.manifest, recipient_count=2)
    document = sign_document(encode_json(payload.to_json()), [WORLD.agencies[NAIROBI].instance])
    refused(MalformedError, "recipient_twice", encoded(pair, [GOOD.stanzas[0]] * 2, document=document))


def test_the_count_of_rows():
    head = Writer().uint(1, 1).sized(GOOD.document, 4)
    refused(MalformedError, "too_many_recipients", head.done() + b"\x00\x00")
    refused(MalformedError, "too_many_recipients", head.done() + (1001).to_bytes(2, "big"))


@pytest.mark.parametrize("endpoint", [b"", b"nobody", "ke.police.é".encode(), b"\xff", b"KE.POLICE.X"])
def test_names_that_are_no_endpoint(endpoint):
    data = Writer().uint(1, 1).sized(GOOD.document, 4).uint(1, 2)
    data.fixed(bytes(32), 32).sized(endpoint, 1).fixed(bytes(32), 32).sized(b"stanza", 2).sized(b"", 4).uint(
        0, 2
    )
    refused(MalformedError, "not_an_address", data.done())


def test_stanza_too_large():
    data = Writer().uint(1, 1).sized(GOOD.document, 4).uint(1, 2)
    data.fixed(bytes(32), 32).sized(KAMPALA.encode(), 1).fixed(bytes(32), 32)
    refused(MalformedError, "oversized_field", data.sized(bytes(MAX_STANZA_BYTES + 1), 2).done())


def test_content_swapped():
    refused(MalformedError, "content_mismatch", encoded(content=OTHER.content))
    refused(MalformedError, "content_mismatch", encoded(content=GOOD.content + b"\x00"))
    refused(MalformedError, "content_mismatch", encoded(content=b""))


def test_rows_of_another_message():
    refused(MalformedError, "recipients_root_mismatch", encoded(OTHER.rows, OTHER.stanzas))


def test_a_count_that_is_not_that_of_the_rows():
    payload = replace(GOOD.manifest, recipient_count=2, recipient_root=recipients_root(GOOD.rows))
    document = sign_document(encode_json(payload.to_json()), [WORLD.agencies[NAIROBI].instance])
    refused(MalformedError, "recipients_root_mismatch", encoded(document=document))


def test_a_manifest_that_is_none():
    receipt = WORLD.receipt(KAMPALA, [GOOD])
    refused(MalformedError, "bad_member", encoded(document=receipt))
    with pytest.raises(ValueError):
        encode_submission(GOOD.document, GOOD.rows, GOOD.stanzas[:-1], GOOD.content)


# --- attachments -----------------------------------------------------------------------------------------

WITH_FILES = WORLD.compose(NAIROBI, [KAMPALA], files={"a.jpg": b"photograph", "b.pdf": bytes(5_000_000)})


def with_pieces(pieces):
    s = WITH_FILES
    return encode_submission(s.document, s.rows, s.stanzas, s.content, pieces)


def test_submission_with_attachments():
    submission = parse_submission(WITH_FILES.data)
    assert [len(one) for one in submission.pieces] == [1, 2]
    assert {digest for one in submission.pieces for digest in one} == set(WITH_FILES.pieces)
    assert submission.signed_anew(WITH_FILES.document) == WITH_FILES.data
    assert len(WITH_FILES.data) < 100_000


def test_every_truncation_of_the_lists_is_refused():
    tail = 2 + 2 + 32 + 2 + 64
    for cut in range(len(WITH_FILES.data) - tail, len(WITH_FILES.data)):
        with pytest.raises(MalformedError):
            parse_submission(WITH_FILES.data[:cut])


def test_pieces_that_are_not_those_of_the_manifest():
    (a,), (b, c) = parse_submission(WITH_FILES.data).pieces
    altered = bytes([a[0] ^ 1]) + a[1:]
    for pieces in [
        [],
        [[a]],
        [[a], [b]],
        [[a], [b, c, c]],
        [[a], [b, c], []],
        [[], [b, c]],
        [[a], [c, b]],
        [[b], [a, c]],
        [[altered], [b, c]],
        [[b, c], [a]],
    ]:
        refused(MalformedError, "attachment_mismatch", with_pieces(pieces))


def test_what_the_manifest_says_bounds_what_is_read():
    at = len(WITH_FILES.data) - (2 + 2 + 32 + 2 + 64)
    refused(MalformedError, "attachment_mismatch", WITH_FILES.data[:at] + b"\xff\xff")
    refused(MalformedError, "attachment_mismatch", WITH_FILES.data[:at] + b"\x00\x02\xff\xff")
