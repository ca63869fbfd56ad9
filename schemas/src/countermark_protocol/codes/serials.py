"""Serials: the three keys by which two of them are compared, kept apart.

A key is for finding, never for keeping: the serial as seen stands in the mark. That two keys are equal is a lead, and
no identification until the record's owner confirms it.

Source: domain page 5.0 (serial normal form); NCIC Gun File (O is converted to zero); docs/normalisation.md.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from countermark_protocol.codes.look_alikes import to_latin

#: What stands between characters of a serial and says nothing: spaces, points, dashes of all kinds, slashes.
_DROPPED: Final = re.compile(r"[\s./_\u2010-\u2015\u2212-]+")
_ZERO_AND_ONE: Final = str.maketrans("OI", "01")
_LEAST_CHARACTERS: Final = 4
_LEAST_DIGITS: Final = 2

#: What people type when there is no serial (domain page 4.2); compared without case, spaces and punctuation.
PLACEHOLDER_SERIALS: Final = frozenset(
    {
        *("SN", "NA", "NIL", "NONE", "NULL", "UNK", "UNKN", "UNKNOWN", "NOSERIAL", "NOSN", "NOSERIALNUMBER"),
        *("OBLITERATED", "DEFACED", "REMOVED", "ALTERED", "ILLEGIBLE", "NOTRECORDED", "TBD"),
        *(
            "INEXISTENTE",
            "SUPRIMIDO",
            "SUPRIMIDA",
            "RASPADO",
            "RASPADA",
            "ILEGIVEL",
            "SEMNUMERO",
            "NAOCONSTA",
        ),
        *("SANSNUMERO", "ILLISIBLE", "EFFACE", "SINNUMERO", "BORRADO", "ILEGIBLE"),
    }
)


class Agreement(StrEnum):
    """By which key two serials are equal, the strictest first."""

    PLAIN = "PLAIN"
    ZERO_AND_ONE = "ZERO_AND_ONE"
    LOOK_ALIKE = "LOOK_ALIKE"


@dataclass(frozen=True, slots=True)
class SerialKeys:
    """The keys of one serial.

    Attributes:
        plain: NFKC, capitals, without spaces, points, dashes and slashes.
        zero_and_one: the same with O as 0 and I as 1.
        look_alike: the plain key with Cyrillic and Greek capitals as the Latin ones that they look like.
    """

    plain: str
    zero_and_one: str
    look_alike: str

    @property
    def stands_alone(self) -> bool:
        """Whether it may be looked for by itself; a shorter one needs the make or calibre to agree."""
        digits = sum(c.isdecimal() for c in self.plain)
        return len(self.plain) >= _LEAST_CHARACTERS and digits >= _LEAST_DIGITS

    def agreement(self, other: SerialKeys) -> Agreement | None:
        """By which key two serials are equal; None if by none. Keys of different kinds are never compared."""
        if not self.plain or not other.plain:
            return None
        if self.plain == other.plain:
            return Agreement.PLAIN
        if self.zero_and_one == other.zero_and_one:
            return Agreement.ZERO_AND_ONE
        return Agreement.LOOK_ALIKE if self.look_alike == other.look_alike else None


def serial_keys(text: str) -> SerialKeys:
    """The keys of a serial as it stands on a weapon.

    >>> serial_keys("abc-01o5")
    SerialKeys(plain='ABC01O5', zero_and_one='ABC0105', look_alike='ABC01O5')
    """
    plain = _plain(text)
    return SerialKeys(plain, plain.translate(_ZERO_AND_ONE), to_latin(plain))


def _plain(text: str) -> str:
    before = ""
    while text != before:
        # Capitals of some letters are themselves not in normal form.
        before, text = text, _DROPPED.sub("", unicodedata.normalize("NFKC", text).upper())
    return text


def is_placeholder_serial(text: str) -> bool:
    """Whether a text in a serial's place only says that there is none: words, dashes, rows of zeros."""
    decomposed = unicodedata.normalize("NFKD", text).upper()
    core = re.sub(r"[^0-9A-Z]", "", decomposed)
    if not core:
        # A serial in another script has letters of its own; dashes and question marks are no serial.
        return not any(c.isalnum() for c in text)
    return core in PLACEHOLDER_SERIALS or (len(core) >= 3 and set(core) == {"0"})
