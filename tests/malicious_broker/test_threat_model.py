"""docs/threat-model.md says of each act what its test shows, and no more."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from malicious_broker.expectations import ACTS

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "threat-model.md"
_BEGIN, _END = "### 4.1 ", "### 4.2 "


def _rows():
    """(act, class, codes) of the table that tests stand behind."""
    text = PAGE.read_text("utf-8")
    lines = text[text.index(_BEGIN) : text.index(_END)].splitlines()
    cells = [[c.strip() for c in line.strip("|").split(" | ")] for line in lines if line.startswith("| ")]
    return [(row[0].strip(), row[1], tuple(re.findall(r"`([a-z_]+)`", row[2]))) for row in cells[1:]]


def test_the_table_names_exactly_these_acts():
    acts = [act for act, _, _ in _rows()]
    assert acts == list(ACTS)


@pytest.mark.parametrize("act", ACTS)
def test_class_and_checks_are_those_shown(act):
    [(_, kind, codes)] = [row for row in _rows() if row[0] == act]
    assert (kind, codes) == (ACTS[act].kind.value, ACTS[act].codes)


@pytest.mark.parametrize("act", ACTS)
def test_each_act_and_each_check_of_it_has_a_test(act):
    """Read from the source, so that it holds for any choice of tests run."""
    texts = [p.read_text("utf-8") for p in HERE.glob("test_*.py") if p.name != Path(__file__).name]
    named = [t for text in texts for t in re.split(r"^def ", text, flags=re.MULTILINE) if _names(act, t)]
    assert named
    for code in ACTS[act].codes:
        shown = [t for t in named if f'"{code}"' in t or "refused.error.code" in t]
        assert shown, code


def _names(act, text):
    return f'Act("{act}", world)' in text or f"Act('{act}', world)" in text
