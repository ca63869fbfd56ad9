"""Message contents: the examples, the variants that must be refused, the schemas, the description of every field."""

import datetime as dt
import importlib.util
import json
import re
import subprocess
import sys

import jsonschema
import jsonschema_rs
import pytest
from pydantic import ValidationError

from countermark_protocol.codes.serials import is_placeholder_serial
from countermark_protocol.encoding import encode_json, parse_object
from countermark_protocol.errors import MalformedError
from countermark_protocol.messages.base import Block
from countermark_protocol.messages.blocks import Dated, Place
from countermark_protocol.messages.lost_or_stolen import LossPeriod
from countermark_protocol.messages.marks import Mark
from countermark_protocol.messages.patterns import is_safe_pattern
from countermark_protocol.messages.scalars import earliest, latest
from countermark_protocol.registry import MODELS, content_document, validate_content
from countermark_protocol.types import known_types
from message_examples import EXAMPLES, ROOT, SCHEMAS, example, invalid_variants, patched, schema

KINDS = known_types()
VARIANTS = [
    pytest.param(name, version, variant, id=f"{name}-v{version}-{i}-{variant['rule']}")
    for name, version in KINDS
    for i, variant in enumerate(invalid_variants(name, version))
]


def all_blocks():
    found, todo = set(), [Block]
    while todo:
        block = todo.pop()
        todo.extend(block.__subclasses__())
        found.add(block)
    return sorted(found, key=lambda block: block.__name__)


def all_rules():
    return {rule for block in all_blocks() for rule in block.RULES}


# --- examples ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "version"), KINDS)
def test_example_is_valid_and_comes_back_equal(name, version):
    document = parse_object((EXAMPLES / f"{name}-v{version}.json").read_bytes())
    message = validate_content(name, version, document)
    assert type(message) is MODELS[name, version]
    assert content_document(message) == document
    assert validate_content(name, version, parse_object(encode_json(content_document(message)))) == message


@pytest.mark.parametrize(("name", "version"), KINDS)
def test_example_is_valid_by_the_committed_schema_and_two_other_validators(name, version):
    committed = schema(name, version)
    jsonschema.Draft202012Validator.check_schema(committed)
    jsonschema.Draft202012Validator(committed).validate(example(name, version))
    jsonschema_rs.meta.validate(committed)
    jsonschema_rs.validator_for(committed).validate(example(name, version))


@pytest.mark.parametrize(("name", "version", "variant"), VARIANTS)
def test_variant_is_refused_by_its_rule(name, version, variant):
    document = patched(example(name, version), variant["patch"])
    with pytest.raises(MalformedError) as caught:
        validate_content(name, version, document)
    assert caught.value.code == "invalid_content"
    told = [(each["field"], each["rule"]) for each in caught.value.facts["violations"]]
    assert told == [(variant["field"], variant["rule"])]


@pytest.mark.parametrize(("name", "version", "variant"), VARIANTS)
def test_variant_says_truly_what_schema_validators_see(name, version, variant):
    document = patched(example(name, version), variant["patch"])
    for accepted in (
        jsonschema.Draft202012Validator(schema(name, version)).is_valid(document),
        jsonschema_rs.validator_for(schema(name, version)).is_valid(document),
    ):
        assert ("accepts" if accepted else "refuses") == variant["jsonSchema"]


def test_every_rule_has_a_variant_that_breaks_it():
    broken = {variant["rule"] for kind in KINDS for variant in invalid_variants(*kind)}
    assert all_rules() - broken == set()
    assert len(all_rules()) > 50


def test_no_example_without_a_type():
    names = {path.name.split(".")[0] for path in EXAMPLES.glob("*.json")}
    assert names == {f"{name}-v{version}" for name, version in KINDS}


# --- schemas -----------------------------------------------------------------------------------------


@pytest.fixture
def generator():
    spec = importlib.util.spec_from_file_location("generate_schemas", ROOT / "tools" / "generate_schemas.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_committed_schemas_are_the_generated_ones(generator):
    assert generator.differences(SCHEMAS) == []
    assert generator.main(["--check"]) == 0


def test_check_finds_a_changed_a_missing_and_a_stray_schema(generator, tmp_path, capsys):
    assert generator.main(["--folder", str(tmp_path)]) == 0
    assert generator.main(["--folder", str(tmp_path), "--check"]) == 0
    changed = tmp_path / "tracing-request-v1.schema.json"
    changed.write_text(changed.read_text("utf-8").replace('"maxItems": 50', '"maxItems": 51'), "utf-8")
    (tmp_path / "trade-route-alert-v1.schema.json").unlink()
    (tmp_path / "gossip-v1.schema.json").write_text("{}", "utf-8")
    assert generator.main(["--folder", str(tmp_path), "--check"]) == 1
    told = capsys.readouterr().err
    assert all(name in told for name in ("tracing-request", "trade-route-alert", "gossip"))
    assert generator.main(["--folder", str(tmp_path)]) == 0
    assert generator.differences(tmp_path) == []


@pytest.mark.parametrize(("name", "version"), KINDS)
def test_schema_names_every_rule_of_its_blocks_and_admits_no_null(name, version):
    committed = schema(name, version)
    text = json.dumps(committed)
    assert '"null"' not in text
    assert '"default"' not in text
    for definition in [committed, *committed["$defs"].values()]:
        if definition.get("type") == "object":
            assert definition["additionalProperties"] is False
    assert committed.get("x-rules", {}) == dict(MODELS[name, version].RULES)


# --- fields ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", all_blocks(), ids=lambda block: block.__name__)
def test_every_field_says_what_it_is_and_where_it_comes_from(block):
    for name, info in block.model_fields.items():
        assert info.description, name
        assert info.json_schema_extra["x-source"], name
        assert "Source: " in info.description, name


@pytest.mark.parametrize("block", all_blocks(), ids=lambda block: block.__name__)
def test_names_are_snake_case_in_python_and_camel_case_in_json(block):
    for name, info in block.model_fields.items():
        assert name == name.lower()
        # The member names that a content may be split by (encoding of parts).
        assert info.alias[0].islower()
        assert info.alias.isalnum()
        assert len(info.alias) <= 60


def test_python_builds_by_attribute_and_the_wire_only_by_member():
    place = Place(country="KE", location_type=None, lat="-1.2864", lon="36.8172")
    assert place.model_dump(by_alias=True, exclude_defaults=True) == {
        "country": "KE",
        "lat": "-1.2864",
        "lon": "36.8172",
    }
    document = patched(
        example("tracing-request"), [{"op": "add", "path": "/recovery/place/location_type", "value": "SEA"}]
    )
    with pytest.raises(MalformedError) as caught:
        validate_content("tracing-request", 1, document)
    assert caught.value.facts["violations"] == [
        {
            "field": "/recovery/place",
            "rule": "unknown_member",
            "expected": "only members of the schema; did you mean locationType?",
            "got": "a member named in 13 characters",
        }
    ]


def test_python_builds_with_dates_of_its_own():
    day, instant = dt.date(2024, 5, 2), dt.datetime(2024, 5, 2, 9, 30, 1, tzinfo=dt.UTC)
    period = LossPeriod(from_=instant, to=instant + dt.timedelta(milliseconds=5))
    assert period.model_dump(mode="json", by_alias=True) == {
        "from": "2024-05-02T09:30:01Z",
        "to": "2024-05-02T09:30:01.005000Z",
    }
    assert LossPeriod.model_validate_json(period.model_dump_json(by_alias=True)) == period
    assert Dated(date=day).model_dump(mode="json", exclude_defaults=True) == {"date": "2024-05-02"}
    with pytest.raises(ValidationError):
        Dated(date=instant)
    for other in (instant.replace(tzinfo=None), instant.astimezone(dt.timezone(dt.timedelta(hours=2)))):
        with pytest.raises(ValidationError):
            LossPeriod(from_=other, to=instant)


def test_messages_are_immutable_and_hashable_blocks_compare_by_value():
    message = validate_content("tracing-request", 1, example("tracing-request"))
    with pytest.raises(ValidationError):
        message.national_case_ref = "another"
    assert message.items[0].marks[0] == message.items[0].marks[0].model_copy()
    assert isinstance(message.items, tuple)


def test_errors_of_direct_construction_do_not_show_the_input():
    with pytest.raises(ValidationError) as caught:
        Mark(kind="SERIAL", component="FRAME", status="LEGIBLE", text="SECRETSERIAL77")
    assert "SECRETSERIAL77" not in str(caught.value)


@pytest.mark.parametrize(
    ("limit", "member"),
    [(50, "items"), (50, "possessors")],
)
def test_a_tracing_request_has_bounded_lists(limit, member):
    document = example("tracing-request")
    element = {"items": document["items"][0], "possessors": {"role": "OTHER", "organisation": "Example"}}[
        member
    ]
    document[member] = [
        {**element, "itemRef": str(i)} if member == "items" else element for i in range(limit)
    ]
    validate_content("tracing-request", 1, document)
    document[member].append({**element, "itemRef": "x"} if member == "items" else element)
    with pytest.raises(MalformedError) as caught:
        validate_content("tracing-request", 1, document)
    assert caught.value.facts["violations"][0]["expected"] == f"at most {limit} elements"


def test_a_confiscation_has_up_to_500_items():
    document = example("confiscation-notice")
    document["items"] = [{**document["items"][0], "itemRef": str(i)} for i in range(500)]
    message = validate_content("confiscation-notice", 1, document)
    assert len(message.items) == 500
    document["items"].append({**document["items"][0], "itemRef": "500"})
    with pytest.raises(MalformedError):
        validate_content("confiscation-notice", 1, document)


# --- unknown, sent as unknown ------------------------------------------------------------------------


def test_a_weapon_of_which_nothing_is_known_can_be_sent():
    document = example("lost-or-stolen-notice")
    document["items"] = [
        {
            "itemRef": "1",
            "category": "UNKNOWN",
            "originForm": "UNKNOWN",
            "make": {"text": "UNKNOWN"},
            "calibre": {"text": "UNKNOWN"},
            "noMarksReason": "NOT_RECORDED",
        },
        {
            "itemRef": "2",
            "category": "UNKNOWN",
            "originForm": "UNKNOWN",
            "make": {"text": "UNKNOWN"},
            "calibre": {"text": "UNKNOWN"},
            "marks": [{"kind": "SERIAL", "component": "UNKNOWN", "status": "NOT_RECORDED"}],
        },
    ]
    document["event"] = {"noDateReason": "NOT_RECORDED", "place": {"country": "BE"}}
    message = validate_content("lost-or-stolen-notice", 1, document)
    assert content_document(message) == document


@pytest.mark.parametrize("country", ["SU", "YU", "CS", "DD"])
def test_former_states_made_weapons_but_nothing_happens_there_any_more(country):
    document = example("tracing-request")
    document["items"][0]["countryOfManufacture"] = country
    validate_content("tracing-request", 1, document)
    document["recovery"]["place"] = {"country": country}
    with pytest.raises(MalformedError):
        validate_content("tracing-request", 1, document)


@pytest.mark.parametrize("text", ["ZZQ123", "7", "0", "T6472-14 G 00590", "\u0410\u041a-74 123456", "序号12"])
def test_serials_are_not_placeholders(text):
    assert not is_placeholder_serial(text)


@pytest.mark.parametrize(
    "text", ["S/N", "-", "---", "???", "0000", "000-000", "Inexistente", "n/a", "ilegível", "unknown"]
)
def test_placeholders_are_not_serials(text):
    assert is_placeholder_serial(text)


def test_a_mark_in_another_script_is_kept_as_stamped():
    text = "\u0418\u0416-71 \u0412\u0423 1942"
    mark = Mark.model_validate_json(
        encode_json(
            {"kind": "SERIAL", "component": "FRAME", "text": text, "script": "Cyrl", "status": "LEGIBLE"}
        )
    )
    assert mark.text == text


# --- small types -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("partial", "first", "last"),
    [
        ("2019", dt.date(2019, 1, 1), dt.date(2019, 12, 31)),
        ("2019-12", dt.date(2019, 12, 1), dt.date(2019, 12, 31)),
        ("2020-02", dt.date(2020, 2, 1), dt.date(2020, 2, 29)),
        ("2999-12", dt.date(2999, 12, 1), dt.date(2999, 12, 31)),
        ("2019-02-07", dt.date(2019, 2, 7), dt.date(2019, 2, 7)),
    ],
)
def test_partial_days_span_what_they_can_mean(partial, first, last):
    assert (earliest(partial), latest(partial)) == (first, last)


@pytest.mark.parametrize(
    ("dates", "holds"),
    [
        (["2018-11", "2018-11-02"], True),
        (["2018-11-02", "2018-11"], True),
        (["2018-11-02", "2018"], True),
        (["2018", "2017-12-31"], False),
        (["2018-11-02", None, "2018-11-01"], False),
        (["2018-06-30", "2018", "2018-06-29"], False),
        (["2018-06-30", "2018", "2018-06-30"], True),
        ([None, None], True),
    ],
)
def test_a_chain_goes_back_only_if_it_cannot_be_otherwise(dates, holds):
    document = example("tracing-response")
    document["itemResults"][0]["chain"] = [
        {"seq": i + 1, "event": "WHOLESALE", **({"date": date} if date else {})}
        for i, date in enumerate(dates)
    ]
    if holds:
        validate_content("tracing-response", 1, document)
    else:
        with pytest.raises(MalformedError) as caught:
            validate_content("tracing-response", 1, document)
        assert {each["rule"] for each in caught.value.facts["violations"]} == {"chain_dates"}


@pytest.mark.parametrize(
    "value",
    [
        "2024-3-14",
        "2024-03-14T00:00:00Z",
        "20240314",
        "0999-01-01",
        "2023-02-29",
        "2024-03-14\n",
        "٢٠٢٤-03-14",
        20240314,
    ],
)
def test_a_day_has_one_spelling(value):
    document = patched(
        example("tracing-request"), [{"op": "replace", "path": "/recovery/date", "value": value}]
    )
    with pytest.raises(MalformedError) as caught:
        validate_content("tracing-request", 1, document)
    assert caught.value.facts["violations"][0]["rule"] == "day"


@pytest.mark.parametrize(
    "value",
    [
        "2024-03-18T09:12:44",
        "2024-03-18 09:12:44Z",
        "2024-03-18T09:12Z",
        "2024-03-18T24:00:00Z",
        "2024-03-18T09:12:60Z",
        "2024-03-18T09:12:44z",
        "2024-02-30T09:12:44Z",
        "2024-03-18T09:12:44.1234567Z",
    ],
)
def test_an_instant_is_utc_and_has_one_spelling(value):
    document = patched(
        example("tracing-acknowledgement"), [{"op": "replace", "path": "/receivedAt", "value": value}]
    )
    with pytest.raises(MalformedError) as caught:
        validate_content("tracing-acknowledgement", 1, document)
    assert caught.value.facts["violations"][0]["rule"] == "instant"


@pytest.mark.parametrize(
    "text", ["a\u0085b", "a\u2028b", "a\u202eb", "a\u2066b", "\ufeffa", "a\tb", "a ", "\u00a0a", ""]
)
def test_one_line_shows_what_was_signed(text):
    document = patched(
        example("tracing-request"), [{"op": "replace", "path": "/nationalCaseRef", "value": text}]
    )
    with pytest.raises(MalformedError):
        validate_content("tracing-request", 1, document)
    assert not jsonschema.Draft202012Validator(schema("tracing-request")).is_valid(document)


@pytest.mark.parametrize("text", ["two\nlines\n\tindented", "قاعدة \u202bنص\u202c ختام", "CRLF\r\nlines"])
def test_prose_may_have_lines_and_directions(text):
    document = patched(
        example("tracing-request"), [{"op": "replace", "path": "/legalJustification", "value": text}]
    )
    assert validate_content("tracing-request", 1, document).legal_justification == text


@pytest.mark.parametrize(
    ("lat", "lon", "valid"),
    [
        ("90", "180", True),
        ("-89.9999999", "-179.5", True),
        ("90.1", "0", False),
        ("0", "180.1", False),
        ("1e1", "0", False),
        ("01", "0", False),
        ("+1", "0", False),
        ("1.", "0", False),
    ],
)
def test_positions_are_decimal_strings_within_the_globe(lat, lon, valid):
    document = example("tracing-request")
    document["recovery"]["place"] |= {"lat": lat, "lon": lon}
    assert jsonschema.Draft202012Validator(schema("tracing-request")).is_valid(document) == valid
    if valid:
        assert validate_content("tracing-request", 1, document).recovery.place.lat == lat
    else:
        with pytest.raises(MalformedError):
            validate_content("tracing-request", 1, document)


# --- patterns ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern",
    [
        "^[A-Z]{2}[0-9]{5,6}$",
        "^(?:AK|SK)-?\\d{1,6}[A-F]?$",
        "T\\d{4}-\\d{2} [A-Z] \\d{5}",
        "(A|B)+C*",
        "[^0-9]+",
        "a{0,64}",
        "(?:[A-Z]{10}){100}",
        "x{3,}",
        "[\\]\\-]",
    ],
)
def test_patterns_that_describe_serials_are_safe(pattern):
    assert is_safe_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "a" * 201,
        "(a+)+",
        "(a*)*",
        "((a|b+)c)*",
        "(a{2,})+",
        "(x+x+)+y",
        "\\1",
        "(?=a)",
        "(?!a)",
        "(?<=a)b",
        "(?P<n>a)",
        "(?i)a",
        "a++",
        "a*?",
        "a{2}{3}",
        "a{1001}",
        "(?:[A-Z]{11}){100}",
        "a{3,2}",
        "a{",
        "a{x}",
        "{2}",
        "*a",
        "(",
        ")",
        "(a",
        "a)",
        "[",
        "[]",
        "[a",
        "[a\\",
        "[[]",
        "]",
        "}",
        "\\",
        "\\b",
        "\\p{L}",
        "|*",
        "^*",
        "(*)",
        "a\n",
        "a\x00",
        "a{0}",
    ],
)
def test_patterns_that_could_hang_or_mean_more_are_not(pattern):
    assert not is_safe_pattern(pattern)


def test_safe_patterns_are_patterns_of_python_too():
    for pattern in ["^[A-Z]{2}[0-9]{5,6}$", "[\\]\\-]+", "(?:A|B){2,4}\\."]:
        assert is_safe_pattern(pattern)
        re.compile(pattern)


def test_nothing_of_messages_is_loaded_by_the_table_of_types():
    program = (
        "import sys; from countermark_protocol.types import TYPES; assert TYPES; "
        "assert not [m for m in sys.modules if m.startswith('pydantic')], 'pydantic was loaded'"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
