"""`countermark inbox`, `accept`, `reject`: taking messages in and answering for them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from countermark_client import _contents
from countermark_client._models import ConversationItem, Rejected
from countermark_client._verdict_words import verdict_json
from countermark_client.cli import _late
from countermark_client.cli.alarming import reset_json
from countermark_client.cli.attaching import attachment_json
from countermark_client.cli.common import Access, message_of, pause, with_home
from countermark_client.cli.output import (
    Result,
    as_json,
    command,
    print_line,
    progress,
    say,
    short,
    show,
    table,
    utc,
)
from countermark_client.cli.reading import correction_json, fate, ground_in_words, purged_json, successor_json
from countermark_client.cli.sending import find_item
from countermark_protocol.errors import TransportError
from countermark_protocol.receipts import RejectionReason
from countermark_protocol.verdicts import VerdictClass

if TYPE_CHECKING:
    from countermark_client import Client, Received

#: One receipt covers up to 256 messages; fewer means that less is done again after a crash.
_ACCEPT_AT_ONCE: Final = 100
#: Seconds of one long-poll while following.
_PATIENCE: Final = 60.0


# --- the inbox -----------------------------------------------------------------------------------------


def received_json(received: Received) -> dict[str, Any]:
    """A message with its content, as JSON."""
    return {
        "message": received.hash,
        "from": received.sender,
        "type": received.type,
        "version": received.manifest.version,
        "conversation": received.conversation.hex(),
        "index": received.index,
        "time": received.time,
        "box": received.box,
        "position": received.position,
        "recipients": list(received.recipients) if received.recipients is not None else None,
        "manifest": received.manifest.to_json(),
        "content": _contents.content_document(received.content),
        "attachments": [attachment_json(one) for one in received.attachments],
        "successor": successor_json(received.successor),
        "corrections": [correction_json(one) for one in received.corrections],
        "as_corrected": _contents.content_document(received.as_corrected)
        if received.as_corrected is not None
        else None,
        "signed_by": [
            {"purpose": one.purpose, "endpoint": one.endpoint, "holder": one.holder, "key": one.key_id.hex()}
            for one in received.signed_by
        ],
        "doubtful": received.doubtful,
        "verdict": verdict_json(received.verdict),
        "sender_reset": reset_json(received.reset),
    }


def _rejected_json(rejected: Rejected) -> dict[str, Any]:
    return {
        "message": rejected.message.hex(),
        "from": rejected.manifest.sender,
        "type": rejected.manifest.type,
        "index": rejected.index,
        "rejected": rejected.reason.value,
        "details": rejected.details,
    }


def received_row(one: Received) -> tuple[object, ...]:
    """A message as a row of a table."""
    manifest = one.manifest
    marks = [manifest.urgency.value, f"TLP:{manifest.handling.tlp.value}"]
    if manifest.exercise:
        marks.append("EXERCISE")
    if manifest.on_behalf_of is not None:
        marks.append(f"ON BEHALF OF {manifest.on_behalf_of}")
    if any(signed.purpose == "release" for signed in one.signed_by):
        marks.append("TWO PERSONS")
    if one.doubtful:
        marks.append("DOUBTFUL")
    if one.verdict.kind is not VerdictClass.VALID:
        marks.append(one.verdict.kind.value.upper())
    if one.reset is not None:
        marks.append("SENDER RESET")
    if one.successor is not None:
        marks.append(fate(one.successor))
    if one.corrections:
        marks.append("CORRECTED")
    if one.attachments:
        marks.append(f"{len(one.attachments)} ATTACHED")
    return short(one.message), one.index, utc(one.time), one.sender, one.type, " ".join(marks)


_HEADERS = ("MESSAGE", "ENTRY", "LOGGED", "FROM", "TYPE", "HANDLING")


@click.command("inbox")
@click.option("--accept", is_flag=True, help="State to each sender that the message was taken in.")
@click.option("--limit", type=click.IntRange(1), help="Stop after so many.")
@click.option("--box", type=click.Choice(["urgent", "routine"]), help="Read one box alone.")
@click.option("--follow", is_flag=True, help="Go on waiting for messages; with --json one object a line.")
@with_home
@command
def inbox(accept: bool, limit: int | None, box: str | None, follow: bool, access: Access) -> Result | None:
    """Read messages that are neither accepted nor rejected yet, urgent ones first.

    Each is proven to be in the log, signed for, opened and validated. Reading signs for it: its sender
    learns that it was delivered.

    Examples:
      countermark inbox
      countermark inbox --accept --json > today.json
      countermark inbox --follow --accept
    """
    with access.client() as client:
        if follow:
            _follow(client, box, limit, accept=accept)
            return None
        found: list[Received] = []
        with progress("reading") as advance:
            for received in _limited(client.inbox(box), limit):
                found.append(received)
                advance(len(found), limit or len(found))
                if accept and len(found) % _ACCEPT_AT_ONCE == 0:
                    client.accept_many(found[-_ACCEPT_AT_ONCE:])
        if accept:
            client.accept_many(found)  # what was accepted above already is no news to anybody
        rejected = client.rejected
        purged = [find_item(client, message.hex()) for message in client.purged]
    lines: list[str | _late.Table] = []
    if found:
        lines.append(table(_HEADERS, map(received_row, found)))
    lines += [_rejected_line(r) for r in rejected]
    lines += [_purged_line(item) for item in purged]
    what = "accepted" if accept else "waiting: `countermark show MESSAGE`, then `accept` or `reject`"
    lines.append(f"{len(found)} {what}" if found else "no messages")
    return Result(
        lines,
        messages=[received_json(r) for r in found],
        accepted=len(found) if accept else 0,
        rejected=[_rejected_json(r) for r in rejected],
        purged=[_purged_json(item) for item in purged],
    )


def _limited(messages: Iterator[Received], limit: int | None) -> Iterator[Received]:
    for number, received in enumerate(messages, 1):
        yield received
        if number == limit:
            return


def _rejected_line(r: Rejected) -> str:
    said = r.details.get("message", "")
    return f"rejected {short(r.message)} of {r.manifest.sender}: {r.reason.value}: {said}"


def _purged_json(item: ConversationItem) -> dict[str, Any]:
    return {"message": item.message.hex(), "from": item.manifest.sender, "purged": purged_json(item.purged)}


def _purged_line(item: ConversationItem) -> str:
    ground = f": {ground_in_words(item.purged.ground)}" if item.purged is not None else ""
    return f"purged {short(item.message)} of {item.manifest.sender}{ground}; it cannot be opened, and is done"


def _follow(client: Client, box: str | None, limit: int | None, *, accept: bool) -> None:
    """Tell each message once, until `limit` or Ctrl-C; a broker that is away is waited for."""
    seen: set[bytes] = set()
    told = purged = 0
    if not as_json():
        say("waiting for messages; Ctrl-C ends it")
    # What is not accepted would be given again by a second iteration, so then there is only one.
    patience = _PATIENCE if accept else math.inf
    while True:
        try:
            for received in client.inbox(box, wait=patience):
                if received.message not in seen:
                    seen.add(received.message)
                    _tell(received)
                if accept:
                    received.accept()
                told = _tell_rejected(client, told)
                purged = _tell_purged(client, purged)
                if len(seen) == limit:
                    return
            told = _tell_rejected(client, told)
            purged = _tell_purged(client, purged)
        except TransportError as error:
            say(f"the broker is away, trying again: {error}")
            pause(_PATIENCE / 2)
        except KeyboardInterrupt:
            return


def _tell(received: Received) -> None:
    if as_json():
        print_line(received_json(received))
    else:
        show("  ".join(map(str, received_row(received))))


def _tell_rejected(client: Client, told: int) -> int:
    for rejected in client.rejected[told:]:
        if as_json():
            print_line(_rejected_json(rejected))
        else:
            show(_rejected_line(rejected))
    return len(client.rejected)


def _tell_purged(client: Client, told: int) -> int:
    for message in client.purged[told:]:
        item = find_item(client, message.hex())
        if as_json():
            print_line(_purged_json(item))
        else:
            show(_purged_line(item))
    return len(client.purged)


# --- answering -----------------------------------------------------------------------------------------


@click.command("accept")
@click.argument("hashes", metavar="HASH...", nargs=-1, required=True)
@click.option(
    "--handling-read", is_flag=True, help="You have read the restrictions that handling code H3 stands for."
)
@with_home
@command
def accept(hashes: tuple[str, ...], handling_read: bool, access: Access) -> Result:
    """State to the senders that these messages were taken in.

    Examples:
      countermark accept 4be1c0ffee 90ab12cd34
      countermark accept 4be1c0ffee --handling-read
    """
    with access.client() as client:
        messages = [message_of(client, h) for h in hashes]
        for message in messages if handling_read else ():
            client.acknowledge_handling(message)
        count = client.accept_many(messages)
    return Result(
        [
            f"accepted: {count}"
            + (f" ({len(messages) - count} were already)" if count < len(messages) else "")
        ],
        accepted=count,
        messages=[m.hex() for m in messages],
    )


@click.command("reject")
@click.argument("message_hash", metavar="HASH")
@click.option(
    "--reason",
    type=click.Choice([r.value for r in RejectionReason]),
    required=True,
    help="From the closed list.",
)
@click.option("--details", help="For the sender alone: sealed, the broker cannot read them.")
@with_home
@command
def reject(message_hash: str, reason: str, details: str | None, access: Access) -> Result:
    """State to its sender that the message HASH was not taken in.

    Example:
      countermark reject 4be1c0ffee --reason not_for_us --details 'ask the licensing authority'
    """
    with access.client() as client:
        message = message_of(client, message_hash)
        client.reject(message, reason, details)
    return Result([f"rejected: {message.hex()} ({reason})"], message=message.hex(), reason=reason)


@click.command("forget")
@with_home
@command
def forget(access: Access) -> Result:
    """Delete the content of received messages whose retention is over; manifests, receipts and proofs stay.

    Made for cron and systemd timers. Messages that are neither accepted nor rejected are left; so are backups.

    Example:
      countermark forget
    """
    with access.client() as client:
        gone = client.forget_expired()
    return Result([f"forgotten: {len(gone)}"] if gone else [], forgotten=[m.hex() for m in gone])
