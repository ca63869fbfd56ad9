"""What both clients tell and do without their broker: nothing here waits or connects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from countermark_client._asking import ToAsk
from countermark_client._bundle_post import Exported, Imported
from countermark_client._core import Core
from countermark_client._models import (
    ConversationItem,
    Draft,
    HeldMessage,
    Judged,
    MessageRef,
    MessageStatus,
    Notice,
    Rejected,
    Sent,
    message_hash,
)
from countermark_client._own_keys import alarm_text
from countermark_client._profile import Profile
from countermark_client._recovery import recover_keys
from countermark_client._renewal import KeyEnd
from countermark_client._rollup import Rollup
from countermark_client._self_check import SelfCheck
from countermark_client._session import Watch
from countermark_client._store import Direction, OutboxItem
from countermark_client._tables_own_keys import OwnKey
from countermark_client._traces import TracedCase
from countermark_client.statements import Drafts
from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.directory import Directory
from countermark_protocol.errors import NotFoundError
from countermark_protocol.keys import PublicKey
from countermark_protocol.resets import Reset, resets
from countermark_protocol.sealing import SealingKey
from countermark_protocol.tracing.calendars import NO_HOLIDAYS, Holidays

if TYPE_CHECKING:
    from countermark_client._contents import Custody, Finding, FirearmItem, Pair


class LocalCalls(ABC):
    """The part of `Client` and `AsyncClient` that is the same in both."""

    _core: Core

    @abstractmethod
    def _undisturbed(self) -> AbstractContextManager[object]:
        """While it is entered, no other call of this client runs."""

    @property
    def watch(self) -> Watch:
        """What this program hears while a call runs."""
        return self._core.session.watch

    def outbox(self) -> list[OutboxItem]:
        """All statements of this profile, in the order of sending."""
        return self._core.session.store.outbox()

    @property
    def rejected(self) -> tuple[Rejected, ...]:
        """Messages that this client rejected by itself since it was made."""
        return tuple(self._core.rejected)

    @property
    def purged(self) -> tuple[bytes, ...]:
        """Received messages whose content turned out to be deleted before it was opened, since this client was made.

        Payload hashes. They are done: no receipt is stated of them any more. `messages` tells on what ground.
        """
        return tuple(self._core.purges.met)

    @property
    def self_check(self) -> SelfCheck | None:
        """The last comparison of the broker's accounts with what was proven since, or None; see `check_accounts`."""
        return self._core.self_check.last

    def kept_notices(self) -> list[Notice]:
        """All receipts and undelivered notices that were read so far, oldest first."""
        return self._core.boxes.notices_from(0)

    def sent(self, message: MessageRef) -> Sent:
        """The record of a message of this profile that is in the log, as `send` gave it.

        Raises:
            NotFoundError: ``not_logged``: this profile has sent no such message, or it is not in the log.
        """
        with self._undisturbed():
            return self._core.sender.sent(message_hash(message))

    def review(self, draft: Draft) -> tuple[Finding, ...]:
        """What a person should know of a draft's content before it is sent; none of it hinders that.

        Also of photographs that the content names and no attachment is. Attachments that are not prepared are read for
        it.

        Raises:
            MalformedError, UncheckableError: the content is not valid.
        """
        with self._undisturbed():
            return self._core.sender.review(draft)

    def status(self, message: MessageRef) -> MessageStatus:
        """How far a sent message is, as far as notices were read."""
        with self._undisturbed():
            return self._core.overview.status(message)

    def rollup(self, message: MessageRef) -> Rollup:
        """Who of all recipients of a sent message has collected it and who has not, as far as notices were read.

        Raises:
            NotFoundError: ``unknown_message``.
        """
        with self._undisturbed():
            return self._core.overview.roll_up(message)

    def proof(self, message: MessageRef) -> bytes:
        """The proof kept of a logged message, as JSON: checkpoint, inclusion and deliveries (docs/spec/api.md §4).

        Raises:
            NotFoundError: ``no_proof``.
        """
        with self._undisturbed():
            return self._core.overview.proof(message)

    def conversation(self, message: MessageRef) -> list[ConversationItem]:
        """All messages of a message's conversation that this profile holds, in log order."""
        with self._undisturbed():
            return self._core.overview.conversation(message)

    def messages(self, direction: Direction | str | None = None) -> list[ConversationItem]:
        """All messages that this profile holds, in log order."""
        with self._undisturbed():
            return self._core.overview.messages(Direction(direction) if direction is not None else None)

    def message(self, message: MessageRef) -> ConversationItem:
        """One message that this profile holds, sent or received.

        Raises:
            NotFoundError: ``unknown_message``.
        """
        with self._undisturbed():
            return self._core.overview.message(message)

    def names(self) -> list[HeldMessage]:
        """All messages of this profile that are in the log, by name alone and in log order: nothing is opened."""
        with self._undisturbed():
            return self._core.overview.names()

    def traces(self, holidays: Holidays = NO_HOLIDAYS) -> list[TracedCase]:
        """Every conversation about a trace that this profile holds, the newest first, as it stands now.

        Args:
            holidays: by country, from `parse_holidays`; they move deadlines in working days.
        """
        with self._undisturbed():
            return self._core.traces.all(holidays)

    def trace(self, message: MessageRef, holidays: Holidays = NO_HOLIDAYS) -> TracedCase:
        """The traces of a message's conversation as they stand now.

        Raises:
            NotFoundError: ``unknown_message``; ``not_a_trace``: its conversation holds no tracing request.
        """
        with self._undisturbed():
            return self._core.traces.case(message, holidays)

    def custody(self, message: MessageRef) -> dict[str, Custody]:
        """The chain of custody of every weapon of a trace, by its reference in the request.

        Merged from the newest answer of every source, in the message's conversation and in all that were forwarded from
        or to it; with its gaps and contradictions.

        Raises:
            NotFoundError: ``unknown_message``, ``not_a_trace``.
        """
        with self._undisturbed():
            return self._core.chains.custody(message)

    def whom_to_ask(self, item: FirearmItem) -> tuple[ToAsk, ...]:
        """States that may hold records of a weapon, with the reasons and their points of contact, the likeliest first.

        From its marks, from what was recorded of it, and from the descriptions of marks that this profile has read
        (`sync` first, for the contacts). Suggestions: a make alone never gives a State with certainty.
        """
        with self._undisturbed():
            return self._core.asking.whom(item)

    def acknowledge_handling(self, message: MessageRef) -> None:
        """Say that a person has read the restrictions that handling code H3 of a message stands for.

        Without it such a message is not accepted (``h3_not_read``).

        Raises:
            NotFoundError: ``unknown_message``.
        """
        with self._undisturbed():
            store, payload = self._core.session.store, message_hash(message)
            if store.message(payload, Direction.IN) is None:
                raise NotFoundError("unknown_message", "this profile has received no message of that hash")
            store.set_handling_read(payload, self._core.session.clock())

    def forget_expired(self) -> tuple[bytes, ...]:
        """Delete the content of received messages that were answered for and whose retention is over.

        Manifests, receipts and proofs stay. Backups made before hold it still.

        Returns:
            Their payload hashes.
        """
        with self._undisturbed():
            return self._core.retention.forget()

    def duplicate_traces(self) -> tuple[Pair, ...]:
        """Tracing requests that may be one case made twice: one weapon, found in one State within seven days."""
        with self._undisturbed():
            return self._core.weapons.duplicates()

    def resurrections(self) -> tuple[Pair, ...]:
        """Weapons told to be destroyed that appear again, and nobody here has looked into; they are `alarms` too."""
        with self._undisturbed():
            return self._core.weapons.resurrections()

    def acknowledge_resurrection(self, message: MessageRef) -> None:
        """Take note that people have looked into the appearance that a message tells of.

        Raises:
            NotFoundError: ``no_such_alarm``.
        """
        with self._undisturbed():
            self._core.weapons.acknowledge(message_hash(message))

    def close_trace(
        self,
        message: MessageRef,
        *,
        diversion_established: bool,
        requested: str | None = None,
        note: str = "",
    ) -> TracedCase:
        """Note that an answered trace is closed, as its requester; no message says so.

        Args:
            message: any of its conversation.
            diversion_established: whether it established the point of diversion (SDG 16.4.2).
            requested: who was asked, where several were.
            note: in words.

        Raises:
            ConflictError: ``trace_not_named``: several or none could be meant.
            PolicyError: ``not_the_requester``; ``trace_refused``: it is not answered yet.
        """
        with self._undisturbed():
            return self._core.traces.close(
                message, requested, diversion_established=diversion_established, note=note
            )

    def verdicts(self) -> list[Judged]:
        """The verdict on the signatures of every logged message that this profile holds, in log order.

        Whether a key counted is judged as of the message's own entry; what became of it since, by all that was read
        of the log and imported (`Client.import_revocation`).
        """
        with self._undisturbed():
            return self._core.overview.verdicts()

    @property
    def directory(self) -> Directory:
        """The directory as last verified."""
        return self._core.log.directory

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint last verified."""
        return self._core.log.checkpoint

    @property
    def checkpoint_age(self) -> int | None:
        """Age of that checkpoint, ms."""
        return self._core.log.age

    @property
    def halted(self) -> str | None:
        """Why this client sends nothing any more, or None."""
        return self._core.log.halted

    def clear_halt(self) -> None:
        """Send again, after people have looked at `Profile.evidence`."""
        with self._undisturbed():
            self._core.log.clear_halt()

    def export_bundle(self) -> Exported:
        """Make a bundle of what waits in the outbox, for a connected post of the same endpoint to carry.

        It also tells up to where this profile knows the log, so that what comes back begins there; it may carry
        nothing else. What it carries stays in the outbox until the answer is imported.

        Raises:
            UncheckableError: ``halted``, ``restored_unchecked``.
        """
        with self._undisturbed():
            return self._core.offline.export()

    def import_bundle(self, data: bytes, *, adopt: bool = False) -> Imported:
        """Take in a bundle that came back: proven like a broker's answers, wholly or not at all.

        Args:
            data: its bytes.
            adopt: as in `compare_restored`, which this does for a restored profile without a line.

        Raises:
            VerificationError: something in it is not proven.
            ConflictError: ``bundle_replayed``, ``bundle_not_awaited``, or it is not for this endpoint;
                ``entries_to_adopt``.
            TransportError: ``not_carried``: it lacks what proves it.
        """
        with self._undisturbed():
            return self._core.import_bundle(data, adopt=adopt)

    @property
    def alarms(self) -> tuple[str, ...]:
        """What people have to look into, in words.

        Revocations imported that the log does not show though it was read a minute later or more: perhaps nobody
        has posted them yet (`publish_statement`). The first call that finds one raises ``revocation_not_logged``,
        once. Keys under this endpoint's own name that were not made here (`strangers`). And entries that state a time
        which had not come: their proofs are kept, and where witnesses say that it is not this machine's clock that is
        wrong, `Profile.evidence` has what convinces.
        """
        log = self._core.log
        return (
            *self._core.revocations.alarms,
            *map(alarm_text, self.strangers),
            *log.early.alarms,
            *self._core.weapons.alarms,
        )

    @property
    def strangers(self) -> tuple[OwnKey, ...]:
        """Keys that the directory shows under this endpoint's name and that nobody here made or acknowledged."""
        return self._core.own_keys.strangers

    def acknowledge_key(self, key_id: bytes) -> None:
        """Take a key under this endpoint's name as known, after people have asked who made it.

        Raises:
            NotFoundError: ``no_such_alarm``.
        """
        with self._undisturbed():
            self._core.own_keys.acknowledge(key_id)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Keys of this endpoint that end soon or have ended, in words (`Settings.warn_before`); see `renew_keys`."""
        return self._core.renewal.warnings

    @property
    def key_ends(self) -> tuple[KeyEnd, ...]:
        """Keys of this endpoint that have an end, the first to end first."""
        return self._core.renewal.ends()

    def recover_keys(
        self, copies: Iterable[bytes], recovery: SealingKey, passphrase: str = ""
    ) -> tuple[tuple[str, PublicKey], ...]:
        """Take sealing keys back from their recovery copies, if the directory as read named them (`sync` first).

        Args:
            copies: files that the profile made, or any other of this endpoint (docs/spec/keys.md §9).
            recovery: the recovery key.
            passphrase: of the key file; that by which the profile was opened, if empty.

        Returns:
            (use, public key) of those that the profile did not hold.

        Raises:
            VerificationError: ``recovery_other_log``, ``recovery_other_address``.
            NotFoundError: ``recovery_key_not_named``.
            SealError: ``other_recovery_key``, ``recovery_does_not_open``, ``recovery_other_seed``.
            MalformedError: no recovery copy.
            UncheckableError: ``keys_elsewhere``: the keystore is no key file.
        """
        with self._undisturbed():
            directory = self._core.revocations.directory
            return recover_keys(self._core.profile, directory, copies, recovery, passphrase)

    @property
    def resets(self) -> tuple[Reset, ...]:
        """Endpoints whose administrator was reset by its authority and is not confirmed yet (directory.md §8)."""
        return tuple(resets(self._core.revocations.directory, self._core.session.clock()))

    @property
    def webhook_keys(self) -> tuple[str, ...]:
        """The keys that sign the calls (``whpk_…``), from the directory as last verified (`sync` first)."""
        return self._core.webhooks.keys()

    @property
    def drafts(self) -> Drafts:
        """Drafts of directory statements, from the directory as read (`sync` first)."""
        return self._core.drafts

    @property
    def profile(self) -> Profile:
        """The profile."""
        return self._core.profile
