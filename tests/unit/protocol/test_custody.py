"""Chains of custody merged from several answers, their gaps and contradictions, and how they are drawn."""

import itertools
import json
from pathlib import Path
from xml.etree import ElementTree as ET

from countermark_protocol.messages.tracing_response import ItemResult
from countermark_protocol.tracing.custody import FLAWS, Flaw, ToldChain, merge_chains
from countermark_protocol.tracing.custody_drawing import custody_mermaid, custody_svg, custody_text

VIENNA, BRUSSELS, ACCRA = "at.contact.vienna", "be.contact.brussels", "gh.contact.accra"
MAKER = {"role": "MANUFACTURER", "organisation": "Maker A", "country": "AT"}
IMPORTER = {"role": "IMPORTER", "organisation": "Importer B", "country": "BE"}
DEALER = {"role": "DEALER", "organisation": "Dealer C", "country": "BE"}


def told(source, chain, **more):
    steps = [{"seq": i, **step} for i, step in enumerate(chain, 1)]
    outcome = {"outcome": "TRACED_TO_LAST_HOLDER", **more}
    return ToldChain(source, ItemResult.model_validate_json(json.dumps({"itemRef": "1", "identityConfirmed": True, "chain": steps, **outcome})))  # fmt: skip


def step(event, date=None, from_=None, to=None, **more):
    out = {"event": event, **more}
    for name, value in (("date", date), ("from", from_), ("to", to)):
        if value is not None:
            out[name] = value
    return out


DIVERTED = {
    "outcome": "TRACED_TO_POINT_OF_DIVERSION",
    "pointOfDiversion": {"type": "THEFT_DEALER", "date": "2020", "place": {"country": "BE"}},
}
AUSTRIA = told(
    VIENNA,
    [
        step("MANUFACTURED", "2018-11", MAKER),
        step("EXPORTED", "2019-02-07", MAKER, IMPORTER, licenceRef="X-1"),
    ],
    outcome="TRACED_TO_EXPORT",
    nextState="BE",
    nextStateReason="import licence",
)
BELGIUM = told(
    BRUSSELS,
    [step("EXPORTED", "2019-02", MAKER, IMPORTER), step("RETAIL", "2019-05", IMPORTER, DEALER), step("STOLEN", "2020", DEALER)],
    **DIVERTED,
)  # fmt: skip


def test_answers_make_one_chain_from_manufacture_to_diversion():
    chain = merge_chains([BELGIUM, AUSTRIA])
    assert [(s.event, s.date, s.sources) for s in chain.steps] == [
        ("MANUFACTURED", "2018-11", (VIENNA,)),
        ("EXPORTED", "2019-02-07", (VIENNA, BRUSSELS)),  # one step, the more exact date
        ("RETAIL", "2019-05", (BRUSSELS,)),
        ("STOLEN", "2020", (BRUSSELS,)),
    ]
    assert chain.steps[1].licences == ("X-1",)
    assert chain.next_states == ()
    assert chain.whole


def test_the_order_of_answers_changes_nothing():
    third = told(ACCRA, [step("REGISTERED", "2021", to={"role": "HOLDER", "country": "GH"})])
    chains = {repr(merge_chains(order)) for order in itertools.permutations([AUSTRIA, BELGIUM, third])}
    assert len(chains) == 1


def test_what_is_missing_is_a_gap():
    chain = merge_chains([told(BRUSSELS, [step("RETAIL", "2019-05", IMPORTER, DEALER)])])
    assert chain.flaws == (Flaw.NO_MANUFACTURE, Flaw.OPEN_END)
    assert not chain.whole
    assert merge_chains([AUSTRIA]).next_states == ("BE",)
    assert merge_chains([]).steps == ()


def test_who_hands_on_what_another_received_is_a_gap():
    other = {"role": "DEALER", "organisation": "Dealer X", "country": "FR"}
    chain = merge_chains([AUSTRIA, told(BRUSSELS, [step("RETAIL", "2019-05", other, DEALER)], **DIVERTED)])
    assert [s.flaws for s in chain.steps] == [(), (), (Flaw.GAP,)]


def test_a_step_dated_differently_is_one_step_with_a_contradiction():
    belgium = told(BRUSSELS, [step("EXPORTED", "2019-08-01", MAKER, IMPORTER)])
    chain = merge_chains([AUSTRIA, belgium])
    assert [s.event for s in chain.steps] == ["MANUFACTURED", "EXPORTED"]
    assert chain.steps[1].flaws == (Flaw.DATES_DIFFER,)


def test_an_import_before_its_export_and_a_sale_before_the_manufacture():
    early = told(BRUSSELS, [step("IMPORTED", "2019-01-02", to=IMPORTER)])
    chain = merge_chains([AUSTRIA, early])
    assert [(s.event, s.flaws) for s in chain.steps] == [
        ("MANUFACTURED", ()),
        ("IMPORTED", (Flaw.DATES_BACK,)),
        ("EXPORTED", (Flaw.GAP,)),
    ]
    sold = told(BRUSSELS, [step("RETAIL", "2010", DEALER)])
    assert merge_chains([AUSTRIA, sold]).steps[0].flaws == (Flaw.DATES_BACK,)


def test_two_makers_and_life_after_destruction():
    other = {"role": "MANUFACTURER", "organisation": "Maker Z", "country": "CZ"}
    chain = merge_chains([AUSTRIA, told(BRUSSELS, [step("MANUFACTURED", "2018-12", other)])])
    assert Flaw.TOLD_TWICE in chain.steps[1].flaws
    after = told(ACCRA, [step("REGISTERED", "2022", to={"role": "HOLDER", "country": "GH"})])
    gone = told(BRUSSELS, [step("DESTROYED", "2021")])
    assert Flaw.AFTER_DESTRUCTION in merge_chains([AUSTRIA, gone, after]).steps[-1].flaws


def test_what_has_no_date_stands_beside_its_neighbours():
    belgium = told(BRUSSELS, [step("IMPORTED", to=IMPORTER), step("RETAIL", "2019-05", IMPORTER, DEALER)])
    assert [s.event for s in merge_chains([AUSTRIA, belgium]).steps] == [
        "MANUFACTURED",
        "EXPORTED",
        "IMPORTED",
        "RETAIL",
    ]


def test_text_names_steps_sources_and_flaws():
    text = "\n".join(custody_text(merge_chains([AUSTRIA])))
    assert "2019-02-07  EXPORTED: Maker A, AT -> Importer B, BE" in text
    assert f"told by {VIENNA}" in text
    assert "next State to ask: BE" in text
    assert "gap: the point of diversion is not established" in text
    assert custody_text(merge_chains([]))[0] == "no step is known"


HOSTILE = {
    "role": "DEALER",
    "organisation": '</text><script>alert(1)</script>"]; click s1 "x"',
    "country": "BE",
}


def test_names_are_never_markup():
    chain = merge_chains([AUSTRIA, told(BRUSSELS, [step("RETAIL", "2019-05", IMPORTER, HOSTILE)])])
    drawn = custody_svg(chain)
    root = ET.fromstring(drawn)
    assert {element.tag.rpartition("}")[2] for element in root.iter()} == {
        "svg",
        "title",
        "rect",
        "path",
        "text",
    }
    assert "<script" not in drawn
    diagram = custody_mermaid(chain)
    assert diagram.startswith("flowchart TD\n")
    for line in diagram.splitlines()[1:]:
        assert "<script" not in line
        assert line.count('"') in {0, 2}
    assert "#60;" in diagram


def test_drawings_have_every_step_and_flaw():
    chain = merge_chains([AUSTRIA, told(BRUSSELS, [step("EXPORTED", "2019-08-01", MAKER, IMPORTER)])])
    for drawn in (custody_svg(chain), custody_mermaid(chain)):
        assert "answers date the same step differently" in drawn
        assert "MANUFACTURED" in drawn
        assert "Maker A, AT" in drawn


def test_the_specification_has_every_flaw():
    text = (Path(__file__).resolve().parents[3] / "docs" / "spec" / "tracing.md").read_text("utf-8")
    for flaw, words in FLAWS.items():
        assert f"| `{flaw}` | {words} |" in text
