"""In which countries a maker makes, as far as the make table itself says so.

Some descriptions of NCIC's table of makes end with a country ("ARMI E & F, ITALY"). Most do not, and a firm in the
United States may only import; so the table is a ground for a warning and never for a refusal. Make does not give the
country of manufacture: this only asks whether the two go together.

Source: NIEM 5.1 (NCIC MAK); domain page 6.4, rule 3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from countermark_protocol.codes.tables import CodeListName, load_code_list

#: Other names that the table uses. Georgia is left out of all: there it is the State of the Union.
_OTHER_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ENGLAND": "GB",
        "SCOTLAND": "GB",
        "WEST GERMANY": "DE",
        "EAST GERMANY": "DD",
        "YUGOSLAVIA": "YU",
        "CZECHOSLOVAKIA": "CS",
        "USSR": "SU",
        "USA": "US",
        "CZECH REPUBLIC": "CZ",
        "TURKEY": "TR",
    }
)
_AMBIGUOUS: Final = frozenset({"GEORGIA", "JERSEY", "JORDAN", "CHAD", "GUERNSEY"})


@cache
def _names() -> Mapping[str, str]:
    listed = {name.upper(): code for code, name in load_code_list(CodeListName.COUNTRY).entries.items()}
    return {name: code for name, code in {**listed, **_OTHER_NAMES}.items() if name not in _AMBIGUOUS}


@cache
def _any_name() -> re.Pattern[str]:
    longest_first = sorted(map(re.escape, _names()), key=len, reverse=True)
    return re.compile(rf"\b({'|'.join(longest_first)})\b")


@cache
def maker_countries(code: str) -> frozenset[str]:
    """Countries that the description of an NCIC make names, if it ends with one; empty if it says nothing.

    Returns:
        ISO 3166-1 alpha-2 codes, and those of former States.
    """
    description = load_code_list(CodeListName.NCIC_MAKE).entries.get(code, "").upper().rstrip(" .)")
    if "IMPORT" in description or "COUNTRY CODE" in description or "CODE BY COUNTRY" in description:
        return frozenset()
    found = list(_any_name().finditer(description))
    if not found or found[-1].end() != len(description):
        return frozenset()
    return frozenset(_names()[each[0]] for each in found)
