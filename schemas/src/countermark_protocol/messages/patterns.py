"""Regular expressions that are safe to hold: checked by reading them, never by running them.

A marking description tells how serials are built. The expression comes from another State and is only shown
and stored here; a program that runs it needs an engine of linear time (RE2). What such an engine refuses, or
what would grow without bound in another one, is refused here: back-references, look-around, nested unbounded
repetition, large counts.

Source: RE2 syntax; docs/spec/messages.md §7.9.
"""

import re
from dataclasses import dataclass
from typing import Final

MAX_PATTERN_CHARACTERS: Final = 200
#: Most copies of one atom that nested counts may ask for; RE2 refuses more than 1,000.
MAX_COPIES: Final = 1000
_ESCAPES: Final = frozenset("dDwWsS.-/\\+*?()[]{}|^$")
_COUNT = re.compile(r"\{([0-9]{1,3})(?:,([0-9]{1,3})?)?\}")


@dataclass(frozen=True, slots=True)
class _Atom:
    """What may be repeated: how many copies it stands for, and whether it repeats without bound inside."""

    copies: int = 1
    unbounded: bool = False

    def beside(self, other: "_Atom") -> "_Atom":
        return _Atom(max(self.copies, other.copies), self.unbounded or other.unbounded)


def is_safe_pattern(pattern: str) -> bool:
    r"""Whether `pattern` is in the language: printable, short, bounded where it must be.

    The language: literal characters, ``.``, classes ``[...]``, escapes of punctuation and ``\d \w \s``,
    groups ``(...)`` and ``(?:...)``, ``|``, ``^``, ``$``, and ``? * + {m,n}``. A group that repeats without
    bound may hold no repetition without bound, and nested counts ask for at most 1,000 copies.
    """
    if not 1 <= len(pattern) <= MAX_PATTERN_CHARACTERS or not pattern.isprintable():
        return False
    groups = [_Atom()]
    last: _Atom | None = None
    at = 0
    while at < len(pattern):
        character = pattern[at]
        if character in "?*+{":
            length, copies = _quantifier(pattern, at)
            if not length or last is None or (copies == 0 and last.unbounded):
                return False
            repeated = _Atom(last.copies * max(copies, 1), last.unbounded or copies == 0)
            if repeated.copies > MAX_COPIES:
                return False
            groups[-1] = groups[-1].beside(repeated)
            # No quantifier on a quantifier: lazy and possessive forms are not needed to describe a serial.
            at, last = at + length, None
        elif character == "(":
            if pattern[at + 1 : at + 2] == "?" and pattern[at + 1 : at + 3] != "?:":
                return False
            groups.append(_Atom())
            at, last = at + (3 if pattern[at + 1 : at + 2] == "?" else 1), None
        elif character == ")":
            if len(groups) == 1:
                return False
            last = groups.pop()
            groups[-1] = groups[-1].beside(last)
            at += 1
        elif character in "|^$":
            at, last = at + 1, None
        else:
            end = _atom_end(pattern, at)
            if end < 0:
                return False
            at, last = end, _Atom()
    return len(groups) == 1


def _atom_end(pattern: str, at: int) -> int:
    """Index after the literal, escape or class that begins at `at`; -1 if it is none."""
    if pattern[at] in "]}":
        return -1
    if pattern[at] == "\\":
        return at + 2 if at + 1 < len(pattern) and pattern[at + 1] in _ESCAPES else -1
    if pattern[at] != "[":
        return at + 1
    at += 2 if pattern[at + 1 : at + 2] == "^" else 1
    first = at
    while at < len(pattern) and pattern[at] != "]":
        if pattern[at] == "[":
            return -1
        at = _atom_end(pattern, at) if pattern[at] == "\\" else at + 1
        if at < 0:
            return -1
    return at + 1 if first < at < len(pattern) else -1


def _quantifier(pattern: str, at: int) -> tuple[int, int]:
    """Length of the quantifier at `at` (0 if it is none), and the most copies it asks for (0: no bound)."""
    if pattern[at] in "*+":
        return 1, 0
    if pattern[at] == "?":
        return 1, 1
    match = _COUNT.match(pattern, at)
    if not match:
        return 0, 0
    if match[0].endswith(",}"):
        return len(match[0]), 0
    low, high = int(match[1]), int(match[2] or match[1])
    return (len(match[0]), high) if low <= high and high else (0, 0)
