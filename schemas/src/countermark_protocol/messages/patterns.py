"""Regular expressions that are safe to hold: checked by reading them, never by running them.

A marking description tells how serials are built. The expression comes from another State and is only shown
and stored here; a program that runs it needs an engine of linear time (RE2). What such an engine refuses, or
what would grow without bound in another one, is refused here: back-references, look-around, nested unbounded
repetition, large counts.

Source: RE2 syntax; docs/spec/messages.md §7.9.
"""

import re
from typing import Final

MAX_PATTERN_CHARACTERS: Final = 200
#: Largest count in ``{m,n}``; no serial is longer.
MAX_REPETITION: Final = 64
_ESCAPES: Final = frozenset("dDwWsS.-/\\+*?()[]{}|^$")
_COUNT = re.compile(r"\{([0-9]{1,3})(?:,([0-9]{1,3})?)?\}")


def is_safe_pattern(pattern: str) -> bool:
    """Whether `pattern` is in the language: printable, short, anchored groups, bounded repetition.

    The language: literal characters, ``.``, classes ``[...]``, escapes of punctuation and ``\\d \\w \\s``,
    groups ``(...)`` and ``(?:...)``, ``|``, ``^``, ``$``, and ``? * + {m,n}`` with counts up to 64. A group
    that repeats without bound may hold no repetition without bound.
    """
    if not 1 <= len(pattern) <= MAX_PATTERN_CHARACTERS or not pattern.isprintable():
        return False
    at = 0
    #: For each open group, whether something in it repeats without bound.
    open_groups = [False]
    #: Whether the last atom may be repeated, and whether it holds an unbounded repetition.
    atom, atom_unbounded = False, False
    while at < len(pattern):
        character = pattern[at]
        if character == "\\":
            if pattern[at + 1 : at + 2] not in _ESCAPES or at + 1 >= len(pattern):
                return False
            at, atom, atom_unbounded = at + 2, True, False
        elif character == "[":
            end = _class_end(pattern, at)
            if end < 0:
                return False
            at, atom, atom_unbounded = end, True, False
        elif character == "(":
            plain = pattern[at + 1 : at + 2] != "?"
            if not plain and pattern[at + 1 : at + 3] != "?:":
                return False
            open_groups.append(False)
            at, atom = at + (1 if plain else 3), False
        elif character == ")":
            if len(open_groups) == 1:
                return False
            atom, atom_unbounded = True, open_groups.pop()
            open_groups[-1] |= atom_unbounded
            at += 1
        elif character in "?*+{":
            length, unbounded = _quantifier(pattern, at)
            if not length or not atom or (unbounded and atom_unbounded):
                return False
            open_groups[-1] |= unbounded
            # No quantifier on a quantifier: lazy and possessive forms are not needed to describe a serial.
            at, atom = at + length, False
        elif character in "]}":
            return False
        else:
            atom, atom_unbounded = character not in "|^$", False
            at += 1
    return len(open_groups) == 1


def _class_end(pattern: str, at: int) -> int:
    """Index after the class that opens at `at`, or -1."""
    at += 1
    if pattern[at : at + 1] == "^":
        at += 1
    members = 0
    while at < len(pattern):
        if pattern[at] == "]":
            return at + 1 if members else -1
        if pattern[at] == "[":
            return -1
        if pattern[at] == "\\":
            if at + 1 >= len(pattern) or pattern[at + 1] not in _ESCAPES:
                return -1
            at += 1
        members += 1
        at += 1
    return -1


def _quantifier(pattern: str, at: int) -> tuple[int, bool]:
    """Length of the quantifier at `at` (0 if it is none), and whether it has no upper bound."""
    if pattern[at] in "*+":
        return 1, True
    if pattern[at] == "?":
        return 1, False
    match = _COUNT.match(pattern, at)
    if not match:
        return 0, False
    low, high = int(match[1]), match[2]
    if low > MAX_REPETITION or (high is not None and not low <= int(high) <= MAX_REPETITION):
        return 0, False
    return len(match[0]), match[0].endswith(",}")
