"""What the navigation shows, and to whom. Pages that come later take their place in `SECTIONS`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from countermark_console.people.roles import Right
from countermark_console.texts import N_
from countermark_console.web.visitor import Visitor


@dataclass(frozen=True, slots=True)
class Section:
    """An entry of the navigation.

    Attributes:
        label: to be translated.
        path: where it leads; everything below it belongs to it.
        right: who sees it; None for everybody who is signed in.
    """

    label: str
    path: str
    right: Right | None


#: In their order. Their places: map and matching follow cases; auditors' pages go before the agency's log.
SECTIONS: Final = (
    Section(N_("Home"), "/", None),
    Section(N_("Inbox"), "/inbox", Right.READ),
    Section(N_("Cases"), "/cases", Right.READ),
    Section(N_("Drafts"), "/drafts", Right.READ),
    Section(N_("Agency's log"), "/agency-log", Right.SEE_LOG),
    Section(N_("People"), "/people", Right.MANAGE),
    Section(N_("Keys and connection"), "/keys", None),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry as a page shows it: `current` where the page belongs to it."""

    label: str
    path: str
    current: bool


def navigation(visitor: Visitor, path: str) -> list[Shown]:
    """The entries for somebody on a page."""
    if visitor.person is None:
        return []
    return [
        Shown(
            section.label,
            section.path,
            path == section.path or (section.path != "/" and path.startswith(section.path + "/")),
        )
        for section in SECTIONS
        if section.right is None or visitor.may(section.right)
    ]
