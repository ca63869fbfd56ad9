"""Relaying: what waits on either side crosses once, and nothing is lost when something is refused.

Each step can be repeated: what comes in is sent under a reference made of the bridge's and the other system's
identifiers, so that the outbox makes it once; what goes out is delivered under its payload hash, and written down
afterwards.

Source: docs/spec/bridge.md §3 and §4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from countermark_client import _contents
from countermark_client._models import ConversationItem
from countermark_client.bridge._adapter import Adapter, Incoming, Outgoing
from countermark_client.bridge._ledger import Crossed, CrossingState, Ledger, Way
from countermark_protocol.encoding import JsonObject
from countermark_protocol.errors import (
    CountermarkError,
    NotFoundError,
    TransportError,
    UncheckableError,
    VerificationError,
)
from countermark_protocol.handling import Handling, HandlingCode, Tlp
from countermark_protocol.types import known_types

if TYPE_CHECKING:
    from countermark_client import Client

#: What concerns the broker, the log or this machine and not one message: the run ends, and nothing is refused.
_ENDS_THE_RUN: Final = (TransportError, UncheckableError, VerificationError)


@dataclass(slots=True)
class RelayReport:
    """What one run did.

    Attributes:
        sent: messages that came in, by payload hash in hexadecimal, with what the other system calls them.
        refused: what was refused on its way in: its identifier, and why.
        delivered: messages that went out, likewise.
        withheld: messages that must stay here: payload hash, and why.
    """

    sent: list[tuple[str, str]] = field(default_factory=list)
    refused: list[tuple[str, CountermarkError]] = field(default_factory=list)
    delivered: list[tuple[str, str]] = field(default_factory=list)
    withheld: list[tuple[str, str]] = field(default_factory=list)


def withheld_because(handling: Handling) -> str | None:
    """Why a message may not leave the agency, by its handling; None if it may.

    TLP 2.0: RED is for the named recipients, AMBER+STRICT for the recipient's organisation. Originator control and
    H2: not without the originator's consent.
    """
    if handling.tlp in {Tlp.RED, Tlp.AMBER_STRICT}:
        return f"TLP:{handling.tlp.value} does not leave the agency"
    if handling.originator_control or HandlingCode.H2 in handling.codes:
        return "its originator has not consented to pass it on"
    return None


def _with_reference(incoming: Incoming, adapter: Adapter) -> JsonObject:
    """The content, with what the other system calls it, where its type has a place for that."""
    versions = [version for name, version in known_types() if name == incoming.type]
    if not versions or "external_refs" not in _contents.find_model(incoming.type, max(versions)).model_fields:
        return incoming.content
    ours = {"system": adapter.system.value, "ref": incoming.ref}
    refs = incoming.content.get("externalRefs", [])
    if not isinstance(refs, list) or ours in refs:
        return incoming.content
    return {**incoming.content, "externalRefs": [*refs, ours]}


def _answered(incoming: Incoming, ledger: Ledger) -> str | None:
    """The message that it answers, in hexadecimal."""
    ref = incoming.in_reply_to_ref
    if ref is None:
        return incoming.in_reply_to
    for way in Way:
        crossed = ledger.of_ref(way, ref)
        if crossed is not None and crossed.message is not None:
            return crossed.message
    raise NotFoundError("unknown_reference", f"nothing that this bridge knows is called {ref}")


def _send(client: Client, adapter: Adapter, ledger: Ledger, incoming: Incoming) -> str:
    answered = _answered(incoming, ledger)
    sent = client.send(
        incoming.type,
        _with_reference(incoming, adapter),
        incoming.to,
        urgency=incoming.urgency,
        handling=incoming.handling,
        in_reply_to=bytes.fromhex(answered) if answered is not None else None,
        exercise=incoming.exercise,
        reference=f"bridge/{adapter.name}/{incoming.ref}",
    )
    return sent.message.hex()


def _deliver(adapter: Adapter, ledger: Ledger, item: ConversationItem) -> str:
    assert item.content is not None  # the caller has looked
    answered = item.manifest.in_reply_to
    crossed = None
    if answered is not None:
        name = answered.hex()
        crossed = ledger.of_message(Way.IN, name) or ledger.of_message(Way.OUT, name)
    return adapter.deliver(
        Outgoing(
            message=item.message.hex(),
            manifest=item.manifest,
            content=_contents.content_document(item.content),
            time=item.time,
            in_reply_to_ref=None if crossed is None else crossed.ref,
            attachments=item.attachments,
        )
    )


def relay(client: Client, adapter: Adapter, ledger: Ledger, clock: Callable[[], int]) -> RelayReport:
    """Relay once, both ways, what waits.

    Messages are those that the profile has received and opened before (`Client.inbox`): receiving is not the
    bridge's.

    Args:
        client: of the endpoint.
        adapter: to the other system.
        ledger: of this bridge.
        clock: ms since 1970.

    Raises:
        TransportError: the broker is away: what was sealed waits in the outbox, and the next run goes on.
        UncheckableError, VerificationError: as of `Client.send`; nothing is refused for them.
    """
    report = RelayReport()
    for waiting in adapter.waiting():
        if isinstance(waiting, tuple):
            _refuse(adapter, ledger, report, waiting[0], waiting[1], clock())
            continue
        try:
            message = _send(client, adapter, ledger, waiting)
        except _ENDS_THE_RUN:
            raise
        except CountermarkError as error:
            _refuse(adapter, ledger, report, waiting.ref, error, clock())
            continue
        ledger.record(Crossed(Way.IN, message, waiting.ref, CrossingState.CROSSED, None, clock()))
        adapter.taken(waiting.ref, message)
        report.sent.append((message, waiting.ref))
    for item in client.messages("in"):
        name = item.message.hex()
        if item.content is None or ledger.of_message(Way.OUT, name) is not None:
            continue
        reason = None if adapter.within_agency else withheld_because(item.manifest.handling)
        if reason is not None:
            ledger.record(Crossed(Way.OUT, name, None, CrossingState.WITHHELD, reason, clock()))
            report.withheld.append((name, reason))
            continue
        ref = _deliver(adapter, ledger, item)
        ledger.record(Crossed(Way.OUT, name, ref, CrossingState.CROSSED, None, clock()))
        report.delivered.append((name, ref))
    return report


def _refuse(
    adapter: Adapter, ledger: Ledger, report: RelayReport, ref: str, error: CountermarkError, at: int
) -> None:
    ledger.record(Crossed(Way.IN, None, ref, CrossingState.REFUSED, f"{error.code}: {error}", at))
    adapter.refused(ref, error)
    report.refused.append((ref, error))
