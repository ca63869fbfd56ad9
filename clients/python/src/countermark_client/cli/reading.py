"""`countermark show`, `list`, `conversation`, `status`, `notices`: what a profile holds, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import click

from countermark_client import _contents
from countermark_client._models import (
    ConversationItem,
    Correction,
    MessageStatus,
    Notice,
    Purged,
    RecipientStatus,
    Successor,
)
from countermark_client._rollup import Rollup
from countermark_client._verdict_words import verdict_json, verdict_text
from countermark_client.cli import _late
from countermark_client.cli.addressing import left_out_json
from countermark_client.cli.attaching import attachment_json, attachment_lines
from countermark_client.cli.common import Access, message_of, with_home
from countermark_client.cli.output import Result, command, safe, short, table, utc
from countermark_client.cli.sending import find_item
from countermark_protocol.acts import Purge, PurgeGround
from countermark_protocol.manifest import Manifest
from countermark_protocol.receipts import Receipt
from countermark_protocol.verdicts import SignatureVerdict, VerdictClass

# --- what took a message's place -----------------------------------------------------------------------


def successor_json(successor: Successor | None) -> dict[str, Any] | None:
    """The JSON form of what takes a message's place."""
    if successor is None:
        return None
    return {
        "message": successor.message.hex(),
        "index": successor.index,
        "time": successor.time,
        "withdraws": successor.withdraws,
    }


def fate(successor: Successor | None) -> str:
    """What became of a message since, in capitals: nobody may act on it unawares."""
    if successor is None:
        return ""
    return f"{'WITHDRAWN' if successor.withdraws else 'SUPERSEDED'} by {short(successor.message)}"


def _fate_lines(successor: Successor | None) -> list[str]:
    if successor is None:
        return []
    line = f"{fate(successor)}, entry {successor.index}, logged {utc(successor.time)}"
    if successor.withdraws is None:
        return [line, "             not opened here yet: it may correct this message or withdraw it"]
    return [line]


def correction_json(correction: Correction) -> dict[str, Any]:
    """The JSON form of a correction."""
    content = correction.content
    return {
        "message": correction.message.hex(),
        "index": correction.index,
        "time": correction.time,
        "content": _contents.content_document(content) if content is not None else None,
    }


def _correction_lines(item: ConversationItem) -> list[str]:
    lines: list[str] = []
    for one in item.corrections:
        lines.append(f"CORRECTED by {short(one.message)}, entry {one.index}, logged {utc(one.time)}")
        if one.content is None:
            lines.append("             not opened here yet: read it before you act on this message")
            continue
        lines.append(f"             {one.content.ground.value}: {safe(one.content.reason)}")
        for change in one.content.changes:
            said = "nothing" if change.value is None else json.dumps(change.value, ensure_ascii=False)
            lines.append(f"             {change.path} should read {safe(said)}")
    return lines


# --- content that is gone ------------------------------------------------------------------------------


def purged_json(purged: Purged | None) -> dict[str, Any] | None:
    """The JSON form of a purge."""
    if purged is None:
        return None
    return {
        "index": purged.index,
        "time": purged.time,
        "author": purged.author,
        "ground": purged.ground.value,
    }


def ground_in_words(ground: PurgeGround) -> str:
    """Why content is deleted at the broker."""
    return (
        "withdrawn by its sender"
        if ground is PurgeGround.WITHDRAWN
        else "kept as long as its sender asked for"
    )


def _purged_lines(purged: Purged | None) -> list[str]:
    if purged is None:
        return []
    return [
        f"PURGED       {ground_in_words(purged.ground)}: entry {purged.index}, logged {utc(purged.time)}",
        "             the broker has deleted its content; manifest, receipts and proofs stay",
    ]


# --- one message ---------------------------------------------------------------------------------------


# --- what is to be thought of its signature --------------------------------------------------------------


def verdict_lines(verdict: SignatureVerdict) -> list[str]:
    """A verdict among the lines on a message."""
    holder = f", held by {verdict.holder}" if verdict.holder is not None else ""
    first, *more = verdict_text(verdict)
    key = f"key {short(verdict.key_id)}{holder}"
    return [f"signature    {first}", *(f"             {line}" for line in (key, *more))]


def _item_json(item: ConversationItem) -> dict[str, Any]:
    return {
        "message": item.message.hex(),
        "direction": item.direction,
        "stage": item.stage,
        "reason": item.reason,
        "index": item.index,
        "time": item.time,
        "manifest": item.manifest.to_json(),
        "recipients": list(item.recipients) if item.recipients is not None else None,
        "content": _contents.content_document(item.content) if item.content is not None else None,
        "successor": successor_json(item.successor),
        "corrections": [correction_json(one) for one in item.corrections],
        "as_corrected": _contents.content_document(item.as_corrected)
        if item.as_corrected is not None
        else None,
        "attachments": [attachment_json(one) for one in item.attachments],
        "undelivered": item.undelivered,
        "late": item.late,
        "purged": purged_json(item.purged),
        "verdict": verdict_json(item.verdict),
    }


def _manifest_lines(item: ConversationItem) -> list[str]:
    manifest = item.manifest
    handling = manifest.handling
    lines = [
        f"type         {manifest.type} version {manifest.version}",
        f"from         {manifest.sender}"
        + (f", ON BEHALF OF {manifest.on_behalf_of}" if manifest.on_behalf_of is not None else ""),
        f"recipients   {manifest.recipient_count}"
        + (f" (group {manifest.group.name})" if manifest.group is not None else "")
        + (", who see each other" if manifest.recipients_visible else "")
        + (f": {', '.join(item.recipients)}" if item.recipients else ""),
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
        *_fate_lines(item.successor),
        *_purged_lines(item.purged),
        *_correction_lines(item),
        f"message      {item.message.hex()}",
        f"stage        {item.stage}" + (f" ({item.reason})" if item.reason else ""),
        f"entry        {'-' if item.index is None else item.index}, logged {utc(item.time)}",
        *(verdict_lines(item.verdict) if item.index is not None else ()),
        *_manifest_lines(item),
        *attachment_lines(item.attachments, item.message),
    ]
    if item.content is None:
        lines.append("content      not opened here")
    else:
        shown = item.as_corrected if item.as_corrected is not None else item.content
        text = json.dumps(_contents.content_document(shown), indent=2, ensure_ascii=False)
        lines += [
            "content" if shown is item.content else "content, as corrected",
            *(f"  {safe(line)}" for line in text.splitlines()),
        ]
    return Result(lines, **_item_json(item))


# --- many messages -------------------------------------------------------------------------------------


def _whom(manifest: Manifest) -> str:
    return "1 recipient" if manifest.recipient_count == 1 else f"{manifest.recipient_count} recipients"


def _stage(item: ConversationItem) -> str:
    parts = [item.stage.replace("_", " ") + (f" ({item.reason})" if item.reason else "")]
    if item.undelivered:
        parts.append(f"{item.undelivered} undelivered")
    if item.late:
        parts.append(f"{item.late} late")
    if item.successor is not None:
        parts.append(fate(item.successor))
    if item.corrections:
        parts.append("CORRECTED")
    if item.index is not None and item.verdict.kind not in {VerdictClass.VALID, VerdictClass.REVOKED_LATER}:
        parts.append(item.verdict.kind.value.upper())
    if item.purged is not None:
        parts.append(f"PURGED: {ground_in_words(item.purged.ground)}")
    return ", ".join(parts)


def _items(items: Sequence[ConversationItem]) -> Result:
    rows = (
        (
            short(i.message),
            "-" if i.index is None else i.index,
            utc(i.time),
            "<-" if i.direction == "in" else "->",
            i.manifest.sender if i.direction == "in" else _whom(i.manifest),
            i.manifest.type,
            _stage(i),
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
        "successor": successor_json(status.successor),
        "purged": purged_json(status.purged),
        "recipients": [
            {
                "recipient": r.recipient,
                "stage": r.stage,
                "time": r.time,
                "reason": r.reason,
                "details": r.details,
                "undelivered": r.undelivered,
                "late": r.late,
                "delivered_at": r.delivered_at,
                "undelivered_at": r.undelivered_at,
            }
            for r in status.recipients
        ],
    }


@click.command("status")
@click.argument("message_hash", metavar="HASH")
@click.option("--offline", is_flag=True, help="As far as receipts were read before.")
@click.option("--missing", is_flag=True, help="Those alone who have not collected it.")
@with_home
@command
def status(message_hash: str, offline: bool, missing: bool, access: Access) -> Result:
    """Show how far the sent message HASH is, recipient by recipient; reads new receipts first.

    One line says how many of all recipients have collected, accepted or rejected it, who has not, and who was late; the
    table says since when each stands where it does, and by which entry of the log.

    Examples:
      countermark status 4be1c0ff
      countermark status 4be1c0ff --missing
    """
    with access.client() as client:
        message = message_of(client, message_hash)
        if not offline:
            client.notices()
        found, rollup = client.status(message), client.rollup(message)
    shown = {one.recipient: one for one in (rollup.missing if missing else rollup.recipients)}
    rows = (
        (
            r.recipient,
            r.stage + _marks(r),
            utc(shown[r.recipient].since),
            "-" if shown[r.recipient].entry is None else shown[r.recipient].entry,
            r.reason or "",
            json.dumps(r.details, ensure_ascii=False) if r.details is not None else "",
        )
        for r in found.recipients
        if r.recipient in shown
    )
    entry = f", entry {found.index}, logged {utc(found.time)}" if found.index is not None else ""
    lines: list[str | _late.Table] = [f"{found.message.hex()}: {found.stage}{entry}"]
    lines += _fate_lines(found.successor)
    lines += _purged_lines(found.purged)
    if found.error:
        lines.append(f"problem: {found.error}")
    lines.append(rollup.summary)
    if shown:
        lines.append(table(("RECIPIENT", "STAGE", "SINCE", "ENTRY", "REASON", "DETAILS"), rows))
    if rollup.left_out:
        lines.append(
            table(("LEFT OUT", "BY", "WHY"), ((one.address, one.by, one.message) for one in rollup.left_out))
        )
    return Result(lines, **_status_json(found), rollup=rollup_json(rollup))


def rollup_json(rollup: Rollup) -> dict[str, Any]:
    """All recipients of a sent message at a glance; one by one they stand under `recipients`."""
    return {
        "summary": rollup.summary,
        "recipients": len(rollup.recipients),
        "unknown": rollup.unknown,
        "collected": rollup.collected,
        "late": rollup.late,
        "counts": {standing.value: count for standing, count in rollup.counts.items()},
        "expires_at": rollup.expires_at,
        "visible": rollup.visible,
        "group": rollup.group,
        "missing": [
            {
                "recipient": one.recipient,
                "standing": one.standing.value,
                "since": one.since,
                "entry": one.entry,
            }
            for one in rollup.missing
        ],
        "standings": {
            one.recipient: {
                "standing": one.standing.value,
                "since": one.since,
                "entry": one.entry,
                "late": one.late,
            }
            for one in rollup.recipients
        },
        "left_out": [left_out_json(one) for one in rollup.left_out],
    }


def _marks(r: RecipientStatus) -> str:
    """Whether a recipient let the time pass, and whether it collected the message after all."""
    out = f" (undelivered notice {utc(r.undelivered_at)})" if r.undelivered else ""
    return out + (f" (late: signed for {utc(r.delivered_at)})" if r.late else "")


def _notice_json(notice: Notice) -> dict[str, Any]:
    out = {"index": notice.index, "time": notice.time, "statement": notice.statement.to_json()}
    if notice.sent_for_us is not None:
        out |= {"sent_for_us": notice.sent_for_us.hex(), "unknown": notice.unknown}
    return out


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
    elif isinstance(statement, Purge):
        said = ground_in_words(statement.ground)
        yield notice.index, utc(notice.time), "-", "PURGED", short(statement.message), said
    elif isinstance(statement, Manifest):
        assert notice.sent_for_us is not None
        said = (
            "ALARM: by a key of this profile, which did not sign it"
            if notice.unknown
            else "as this endpoint signed"
        )
        yield (
            notice.index,
            utc(notice.time),
            statement.sender,
            "SENT IN YOUR NAME",
            short(notice.sent_for_us),
            said,
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
    """Read new receipts and undelivered notices about sent messages; `status` tells them by message.

    The broker's word that the content of a message is deleted, kept as long as was asked for, comes here, too.
    """
    with access.client() as client:
        found = client.notices()
        if show_all:
            found = client.kept_notices()
    headers = ("ENTRY", "LOGGED", "RECIPIENT", "STATES", "MESSAGE", "REASON")
    rows = [row for notice in found for row in _notice_rows(notice)]
    return Result(
        [table(headers, rows)] if rows else ["nothing new"], notices=[_notice_json(n) for n in found]
    )
