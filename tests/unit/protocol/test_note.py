"""Signed notes: what is one, whose signature counts, and verifier keys."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from countermark_protocol.errors import MalformedError, SignatureError, UncheckableError
from countermark_protocol.keys import Algorithm, PublicKey, parse_public_key
from countermark_protocol.note import (
    MAX_DECIMAL,
    MAX_NOTE_BYTES,
    NoteKey,
    NoteSignature,
    UnverifiedNote,
    encode_base64,
    encode_note,
    encode_vkey,
    note_key_id,
    parse_base64,
    parse_decimal,
    parse_note,
    parse_vkey,
    verify_note,
)

NAME = "log.example/1"
TEXT = "first line\n\nthird line, in Kiswahili: nadhani ndiyo ✓\n".encode()


def private_key(number):
    return Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


def note_key(number, name=NAME):
    return NoteKey(
        name, parse_public_key(Algorithm.ED25519, private_key(number).public_key().public_bytes_raw())
    )


def signature(number, name=NAME, text=TEXT):
    return NoteSignature(name, note_key(number, name).key_id, private_key(number).sign(text))


def line(name="w", value=b"\x00\x01\x02\x03\x04"):
    return f"— {name} {base64.b64encode(value).decode()}\n"


# --- notation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "AA==", "AAA=", "AAAA", "+/+/"])
def test_base64_round_trips(text):
    assert encode_base64(parse_base64(text, "x")) == text


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "AA",
        "AAA",
        "AA=",
        "AA===",
        "AB==",
        "AAB=",
        "AAAA=",
        "AA==AA==",
        "AA A",
        "AAAA\n",
        "-_-_",
        "é",
        "\ud800",
    ],
)
def test_other_spellings_of_base64_are_refused(text):
    with pytest.raises(MalformedError) as caught:
        parse_base64(text, "x")
    assert caught.value.code == "not_base64"


@pytest.mark.parametrize("number", [0, 7, 10, 2**53, MAX_DECIMAL])
def test_decimals(number):
    assert parse_decimal(str(number), "x") == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        "01",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1\n",
        "1_0",
        "1.0",
        "0x1",
        "٣",
        "9223372036854775808",
        "9" * 5000,
    ],
)
def test_other_spellings_of_numbers_are_refused(text):
    with pytest.raises(MalformedError) as caught:
        parse_decimal(text, "x")
    assert caught.value.code == "not_decimal"


# --- notes -------------------------------------------------------------------------------------------


def test_a_note_round_trips_byte_for_byte():
    note = UnverifiedNote(TEXT, (signature(1), NoteSignature("w", b"\xff" * 4, b"\x00" * 5000)))
    data = encode_note(note)
    assert data.startswith(TEXT + b"\n" + "— log.example/1 ".encode())
    assert parse_note(data) == note
    assert encode_note(parse_note(data)) == data


def test_the_last_empty_line_separates():
    note = parse_note(("a\n\n— x AAAA\n\n\n" + line()).encode())
    assert note.text == "a\n\n— x AAAA\n\n".encode()
    assert [s.name for s in note.signatures] == ["w"]


def test_the_text_may_be_one_empty_line():
    assert parse_note(("\n\n" + line()).encode()).text == b"\n"


def test_sixteen_signatures_of_five_kilobytes_are_accepted():
    lines = "".join(line(f"w{i}", bytes(5000)) for i in range(16))
    assert len(parse_note(("t\n\n" + lines).encode()).signatures) == 16


GOOD = "text\n\n" + line()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "note_unsigned"),
        (b"\n", "note_unsigned"),
        (b"\n\n", "note_unsigned"),
        (b"text\n", "note_unsigned"),
        (b"text\n\n", "note_unsigned"),
        (line().encode(), "note_unsigned"),
        (("text\n" + line()).encode(), "note_unsigned"),
        (GOOD[:-1].encode(), "note_unsigned"),
        ((GOOD + "\n").encode(), "note_unsigned"),
        (("text\n\n" + "more\n").encode(), "bad_signature_line"),
        ((GOOD + "more\n").encode(), "bad_signature_line"),
        (GOOD.replace("—", "-").encode(), "bad_signature_line"),
        (GOOD.replace("—", "\N{EN DASH}").encode(), "bad_signature_line"),
        (GOOD.replace("— ", "—").encode(), "bad_signature_line"),
        (GOOD.replace("— ", "—\N{NO-BREAK SPACE}").encode(), "bad_signature_line"),
        (GOOD.replace("— w", "— ").encode(), "bad_key_name"),
        (GOOD.replace("— w", "—  w").encode(), "bad_key_name"),
        (GOOD.replace("— w", "— w+x").encode(), "bad_key_name"),
        (GOOD.replace("— w", "— w\N{NO-BREAK SPACE}x").encode(), "bad_key_name"),
        (GOOD.replace("— w", "— w\N{IDEOGRAPHIC SPACE}").encode(), "bad_key_name"),
        (GOOD.replace("— w", "— w\N{LINE SEPARATOR}").encode(), "bad_key_name"),
        (GOOD.replace("— w", "— w\x85").encode(), "bad_key_name"),
        (GOOD.replace("w ", "w  ").encode(), "not_base64"),
        (GOOD.replace("w ", "w x ").encode(), "not_base64"),
        (GOOD.replace("=\n", "\n").encode(), "not_base64"),
        (GOOD.replace("=\n", "= \n").encode(), "not_base64"),
        (b"text\n\n" + "— w\n".encode(), "bad_signature_line"),
        (b"text\n\n" + "— w \n".encode(), "bad_signature_line"),
        (("text\n\n" + line(value=b"\x00" * 4)).encode(), "bad_signature_line"),
        (GOOD.replace("\n", "\r\n").encode(), "forbidden_character"),
        (b"\x00" + GOOD.encode(), "forbidden_character"),
        (GOOD.replace("text", "te\tt").encode(), "forbidden_character"),
        (GOOD.replace("text", "te\x1ft").encode(), "forbidden_character"),
        (b"\xff" + GOOD.encode(), "not_utf8"),
        (b"\xed\xa0\x80" + GOOD.encode(), "not_utf8"),  # a lone surrogate
        (b"\xc1\xa1" + GOOD.encode(), "not_utf8"),  # an overlong "a"
        (("t\n\n" + line() * 101).encode(), "note_signature_count"),
        (b"t" * MAX_NOTE_BYTES + GOOD.encode(), "note_too_large"),
    ],
)
def test_what_is_no_note_is_refused(data, code):
    with pytest.raises(MalformedError) as caught:
        parse_note(data)
    assert caught.value.code == code


def test_a_hundred_signatures_are_still_a_note():
    assert len(parse_note(("t\n\n" + line() * 100).encode()).signatures) == 100


def test_del_and_other_characters_beyond_the_forbidden_ones_are_text():
    assert parse_note(("a\x7f\N{LINE SEPARATOR}\n\n" + line()).encode()).text == "a\x7f\u2028\n".encode()


@given(st.binary(max_size=80) | st.text(alphabet="—\n a+=A\x00", max_size=40).map(str.encode))
def test_parsing_raises_nothing_but_malformed(data):
    try:
        note = parse_note(data)
    except MalformedError:
        return
    assert encode_note(note) == data


@pytest.mark.parametrize(
    "note",
    [
        # Without its newline, the text's last line would become a signature line.
        UnverifiedNote(("t\n\n" + line()).encode()[:-1], (signature(1),)),
        UnverifiedNote(TEXT, (NoteSignature("w", b"\x00" * 3, b"\x00" * 64),)),
        UnverifiedNote(TEXT, (NoteSignature("w", b"\x00" * 5, b"\x00" * 64),)),
        UnverifiedNote(TEXT, (NoteSignature("\ud800", b"\x00" * 4, b"\x00" * 64),)),
    ],
)
def test_a_note_that_would_be_read_as_another_is_not_encoded(note):
    with pytest.raises(ValueError, match=r"newline|surrogates"):
        encode_note(note)


@pytest.mark.parametrize(
    "note",
    [
        UnverifiedNote(b"no newline", (signature(1),)),
        UnverifiedNote(TEXT, ()),
        UnverifiedNote(TEXT, (NoteSignature("a b", b"\x00" * 4, b"\x00"),)),
        UnverifiedNote(TEXT, (NoteSignature("w", b"\x00" * 4, b""),)),
        UnverifiedNote(TEXT, (NoteSignature("w\n— v", b"\x00" * 4, b"\x00"),)),
        UnverifiedNote(b"\x00\n", (signature(1),)),
    ],
)
def test_what_is_no_note_is_not_encoded(note):
    with pytest.raises(MalformedError):
        encode_note(note)


# --- whose signature counts --------------------------------------------------------------------------


def test_the_expected_keys_signature_verifies():
    verify_note(UnverifiedNote(TEXT, (signature(1),)), note_key(1))


def test_lines_by_unknown_keys_are_ignored_though_they_share_name_or_id():
    key = note_key(1)
    same_name = NoteSignature(NAME, b"\x00" * 4, b"\x00" * 64)
    same_id = NoteSignature("other", key.key_id, b"\x00" * 64)
    verify_note(UnverifiedNote(TEXT, (same_name, same_id, signature(1), signature(2, "w"))), key)


def refused(note, key):
    with pytest.raises(SignatureError) as caught:
        verify_note(note, key)
    return caught.value.code


def test_a_note_without_the_expected_keys_signature_is_refused():
    key = note_key(1)
    assert refused(UnverifiedNote(TEXT, (signature(2),)), key) == "signature_missing"
    # The right signature under another name, or under another id, is none.
    right = signature(1)
    assert (
        refused(UnverifiedNote(TEXT, (NoteSignature("w", right.key_id, right.signature),)), key)
        == "signature_missing"
    )
    assert (
        refused(UnverifiedNote(TEXT, (NoteSignature(NAME, b"\x00" * 4, right.signature),)), key)
        == "signature_missing"
    )


def test_one_wrong_signature_by_the_expected_key_voids_the_note():
    key, right = note_key(1), signature(1)
    wrong = NoteSignature(NAME, key.key_id, bytes(64))
    assert refused(UnverifiedNote(TEXT, (wrong,)), key) == "bad_signature"
    assert refused(UnverifiedNote(TEXT, (right, wrong)), key) == "bad_signature"
    assert refused(UnverifiedNote(TEXT, (wrong, right)), key) == "bad_signature"
    for size in (1, 63, 65):
        cut = NoteSignature(NAME, key.key_id, bytes(size))
        assert refused(UnverifiedNote(TEXT, (cut,)), key) == "signature_size"
    verify_note(UnverifiedNote(TEXT, (right, right)), key)


def test_a_signature_over_another_text_is_refused():
    assert refused(UnverifiedNote(TEXT + b"more\n", (signature(1),)), note_key(1)) == "bad_signature"
    assert refused(UnverifiedNote(TEXT[:-1], (signature(1),)), note_key(1)) == "bad_signature"


def test_a_key_id_that_collides_is_only_a_signature_that_fails():
    """Key ids have 32 bits, so anyone can make a key that collides; all it gets is a refused note."""
    forged = NoteSignature(NAME, note_key(1).key_id, private_key(2).sign(TEXT))
    assert refused(UnverifiedNote(TEXT, (forged,)), note_key(1)) == "bad_signature"


# --- keys --------------------------------------------------------------------------------------------


def test_a_verifier_key_round_trips():
    key = note_key(3, "Étoile.example/✓")
    text = encode_vkey(key)
    assert text.split("+", 2)[1] == key.key_id.hex() == note_key_id(key.name, 1, key.public_key.raw).hex()
    assert parse_vkey(text) == key


def test_the_key_id_covers_name_type_and_key():
    ids = {
        note_key_id("a", 1, bytes(32)),
        note_key_id("b", 1, bytes(32)),
        note_key_id("a", 4, bytes(32)),
        note_key_id("a", 1, bytes(31) + b"\x01"),
    }
    assert len(ids) == 4


def vkey(name, kind, material):
    value = bytes([kind]) + material
    return f"{name}+{note_key_id(name, kind, material).hex()}+{encode_base64(value)}"


RAW = note_key(1).public_key.raw


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "bad_vkey"),
        (7, "bad_vkey"),
        ("", "bad_vkey"),
        (NAME, "bad_vkey"),
        (f"{NAME}+00000000", "bad_vkey"),
        (f"+00000000+{encode_base64(b'x')}", "bad_key_name"),
        (f"a b+00000000+{encode_base64(b'x')}", "bad_key_name"),
        (f"a\ud800+00000000+{encode_base64(b'x')}", "bad_key_name"),
        (vkey(NAME, 1, RAW).replace(NAME, "log.example/2"), "bad_vkey"),
        (vkey(NAME, 1, RAW)[:-4], "key_size"),
        (vkey(NAME, 1, RAW) + "AAAA", "key_size"),
        (vkey(NAME, 1, RAW) + "+", "not_base64"),
        (vkey(NAME, 1, RAW) + "\n", "not_base64"),
        (vkey(NAME, 1, RAW[:31]), "key_size"),
        (vkey(NAME, 1, b""), "key_size"),
        (vkey(NAME, 1, bytes(32)), "key_invalid"),  # a point of small order: verifies what nobody signed
        (vkey(NAME, 1, b"\xff" * 32), "key_invalid"),
        (f"{NAME}+0000000+{encode_base64(b'x')}", "not_hex"),
        (f"{NAME}+0000000G+{encode_base64(b'x')}", "not_hex"),
        (f"{NAME}+ABCDEF00+{encode_base64(b'x')}", "not_hex"),
        (f"{NAME}+00000000+", "bad_vkey"),
        (f"{NAME}+00000000+{encode_base64(bytes([1]) + RAW)}", "bad_vkey"),
    ],
)
def test_what_is_no_verifier_key_is_refused(text, code):
    with pytest.raises(MalformedError) as caught:
        parse_vkey(text)
    assert caught.value.code == code


@pytest.mark.parametrize("kind", [0, 2, 4, 6, 0xFF])
def test_verifier_keys_of_other_types_are_not_decided_here(kind):
    with pytest.raises(UncheckableError) as caught:
        parse_vkey(vkey("witness.example", kind, RAW))
    assert caught.value.code == "note_key_type"


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\N{EM SPACE}b", "a\x00", "\udfff"])
def test_names_no_note_can_hold_are_refused(name):
    with pytest.raises(MalformedError) as caught:
        NoteKey(name, note_key(1).public_key)
    assert caught.value.code == "bad_key_name"


def test_a_note_key_is_an_ed25519_key():
    with pytest.raises(ValueError, match="expected an Ed25519 key"):
        NoteKey(NAME, PublicKey(Algorithm.ES256, bytes(65)))
