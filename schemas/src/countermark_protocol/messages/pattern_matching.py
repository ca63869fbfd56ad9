"""Running the regular expressions of others: in time that grows with pattern and text, and not with their tricks.

Python's own engine backtracks: an expression of `patterns` as harmless as ``.*.*.*.*.*x`` would keep it busy for ever.
So an expression is made a set of states here, and all that it can be in are followed at once (Thompson, 1968).

Source: K. Thompson, Regular Expression Search Algorithm, CACM 11 (1968); docs/spec/messages.md §7.9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from countermark_protocol.errors import UncheckableError
from countermark_protocol.messages.patterns import is_safe_pattern

#: Larger ones, made by nested counts, describe no serial; they are shown and not run.
MAX_STATES: Final = 400
#: Marks are at most as long.
MAX_TEXT_CHARACTERS: Final = 120

_Test = Callable[[str], bool]


@dataclass
class _State:
    """One state: with a test it takes one character; without, it goes on at once; `where` must hold for that."""

    test: _Test | None = None
    where: str = ""
    after: tuple[int, ...] = ()


class _Compiler:
    """Makes states of an expression that `is_safe_pattern` has accepted."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self.states: list[_State] = []

    def compile(self) -> int:
        """All states; the number of the first. The last one, made first, is the end."""
        return self._choice(self._state(_State()))

    def _state(self, state: _State) -> int:
        if len(self.states) >= MAX_STATES:
            raise UncheckableError(
                "pattern_too_large",
                f"the expression needs more than {MAX_STATES} states: it is shown, not run",
            )
        self.states.append(state)
        return len(self.states) - 1

    def _peek(self) -> str:
        return self._pattern[self._at] if self._at < len(self._pattern) else ""

    def _choice(self, after: int) -> int:
        """Alternatives that go on to `after`; the first state."""
        starts = [self._sequence(after)]
        while self._peek() == "|":
            self._at += 1
            starts.append(self._sequence(after))
        return starts[0] if len(starts) == 1 else self._state(_State(after=tuple(starts)))

    def _sequence(self, after: int) -> int:
        """Pieces one after the other: read forwards, made from the last on."""
        pieces: list[tuple[int, int, int]] = []
        while self._peek() not in {"", "|", ")"}:
            begin = self._at
            self._skip_atom()
            pieces.append((begin, *self._quantifier()))
        end = self._at
        for begin, least, most in reversed(pieces):
            after = self._repeated(begin, least, most, after)
        self._at = end
        return after

    def _repeated(self, begin: int, least: int, most: int, after: int) -> int:
        """Copies of the atom that begins there, then `after`; `most` is -1 for no bound."""
        if most < 0:
            loop = self._state(_State())
            self.states[loop].after = (self._atom(begin, loop), after)
            after = loop
        for _ in range(max(most - least, 0)):
            after = self._state(_State(after=(self._atom(begin, after), after)))
        for _ in range(least):
            after = self._atom(begin, after)
        return after

    def _quantifier(self) -> tuple[int, int]:
        """(fewest, most) copies that the quantifier here asks for; it is passed over."""
        sign = self._peek()
        if sign in {"?", "*", "+"}:
            self._at += 1
            return {"?": (0, 1), "*": (0, -1), "+": (1, -1)}[sign]
        if sign != "{":
            return 1, 1
        close = self._pattern.index("}", self._at)
        least, comma, most = self._pattern[self._at + 1 : close].partition(",")
        self._at = close + 1
        return int(least), int(most) if most else -1 if comma else int(least)

    def _skip_atom(self) -> None:
        """Pass over the literal, escape, class, anchor or group that begins here."""
        sign = self._peek()
        if sign == "(":
            depth = 0
            while True:
                here = self._peek()
                depth += (here == "(") - (here == ")")
                if here == "[":
                    self._skip_class()
                else:
                    self._at += 2 if here == "\\" else 1
                if not depth:
                    return
        if sign == "[":
            self._skip_class()
        else:
            self._at += 2 if sign == "\\" else 1

    def _skip_class(self) -> None:
        self._at += 2 if self._pattern[self._at + 1] == "^" else 1
        while self._peek() != "]":
            self._at += 2 if self._peek() == "\\" else 1
        self._at += 1

    def _atom(self, begin: int, after: int) -> int:
        """One copy of the atom that begins there."""
        kept, self._at = self._at, begin
        sign = self._peek()
        if sign == "(":
            self._at += 3 if self._pattern.startswith("(?:", begin) else 1
            first = self._choice(after)
        elif sign in {"^", "$"}:
            first = self._state(_State(where=sign, after=(after,)))
        else:
            first = self._state(_State(test=self._test(begin), after=(after,)))
        self._at = kept
        return first

    def _test(self, begin: int) -> _Test:
        sign = self._pattern[begin]
        if sign == ".":
            return lambda _c: True
        if sign == "\\":
            return _escape(self._pattern[begin + 1])
        if sign == "[":
            self._at = begin
            self._skip_class()
            return _class(self._pattern[begin + 1 : self._at - 1])
        return lambda c: c == sign


def _escape(letter: str) -> _Test:
    kinds: dict[str, _Test] = {
        "d": lambda c: c.isascii() and c.isdigit(),
        "w": lambda c: c.isascii() and (c.isalnum() or c == "_"),
        "s": lambda c: c in " \t\n\r\f\v",
    }
    test = kinds.get(letter.lower())
    if test is None:
        return lambda c: c == letter
    return test if letter.islower() else lambda c: not test(c)


def _class(inside: str) -> _Test:
    negated = inside.startswith("^")
    at, tests = int(negated), list[_Test]()
    while at < len(inside):
        if inside[at] == "\\":
            tests.append(_escape(inside[at + 1]))
            at += 2
        elif at + 2 < len(inside) and inside[at + 1] == "-" and inside[at + 2] != "\\":
            tests.append(_range(inside[at], inside[at + 2]))
            at += 3
        else:
            tests.append(_range(inside[at], inside[at]))
            at += 1
    return lambda c: any(test(c) for test in tests) is not negated


def _range(low: str, high: str) -> _Test:
    return lambda c: low <= c <= high


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> tuple[tuple[_State, ...], int]:
    if not is_safe_pattern(pattern):
        raise UncheckableError("unsafe_pattern", "the expression is none that may be run")
    compiler = _Compiler(pattern)
    first = compiler.compile()
    return tuple(compiler.states), first


def states_of(pattern: str) -> int:
    """How many states an expression has: what running it costs, for each character.

    Raises:
        UncheckableError: as `matches_whole`.
    """
    return len(_compiled(pattern)[0])


def matches_whole(pattern: str, text: str) -> bool:
    """Whether a whole text is in the language of an expression.

    Args:
        pattern: as `is_safe_pattern` accepts it.
        text: longer ones than `MAX_TEXT_CHARACTERS` never match.

    Raises:
        UncheckableError: ``unsafe_pattern``; ``pattern_too_large``.
    """
    states, first = _compiled(pattern)
    if len(text) > MAX_TEXT_CHARACTERS:
        return False
    current = _reached(states, (first,), at_start=True, at_end=not text)
    for place, character in enumerate(text, 1):
        taken = {
            state.after[0] for state in (states[i] for i in current) if state.test and state.test(character)
        }
        current = _reached(states, taken, at_start=False, at_end=place == len(text))
        if not current:
            return False
    return 0 in current  # the end was made first


def _reached(states: tuple[_State, ...], begin: Iterable[int], *, at_start: bool, at_end: bool) -> set[int]:
    """All states that are reached without taking a character."""
    found: set[int] = set()
    open_ = list(begin)
    while open_:
        number = open_.pop()
        if number in found:
            continue
        found.add(number)
        state = states[number]
        held = not state.where or (at_start if state.where == "^" else at_end)
        if state.test is None and held:
            open_.extend(state.after)
    return found
