"""The core of a client: all flows over one profile, and nothing that waits or connects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

from countermark_client._accounts import Accounts
from countermark_client._acting import Acts
from countermark_client._asking import Asking
from countermark_client._boxes import Boxes
from countermark_client._bundle_carrier import Carrier
from countermark_client._bundle_post import Imported, OfflinePost
from countermark_client._carried import Carried
from countermark_client._continuity import show_sizes
from countermark_client._custody import Chains
from countermark_client._disclosing import Disclosing
from countermark_client._evidence import Gatherer
from countermark_client._fetching import Fetching
from countermark_client._flows_inbox import Inbox
from countermark_client._flows_log import Progress, verify_log
from countermark_client._flows_receipts import Receipts
from countermark_client._flows_send import Sender
from countermark_client._flows_webhooks import Webhooks
from countermark_client._forwarding import Forwarding
from countermark_client._invitations import Invitations
from countermark_client._io import Flow
from countermark_client._key_proofs import accept_keys, prove_keys
from countermark_client._log import LogView
from countermark_client._models import Draft, LogReport, MessageRef, Recalled, Rejected, message_hash
from countermark_client._overview import Overview
from countermark_client._own_keys import OwnKeys
from countermark_client._profile import Profile
from countermark_client._purges import Purges
from countermark_client._renewal import Renewal
from countermark_client._restored import Restored
from countermark_client._retention import Retention
from countermark_client._revocations import Revocations
from countermark_client._self_check import SelfChecker
from countermark_client._session import Clock, Session, system_clock
from countermark_client._settings import Settings
from countermark_client._store import OutboxState
from countermark_client._traces import Traces
from countermark_client._weapons import Weapons
from countermark_client._witnessing import Witnessed
from countermark_client._workers import Workers
from countermark_client.statements import Drafts
from countermark_protocol.boxes import Box
from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.errors import (
    InconsistentLogError,
    UncheckableError,
)
from countermark_protocol.key_proof import VerifiedKeys
from countermark_protocol.receipts import Receipt

if TYPE_CHECKING:
    from countermark_client._holdings import MadeHoldings, Narrowing

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
        self.session.counts = self.revocations.counts
        self.sender = Sender(self.session, self.log, accounts, self.revocations)
        self.boxes = Boxes(self.session, self.log, accounts, self.sender)
        self.receipts = Receipts(self.session, self.revocations, self.sender, self.boxes)
        self.own_keys = OwnKeys(self.session, self.log)
        self.renewal = Renewal(self.session, self.log, self.sender, self.own_keys)
        self.acts = Acts(self.session, self.log, self.sender)
        self.purges = Purges(self.session, self.log, self.sender, self.acts)
        self.fetching = Fetching(self.session, accounts, self.purges)
        self.self_check = SelfChecker(self.session, self.log)
        self.inbox = Inbox(
            self.session,
            self.revocations,
            accounts,
            self.sender,
            self.boxes,
            self.receipts,
            self.purges,
            (self.log.keep_up, self.self_check.run_if_due),
        )
        self.traces = Traces(self.session)
        self.forwarding = Forwarding(self.session)
        self.chains = Chains(self.session)
        self.weapons = Weapons(self.session)
        self.retention = Retention(self.session)
        self.asking = Asking(self.session, self.log)
        self.overview = Overview(self.session, self.revocations, self.boxes)
        self.disclosing = Disclosing(self.session, self.sender, self.acts)
        self.gatherer = Gatherer(self.session, self.log, accounts, self.boxes, self.overview)
        self.workers = Workers(self.session, self.log, accounts, self.sender, self.boxes, self.inbox)
        self.webhooks = Webhooks(self.session, self.log, accounts)
        self.invitations = Invitations(self.session, self.log, self.sender)
        self.carrier = Carrier(self.session, self.log, self.boxes, self.receipts, self.inbox)
        self.restored = Restored(self.session, self.log, self.sender.settler, self.boxes)
        self.offline = OfflinePost(
            self.session,
            self.log,
            self.sender.settler,
            self.boxes,
            self.inbox,
            self.restored,
            self.purges,
            self.fetching,
        )
        self.rejected: list[Rejected] = []

    def guarded(self, flow: Flow[T]) -> Flow[T]:
        """Run a flow; stop sending when it meets a contradiction, or what this software is too old to check."""
        try:
            self.revocations.raise_overdue()
            result = yield from flow
            self.own_keys.look()
            yield from self.renewal.run_if_due()
        except InconsistentLogError as error:
            self.log.halt(error)
            raise
        except UncheckableError as error:
            if error.code in _TOO_OLD:
                self.log.halt(error)
            raise
        return result

    def import_bundle(self, data: bytes, *, adopt: bool) -> Imported:
        """Take in a bundle that came back: the usual flows, over its answers in the place of a broker's."""
        bundle = self.offline.read(data)
        carried = Carried(bundle.items)
        return carried.run(self.guarded(self.offline.take_in(bundle, carried, adopt=adopt)))

    def sync_sent(self) -> Flow[int]:
        """Read the box ``sent`` to its end and compare it with what this profile knows to have sent."""
        # What waits is answered first: an answer lost on the way must not look like a stranger's entry.
        if self.log.halted is None and self.session.store.outbox(OutboxState.WAITING):
            yield from self.sender.flush_waiting()
        return (yield from self.boxes.read_all(Box.SENT))

    def read_boxes(self) -> Flow[dict[Box, int]]:
        """Read all own boxes to their ends; see `Client.read_boxes`."""
        yield from self.sync_sent()
        for box in (Box.NOTICES, Box.URGENT, Box.ROUTINE):
            yield from self.boxes.read_all(box)
        return {box: self.session.store.box_state(box).count for box in Box}

    def recall(self, ref: MessageRef) -> Flow[Recalled]:
        """Withdraw a message, then read who had it by then; see `Client.recall`."""
        purged = yield from self.purges.withdraw(ref)
        # Every receipt that precedes the purge in the log precedes in the box of notices what is read from now on.
        yield from self.overview.read_notices()
        message = message_hash(ref)
        had = {
            notice.statement.author
            for notice in self.boxes.notices_from(0)
            if isinstance(notice.statement, Receipt)
            and notice.index < purged.index
            and any(item.message == message for item in notice.statement.items)
        }
        recipients = self.overview.status(ref).recipients
        collected = tuple(r for r in recipients if r.recipient in had)
        return Recalled(message, purged, collected, tuple(r for r in recipients if r.recipient not in had))

    def verify_log(self, progress: Progress | None) -> Flow[LogReport]:
        """Recompute the whole log."""
        return (yield from verify_log(self.session, self.log, progress))

    def sync(self) -> Flow[Checkpoint]:
        """Read the directory and a fresh checkpoint; see `Client.sync`."""
        checkpoint = yield from self.log.sync()
        self.revocations.raise_overdue()
        yield from self.self_check.run_if_due()
        return checkpoint

    def wait_witnessed(self, index: int, seconds: float) -> Flow[Witnessed]:
        """Wait for a quorum; see `Client.wait_witnessed`."""
        return (yield from self.log.witnesses.wait(index, seconds))

    def holdings(self, narrowing: Narrowing | None, sizes: Sequence[int]) -> Flow[MadeHoldings]:
        """What this profile holds of its log; see `Client.holdings`."""
        # Few ever compare.
        from countermark_client._holdings import holdings_of  # noqa: PLC0415

        paths = yield from show_sizes(self.session, self.log, sizes)
        profile, now = self.profile, self.session.clock()
        return holdings_of(profile.store, profile.log, profile.address, now, narrowing, paths)

    def publish(self, data: bytes) -> Flow[int]:
        """Post a directory statement."""
        self.own_keys.publishing(data)
        return (yield from self.sender.publish(data))

    def prove_keys(self, address: str) -> Flow[bytes]:
        """Prove an endpoint's keys; see `Client.prove_keys`."""
        return (yield from prove_keys(self.session, self.log, address))

    def accept_keys(self, address: str) -> Flow[VerifiedKeys]:
        """Accept an endpoint's keys by a path; see `Client.accept_keys`."""
        proven, _ = yield from accept_keys(self.session, self.log, address)
        return proven

    def fetch_key_proof(self, address: str) -> Flow[bytes]:
        """The same, as the file that the broker served."""
        _, data = yield from accept_keys(self.session, self.log, address)
        return data

    @property
    def drafts(self) -> Drafts:
        """Drafts of directory statements, from the directory as read."""
        return Drafts(self.profile.log, self.log.directory, self.log.seen)


def portions(items: Iterable[Draft], most: int) -> Iterator[list[Draft]]:
    """Drafts in portions; what is no draft is refused before anything of its portion is sent."""
    rest = iter(items)
    while portion := list(islice(rest, most)):
        for item in portion:
            if not isinstance(item, Draft):
                msg = f"expected a Draft, got {type(item).__name__}"
                raise TypeError(msg)
        yield portion
