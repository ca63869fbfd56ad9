"""Watching one's own name: a key that this profile did not make and does not know is an alarm.

An authority that was broken into, or an administrator's key that was stolen, can put a key under an endpoint's name;
the directory shows it to everybody, and nobody but the endpoint can tell that it is wrong. So every statement about
it is looked at as it is read, once.

Known are the keys in this profile's keystore, those that statements published through it name, those that stood
before its own first key did, and those that a person acknowledged. An alarm proves nothing: a colleague may have added
a worker. It is kept until somebody acknowledges it, and stops nothing.

Source: docs/spec/directory.md §11.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from countermark_client._keystore import SIGNING_USES
from countermark_client._log import LogView
from countermark_client._session import Session
from countermark_client._tables_own_keys import OwnKey
from countermark_client._words import moment
from countermark_protocol.claims import DIRECTORY_KINDS
from countermark_protocol.directory import Held
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import NotFoundError
from countermark_protocol.identifiers import KeyId
from countermark_protocol.records import keys_in, parse_directory_statement
from countermark_protocol.statements import kind_of

#: Statements of the directory below this log index were looked at.
_LOOKED: Final = "own_keys_looked"
#: How a key comes to be known.
MADE: Final = "made"
STOOD: Final = "stood-before"
PUBLISHED: Final = "published"
ACKNOWLEDGED: Final = "acknowledged"


def alarm_text(key: OwnKey) -> str:
    """An alarm in words."""
    return (
        f"key {key.key_id.hex()} stands under this endpoint's name and was not made here: '{key.subject}', entry "
        f"{key.index}, {moment(key.time)}. Ask your administrator and your authority; if nobody of yours made it, have "
        "it revoked"
    )


class OwnKeys:
    """What one profile knows of the keys under its own name."""

    def __init__(self, session: Session, log: LogView) -> None:
        self._session = session
        self._store = session.store
        self._log = log
        self._count = -1

    def _subjects(self) -> tuple[str, ...]:
        address = self._session.profile.address
        return () if address is None else (f"endpoint/{address}", f"keys/{address}")

    def _held_here(self) -> frozenset[KeyId]:
        keystore = self._session.profile.keystore
        signing = (s.public_key.key_id for use in SIGNING_USES for s in keystore.signers(use))
        return frozenset((*signing, *(k.public_key.key_id for k in keystore.sealing_keys())))

    def look(self) -> None:
        """Look at what the directory shows of this endpoint since the last look, and tell of every stranger."""
        directory = self._log.directory
        if directory.count == self._count:
            return
        self._count = directory.count
        records = sorted((h for s in self._subjects() for h in directory.history(s)), key=lambda h: h.index)
        kept = self._store.meta(_LOOKED)
        looked = int(kept) if kept is not None else 0
        new = [h for h in records if h.index >= looked]
        if not new:
            return
        own = self._held_here()
        before = looked if kept is not None else _first_own(records, own) + 1
        found: list[OwnKey] = []
        with self._store.transaction():
            for held in new:
                found += self._added(held, own, STOOD if held.index < before else None)
            self._store.set_meta(_LOOKED, str(records[-1].index + 1).encode())
        for key in found:
            self._session.watch.alarmed(alarm_text(key))

    def _added(self, held: Held, own: frozenset[KeyId], known: str | None) -> Iterator[OwnKey]:
        now = self._session.clock()
        for public in keys_in(held.record):
            how = MADE if public.key_id in own else known
            key = OwnKey(public.key_id, held.subject, held.index, held.time, now, how)
            if self._store.add_own_key(key) and how is None:
                yield key

    def publishing(self, data: bytes) -> None:
        """Take note of a directory statement that is published through this profile: whoever does so knows its keys."""
        unverified = parse_document(data)
        if kind_of(unverified.claims) not in DIRECTORY_KINDS:
            return
        statement = parse_directory_statement(unverified.claims)
        if statement.subject not in self._subjects():
            return
        now = self._session.clock()
        with self._store.transaction():
            for public in keys_in(statement.record):
                size = self._log.seen.size
                self._store.add_own_key(OwnKey(public.key_id, statement.subject, size, now, now, PUBLISHED))

    @property
    def strangers(self) -> tuple[OwnKey, ...]:
        """Keys that nobody here made or acknowledged, in log order."""
        return tuple(key for key in self._store.own_keys() if key.known is None)

    def acknowledge(self, key_id: bytes) -> None:
        """Take a key as known, after people have asked who made it.

        Raises:
            NotFoundError: ``no_such_alarm``.
        """
        if all(key.key_id != key_id for key in self.strangers):
            raise NotFoundError("no_such_alarm", f"there is no alarm about key {key_id.hex()}")
        self._store.set_own_key_known(key_id, ACKNOWLEDGED)


def _first_own(records: list[Held], own: frozenset[KeyId]) -> int:
    """Index of the first statement that names a key of this profile; of the newest one where none does yet."""
    naming = (h.index for h in records if any(k.key_id in own for k in keys_in(h.record)))
    return next(naming, records[-1].index)
