"""Conversations as cases: where each stands, what waits for this agency and until when, who looks after it.

A trace's status is that of the tracing process, as the client library folds it from messages, receipts and the time
(docs/spec/tracing.md). Any other conversation is open until this agency has been answered or has answered. What
no message says (owner, notes, that a case is closed here) is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, func, insert, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from countermark_client import TracedCase
from countermark_console.desk.shelf import PAGE
from countermark_console.desk.tables import cases, messages, notes
from countermark_console.store.database import Database
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import ConflictError, NotFoundError
from countermark_protocol.tracing.due import Due, Task
from countermark_protocol.tracing.lifecycle import OVER, TraceState
from countermark_protocol.types import TYPES


class Status(StrEnum):
    """Where a case stands, for people."""

    WAITING_FOR_US = "waiting_for_us"
    WAITING_FOR_THEM = "waiting_for_them"
    ANSWERED = "answered"
    NOTICE = "notice"
    """Nothing is asked of anybody."""
    CLOSED = "closed"


#: Conversations that are begun by these ask nothing.
_NOTICES: Final = frozenset(
    {
        "confiscation-notice",
        "found-or-surrendered-notice",
        "destruction-notice",
        "lost-or-stolen-notice",
        "trade-route-alert",
        "marking-system-description",
        "national-report",
        "contact-point-notice",
        "transfer-refusal-notice",
        "assistance-offer",
        "assistance-request",
        "assistance-match",
    }
)
#: Of the requested's tasks, the one that is shown first.
_FIRST: Final = tuple(Task)


@dataclass(frozen=True, slots=True)
class Case:
    """A conversation as a case; see `tables.cases`. Times are ms since 1970.

    Attributes:
        state: of the tracing process, where it is a trace.
        task: what waits for this agency (`countermark_protocol.tracing.due.Task`), or None.
        deadline: of that, or of the answer that is waited for.
    """

    number: int
    conversation: str
    type: str
    direction: str
    country: str
    reference: str
    headline: str
    status: Status
    state: str | None
    task: str | None
    deadline: int | None
    urgent: bool
    exercise: bool
    messages: int
    opened_at: int
    moved_at: int
    owner: str | None
    closed_at: int | None
    closed_by: str | None
    outcome: str | None

    @property
    def place(self) -> str:
        """Where a page begins after it."""
        return f"{self.moved_at}.{self.number}"

    def overdue(self, now: int) -> bool:
        """Whether its deadline has passed, and something still waits."""
        waits = self.status in {Status.WAITING_FOR_US, Status.WAITING_FOR_THEM}
        return waits and self.deadline is not None and self.deadline < now


@dataclass(frozen=True, slots=True)
class Note:
    """What an official noted of a case.

    Attributes:
        at: ms since 1970.
        person: who.
        text: what.
    """

    at: int
    person: str
    text: str


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """Which cases are shown; what is empty is not asked for.

    Attributes:
        status: of them.
        owner: who looks after them.
        type: of their first message.
        only: ``urgent``, ``overdue``, ``unowned`` or ``active`` (not closed, and no mere notice).
    """

    status: str = ""
    owner: str = ""
    type: str = ""
    only: str = ""


class Cases:
    """The cases of one desk.

    Args:
        database: the agency's own store, upgraded by `steps.STEPS`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- following the messages ---

    def follow(self, conversation: str, own: str, traced: TracedCase | None) -> Case | None:
        """Bring a case up to what the desk holds of its conversation.

        Args:
            conversation: payload hash of its first message.
            own: this agency's address.
            traced: its traces as they stand, if it is one.

        Returns:
            The case; None if the desk holds no message of it.
        """
        with self._database.write() as connection:
            rows: Sequence[Any] = connection.execute(
                select(
                    messages.c.hash,
                    messages.c.direction,
                    messages.c.type,
                    messages.c.country,
                    messages.c.reference,
                    messages.c.headline,
                    messages.c.log_time,
                    messages.c.urgent,
                    messages.c.exercise,
                    messages.c.manifest,
                    messages.c.in_reply_to,
                    messages.c.stage,
                )
                .where(messages.c.conversation == conversation)
                .order_by(messages.c.log_index, messages.c.number)
            ).all()
            if not rows:
                return None
            first, last = rows[0], rows[-1]
            standing = _of_trace(traced, own) if traced is not None else _of_talk(rows, first)
            values = {
                "type": first.type,
                "direction": first.direction,
                "country": first.country,
                "reference": first.reference or next((r.reference for r in rows if r.reference), ""),
                "headline": first.headline or next((r.headline for r in rows if r.headline), ""),
                "state": standing.state,
                "task": standing.task,
                "deadline": standing.deadline,
                "urgent": any(row.urgent for row in rows),
                "exercise": first.exercise,
                "messages": len(rows),
                "opened_at": first.log_time,
                "moved_at": last.log_time,
            }
            known = _row(connection, conversation)
            reopened = known is not None and known.closed_at is not None and last.log_time > known.closed_at
            if known is None or known.closed_at is None or reopened:
                values |= {"status": standing.status.value}
            if reopened:
                values |= {"closed_at": None, "closed_by": None}
            if traced is not None and standing.closed_at is not None:
                values |= {"status": Status.CLOSED.value, "closed_at": standing.closed_at}
            make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            full = {"conversation": conversation, "status": standing.status.value, **values}
            connection.execute(
                make(cases).values(full).on_conflict_do_update(index_elements=["conversation"], set_=values)
            )
            found = _row(connection, conversation)
            assert found is not None
            return found

    def close(self, conversation: str, person: str, outcome: str, at: int) -> None:
        """Note that a case is closed here.

        Raises:
            ConflictError: ``case_closed``.
            NotFoundError: ``unknown_case``.
        """
        case = self.get(conversation)
        if case.closed_at is not None and case.closed_by is not None:
            raise ConflictError("case_closed", f"this case is closed already, by {case.closed_by}")
        self._set(
            conversation,
            status=Status.CLOSED.value,
            closed_at=max(at, case.moved_at),
            closed_by=person,
            outcome=outcome,
            task=None,
            deadline=None,
        )

    def reopen(self, conversation: str) -> None:
        """Take back that a case is closed here; `follow` then says where it stands."""
        self._set(conversation, closed_at=None, closed_by=None, outcome=None)

    # --- what people say of it ---

    def assign(self, conversation: str, owner: str | None) -> None:
        """Say who looks after a case; None: nobody."""
        self._set(conversation, owner=owner)

    def note(self, conversation: str, person: str, said: str, at: int) -> None:
        """Add a note.

        Raises:
            MalformedError: ``empty_note``: nothing is said, or more than 10,000 characters.
        """
        said = said.strip()
        if not said or len(said) > 10_000:
            malformed("empty_note", "expected a note of 1 to 10,000 characters")
        self.get(conversation)
        with self._database.write() as connection:
            connection.execute(
                insert(notes).values(conversation=conversation, at=at, person=person, text=said)
            )

    def _set(self, conversation: str, **values: Any) -> None:
        with self._database.write() as connection:
            done = connection.execute(
                update(cases).where(cases.c.conversation == conversation).values(**values)
            )
            if done.rowcount == 0:
                raise _unknown()

    # --- reading ---

    def get(self, conversation: str) -> Case:
        """A case by its conversation.

        Raises:
            NotFoundError: ``unknown_case``.
        """
        found = self.find(conversation)
        if found is None:
            raise _unknown()
        return found

    def find(self, conversation: str) -> Case | None:
        """A case by its conversation; None while its first messages are still being filed."""
        with self._database.read() as connection:
            return _row(connection, conversation)

    def notes(self, conversation: str) -> tuple[Note, ...]:
        """The notes of a case, the oldest first."""
        query = select(notes).where(notes.c.conversation == conversation).order_by(notes.c.number)
        with self._database.read() as connection:
            return tuple(Note(row.at, row.person, row.text) for row in connection.execute(query))

    def page(
        self, wanted: CaseFilter | None = None, *, after: str | None = None, limit: int = PAGE, now: int = 0
    ) -> tuple[tuple[Case, ...], str | None]:
        """Cases that pass a filter, those that moved last first; and the place of the page after them.

        Raises:
            MalformedError: ``bad_place``.
        """
        asked = wanted or CaseFilter()
        query = select(cases).order_by(cases.c.moved_at.desc(), cases.c.number.desc())
        for column, value in (
            (cases.c.status, asked.status),
            (cases.c.owner, asked.owner),
            (cases.c.type, asked.type),
        ):
            if value:
                query = query.where(column == value)
        waits = cases.c.status.in_([Status.WAITING_FOR_US.value, Status.WAITING_FOR_THEM.value])
        only: dict[str, list[Any]] = {
            "urgent": [cases.c.urgent],
            "overdue": [waits, cases.c.deadline < now],
            "unowned": [cases.c.owner.is_(None)],
            "active": [cases.c.status.not_in([Status.CLOSED.value, Status.NOTICE.value])],
        }
        query = query.where(*only.get(asked.only, []))
        if after is not None:
            moved, _, number = after.partition(".")
            if not (moved.isascii() and moved.isdecimal() and number.isascii() and number.isdecimal()):
                malformed("bad_place", "expected the place of a page, as the page before it names it")
            query = query.where(tuple_(cases.c.moved_at, cases.c.number) < tuple_(int(moved), int(number)))
        with self._database.read() as connection:
            rows = connection.execute(query.limit(limit + 1)).all()
        found = tuple(map(_case, rows[:limit]))
        return found, (found[-1].place if len(rows) > limit else None)

    def waiting(self, now: int) -> tuple[int, int]:
        """How many cases wait for this agency, and how many of these are overdue."""
        ours = cases.c.status == Status.WAITING_FOR_US.value
        with self._database.read() as connection:
            count = connection.execute(select(func.count()).where(ours)).scalar_one()
            late = connection.execute(
                select(func.count()).where(and_(ours, cases.c.deadline < now))
            ).scalar_one()
        return int(count), int(late)

    def behind(self) -> tuple[str, ...]:
        """Conversations of which the desk holds messages that their case does not count."""
        held = (
            select(messages.c.conversation, func.count().label("held"))
            .group_by(messages.c.conversation)
            .subquery()
        )
        query = (
            select(held.c.conversation)
            .outerjoin(cases, cases.c.conversation == held.c.conversation)
            .where(or_(cases.c.messages.is_(None), cases.c.messages != held.c.held))
        )
        with self._database.read() as connection:
            return tuple(row.conversation for row in connection.execute(query))

    def running(self) -> tuple[str, ...]:
        """Conversations that are not closed and that time may move: those that are followed again now and then."""
        query = select(cases.c.conversation).where(
            cases.c.status.in_(
                [Status.WAITING_FOR_US.value, Status.WAITING_FOR_THEM.value, Status.ANSWERED.value]
            )
        )
        with self._database.read() as connection:
            return tuple(row.conversation for row in connection.execute(query))


@dataclass(frozen=True, slots=True)
class _Standing:
    status: Status
    state: str | None = None
    task: str | None = None
    deadline: int | None = None
    closed_at: int | None = None


def _of_trace(traced: TracedCase, own: str) -> _Standing:
    """Where a trace stands for an agency: of several, the one that asks most of it."""
    traces = traced.traced.traces
    if not traces:
        return _Standing(Status.WAITING_FOR_THEM)
    ours = sorted((due for due in traced.due if due.who == own), key=lambda due: _FIRST.index(due.task))
    closed = [trace.closing.at for trace in traces if trace.closing is not None]
    running = [trace for trace in traces if trace.state not in OVER]
    state = (running or list(traces))[-1].state
    if len(closed) == len(traces):
        return _Standing(Status.CLOSED, state.value, closed_at=max(closed))
    if not running:
        return _Standing(Status.ANSWERED, state.value)
    if ours:
        first = ours[0]
        answered = first.task is Task.CLOSE
        status = Status.ANSWERED if answered else Status.WAITING_FOR_US
        return _Standing(status, state.value, first.task.value, _until(ours))
    deadlines = [t.clock.due_at for t in running if t.clock.due_at is not None]
    mine = any(t.clock.requested == own for t in running)
    if state in {TraceState.ANSWERED, TraceState.REFUSED, TraceState.RESTRICTED}:
        return _Standing(Status.ANSWERED, state.value)
    status = (
        Status.WAITING_FOR_US if mine and state is not TraceState.INFO_NEEDED else Status.WAITING_FOR_THEM
    )
    return _Standing(status, state.value, None, min(deadlines, default=None))


def _until(due: Iterable[Due]) -> int | None:
    return min((one.until for one in due if one.until is not None), default=None)


def _of_talk(rows: Sequence[Any], first: Any) -> _Standing:
    """Where any other conversation stands."""
    answers = [row for row in rows if row.type in TYPES and TYPES[row.type].is_answer]
    if first.type in _NOTICES and not answers:
        return _Standing(Status.NOTICE)
    if any('"stage":"final"' in row.manifest for row in answers):
        return _Standing(Status.ANSWERED)
    last = rows[-1]
    deadline = _reply_by(first)
    if last.direction == "in":
        return _Standing(Status.WAITING_FOR_US, deadline=deadline)
    return _Standing(Status.WAITING_FOR_THEM, deadline=deadline)


def _reply_by(first: Any) -> int | None:
    value = json.loads(first.manifest).get("reply_by")
    return value if isinstance(value, int) else None


def _row(connection: Connection, conversation: str) -> Case | None:
    row = connection.execute(select(cases).where(cases.c.conversation == conversation)).first()
    return _case(row) if row is not None else None


def _case(row: Row[Any]) -> Case:
    values = dict(row._mapping)  # noqa: SLF001  the documented way to a row by names
    return Case(**{**values, "status": Status(values["status"])})


def _unknown() -> NotFoundError:
    return NotFoundError("unknown_case", "there is no such case at this desk")
