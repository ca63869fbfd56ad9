"""From a make as a register writes it to its NCIC code, where that is beyond doubt; and what all matching shares.

No guessing: a text matches if it *is* the table's name, or stands in the documented table of aliases. Every other
text stays what it is, without a code, and says why. The verbatim text is always kept beside the code.

Calibres are matched in `countermark_protocol.codes.calibres`, serials read in `countermark_protocol.codes.serials`.

Source: codes/data/README.md; docs/normalisation.md; domain rules in docs/spec/messages.md §7.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Final

from countermark_protocol.codes.tables import CodeListName, load_code_list, read_rows

#: How "we do not know" is written in every text that may be unknown.
UNKNOWN_TEXT: Final = "UNKNOWN"

_SPACES: Final = re.compile(r"\s+")
_FIRM: Final = re.compile(r"[,.]?\s+(?:INC|LLC|CORP|CO|LTD)\.?$")
#: What registers write where nobody knew, in the languages seen; compared as `folded` gives it.
PLACEHOLDERS: Final = frozenset(
    {
        *("N/A", "NA", "N.A.", "NIL", "NONE", "NULL", "UNK", "UNKN", "NOT KNOWN", "NOT RECORDED", "TBD"),
        *("NAO IDENTIFICADO", "NAO IDENTIFICADA", "NAO INFORMADO", "NAO INFORMADA", "NAO CONSTA"),
        *("IGNORADO", "IGNORADA", "DESCONHECIDO", "DESCONHECIDA", "INDETERMINADO", "INDETERMINADA"),
        *("SEM MARCA", "SIN MARCA", "DESCONOCIDO", "DESCONOCIDA", "NO IDENTIFICADO", "NO IDENTIFICADA"),
        *("INCONNU", "INCONNUE", "NON IDENTIFIE", "NON IDENTIFIEE", "SANS MARQUE"),
    }
)


class NoCodeReason(StrEnum):
    """Why a text has no code.

    Somebody has looked at all of them but the last: a text that nobody knows is counted against the matching.
    """

    UNKNOWN = "UNKNOWN"
    PLACEHOLDER = "PLACEHOLDER"
    NOT_IN_LIST = "NOT_IN_LIST"
    AMBIGUOUS = "AMBIGUOUS"
    SEVERAL = "SEVERAL"
    NOT_A_MAKE = "NOT_A_MAKE"
    PARTIAL = "PARTIAL"
    FREE_TEXT = "FREE_TEXT"
    NOT_RECOGNISED = "NOT_RECOGNISED"


#: What each reason means, for people.
REASONS: Final[Mapping[NoCodeReason, str]] = MappingProxyType(
    {
        NoCodeReason.UNKNOWN: "nothing is written, or UNKNOWN",
        NoCodeReason.PLACEHOLDER: "what is written only says that nobody knows",
        NoCodeReason.NOT_IN_LIST: "the list has no code for it",
        NoCodeReason.AMBIGUOUS: "more than one code of the list can be meant",
        NoCodeReason.SEVERAL: "it names more than one thing",
        NoCodeReason.NOT_A_MAKE: "a model, calibre or place in the make's column",
        NoCodeReason.PARTIAL: "initials, or part of a name",
        NoCodeReason.FREE_TEXT: "words that name no entry of any list",
        NoCodeReason.NOT_RECOGNISED: "neither the list nor its aliases know it",
    }
)


@dataclass(frozen=True, slots=True)
class CodeMatch:
    """What matching gave: a code, or the reason why there is none; never both.

    Attributes:
        code: of the list, or None.
        reason: why `code` is None.
        note: from the table of aliases: what is meant.
        candidates: codes between which an ambiguous text stands.
    """

    code: str | None
    reason: NoCodeReason | None = None
    note: str = ""
    candidates: tuple[str, ...] = ()


NOT_RECOGNISED: Final = CodeMatch(None, NoCodeReason.NOT_RECOGNISED)


def folded(text: str) -> str:
    """A text as tables of aliases write it: NFKC, capitals without accents, single spaces."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).upper())
    plain = "".join(c for c in decomposed if not unicodedata.combining(c)).upper()
    return _SPACES.sub(" ", unicodedata.normalize("NFC", plain)).strip()


def says_nothing(written: str) -> NoCodeReason | None:
    """Whether a folded text is no value at all, and why; None if it may be one."""
    if written in {"", UNKNOWN_TEXT}:
        return NoCodeReason.UNKNOWN
    if written in PLACEHOLDERS or not any(c.isalnum() for c in written):
        return NoCodeReason.PLACEHOLDER
    return None


def match_of(row: Mapping[str, str]) -> CodeMatch:
    """What a row of a table of aliases says."""
    if row["code"]:
        return CodeMatch(row["code"], None, row["note"])
    return CodeMatch(None, NoCodeReason(row["ground"]), row["note"], tuple(row["candidates"].split()))


@cache
def _aliases() -> Mapping[tuple[str, str], CodeMatch]:
    """(as written, country of manufacture or nothing) → what it means."""
    return MappingProxyType(
        {(row["written_as"], row["made_in"]): match_of(row) for row in read_rows("ncic_gun_make_aliases")}
    )


@cache
def _make_names() -> Mapping[str, str]:
    """Whole descriptions of the make table, less the legal form, that belong to one code only."""
    found: dict[str, list[str]] = {}
    for code, description in load_code_list(CodeListName.NCIC_MAKE).entries.items():
        found.setdefault(_FIRM.sub("", folded(description)), []).append(code)
    return MappingProxyType({name: codes[0] for name, codes in found.items() if len(codes) == 1})


def match_make(text: str, *, made_in: str | None = None) -> CodeMatch:
    """Find the NCIC MAK code of a make as written in a register.

    Args:
        text: as written.
        made_in: ISO 3166-1 alpha-2 of the country of manufacture, where the register has it: NCIC gives some makers
            one code a country.
    """
    written = folded(text)
    nothing = says_nothing(written)
    if nothing is not None:
        return CodeMatch(None, nothing)
    name = _FIRM.sub("", written)
    for key in ((written, made_in or ""), (name, made_in or ""), (written, "")):
        if key in _aliases():
            return _aliases()[key]
    code = _make_names().get(name)
    return CodeMatch(code) if code is not None else NOT_RECOGNISED
