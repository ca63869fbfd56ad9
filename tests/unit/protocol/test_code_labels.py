"""Labels: every code has one, those of others are their sources', and no language is made up."""

import pytest

from countermark_protocol.codes.labels import (
    LANGUAGES,
    facts_of,
    find_codes,
    label_of,
    list_names,
    show_list,
)
from countermark_protocol.codes.matching import folded
from countermark_protocol.codes.tables import CodeListName, load_code_list, read_rows
from countermark_protocol.errors import NotFoundError

#: What an official meets on a tracing form.
TRANSLATED = {
    "WEAPON_CATEGORY",
    "ORIGIN_FORM",
    "COMPONENT",
    "MARK_KIND",
    "MARK_STATUS",
    "FINDING_CONTEXT",
    "CONFISCATION_ACTION",
    "ILLICIT_BASIS",
    "TRACE_OUTCOME",
    "REFUSAL_REASON",
    "INTENDED_USE",
    "DISPOSAL",
    "LOSS_KIND",
}


def test_every_code_of_every_list_has_an_english_label():
    for name in list_names():
        entries = show_list(name)
        assert entries, name
        assert all(each.label.language == "en" and each.label.text.strip() for each in entries), name
        facts = facts_of(name)
        assert facts.size == len(entries)
        assert facts.edition
        assert facts.languages[0] == "en"


def test_countries_are_named_in_four_languages_by_their_source():
    assert facts_of("iso3166_countries").languages == LANGUAGES
    labels = {row["code"]: row for row in read_rows("iso3166_labels")}
    assert set(labels) == set(load_code_list(CodeListName.COUNTRY).entries)
    assert label_of("iso3166_countries", "BR", "fr").text == "Brésil"
    assert label_of("iso3166_countries", "DE", "es").text == "Alemania"
    assert label_of("iso3166_countries", "DZ", "ar").text == "\u0627\u0644\u062c\u0632\u0627\u0626\u0631"


@pytest.mark.parametrize("name", sorted(TRANSLATED))
def test_forms_are_labelled_in_four_languages(name):
    assert facts_of(name).languages == LANGUAGES
    for language, scripts in (("ar", "\u0600\u06ff"), ("fr", "Az"), ("es", "Az")):
        for each in show_list(name, language):
            assert any(scripts[0] <= c <= scripts[1] or c == "\u00c9" for c in each.label.text), each
            assert each.label.text == each.label.text.strip()


def test_own_labels_name_codes_that_exist():
    rows = read_rows("own_labels")
    assert len({(row["list"], row["code"]) for row in rows}) == len(rows)
    for row in rows:
        assert label_of(row["list"], row["code"]).text == row["en"]
    assert {row["list"] for row in rows} == TRANSLATED


def test_a_missing_language_is_english_and_says_so():
    label = label_of("ncic_gun_make", "SW", "ar")
    assert label.language == "en"
    assert label == label_of("ncic_gun_make", "SW")


def test_what_does_not_exist_is_told():
    with pytest.raises(NotFoundError) as no_list:
        show_list("weapons")
    assert no_list.value.code == "no_such_list"
    assert "WEAPON_CATEGORY" in no_list.value.message
    with pytest.raises(NotFoundError) as no_code:
        label_of("WEAPON_CATEGORY", "CANNON")
    assert no_code.value.code == "no_such_code"


def test_codes_are_found_in_any_language_without_accents_or_capitals():
    assert find_codes("escopeta")[0].code == "SHOTGUN"
    assert find_codes("BRESIL", language="es")[0].label.text == "Brasil"
    assert find_codes("revolver", names=("WEAPON_CATEGORY",))[0].code == "REVOLVER"
    assert find_codes("A7", names=("eu_2021_555_categories",))[0].code == "A7"
    assert find_codes("no such thing anywhere") == ()


def test_folding_is_stable():
    assert folded(folded("  Šarŝilmaz  São ")) == folded("  Šarŝilmaz  São ") == "SARSILMAZ SAO"
