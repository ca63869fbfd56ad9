"""Places: the whole list, found by code and by name, read once."""

import csv
from pathlib import Path

import pytest

from countermark_client.places import EDITION, load_places
from countermark_protocol.codes.tables import CodeListName, load_code_list

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared" / "data"


def test_a_place_is_found_by_its_code():
    places = load_places()
    assert len(places) == 82_276
    assert "2015" in EDITION
    for written in ("DEHAM", "DE HAM", "de ham"):
        found = places.find(written)
        assert found is not None
        assert (found.code, found.country, found.subdivision, found.name) == (
            "DEHAM",
            "DE",
            "DE-HH",
            "Hamburg",
        )


@pytest.mark.parametrize("code", ["", "DE", "DEHA", "DEHAMX", "QQQQQ", "ZZZZZ"])
def test_what_this_edition_lacks_is_none(code):
    assert load_places().find(code) is None


def test_places_are_found_by_name_best_first():
    places = load_places()
    assert places.search("são paulo", country="BR")[0].code == "BRSAO"
    found = places.search("wilmington", country="US")
    assert {p.name for p in found[:3]} == {"Wilmington"}
    assert all(p.country == "US" for p in found)
    assert len(places.search("port", limit=7)) == 7
    assert places.search("no such place anywhere") == ()


def test_a_name_in_a_subdivision():
    places = load_places()
    assert [p.code for p in places.named("WILMINGTON", country="US", subdivision="US-DE")] == ["USILG"]
    assert len(places.named("Wilmington", country="US")) > 1
    assert places.named("Wilming", country="US") == ()


def test_subdivisions_belong_to_their_country():
    places = load_places()
    assert {"BR-SP", "BR-RS"} <= places.subdivisions("BR")
    assert all(each.startswith("US-") for each in places.subdivisions("US"))
    assert places.subdivisions("QQ") == frozenset()


def test_the_list_is_in_order_and_of_countries_that_exist():
    known = {*load_code_list(CodeListName.COUNTRY).entries, "XZ"}
    places = list(load_places())
    assert [p.code for p in places] == sorted(p.code for p in places)
    assert {p.country for p in places} <= known
    assert all(p.name.strip() and len(p.code) == 5 for p in places)


@pytest.mark.shared_data
@pytest.mark.skipif(not SHARED.is_dir(), reason="NOT RUN: needs ../shared/data beside the checkout")
def test_the_packed_list_is_its_origin():
    with (SHARED / "unlocode_2015.csv").open(encoding="utf-8", newline="") as file:
        origin = sorted(
            (r["unlocode"], f"{r['country']}-{r['subdivision']}" if r["subdivision"] else None, r["name"])
            for r in csv.DictReader(file)
        )
    packed = sorted((p.code, p.subdivision, p.name) for p in load_places())
    assert sorted(packed, key=repr) == sorted(origin, key=repr)
