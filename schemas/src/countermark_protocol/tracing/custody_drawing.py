"""A chain of custody drawn: as text, as SVG, and as a Mermaid diagram for documents.

What others wrote is escaped for each: a name of a firm must not become markup of a file that people open.

Source: docs/spec/tracing.md §6; SVG 1.1; XML 1.0; the Mermaid flowchart syntax (entity codes).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Final
from xml.sax.saxutils import escape

from countermark_protocol.tracing.custody import FLAWS, Custody, CustodyStep, actor_text

_WIDTH: Final = 640
_BOX: Final = 84
_GAP: Final = 30
_LINE: Final = 18
_MOST_CHARACTERS: Final = 78


def _clean(text: str) -> str:
    """Without characters that steer a terminal or hide themselves."""
    return "".join(" " if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else c for c in text)


def _short(text: str) -> str:
    text = _clean(text)
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"


def _heading(step: CustodyStep) -> str:
    return f"{step.date or 'no date'}  {step.event}"


def _parties(step: CustodyStep) -> str:
    if step.from_ is None and step.to is None:
        return "parties not told"
    return f"{actor_text(step.from_)} -> {actor_text(step.to)}" if step.to else actor_text(step.from_)


def _end(custody: Custody) -> Iterator[str]:
    for source, point in custody.diversion:
        place = f", {point.place.name or point.place.country}" if point.place is not None else ""
        yield f"POINT OF DIVERSION: {point.type}, {point.date or 'no date'}{place} (told by {source})"
    for state in custody.next_states:
        yield f"next State to ask: {state}"
    for flaw in custody.flaws:
        yield FLAWS[flaw]


def custody_text(custody: Custody) -> list[str]:
    """Lines for a terminal or a letter."""
    lines = []
    for number, step in enumerate(custody.steps, 1):
        lines += [f"    !! {FLAWS[flaw]}" for flaw in step.flaws]
        lines.append(_clean(f"{number:3}  {_heading(step)}: {_parties(step)}"))
        if step.licences:
            lines.append(_clean(f"     {', '.join(step.licences)}"))
        lines.append(_clean(f"     told by {', '.join(step.sources)}"))
    if not custody.steps:
        lines.append("no step is known")
    return lines + [_clean(line) for line in _end(custody)]


def custody_mermaid(custody: Custody) -> str:
    """A Mermaid flowchart, top down; contradictions and gaps are dotted arrows that say what they are."""
    lines = ["flowchart TD"]
    for number, step in enumerate(custody.steps, 1):
        told = f"told by {', '.join(step.sources)}"
        label = "<br/>".join(_mermaid(t) for t in (_heading(step), _parties(step), told))
        lines.append(f'  s{number}["{label}"]')
        flaws = "; ".join(FLAWS[flaw] for flaw in step.flaws)
        if number > 1:
            arrow = f'-. "{_mermaid(flaws)}" .->' if flaws else "-->"
            lines.append(f"  s{number - 1} {arrow} s{number}")
    for number, text in enumerate(_end(custody), 1):
        lines.append(f'  e{number}(["{_mermaid(_short(text))}"])')
        if custody.steps:
            lines.append(f"  s{len(custody.steps)} --> e{number}")
    return "\n".join(lines) + "\n"


def _mermaid(text: str) -> str:
    """Everything but letters, digits and harmless marks as a numbered entity."""
    return "".join(c if c.isalnum() or c in " ,.:;()/-_" else f"#{ord(c)};" for c in _clean(text))


def custody_svg(custody: Custody) -> str:
    """An SVG drawing of one column, without scripts, links or fonts of its own."""
    ends = list(_end(custody))
    height = len(custody.steps) * (_BOX + _GAP) + len(ends) * _LINE + 2 * _GAP
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="12" role="img">'
    )
    out = [
        opening,
        "<title>Chain of custody</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
    ]
    top = _GAP
    for number, step in enumerate(custody.steps):
        flawed = bool(step.flaws)
        if number:
            dash = ' stroke-dasharray="4 3"' if flawed else ""
            out.append(
                f'<path d="M {_WIDTH // 2} {top - _GAP} v {_GAP - 4} l -4 -6 m 4 6 l 4 -6" fill="none" '
                f'stroke="{"#b00020" if flawed else "#333333"}"{dash}/>'
            )
        if flawed:
            words = "; ".join(FLAWS[flaw] for flaw in step.flaws)
            out.append(_svg_text(_WIDTH // 2 + 10, top - 12, words, "#b00020"))
        out.append(
            f'<rect x="20" y="{top}" width="{_WIDTH - 40}" height="{_BOX}" rx="6" fill="#f4f6f8" '
            f'stroke="{"#b00020" if flawed else "#333333"}"/>'
        )
        told = f"told by {', '.join(step.sources)}"
        for line, text in enumerate((_heading(step), _parties(step), ", ".join(step.licences), told)):
            out.append(_svg_text(32, top + 19 + line * _LINE, text, "#111111", bold=line == 0))
        top += _BOX + _GAP
    out += [_svg_text(32, top + line * _LINE, text, "#111111", bold=True) for line, text in enumerate(ends)]
    return "\n".join([*out, "</svg>"]) + "\n"


def _svg_text(x: int, y: int, text: str, fill: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x}" y="{y}" fill="{fill}"{weight}>{escape(_short(text))}</text>'
