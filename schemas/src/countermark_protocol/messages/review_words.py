"""Words of a classification in free text: what says SECRET should not travel as RESTRICTED.

Only words in capitals are marks of a classification; a "secret compartment" is none. Whether one is meant, a person
decides: such a message is held until a second one has read it.

Source: domain page 3.2 (equivalence) and 6.4, rule 12.
"""

import re
from collections.abc import Iterator
from typing import Final

from countermark_protocol.handling import Classification
from countermark_protocol.messages.base import Block

_R, _C, _S = Classification.RESTRICTED, Classification.CONFIDENTIAL, Classification.SECRET
#: Marks by the level at least that they stand for; longer ones first, so that each word counts once.
_MARKS: Final[tuple[tuple[str, Classification], ...]] = (
    ("TOP SECRET", _S),
    ("COSMIC TOP SECRET", _S),
    ("TRES SECRET UE", _S),
    ("TRÈS SECRET", _S),
    ("NATO SECRET", _S),
    ("SECRET UE", _S),
    ("EU SECRET", _S),
    ("STRICTLY CONFIDENTIAL", _S),
    ("STRENG GEHEIM", _S),
    ("GEHEIM", _S),
    ("SECRETO", _S),
    ("SECRET", _S),
    ("NATO CONFIDENTIAL", _C),
    ("CONFIDENTIEL UE", _C),
    ("EU CONFIDENTIAL", _C),
    ("VS-VERTRAULICH", _C),
    ("CONFIDENTIEL", _C),
    ("CONFIDENTIAL", _C),
    ("RESTREINT UE", _R),
    ("EU RESTRICTED", _R),
    ("NATO RESTRICTED", _R),
    ("DIFFUSION RESTREINTE", _R),
    ("VS-NUR FÜR DEN DIENSTGEBRAUCH", _R),
    ("VS-NfD", _R),
    ("RESERVADO", _R),
    ("RESTRICTED", _R),
)
_ANY: Final = re.compile(
    r"(?<!\w)(" + "|".join(re.escape(m) for m, _ in sorted(_MARKS, key=lambda m: -len(m[0]))) + r")(?!\w)"
)
_LEVELS: Final = dict(_MARKS)


def marked_above(block: Block, level: Classification, at: str = "") -> Iterator[str]:
    """Yield pointers to the texts below `block` that bear the mark of a higher classification than `level`."""
    for name, value in block:
        info = type(block).model_fields[name]
        yield from _look(value, level, f"{at}/{info.alias or name}")


def _look(value: object, level: Classification, at: str) -> Iterator[str]:
    # A code is a text, too, of a class of its own: its words are not the sender's.
    if type(value) is str:
        if any(_LEVELS[found[0]].level > level.level for found in _ANY.finditer(value)):
            yield at
    elif isinstance(value, Block):
        yield from marked_above(value, level, at)
    elif isinstance(value, tuple):
        for i, each in enumerate(value):
            yield from _look(each, level, f"{at}/{i}")
