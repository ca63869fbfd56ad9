"""The core of a client: all flows over one profile, and nothing that waits or connects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

from countermark_client._accounts import Accounts
from countermark_client._boxes import Boxes
from countermark_client._flows_inbox import Inbox
from countermark_client._flows_log import Progress, verify_log
from countermark_client._flows_send import Sender
from countermark_client._io import Flow
from countermark_client._log import LogView
from countermark_client._models import Draft, LogReport, Outcome, Rejected
from countermark_client._profile import Profile
from countermark_client._revocations import Revocations
from countermark_client._session import Clock, Session, system_clock
from countermark_client._settings import Settings
from countermark_client._store import OutboxState
from countermark_client.statements import Drafts
from countermark_protocol.boxes import Box
from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.errors import (
    CountermarkError,
    InconsistentLogError,
    TransportError,
    UncheckableError,
)

T = TypeVar("T")

#: A leaf, document or key of a form that this software does not know: it must be updated before it sends on.
_TOO_OLD: Final = frozenset({"unknown_kind", "unknown_version", "algorithm_reserved"})


class Core:
    """Everything a client does, as flows."""

    def __init__(self, profile: Profile, settings: Settings | None, clock: Clock | None) -> None:
        self.profile = profile
        self.session = Session(profile, settings or Settings(), clock or system_clock)
        self.log = LogView(self.session)
        accounts = Accounts(self.session, self.log)
        self.revocations = Revocations(self.session, self.log)
        self.sender = Sender(self.session, self.log, accounts, self.revocations)
        self.boxes = Boxes(self.session, self.log, accounts, self.sender)
        self.inbox = Inbox(self.session, self.revocations, accounts, self.sender, self.boxes)
        self.rejected: list[Rejected] = []

    def guarded(self, flow: Flow[T]) -> Flow[T]:
        """Run a flow; stop sending when it meets a contradiction, or what this software is too old to check."""
        try:
            self.revocations.raise_overdue()
            return (yield from flow)
        except InconsistentLogError as error:
            self.log.halt(error)
            raise
        except UncheckableError as error:
            if error.code in _TOO_OLD:
                self.log.halt(error)
            raise

    def send_next(self, draft: Draft) -> Flow[Outcome]:
        """One step of `send_many`: what is refused does not stop what follows; a broker away does."""
        try:
            sent = yield from self.sender.send(draft)
        except (TransportError, InconsistentLogError):
            raise
        except CountermarkError as error:
            if self.log.halted is not None:
                raise
            return Outcome(draft, None, error)
        return Outcome(draft, sent, None)

    def sync_sent(self) -> Flow[int]:
        """Read the box ``sent`` to its end and compare it with what this profile knows to have sent."""
        # What waits is answered first: an answer lost on the way must not look like a stranger's entry.
        if self.log.halted is None and self.session.store.outbox(OutboxState.WAITING):
            yield from self.sender.flush_waiting()
        return (yield from self.boxes.read_all(Box.SENT))

    def verify_log(self, progress: Progress | None) -> Flow[LogReport]:
        """Recompute the whole log."""
        return (yield from verify_log(self.session, self.log, progress))

    def sync(self) -> Flow[Checkpoint]:
        """Read the directory and a fresh checkpoint; see `Client.sync`."""
        checkpoint = yield from self.log.sync()
        self.revocations.raise_overdue()
        return checkpoint

    def publish(self, data: bytes) -> Flow[int]:
        """Post a directory statement."""
        return (yield from self.sender.publish(data))

    @property
    def drafts(self) -> Drafts:
        """Drafts of directory statements, from the directory as read."""
        return Drafts(self.profile.log, self.log.directory, self.log.seen)


def as_drafts(items: Iterable[Draft]) -> Iterable[Draft]:
    """Refuse what is no draft before anything of it is sent."""
    for item in items:
        if not isinstance(item, Draft):
            msg = f"expected a Draft, got {type(item).__name__}"
            raise TypeError(msg)
        yield item
