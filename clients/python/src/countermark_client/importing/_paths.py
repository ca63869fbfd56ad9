"""Paths into a content: ``items.0.make.text`` is the text of the make of the first item.

Source: docs/spec/mapping.md §2; docs/howto/send-and-receive.md.
"""

from __future__ import annotations

from typing import Any, Final

from countermark_protocol.encoding import JsonObject, malformed

#: No content has longer lists; a larger number is a slip that would fill memory.
_MOST_ITEMS: Final = 10_000


def type_of(schema: JsonObject, path: str) -> str:
    """The JSON type that a schema has at a path.

    Raises:
        MalformedError: ``bad_path``: the content has no such member.
    """
    node = _resolved(schema, schema)
    for step in path.split("."):
        if step.isascii() and step.isdecimal():
            found = node.get("items") if int(step) < _MOST_ITEMS else None
        else:
            found = node.get("properties", {}).get(step)
        if not isinstance(found, dict):
            malformed(
                "bad_path",
                f"the column or path '{path[:100]}' names no member at '{step[:40]}': see `countermark type NAME`",
            )
        node = _resolved(found, schema)
    return str(node.get("type"))


def _resolved(node: JsonObject, schema: JsonObject) -> JsonObject:
    while "$ref" in node:
        node = schema["$defs"][str(node["$ref"]).rpartition("/")[2]]
    return node


class _Gaps(dict[int, Any]):
    """A list in the making: elements by number."""


def put(content: JsonObject, path: str, value: Any) -> None:
    """Put a value at a path; lists on the way stay open until `without_gaps` closes them.

    Raises:
        MalformedError: ``bad_path``: the path lies inside a value that was given whole.
    """
    steps = path.split(".")
    node: Any = content
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        name: str | int = int(step) if step.isdecimal() else step
        if following is None:
            node[name] = value
            return
        fresh: Any = _Gaps() if following.isdecimal() else {}
        node = node.setdefault(name, fresh)
        if not isinstance(node, dict):
            malformed("bad_path", f"'{path}' lies inside another value that is given whole")


def get(content: Any, path: str) -> Any:
    """The value at a path of a content, finished or in the making; None if there is none."""
    node = content
    for step in path.split("."):
        if isinstance(node, list):
            node = node[int(step)] if step.isdecimal() and int(step) < len(node) else None
        elif isinstance(node, dict):
            node = node.get(int(step) if isinstance(node, _Gaps) and step.isdecimal() else step)
        else:
            return None
    return node


def without_gaps(node: Any) -> Any:
    """Lists in the order of their numbers: an element whose cells are all empty leaves no hole."""
    if isinstance(node, _Gaps):
        return [without_gaps(node[i]) for i in sorted(node)]
    if isinstance(node, dict):
        return {name: without_gaps(child) for name, child in node.items()}
    return node
