"""What the client gives back: plain records, with the content typed where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from countermark_client import _contents
from countermark_client._addressing import LeftOut
from countermark_protocol.acts import Purge, PurgeGround
from countermark_protocol.descriptors import AttachmentDescriptor, Thumbnail
from countermark_protocol.encoding import JsonObject, parse_digest
from countermark_protocol.errors import CountermarkError
from countermark_protocol.handling import Handling
from countermark_protocol.identifiers import Address
from countermark_protocol.manifest import Manifest, Urgency
from countermark_protocol.receipts import Receipt, RejectionReason, Undelivered
from countermark_protocol.resets import Reset
from countermark_protocol.verdicts import SignatureVerdict

if TYPE_CHECKING:
    from countermark_client._store import OutboxItem
    from countermark_client.attaching import Attach, PreparedAttachment


class HasMessage(Protocol):
    """Anything that names a message: `Sent`, `Received`, `Rejected` and the like."""

    @property
    def message(self) -> bytes:
        """Payload hash, 32 bytes."""
        ...


#: A message: its payload hash as 32 bytes or 64 hexadecimal digits, or a record that names it.
MessageRef = bytes | str | HasMessage


def message_hash(ref: MessageRef) -> bytes:
    """The payload hash that a reference names, 32 bytes.

    Raises:
        MalformedError: not a payload hash.
    """
    if isinstance(ref, bytes):
        return parse_digest(ref.hex(), "message")
    return parse_digest(ref, "message") if isinstance(ref, str) else ref.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message to be sent; the arguments of `Client.send`.

    Attributes:
        type: message type, e.g. ``tracing-request``.
        content: the typed message, or its document.
        to: addresses, selectors such as ``ke.*.*``, ``contact:BE`` or ``contact:made-in`` for a country's points of
            contact; or one group as ``group:<owner>/<name>``. `Client.resolve` shows whom that gives.
        urgency: the last two go to the recipients' box ``urgent``.
        handling: how it may be used; that of the message replied to, or `default_handling`, if not said.
        in_reply_to: the message it answers.
        reply_by: when an answer is wanted.
        expires_in: how long it stays deliverable; 30 days if not said.
        supersedes: an own logged message that it replaces.
        exercise: drill traffic; replies carry on what they reply to.
        visible: whether recipients see each other; by its type if not said.
        reference: a name of your own for this message, 1 to 200 characters: what is sent again under the same
            reference is the message that was made first, so that a program which crashed can begin again. Said in
            another way (all but `reply_by`, the retention and `leave_out`) it is refused.
        alternates: whether those who stand in for offices that are closed at this moment get it too.
        leave_out: addresses that its names lead to and that it does not go to. What cannot be sent to somebody is sent
            to the others only if this says so; whom it names stands in the sent record.
        on_behalf_of: the endpoint in whose name it is sent, which signs too; such a message is drafted first
            (`Client.draft_message`).
        reply_to_document: in the place of `in_reply_to`, the signed manifest of a message that this profile did not
            receive, but the endpoint did on whose behalf it answers.
        attachments: files to go with it, in order (`Attach`, or as `Client.prepare_attachment` made them).
    """

    type: str
    content: _contents.Message | JsonObject = field(repr=False)
    to: Sequence[str]
    urgency: Urgency | str = Urgency.ROUTINE
    handling: Handling | None = None
    in_reply_to: MessageRef | None = None
    reply_by: datetime | None = None
    expires_in: timedelta | None = None
    supersedes: MessageRef | None = None
    exercise: bool = False
    visible: bool | None = None
    reference: str | None = None
    alternates: bool = False
    leave_out: Sequence[str] = ()
    on_behalf_of: str | None = None
    reply_to_document: bytes | None = field(default=None, repr=False)
    attachments: Sequence[Attach | PreparedAttachment] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """A message proven to be in the log.

    Attributes:
        message: payload hash, 32 bytes; names it everywhere.
        id: its id.
        type: message type.
        recipients: to whom.
        conversation: payload hash of its conversation's first message, 32 bytes.
        index: of its log entry.
        time: of its leaf, ms since 1970.
        left_out: whom its names led to and it did not go to, and why.
    """

    message: bytes
    id: str
    type: str
    recipients: tuple[Address, ...]
    conversation: bytes
    index: int
    time: int
    left_out: tuple[LeftOut, ...] = ()

    @property
    def hash(self) -> str:
        """The payload hash in hexadecimal."""
        return self.message.hex()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one draft of `Client.send_bulk`.

    Attributes:
        draft: as given.
        sent: if it was logged.
        error: if it was not; a `TransportError` if it waits in the outbox.
        message: payload hash, 32 bytes, once it was sealed.
    """

    draft: Draft
    sent: Sent | None
    error: CountermarkError | None
    message: bytes | None = None


@dataclass(frozen=True, slots=True)
class FlushReport:
    """What `Client.flush` did.

    Attributes:
        logged: statements now proven to be in the log.
        refused: refused by rule; never sent again.
        failed: answered with a plain problem; tried again by the next flush.
    """

    logged: tuple[OutboxItem, ...]
    refused: tuple[OutboxItem, ...]
    failed: tuple[OutboxItem, ...]


_SIGNED_WORDS: Final = {"sign": "drafted", "release": "released", "behalf": "signed on behalf"}


@dataclass(frozen=True, slots=True)
class SignedBy:
    """One signature of a message.

    Attributes:
        purpose: ``sign`` (who drafted it), ``release`` (the second person) or ``behalf``.
        endpoint: whose key it is.
        holder: the pseudonym that the directory gives for the key's holder.
        key_id: of the key, 32 bytes.
    """

    purpose: str
    endpoint: Address
    holder: str
    key_id: bytes

    @property
    def words(self) -> str:
        """For people, e.g. ``released by desk-2 of ke.police.nairobi``."""
        return f"{_SIGNED_WORDS[self.purpose]} by {self.holder} of {self.endpoint}"


@dataclass(frozen=True, slots=True)
class Successor:
    """A later message of the same sender that takes the place of an earlier one.

    Attributes:
        message: its payload hash, 32 bytes.
        index: of its log entry.
        time: of its leaf, ms since 1970.
        withdraws: whether it cancels the record that the earlier one made, so that nothing stands in its place; None
            while it was not opened here.
    """

    message: bytes
    index: int
    time: int
    withdraws: bool | None


@dataclass(frozen=True, slots=True)
class Correction:
    """A later message of the same sender that corrects members of an earlier one, which stands as corrected.

    Attributes:
        message: its payload hash, 32 bytes.
        index: of its log entry.
        time: of its leaf, ms since 1970.
        content: what it says; None while it was not opened here.
    """

    message: bytes
    index: int
    time: int
    content: _contents.MessageCorrection | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with a message, as its sender describes it.

    Attributes:
        index: in the message, from 0.
        name: a file name that is one on every system; nothing of it proves what the file is.
        media_type: as its sender says.
        size: of the file, in bytes.
        sha256: of the file, in hexadecimal; what is fetched is checked by it.
        caption: a line on it, or None.
        thumbnail: or None; not checked to be a picture.
        held: whether all its sealed pieces are in this profile, so that it opens without a line.
    """

    index: int
    name: str
    media_type: str
    size: int
    sha256: str
    caption: str | None
    thumbnail: Thumbnail | None = field(repr=False)
    held: bool

    @classmethod
    def described(cls, index: int, said: AttachmentDescriptor, *, held: bool) -> Attachment:
        """An attachment as its part of the content describes it."""
        return cls(
            index=index,
            name=said.name,
            media_type=said.media_type,
            size=said.size,
            sha256=said.sha256.hex(),
            caption=said.caption,
            thumbnail=said.thumbnail,
            held=held,
        )


@dataclass(frozen=True, slots=True)
class FetchedAttachment:
    """An attachment that was opened and found to be what its sender describes.

    Attributes:
        attachment: which.
        path: where it was written; None for a file object.
        metadata: what a picture tells beside what it shows, such as "EXIF" or "GPS", as far as its outline tells that.
    """

    attachment: Attachment
    path: Path | None
    metadata: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenedMessage:
    """A message with all that was proven of it, opened and validated.

    Attributes:
        message: payload hash, 32 bytes.
        manifest: the visible half.
        content: the sealed half, typed.
        index: of its log entry.
        time: of its leaf, ms since 1970.
        box: it came by.
        position: in that box.
        recipients: all of them where the manifest makes them visible; else None.
        document: the signed manifest in its exact bytes.
        doubtful: it was logged after a revocation of its signer's key had come to this profile by another path
            (`Client.import_revocation`); it cannot be accepted.
        verdict: on its signature, by what is known of the key by now.
        reset: that the sender's administrator was reset and is not confirmed yet, or None.
        successor: the newest message known here that takes its place, or None.
        signed_by: everybody who signed it, by the directory as of its leaf.
        attachments: files that came with it; to be fetched by `Client.fetch_attachment`.
        corrections: of it that stand and are known here, in log order.
        as_corrected: its content as it reads after them; None: there are none, or not all can be applied here.
    """

    message: bytes
    manifest: Manifest
    content: _contents.Message = field(repr=False)
    index: int
    time: int
    box: str
    position: int
    recipients: tuple[Address, ...] | None
    document: bytes = field(repr=False)
    doubtful: bool
    verdict: SignatureVerdict
    reset: Reset | None
    successor: Successor | None
    signed_by: tuple[SignedBy, ...]
    attachments: tuple[Attachment, ...]
    corrections: tuple[Correction, ...]
    as_corrected: _contents.Message | None = field(repr=False)

    @property
    def hash(self) -> str:
        """The payload hash in hexadecimal."""
        return self.message.hex()

    @property
    def sender(self) -> Address:
        """Who sent it."""
        return self.manifest.sender

    @property
    def type(self) -> str:
        """Message type."""
        return self.manifest.type

    @property
    def conversation(self) -> bytes:
        """Payload hash of its conversation's first message, 32 bytes."""
        return self.manifest.conversation or self.message


@dataclass(frozen=True, slots=True)
class Judged:
    """A logged message of this profile, and what is to be thought of its signatures by now.

    Attributes:
        message: payload hash, 32 bytes.
        direction: ``in`` or ``out``.
        sender: who sent it.
        index: of its log entry.
        time: of its leaf, ms since 1970.
        verdict: the gravest of those on its signatures.
    """

    message: bytes
    direction: str
    sender: Address
    index: int
    time: int
    verdict: SignatureVerdict


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that this client rejected by itself, because it did not hold what its manifest promised.

    Attributes:
        message: payload hash, 32 bytes.
        manifest: the visible half.
        reason: as stated in the receipt.
        details: as sealed to the sender: what was expected and the form of what came, never a value.
        index: of the message's log entry.
    """

    message: bytes
    manifest: Manifest
    reason: RejectionReason
    details: JsonObject
    index: int


@dataclass(frozen=True, slots=True)
class OpenPosition:
    """A position of ``urgent`` or ``routine`` that no instance of the endpoint has answered for.

    Attributes:
        box: which.
        position: in that box.
        message: payload hash, 32 bytes.
        manifest: the visible half.
        index: of its log entry.
        time: of its leaf, ms since 1970.
        stage: ``listed``, or ``delivered`` if an instance has signed for it.
        holder: the instance that holds a lease on it, or None.
        until: when that lease ends, ms since 1970 by the broker's clock.
    """

    box: str
    position: int
    message: bytes
    manifest: Manifest
    index: int
    time: int
    stage: str
    holder: str | None
    until: int | None


@dataclass(frozen=True, slots=True)
class Purged:
    """That a message's stanzas and content are deleted at the broker. Manifest, receipts and proofs stay.

    Attributes:
        index: of the purge's log entry.
        time: of its leaf, ms since 1970.
        author: the broker, or the message's sender.
        ground: why.
    """

    index: int
    time: int
    author: str
    ground: PurgeGround


@dataclass(frozen=True, slots=True)
class Notice:
    """A receipt about one's own messages, the broker's word on them, or a message sent in this endpoint's name.

    Attributes:
        index: of its log entry.
        time: of its leaf, ms since 1970.
        statement: what is stated.
        sent_for_us: payload hash of a message sent in this endpoint's name, 32 bytes; None for all else.
        unknown: that message bears a key of this profile, which never signed it: the key is in other hands, or this
            profile was restored from an old copy.
    """

    index: int
    time: int
    statement: Receipt | Undelivered | Purge | Manifest
    sent_for_us: bytes | None = None
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class RecipientStatus:
    """How far one recipient is with a sent message.

    Attributes:
        recipient: its address.
        stage: ``open``, ``delivered``, ``accepted`` or ``rejected``.
        time: of the receipt's leaf, ms since 1970; None while open.
        reason: of a rejection.
        details: of a rejection, opened; None if there are none or they do not open.
        undelivered: the broker logged that it was not collected in time.
        late: it was signed for after ``expires_at``.
        delivered_at: when it was signed for, ms since 1970; None while open.
        undelivered_at: when the broker logged that it was not collected, ms since 1970, or None.
    """

    recipient: Address
    stage: str
    time: int | None
    reason: str | None
    details: Any = field(repr=False)
    undelivered: bool
    late: bool
    delivered_at: int | None
    undelivered_at: int | None


@dataclass(frozen=True, slots=True)
class MessageStatus:
    """How far a sent message is.

    Attributes:
        message: payload hash, 32 bytes.
        stage: ``waiting`` (in the outbox), ``logged``, ``refused`` or ``given_up``.
        index: of its log entry, once logged.
        time: of its leaf, ms since 1970.
        recipients: one by one.
        error: why it was refused or given up, or what the last try gave.
        successor: the newest own message that takes its place, or None.
        purged: on what ground its content is gone at the broker, or None.
    """

    message: bytes
    stage: str
    index: int | None
    time: int | None
    recipients: tuple[RecipientStatus, ...]
    error: str | None
    successor: Successor | None
    purged: Purged | None = None


@dataclass(frozen=True, slots=True)
class Recalled:
    """A message that its sender has called back, and whom that no longer reaches.

    Attributes:
        message: payload hash, 32 bytes.
        purged: the log's statement that its content is gone.
        collected: who had signed for it by then, and keeps what it opened: they are to be told by other means.
        prevented: who had not, and never can.
    """

    message: bytes
    purged: Purged
    collected: tuple[RecipientStatus, ...]
    prevented: tuple[RecipientStatus, ...]


@dataclass(frozen=True, slots=True)
class ConversationItem:
    """One message of a conversation.

    Attributes:
        message: payload hash, 32 bytes.
        direction: ``in`` or ``out``.
        manifest: the visible half.
        content: the sealed half, typed; None while not signed for, or where it does not open here.
        index: of its log entry; None while in the outbox.
        time: of its leaf, ms since 1970.
        stage: how far it is.
        reason: of a rejection.
        successor: the newest message known here that takes its place, or None.
        undelivered: of a sent one, how many recipients the broker stated not to have collected it.
        late: of a sent one, how many recipients signed for it after ``expires_at``.
        verdict: on its signature, by what is known of the key by now.
        purged: on what ground its content is gone at the broker, as far as known here, or None.
        attachments: files that go with it; none too while it does not open here.
        corrections: of it that stand and are known here, in log order.
        as_corrected: its content as it reads after them; None: there are none, or not all can be applied here.
        recipients: to whom it went: of a sent one, and of a received one whose list its sender shows; else None.
    """

    message: bytes
    direction: str
    manifest: Manifest
    content: _contents.Message | None = field(repr=False)
    index: int | None
    time: int | None
    stage: str
    reason: str | None
    successor: Successor | None
    undelivered: int
    late: int
    verdict: SignatureVerdict
    purged: Purged | None = None
    attachments: tuple[Attachment, ...] = ()
    corrections: tuple[Correction, ...] = ()
    as_corrected: _contents.Message | None = field(default=None, repr=False)
    recipients: tuple[Address, ...] | None = None


@dataclass(frozen=True, slots=True)
class HeldMessage:
    """That a profile holds a message.

    Attributes:
        message: payload hash, 32 bytes.
        direction: ``in`` or ``out``.
        stage: how far it is.
    """

    message: bytes
    direction: str
    stage: str


@dataclass(frozen=True, slots=True)
class LogReport:
    """What `Client.verify_log` recomputed.

    Attributes:
        size: leaves read.
        root: of the tree, recomputed, 32 bytes; equal to the checkpoint's.
        first_time: of the first leaf, ms since 1970.
        last_time: of the last leaf, ms since 1970.
        directory_statements: how many.
        kinds: kind → how many leaves.
        own_entries: entries of this profile's own boxes found at their places.
    """

    size: int
    root: bytes
    first_time: int
    last_time: int
    directory_statements: int
    kinds: dict[int, int]
    own_entries: int
