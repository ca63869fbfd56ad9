"""Code lists: what ships is what its origin has, and matching invents nothing."""

import csv
import hashlib
from enum import StrEnum
from pathlib import Path

import pytest

from countermark_protocol.codes import events, tracing, weapons
from countermark_protocol.codes.matching import NoCodeReason, match_calibre, match_make
from countermark_protocol.codes.tables import CodeListName, load_code_list, read_rows

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT / "schemas" / "src" / "countermark_protocol" / "codes" / "data"
SHARED = ROOT.parent / "shared" / "data"


@pytest.mark.parametrize(
    ("name", "rows", "code"),
    [
        (CodeListName.COUNTRY, 249, "NA"),
        (CodeListName.FORMER_STATE, 6, "YU"),
        (CodeListName.NCIC_MAKE, 4099, "GLC"),
        (CodeListName.NCIC_CALIBRE, 74, "9"),
        (CodeListName.NCIC_TYPE, 19, "P"),
        (CodeListName.NCIC_ACTION, 22, "I"),
        (CodeListName.NCIC_TYPE_COMBINED, 32, "--"),
        (CodeListName.NCIC_FINISH, 32, "BLK"),
        (CodeListName.HS_CHAPTER_93, 26, "930200"),
        (CodeListName.TRANSPORT_MODE, 10, "0"),
    ],
)
def test_lists_are_complete(name, rows, code):
    codes = load_code_list(name)
    assert len(codes.entries) == rows
    assert code in codes
    assert "no such code" not in codes
    assert all(key and key == key.strip() and text for key, text in codes.entries.items())
    assert codes.edition


def test_every_list_and_every_file_is_accounted_for():
    files = {path.stem for path in DATA.glob("*.csv")}
    assert files == {name.value for name in CodeListName} | {
        "ncic_gun_make_aliases",
        "ncic_gun_calibre_aliases",
    }
    readme = (DATA / "README.md").read_text("utf-8")
    assert all(f"`{name}.csv`" in readme for name in files)
    assert not any("sinarm" in path.name for path in DATA.iterdir())


def test_lists_are_read_once_and_cannot_be_changed():
    codes = load_code_list(CodeListName.COUNTRY)
    assert load_code_list(CodeListName.COUNTRY) is codes
    with pytest.raises(TypeError):
        codes.entries["XX"] = "Nowhere"


@pytest.mark.shared_data
@pytest.mark.skipif(not SHARED.is_dir(), reason="NOT RUN: needs ../shared/data beside the checkout")
def test_files_are_copied_unchanged():
    for path in DATA.glob("*.csv"):
        origin = SHARED / path.name
        if path.stem == "former_states" or path.stem.endswith("_aliases"):
            assert not origin.exists()
            continue
        assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(origin.read_bytes()).digest(), (
            path.name
        )


def test_former_states_are_no_countries_of_today():
    assert not set(load_code_list(CodeListName.FORMER_STATE).entries) & set(
        load_code_list(CodeListName.COUNTRY).entries
    )


@pytest.mark.parametrize(
    "module", [events, tracing, weapons], ids=lambda module: module.__name__.rsplit(".", 1)[1]
)
def test_enumerations_say_what_they_are(module):
    lists = [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, StrEnum)]
    for each in lists:
        if each is StrEnum:
            continue
        assert each.__doc__
        assert each.__doc__ != StrEnum.__doc__
        assert all(member.value for member in each)


def test_domain_page_lists_are_whole():
    assert len(weapons.WeaponCategory) == 19
    assert len(weapons.MarkKind) == 14
    assert len(weapons.MarkStatus) == 8
    assert {each.value for each in tracing.RefusalReason} == {
        "ONGOING_INVESTIGATION",
        "CONFIDENTIALITY_LAW",
        "NO_CONFIDENTIALITY_GUARANTEE",
        "NATIONAL_SECURITY",
    }
    assert len(tracing.TraceOutcome) == 11
    assert len(events.AcquisitionTechnique) == 18
    assert not {each.value for each in tracing.RefusalReason} & {
        each.value for each in tracing.InabilityReason
    }
    assert "WITNESS" not in {each.value for each in tracing.PersonCategory}


# --- matching ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["make", "calibre"])
def test_aliases_point_to_codes_that_exist_and_are_written_as_matching_reads_them(kind):
    match = {"make": match_make, "calibre": match_calibre}[kind]
    known = load_code_list({"make": CodeListName.NCIC_MAKE, "calibre": CodeListName.NCIC_CALIBRE}[kind])
    rows = read_rows(f"ncic_gun_{kind}_aliases")
    assert len({row["written_as"] for row in rows}) == len(rows)
    for row in rows:
        found = match(row["written_as"])
        if row["code"]:
            assert row["code"] in known
            assert found.code == row["code"]
            assert found.reason is None
        else:
            assert found.code is None
            assert found.reason is NoCodeReason(row["ground"])


def test_ambiguous_aliases_name_their_candidates():
    known = load_code_list(CodeListName.NCIC_MAKE)
    for row in read_rows("ncic_gun_make_aliases"):
        if row["ground"] == "AMBIGUOUS":
            candidates = [word for word in row["note"].split() if word.isupper()]
            assert len(candidates) >= 2, row
            assert all(code in known for code in candidates), row


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("GLOCK", "GLC"),
        (" glock ", "GLC"),
        ("Glock, Inc.", "GLC"),
        ("KIMBER", "KIE"),
        ("TAURUS", "TAS"),
        ("SMITH & WESSON", "SW"),
        ("BARETTA", "BER"),
        ("Collath", "COL"),
    ],
)
def test_makes_beyond_doubt_have_their_code(text, code):
    assert match_make(text).code == code


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", NoCodeReason.UNKNOWN),
        ("  ", NoCodeReason.UNKNOWN),
        ("UNKNOWN", NoCodeReason.UNKNOWN),
        ("SPRINGFIELD", NoCodeReason.AMBIGUOUS),
        ("WINCHESTER", NoCodeReason.AMBIGUOUS),
        ("TRIJICON", NoCodeReason.NOT_IN_LIST),
        ("MAGNUM 357", NoCodeReason.NOT_A_MAKE),
        ("GLOCKENSPIEL", NoCodeReason.NOT_IN_LIST),
        ("ARMS", NoCodeReason.NOT_IN_LIST),
    ],
)
def test_other_makes_have_none_and_a_reason(text, reason):
    found = match_make(text)
    assert found.code is None
    assert found.reason is reason


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("9mm", "9"),
        ("9 mm", "9"),
        (".380", "380"),
        ("12 Gauge", "12"),
        ("5.56", "556"),
        ("7.62", "762"),
        ("10mm", "10"),
    ],
)
def test_calibres_beyond_doubt_have_their_code(text, code):
    assert match_calibre(text).code == code


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", NoCodeReason.UNKNOWN), ("5.7", NoCodeReason.NOT_IN_LIST), ("9", NoCodeReason.NOT_IN_LIST)],
)
def test_other_calibres_have_none_and_a_reason(text, reason):
    assert match_calibre(text).reason is reason


def test_data_files_are_plain_csv():
    for path in DATA.glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            assert len(list(csv.DictReader(file))) == len(read_rows(path.stem)), path.name
