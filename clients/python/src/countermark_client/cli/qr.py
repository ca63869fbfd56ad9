"""QR codes in a terminal."""

from __future__ import annotations

import io

import segno


def draw_qr(text: str) -> str:
    """A QR code as lines of half blocks, for a terminal with dark ink on a light ground or the other way round."""
    out = io.StringIO()
    segno.make(text, error="m", micro=False).terminal(out, border=2, compact=True)
    return out.getvalue().rstrip("\n")
