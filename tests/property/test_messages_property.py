"""Message contents under any input: what the schema generates, what a mutation makes of an example.

Two properties: whatever comes is valid or `MalformedError`, and what is valid comes back equal; and the committed
schema and the model differ only by the rules that the schema names.
"""

import copy
import json
import re

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from countermark_protocol.encoding import encode_json, parse_json, parse_object
from countermark_protocol.errors import MalformedError
from countermark_protocol.messages.base import Block
from countermark_protocol.messages.patterns import is_safe_pattern
from countermark_protocol.registry import content_document, validate_content
from countermark_protocol.types import known_types
from message_examples import example, schema

#: Of each type its newest version, which accepts whatever the earlier ones do; all of them run for long.
NEWEST = dict(known_types())
TYPES = sorted(NEWEST)
EVERY = [f"{name} {version}" for name, version in known_types()]
#: What a model refuses and its schema cannot: days of the calendar and safe patterns; and all `x-rules`.
NOT_IN_SCHEMA = {"day", "instant", "partial_day", "unsafe_pattern"}
RELAXED = settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
LONG = settings(RELAXED, max_examples=1000)


def all_rules():
    found, todo = set(), [Block]
    while todo:
        block = todo.pop()
        todo.extend(block.__subclasses__())
        found |= set(block.RULES)
    return found


RULES = all_rules()
TEXT = st.characters(codec="utf-8", exclude_characters="\x00")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(TEXT, max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(TEXT, max_size=8), inner, max_size=4),
    max_leaves=12,
)


def generated(node, definitions):
    """A strategy for what a JSON Schema of ours accepts."""
    if "$ref" in node:
        return st.deferred(lambda: generated(definitions[node["$ref"].rsplit("/", 1)[1]], definitions))
    if "enum" in node:
        return st.sampled_from(node["enum"])
    match node["type"]:
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(node["minimum"], node["maximum"])
        case "string" if "pattern" in node:
            texts = st.from_regex(node["pattern"], fullmatch=True, alphabet=TEXT)
            longest = node.get("maxLength", 10**6)
            # `$` also matches before a last line end in Python, but not in JSON Schema or here.
            return texts.filter(lambda text: len(text) <= longest and not text.endswith("\n"))
        case "string":
            return st.text(TEXT, min_size=node["minLength"], max_size=node["maxLength"])
        case "array":
            most = min(node["maxItems"], node.get("minItems", 0) + 2)
            return st.lists(
                generated(node["items"], definitions),
                min_size=node.get("minItems", 0),
                max_size=most,
                unique_by=(lambda value: json.dumps(value, sort_keys=True))
                if node.get("uniqueItems")
                else None,
            )
        case "object":
            required = {
                name: generated(node["properties"][name], definitions) for name in node.get("required", [])
            }
            optional = {
                name: generated(each, definitions)
                for name, each in node["properties"].items()
                if name not in required
            }
            return st.fixed_dictionaries(required, optional=optional)
    raise AssertionError(node)


def which(name):
    """Type and version that a name stands for: with its version, or the newest."""
    type_, _, version = name.partition(" ")
    return type_, int(version or NEWEST[type_])


WHOLE = {name: schema(*which(name)) for name in [*TYPES, *EVERY]}
DOCUMENTS = {name: generated(whole, whole["$defs"]) for name, whole in WHOLE.items()}
VALIDATORS = {name: jsonschema.Draft202012Validator(whole) for name, whole in WHOLE.items()}


def comes_back(name, message):
    document = content_document(message)
    assert VALIDATORS[name].is_valid(document)
    again = validate_content(*which(name), parse_object(encode_json(document)))
    assert again == message
    assert content_document(again) == document


def check_generated(name, document):
    try:
        message = validate_content(*which(name), document)
    except MalformedError as error:
        told = {each["rule"] for each in error.facts["violations"]}
        # Where the schema accepts it, only what a schema cannot say may refuse it.
        assert told <= RULES | NOT_IN_SCHEMA or not VALIDATORS[name].is_valid(document)
        return False
    comes_back(name, message)
    return True


@pytest.mark.parametrize("name", TYPES)
def test_model_and_schema_differ_by_rules_only(name):
    @RELAXED
    @given(DOCUMENTS[name])
    def run(document):
        check_generated(name, document)

    run()


@pytest.mark.long
@pytest.mark.parametrize("name", EVERY)
def test_model_and_schema_differ_by_rules_only_for_long(name):
    @LONG
    @given(DOCUMENTS[name])
    def run(document):
        check_generated(name, document)

    run()


def places(node, at=()):
    """Every place in a document, as the path that leads to it."""
    yield at
    if isinstance(node, dict):
        for name, child in node.items():
            yield from places(child, (*at, name))
    elif isinstance(node, list):
        for i, child in enumerate(node):
            yield from places(child, (*at, i))


def grafts(node, described, definitions, at=()):
    """Every place in a document below the top, with the JSON Schema of what stands there."""
    while "$ref" in described:
        described = definitions[described["$ref"].rsplit("/", 1)[1]]
    if at:
        yield at, described
    if isinstance(node, dict):
        for name, each in described["properties"].items():
            if name in node:
                yield from grafts(node[name], each, definitions, (*at, name))
            else:
                # A member that the example does not have: to be added.
                yield (*at, name), each
    elif isinstance(node, list):
        for i, child in enumerate(node):
            yield from grafts(child, described["items"], definitions, (*at, i))


def grafted(document, data, name):
    """Replace or add one member by what its schema generates."""
    whole = WHOLE[name]
    at, described = data.draw(st.sampled_from(list(grafts(document, whole, whole["$defs"]))))
    out = copy.deepcopy(document)
    node = out
    for step in at[:-1]:
        node = node[step]
    node[at[-1]] = data.draw(generated(described, whole["$defs"]))
    return out


@pytest.mark.parametrize("name", TYPES)
def test_an_example_with_other_values_comes_back_or_breaks_a_rule(name):
    accepted = []

    @settings(RELAXED, max_examples=30)
    @given(st.data())
    def run(data):
        document = example(*which(name))
        for _ in range(data.draw(st.integers(1, 3))):
            document = grafted(document, data, name)
        accepted.append(check_generated(name, document))

    run()
    # The test is about round trips: a good part of what it makes must be valid.
    assert sum(accepted) > len(accepted) // 10


def mutated(document, at, kind, value):
    """Replace, drop, double or add at a place of a copy; at the top only adding makes sense."""
    out = copy.deepcopy(document)
    node = out
    for step in at[:-1]:
        node = node[step]
    target = node[at[-1]] if at else out
    if kind == "replace" and at:
        node[at[-1]] = value
    elif kind == "drop" and at:
        del node[at[-1]]
    elif kind == "double" and at and isinstance(node, list):
        node.append(copy.deepcopy(target))
    elif kind == "swap" and isinstance(target, list):
        target.reverse()
    elif isinstance(target, dict):
        target[str(value)[:20]] = value
    elif isinstance(target, list):
        target.append(value)
    elif at:
        node[at[-1]] = f"{target}{value}"
    return out


def check_told(error):
    assert error.code == "invalid_content"
    assert 1 <= len(error.facts["violations"]) <= error.facts["violation_count"]
    for each in error.facts["violations"]:
        assert set(each) == {"field", "rule", "expected", "got"}
        assert all(isinstance(value, str) for value in each.values())


def check_mutation(name, data):
    document = example(*which(name))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(list(places(document))))
        kind = data.draw(st.sampled_from(["replace", "drop", "double", "swap", "add"]))
        borrowed = st.sampled_from(
            ["UNKNOWN", "SEIZED", "OBLITERATED", "2024-02-30", "XX", "?", "", 0, -1, 10**15]
        )
        document = mutated(document, at, kind, data.draw(borrowed | JSON))
    document = parse_json(encode_json(document))
    try:
        message = validate_content(*which(name), document)
    except MalformedError as error:
        check_told(error)
    else:
        # Nothing accepted is dropped or changed: the model holds the whole document.
        assert content_document(message) == document
        comes_back(name, message)


@pytest.mark.parametrize("name", TYPES)
def test_a_mutated_example_is_valid_or_malformed(name):
    @settings(RELAXED, max_examples=40)
    @given(st.data())
    def run(data):
        check_mutation(name, data)

    run()


@pytest.mark.long
@pytest.mark.parametrize("name", EVERY)
def test_a_mutated_example_is_valid_or_malformed_for_long(name):
    @settings(LONG, max_examples=4000)
    @given(st.data())
    def run(data):
        check_mutation(name, data)

    run()


@settings(RELAXED, max_examples=60)
@given(st.sampled_from(TYPES), JSON)
def test_any_json_is_malformed_or_valid(name, value):
    with pytest.raises(MalformedError):
        validate_content(*which(name), value)


@settings(RELAXED, max_examples=60)
@given(st.text(max_size=60) | st.text("()[]{}?*+|\\^$ab,09:-", max_size=40))
def test_safe_patterns_compile_and_others_do_not_crash(pattern):
    if is_safe_pattern(pattern):
        re.compile(pattern)
