"""Languages: which one a person gets, and that translations say as much as the text."""

import re
from importlib import resources

import pytest
from babel.messages.pofile import read_po

from countermark_console.desk.forms.fields import form_of, newest_version
from countermark_console.texts import LANGUAGES, N_, choose_language, language_name, texts

FOLDER = resources.files("countermark_console") / "locale"
#: Templates whose every text is translated: navigation, sign-in, set-up.
FIRST = (
    "base.html",
    "parts.html",
    "sign_in*.html",
    "second_factor.html",
    "setup/*.html",
    "unlock.html",
    "keys.html",
)


@pytest.mark.parametrize(
    ("own", "accepted", "chosen"),
    [
        ("", "", "en"),
        ("ar", "fr", "ar"),
        ("xx", "fr-CH, fr;q=0.9, en;q=0.8", "fr"),
        ("", "de, es;q=0.5, fr;q=0.7", "fr"),
        ("", "de;q=1, ar;q=0", "en"),
        ("", "es;q=x, ;q=1,,AR", "ar"),
        ("", "x" * 5000, "en"),
    ],
)
def test_the_language_is_the_persons_else_the_browsers(own, accepted, chosen):
    assert choose_language(own, accepted) == chosen


def catalogue(language):
    with (FOLDER / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


@pytest.mark.parametrize("language", [one for one in LANGUAGES if one != "en"])
def test_translations_fill_in_what_the_text_fills_in(language):
    marks = re.compile(r"%\(\w+\)s|%(?!\()")
    for message in catalogue(language):
        ids = message.id if isinstance(message.id, tuple) else (message.id,)
        strings = message.string if isinstance(message.string, tuple) else (message.string,)
        if message.id and any(strings):
            assert all(strings), message.id
            for string in strings:
                assert set(marks.findall(string)) == set(marks.findall(ids[0])), message.id


@pytest.mark.parametrize("language", [one for one in LANGUAGES if one != "en"])
def test_navigation_sign_in_and_set_up_are_translated_whole(language):
    root = resources.files("countermark_console") / "templates"
    told = {m.id for m in catalogue(language) if m.string and not isinstance(m.id, tuple)}
    wanted = set()
    for pattern in FIRST:
        for path in root.glob(pattern):
            wanted |= set(re.findall(r"""_\("((?:[^"\\]|\\.)+)\"""", path.read_text("utf-8")))
    assert len(wanted) > 80
    assert wanted - told == set()


def labels(field):
    yield from (text for text in (field.label, field.unit) if text)
    for one in (*field.fields, *((field.item,) if field.item is not None else ())):
        yield from labels(one)


@pytest.mark.parametrize("language", [one for one in LANGUAGES if one != "en"])
def test_the_tracing_forms_are_translated(language):
    told = {m.id for m in catalogue(language) if m.string and not isinstance(m.id, tuple)}
    for name in ("tracing-request", "tracing-acknowledgement", "tracing-response", "tracing-clarification"):
        form = form_of(name, newest_version(name))
        wanted = {text for field in form.fields for text in labels(field)}
        assert len(wanted) > 10
        assert wanted - told == set()


def test_what_is_not_translated_is_said_in_english():
    french = texts("fr")
    assert french(N_("Sign in")) == "Se connecter"
    assert french("no such text") == "no such text"
    assert french("") == ""
    assert french.plural("Try again in %(num)s second.", "Try again in %(num)s seconds.", 2).startswith(
        "Réessayez"
    )
    assert texts("xx").language == "en"
    assert texts("en").plural("%(num)s day", "%(num)s days", 1) == "1 day"


def test_directions_names_and_times():
    assert [texts(one).right_to_left for one in LANGUAGES] == [False, False, False, True]
    assert [language_name(one) for one in LANGUAGES] == ["English", "Français", "Español", "العربية"]
    assert texts("en").time(1_800_000_000_000) == "15 Jan 2027, 08:00 UTC"
    assert texts("fr").date(1_800_000_000_000) == "15 janvier 2027"
