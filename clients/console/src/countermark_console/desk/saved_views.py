"""Views that a person has saved: a filter under a name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from countermark_console.desk.shelf import Filter
from countermark_console.desk.tables import views
from countermark_console.errors import InputError
from countermark_console.store.database import Database
from countermark_console.texts import N_
from countermark_protocol.encoding import encode_json

_MOST: Final = 50


@dataclass(frozen=True, slots=True)
class SavedView:
    """A filter under a name.

    Attributes:
        number: of the view.
        name: for people.
        wanted: what it shows.
    """

    number: int
    name: str
    wanted: Filter


class SavedViews:
    """The saved views of all persons of a desk.

    Args:
        database: the agency's own store, upgraded by `steps.STEPS`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, person: str) -> tuple[SavedView, ...]:
        """The views of a person, by name."""
        query = select(views).where(views.c.person == person).order_by(views.c.name)
        with self._database.read() as connection:
            return tuple(
                SavedView(row.number, row.name, Filter.of(json.loads(row.query)))
                for row in connection.execute(query)
            )

    def save(self, person: str, name: str, wanted: Filter) -> None:
        """Save a view.

        Raises:
            InputError: ``view_name``: no name, or one that there is already; ``too_many_views``.
        """
        name = " ".join(name.split())[:120]
        if not name:
            raise InputError("view_name", N_("Give the view a name"), field="view_name")
        if len(self.of(person)) >= _MOST:
            raise InputError(
                "too_many_views", N_("At most 50 views are kept: remove one first"), field="view_name"
            )
        try:
            with self._database.write() as connection:
                connection.execute(
                    insert(views).values(
                        person=person, name=name, query=encode_json(wanted.to_json()).decode()
                    )
                )
        except IntegrityError:
            raise InputError(
                "view_name", N_("You have a view of that name already"), field="view_name"
            ) from None

    def remove(self, person: str, number: int) -> None:
        """Remove a view of a person."""
        with self._database.write() as connection:
            connection.execute(delete(views).where(views.c.person == person, views.c.number == number))
