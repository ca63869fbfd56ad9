"""What a form holds, as it is posted, kept and sent: pairs of name and value, a state, a content document.

A name is the path of a value (``items.0.marks.1.text``). A *state* is a content document that may be incomplete or
wrong: text that is no number stays text, rows that are empty stay rows. `tidy` makes of it the document that is
validated. What is posted is bounded and read strictly; names that the form does not have are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from countermark_console.desk.forms.fields import FormField, Kind
from countermark_protocol.encoding import JsonObject
from countermark_protocol.errors import MalformedError

#: A posted form has no more values than this: 50 weapons with all that can be said of them.
MAX_PAIRS: Final = 50_000
_MAX_DEPTH: Final = 12
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,3}")
_WHOLE: Final = re.compile(r"-?[0-9]{1,15}")
_LOCAL: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?")
#: Value of the pair that says: this row is there, though nothing is filled in.
PRESENT: Final = "+"
#: Under which the tree of posted names keeps the values of a name itself.
_OWN: Final = ""

_Tree = dict[str, Any]


# --- from what is posted ---------------------------------------------------------------------------------


def read_form(form: FormField, pairs: Iterable[tuple[str, str]]) -> JsonObject:
    """The state that posted pairs make.

    Raises:
        MalformedError: ``form_too_large``.
    """
    tree: _Tree = {}
    for count, (name, value) in enumerate(pairs):
        path = name.split(".")
        if count >= MAX_PAIRS or len(path) > _MAX_DEPTH:
            raise MalformedError(
                "form_too_large",
                f"expected a form of at most {MAX_PAIRS} values, each at most {_MAX_DEPTH} deep",
            )
        node = tree
        for step in path:
            node = node.setdefault(step, {})
        node.setdefault(_OWN, []).append(value)
    found = _read(form, tree)
    return found if isinstance(found, dict) else {}


def _read(field: FormField, node: _Tree) -> Any:
    """The value of a field; None if it is not there."""
    values: list[str] = node.get(_OWN, [])
    if field.kind is Kind.GROUP:
        out = {}
        for each in field.fields:
            value = _read(each, node[each.name]) if each.name in node else None
            if value is not None:
                out[each.name] = value
        return out if out or PRESENT in values or field.required else None
    if field.kind is Kind.ROWS:
        assert field.item is not None
        indexes = sorted(int(step) for step in node if _INDEX.fullmatch(step))
        rows = []
        for index in indexes:
            value = _read(field.item, node[str(index)])
            rows.append(value if value is not None else ({} if field.item.kind is Kind.GROUP else ""))
        return rows or None
    if field.kind is Kind.CODES:
        return [value for value in values if value] or None
    return value_of(field, values[-1]) if values else None


def value_of(field: FormField, text: str) -> Any:
    """The value that a text means; the text itself where it means none of the field's; None where it is empty."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not text:
        return None
    if field.kind is Kind.INTEGER and _WHOLE.fullmatch(text):
        return int(text)
    if field.kind is Kind.YES_NO:
        return {"true": True, "false": False}.get(text, text)
    if field.kind is Kind.INSTANT and (found := _LOCAL.fullmatch(text)):
        return f"{text}Z" if found[1] else f"{text}:00Z"
    return text


# --- to what is shown ------------------------------------------------------------------------------------


def write_form(form: FormField, state: JsonObject) -> Iterator[tuple[str, str]]:
    """The pairs of a state: posted again they give it back."""
    yield from _write(form, "", state)


def _write(field: FormField, name: str, value: Any) -> Iterator[tuple[str, str]]:
    if field.kind is Kind.GROUP:
        if name:
            yield name, PRESENT
        for each in field.fields:
            if isinstance(value, dict) and each.name in value:
                yield from _write(each, f"{name}.{each.name}" if name else each.name, value[each.name])
    elif field.kind is Kind.ROWS:
        assert field.item is not None
        for index, row in enumerate(value if isinstance(value, list) else ()):
            yield from _write(field.item, f"{name}.{index}", row)
    elif field.kind is Kind.CODES:
        for code in value if isinstance(value, list) else ():
            yield name, str(code)
    else:
        yield name, text_of(field, value)


def text_of(field: FormField, value: Any) -> str:
    """A value as it stands in its input; inverse of `value_of`."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text.removesuffix("Z") if field.kind is Kind.INSTANT else text


# --- to what is validated ----------------------------------------------------------------------------------


def tidy(form: FormField, state: JsonObject) -> JsonObject:
    """The content document of a state: without what is empty. Required groups stay, so that what they lack is told."""
    found = _tidy(form, state)
    return found if isinstance(found, dict) else {}


def _tidy(field: FormField, value: Any) -> Any:
    if field.kind is Kind.GROUP:
        held = value if isinstance(value, dict) else {}
        out = {}
        for each in field.fields:
            found = _tidy(each, held.get(each.name))
            if found is not None:
                out[each.name] = found
        return out if out or field.required else None
    if field.kind is Kind.ROWS:
        assert field.item is not None
        rows = [_tidy(field.item, row) for row in (value if isinstance(value, list) else ())]
        return [row for row in rows if row is not None] or None
    if isinstance(value, list):
        return [one for one in value if one not in {"", None}] or None
    return None if value == "" else value


# --- rows --------------------------------------------------------------------------------------------------


def with_row(form: FormField, state: JsonObject, name: str) -> JsonObject:
    """The state with one more row in the list of a name; unchanged where the form has no such list."""
    found = _rows_at(form, state, name.split("."))
    if found is not None:
        field, rows = found
        assert field.item is not None
        if field.at_most is None or len(rows) < field.at_most:
            rows.append({} if field.item.kind is Kind.GROUP else "")
    return state


def without_row(form: FormField, state: JsonObject, name: str) -> JsonObject:
    """The state without a row (``items.2``); unchanged where there is none."""
    *path, last = name.split(".")
    found = _rows_at(form, state, path)
    if found is not None and _INDEX.fullmatch(last) and int(last) < len(found[1]):
        del found[1][int(last)]
    return state


def _rows_at(field: FormField, node: Any, path: list[str]) -> tuple[FormField, list[Any]] | None:
    """The list at a path, made where it is not there yet."""
    if not path:
        return None
    step, *rest = path
    if field.kind is Kind.GROUP and isinstance(node, dict):
        each = field.find(step)
        if each is None:
            return None
        if each.kind is Kind.ROWS and not rest:
            rows = node.setdefault(each.name, [])
            return (each, rows) if isinstance(rows, list) else None
        if each.kind is Kind.ROWS:
            return _rows_at(each, node.get(each.name, []), rest)
        return _rows_at(each, node.setdefault(each.name, {}), rest) if each.kind is Kind.GROUP else None
    if (
        field.kind is Kind.ROWS
        and isinstance(node, list)
        and _INDEX.fullmatch(step)
        and int(step) < len(node)
    ):
        assert field.item is not None
        return _rows_at(field.item, node[int(step)], rest)
    return None
