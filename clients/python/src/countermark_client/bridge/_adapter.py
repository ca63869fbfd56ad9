"""What an adapter to another system must do.

Source: docs/spec/bridge.md §2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from countermark_client._models import Attachment
from countermark_protocol.codes.tracing import ExternalSystem
from countermark_protocol.encoding import JsonObject
from countermark_protocol.errors import CountermarkError
from countermark_protocol.handling import Handling
from countermark_protocol.manifest import Manifest, Urgency


@dataclass(frozen=True, slots=True)
class Incoming:
    """What the other system has for us: to be sent as a message.

    Attributes:
        ref: the other system's own identifier of it; the same for the same thing, whenever it is asked.
        type: message type.
        to: addresses, selectors, contacts or a group, as of `Draft`.
        content: document of the content.
        urgency: how soon it is wanted.
        handling: how it may be used; by default as `Draft` has it.
        in_reply_to: payload hash of the message that it answers, in hexadecimal, or
        in_reply_to_ref: the other system's identifier of that message; at most one of the two.
        exercise: drill traffic.
    """

    ref: str
    type: str
    to: Sequence[str]
    content: JsonObject = field(repr=False)
    urgency: Urgency = Urgency.ROUTINE
    handling: Handling | None = None
    in_reply_to: str | None = None
    in_reply_to_ref: str | None = None
    exercise: bool = False


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message for the other system: received, verified and opened here.

    Attributes:
        message: payload hash in hexadecimal: names it everywhere, and is the key by which to deliver it once.
        manifest: the visible half.
        content: document of the content.
        time: of its leaf in the log, ms since 1970.
        in_reply_to_ref: what the other system calls the message that it answers, if that crossed this bridge.
        attachments: what it says of the files that came with it; a bridge carries none (`Client.fetch_attachment`).
    """

    message: str
    manifest: Manifest
    content: JsonObject = field(repr=False)
    time: int | None
    in_reply_to_ref: str | None
    attachments: tuple[Attachment, ...] = ()


class Adapter(Protocol):
    """One other system.

    Each call may come again for the same thing: a bridge that was killed asks once more, and an adapter answers as
    before. An adapter raises `CountermarkError` for what concerns one message, and anything else ends the run.
    """

    @property
    def name(self) -> str:
        """Of this bridge: part of every reference, never changed once in use."""
        ...

    @property
    def system(self) -> ExternalSystem:
        """What `externalRefs` of a content calls the other system."""
        ...

    @property
    def within_agency(self) -> bool:
        """Whether nobody but the agency reads the other system: else what must stay here does."""
        ...

    def waiting(self) -> Iterator[Incoming | tuple[str, CountermarkError]]:
        """What waits there, oldest first; what cannot be read as (its identifier, why)."""
        ...

    def taken(self, ref: str, message: str) -> None:
        """It is in the log, under this payload hash (hexadecimal): the other system need not keep it."""
        ...

    def refused(self, ref: str, error: CountermarkError) -> None:
        """It was refused, and is not sent again; the other system shows why to whoever wrote it."""
        ...

    def deliver(self, outgoing: Outgoing) -> str:
        """Hand over a message, durably.

        Returns:
            What the other system calls it.
        """
        ...
