"""What two-way forms share: members that correspond, and what does not come back.

What a form keeps is not declared but found out: the form is read back, and every leaf of the content that does not
come back equal is lost. So no table can say more than the code does.

Source: docs/spec/forms.md §1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from countermark_protocol.encoding import JsonObject
from countermark_protocol.errors import MalformedError

#: Turns a value of one side into one of the other; None where the other side has none for it.
Turn = Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


def from_table(table: Mapping[str, str]) -> Turn:
    """Turn codes by a table; a code that is not in it has no counterpart."""
    return lambda value: table.get(value) if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class Pair:
    """A member of the content and the member of the form that holds the same.

    Attributes:
        ours: path in the content or item, names joined by dots.
        theirs: path in the form, likewise; names with a prefix hold a colon.
        title: what the form calls it, with its number where it has one.
        to_form: turns the value; None leaves the member out.
        from_form: turns it back; None leaves it out.
    """

    ours: str
    theirs: str
    title: str
    to_form: Turn = _same
    from_form: Turn = _same


@dataclass(frozen=True, slots=True)
class Converted:
    """A content as a form.

    Attributes:
        document: the form.
        lost: JSON pointers of the leaves of the content that the form does not hold.
        leaves: how many leaves the content has.
    """

    document: JsonObject
    lost: tuple[str, ...]
    leaves: int


#: No form of a content that is within its limits is larger: what is, is not one.
MAX_FORM_BYTES: Final = 16 * 1024 * 1024


def find(document: Mapping[str, Any], path: str) -> Any:
    """The value at a path of names, or None."""
    value: Any = document
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def put(document: JsonObject, path: str, value: Any) -> None:
    """Set the value at a path of names; None sets nothing."""
    if value is None:
        return
    *parents, last = path.split(".")
    for name in parents:
        document = document.setdefault(name, {})
    document[last] = value


def fill(pairs: Sequence[Pair], content: Mapping[str, Any], form: JsonObject) -> None:
    """Write into a form what a content has of these members."""
    for pair in pairs:
        value = find(content, pair.ours)
        if value is not None:
            put(form, pair.theirs, pair.to_form(value))


def read(pairs: Sequence[Pair], form: Mapping[str, Any], content: JsonObject) -> None:
    """Write into a content what a form has of these members."""
    for pair in pairs:
        value = find(form, pair.theirs)
        if value is not None:
            put(content, pair.ours, pair.from_form(value))


def leaves(value: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a JSON value with its JSON pointer (RFC 6901)."""
    if isinstance(value, Mapping) and value:
        for name, member in value.items():
            escaped = str(name).replace("~", "~0").replace("/", "~1")
            yield from leaves(member, f"{pointer}/{escaped}")
    elif isinstance(value, list) and value:
        for i, member in enumerate(value):
            yield from leaves(member, f"{pointer}/{i}")
    else:
        yield pointer, value


def _alike(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> int:
    return sum(theirs.get(name) == value for name, value in ours.items())


def _aligned(content: Mapping[str, Any], back: Mapping[str, Any]) -> JsonObject:
    """What came back, with the marks of each item in the order of ours: a form may sort them."""
    items = [dict(item) for item in back.get("items", ())]
    for ours, theirs in zip(content.get("items", ()), items, strict=False):
        left = list(theirs.get("marks", ()))
        ordered: list[Any] = []
        for mark in ours.get("marks", ()):
            best = max(left, key=lambda each: _alike(mark, each), default=None)
            if best is not None:
                left.remove(best)
            ordered.append(best if best is not None else {})
        if ordered or left:
            theirs["marks"] = ordered + left
    return {**back, **({"items": items} if items else {})}


def converted(content: Mapping[str, Any], document: JsonObject, back: Mapping[str, Any]) -> Converted:
    """What a form holds of a content.

    Args:
        content: that was turned.
        document: the form.
        back: the form, turned back.
    """
    returned = dict(leaves(_aligned(content, back)))
    missing = object()
    found = [(pointer, returned.get(pointer, missing) == value) for pointer, value in leaves(content)]
    return Converted(document, tuple(pointer for pointer, kept in found if not kept), len(found))


def wrong(form: str, expected: str, at: str = "") -> NoReturn:
    """Refuse a form that is not one.

    Raises:
        MalformedError: ``bad_form``; facts: ``form``, ``at``.
    """
    place = f" at {at}" if at else ""
    raise MalformedError("bad_form", f"{form}{place}: expected {expected}", form=form, at=at or "/")


def text_of(value: Any, form: str, at: str) -> str:
    """A text of a form.

    Raises:
        MalformedError: ``bad_form``: something else.
    """
    if not isinstance(value, str) or not value.strip():
        wrong(form, "a text", at)
    return value


def records_of(document: Mapping[str, Any], name: str, form: str) -> list[JsonObject]:
    """The list of objects that a form holds under a name; one object stands for a list of one.

    Raises:
        MalformedError: ``bad_form``: it holds none.
    """
    found = document.get(name)
    records = [found] if isinstance(found, dict) else found
    if not isinstance(records, list) or not records or not all(isinstance(each, dict) for each in records):
        wrong(form, f"an object or a list of objects {name!r}", f"/{name}")
    return records
