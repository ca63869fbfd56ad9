"""`make audit`: what it says of what pip-audit found; nobody asked is no success."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FINE = {"name": "one", "version": "1", "vulns": []}
BAD = {"name": "two", "version": "2", "vulns": [{"id": "GHSA-x", "fix_versions": ["2.1"]}]}
SKIPPED = {"name": "three", "skip_reason": "not found"}


def load():
    spec = importlib.util.spec_from_file_location("audit_tool", ROOT / "tools" / "audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("found", "required", "code", "said"),
    [
        ([FINE], True, 0, "1 requirements, none with a known vulnerability"),
        ([FINE, BAD], False, 1, "VULNERABLE two 2: GHSA-x, mended in 2.1"),
        ([FINE, SKIPPED], False, 1, "NOT LOOKED UP three: not found"),
        ([SKIPPED], False, 0, "NOT RUN"),
        ([SKIPPED], True, 1, "NOT RUN"),
        ([], True, 1, "NOT RUN"),
    ],
)
def test_what_is_said(found, required, code, said):
    ended, lines = load().judge(found, required=required)
    assert ended == code
    assert any(line.startswith(said) for line in lines), lines


def test_ci_asks():
    assert "make audit" in (ROOT / ".ci" / "run").read_text("utf-8")
    assert "tools/audit.py" in (ROOT / "Makefile").read_text("utf-8")
