"""Sessions, kept by the server: a random id, of which the store holds the hash, with an idle and an absolute end.

A session begins when the password was right, gets a new id when the second factor was, and ends by itself, by
its person, and at any change of the person's roles or password.

Source: OWASP Session Management Cheat Sheet; NIST SP 800-63B-4 §5.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import delete, select

from countermark_console.clock import HOUR, MINUTE, Clock
from countermark_console.people.accounts import People, Person
from countermark_console.store.database import Database
from countermark_console.store.tables import people, sessions
from countermark_protocol.errors import NotFoundError

#: How long a half-way session waits for the second factor.
HALFWAY: Final = 10 * MINUTE
#: `seen` is written at most so often.
_GRAIN: Final = MINUTE


class Stage(StrEnum):
    """How far a person has come."""

    SECOND_FACTOR = "second-factor"
    NEW_SECOND_FACTOR = "new-second-factor"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class Session:
    """A session, as a request finds it.

    Attributes:
        token: the cookie's value.
        person: whose it is.
        stage: whether the second factor is still to come.
        created: ms since 1970.
        notice: to be shown on the next page: text and values, or None.
    """

    token: str
    person: Person
    stage: Stage
    created: int
    notice: tuple[str, dict[str, Any]] | None


def ended(created: int, seen: int, now: int, *, stage: Stage, idle_ms: int, absolute_ms: int) -> bool:
    """Whether a session is over. All in ms since 1970, and ms."""
    if stage is not Stage.COMPLETE:
        return now - created >= HALFWAY
    return now - seen >= idle_ms or now - created >= absolute_ms


def form_token(token: str) -> str:
    """What a form of this session carries against forgery: nobody derives it who does not hold the cookie.

    Args:
        token: the cookie's value.
    """
    return hmac.new(token.encode(), b"countermark console form", hashlib.sha256).hexdigest()


class Sessions:
    """The sessions that stand.

    Args:
        database: with the table.
        accounts: whose sessions they are.
        clock: ms since 1970.
        idle_minutes: without an action of the person.
        hours: at most, in all.
    """

    def __init__(
        self, database: Database, accounts: People, clock: Clock, *, idle_minutes: int, hours: int
    ) -> None:
        self._database = database
        self._people = accounts
        self._clock = clock
        self._idle_ms = idle_minutes * MINUTE
        self._absolute_ms = hours * HOUR

    def begin(self, person: Person, stage: Stage, source: str) -> str:
        """Begin one; the cookie's value."""
        token = secrets.token_urlsafe(32)
        now = self._clock()
        with self._database.write() as connection:
            connection.execute(
                sessions.insert().values(
                    hash=_hash(token),
                    person=person.id,
                    stage=stage,
                    created=now,
                    seen=now,
                    source=source[:60],
                    notice="",
                )
            )
        return token

    def find(self, token: str, *, passive: bool = False) -> Session | None:
        """The session of a cookie; None if there is none, or it is over.

        Args:
            token: the cookie's value.
            passive: whether the request is a page's own, such as one that looks for news: it keeps nobody awake.
        """
        if not token:
            return None
        key, now = _hash(token), self._clock()
        with self._database.read() as connection:
            row = connection.execute(select(sessions).where(sessions.c.hash == key)).first()
        if row is None:
            return None
        stage = Stage(row.stage)
        over = ended(
            row.created, row.seen, now, stage=stage, idle_ms=self._idle_ms, absolute_ms=self._absolute_ms
        )
        try:
            person = self._people.get(row.person)
        except NotFoundError:
            over = True
        if over or not person.active:
            self.end(token)
            return None
        if not passive and now - row.seen >= _GRAIN:
            with self._database.write() as connection:
                connection.execute(sessions.update().where(sessions.c.hash == key).values(seen=now))
        notice = tuple(json.loads(row.notice)) if row.notice else None
        return Session(token, person, stage, row.created, notice)

    def advance(self, session: Session, source: str) -> str:
        """The second factor was right: the session goes on under a new id, the cookie's new value."""
        self.end(session.token)
        return self.begin(session.person, Stage.COMPLETE, source)

    def say(self, session: Session, text: str, values: dict[str, Any]) -> None:
        """Have the next page show a notice. The text is marked by ``N_``."""
        self._set_notice(session, json.dumps([text, values]))

    def said(self, session: Session) -> None:
        """The notice was shown."""
        self._set_notice(session, "")

    def _set_notice(self, session: Session, notice: str) -> None:
        with self._database.write() as connection:
            connection.execute(
                sessions.update().where(sessions.c.hash == _hash(session.token)).values(notice=notice)
            )

    def end(self, token: str) -> None:
        """End one."""
        with self._database.write() as connection:
            connection.execute(delete(sessions).where(sessions.c.hash == _hash(token)))

    def end_others(self, session: Session) -> int:
        """End the person's other sessions; how many there were."""
        with self._database.write() as connection:
            return connection.execute(
                delete(sessions).where(
                    sessions.c.person == session.person.id, sessions.c.hash != _hash(session.token)
                )
            ).rowcount

    def sweep(self) -> None:
        """Forget sessions that are over."""
        now = self._clock()
        with self._database.write() as connection:
            connection.execute(
                delete(sessions).where(
                    (sessions.c.created <= now - self._absolute_ms)
                    | (sessions.c.seen <= now - self._idle_ms)
                    | ((sessions.c.stage != Stage.COMPLETE) & (sessions.c.created <= now - HALFWAY))
                    | sessions.c.person.not_in(select(people.c.id))
                )
            )


def _hash(token: str) -> bytes:
    return hashlib.sha256(b"countermark console session\x00" + token.encode()).digest()
