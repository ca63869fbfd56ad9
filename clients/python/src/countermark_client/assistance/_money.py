"""Sums in several currencies: kept apart, or converted by a table of rates that the user gives.

No rate is known here, none is derived by way of a third currency, and a conversion names the rate it used.

Source: docs/spec/assistance.md §4.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from countermark_protocol.encoding import malformed

_COLUMNS: Final = ("from", "to", "rate", "source")
_RATE = re.compile(r"(0|[1-9][0-9]{0,8})(\.[0-9]{1,12})?")
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class Rate:
    """What one unit of a currency is worth in another, by somebody's word.

    Attributes:
        source: currency converted from, ISO 4217.
        target: currency converted to, ISO 4217.
        value: units of `target` for one of `source`, more than 0.
        said_by: whose rate it is, and of which day, e.g. ``ECB 2026-01-05``.
    """

    source: str
    target: str
    value: Fraction
    said_by: str


class RateTable:
    """Rates by pair of currencies; a pair stands once, in one direction, and is used in both."""

    def __init__(self, rates: tuple[Rate, ...] = ()) -> None:
        """Index the rates.

        Raises:
            MalformedError: ``bad_rates``: a rate is not more than 0, of a currency to itself, or a pair stands twice.
        """
        self._rates: dict[tuple[str, str], Rate] = {}
        for rate in rates:
            if rate.value <= 0 or rate.source == rate.target:
                malformed(
                    "bad_rates",
                    f"{rate.source} to {rate.target}: a rate is more than 0, between two currencies",
                )
            pair = (rate.source, rate.target)
            if pair in self._rates or pair[::-1] in self._rates:
                malformed(
                    "bad_rates", f"{rate.source} and {rate.target} stand twice: give one rate for a pair"
                )
            self._rates[pair] = rate

    def find(self, source: str, target: str) -> tuple[Fraction, str] | None:
        """Units of `target` for one of `source`, and the words for it; None if the table has no such pair."""
        if source == target:
            return Fraction(1), ""
        rate = self._rates.get((source, target))
        if rate is not None:
            return rate.value, f"at {_decimal(rate.value)} {target} for 1 {source} ({rate.said_by})"
        rate = self._rates.get((target, source))
        if rate is not None:
            return 1 / rate.value, f"at {_decimal(rate.value)} {source} for 1 {target} ({rate.said_by})"
        return None


def _decimal(value: Fraction) -> str:
    return f"{value.numerator / value.denominator:.12g}"


def read_rates(text: str) -> RateTable:
    """Read a table of rates: CSV with the columns ``from``, ``to``, ``rate``, ``source``.

    Raises:
        MalformedError: ``bad_rates``; facts: ``line``.
    """
    reader = csv.DictReader(text.splitlines())
    if tuple(reader.fieldnames or ()) != _COLUMNS:
        malformed("bad_rates", f"a table of rates has the columns {', '.join(_COLUMNS)}", line=1)
    return RateTable(tuple(_read(row, line) for line, row in enumerate(reader, 2)))


def _read(row: Mapping[str, str | None], line: int) -> Rate:
    if None in row or None in row.values():
        malformed("bad_rates", f"line {line}: expected {len(_COLUMNS)} cells", line=line)
    cells = {name: (row[name] or "").strip() for name in _COLUMNS}
    for name in ("from", "to"):
        if not _CURRENCY.fullmatch(cells[name]):
            malformed("bad_rates", f"line {line}: {name} is a currency, three capitals (ISO 4217)", line=line)
    if not _RATE.fullmatch(cells["rate"]) or not cells["source"]:
        malformed(
            "bad_rates", f"line {line}: rate is a decimal number, source says whose rate it is", line=line
        )
    return Rate(cells["from"], cells["to"], Fraction(cells["rate"]), cells["source"])
