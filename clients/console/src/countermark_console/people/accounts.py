"""Accounts: who may work at the console. Every change of one is an entry of the agency's log."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, delete, func, select

from countermark_console.agency_log import actions
from countermark_console.agency_log.log import AgencyLog
from countermark_console.clock import Clock
from countermark_console.errors import InputError
from countermark_console.people.attempts import Attempts, of_account, of_source
from countermark_console.people.passwords import check_new_password, hash_password, password_matches
from countermark_console.people.roles import Right, Role, rights
from countermark_console.people.second_factor import fresh_recovery_codes, matching_step, recovery_hash
from countermark_console.store.database import Database
from countermark_console.store.tables import people, recovery_codes, sessions
from countermark_console.texts import LANGUAGES, N_
from countermark_protocol.errors import NotFoundError

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,63}\Z")
THEMES: Final = ("auto", "light", "dark")


@dataclass(frozen=True, slots=True)
class Person:
    """An account.

    Attributes:
        id: in the database.
        name: by which the person signs in; in the agency's log.
        full_name: for people.
        email: for notices without content; may be empty.
        roles: what the person is entrusted with.
        active: whether it may sign in.
        external: name at the OpenID Connect provider; None for a local account.
        has_totp: whether a second factor is set up.
        language: of `LANGUAGES`; empty: as the browser says.
        theme: of `THEMES`.
        created: ms since 1970.
        last_seen: ms since 1970 of the last sign-in; None before.
    """

    id: int
    name: str
    full_name: str
    email: str
    roles: frozenset[Role]
    active: bool
    external: str | None
    has_totp: bool
    language: str
    theme: str
    created: int
    last_seen: int | None

    @property
    def rights(self) -> frozenset[Right]:
        """What the roles give."""
        return rights(self.roles)

    def may(self, right: Right) -> bool:
        """Whether the roles give a right."""
        return right in self.rights


class People:
    """The accounts of an agency.

    Args:
        database: with the tables.
        log: of the agency.
        attempts: failed ones.
        clock: ms since 1970.
    """

    def __init__(self, database: Database, log: AgencyLog, attempts: Attempts, clock: Clock) -> None:
        self._database = database
        self._log = log
        self._attempts = attempts
        self._clock = clock

    # --- reading ---

    def any(self) -> bool:
        """Whether there is any account."""
        with self._database.read() as connection:
            return bool(connection.execute(select(func.count()).select_from(people)).scalar())

    def all(self) -> list[Person]:
        """All accounts, by name."""
        with self._database.read() as connection:
            return [_person(row) for row in connection.execute(select(people).order_by(people.c.name))]

    def get(self, person: int) -> Person:
        """An account.

        Raises:
            NotFoundError: ``no_such_person``.
        """
        with self._database.read() as connection:
            return _person(self._row(connection, people.c.id == person))

    def by_external(self, external: str) -> Person | None:
        """The active account of a person at the OpenID Connect provider."""
        with self._database.read() as connection:
            row = connection.execute(
                select(people).where(people.c.external == external, people.c.active)
            ).first()
        return _person(row) if row is not None else None

    @staticmethod
    def _row(connection: Connection, condition: Any) -> Any:
        row = connection.execute(select(people).where(condition)).first()
        if row is None:
            raise NotFoundError("no_such_person", "there is no such account")
        return row

    # --- signing in ---

    def check_password(self, name: str, password: str, source: str) -> Person:
        """The account that name and password belong to.

        Raises:
            TooManyError: too many failures, of the name or from the source.
            InputError: ``sign_in_failed``: the same, whatever was wrong, after the same work.
        """
        known = name.strip().lower()
        subjects = of_account(known), of_source(source)
        self._attempts.check(*subjects)
        with self._database.read() as connection:
            row = connection.execute(select(people).where(people.c.name == known)).first()
        kept = row.password if row is not None and row.active else None
        if not password_matches(kept, password):
            self._attempts.failed(*subjects)
            self._log.write(known if row is not None else "?", actions.SIGN_IN_FAILED, source)
            raise InputError("sign_in_failed", N_("Name or password is not right"))
        assert row is not None
        self._attempts.succeeded(subjects[0])
        return _person(row)

    def check_code(self, person: Person, code: str, source: str) -> bool:
        """Check a code of the second factor, or a recovery code, which is then used up.

        Returns:
            Whether it was a recovery code.

        Raises:
            TooManyError: too many failures.
            InputError: ``wrong_code``.
        """
        subjects = of_account(f"{person.name}/code"), of_source(source)
        self._attempts.check(*subjects)
        now = self._clock()
        with self._log.transaction() as recording:
            connection = recording.connection
            row = self._row(connection, people.c.id == person.id)
            step = matching_step(bytes(row.totp), code, now, row.totp_step) if row.totp else None
            used = 0
            if step is not None:
                connection.execute(people.update().where(people.c.id == person.id).values(totp_step=step))
            else:
                used = connection.execute(
                    recovery_codes.update()
                    .where(
                        recovery_codes.c.person == person.id,
                        recovery_codes.c.hash == recovery_hash(code),
                        recovery_codes.c.used.is_(None),
                    )
                    .values(used=now)
                ).rowcount
                if used:
                    recording.write(person.name, actions.RECOVERY_CODE_USED)
        if step is None and not used:
            self._attempts.failed(*subjects)
            self._log.write(person.name, actions.CODE_FAILED, source)
            raise InputError("wrong_code", N_("That code is not right, or was used already"), field="code")
        self._attempts.succeeded(subjects[0])
        return bool(used)

    # --- changing ---

    def add(
        self,
        by: str,
        name: str,
        full_name: str,
        roles: Iterable[Role],
        *,
        password: str | None = None,
        external: str | None = None,
        email: str = "",
    ) -> Person:
        """Make an account: local with a password, or of a person at the OpenID Connect provider.

        Args:
            by: who makes it.
            name: lower-case letters, digits, dot, hyphen, underscore.
            full_name: for people.
            roles: at least one.
            password: of a local account; the second factor is set up at the first sign-in.
            external: the claim's value at the provider.
            email: for notices.

        Raises:
            InputError: a field is not as it should be, or the name is taken.
        """
        plain = name.strip().lower()
        if not _NAME.match(plain):
            raise InputError(
                "bad_name",
                N_("Use 2 to 64 small letters, digits, dots or hyphens, such as j.mwangi"),
                field="name",
            )
        if not full_name.strip():
            raise InputError("no_full_name", N_("Enter the person's name"), field="full_name")
        local = password is not None
        if local is (external is not None):
            raise InputError(
                "no_password", N_("Give either a password or a name at the sign-in service"), field="password"
            )
        if password is not None:
            check_new_password(password, plain)
        with self._log.transaction() as recording:
            connection = recording.connection
            taken = (people.c.name == plain) | (
                people.c.external == external if external is not None else people.c.name == plain
            )
            if connection.execute(select(people.c.id).where(taken)).first() is not None:
                raise InputError("name_taken", N_("There is an account of that name already"), field="name")
            given = frozenset(roles)
            connection.execute(
                people.insert().values(
                    name=plain,
                    full_name=full_name.strip()[:200],
                    email=email.strip()[:254],
                    roles=" ".join(sorted(given)),
                    active=True,
                    password=hash_password(password) if password is not None else None,
                    external=external,
                    totp_step=0,
                    language="",
                    theme=THEMES[0],
                    created=self._clock(),
                )
            )
            recording.write(by, actions.ACCOUNT_ADDED, plain, ", ".join(sorted(given)))
            return _person(self._row(connection, people.c.name == plain))

    def set_roles(self, by: str, person: Person, roles: Iterable[Role], *, active: bool) -> None:
        """Change what a person may do. The person's sessions end.

        Raises:
            InputError: ``last_administrator``.
        """
        given = frozenset(roles)
        with self._log.transaction() as recording:
            connection = recording.connection
            rest = [
                row
                for row in connection.execute(select(people).where(people.c.id != person.id, people.c.active))
                if Role.ADMINISTRATOR in row.roles.split()
            ]
            if not rest and not (active and Role.ADMINISTRATOR in given):
                raise InputError("last_administrator", N_("Somebody must stay administrator"), field="roles")
            connection.execute(
                people.update()
                .where(people.c.id == person.id)
                .values(roles=" ".join(sorted(given)), active=active)
            )
            self._end_sessions(connection, person)
            recording.write(
                by,
                actions.ACCOUNT_CHANGED,
                person.name,
                f"{', '.join(sorted(given))}{'' if active else '; suspended'}",
            )

    def set_password(self, by: str, person: Person, password: str) -> None:
        """Set a password. The person's sessions end, and so does a second factor that another person resets.

        Raises:
            InputError: the password is too weak.
        """
        check_new_password(password, person.name)
        with self._log.transaction() as recording:
            connection = recording.connection
            values: dict[str, Any] = {"password": hash_password(password), "external": None}
            if by != person.name:
                values |= {"totp": None, "totp_step": 0}
                connection.execute(delete(recovery_codes).where(recovery_codes.c.person == person.id))
            connection.execute(people.update().where(people.c.id == person.id).values(**values))
            self._end_sessions(connection, person)
            recording.write(by, actions.PASSWORD_SET, person.name)

    def set_totp(self, person: Person, secret: bytes, code: str) -> list[str]:
        """Set up the second factor, once the authenticator has shown that it holds the secret.

        Returns:
            Recovery codes, to be shown once.

        Raises:
            InputError: ``wrong_code``.
        """
        step = matching_step(secret, code, self._clock(), 0)
        if step is None:
            raise InputError(
                "wrong_code",
                N_("That code is not right: is the clock of your telephone right?"),
                field="code",
            )
        with self._log.transaction() as recording:
            recording.connection.execute(
                people.update().where(people.c.id == person.id).values(totp=secret, totp_step=step)
            )
            codes = self._fresh_codes(recording.connection, person)
            recording.write(person.name, actions.SECOND_FACTOR_SET, person.name)
        return codes

    def new_recovery_codes(self, person: Person) -> list[str]:
        """Fresh recovery codes in place of the former ones."""
        with self._log.transaction() as recording:
            codes = self._fresh_codes(recording.connection, person)
            recording.write(person.name, actions.RECOVERY_CODES_MADE, person.name)
        return codes

    def codes_left(self, person: Person) -> int:
        """How many recovery codes are unused."""
        with self._database.read() as connection:
            return (
                connection.execute(
                    select(func.count())
                    .select_from(recovery_codes)
                    .where(recovery_codes.c.person == person.id, recovery_codes.c.used.is_(None))
                ).scalar()
                or 0
            )

    def set_preferences(
        self, person: Person, *, language: str | None = None, theme: str | None = None
    ) -> None:
        """Set language (empty: as the browser says) and theme; what is None stays."""
        values = {}
        if language is not None and (language in LANGUAGES or not language):
            values["language"] = language
        if theme in THEMES:
            values["theme"] = theme
        if values:
            with self._database.write() as connection:
                connection.execute(people.update().where(people.c.id == person.id).values(**values))

    def seen(self, person: Person) -> None:
        """Note a sign-in."""
        with self._database.write() as connection:
            connection.execute(
                people.update().where(people.c.id == person.id).values(last_seen=self._clock())
            )

    @staticmethod
    def _fresh_codes(connection: Connection, person: Person) -> list[str]:
        codes = fresh_recovery_codes()
        connection.execute(delete(recovery_codes).where(recovery_codes.c.person == person.id))
        connection.execute(
            recovery_codes.insert(), [{"person": person.id, "hash": recovery_hash(code)} for code in codes]
        )
        return codes

    @staticmethod
    def _end_sessions(connection: Connection, person: Person) -> None:
        connection.execute(delete(sessions).where(sessions.c.person == person.id))


def _person(row: Any) -> Person:
    return Person(
        id=row.id,
        name=row.name,
        full_name=row.full_name,
        email=row.email,
        roles=frozenset(Role(name) for name in row.roles.split()),
        active=row.active,
        external=row.external,
        has_totp=row.totp is not None,
        language=row.language,
        theme=row.theme,
        created=row.created,
        last_seen=row.last_seen,
    )
