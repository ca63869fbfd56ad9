"""`countermark inbox`, `list`, `show`, `accept`, `reject`, `conversation`, `status`, `notices`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

import click
from rich.table import Table

from countermark_client._models import ConversationItem, MessageStatus, Notice, Rejected
from countermark_client._sync import Client, Received
from countermark_client.cli.common import Access, message_of, pause, with_home
from countermark_client.cli.output import (
    Result,
    as_json,
    command,
    print_line,
    progress,
    safe,
    say,
    short,
    show,
    table,
    utc,
)
from countermark_client.cli.sending import find_item
from countermark_protocol.errors import TransportError
from countermark_protocol.manifest import Manifest
from countermark_protocol.receipts import Receipt, RejectionReason
from countermark_protocol.registry import content_document

#: One receipt covers up to 256 messages; fewer means that less is done again after a crash.
_ACCEPT_AT_ONCE: Final = 100
#: Seconds of one long-poll while following.
_PATIENCE: Final = 60.0


# --- the inbox -----------------------------------------------------------------------------------------


def _received_json(received: Received) -> dict[str, Any]:
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
        "content": content_document(received.content),
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


def _received_row(one: Received) -> tuple[object, ...]:
    manifest = one.manifest
    marks = [manifest.urgency.value, f"TLP:{manifest.handling.tlp.value}"]
    if manifest.exercise:
        marks.append("EXERCISE")
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
    lines: list[str | Table] = []
    if found:
        lines.append(table(_HEADERS, map(_received_row, found)))
    lines += [_rejected_line(r) for r in rejected]
    what = "accepted" if accept else "waiting: `countermark show MESSAGE`, then `accept` or `reject`"
    lines.append(f"{len(found)} {what}" if found else "no messages")
    return Result(
        lines,
        messages=[_received_json(r) for r in found],
        accepted=len(found) if accept else 0,
        rejected=[_rejected_json(r) for r in rejected],
    )


def _limited(messages: Iterator[Received], limit: int | None) -> Iterator[Received]:
    for number, received in enumerate(messages, 1):
        yield received
        if number == limit:
            return


def _rejected_line(r: Rejected) -> str:
    said = r.details.get("message", "")
    return f"rejected {short(r.message)} of {r.manifest.sender}: {r.reason.value}: {said}"


def _follow(client: Client, box: str | None, limit: int | None, *, accept: bool) -> None:
    """Tell each message once, until `limit` or Ctrl-C; a broker that is away is waited for."""
    seen: set[bytes] = set()
    told = 0
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
                if len(seen) == limit:
                    return
            told = _tell_rejected(client, told)
        except TransportError as error:
            say(f"the broker is away, trying again: {error}")
            pause(_PATIENCE / 2)
        except KeyboardInterrupt:
            return


def _tell(received: Received) -> None:
    if as_json():
        print_line(_received_json(received))
    else:
        show("  ".join(map(str, _received_row(received))))


def _tell_rejected(client: Client, told: int) -> int:
    for rejected in client.rejected[told:]:
        if as_json():
            print_line(_rejected_json(rejected))
        else:
            show(_rejected_line(rejected))
    return len(client.rejected)


# --- one message ---------------------------------------------------------------------------------------


def _item_json(item: ConversationItem) -> dict[str, Any]:
    return {
        "message": item.message.hex(),
        "direction": item.direction,
        "stage": item.stage,
        "reason": item.reason,
        "index": item.index,
        "time": item.time,
        "manifest": item.manifest.to_json(),
        "content": content_document(item.content) if item.content is not None else None,
    }


def _manifest_lines(manifest: Manifest) -> list[str]:
    handling = manifest.handling
    lines = [
        f"type         {manifest.type} version {manifest.version}",
        f"from         {manifest.sender}",
        f"recipients   {manifest.recipient_count}"
        + (f" (group {manifest.group.name})" if manifest.group is not None else ""),
        f"sent         {utc(manifest.sent_at)}, expires {utc(manifest.expires_at)}",
        f"urgency      {manifest.urgency.value}",
        f"handling     TLP:{handling.tlp.value} {handling.classification.value} {handling.purpose.value}"
        + (f" {' '.join(c.value for c in handling.codes)}" if handling.codes else "")
        + (" ORIGINATOR CONTROL" if handling.originator_control else "")
        + (f", releasable to {' '.join(handling.releasable_to)}" if handling.releasable_to else ""),
        f"keep until   {utc(handling.retention_until)}",
    ]
    if manifest.reply_by is not None:
        lines.append(f"reply by     {utc(manifest.reply_by)}")
    if manifest.in_reply_to is not None:
        lines.append(f"answers      {short(manifest.in_reply_to)}")
    if manifest.supersedes is not None:
        lines.append(f"supersedes   {short(manifest.supersedes)}")
    if manifest.stage is not None:
        lines.append(f"stage        {manifest.stage.value}")
    if manifest.exercise:
        lines.append("EXERCISE: drill traffic")
    return lines


@click.command("show")
@click.argument("message_hash", metavar="HASH")
@with_home
@command
def show_message(message_hash: str, access: Access) -> Result:
    """Show the message HASH, received or sent: manifest, how far it is, and content.

    HASH is the message's hash, or at least its first eight digits.
    """
    with access.client() as client:
        item = find_item(client, message_hash)
    lines = [
        f"message      {item.message.hex()}",
        f"stage        {item.stage}" + (f" ({item.reason})" if item.reason else ""),
        f"entry        {'-' if item.index is None else item.index}, logged {utc(item.time)}",
        *_manifest_lines(item.manifest),
    ]
    if item.content is None:
        lines.append("content      not opened here")
    else:
        text = json.dumps(content_document(item.content), indent=2, ensure_ascii=False)
        lines += ["content", *(f"  {safe(line)}" for line in text.splitlines())]
    return Result(lines, **_item_json(item))


@click.command("accept")
@click.argument("hashes", metavar="HASH...", nargs=-1, required=True)
@with_home
@command
def accept(hashes: tuple[str, ...], access: Access) -> Result:
    """State to the senders that these messages were taken in.

    Example:
      countermark accept 4be1c0ffee 90ab12cd34
    """
    with access.client() as client:
        messages = [message_of(client, h) for h in hashes]
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


# --- many messages -------------------------------------------------------------------------------------


def _whom(manifest: Manifest) -> str:
    return "1 recipient" if manifest.recipient_count == 1 else f"{manifest.recipient_count} recipients"


def _items(items: Sequence[ConversationItem]) -> Result:
    rows = (
        (
            short(i.message),
            "-" if i.index is None else i.index,
            utc(i.time),
            "<-" if i.direction == "in" else "->",
            i.manifest.sender if i.direction == "in" else _whom(i.manifest),
            i.manifest.type,
            i.stage + (f" ({i.reason})" if i.reason else ""),
        )
        for i in items
    )
    headers = ("MESSAGE", "ENTRY", "LOGGED", "", "WITH", "TYPE", "STAGE")
    return Result(
        [table(headers, rows)] if items else ["no messages"], messages=[_item_json(i) for i in items]
    )


@click.command("conversation")
@click.argument("message_hash", metavar="HASH")
@with_home
@command
def conversation(message_hash: str, access: Access) -> Result:
    """List all messages of the conversation that HASH belongs to, in log order."""
    with access.client() as client:
        return _items(client.conversation(find_item(client, message_hash).message))


@click.command("list")
@click.option("--sent", "direction", flag_value="out", help="Sent ones alone.")
@click.option("--received", "direction", flag_value="in", help="Received ones alone.")
@with_home
@command
def list_messages(direction: str | None, access: Access) -> Result:
    """List the messages that this profile holds, in log order."""
    with access.client() as client:
        return _items(client.messages(direction))


# --- what became of sent ones --------------------------------------------------------------------------


def _status_json(status: MessageStatus) -> dict[str, Any]:
    return {
        "message": status.message.hex(),
        "stage": status.stage,
        "index": status.index,
        "time": status.time,
        "error": status.error,
        "recipients": [
            {
                "recipient": r.recipient,
                "stage": r.stage,
                "time": r.time,
                "reason": r.reason,
                "details": r.details,
                "undelivered": r.undelivered,
                "late": r.late,
            }
            for r in status.recipients
        ],
    }


@click.command("status")
@click.argument("message_hash", metavar="HASH")
@click.option("--offline", is_flag=True, help="As far as receipts were read before.")
@with_home
@command
def status(message_hash: str, offline: bool, access: Access) -> Result:
    """Show how far the sent message HASH is, recipient by recipient; reads new receipts first."""
    with access.client() as client:
        message = message_of(client, message_hash)
        if not offline:
            client.notices()
        found = client.status(message)
    rows = (
        (
            r.recipient,
            r.stage + (" (undelivered notice)" if r.undelivered else "") + (" (late)" if r.late else ""),
            utc(r.time),
            r.reason or "",
            json.dumps(r.details, ensure_ascii=False) if r.details is not None else "",
        )
        for r in found.recipients
    )
    entry = f", entry {found.index}, logged {utc(found.time)}" if found.index is not None else ""
    lines: list[str | Table] = [f"{found.message.hex()}: {found.stage}{entry}"]
    if found.error:
        lines.append(f"problem: {found.error}")
    lines.append(table(("RECIPIENT", "STAGE", "SINCE", "REASON", "DETAILS"), rows))
    return Result(lines, **_status_json(found))


def _notice_json(notice: Notice) -> dict[str, Any]:
    return {"index": notice.index, "time": notice.time, "statement": notice.statement.to_json()}


def _notice_rows(notice: Notice) -> Iterator[tuple[object, ...]]:
    statement = notice.statement
    if isinstance(statement, Receipt):
        for item in statement.items:
            reason = item.reason.value if item.reason is not None else ""
            yield (
                notice.index,
                utc(notice.time),
                statement.author,
                statement.stage.value,
                short(item.message),
                reason,
            )
    else:
        yield (
            notice.index,
            utc(notice.time),
            statement.recipient,
            "UNDELIVERED",
            short(statement.message),
            "not collected in time",
        )


@click.command("notices")
@click.option("--all", "show_all", is_flag=True, help="Those read before too.")
@with_home
@command
def notices(show_all: bool, access: Access) -> Result:
    """Read new receipts and undelivered notices about sent messages; `status` tells them by message."""
    with access.client() as client:
        found = client.notices()
        if show_all:
            found = client._core.boxes.notices_from(0)  # noqa: SLF001  the same package
    headers = ("ENTRY", "LOGGED", "RECIPIENT", "STATES", "MESSAGE", "REASON")
    rows = [row for notice in found for row in _notice_rows(notice)]
    return Result(
        [table(headers, rows)] if rows else ["nothing new"], notices=[_notice_json(n) for n in found]
    )
