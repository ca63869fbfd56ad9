"""From a make or calibre as a register writes it to its NCIC code, where that is beyond doubt.

No guessing: a text matches if it *is* the table's name, or stands in the documented table of aliases. Every
other text stays what it is, without a code, and says why. The verbatim text is always kept beside the code.

Source: codes/data/README.md; domain rules in docs/spec/messages.md §7.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import MappingProxyType

from countermark_protocol.codes.tables import CodeListName, load_code_list, read_rows

#: How "we do not know" is written in every text that may be unknown.
UNKNOWN_TEXT = "UNKNOWN"

_SPACES = re.compile(r"\s+")
_FIRM = re.compile(r"[,.]?\s+(?:INC|LLC|CORP|CO|LTD)\.?$")


class NoCodeReason(StrEnum):
    """Why a text has no code."""

    UNKNOWN = "UNKNOWN"
    NOT_IN_LIST = "NOT_IN_LIST"
    AMBIGUOUS = "AMBIGUOUS"
    NOT_A_MAKE = "NOT_A_MAKE"


@dataclass(frozen=True, slots=True)
class CodeMatch:
    """What matching gave: a code, or the reason why there is none; never both.

    Attributes:
        code: of the list, or None.
        reason: why `code` is None.
        note: from the table of aliases: what is meant, or between which codes it stands.
    """

    code: str | None
    reason: NoCodeReason | None = None
    note: str = ""


def _folded(text: str) -> str:
    return _SPACES.sub(" ", unicodedata.normalize("NFKC", text)).strip().upper()


@cache
def _aliases(name: str) -> Mapping[str, CodeMatch]:
    return MappingProxyType(
        {
            row["written_as"]: CodeMatch(row["code"], None, row["note"])
            if row["code"]
            else CodeMatch(None, NoCodeReason(row["ground"]), row["note"])
            for row in read_rows(name)
        }
    )


@cache
def _make_names() -> Mapping[str, str]:
    """Whole descriptions of the make table, less the legal form, that belong to one code only."""
    found: dict[str, list[str]] = {}
    for code, description in load_code_list(CodeListName.NCIC_MAKE).entries.items():
        found.setdefault(_FIRM.sub("", _folded(description)), []).append(code)
    return MappingProxyType({name: codes[0] for name, codes in found.items() if len(codes) == 1})


def match_make(text: str) -> CodeMatch:
    """Find the NCIC MAK code of a make as written in a register."""
    written = _folded(text)
    if written in {"", UNKNOWN_TEXT}:
        return CodeMatch(None, NoCodeReason.UNKNOWN)
    alias = _aliases("ncic_gun_make_aliases").get(written)
    if alias is not None:
        return alias
    code = _make_names().get(_FIRM.sub("", written))
    return CodeMatch(code) if code else CodeMatch(None, NoCodeReason.NOT_IN_LIST)


def match_calibre(text: str) -> CodeMatch:
    """Find the NCIC CAL code of a calibre as written in a register."""
    written = _folded(text).replace(" ", "")
    if written in {"", UNKNOWN_TEXT}:
        return CodeMatch(None, NoCodeReason.UNKNOWN)
    return _aliases("ncic_gun_calibre_aliases").get(written, CodeMatch(None, NoCodeReason.NOT_IN_LIST))
