"""The examples of schemas/examples, for tests: the valid contents, and the variants that must be refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "schemas" / "examples"
SCHEMAS = ROOT / "schemas" / "json"


def example(message_type, version=1):
    """A fresh copy of the valid example of a type."""
    return json.loads((EXAMPLES / f"{message_type}-v{version}.json").read_text("utf-8"))


def schema(message_type, version=1):
    """The committed JSON Schema of a type."""
    return json.loads((SCHEMAS / f"{message_type}-v{version}.schema.json").read_text("utf-8"))


def invalid_variants(message_type, version=1):
    """The listed variants: rule, field, patch, jsonSchema."""
    return json.loads((EXAMPLES / f"{message_type}-v{version}.invalid.json").read_text("utf-8"))


def patched(document, patch):
    """Apply RFC 6902 operations (add, replace, remove), strictly."""
    out = copy.deepcopy(document)
    for operation in patch:
        *path, last = operation["path"].split("/")[1:]
        node = out
        for step in path:
            node = node[int(step)] if isinstance(node, list) else node[step]
        value = copy.deepcopy(operation.get("value"))
        match operation["op"], node:
            case "add", list() if last == "-":
                node.append(value)
            case "add", dict():
                assert last not in node, "add must not replace"
                node[last] = value
            case "replace", list():
                node[int(last)] = value
            case "replace", dict():
                assert last in node, "replace needs something to replace"
                node[last] = value
            case "remove", list():
                del node[int(last)]
            case "remove", dict():
                del node[last]
            case other:
                raise AssertionError(other)
    return out
