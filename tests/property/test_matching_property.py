"""Whatever a register writes: matching is deterministic in spelling, stays within the lists, and never breaks."""

from hypothesis import given, settings
from hypothesis import strategies as st

from countermark_protocol.codes.calibres import canonical_calibre, match_calibre
from countermark_protocol.codes.matching import folded, match_make
from countermark_protocol.codes.serial_texts import read_serial
from countermark_protocol.codes.serials import serial_keys
from countermark_protocol.codes.tables import CodeListName, load_code_list, read_rows
from countermark_protocol.codes.weapons import WeaponCategory
from countermark_protocol.messages.marks import Mark

MAKES = load_code_list(CodeListName.NCIC_MAKE)
CALIBRES = load_code_list(CodeListName.NCIC_CALIBRE)
_PIECES = st.sampled_from(
    [*".,-/() ", "9", "38", "X", "MM", "mm", "gauge", "Spl", "S&W", "ACP", "7,62", "x", "0.", "LR", "(cano)"]
)
_CALIBRE_TEXTS = st.one_of(st.lists(_PIECES, max_size=8).map("".join), st.text(max_size=20))
_WRITTEN = st.sampled_from(sorted({row["written_as"] for row in read_rows("ncic_gun_make_aliases")}))
_FORMS = st.sampled_from(sorted({row["written_as"] for row in read_rows("ncic_gun_calibre_aliases")}))
_CATEGORY = st.one_of(st.none(), st.sampled_from(WeaponCategory))
_SERIAL_TEXTS = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from(["ABC123", " (cano)", " e ", "?", "T6472-14 ", "00", "/", "S/N", "XX"]), max_size=6
    ).map("".join),
)


@settings(deadline=None)
@given(_CALIBRE_TEXTS, _CATEGORY)
def test_calibres_stay_within_the_list(text, category):
    found = match_calibre(text, category=category)
    assert (found.code is None) != (found.reason is None)
    assert found.code is None or found.code in CALIBRES
    assert all(code in CALIBRES for code in found.candidates)


@settings(deadline=None)
@given(_CALIBRE_TEXTS)
def test_canonical_calibres_are_canonical(text):
    once = canonical_calibre(text)
    assert canonical_calibre(once) == once


@settings(deadline=None)
@given(_FORMS, st.sampled_from(["{}", " {} ", "cal {}", "{}  "]), st.booleans())
def test_calibres_do_not_depend_on_capitals_and_spaces(form, frame, lower):
    written = frame.format(form.lower() if lower else form)
    assert match_calibre(written) == match_calibre(form)


@settings(deadline=None)
@given(st.text(max_size=40))
def test_makes_stay_within_the_list(text):
    found = match_make(text)
    assert (found.code is None) != (found.reason is None)
    assert found.code is None or found.code in MAKES
    assert folded(folded(text)) == folded(text)
    assert match_make(folded(text)) == found


@settings(deadline=None)
@given(_WRITTEN, st.booleans())
def test_makes_do_not_depend_on_capitals_and_spaces(written, lower):
    spaced = "  ".join(f" {written} ".split(" "))
    assert match_make(spaced.lower() if lower else spaced) == match_make(written)


@settings(deadline=None)
@given(st.text(max_size=30))
def test_serial_keys_are_stable(text):
    keys = serial_keys(text)
    for key in (keys.plain, keys.zero_and_one, keys.look_alike):
        assert serial_keys(key).plain == key
    assert serial_keys(text.lower()).plain == serial_keys(text.lower().upper()).plain


@settings(deadline=None)
@given(_SERIAL_TEXTS, _CATEGORY)
def test_what_is_read_is_a_mark_that_may_be_sent(text, category):
    found = read_serial(text, category=category)
    assert found.typed == text
    for mark in found.marks:
        if mark.text is not None:
            assert mark.text in text
    assert (found.reason is None) == any(
        m.kind.value == "SERIAL" and (m.text or m.pattern) for m in found.marks
    )
    # Control characters and lengths are the importer's; what it may keep is what a mark accepts.
    if text.isprintable() and text.isascii() and len(text) < 60:
        for mark in found.marks:
            Mark(
                kind=mark.kind,
                component=mark.component,
                status=mark.status,
                text=mark.text,
                pattern=mark.pattern,
                position=mark.position,
            )
