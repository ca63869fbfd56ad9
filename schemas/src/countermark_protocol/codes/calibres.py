"""From a calibre as a register writes it to its NCIC code, where that is beyond doubt.

One calibre is written in a hundred ways: ``.38 SPL``, ``.38 SPECIAL (9 X 29,5 MM)``, ``7,62``, ``Cal. 12``. All that
differs only in spelling becomes one canonical form; what a canonical form means stands in the table of aliases, and
nowhere else. A number without point or unit may be a gauge: where both exist, the kind of weapon decides, or nobody.

Source: codes/data/README.md; docs/normalisation.md; NIEM FirearmBoreSize (NCIC CAL).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from countermark_protocol.codes.look_alikes import to_latin
from countermark_protocol.codes.matching import (
    NOT_RECOGNISED,
    CodeMatch,
    NoCodeReason,
    folded,
    match_of,
    says_nothing,
)
from countermark_protocol.codes.tables import read_rows
from countermark_protocol.codes.weapons import WeaponCategory

#: One calibre under two codes: the table names it in the descriptions of both, so that both may be written.
_ONE_CALIBRE: Final = frozenset(
    {
        frozenset({"308", "762"}),
        frozenset({"223", "556"}),
        frozenset({"25", "635"}),
        frozenset({"380", "9"}),
    }
)
#: Neither letter before nor after: digits may touch a unit or a name.
_WORD = r"(?<![A-Z])(?:{})(?![A-Z])\.?"
_SPELLINGS: Final = tuple(
    (re.compile(_WORD.format(pattern)), canonical)
    for pattern, canonical in (
        (r"CALIBRES?|CALIBERS?|CALIBRO|CAL", ""),
        (r"MM|MILLIMET(?:ER|RE)S?|MILIMETROS?", "MM"),
        (r"GAUGES?|GAGE|GA", "GA"),
        (r"S ?& ?W|SMITH ?(?:&|AND|E|Y) ?WESSON|SW", "S&W"),
        (r"MAGNUM|MAG", "MAGNUM"),
        (r"SPECIAL|ESPECIAL|SPEC|SPL|SPC", "SPECIAL"),
        (r"LONG RIFLE|L ?\.? ?R", "LR"),
        (r"WINCHESTER|WIN", "WINCHESTER"),
        (r"REMINGTON|REM", "REMINGTON"),
        (r"PARABELLUM|PARA|LUGER", "LUGER"),
        (r"AUTOMATIC|AUTO|A\.?C\.?P", "ACP"),
        (r"KURZ|CURTO|CURTA|CORTO|CORTA|COURT|SHORT", "SHORT"),
        (r"NATO|OTAN", "NATO"),
    )
)
_DECIMAL_COMMA: Final = re.compile(r"(?:^|(?<=[0-9 ]))[,](?=[0-9])")
_TIMES: Final = re.compile(r"(?<=[0-9M]) ?[X\u00d7*] ?(?=[0-9])")
_METRIC: Final = re.compile(r"^([0-9.]+)(?:MM)?X([0-9.]+)(?:MM)?(R?)(?:MM)?(.*)$")
_LOOSE_HYPHEN: Final = re.compile(r"(?<![0-9])-|-(?![0-9])")
_SPREADSHEET: Final = re.compile(r"^0(\.[0-9]+)$")
_PARTS: Final = re.compile(r"[/();|+=]")
_REMARK: Final = "REMARK"


def canonical_calibre(text: str) -> str:
    """One spelling for all that differs only in spelling; for matching, never for keeping.

    >>> canonical_calibre(".38 Spl."), canonical_calibre("9 mm x 19"), canonical_calibre("Cal. 7,62")
    ('.38SPECIAL', '9X19', '7.62')
    """
    before, written = "", to_latin(folded(text))
    while written != before:
        # What one step takes away may be what hid a word from another.
        before, written = written, _levelled(written)
    return written


def _levelled(written: str) -> str:
    written = _TIMES.sub("X", _DECIMAL_COMMA.sub(".", written))
    for pattern, canonical in _SPELLINGS:
        written = pattern.sub(canonical, written)
    written = _LOOSE_HYPHEN.sub("", written).replace(" ", "").replace("_", "").rstrip(".")
    metric = _METRIC.match(written)
    return f"{metric[1]}X{metric[2]}{metric[3]}{metric[4]}" if metric else written


@cache
def _table() -> tuple[Mapping[tuple[str, str], CodeMatch], frozenset[str]]:
    """((canonical form, category or nothing) → what it means; remarks that mean no calibre)."""
    rows = read_rows("ncic_gun_calibre_aliases")
    return (
        MappingProxyType(
            {(row["written_as"], row["category"]): match_of(row) for row in rows if row["ground"] != _REMARK}
        ),
        frozenset(row["written_as"] for row in rows if row["ground"] == _REMARK),
    )


def match_calibre(text: str, *, category: WeaponCategory | None = None) -> CodeMatch:
    """Find the NCIC CAL code of a calibre as written in a register.

    Args:
        text: as written.
        category: of the weapon, where known: ``36`` on a shotgun is a gauge, on a revolver it may be either.
    """
    nothing = says_nothing(folded(text))
    if nothing is not None:
        return CodeMatch(None, nothing)
    whole = _match_one(text, category)
    if whole.reason is not NoCodeReason.NOT_RECOGNISED:
        return whole
    remarks = _table()[1]
    parts = [part for part in _PARTS.split(text) if part.strip() and canonical_calibre(part) not in remarks]
    if not parts or (len(parts) == 1 and canonical_calibre(parts[0]) == canonical_calibre(text)):
        return NOT_RECOGNISED
    return _agreed([_match_one(part, category) for part in parts])


def _match_one(text: str, category: WeaponCategory | None) -> CodeMatch:
    table = _table()[0]
    form = canonical_calibre(text)

    def known(name: str) -> CodeMatch | None:
        return table.get((name, category.value if category else "")) or table.get((name, ""))

    found = known(form)
    spreadsheet = _SPREADSHEET.match(form)
    if found is None and spreadsheet:
        # A spreadsheet makes 0.38 of .38 and of .380 alike.
        both = [known(spreadsheet[1] + zeros) for zeros in ("", "0", "00")]
        codes = tuple(dict.fromkeys(each.code for each in both if each is not None and each.code))
        if len(codes) == 1:
            found = CodeMatch(codes[0])
        elif codes:
            found = CodeMatch(None, NoCodeReason.AMBIGUOUS, "a spreadsheet has made a number of it", codes)
    return found or NOT_RECOGNISED


def _agreed(parts: list[CodeMatch]) -> CodeMatch:
    """What several parts of one text say together."""
    if any(part.reason is NoCodeReason.NOT_RECOGNISED for part in parts):
        return NOT_RECOGNISED
    if len(parts) == 1:
        return parts[0]
    coded = [part for part in parts if part.code is not None]
    if not coded:
        return CodeMatch(None, NoCodeReason.SEVERAL)
    first = coded[0]
    for part in parts:
        same = part.code == first.code or first.code in part.candidates
        if not same and frozenset({part.code, first.code}) not in _ONE_CALIBRE:
            return CodeMatch(None, NoCodeReason.SEVERAL)
    return first
