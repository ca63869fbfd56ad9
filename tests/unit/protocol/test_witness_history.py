"""The form of a page of witnessed checkpoints."""

import pytest

from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import MalformedError
from countermark_protocol.witness_history import (
    MAX_HISTORY,
    HistoryItem,
    WitnessHistory,
    parse_witness_history,
)


def item(minute):
    return HistoryItem(minute, b"log.example/1\n%d\n" % minute)


@pytest.mark.parametrize("complete", [True, False])
def test_a_page_is_read_as_it_was_written(complete):
    page = WitnessHistory((item(3), item(7)), complete)
    assert parse_witness_history(encode_json(page.to_json())) == page


def test_an_empty_page_is_the_end():
    page = WitnessHistory((), True)
    assert parse_witness_history(encode_json(page.to_json())) == page


@pytest.mark.parametrize(
    "page",
    [
        WitnessHistory((), False),
        WitnessHistory((item(7), item(7)), True),
        WitnessHistory((item(7), item(3)), True),
        WitnessHistory(tuple(item(n) for n in range(MAX_HISTORY + 1)), True),
        WitnessHistory((item(-1),), True),
    ],
)
def test_what_is_no_page(page):
    with pytest.raises(MalformedError):
        parse_witness_history(encode_json(page.to_json()))


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"witnessed": [], "complete": 1},
        {"witnessed": [{"minute": 1}], "complete": True},
        {"witnessed": [{"minute": 1, "checkpoint": 2}], "complete": True},
        {"witnessed": [], "complete": True, "more": 1},
    ],
)
def test_members_are_those_of_the_form(value):
    with pytest.raises(MalformedError):
        parse_witness_history(encode_json(value))
