"""Trade-route alerts as STIX 2.1, read by the reader that OASIS keeps."""

import json

import pytest
import stix2

from countermark_client.forms.stix import Origin, to_stix
from countermark_protocol.handling import HandlingCode, Tlp
from message_examples import example

ORIGIN = Origin("hr/customs/zagreb", 1_730_000_000_123, Tlp.AMBER, (HandlingCode.H1, HandlingCode.H2))


def parsed(content, origin=ORIGIN):
    return stix2.parse(json.dumps(to_stix(content, origin)), allow_custom=False)


def by_type(bundle, kind):
    return [each for each in bundle.objects if each.type == kind]


def test_the_report_refers_to_everything_that_was_said():
    alert = example("trade-route-alert")
    bundle = parsed(alert)
    [report] = by_type(bundle, "report")
    assert report.name == alert["title"]
    referred = set(report.object_refs)
    for kind in ("campaign", "location", "attack-pattern", "course-of-action", "note", "relationship"):
        assert by_type(bundle, kind), kind
        assert {each.id for each in by_type(bundle, kind)} <= referred
    codes = {each.external_references[0].external_id for each in by_type(bundle, "attack-pattern")}
    assert codes == {*alert["acquisition"], *alert["concealment"]}
    text = "\n".join(each.content for each in by_type(bundle, "note"))
    for said in ("HRZAG", "DELEJ", "SEMMA", "20-50", "930400", "8467", "arms 23"):
        assert said in text
    ids = {each.id for each in bundle.objects}
    for each in by_type(bundle, "relationship"):
        assert {each.source_ref, each.target_ref} <= ids


@pytest.mark.parametrize("tlp", list(Tlp))
def test_all_objects_bear_the_marking_of_their_level(tlp):
    bundle = parsed(example("trade-route-alert"), Origin("hr/customs/zagreb", 1, tlp))
    [marking] = by_type(bundle, "marking-definition")
    assert marking.name == f"TLP:{tlp.value}"
    others = [each for each in bundle.objects if each.type != "marking-definition"]
    assert all(each.object_marking_refs == [marking.id] for each in others)


def test_handling_codes_are_statements_under_which_all_objects_stand():
    bundle = parsed(example("trade-route-alert"))
    said = {
        each.definition.statement for each in by_type(bundle, "marking-definition") if "definition" in each
    }
    assert said == {"SIENA handling code H1", "SIENA handling code H2"}
    assert len(by_type(bundle, "report")[0].object_marking_refs) == 3


def test_an_alert_sent_again_is_the_same_object_later():
    alert = example("trade-route-alert")
    later = Origin(ORIGIN.sender, ORIGIN.sent_at + 1000, ORIGIN.tlp, ORIGIN.codes)
    first, second = parsed(alert), parsed(alert, later)
    assert [each.id for each in first.objects] == [each.id for each in second.objects]
    assert by_type(second, "report")[0].modified > by_type(first, "report")[0].modified
    other = parsed(alert, Origin("de/customs/leipzig", ORIGIN.sent_at, ORIGIN.tlp))
    shared = {each.id for each in first.objects} & {each.id for each in other.objects}
    assert shared == {"marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"}
