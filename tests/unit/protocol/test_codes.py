"""Code lists: what ships is what its origin has, and matching invents nothing."""

import csv
import hashlib
from enum import StrEnum
from pathlib import Path

import pytest

from countermark_protocol.codes import events, tracing, weapons
from countermark_protocol.codes.tables import CodeListName, load_code_list, read_rows
from countermark_protocol.handling import HandlingCode, Tlp

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT / "schemas" / "src" / "countermark_protocol" / "codes" / "data"
SHARED = ROOT.parent / "shared" / "data"
#: Written for this package, or from another origin than the shared folder.
_OURS = {
    "former_states",
    "eu_2021_555_categories",
    "tlp_2_0",
    "siena_handling",
    "iso3166_labels",
    "own_labels",
}


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
        (CodeListName.NCIC_COUNTRY, 267, "AD"),
        (CodeListName.PLACE_FUNCTION, 11, "1"),
        (CodeListName.PLACE_STATUS, 14, "AA"),
        (CodeListName.EU_CATEGORY, 25, "B9"),
        (CodeListName.TLP, 5, "AMBER+STRICT"),
        (CodeListName.SIENA_HANDLING, 4, "H3"),
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
        "iso3166_labels",
        "own_labels",
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
        if path.stem in _OURS or path.stem.endswith("_aliases"):
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


def test_data_files_are_plain_csv():
    for path in DATA.glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            assert len(list(csv.DictReader(file))) == len(read_rows(path.stem)), path.name


def test_lists_that_are_enumerations_too_have_the_same_codes():
    assert list(load_code_list(CodeListName.TLP).entries) == [each.value for each in Tlp]
    assert list(load_code_list(CodeListName.SIENA_HANDLING).entries) == [each.value for each in HandlingCode]
    eu = load_code_list(CodeListName.EU_CATEGORY).entries
    assert list(eu) == [f"{c}{n}" for c, last in (("A", 9), ("B", 9), ("C", 7)) for n in range(1, last + 1)]
