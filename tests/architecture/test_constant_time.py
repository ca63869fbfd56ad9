"""Secrets are compared in constant time: no `==` on anything that is called like one."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ["schemas/src", "clients/python/src", "clients/console/src", "clients/witness/src", "broker/src"]
SECRET = re.compile(
    r"(^|_)(secrets?|passphrase|password|tag|mac|token|pin|opener|cek|private|seed|salt)(_|$)"
)
#: What only looks like it: columns of a database compared by the database; a commitment that everybody sees, which
#: is worked out from the opener that its holder has.
NOT_SECRET = {
    "webhooks.c.salt == row.salt",
    "commitment_of(parts, secrets.opener) != expected.commitment",
    "sessions.c.hash == _hash(token)",
    "sessions.c.hash == _hash(session.token)",
    "sessions.c.hash != _hash(session.token)",
}


def names(node):
    """Names in an expression, but those whose length alone is looked at."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"len", "type"}:
        return
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    for child in ast.iter_child_nodes(node):
        yield from names(child)


def comparisons(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
            found = [name for side in (node.left, *node.comparators) for name in names(side)]
            if any(SECRET.search(name) for name in found):
                yield ast.unparse(node)


def test_no_secret_is_compared_as_it_comes():
    files = [path for folder in SOURCES for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 200
    found = {text for path in files for text in comparisons(path.read_text("utf-8"))}
    assert found - NOT_SECRET == set()
    assert NOT_SECRET - found == set(), "no longer there: take it off the list"


@pytest.mark.parametrize(
    ("source", "told"),
    [("a.secret == given", True), ("len(seed) != 32", False), ("mac(x) != b", True), ("entag == 1", False)],
)
def test_the_rule_finds_what_it_is_for(source, told):
    assert bool(list(comparisons(source))) is told


def test_the_key_commitment_is_compared_in_constant_time():
    source = (ROOT / "schemas/src/countermark_protocol/chunks.py").read_text("utf-8")
    assert "hmac.compare_digest(derived.commitment, commitment)" in source
