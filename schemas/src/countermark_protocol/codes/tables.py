"""The code lists of others, read from the data files that ship inside this package.

The files are part of the package as its code is: reading one is no more input than importing a module. Each
list is read once and is immutable.

Source: codes/data/README.md (origin, edition and licence of every file).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final


class CodeListName(StrEnum):
    """Lists that ship with this package."""

    COUNTRY = "iso3166_countries"
    FORMER_STATE = "former_states"
    NCIC_MAKE = "ncic_gun_make"
    NCIC_CALIBRE = "ncic_gun_calibre"
    NCIC_TYPE = "ncic_gun_type1"
    NCIC_ACTION = "ncic_gun_type2_action"
    NCIC_TYPE_COMBINED = "ncic_gun_type_combined"
    NCIC_FINISH = "ncic_colour_finish"
    HS_CHAPTER_93 = "hs_chapter_93_arms"
    TRANSPORT_MODE = "unece_rec19_transport_mode"
    NCIC_COUNTRY = "ncic_country"
    PLACE_FUNCTION = "unlocode_function-classifiers"
    PLACE_STATUS = "unlocode_status-indicators"
    EU_CATEGORY = "eu_2021_555_categories"
    TLP = "tlp_2_0"
    SIENA_HANDLING = "siena_handling"


#: Of each list: the column of its code, the column of its description, and its edition.
_SHAPES: Final[Mapping[CodeListName, tuple[str, str, str]]] = {
    CodeListName.COUNTRY: ("ISO3166-1-Alpha-2", "CLDR display name", "ISO 3166-1:2020"),
    CodeListName.FORMER_STATE: ("code", "name", "countermark 1"),
    CodeListName.NCIC_MAKE: ("code", "description", "NIEM 5.1"),
    CodeListName.NCIC_CALIBRE: ("code", "description", "NIEM 5.1"),
    CodeListName.NCIC_TYPE: ("code", "description", "NIEM 5.1"),
    CodeListName.NCIC_ACTION: ("code", "description", "NIEM 5.1"),
    CodeListName.NCIC_TYPE_COMBINED: ("code", "description", "NIEM 5.1"),
    CodeListName.NCIC_FINISH: ("code", "description", "NIEM 5.1"),
    CodeListName.HS_CHAPTER_93: ("hscode", "description", "HS 2012 and later"),
    CodeListName.TRANSPORT_MODE: ("code", "name", "Rec 19"),
    CodeListName.NCIC_COUNTRY: ("code", "description", "NIEM 5.1"),
    CodeListName.PLACE_FUNCTION: ("FunctionCode", "FunctionDescription", "UN/LOCODE, Rec 16"),
    CodeListName.PLACE_STATUS: ("STStatus", "STDescription", "UN/LOCODE, Rec 16"),
    CodeListName.EU_CATEGORY: ("code", "description", "Directive (EU) 2021/555 Annex I"),
    CodeListName.TLP: ("code", "description", "TLP 2.0"),
    CodeListName.SIENA_HANDLING: ("code", "description", "EU Manual 6261/18"),
}


@dataclass(frozen=True, slots=True)
class CodeList:
    """One code list.

    Attributes:
        name: which one.
        edition: of its owner.
        entries: code to description, in the order of the file; read-only.
    """

    name: CodeListName
    edition: str
    entries: Mapping[str, str]

    def __contains__(self, code: object) -> bool:
        return code in self.entries


def read_rows(name: str) -> tuple[Mapping[str, str], ...]:
    """Rows of the data file ``<name>.csv`` of this package, by column name."""
    text = resources.files("countermark_protocol.codes").joinpath("data", f"{name}.csv").read_text("utf-8")
    return tuple(csv.DictReader(text.splitlines()))


@cache
def load_code_list(name: CodeListName) -> CodeList:
    """Read a code list that ships with this package (once; later calls return the same object)."""
    code, description, edition = _SHAPES[name]
    entries = {row[code]: row[description] for row in read_rows(name.value)}
    return CodeList(name, edition, MappingProxyType(entries))
