"""Every class of errors can be shown to people, stands in the tree that is drawn, and has a status; every code is catalogued."""

import ast
import functools
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
from pathlib import Path

import pytest

import countermark_broker
import countermark_client
import countermark_protocol
from countermark_broker.api.errors import STATUS, STATUS_BY_CODE, problem_of, status_of
from countermark_protocol import errors
from countermark_protocol.errors import CountermarkError, InconsistentLogError

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "docs" / "errors.md"

for _package in (countermark_protocol, countermark_client, countermark_broker):
    for _module in pkgutil.walk_packages(_package.__path__, f"{_package.__name__}."):
        if not _module.name.endswith("__main__"):
            importlib.import_module(_module.name)


def subclasses(cls):
    for sub in cls.__subclasses__():
        yield sub
        yield from subclasses(sub)


CLASSES = [
    CountermarkError,
    *sorted(
        {c for c in subclasses(CountermarkError) if c.__module__.startswith("countermark_")},
        key=lambda c: c.__name__,
    ),
]


def drawn_tree():
    """(class, its base) as the docstring of errors.py draws them."""
    above = {}
    for line in errors.__doc__.splitlines():
        match = re.match(r"    ([│├└─ ]*)([A-Z]\w+Error)\b", line)
        if match:
            depth = len(match[1]) // 3
            above[depth] = match[2]
            yield match[2], above.get(depth - 1)


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("generate_errors", ROOT / "tools" / "generate_errors.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    # Reading all sources takes seconds, and they do not change meanwhile.
    read, collect, known = functools.cache(module.read_sources), module.collect, {}

    def remembered(sources):
        if id(sources) not in known:
            known[id(sources)] = sources, collect(sources)
        return known[id(sources)][1]

    module.read_sources, module.collect = read, remembered
    return module


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_a_class_is_documented_and_can_be_made(cls):
    assert inspect.getdoc(cls), "what it means"
    assert "__doc__" in vars(cls)
    assert cls.hint
    assert cls.hint == cls.hint.strip()
    assert not cls.hint.endswith("."), "shown after 'hint:'"
    evidence = (b"one", b"other") if issubclass(cls, InconsistentLogError) else ()
    error = cls("some_code", "expected this, got that", *evidence, size=3)
    assert (error.code, error.message, error.facts) == ("some_code", "expected this, got that", {"size": 3})
    assert str(error) == "expected this, got that [some_code]"
    assert getattr(error, "evidence", ()) == evidence


def test_every_class_that_gives_advice_gives_its_own():
    base = CountermarkError.hint
    silent = [c.__name__ for c in CLASSES if c is not CountermarkError and "hint" not in vars(c)]
    assert silent == []
    generic = {c.__name__ for c in CLASSES if c.hint == base}
    assert generic <= {"CountermarkError", "BrokerError"}


def test_the_tree_drawn_is_the_tree():
    drawn = dict(drawn_tree())
    actual = {
        name: cls.__base__.__name__ if cls is not CountermarkError else None
        for name, cls in vars(errors).items()
        if inspect.isclass(cls) and issubclass(cls, CountermarkError)
    }
    assert drawn == actual
    assert len(drawn) == 12


def test_classes_are_made_in_modules_called_errors():
    assert {c.__module__.rpartition(".")[2] for c in CLASSES} == {"errors"}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_every_class_has_a_status_and_a_problem(cls):
    problem = problem_of(cls("some_code", "expected this, got that"))
    assert problem.status == status_of(cls("some_code", "…"))
    assert 400 <= problem.status < 600
    assert problem.to_json()["type"] == "urn:countermark:error:some_code"
    assert (problem.detail, problem.hint) == ("expected this, got that", cls.hint)


def test_statuses_are_those_of_the_specification():
    text = (ROOT / "docs" / "spec" / "api.md").read_text("utf-8").split("## 5.")[1]
    rows = dict(re.findall(r"^\| (.+?) \| (\d{3})", text, re.MULTILINE))
    named = {
        name: int(status) for classes, status in rows.items() for name in re.findall(r"`(\w+Error)`", classes)
    }
    assert len(named) >= 7
    assert {c.__name__: s for c, s in STATUS.items() if c.__name__ in named} == named
    for code, status in re.findall(r"`([a-z_]+)`: (\d{3})", text):
        assert STATUS_BY_CODE[code] == int(status)


# --- the catalogue -----------------------------------------------------------------------------------


def test_the_catalogue_is_up_to_date(generator):
    assert CATALOGUE.read_text("utf-8") == generator.render(generator.read_sources()), "run `make generate`"


def test_check_fails_on_a_catalogue_that_is_not(generator, tmp_path, capsys):
    path = tmp_path / "errors.md"
    assert generator.main(["--check", "--output", str(path)]) == 1
    assert generator.main(["--output", str(path)]) == 0
    assert generator.main(["--check", "--output", str(path)]) == 0
    path.write_text(path.read_text("utf-8").replace("`policy_denied`", "`policy_refused`"), "utf-8")
    assert generator.main(["--check", "--output", str(path)]) == 1
    assert "generate_errors.py" in capsys.readouterr().err


def test_every_class_and_code_is_in_the_catalogue(generator):
    text = CATALOGUE.read_text("utf-8")
    assert {c.__name__ for c in CLASSES} <= set(re.findall(r"^## (\w+)$", text, re.MULTILINE))
    rows = set(re.findall(r"^\| `([a-z0-9_]+)` \|", text, re.MULTILINE))
    raised = generator.collect(generator.read_sources())
    assert {r.code for r in raised} == rows
    assert all(re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", code) for code in rows)
    # Written by conditional expressions, format strings, loops and helpers: the ways that are easily missed.
    pairs = {(r.error, r.code) for r in raised}
    assert pairs >= {
        ("SignatureError", "revoked_key"),
        ("SignatureError", "wrong_signer"),
        ("PolicyError", "reserved_release"),
        ("PolicyError", "reserved_behalf"),
        ("InconsistentLogError", "directory_head_moved"),
        ("InconsistentLogError", "directory_head_stood_still"),
        ("ProofError", "inclusion_path_length"),
        ("MalformedError", "truncated"),
        ("SignatureError", "high_s"),
    }


def _sources_of(generator, text):
    sources = generator.Sources(
        {"errors": generator.ast.parse(inspect.getsource(errors)), "some": ast.parse(text)}
    )
    generator._find_classes(sources)
    generator._find_helpers(sources)
    return sources


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("raise PolicyError('plain', 'm')", {"plain"}),
        ("raise errors.PolicyError('a' if x else 'b', 'm')", {"a", "b"}),
        ("def f():\n code = 'a' if x else 'b'\n raise PolicyError(code, 'm')", {"a", "b"}),
        ("def f():\n for n in ('x', 'y'):\n  raise PolicyError(f'no_{n}', 'm')", {"no_x", "no_y"}),
        (
            "def f():\n for p in (P.ONE, P.TWO):\n  n = p.name.lower()\n  raise PolicyError(f'r_{n}', '')",
            {"r_one", "r_two"},
        ),
        ("def bad(what, code):\n raise PolicyError(code, what)\nbad('m', 'by_helper')", {"by_helper"}),
        ("def a(code):\n return PolicyError(code, '')\ndef b(code):\n raise a(code)\nb('twice')", {"twice"}),
    ],
)
def test_codes_are_read_off_the_source(generator, text, codes):
    assert {r.code for r in generator.collect(_sources_of(generator, text))} == codes


@pytest.mark.parametrize(
    "text",
    [
        "raise PolicyError(make(), 'm')",
        "def f(x):\n c = x\n raise PolicyError(c, 'm')",
        "raise PolicyError()",
    ],
)
def test_a_code_that_cannot_be_read_is_a_failure_not_a_gap(generator, text):
    with pytest.raises(generator.UnreadableCodeError, match=r"some:\d"):
        generator.collect(_sources_of(generator, text))
