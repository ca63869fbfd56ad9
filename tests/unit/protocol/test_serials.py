"""Serials: three keys kept apart, and what people type in the serial's place read without loss."""

import pytest

from countermark_protocol.codes.serial_texts import NoSerialReason, read_serial
from countermark_protocol.codes.serials import Agreement, serial_keys
from countermark_protocol.codes.weapons import Component, MarkKind, MarkStatus, WeaponCategory


@pytest.mark.parametrize(
    ("one", "other", "by"),
    [
        ("ABC-123", "abc 123", Agreement.PLAIN),
        ("AB.C_12/3", "ABC123", Agreement.PLAIN),
        ("\uff21\uff22\uff23123", "ABC123", Agreement.PLAIN),
        ("ABC\u2013123", "ABC123", Agreement.PLAIN),
        ("ABO123", "AB0123", Agreement.ZERO_AND_ONE),
        ("I2345", "12345", Agreement.ZERO_AND_ONE),
        ("\u0410\u0412\u0421123", "ABC123", Agreement.LOOK_ALIKE),
        ("\u039a\u0391123", "KA123", Agreement.LOOK_ALIKE),
        ("ABC123", "ABC124", None),
        ("AB8123", "ABB123", None),
        # The kinds are kept apart: a look-alike and a zero together are no match.
        ("\u0410BO123", "AB0123", None),
        ("", "", None),
        ("---", "...", None),
    ],
)
def test_two_serials_agree_by_one_key_or_not_at_all(one, other, by):
    assert serial_keys(one).agreement(serial_keys(other)) is by
    assert serial_keys(other).agreement(serial_keys(one)) is by


@pytest.mark.parametrize(
    ("text", "alone"),
    [("948", False), ("AB1C", False), ("A12B", True), ("1234", True), ("ABCDEF1", False), ("A-1-2-3", True)],
)
def test_a_short_serial_is_no_hit_by_itself(text, alone):
    assert serial_keys(text).stands_alone is alone


def _read(text, category=WeaponCategory.PISTOL):
    found = read_serial(text, category=category)
    assert found.typed == text
    return found.reason, [(m.kind, m.component, m.status, m.text or m.pattern) for m in found.marks]


@pytest.mark.parametrize(
    ("text", "component"),
    [
        ("ABC123 (armacao)", Component.FRAME),
        ("ABC123 (armação)", Component.FRAME),
        ("ABC123 (cano)", Component.BARREL),
        ("ABC123 na face inferior da empunhadura", Component.GRIP),
        ("ABC123 (carcasa)", Component.FRAME),
        ("ABC123 (receiver)", Component.RECEIVER),
        ("ABC123 (tambor)", Component.CYLINDER),
        ("ABC123 (ferrolho)", Component.SLIDE),
        ("ABC123 (see remarks)", Component.UNKNOWN),
        ("ABC123", Component.UNKNOWN),
    ],
)
def test_a_remark_where_it_stands_is_no_part_of_a_serial(text, component):
    assert _read(text) == (None, [(MarkKind.SERIAL, component, MarkStatus.LEGIBLE, "ABC123")])


def test_the_remark_is_kept():
    (mark,) = read_serial("ABC123 (na armação, lado direito)").marks
    assert mark.position == "na armação, lado direito"


def test_two_serials_of_swapped_parts_are_two_marks():
    serial, legible = MarkKind.SERIAL, MarkStatus.LEGIBLE
    assert _read("AANK123 (armacao) e YWL456 (cano e ferrolho)") == (
        None,
        [
            (serial, Component.FRAME, legible, "AANK123"),
            (serial, Component.BARREL, legible, "YWL456"),
            (serial, Component.SLIDE, legible, "YWL456"),
        ],
    )
    assert _read("1052213 (receiver) 99812 (bolt)", WeaponCategory.RIFLE) == (
        None,
        [
            (serial, Component.RECEIVER, legible, "1052213"),
            (serial, Component.BOLT, legible, "99812"),
        ],
    )
    assert _read("AB123 / CD456") == (
        None,
        [
            (serial, Component.UNKNOWN, legible, "AB123"),
            (serial, Component.UNKNOWN, legible, "CD456"),
        ],
    )


@pytest.mark.parametrize("text", ["123/45", "AB 1234 E", "No 123", "12-3456 A"])
def test_what_only_looks_like_two_serials_is_one(text):
    _, marks = _read(text)
    assert [mark[3] for mark in marks] == [text]


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("KH??45*", "KH??45?"),
        ("12XX45 (X represents two removed digits)", "12??45"),
        ("A? 123", "A?123"),
    ],
)
def test_what_cannot_be_read_becomes_a_pattern(text, pattern):
    assert _read(text) == (None, [(MarkKind.SERIAL, Component.UNKNOWN, MarkStatus.PARTIAL, pattern)])


def test_the_turkish_code_of_maker_and_year_is_no_serial():
    maker = (MarkKind.MANUFACTURER, Component.UNKNOWN, MarkStatus.LEGIBLE, "T6472-14")
    assert _read("T6472-14 G 00590") == (
        None,
        [maker, (MarkKind.SERIAL, Component.UNKNOWN, MarkStatus.LEGIBLE, "G 00590")],
    )
    assert _read("T6472-14") == (NoSerialReason.MAKER_CODE_ONLY, [maker])


@pytest.mark.parametrize("text", ["000000000", "S/N", "-", "INEXISTENTE", "n/a", "sem número", "???"])
def test_placeholders_are_no_serials(text):
    assert _read(text) == (NoSerialReason.PLACEHOLDER, [])


@pytest.mark.parametrize(
    "text", ["SUPRIMIDO", "raspado", "Obliterated", "número suprimido por abrasão mecânica"]
)
def test_what_was_removed_is_a_mark_without_text(text):
    assert _read(text) == (
        NoSerialReason.REMOVED,
        [(MarkKind.SERIAL, Component.UNKNOWN, MarkStatus.OBLITERATED, None)],
    )


def test_prose_and_nothing_give_no_marks():
    assert _read("arma sem numero de serie aparente") == (NoSerialReason.FREE_TEXT, [])
    assert _read("") == (NoSerialReason.UNKNOWN, [])
    assert _read("UNKNOWN") == (NoSerialReason.UNKNOWN, [])
