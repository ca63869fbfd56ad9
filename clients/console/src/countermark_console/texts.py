"""What the console says, in the languages that it speaks: gettext catalogues, read from their sources at start.

``.po`` files are committed and packaged; nothing is compiled at build. A text that a language lacks is shown in
English.
"""

from __future__ import annotations

import gettext
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Final

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.util import UTC

#: In the order in which they are offered.
LANGUAGES: Final = ("en", "fr", "es", "ar")
DEFAULT: Final = "en"
#: Of gettext: messages of the console's own sources.
DOMAIN: Final = "console"


def N_(text: str) -> str:  # noqa: N802  # the name by which gettext's tools know it
    """Mark a text to be translated where it is shown."""
    return text


@dataclass(frozen=True)
class Texts:
    """One language.

    Attributes:
        language: of `LANGUAGES`.
        translations: its catalogue.
    """

    language: str
    translations: gettext.NullTranslations

    def __call__(self, text: str, **values: object) -> str:
        """A text in this language, with ``%(name)s`` filled in."""
        found = self.translations.gettext(text) if text else ""
        return found % values if values else found

    def plural(self, one: str, many: str, number: int, **values: object) -> str:
        """The form of a text for a number, which fills ``%(num)s``."""
        return self.translations.ngettext(one, many, number) % {"num": number, **values}

    @property
    def right_to_left(self) -> bool:
        """Whether it is written from right to left."""
        return Locale.parse(self.language).text_direction == "rtl"

    def time(self, at: int) -> str:
        """A point in time for people, in UTC.

        Args:
            at: ms since 1970.
        """
        moment = datetime.fromtimestamp(at / 1000, UTC)
        return f"{format_datetime(moment, 'd MMM y, HH:mm', locale=self.language)} UTC"

    def date(self, at: int) -> str:
        """A day for people, in UTC.

        Args:
            at: ms since 1970.
        """
        return format_date(datetime.fromtimestamp(at / 1000, UTC).date(), "long", locale=self.language)


@cache
def texts(language: str) -> Texts:
    """The texts of a language; of English where the console does not speak it."""
    if language not in LANGUAGES:
        language = DEFAULT
    source = resources.files("countermark_console") / "locale" / f"{language}.po"
    if not source.is_file():
        return Texts(language, gettext.NullTranslations())
    with source.open("rb") as file:
        catalogue = read_po(file, locale=language, domain=DOMAIN)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Texts(language, gettext.GNUTranslations(compiled))


def choose_language(own: str, accepted: str) -> str:
    """The language for a person.

    Args:
        own: that the person chose; empty if none.
        accepted: header Accept-Language of the browser.
    """
    if own in LANGUAGES:
        return own
    for name in _by_weight(accepted):
        code = name.partition("-")[0].lower()
        if code in LANGUAGES:
            return code
    return DEFAULT


def _by_weight(accepted: str) -> Iterable[str]:
    found: list[tuple[float, int, str]] = []
    for place, item in enumerate(accepted[:500].split(",")):
        name, _, parameter = item.strip().partition(";")
        weight = 1.0
        if parameter.strip().startswith("q="):
            try:
                weight = float(parameter.strip()[2:])
            except ValueError:
                weight = 0.0
        if name and weight > 0:
            found.append((-weight, place, name))
    return [name for _, _, name in sorted(found)]


def language_name(language: str) -> str:
    """A language's name in itself."""
    try:
        return (Locale.parse(language).get_display_name(language) or language).capitalize()
    except UnknownLocaleError:
        return language
