"""What a correction makes of a content: member by member, in order, or not at all."""

import copy

import pytest

from countermark_protocol.errors import MalformedError
from countermark_protocol.messages.correction import apply_correction
from countermark_protocol.registry import validate_content
from message_examples import example


def correction(*changes):
    return validate_content("correction", 1, {**example("correction"), "changes": list(changes)})


def test_the_example_fits_the_confiscation_that_it_is_about():
    before = example("confiscation-notice")
    document = apply_correction(before, correction(*example("correction")["changes"]))
    assert before == example("confiscation-notice")
    mark = document["items"][0]["marks"][0]
    assert mark == {"kind": "SERIAL", "component": "FRAME", "text": "EV-1001742", "status": "LEGIBLE"}
    assert document["items"][1]["category"] == "RIFLE"
    assert document["ammunition"][0]["quantity"] == 2450
    validate_content("confiscation-notice", 1, document)


def test_members_and_list_elements_are_added_where_they_are_absent():
    document = apply_correction(
        example("confiscation-notice"),
        correction(
            {"path": "/remarks", "text": "Second search"},
            {"path": "/offences/2", "text": "TERRORISM"},
            {"path": "/externalRefs/0/system", "text": "CEN"},
            {"path": "/externalRefs/0/ref", "text": "2024/77"},
            {"path": "/items/0/marks/1/kind", "text": "PROOF"},
            {"path": "/items/0/marks/1/component", "text": "BARREL"},
            {"path": "/items/0/marks/1/status", "text": "NOT_EXAMINED"},
            {"path": "/items/0/ammunitionIncluded", "flag": False},
        ),
    )
    message = validate_content("confiscation-notice", 1, document)
    assert message.remarks == "Second search"
    assert [o.value for o in message.offences][2:] == ["TERRORISM"]
    assert message.external_refs[0].ref == "2024/77"
    assert len(message.items[0].marks) == 2
    assert message.items[0].ammunition_included is False


def test_changes_are_made_in_order():
    document = apply_correction(
        example("confiscation-notice"),
        correction({"path": "/offences/0", "removed": True}, {"path": "/offences/1", "text": "DRUGS"}),
    )
    assert document["offences"] == ["ILLICIT_TRAFFICKING", "DRUGS"]


@pytest.mark.parametrize(
    "change",
    [
        {"path": "/items/9/category", "text": "RIFLE"},
        {"path": "/items/0/category/x", "text": "RIFLE"},
        {"path": "/items/x", "text": "RIFLE"},
        {"path": "/items/2/3", "removed": True},
        {"path": "/remarks", "removed": True},
        {"path": "/offences/2", "removed": True},
        {"path": "/offences/3", "text": "DRUGS"},
        {"path": "/0", "text": "DRUGS"},
        {"path": "/event/0", "text": "DRUGS"},
    ],
)
def test_what_has_no_place_does_not_fit(change):
    document = example("confiscation-notice")
    before = copy.deepcopy(document)
    with pytest.raises(MalformedError) as caught:
        apply_correction(document, correction({"path": "/noticeRef", "text": "X"}, change))
    assert caught.value.code == "correction_does_not_fit"
    assert caught.value.facts == {"field": "/changes/1/path"}
    assert document == before
