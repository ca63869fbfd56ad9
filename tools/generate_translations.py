"""Bring the console's catalogues up to date with the texts in its sources and templates.

    tools/generate_translations.py [--check]

A text that is new joins every catalogue untranslated, and is shown in English until somebody translates it; one that is
gone leaves. Nothing is translated by likeness. ``--check`` says what is out of date, and writes nothing.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from countermark_console.desk.forms.fields import all_texts, form_of, newest_version

ROOT = Path(__file__).resolve().parent.parent / "clients/console/src/countermark_console"
#: Types whose forms are translated; the words of the others are the models' own, in English.
FORMS = ("tracing-request", "tracing-acknowledgement", "tracing-response", "tracing-clarification")
LANGUAGES = ("ar", "es", "fr")
_METHODS = [("**.py", "python"), ("templates/**.html", "jinja2.ext:babel_extract")]
_KEYWORDS = {"_": None, "N_": None, "texts": None, "translate": None, "plural": (1, 2)}


def extract() -> Catalog:
    """All texts of the sources."""
    found = Catalog()
    options = {"templates/**.html": {"extensions": "jinja2.ext.do"}}
    for _, _, text, _, _ in extract_from_dir(
        ROOT, method_map=_METHODS, options_map=options, keywords=_KEYWORDS
    ):
        if text:
            found.add(text)
    for name in FORMS:
        for text in all_texts(form_of(name, newest_version(name))):
            found.add(text)
    return found


def updated(language: str, template: Catalog) -> bytes:
    """The catalogue of a language with exactly the texts of the sources."""
    path = ROOT / "locale" / f"{language}.po"
    if path.exists():
        with path.open("rb") as file:
            kept = read_po(file, locale=language)
    else:
        kept = Catalog(locale=language)
    made = Catalog(
        locale=language,
        project="Countermark console",
        header_comment=f"# The console's texts: {language}. Kept up to date by tools/generate_translations.py.",
        fuzzy=False,
    )
    for message in template:
        if message.id:
            old = kept.get(message.id)
            made.add(message.id, old.string if old is not None else "")
    out = io.BytesIO()
    write_po(out, made, width=110, sort_output=True, no_location=True, omit_header=False)
    lines = out.getvalue().decode().splitlines(keepends=True)
    # Dates and tools' names would differ at each run.
    dropped = (
        '"POT-Creation-Date',
        '"PO-Revision-Date',
        '"Generated-By',
        '"Report-Msgid',
        '"Last-Translator',
        '"Language-Team',
        '"Project-Id',
    )
    return "".join(line for line in lines if not line.startswith(dropped)).encode()


def main() -> int:
    """Write the catalogues, or compare them."""
    template, late = extract(), []
    for language in LANGUAGES:
        path = ROOT / "locale" / f"{language}.po"
        data = updated(language, template)
        if path.exists() and path.read_bytes() == data:
            continue
        late.append(path.name)
        if "--check" not in sys.argv[1:]:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
    said = "out of date: run tools/generate_translations.py" if "--check" in sys.argv[1:] else "written"
    if late:
        print(f"{said}: {', '.join(late)}")
    return int(bool(late) and "--check" in sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
