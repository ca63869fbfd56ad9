"""What people type where a serial is asked for, read apart: marks with their parts, or why there is none.

Registers hold placeholders, remarks where the serial stands (``(armacao)``), two serials of swapped parts, question
marks for what cannot be read, and the Turkish code of maker and year before the serial. None of it is dropped: what
is no mark is a remark, and the text as typed is kept.

Source: domain page 4.2 (real registers) and 5.0; ITI 7-10; docs/normalisation.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from countermark_protocol.codes.matching import PLACEHOLDERS, UNKNOWN_TEXT, folded
from countermark_protocol.codes.serials import is_placeholder_serial
from countermark_protocol.codes.weapons import Component, MarkKind, MarkStatus, WeaponCategory

_COMPONENT_WORDS: Final[tuple[tuple[str, Component], ...]] = (
    (r"ARMACAO|FRAME|CARCASA|CARCASSE|ARMAZON|CHASSI[SZ]?", Component.FRAME),
    (r"RECEIVER|CAIXA D[AE] (?:CULATRA|MECANISMOS?)|CAJON(?: DE MECANISMOS)?|BOITIER", Component.RECEIVER),
    (r"SLIDE|CORREDERA|GLISSIERE", Component.SLIDE),
    (r"CANO|BARREL|CANON|CANOS", Component.BARREL),
    (r"BOLT|CERROJO|CULASSE MOBILE", Component.BOLT),
    (r"CULATRA|BREECH|RECAMARA", Component.BREECH),
    (r"TAMBOR|CYLINDER|BARILLET", Component.CYLINDER),
    (r"CORONHA|STOCK|CULATA|CROSSE", Component.STOCK),
    (r"EMPUNHADURA|PUNHO|CABO|GRIP|EMPUNADURA|POIGNEE", Component.GRIP),
    (r"CARREGADOR|MAGAZINE|CARGADOR|CHARGEUR", Component.MAGAZINE),
)
#: A slide on a pistol, a bolt on everything else.
_FERROLHO: Final = re.compile(r"\bFERROLHO\b")
#: Words that say that the mark was taken off, and not only that nobody wrote it down.
_REMOVED: Final = re.compile(
    r"\b(?:OBLITERAT\w*|DEFACED|REMOVED|ALTERED|SUPRIMID[OA]S?|RASPAD[OA]S?|BORRADO|LIMADO|EFFACEE?)\b"
)
_REMARK: Final = re.compile(r"\(([^()]*)\)")
_BARE_REMARK: Final = re.compile(r"(?<=[0-9A-Z])\s+((?:NA|NO|ON|SUR|EN)\s+\D+)$", re.IGNORECASE)
_TURKISH_CODE: Final = re.compile(r"^(T[- ]?[0-9]{4}-?[0-9]{2})(?:\s+(.*))?$", re.IGNORECASE)
_BETWEEN: Final = re.compile(r"\s+/\s+|\s*;\s*|\s+(?:E|AND|ET|Y)\s+", re.IGNORECASE)
_WILDCARDS: Final = re.compile(r"[?*]")
_STANDS_FOR: Final = re.compile(r"\b([A-Z])\s+(?:REPRESENT\w*|STANDS FOR|=)\s")
_WORDS: Final = re.compile(r"[^\W\d_]{3,}")
_MOST_WORDS: Final = 2


class NoSerialReason(StrEnum):
    """Why a text in the serial's place gave no serial."""

    UNKNOWN = "UNKNOWN"
    PLACEHOLDER = "PLACEHOLDER"
    REMOVED = "REMOVED"
    FREE_TEXT = "FREE_TEXT"
    MAKER_CODE_ONLY = "MAKER_CODE_ONLY"


@dataclass(frozen=True, slots=True)
class ReadMark:
    """One mark that the text tells of.

    Attributes:
        kind: SERIAL, or MANUFACTURER for a Turkish maker code.
        component: that bears it, as far as the text says.
        status: LEGIBLE, PARTIAL or OBLITERATED.
        text: as typed, without the remark; None if it cannot be read in full.
        pattern: what of it can be read, ``?`` for each character that cannot.
        position: the remark, as typed; None if there is none.
    """

    kind: MarkKind
    component: Component
    status: MarkStatus
    text: str | None = None
    pattern: str | None = None
    position: str | None = None


@dataclass(frozen=True, slots=True)
class SerialText:
    """What a text in the serial's place says.

    Attributes:
        typed: the text, as typed.
        marks: in its order; empty if it tells of none.
        reason: why no serial is among them; None if one is.
    """

    typed: str
    marks: tuple[ReadMark, ...]
    reason: NoSerialReason | None


def read_serial(typed: str, *, category: WeaponCategory | None = None) -> SerialText:
    """Read a text that a register has in the serial's place.

    Args:
        typed: as the register has it.
        category: of the weapon, where known: it decides what a word for slide and bolt means.
    """
    text = typed.strip()
    written = folded(text)
    if written in {"", UNKNOWN_TEXT}:
        return SerialText(typed, (), NoSerialReason.UNKNOWN)
    if _REMOVED.search(written) and not any(c.isdecimal() for c in written):
        mark = ReadMark(MarkKind.SERIAL, _component(written, category), MarkStatus.OBLITERATED)
        return SerialText(typed, (mark,), NoSerialReason.REMOVED)
    if written in PLACEHOLDERS or is_placeholder_serial(_REMARK.sub("", text).strip() or text):
        return SerialText(typed, (), NoSerialReason.PLACEHOLDER)
    marks: list[ReadMark] = []
    for part, remark in _parts(text):
        marks += _read_part(part, remark, written, category)
    if not marks:
        return SerialText(typed, (), NoSerialReason.FREE_TEXT)
    serial = any(mark.kind is MarkKind.SERIAL for mark in marks)
    return SerialText(typed, tuple(marks), None if serial else NoSerialReason.MAKER_CODE_ONLY)


def _parts(text: str) -> list[tuple[str, str | None]]:
    """(text, remark) of each serial in a text."""
    found: list[tuple[str, str | None]] = []
    at = 0
    for match in _REMARK.finditer(text):
        found.append((text[at : match.start()], match[1].strip() or None))
        at = match.end()
    if text[at:].strip():
        found.append((text[at:], None))
    out: list[tuple[str, str | None]] = []
    for part, remark in found:
        pieces = [piece.strip(" ,;/") for piece in _BETWEEN.split(part)]
        pieces = [piece for piece in pieces if piece and folded(piece) not in {"E", "AND", "ET", "Y"}]
        if len(pieces) > 1 and not all(_looks_like_one(piece) for piece in pieces):
            pieces = [part.strip(" ,;/")]
        if not pieces and out and remark is not None and out[-1][1] is None:
            out[-1] = (out[-1][0], remark)
        out += [(piece, None) for piece in pieces[:-1]]
        out += [(piece, remark) for piece in pieces[-1:]]
    return [_with_bare_remark(part, remark) for part, remark in out]


def _with_bare_remark(part: str, remark: str | None) -> tuple[str, str | None]:
    bare = _BARE_REMARK.search(part) if remark is None else None
    return (part[: bare.start()].strip(), bare[1].strip()) if bare else (part, remark)


def _looks_like_one(piece: str) -> bool:
    bare = _REMARK.sub("", piece)
    return len(bare) >= 3 and sum(c.isdecimal() for c in bare) >= 2


def _read_part(
    part: str, remark: str | None, written: str, category: WeaponCategory | None
) -> list[ReadMark]:
    if len(_WORDS.findall(part)) > _MOST_WORDS or not any(c.isalnum() for c in part):
        return []
    said = folded(remark or "")
    components = _components(said, category) or [Component.UNKNOWN]
    turkish = _TURKISH_CODE.match(part)
    out: list[ReadMark] = []
    if turkish:
        out.append(
            ReadMark(MarkKind.MANUFACTURER, components[0], MarkStatus.LEGIBLE, turkish[1], None, remark)
        )
        part = (turkish[2] or "").strip()
        if not part:
            return out
    stands_for = _STANDS_FOR.search(written)
    if stands_for:
        part = re.sub(stands_for[1], "?", part, flags=re.IGNORECASE)
    if is_placeholder_serial(part):
        return out
    if _WILDCARDS.search(part):
        pattern = re.sub(r"\s+", "", part.replace("*", "?"))
        return [*out, *(_mark(c, MarkStatus.PARTIAL, None, pattern, remark) for c in components)]
    return [*out, *(_mark(c, MarkStatus.LEGIBLE, part, None, remark) for c in components)]


def _mark(
    component: Component, status: MarkStatus, text: str | None, pattern: str | None, position: str | None
) -> ReadMark:
    return ReadMark(MarkKind.SERIAL, component, status, text, pattern, position)


def _component(said: str, category: WeaponCategory | None) -> Component:
    return next(iter(_components(said, category)), Component.UNKNOWN)


def _components(said: str, category: WeaponCategory | None) -> list[Component]:
    """Parts that a remark names, in its order."""
    found = [
        (match.start(), component)
        for words, component in _COMPONENT_WORDS
        for match in re.finditer(rf"\b(?:{words})\b", said)
    ]
    ferrolho = _FERROLHO.search(said)
    if ferrolho and category is not None:
        slide = category is WeaponCategory.PISTOL
        found.append((ferrolho.start(), Component.SLIDE if slide else Component.BOLT))
    elif ferrolho:
        found.append((ferrolho.start(), Component.OTHER))
    return list(dict.fromkeys(component for _, component in sorted(found)))
