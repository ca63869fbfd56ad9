"""The specification and the sources point at each other, and what they point at is there."""

import ast
import re
from pathlib import Path

import pytest

from countermark_protocol import errors
from countermark_protocol.claims import KIND_NAMES
from countermark_protocol.default_policy import DEFAULT_POLICY
from countermark_protocol.documents import Purpose
from countermark_protocol.keys import ALGORITHM_NAMES

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "docs" / "spec"
PROTOCOL = ROOT / "schemas" / "src" / "countermark_protocol"
FOLDERS = (
    "schemas/src",
    "clients/python/src",
    "clients/console/src",
    "clients/witness/src",
    "broker/src",
    "demo",
    "tools",
    "migrations",
    "tests",
    "bench",
)
PAGES = {path.stem for path in SPEC.glob("*.md")}

NUMBER = r"(?:§§? ?\d+(?:\.\d+)?|\b\d+\.\d+)"
JOINED = rf"{NUMBER}(?:(?:,| and| to|\u2013) {NUMBER})*"
IN_SOURCES = re.compile(rf"docs/spec/(?P<page>[a-z]+)\.md(?:[ \n#]*(?P<numbers>{JOINED}))?")
IN_PAGES = re.compile(rf"(?P<page>\b[a-z]+)\.md(?:\))?\s(?P<numbers>{JOINED})")

#: Codes that no page of the specification needs to name: signed requests have their own list in api.md and
#: docs/adr/0003, and a frontier is a data structure of this implementation.
#: What people type to a command is no check of the protocol.
NOT_IN_SPEC = {"appointing", "httpsig"}
NOT_A_CHECK = {"frontier_shape"}
MAKERS = {
    "malformed",
    *(n for n, c in vars(errors).items() if n.endswith("Error") and c.__module__ == errors.__name__),
}


def sections(page):
    """Numbers of all headings and numbered paragraphs of a page."""
    text = (SPEC / f"{page}.md").read_text("utf-8")
    found = re.findall(r"^(?:## (\d+)\. |(?:### )?(\d+\.\d+) )", text, re.MULTILINE)
    return {heading or paragraph for heading, paragraph in found}


def numbers(text):
    return re.findall(r"\d+(?:\.\d+)?", text or "")


def citations():
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path != Path(__file__):
                for match in IN_SOURCES.finditer(path.read_text("utf-8")):
                    yield path.relative_to(ROOT), match["page"], numbers(match["numbers"])
    for path in sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md")):
        for match in IN_PAGES.finditer(path.read_text("utf-8")):
            if match["page"] in PAGES:
                yield path.relative_to(ROOT), match["page"], numbers(match["numbers"])


def test_pages_have_numbered_sections():
    expected = {
        "api",
        "assistance",
        "audit",
        "backup",
        "bridge",
        "bundle",
        "contradictions",
        "directory",
        "disclosure",
        "documents",
        "encoding",
        "enrolment",
        "evidence",
        "export",
        "forms",
        "keys",
        "log",
        "mapping",
        "messages",
        "policy",
        "reports",
        "sealing",
        "tracing",
        "witness",
    }
    assert set(PAGES) == expected
    for page in PAGES:
        headings = [n for n in sections(page) if "." not in n]
        assert sorted(map(int, headings)) == list(range(1, len(headings) + 1)), page
    assert "7.11" in sections("messages")
    assert "9.9" not in sections("log")


def test_every_citation_of_the_specification_exists():
    found = list(citations())
    wrong = [
        f"{path}: docs/spec/{page}.md {number}"
        for path, page, cited in found
        for number in (cited if page in PAGES else ["(no such page)"])
        if page not in PAGES or number not in sections(page)
    ]
    assert wrong == []
    assert len(found) > 100
    assert sum(len(cited) for _, _, cited in found) > 100


@pytest.mark.parametrize("path", sorted(PROTOCOL.glob("*.py")), ids=lambda p: p.stem)
def test_every_module_of_the_protocol_names_its_source(path):
    doc = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    exempt = path.stem in {"__init__", "errors"}
    assert exempt or re.search(r"Sources?: |docs/spec/", doc), "name the RFC or the page of docs/spec"


def test_links_between_documents_lead_somewhere():
    wrong = []
    pages = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                wrong.append(f"{page.relative_to(ROOT)}: {target}")
    assert wrong == []


# --- codes and labels --------------------------------------------------------------------------------


def literal_codes(path):
    """String literals that are first arguments of `malformed` or of a class of errors."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name in MAKERS:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str) and " " not in first.value:
                yield first.value


def test_every_code_of_the_protocol_is_catalogued():
    catalogue = set(
        re.findall(r"^\| `([a-z0-9_]+)` \|", (ROOT / "docs" / "errors.md").read_text("utf-8"), re.MULTILINE)
    )
    raised = {code for path in PROTOCOL.rglob("*.py") for code in literal_codes(path)}
    assert len(raised) > 150
    assert raised - catalogue == set()


def test_every_code_of_the_protocol_is_specified():
    named = {n for p in SPEC.glob("*.md") for n in re.findall(r"`([a-z0-9_]+)`", p.read_text("utf-8"))}
    raised = {
        code for path in PROTOCOL.glob("*.py") if path.stem not in NOT_IN_SPEC for code in literal_codes(path)
    }
    assert raised - named - NOT_A_CHECK == set()


def labels_in_code():
    for path in PROTOCOL.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", "")
                if name.startswith("labelled_"):
                    yield (
                        node.args[0].value,
                        {"hash": "H", "hmac": "MAC", "bytes": "B", "hash_of_large": "H"}[name[9:]],
                    )


def test_the_list_of_labels_is_that_of_the_code():
    text = (SPEC / "encoding.md").read_text("utf-8")
    listed = re.findall(r"^\| `([a-z-]+)` \| (H|MAC|B)\b", text, re.MULTILINE)
    assert len(listed) == len(set(listed)) == 31
    assert set(listed) == set(labels_in_code())


def test_numbers_of_kinds_purposes_and_algorithms_are_those_of_the_code():
    documents, keys = ((SPEC / f"{page}.md").read_text("utf-8") for page in ("documents", "keys"))
    kinds = re.findall(r"^\| (\d+) \| `([a-z-]+)` \|", documents, re.MULTILINE)
    assert {(str(int(kind)), name) for kind, name in KIND_NAMES.items()} == set(kinds)
    purposes = re.findall(r"^\| (\d+) \| `countermark/1/([a-z]+)` \|", documents, re.MULTILINE)
    assert {(str(int(p)), p.name.lower()) for p in Purpose} == set(purposes)
    algorithms = re.findall(r"^\| (\d+) \| `([A-Za-z0-9+-]+)` \|.*\| in use", keys, re.MULTILINE)
    assert {(str(int(a)), name) for a, name in ALGORITHM_NAMES.items()} == set(algorithms)


def test_the_default_policy_is_the_table_of_the_specification():
    text = (SPEC / "policy.md").read_text("utf-8")
    table = {
        cells[0].strip("` "): [c.strip() for c in cells[1:]]
        for line in re.findall(r"^\| (`[a-z-]+` \|.*)\|$", text.split("## 4.")[1], re.MULTILINE)
        for cells in [line.split("|")]
    }
    field = {r.strip() for r in re.search(r"^\*field\*: ([a-z, \n]+)\.", text, re.MULTILINE)[1].split(",")}
    assert table.keys() == {rule.id for rule in DEFAULT_POLICY.rules}
    for rule in DEFAULT_POLICY.rules:
        types, senders, recipients, otherwise = table[rule.id]
        assert {t.strip() for t in types.split(",")} == rule.types
        assert {r.strip() for r in senders.split(",")} == {r.value for r in rule.sender.roles}
        to = {r.value for r in rule.recipient.roles}
        if recipients == "*field*":
            assert to == field
        elif recipients == "all but broker":
            assert "broker" not in to
            assert len(to) == 13
        else:
            assert {r.strip() for r in recipients.split(",")} == to
        most = re.search(r"most (\d+)", otherwise)
        assert rule.most_recipients == (int(most[1]) if most else 1000)
        assert rule.ceiling.value == ("RESTRICTED" if "RESTRICTED" in otherwise else "CONFIDENTIAL")
        assert (f"`{rule.relation.value}`" in otherwise) == (rule.relation.value != "any")
