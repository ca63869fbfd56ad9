"""The console as one object: everything that pages and commands work with, built in one place."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Final

from countermark_console.agency_log import actions
from countermark_console.agency_log.log import CONSOLE, AgencyLog
from countermark_console.clock import Clock, system_clock
from countermark_console.config import Settings
from countermark_console.desk.desk import Desk
from countermark_console.desk.steps import STEPS as DESK_STEPS
from countermark_console.desk.watch import duty_mail
from countermark_console.network import Network
from countermark_console.people.accounts import People
from countermark_console.people.attempts import Attempts
from countermark_console.people.openid import OpenIdConnect
from countermark_console.people.sessions import Sessions
from countermark_console.setup.enrolling import Enrolling
from countermark_console.setup.steps import SetupCode
from countermark_console.store.database import Database
from countermark_console.store.facts import Facts
from countermark_console.store.tables import STEPS
from countermark_console.vault import Vault

#: Seconds between two looks at whether keys and sessions have been idle for too long.
_TICK: Final = 5.0


@dataclass(frozen=True)
class Console:
    """One agency's console. Use `Console.open`.

    Attributes:
        settings: it runs with.
        clock: ms since 1970.
        database: the agency's own store.
        log: the agency's own log.
        attempts: failed ones.
        people: accounts.
        sessions: that stand.
        facts: single values that are kept.
        vault: the agency's keys.
        network: how the broker is reached.
        enrolling: the set-up.
        openid: signing in at a provider.
        setup_code: good for the first account.
        desk: messages, cases and drafts.
    """

    settings: Settings
    clock: Clock
    database: Database
    log: AgencyLog
    attempts: Attempts
    people: People
    sessions: Sessions
    facts: Facts
    vault: Vault
    network: Network
    enrolling: Enrolling
    openid: OpenIdConnect
    setup_code: SetupCode
    desk: Desk
    _stop: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def open(cls, settings: Settings, clock: Clock = system_clock, network: Network | None = None) -> Console:
        """Open the store, and upgrade it where it is of an earlier release.

        Raises:
            SettingsError: the database cannot be used.
        """
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        database = Database(settings.database)
        database.upgrade(STEPS, DESK_STEPS)
        log = AgencyLog(database, settings.home, clock)
        attempts = Attempts(database, clock)
        people = People(database, log, attempts, clock)
        facts = Facts(database)
        network = network or Network(verify=str(settings.broker_ca) if settings.broker_ca else True)
        vault = Vault(settings.profile_folder, clock, settings.lock_minutes, network)
        return cls(
            settings=settings,
            clock=clock,
            database=database,
            log=log,
            attempts=attempts,
            people=people,
            sessions=Sessions(
                database,
                people,
                clock,
                idle_minutes=settings.session_idle_minutes,
                hours=settings.session_hours,
            ),
            facts=facts,
            vault=vault,
            openid=OpenIdConnect(settings, clock),
            network=network,
            enrolling=Enrolling(facts, people, vault, log, network),
            setup_code=SetupCode(clock()),
            desk=Desk(
                database,
                log,
                facts,
                vault,
                clock,
                duty_mail(settings, database, log, clock),
                settings.home / "drafts",
            ),
        )

    def tick(self) -> None:
        """Lock keys and forget sessions that nobody uses."""
        if self.vault.lock_if_idle():
            self.log.write(CONSOLE, actions.KEYS_LOCKED, detail="idle")
        self.sessions.sweep()

    def start(self) -> None:
        """Begin the work that goes on beside the pages."""

        def work() -> None:
            while not self._stop.wait(_TICK):
                self.tick()

        threading.Thread(target=work, name="console-tick", daemon=True).start()
        self.desk.start()

    def close(self) -> None:
        """Lock the keys and close the store."""
        self._stop.set()
        self.vault.lock()
        self.desk.close()
        self.database.close()
