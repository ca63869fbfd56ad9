"""Check that no released schema changed what it accepts, or enter the schemas of a release.

Readers are closed: a member, code or form that a version does not have is refused. So for a released (type, version)
both directions count: what it accepts beyond its release an older reader refuses, what it accepts no more an older
writer still sends. Words may change (descriptions, sources, units, the text of a rule); nothing else.

Usage: python tools/check_schemas.py [--release]

Source: docs/adr/0027-schemas-are-closed-and-versions-are-for-good.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCHEMAS = Path(__file__).resolve().parent.parent / "schemas"

#: What a schema says to people, and where its definitions lie; everything else decides what it accepts.
_WORDS = frozenset(
    {"$schema", "$id", "$defs", "title", "description", "x-source", "x-unit", "x-code-list", "x-rules"}
)
#: Keywords that are sets: their order means nothing.
_SETS = frozenset({"enum", "required"})
_OLDER_READERS = "an older reader refuses what this accepts"
_OLDER_WRITERS = "this refuses what an older writer sends"
#: Bounds, and whether a smaller number accepts more.
_BOUNDS = {
    "minLength": True, "minItems": True, "minimum": True,
    "maxLength": False, "maxItems": False, "maximum": False,
}  # fmt: skip


def _resolved(node: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        node = {
            **root["$defs"][node["$ref"].rpartition("/")[2]],
            **{k: v for k, v in node.items() if k != "$ref"},
        }
    return node


def differences(released: dict[str, Any], present: dict[str, Any]) -> Iterator[str]:
    """What a schema accepts otherwise than when it was released, one line each."""
    yield from _compare(released, present, released, present, "", frozenset())


def _compare(
    old: dict[str, Any],
    new: dict[str, Any],
    old_root: dict[str, Any],
    new_root: dict[str, Any],
    at: str,
    seen: frozenset[str],
) -> Iterator[str]:
    name = json.dumps([old.get("$ref"), new.get("$ref")])
    if "$ref" in old and name in seen:
        return
    seen |= {name}
    old, new = _resolved(old, old_root), _resolved(new, new_root)
    yield from _rules(old.get("x-rules", {}), new.get("x-rules", {}), at)
    for word in sorted((old.keys() | new.keys()) - _WORDS - {"properties", "items", "required", "enum"}):
        if old.get(word) != new.get(word):
            yield f"{at or '/'}: {word} was {old.get(word)!r}, is {new.get(word)!r}: {_bound(word, old, new)}"
    for word in sorted(_SETS):
        before, after = set(old.get(word, ())), set(new.get(word, ()))
        if (word in old) == (word in new) or word == "required":
            for each in sorted(before - after, key=str):
                which = _OLDER_WRITERS if word == "enum" else _OLDER_READERS
                yield f"{at or '/'}: {word} has no more {each!r}: {which}"
            for each in sorted(after - before, key=str):
                which = _OLDER_READERS if word == "enum" else _OLDER_WRITERS
                yield f"{at or '/'}: {word} has now {each!r}: {which}"
        else:
            which = _OLDER_WRITERS if word in new else _OLDER_READERS
            yield f"{at or '/'}: {word} {'came' if word in new else 'went'}: {which}"
    before, after = old.get("properties", {}), new.get("properties", {})
    for member in sorted(before.keys() - after.keys()):
        yield f"{at}/{member}: the member went: {_OLDER_WRITERS}"
    for member in sorted(after.keys() - before.keys()):
        yield f"{at}/{member}: the member came: {_OLDER_READERS}"
    for member in sorted(before.keys() & after.keys()):
        yield from _compare(before[member], after[member], old_root, new_root, f"{at}/{member}", seen)
    if ("items" in old) != ("items" in new):
        yield f"{at or '/'}: items came or went: {_OLDER_READERS}"
    elif "items" in old:
        yield from _compare(old["items"], new["items"], old_root, new_root, f"{at}/*", seen)


def _rules(old: dict[str, str], new: dict[str, str], at: str) -> Iterator[str]:
    for rule in sorted(old.keys() - new.keys()):
        yield f"{at or '/'}: the rule {rule} went: {_OLDER_READERS}"
    for rule in sorted(new.keys() - old.keys()):
        yield f"{at or '/'}: the rule {rule} came: {_OLDER_WRITERS}"


def _bound(word: str, old: dict[str, Any], new: dict[str, Any]) -> str:
    if word in _BOUNDS:
        low = float("-inf") if _BOUNDS[word] else float("inf")
        wider = (new.get(word, low) < old.get(word, low)) == _BOUNDS[word]
        return _OLDER_READERS if wider else _OLDER_WRITERS
    return f"{_OLDER_READERS}, or {_OLDER_WRITERS}"


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def problems(released: Path, present: Path) -> list[str]:
    """What is wrong with the present schemas, by those released; empty if nothing is."""
    out: list[str] = []
    for path in sorted(released.glob("*.schema.json")):
        now = present / path.name
        if not now.exists():
            out.append(f"{path.name}: a released version never goes, and this one is gone")
            continue
        out += [f"{path.name}: {line}" for line in differences(_read(path), _read(now))]
    return out


def release(released: Path, present: Path) -> list[str]:
    """Enter what is not released yet; names of the files written. What is released is never written again."""
    fresh = [p for p in sorted(present.glob("*.schema.json")) if not (released / p.name).exists()]
    for path in fresh:
        (released / path.name).write_bytes(path.read_bytes())
    return [path.name for path in fresh]


def main(arguments: list[str] | None = None) -> int:
    """Check or enter; 0 if every released schema accepts what it accepted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--release", action="store_true", help="enter the schemas that are not released yet")
    parser.add_argument("--folder", type=Path, default=SCHEMAS, help="that holds released/ and json/")
    options = parser.parse_args(arguments)
    released, present = options.folder / "released", options.folder / "json"
    found = problems(released, present)
    for line in found:
        print(f"{line}; make a new version of the type instead", file=sys.stderr)
    if found:
        return 1
    if options.release:
        for name in release(released, present):
            print(f"released: {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
