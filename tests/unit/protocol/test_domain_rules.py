"""The rules of domain page 6.4, one by one: each refuses, holds or warns as docs/spec/messages.md §7.18 says.

Rules 10 and 13 are the manifest's, and tested in test_manifest.py.
"""

import datetime as dt
import re

import pytest
from pydantic import ValidationError

from countermark_protocol.codes.makers import maker_countries
from countermark_protocol.errors import CountermarkError, MalformedError
from countermark_protocol.handling import Classification, Tlp, parse_handling
from countermark_protocol.messages.money import Money
from countermark_protocol.messages.review import RULES as FINDINGS
from countermark_protocol.messages.review import Circumstances, review
from countermark_protocol.registry import validate_content
from message_examples import ROOT, example, patched

MARK = "/items/0/marks/0"


def changed(name, *patch):
    document = patched(example(name), [dict(zip(("op", "path", "value"), p, strict=False)) for p in patch])
    return validate_content(name, 1, document)


def refused(name, *patch):
    with pytest.raises(MalformedError) as caught:
        changed(name, *patch)
    return {each["rule"] for each in caught.value.facts["violations"]}


def found(name, *patch, **circumstances):
    findings = review(changed(name, *patch), Circumstances(**circumstances))
    return {(each.severity.value, each.rule) for each in findings}


def test_1_placeholders():
    assert refused("tracing-request", ("replace", f"{MARK}/text", "S/N")) == {"mark_placeholder"}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("17 GEN4", "serial_is_model"),
        ("9 mm Luger (9x19mm)", "serial_is_calibre"),
        ("PAT. 4,539,889", "serial_is_patent"),
        ("US Patent 4539889", "serial_is_patent"),
        ("T6472-14 G 00590", "serial_is_maker_code"),
    ],
)
def test_2_serials_that_are_something_else(text, rule):
    assert ("warn", rule) in found("tracing-request", ("replace", f"{MARK}/text", text))


def test_3_makes_of_other_countries():
    made = ("replace", "/items/0/make", {"text": "Taurus", "code": "TAS", "scheme": "NCIC_MAK"})
    warning = ("warn", "make_of_another_country")
    at = "/items/0/countryOfManufacture"
    assert warning in found("tracing-request", made, ("replace", at, "AT"))
    assert warning not in found("tracing-request", made, ("replace", at, "BR"))
    assert warning not in found("tracing-request")


@pytest.mark.parametrize(
    ("code", "countries"),
    [
        ("TAS", {"BR"}),
        ("ZAS", {"YU", "RS"}),
        ("AEF", {"IT"}),
        ("AAP", set()),  # Jefferson, Georgia
        ("GLC", set()),
        ("FN", set()),  # a code of a country, if the make is not known
        ("QQQ", set()),
    ],
)
def test_3_what_the_table_of_makes_says(code, countries):
    assert maker_countries(code) == countries


def test_4_years():
    year = "/items/0/yearOfManufacture"
    assert refused("tracing-request", ("add", year, 2025)) == {"made_before_event"}
    assert ("warn", "antique") in found("tracing-request", ("add", year, 1899))
    assert ("warn", "made_before_1946") in found("tracing-request", ("add", year, 1945))


def test_5_obliterated_marks_have_no_text():
    assert refused("tracing-request", ("replace", f"{MARK}/status", "OBLITERATED")) == {"mark_without_text"}


def test_6_dates():
    for name in ("tracing-request", "confiscation-notice", "found-or-surrendered-notice", "hit-notice"):
        assert ("refuse", "event_in_future") in found(name, today=dt.date(2023, 1, 1))
        assert ("warn", "event_long_ago") in found(name, today=dt.date(2046, 1, 1))


def test_7_import_marks():
    assert ("warn", "addressee_is_not_importer") in found("tracing-request", addressee_country="AT")


def test_8_persons():
    person = {"role": "POSSESSOR", "personCategory": "POSSESSOR", "name": "A. N. Example"}
    patch = ("add", "/possessors", [person])
    assert ("refuse", "personal_data_tlp") in found("tracing-request", patch, tlp=Tlp.GREEN)
    assert ("refuse", "personal_data_tlp") not in found("tracing-request", patch, tlp=Tlp.AMBER)


def test_9_handling_codes():
    handling = {
        "tlp": "CLEAR", "classification": "OFFICIAL", "codes": ["H1"], "originator_control": False,
        "purpose": "STATISTICS", "retention_until": 1_900_000_000_000,
    }  # fmt: skip
    with pytest.raises(CountermarkError) as caught:
        parse_handling(handling)
    assert caught.value.code == "handling_conflict"
    assert "handling_clear" in refused("hit-confirmation", ("replace", "/useRestrictions/tlp", "CLEAR"))


def test_11_sums():
    assert refused("destruction-notice", ("replace", "/total", 3)) == {"total_adds_up"}
    assert refused("found-or-surrendered-notice", ("replace", "/total", 9)) == {"find_total_adds_up"}


@pytest.mark.parametrize("text", ["NATO SECRET. The carrier", "see VS-VERTRAULICH annex", "(GEHEIM)"])
def test_12_words_of_a_classification(text):
    patch = ("replace", "/paragraphs/0", text)
    held = ("hold", "classification_words")
    assert held in found("free-text", patch, classification=Classification.RESTRICTED)
    assert held not in found("free-text", patch, classification=Classification.SECRET)
    assert held not in found("free-text", patch)


@pytest.mark.parametrize(
    "text", ["a secret compartment", "SECRETARIAT", "Restricted-calibre pistol", "RESTRICTED"]
)
def test_12_words_that_are_none(text):
    held = ("hold", "classification_words")
    patch = ("replace", "/paragraphs/0", text)
    assert held not in found("free-text", patch, classification=Classification.RESTRICTED)


@pytest.mark.parametrize("amount", [0, -5, 10**15 + 1])
def test_14_money(amount):
    assert Money(currency="KES", amount=1).amount == 1
    with pytest.raises(ValidationError):
        Money(currency="KES", amount=amount)
    with pytest.raises(ValidationError):
        Money(currency="kes", amount=1)
    unlisted = ("replace", "/budget/currency", "XQX")
    assert ("warn", "code_not_in_list") in found("assistance-request", unlisted)


def test_15_subdivisions():
    rule = refused("tracing-request", ("replace", "/recovery/place/subdivision", "AR-B"))
    assert rule == {"place_subdivision"}


def test_a_refused_transfer_is_restricted_and_two_serials_are_told():
    official = {"classification": Classification.OFFICIAL}
    assert ("refuse", "refusal_needs_restricted") in found("transfer-refusal-notice", **official)
    assert ("refuse", "refusal_needs_restricted") not in found(
        "transfer-refusal-notice", classification=Classification.RESTRICTED
    )
    other = ("replace", "/items/0/marks/1/text", "YWL998")
    assert ("warn", "serials_differ") in found("tracing-request", other)
    assert ("warn", "serials_differ") not in found("tracing-request")


def test_the_table_names_what_there_is():
    text = (ROOT / "docs" / "spec" / "messages.md").read_text("utf-8")
    table = text.split("### 7.18")[1].split("## 8.")[0]
    assert re.findall(r"^\| (\d+) \|", table, re.MULTILINE) == [str(n) for n in range(1, 16)]
    reviewed = text.split("### 7.11")[1].split("### 7.12")[0]
    for rule in FINDINGS:
        assert f"`{rule}`" in reviewed, rule
