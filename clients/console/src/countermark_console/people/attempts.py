"""How often somebody may try: after a few failures, each costs twice the wait of the one before.

Counted per account name and per source address, known or not, so that an answer tells nothing about either.

Source: NIST SP 800-63B-4 §3.2.2 (rate limiting).
"""

from __future__ import annotations

import hashlib
from typing import Final

from sqlalchemy import delete, select

from countermark_console.clock import DAY, MINUTE, SECOND, Clock
from countermark_console.errors import TooManyError
from countermark_console.store.database import Database
from countermark_console.store.tables import attempts
from countermark_console.texts import N_

#: Failures without a wait: of one account; of one source, from which many may work.
FREE_OF_ACCOUNT: Final = 5
FREE_OF_SOURCE: Final = 20
LONGEST_WAIT: Final = 15 * MINUTE
#: After so long without a failure, all is forgotten.
FORGOTTEN: Final = DAY


def wait_until(failures: int, last: int, free: int) -> int:
    """When the next attempt is looked at, ms since 1970.

    Args:
        failures: so far.
        last: of them, ms since 1970.
        free: failures without a wait.
    """
    over = failures - free
    if over < 0:
        return last
    return last + min(LONGEST_WAIT, 5 * SECOND << min(over, 20))


class Attempts:
    """Failed attempts, kept in the database: a restart forgives nothing.

    Args:
        database: with the table.
        clock: ms since 1970.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def check(self, *subjects: tuple[str, int]) -> None:
        """Whether an attempt is looked at now.

        Args:
            subjects: (such as ``account:jdoe``, its free failures).

        Raises:
            TooManyError: ``too_many_attempts``, with ``wait_s``.
        """
        now = self._clock()
        with self._database.read() as connection:
            waits = [0]
            for subject, free in subjects:
                row = connection.execute(
                    select(attempts.c.failures, attempts.c.last).where(attempts.c.subject == _key(subject))
                ).first()
                if row is not None and now - row.last < FORGOTTEN:
                    waits.append(wait_until(row.failures, row.last, free))
        if max(waits) > now:
            raise TooManyError(
                "too_many_attempts",
                N_("Too many failed attempts. Wait, then try again"),
                wait_s=-(-(max(waits) - now) // SECOND),
            )

    def failed(self, *subjects: tuple[str, int]) -> None:
        """Count a failure of each."""
        now = self._clock()
        with self._database.write() as connection:
            connection.execute(delete(attempts).where(attempts.c.last < now - FORGOTTEN))
            for subject, _ in subjects:
                key = _key(subject)
                row = connection.execute(select(attempts.c.failures).where(attempts.c.subject == key)).first()
                if row is None:
                    connection.execute(attempts.insert().values(subject=key, failures=1, last=now))
                else:
                    connection.execute(
                        attempts.update()
                        .where(attempts.c.subject == key)
                        .values(failures=row.failures + 1, last=now)
                    )

    def succeeded(self, subject: tuple[str, int]) -> None:
        """Forget the failures of an account. Those of its source stay: who has one account could try others."""
        with self._database.write() as connection:
            connection.execute(delete(attempts).where(attempts.c.subject == _key(subject[0])))


def of_account(name: str) -> tuple[str, int]:
    """The subject for an account name, known or not."""
    return f"account:{name.lower()}", FREE_OF_ACCOUNT


def of_source(address: str) -> tuple[str, int]:
    """The subject for a source address."""
    return f"source:{address}", FREE_OF_SOURCE


def _key(subject: str) -> bytes:
    # A person may type the password where the name belongs: names that failed are not kept readable.
    return hashlib.sha256(subject.encode()).digest()
