"""`countermark codes`: the code lists of messages, with their editions and what each code means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from countermark_client.cli.common import FILE
from countermark_client.cli.output import Result, command, table
from countermark_client.importing.mapping import parse_mapping_file
from countermark_client.importing.measuring import CODED, count_cells, measure
from countermark_client.importing.tables import open_table
from countermark_client.places import EDITION, load_places
from countermark_protocol.codes.labels import (
    LANGUAGES,
    ListedCode,
    facts_of,
    find_codes,
    list_names,
    show_list,
)
from countermark_protocol.errors import NotFoundError

#: UN/LOCODE, which is not a file of the protocol: too large for that, and only people look into it.
_PLACES: Final = "unlocode"
_MOST_FOUND: Final = 40

_language: Final[Callable[[Any], Any]] = click.option(
    "--language",
    type=click.Choice(LANGUAGES),
    default=LANGUAGES[0],
    show_default=True,
    help="Of the labels, where the list has it; else English.",
)


@click.group("codes")
def codes() -> None:
    """Look up code lists: countries, places, makes, calibres, types, marks, grounds and all others."""


def _json(found: ListedCode) -> dict[str, str]:
    return {
        "list": found.list_name,
        "code": found.code,
        "label": found.label.text,
        "language": found.label.language,
    }


@codes.command("list")
@command
def list_() -> Result:
    """List the code lists, with their editions and languages.

    Example:
      countermark codes list
    """
    facts = [facts_of(name) for name in list_names()]
    rows: list[tuple[str, str, int, str]] = [
        (f.name, f.edition, f.size, " ".join(f.languages)) for f in facts
    ]
    rows.insert(1, (_PLACES, EDITION, len(load_places()), "en"))
    return Result(
        [table(("LIST", "EDITION", "CODES", "LANGUAGES"), rows)],
        lists=[{"list": n, "edition": e, "codes": s, "languages": ls.split()} for n, e, s, ls in rows],
    )


@codes.command("show")
@click.argument("name", metavar="LIST")
@_language
@command
def show(name: str, language: str) -> Result:
    """Show every code of LIST; of places, `find` them.

    Examples:
      countermark codes show WEAPON_CATEGORY --language es
      countermark codes show iso3166_countries --language ar
    """
    if name == _PLACES:
        raise click.UsageError(f"{_PLACES} has 82,276 places: look one up with `countermark codes find`")
    facts, entries = facts_of(name), show_list(name, language)
    missing = sum(each.label.language != language for each in entries)
    lines: list[Any] = [
        table(("CODE", "MEANING"), [(each.code, each.label.text) for each in entries]),
        f"{facts.name}, {facts.edition}: {facts.size} codes",
    ]
    if missing:
        lines.append(f"{missing} of them have no label in '{language}': shown in English")
    return Result(lines, list=facts.name, edition=facts.edition, entries=[_json(each) for each in entries])


@codes.command("find")
@click.argument("text")
@click.option("--list", "name", metavar="LIST", help="Look in this list only; unlocode for places.")
@click.option("--country", metavar="CODE", help="Of a place: ISO 3166-1 alpha-2.")
@_language
@command
def find(text: str, name: str | None, country: str | None, language: str) -> Result:
    """Find codes by TEXT: a code, or part of what one means, in any of the languages.

    Examples:
      countermark codes find escopeta
      countermark codes find hamburg --list unlocode
      countermark codes find "Porto Alegre" --country BR
    """
    if not any(c.isalnum() for c in text):
        raise click.UsageError("expected at least one letter or digit")
    found: list[ListedCode] = []
    if name != _PLACES and country is None:
        found = list(find_codes(text, names=(name,) if name else None, language=language))
    rows = [(each.list_name, each.code, each.label.text) for each in found]
    entries = [_json(each) for each in found]
    if name in {None, _PLACES}:
        for code, label in _places(text, country):
            rows.append((_PLACES, code, label))
            entries.append({"list": _PLACES, "code": code, "label": label, "language": "en"})
    if not rows:
        raise NotFoundError("no_such_code", f"no list has a code or meaning like {text[:60]!r}")
    shown: list[Any] = [table(("LIST", "CODE", "MEANING"), rows[:_MOST_FOUND])]
    if len(rows) > _MOST_FOUND:
        shown.append(f"(and {len(rows) - _MOST_FOUND} more: say more of it, or --list)")
    return Result(shown, found=entries)


@codes.command("measure")
@click.argument("file", type=FILE)
@click.option("--mapping", "mapping_file", type=FILE, required=True, help="See docs/spec/mapping.md.")
@click.option("--sheet", help="Of a workbook; its first if not said.")
@click.option("--unknown", "show_unknown", is_flag=True, help="List every text without a code, and why.")
@command
def measure_(file: Path, mapping_file: Path, sheet: str | None, show_unknown: bool) -> Result:
    """Measure how many cells of a table have codes, and why the others have none.

    Example:
      countermark codes measure register.csv --mapping register.toml --unknown
    """
    mapping = parse_mapping_file(mapping_file.read_bytes())
    with open_table(file, sheet) as (_, rows):
        cells = list(measure(mapping, rows))
    counted = count_cells(cells)
    lines: list[Any] = [
        table(
            ("COLUMN", "READ AS", "CODED", "RATE", "STRICT", "WITHOUT A CODE"),
            [
                (
                    column,
                    reading.value,
                    found.counts[CODED],
                    _percent(found.rate),
                    _percent(found.strict_rate),
                    ", ".join(f"{n} {r}" for r, n in found.counts.most_common() if r != CODED),
                )
                for (column, reading), found in counted.items()
            ],
        ),
        "RATE leaves out cells for which no code is meant; STRICT counts ambiguous ones against it",
    ]
    unknown = Counter((c.column, c.cell, c.category, str(c.reason)) for c in cells if c.reason is not None)
    if show_unknown:
        lines.append(
            table(
                ("CELLS", "COLUMN", "TEXT", "CATEGORY", "REASON"),
                [(n, *each) for each, n in unknown.most_common()],
            )
        )
    return Result(
        lines,
        columns=[
            {
                "column": column,
                "as": reading.value,
                "counts": dict(found.counts),
                "rate": found.rate,
                "strict_rate": found.strict_rate,
            }
            for (column, reading), found in counted.items()
        ],
        unknown=[
            {"cells": n, "column": column, "text": cell, "category": category, "reason": reason}
            for (column, cell, category, reason), n in unknown.most_common()
        ],
    )


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.1f} %"


def _places(text: str, country: str | None) -> list[tuple[str, str]]:
    places = load_places()
    exact = places.find(text)
    wanted = country.upper() if country else None
    found = [exact] if exact is not None else []
    found += [p for p in places.search(text, country=wanted, limit=_MOST_FOUND) if p != exact]
    return [(p.code, f"{p.name}, {p.subdivision}" if p.subdivision else p.name) for p in found]
