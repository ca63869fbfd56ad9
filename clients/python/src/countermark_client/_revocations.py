"""Revocations from any path: a validly signed one counts here before, and even if never, the log shows it.

Imported revocations are folded into a *copy* of the directory, by which sending is decided. Verdicts on the
log itself stay with the directory as logged: a broker that was never handed a revocation did nothing wrong.

Source: docs/spec/directory.md §3; docs/threat-model.md §4.
"""

from __future__ import annotations

import contextlib
from typing import Final

from countermark_client._io import Flow
from countermark_client._log import LogView
from countermark_client._session import Session
from countermark_client._store import StoredMessage, StoredRevocation
from countermark_protocol.claims import Kind
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import (
    ConflictError,
    NotFoundError,
    TransportError,
    UncheckableError,
    VerificationError,
)
from countermark_protocol.identifiers import KeyId
from countermark_protocol.judging import adds_to_revocation, judge_statement
from countermark_protocol.records import DirectoryStatement, RevocationRecord, parse_directory_statement
from countermark_protocol.statements import kind_of, verify_statement
from countermark_protocol.verdicts import SignatureVerdict, verdict_on_message

#: How long a connected client waits until a revocation that it knows of must stand in the log, ms.
_LOGGED_WITHIN: Final = 60_000


class Revocations:
    """What one profile knows of revoked keys beyond its directory."""

    def __init__(self, session: Session, log: LogView) -> None:
        self._session = session
        self._store = session.store
        self._log = log
        self._known = self._store.revocations()
        self._for: tuple[Directory, int] | None = None
        self._folded = log.directory
        self._missing: list[StoredRevocation] = []

    @property
    def directory(self) -> Directory:
        """The directory as logged, and in it every imported revocation that it lacks."""
        logged = self._log.directory
        if not self._known:
            return logged
        if self._for is None or self._for[0] is not logged or self._for[1] != logged.count:
            self._fold(logged)
        return self._folded

    @property
    def logged(self) -> Directory:
        """The directory as logged alone, by which messages are judged that were logged."""
        return self._log.directory

    def counts(self, key_id: KeyId) -> bool:
        """Whether an instance key of this profile's endpoint counts now, by all that is known here."""
        address = self._session.profile.address
        if address is None:
            return False
        return self.directory.instance(address, key_id, time=self._session.clock()) is not None

    def _fold(self, logged: Directory) -> None:
        folded = logged.copy()
        missing: list[StoredRevocation] = []
        for one in self._known:
            # Judged when it came: who signed it may have been replaced since, and it still counts.
            document = verify_statement(folded, parse_document(one.document))
            statement = parse_directory_statement(document.claims)
            if adds_to_revocation(folded.revocation(KeyId(one.key_id)), _record(statement)):
                folded.apply(statement, document, self._log.seen.size + len(missing), one.imported)
                missing.append(one)
        self._folded, self._missing, self._for = folded, missing, (logged, logged.count)

    def _judge(self, data: bytes) -> RevocationRecord:
        try:
            unverified = parse_document(data)
        except UncheckableError as error:
            # What somebody hands over must not make this client stop, as a log of a newer form does.
            malformed("not_a_revocation", error.message)
        if kind_of(unverified.claims) is not Kind.REVOCATION:
            malformed("not_a_revocation", "expected a revocation, got a statement of another kind")
        directory = self.directory
        document = verify_statement(directory, unverified)
        statement = judge_statement(directory, document, self._session.clock())
        if statement.header.log not in self._session.profile.log_names:
            raise VerificationError("wrong_log", "this revocation was made for another log")
        return _record(statement)

    def import_document(self, data: bytes) -> Flow[None]:
        """Verify a revocation by the directory and remember it; see `Client.import_revocation`."""
        if not self._log.directory.count:
            yield from self._log.sync()
        try:
            record = self._judge(data)
        except ConflictError:
            return  # known already, and as early
        except (NotFoundError, VerificationError):
            # Perhaps of a key, or by one, that was enrolled a moment ago; without a broker the answer stands.
            with contextlib.suppress(TransportError):
                yield from self._log.sync()
            record = self._judge(data)
        now, size = self._session.clock(), self._log.seen.size
        self._store.add_revocation(StoredRevocation(record.key_id, data, now, size, alarmed=False))
        self._known, self._for = self._store.revocations(), None

    def doubts(self, message: StoredMessage) -> bool:
        """Whether a message was logged after the revocation of its signer's key had come to this profile."""
        if not self._known or message.index is None:
            return False
        signers = {s.key_id for s in parse_document(message.document).signatures}
        return any(one.key_id in signers and message.index >= one.size for one in self._known)

    def verdict(self, message: StoredMessage) -> SignatureVerdict:
        """The verdict on the signatures of a kept message, by all that is known here of their keys."""
        document = parse_document(message.document)
        return verdict_on_message(self._log.directory, document, message.index, message.time, self.directory)

    def _overdue(self) -> list[StoredRevocation]:
        if not self._known or self.directory is self._log.directory:
            return []
        return [one for one in self._missing if self._log.synced_at >= one.imported + _LOGGED_WITHIN]

    @property
    def alarms(self) -> tuple[str, ...]:
        """What is overdue, for people."""
        return tuple(
            f"the log does not show the revocation of key {one.key_id.hex()}, known here since {one.imported}: "
            "post it, or ask the broker's operator"
            for one in self._overdue()
        )

    def raise_overdue(self) -> None:
        """Raise the alarm about a revocation that the log does not show in time, once for each.

        Raises:
            UncheckableError: ``revocation_not_logged``.
        """
        for one, alarm in zip(self._overdue(), self.alarms, strict=True):
            if not one.alarmed:
                self._store.set_revocation_alarmed(one.key_id)
                self._known, self._for = self._store.revocations(), None
                raise UncheckableError("revocation_not_logged", alarm, key_id=one.key_id.hex())


def _record(statement: DirectoryStatement) -> RevocationRecord:
    assert isinstance(statement.record, RevocationRecord)
    return statement.record
