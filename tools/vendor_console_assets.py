"""Take the console's design system and htmx from the npm registry, built, into the console's static files.

    tools/vendor_console_assets.py

Run by hand when a release is to be taken; what it writes is committed, so that nobody else needs Node. Of
govuk-frontend it leaves out what only GOV.UK may use (crown, crest, logo and the licensed typeface), and turns left
and right into start and end, so that one style sheet serves both directions of writing.
"""

from __future__ import annotations

import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

STATIC = Path(__file__).resolve().parent.parent / "clients/console/src/countermark_console/static/vendor"
GOVUK, HTMX = "govuk-frontend@6.6.0", "htmx.org@2.0.11"
FONT = 'system-ui,-apple-system,"Segoe UI","Noto Sans","DejaVu Sans",arial,sans-serif'
#: The npm package holds no licence file: this is that of its repository.
LICENCE = """The MIT License (MIT)

Copyright (C) 2017 Crown Copyright (Government Digital Service)

Permission is hereby granted, free of charge, to any person obtaining a copy of
this software and associated documentation files (the "Software"), to deal in
the Software without restriction, including without limitation the rights to
use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies
of the Software, and to permit persons to whom the Software is furnished to do
so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""
_SIDES = {"left": "start", "right": "end"}


def fetch(package: str, folder: Path) -> Path:
    """Unpack a package of the registry; its root."""
    packed = subprocess.run(
        ["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True, text=True
    )
    target = folder / package.split("@", maxsplit=1)[0]
    with tarfile.open(folder / packed.stdout.strip()) as archive:
        archive.extractall(target, filter="data")
    return target / "package"


def logical(css: str) -> str:
    """The style sheet with start and end in place of left and right."""
    css = re.sub(r"\b(margin|padding)-(left|right)\b", lambda m: f"{m[1]}-inline-{_SIDES[m[2]]}", css)
    css = re.sub(r"\bborder-(left|right)(?=[-:])", lambda m: f"border-inline-{_SIDES[m[1]]}", css)
    css = re.sub(r"(?<=[;{])(left|right):", lambda m: f"inset-inline-{_SIDES[m[1]]}:", css)
    css = re.sub(r"\b(float|clear):(left|right)\b", lambda m: f"{m[1]}:inline-{_SIDES[m[2]]}", css)
    css = css.replace("justify-content:right", "justify-content:end")
    return re.sub(r"\btext-align:(left|right)\b", lambda m: f"text-align:{_SIDES[m[1]]}", css)


def without_reserved(css: str) -> str:
    """The style sheet without typeface, crest and source map."""
    css = re.sub(r"@font-face\{[^}]*\}", "", css)
    css = css.replace("GDS Transport,arial,sans-serif", FONT)
    css = re.sub(r"[^{}]*govuk-footer__(?:crown|copyright-logo)[^{}]*\{[^{}]*\}", "", css)
    css = re.sub(r"[a-z-]+:url\(/assets/images/[^)]*\)(?:[^;}]*);?", "", css)
    return re.sub(r"\n/\*# sourceMappingURL=[^*]*\*/\n?", "\n", css)


def main() -> None:
    """Write the files."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        built = fetch(GOVUK, folder) / "dist/govuk"
        target = STATIC / "govuk-frontend"
        target.mkdir(parents=True, exist_ok=True)
        css = logical(without_reserved((built / "govuk-frontend.min.css").read_text()))
        (target / "govuk-frontend.min.css").write_text(css)
        script = (built / "govuk-frontend.min.js").read_text()
        (target / "govuk-frontend.min.js").write_text(re.sub(r"//# sourceMappingURL=.*\n?", "\n", script))
        (target / "LICENSE").write_text(LICENCE)
        htmx = fetch(HTMX, folder)
        target = STATIC / "htmx"
        target.mkdir(parents=True, exist_ok=True)
        (target / "htmx.min.js").write_text((htmx / "dist/htmx.min.js").read_text().rstrip() + "\n")
        (target / "LICENSE").write_text((htmx / "LICENSE").read_text())


if __name__ == "__main__":
    main()
