"""A change to a released schema that would break an older reader, or an older writer, is found and named."""

import copy
import importlib.util
import json

import pytest

from message_examples import ROOT, SCHEMAS

RELEASED = ROOT / "schemas" / "released"
NAME = "tracing-request-v1.schema.json"


@pytest.fixture(scope="module")
def checker():
    spec = importlib.util.spec_from_file_location("check_schemas", ROOT / "tools" / "check_schemas.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def released():
    return json.loads((RELEASED / NAME).read_text("utf-8"))


def test_nothing_that_was_released_accepts_otherwise_now(checker):
    assert checker.problems(RELEASED, SCHEMAS) == []
    assert checker.main([]) == 0
    assert len(list(RELEASED.glob("*-v1.schema.json"))) >= 8


def changed(schema, where, change):
    out = copy.deepcopy(schema)
    node = out
    for step in where:
        node = node[step]
    change(node)
    return out


PLACE = ("$defs", "Place")
READERS, WRITERS = "an older reader refuses", "an older writer sends"


@pytest.mark.parametrize(
    ("where", "change", "at", "whom"),
    [
        pytest.param(PLACE, lambda n: n["properties"].pop("name"), "/recovery/place/name", WRITERS, id="member-gone"),
        pytest.param(
            PLACE, lambda n: n["properties"].update(zone={"type": "string"}), "/recovery/place/zone", READERS,
            id="optional-member-added",
        ),
        pytest.param(PLACE, lambda n: n["required"].append("name"), "/recovery/place", WRITERS, id="newly-required"),
        pytest.param(PLACE, lambda n: n["required"].remove("country"), "/recovery/place", READERS, id="required-no-more"),
        pytest.param(PLACE, lambda n: n["x-rules"].update(more="more"), "/recovery/place", WRITERS, id="rule-added"),
        pytest.param(PLACE, lambda n: n["x-rules"].pop("place_position"), "/recovery/place", READERS, id="rule-dropped"),
        pytest.param(PLACE, lambda n: n.pop("additionalProperties"), "additionalProperties", READERS, id="opened"),
        pytest.param(
            ("$defs", "Offence"), lambda n: n["enum"].append("PIRACY"), "/recovery/offences/*", READERS, id="code-added"
        ),
        pytest.param(
            ("$defs", "Offence"), lambda n: n["enum"].remove("OTHER"), "/recovery/offences/*", WRITERS, id="code-gone"
        ),
        pytest.param(
            ("$defs", "Offence"), lambda n: n.pop("enum"), "/recovery/offences/*", READERS, id="list-of-codes-gone"
        ),
        pytest.param(("$defs", "Ref"), lambda n: n.update(maxLength=90), "/nationalCaseRef", READERS, id="wider"),
        pytest.param(("$defs", "Ref"), lambda n: n.update(maxLength=70), "/nationalCaseRef", WRITERS, id="narrower"),
        pytest.param(("$defs", "Ref"), lambda n: n.update(minLength=2), "/nationalCaseRef", WRITERS, id="longer-at-least"),
        pytest.param(("$defs", "Ref"), lambda n: n.update(pattern=".*"), "/nationalCaseRef", READERS, id="other-form"),
        pytest.param(("$defs", "Ref"), lambda n: n.update(type="integer"), "/nationalCaseRef", WRITERS, id="other-type"),
        pytest.param(
            ("properties", "items"), lambda n: n.update(maxItems=49), "/items", WRITERS, id="shorter-list"
        ),
    ],
)  # fmt: skip
def test_a_change_is_found_with_its_place_and_whom_it_breaks(checker, released, where, change, at, whom):
    found = list(checker.differences(released, changed(released, where, change)))
    assert any(at in line and whom in line for line in found), found
    assert list(checker.differences(changed(released, where, change), released))


def test_words_and_names_of_definitions_may_change(checker, released):
    text = json.dumps(released).replace("#/$defs/Place", "#/$defs/Spot")
    other = json.loads(text)
    other["$defs"]["Spot"] = {**other["$defs"].pop("Place"), "description": "Somewhere."}
    other["$defs"]["Spot"]["x-rules"]["place_position"] = "in other words"
    other["$defs"]["Offence"]["enum"].reverse()
    assert list(checker.differences(released, other)) == []


def test_a_released_schema_that_is_gone_or_changed_fails_and_a_new_one_is_entered_once(
    checker, tmp_path, capsys
):
    for folder in ("released", "json"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / NAME).write_bytes((RELEASED / NAME).read_bytes())
    fresh = tmp_path / "json" / "gossip-v1.schema.json"
    fresh.write_text('{"type": "object", "properties": {"a": {"type": "string"}}}', "utf-8")
    at = ["--folder", str(tmp_path)]
    assert checker.main(at) == 0
    assert checker.main([*at, "--release"]) == 0
    assert "gossip" in capsys.readouterr().out
    fresh.write_text('{"type": "object", "properties": {}}', "utf-8")
    assert checker.main([*at, "--release"]) == 1
    assert '"a"' in (tmp_path / "released" / "gossip-v1.schema.json").read_text("utf-8")
    (tmp_path / "json" / NAME).unlink()
    assert checker.main(at) == 1
    told = capsys.readouterr().err
    assert "gossip-v1.schema.json: /a: the member went" in told
    assert f"{NAME}: a released version never goes" in told
