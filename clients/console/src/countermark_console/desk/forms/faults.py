"""What is wrong with a form, at the fields that it concerns and in words.

The registry tells every violation with a JSON pointer, what was expected and the form of what came. Here each finds its
field; names of members and codes in the text of a rule become the labels that people see.

Source: docs/spec/messages.md §7; docs/errors.md (``invalid_content``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from countermark_console.desk.forms.choices import code_label
from countermark_console.desk.forms.fields import FormField, Kind
from countermark_protocol.encoding import JsonObject
from countermark_protocol.errors import MalformedError
from countermark_protocol.messages.base import Message
from countermark_protocol.registry import validate_content

#: Gives a text in the reader's language.
Translate = Callable[[str], str]
_WORD: Final = re.compile(r"\b[A-Za-z][A-Za-z0-9_]*\b")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong with a form.

    Attributes:
        name: of the field; of the group where a rule across its fields is broken; empty for the form itself.
        text: what to do, in words.
        rule: its id.
    """

    name: str
    text: str
    rule: str


def plain(text: str) -> str:
    """A text as it is: for who reads English."""
    return text


def check_form(
    message_type: str, version: int, form: FormField, document: JsonObject, translate: Translate = plain
) -> tuple[Message | None, tuple[Fault, ...]]:
    """Validate a tidied document.

    Args:
        message_type: of the form.
        version: of the form.
        form: its fields.
        document: as `documents.tidy` gives it.
        translate: message ids of the form to the reader's language.

    Returns:
        The message, or None and all that is wrong with it.
    """
    try:
        return validate_content(message_type, version, document), ()
    except MalformedError as error:
        return None, faults_of(form, error.facts.get("violations", ()), translate)


def faults_of(form: FormField, violations: Iterable[Any], translate: Translate = plain) -> tuple[Fault, ...]:
    """Violations at the fields of a form."""
    found = []
    for one in violations:
        field, groups, name = _at(form, str(one["field"]))
        found.append(Fault(name, _words(field, groups, one, translate), str(one["rule"])))
    return tuple(found)


def _at(form: FormField, pointer: str) -> tuple[FormField, list[FormField], str]:
    """The field that a pointer leads to, as deep as the form goes; the groups that it stands in; its name."""
    field, groups, name = form, [form], ""
    for step in pointer.split("/")[1:]:
        if field.kind is Kind.ROWS and field.item is not None:
            field = replace(field.item, label=field.label)
        elif field.kind is Kind.GROUP:
            found = field.find(step)
            if found is None:
                break
            field = found
        else:
            break  # one code of several
        if field.kind is Kind.GROUP:
            groups.append(field)
        name = f"{name}.{step}" if name else step
    return field, groups, name


def _words(
    field: FormField, groups: list[FormField], violation: Mapping[str, Any], translate: Translate
) -> str:
    label, rule = translate(field.label), str(violation["rule"])
    expected = str(violation["expected"])
    for group in reversed(groups):
        if rule in dict(group.rules):
            return _named(translate(dict(group.rules)[rule]), group, translate)
    if rule == "missing":
        if field.kind in {Kind.CODE, Kind.CODES, Kind.YES_NO}:
            return translate("Choose: %s") % label
        return translate("Fill in: %s") % label
    if rule in {"too_short", "too_long"} and field.kind in {Kind.ROWS, Kind.CODES}:
        return translate("%(label)s: expected %(expected)s") % {"label": label, "expected": expected}
    shape = translate(field.shape).rstrip(".") if field.shape else expected
    return translate("%(label)s: expected %(expected)s") % {"label": label, "expected": shape}


def _named(text: str, group: FormField, translate: Translate) -> str:
    """The text of a rule with labels in the place of members' names and codes."""
    labels = {one.name: f"“{translate(one.label)}”" for one in group.fields if one.label}
    codes = {}
    for one in group.fields:
        if one.code_list is not None:
            codes[one.code_list] = one

    def word(found: re.Match[str]) -> str:
        said = found[0]
        if said in labels and (said != said.lower() or "_" in said or found.start() == 0):
            return labels[said]
        if said.isupper() and len(said) > 3:
            for name in codes:
                label = code_label(name, said)
                if label != said:
                    return f"“{label}”"
        return said

    out = _WORD.sub(word, text)
    return out[:1].upper() + out[1:]
