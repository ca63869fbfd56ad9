"""A form as a page shows it: every field with its name, label, help, value, choices and what is wrong with it.

Templates only draw: no decision about a field is made there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from countermark_console.desk.forms.choices import Choice, Known, code_label, list_choices, meaning
from countermark_console.desk.forms.documents import PRESENT, text_of
from countermark_console.desk.forms.faults import Fault
from countermark_console.desk.forms.fields import FormField, Kind
from countermark_protocol.encoding import JsonObject

Translate = Callable[[str], str]
#: Of the browser's own inputs.
_INPUTS: Final = {Kind.DAY: "date", Kind.INSTANT: "datetime-local"}
#: Short lists of at most so many codes are shown as radio buttons; longer ones as a list to choose from.
_FEW: Final = 4


@dataclass(frozen=True, slots=True)
class Option:
    """A choice; `chosen` if it is the value."""

    value: str
    label: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class FieldView:
    """One field.

    Attributes:
        name: under which it is posted; also the id of its element.
        kind: how it is filled in.
        label: in the reader's language.
        source: instrument and paragraph.
        hint: what a value looks like, and its unit.
        required: whether it must be filled in.
        value: as it stands in its input.
        meaning: of a code found by typing, in words.
        input: type of the browser's input.
        max_length: most characters, or None.
        search: source of what is found by typing, or None.
        few: whether choices are shown side by side.
        options: of short lists.
        fields: of a group.
        rows: of a list.
        can_add: whether a row can be added.
        filled: whether it, or anything in it, has a value.
        faults: what is wrong with it, in words.
        wrong: whether anything in it is wrong.
        present: the value that says that a row is there.
    """

    name: str
    kind: str
    label: str
    source: str
    hint: str
    required: bool
    value: str = ""
    meaning: str = ""
    input: str = "text"
    max_length: int | None = None
    search: str | None = None
    few: bool = False
    options: tuple[Option, ...] = ()
    fields: tuple[FieldView, ...] = ()
    rows: tuple[FieldView, ...] = ()
    can_add: bool = False
    filled: bool = False
    faults: tuple[str, ...] = ()
    wrong: bool = False
    present: str = field(default=PRESENT)


@dataclass(frozen=True)
class FormViews:
    """Makes views of a form's fields.

    Attributes:
        translate: message ids to the reader's language.
        language: of code labels.
        known: what this agency alone knows.
        faults: what is wrong, by name of the field.
    """

    translate: Translate
    language: str
    known: Known
    faults: dict[str, list[str]]

    @classmethod
    def of(cls, translate: Translate, language: str, known: Known, faults: Iterable[Fault] = ()) -> FormViews:
        """Views in a language."""
        at: dict[str, list[str]] = {}
        for fault in faults:
            at.setdefault(fault.name, []).append(fault.text)
        return cls(translate, language, known, at)

    def form(self, form: FormField, state: JsonObject) -> FieldView:
        """The whole form."""
        return self._group(form, "", state, required=True)

    def _view(self, one: FormField, name: str, value: Any) -> FieldView:
        if one.kind is Kind.GROUP:
            return self._group(one, name, value, required=one.required)
        if one.kind is Kind.ROWS:
            return self._rows(one, name, value)
        text = "" if isinstance(value, list | dict) else text_of(one, value)
        options = self._options(one, value, text)
        return FieldView(
            name=name,
            kind=one.kind.value,
            label=self._say(one.label),
            source=one.source,
            hint=self._hint(one),
            required=one.required,
            value=text,
            meaning=meaning(one.search, text, language=self.language, known=self.known) if one.search else "",
            input=_INPUTS.get(one.kind, "text"),
            max_length=one.max_length,
            search=one.search,
            few=len(options) <= _FEW,
            options=options,
            filled=bool(value) or value is False or value == 0,
            faults=tuple(self.faults.get(name, ())),
            wrong=name in self.faults,
        )

    def _group(self, one: FormField, name: str, value: Any, *, required: bool) -> FieldView:
        held = value if isinstance(value, dict) else {}
        fields = tuple(
            self._view(each, f"{name}.{each.name}" if name else each.name, held.get(each.name))
            for each in one.fields
        )
        own = tuple(self.faults.get(name, ()))
        return FieldView(
            name=name,
            kind=one.kind.value,
            label=self._say(one.label),
            source=one.source,
            hint="",
            required=required,
            fields=fields,
            filled=any(each.filled for each in fields),
            faults=own,
            wrong=bool(own) or any(each.wrong for each in fields),
        )

    def _rows(self, one: FormField, name: str, value: Any) -> FieldView:
        assert one.item is not None
        held = value if isinstance(value, list) else []
        rows = tuple(self._view(one.item, f"{name}.{i}", row) for i, row in enumerate(held))
        own = tuple(self.faults.get(name, ()))
        return FieldView(
            name=name,
            kind=one.kind.value,
            label=self._say(one.label),
            source=one.source,
            hint=self._hint(one.item) if one.item.kind is not Kind.GROUP else "",
            required=one.required,
            rows=rows,
            can_add=one.at_most is None or len(rows) < one.at_most,
            filled=bool(rows),
            faults=own,
            wrong=bool(own) or any(each.wrong for each in rows),
        )

    def _options(self, one: FormField, value: Any, text: str) -> tuple[Option, ...]:
        if one.kind is Kind.YES_NO:
            pairs = [Choice("true", self.translate("Yes")), Choice("false", self.translate("No"))]
            return tuple(Option(c.value, c.label, c.value == text) for c in pairs)
        if one.code_list is None:
            return ()
        chosen = [str(v) for v in value] if isinstance(value, list) else [text] if text else []
        listed = {c.value: c.label for c in list_choices(one.code_list, self.language)}
        options = [Option(v, label, v in chosen) for v, label in listed.items()]
        order = [v for v in listed if v in chosen]
        if [v for v in chosen if v in listed] != order:
            # Chosen in an order of its own: the browser posts them as they stand.
            options.sort(key=lambda o: chosen.index(o.value) if o.chosen else len(chosen))
        # A code of a list that this release does not know is kept.
        return tuple(options) + tuple(Option(v, v, chosen=True) for v in chosen if v not in listed)

    def _say(self, text: str) -> str:
        return self.translate(text) if text else ""

    def _hint(self, one: FormField) -> str:
        parts = [self._say(one.shape)] if one.shape else []
        if one.unit and one.kind is not Kind.DAY:
            parts.append(self.translate("Unit: %s.") % self._say(one.unit))
        return " ".join(parts)


# --- what was said, to be read -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Said:
    """A member of a content, for people.

    Attributes:
        label: of the field.
        values: of it, in words; empty for groups and lists of groups.
        long: whether it is prose.
        groups: of a group one, of a list of groups all.
        numbered: whether `groups` are rows of a list.
    """

    label: str
    values: tuple[str, ...] = ()
    long: bool = False
    groups: tuple[tuple[Said, ...], ...] = ()
    numbered: bool = False


def read_content(
    form: FormField, document: JsonObject, translate: Translate, language: str, known: Known
) -> tuple[Said, ...]:
    """A content document, member by member and in words; whoever wrote it, it is plain text."""
    return tuple(
        _said(one, document[one.name], translate, language, known)
        for one in form.fields
        if one.name in document
    )


def _said(one: FormField, value: Any, translate: Translate, language: str, known: Known) -> Said:
    label = translate(one.label) if one.label else ""
    if one.kind is Kind.GROUP:
        members = read_content(one, value, translate, language, known)
        if len(members) == 1 and members[0].values:
            return Said(label, members[0].values, members[0].long)  # a make of which only its text is known
        return Said(label, groups=(members,))
    if one.kind is Kind.ROWS:
        assert one.item is not None
        if one.item.kind is Kind.GROUP:
            rows = tuple(read_content(one.item, row, translate, language, known) for row in value)
            return Said(label, groups=rows, numbered=True)
        words = tuple(_words(one.item, row, translate, language, known) for row in value)
        return Said(label, words, long=one.item.kind is Kind.PROSE)
    if one.kind is Kind.CODES:
        return Said(label, tuple(code_label(one.code_list or "", code, language) for code in value))
    return Said(label, (_words(one, value, translate, language, known),), long=one.kind is Kind.PROSE)


def _words(one: FormField, value: Any, translate: Translate, language: str, known: Known) -> str:
    if isinstance(value, bool):
        return translate("Yes") if value else translate("No")
    text = str(value)
    if one.code_list is not None:
        return code_label(one.code_list, text, language)
    if one.search is not None and one.coded:
        means = meaning(one.search, text, language=language, known=known)
        return f"{means} ({text})" if means else text
    if one.kind is Kind.INSTANT:
        return text.replace("T", " ").removesuffix("Z") + " UTC"
    return (
        f"{text} {translate(one.unit)}" if one.kind is Kind.INTEGER and one.unit not in {"", "year"} else text
    )
