"""The messages of a desk: stored once, listed by page, searched, marked as read.

A page is found by the place of its first row (entry of the log, number), never by counting: the thousandth is as quick
as the first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, func, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from countermark_console.desk.entries import Entry
from countermark_console.desk.tables import messages, terms
from countermark_console.desk.words import finds, index_words, words_of
from countermark_console.store.database import Database
from countermark_protocol.encoding import JsonObject, encode_json, malformed
from countermark_protocol.errors import NotFoundError

#: Rows of a page.
PAGE: Final = 50
MAX_PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message of the desk; see `tables.messages`.

    Attributes:
        receipts: of a sent one, what became of it at each recipient.
        facts: who signed, and the verdict on that.
    """

    number: int
    hash: str
    direction: str
    type: str
    version: int
    id: str
    sender: str
    recipients: tuple[str, ...]
    country: str
    conversation: str
    in_reply_to: str | None
    supersedes: str | None
    log_index: int
    log_time: int
    urgent: bool
    exercise: bool
    stage: str
    reference: str
    headline: str
    manifest: JsonObject = field(repr=False)
    content: JsonObject | None = field(repr=False)
    facts: JsonObject
    receipts: tuple[JsonObject, ...]
    witnessed_at: int | None
    read_at: int | None
    read_by: str | None

    @property
    def place(self) -> str:
        """Where a page begins after it."""
        return f"{self.log_index}.{self.number}"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which messages are shown; what is empty is not asked for.

    Attributes:
        text: words of the content.
        direction: ``in`` or ``out``.
        type: of the messages.
        country: authority of the other side.
        only: ``unread``, ``open`` (not accepted yet), ``urgent`` or ``exercise``.
        since: first moment, ms since 1970.
        until: moment that is left out, ms since 1970.
    """

    text: str = ""
    direction: str = ""
    type: str = ""
    country: str = ""
    only: str = ""
    since: int | None = None
    until: int | None = None

    def to_json(self) -> JsonObject:
        """What is asked for, to be kept."""
        return {
            one.name: value for one in fields(self) if (value := getattr(self, one.name)) not in {"", None}
        }

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> Filter:
        """A filter from what was kept or asked; what it does not have is left out."""
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in asked.items() if name in known})


@dataclass(frozen=True, slots=True)
class Page:
    """Some messages, the newest first.

    Attributes:
        messages: of the page.
        next: place at which the page after it begins; None if there is none.
    """

    messages: tuple[StoredMessage, ...]
    next: str | None


class Shelf:
    """The messages of one desk.

    Args:
        database: the agency's own store, upgraded by `steps.STEPS`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- storing ---

    def add(self, entries: Sequence[Entry], *, read_by: str | None = None, at: int = 0) -> tuple[Entry, ...]:
        """Store messages that are not there yet; those that were new.

        Args:
            entries: to be stored. Stored again, they change nothing.
            read_by: who has read them already, as their author; None for what came in.
            at: when, ms since 1970.
        """
        new = []
        with self._database.write() as connection:
            for entry in entries:
                number = _insert(connection, entry, read_by, at)
                if number is not None:
                    index_words(connection, number, entry.words())
                    _suggest(connection, entry.terms())
                    new.append(entry)
        return tuple(new)

    def set_stage(self, hashes: Iterable[str], stage: str, direction: str = "in") -> None:
        """Note how far messages are."""
        with self._database.write() as connection:
            for name in hashes:
                connection.execute(
                    update(messages)
                    .where(messages.c.hash == name, messages.c.direction == direction)
                    .values(stage=stage)
                )

    def set_receipts(self, name: str, receipts: Sequence[JsonObject]) -> None:
        """Note what became of a sent message at its recipients."""
        with self._database.write() as connection:
            connection.execute(
                update(messages)
                .where(messages.c.hash == name, messages.c.direction == "out")
                .values(receipts=_text(list(receipts)))
            )

    def set_witnessed(self, size: int, at: int) -> int:
        """Note that a quorum of witnesses has seen a tree; how many messages that covers anew.

        Args:
            size: of the tree: entries below it are covered.
            at: ms since 1970 at which it existed by their word.
        """
        with self._database.write() as connection:
            done = connection.execute(
                update(messages)
                .where(messages.c.witnessed_at.is_(None), messages.c.log_index < size)
                .values(witnessed_at=at)
            )
            return done.rowcount

    def mark_read(self, name: str, person: str, at: int) -> bool:
        """Note that somebody has read a message; whether nobody had."""
        with self._database.write() as connection:
            done = connection.execute(
                update(messages)
                .where(messages.c.hash == name, messages.c.read_at.is_(None))
                .values(read_at=at, read_by=person)
            )
            return done.rowcount > 0

    # --- reading ---

    def get(self, name: str) -> StoredMessage:
        """A message by its payload hash.

        Raises:
            NotFoundError: ``unknown_message``.
        """
        with self._database.read() as connection:
            row = connection.execute(
                select(messages).where(messages.c.hash == name).order_by(messages.c.direction)
            ).first()
        if row is None:
            raise NotFoundError("unknown_message", "there is no such message at this desk")
        return _stored(row)

    def stages(self) -> dict[tuple[str, str], str]:
        """(hash, direction) of every message, with its stage."""
        with self._database.read() as connection:
            rows = connection.execute(select(messages.c.hash, messages.c.direction, messages.c.stage))
            return {(row.hash, row.direction): row.stage for row in rows}

    def unsettled(self) -> list[str]:
        """Hashes of sent messages of which not every recipient has answered yet."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(messages.c.hash).where(messages.c.stage == "logged", messages.c.direction == "out")
            )
            return [row.hash for row in rows]

    def open_hashes(self) -> list[str]:
        """Hashes of received messages that nobody has accepted or rejected."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(messages.c.hash).where(messages.c.stage == "delivered", messages.c.direction == "in")
            )
            return [row.hash for row in rows]

    def conversation(self, conversation: str) -> tuple[StoredMessage, ...]:
        """All messages of a conversation, in log order."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(messages)
                .where(messages.c.conversation == conversation)
                .order_by(messages.c.log_index, messages.c.number)
            ).all()
        return tuple(map(_stored, rows))

    def page(self, wanted: Filter | None = None, *, after: str | None = None, limit: int = PAGE) -> Page:
        """Messages that pass a filter, the newest first.

        Args:
            wanted: which.
            after: place of the row that the page comes after (`Page.next`).
            limit: most rows, at most `MAX_PAGE`.

        Raises:
            MalformedError: ``bad_place``.
        """
        limit = min(limit, MAX_PAGE)
        query = select(messages).order_by(messages.c.log_index.desc(), messages.c.number.desc())
        condition = self._condition(wanted or Filter())
        if condition is not None:
            query = query.where(condition)
        if after is not None:
            index, number = _place(after)
            query = query.where(tuple_(messages.c.log_index, messages.c.number) < tuple_(index, number))
        with self._database.read() as connection:
            rows = connection.execute(query.limit(limit + 1)).all()
        found = tuple(map(_stored, rows[:limit]))
        return Page(found, found[-1].place if len(rows) > limit else None)

    def unread(self) -> int:
        """How many received messages nobody has read."""
        return self._count(messages.c.read_at.is_(None), messages.c.direction == "in")

    def urgent_unread(self) -> tuple[StoredMessage, ...]:
        """Urgent messages that nobody has read, the newest first; at most `PAGE`."""
        query = (
            select(messages)
            .where(messages.c.urgent, messages.c.read_at.is_(None), messages.c.direction == "in")
            .order_by(messages.c.log_index.desc())
        )
        with self._database.read() as connection:
            return tuple(map(_stored, connection.execute(query.limit(PAGE)).all()))

    def newest(self) -> int:
        """Number of the newest row; 0 if there is none. It rises with every message that comes."""
        with self._database.read() as connection:
            return int(connection.execute(select(func.max(messages.c.number))).scalar() or 0)

    def unwitnessed(self) -> tuple[int, int] | None:
        """Lowest and highest entry that no quorum is known to have seen; None if there is none."""
        query = select(func.min(messages.c.log_index), func.max(messages.c.log_index)).where(
            messages.c.witnessed_at.is_(None)
        )
        with self._database.read() as connection:
            low, high = connection.execute(query).one()
        return None if low is None else (int(low), int(high))

    def suggested(self, source: str, said: str, limit: int = 20) -> list[str]:
        """Texts that stood in messages' fields of a source and begin as typed."""
        plain = " ".join(words_of(said))
        if not plain:
            return []
        query = (
            select(terms.c.text)
            .where(terms.c.source == source, terms.c.folded.startswith(plain, autoescape=True))
            .order_by(terms.c.folded)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [row.text for row in connection.execute(query)]

    def _count(self, *conditions: Any) -> int:
        with self._database.read() as connection:
            return int(connection.execute(select(func.count()).where(*conditions)).scalar_one())

    def _condition(self, wanted: Filter) -> Any:
        c = messages.c
        found: list[Any] = []
        if wanted.text:
            words = finds(self._database.dialect, wanted.text)
            if words is not None:
                found.append(words)
        found += [
            column == value
            for column, value in (
                (c.direction, wanted.direction),
                (c.type, wanted.type),
                (c.country, wanted.country),
            )
            if value
        ]
        found += self._only(wanted.only)
        if wanted.since is not None:
            found.append(c.log_time >= wanted.since)
        if wanted.until is not None:
            found.append(c.log_time < wanted.until)
        return and_(*found) if found else None

    @staticmethod
    def _only(only: str) -> list[Any]:
        c = messages.c
        known: dict[str, list[Any]] = {
            "unread": [c.read_at.is_(None), c.direction == "in"],
            "open": [c.stage == "delivered", c.direction == "in"],
            "urgent": [c.urgent],
            "exercise": [c.exercise],
        }
        return known.get(only, [])


def _place(after: str) -> tuple[int, int]:
    index, _, number = after.partition(".")
    if not (index.isascii() and index.isdecimal() and number.isascii() and number.isdecimal()):
        malformed("bad_place", "expected the place of a page, as the page before it names it")
    return int(index), int(number)


def _text(value: Any) -> str:
    return encode_json(value).decode()


def _insert(connection: Connection, entry: Entry, read_by: str | None, at: int) -> int | None:
    """Insert a message; its number, or None if it is there."""
    manifest = entry.manifest
    values = {
        "hash": entry.hash,
        "direction": entry.direction,
        "type": manifest.type,
        "version": manifest.version,
        "id": manifest.id,
        "sender": manifest.sender,
        "recipients": _text(list(entry.recipients)),
        "country": entry.country,
        "conversation": entry.conversation,
        "in_reply_to": manifest.in_reply_to.hex() if manifest.in_reply_to is not None else None,
        "supersedes": manifest.supersedes.hex() if manifest.supersedes is not None else None,
        "log_index": entry.log_index,
        "log_time": entry.log_time,
        "urgent": entry.urgent,
        "exercise": manifest.exercise,
        "stage": entry.stage,
        "reference": entry.reference,
        "headline": entry.headline,
        "manifest": _text(manifest.to_json()),
        "content": _text(entry.content) if entry.content is not None else None,
        "facts": _text(entry.facts),
        "receipts": "[]",
        "read_at": at if read_by is not None else None,
        "read_by": read_by,
    }
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    done = connection.execute(
        make(messages).values(values).on_conflict_do_nothing().returning(messages.c.number)
    ).first()
    return int(done.number) if done is not None else None


def _suggest(connection: Connection, said: Iterable[tuple[str, str]]) -> None:
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    rows = {(source, " ".join(words_of(text))[:200]): text for source, text in said if words_of(text)}
    for (source, plain), text in rows.items():
        connection.execute(
            make(terms).values(source=source, folded=plain, text=text).on_conflict_do_nothing()
        )


def _stored(row: Row[Any]) -> StoredMessage:
    values = dict(row._mapping)  # noqa: SLF001  the documented way to a row by names
    for name in ("manifest", "facts"):
        values[name] = json.loads(values[name])
    values["content"] = json.loads(values["content"]) if values["content"] is not None else None
    values["recipients"] = tuple(json.loads(values["recipients"]))
    values["receipts"] = tuple(json.loads(values["receipts"]))
    return StoredMessage(**values)
