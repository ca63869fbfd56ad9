"""`countermark send`, `answer`, `flush`, `outbox`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import click

from countermark_client._compose import default_handling
from countermark_client._models import ConversationItem, Draft, Outcome
from countermark_client._store import OutboxItem, OutboxState
from countermark_client._sync import Client
from countermark_client.cli.common import Access, message_of, now, parse_time, with_home
from countermark_client.cli.content_files import FORMATS, Row, format_of, parse_mapping, read_rows
from countermark_client.cli.output import (
    REFUSED,
    Result,
    as_json,
    command,
    details_of,
    error_json,
    exit_code_of,
    hint_of,
    progress,
    say,
    short,
    table,
    utc,
)
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import CountermarkError, NotFoundError
from countermark_protocol.handling import Classification, Handling, HandlingCode, Tlp, UsePurpose
from countermark_protocol.identifiers import parse_authority_code
from countermark_protocol.manifest import Urgency, parse_manifest
from countermark_protocol.submission import parse_submission

#: Rows that are told one by one; the rest is counted, and stands in full in the JSON form.
_MOST_ROWS: Final = 20
_CONTENT_FILE: Any = click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True)

_MESSAGE_OPTIONS: Final[tuple[Callable[[Any], Any], ...]] = (
    click.option(
        "--file",
        "file",
        type=_CONTENT_FILE,
        required=True,
        help="The content: .json, .jsonl (one a line) or .csv (one a row); - for standard input.",
    ),
    click.option("--format", "file_format", type=click.Choice(FORMATS), help="Where the name does not tell."),
    click.option(
        "--mapping",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="JSON file from a table's columns to members; see docs/howto/send-and-receive.md.",
    ),
    click.option(
        "--urgency",
        type=click.Choice([u.value for u in Urgency]),
        default=Urgency.ROUTINE.value,
        show_default=True,
        help="The last two go to the recipients' box 'urgent'.",
    ),
    click.option("--tlp", type=click.Choice([t.value for t in Tlp]), help="Who may see it."),
    click.option(
        "--classification", type=click.Choice([c.value for c in Classification]), help="Protection level."
    ),
    click.option(
        "--code",
        "codes",
        type=click.Choice([c.value for c in HandlingCode]),
        multiple=True,
        help="SIENA code.",
    ),
    click.option(
        "--purpose", type=click.Choice([p.value for p in UsePurpose]), help="What it may be used for."
    ),
    click.option("--originator-control", is_flag=True, help="Onward copies need your consent."),
    click.option(
        "--releasable-to", multiple=True, help="Authority that may have it, e.g. ke; may be repeated."
    ),
    click.option("--retention-until", help="Keep no longer than this date."),
    click.option("--reply-by", help="When an answer is wanted, e.g. 2026-12-01."),
    click.option("--expires-in", type=click.IntRange(1, 92), metavar="DAYS", help="[default: 30 days]"),
    click.option("--exercise", is_flag=True, help="Drill traffic: marked as such for good."),
    click.option(
        "--visible/--hidden",
        "visible",
        default=None,
        help="Whether recipients see each other. [default: by the type]",
    ),
    click.option("--skip", type=click.IntRange(0), default=0, help="Do not send the first N of the file."),
    click.option("--check", is_flag=True, help="Check the file only; send nothing."),
)


def _message_options(function: Any) -> Any:
    for option in reversed(_MESSAGE_OPTIONS):
        function = option(function)
    return function


# --- what is sent --------------------------------------------------------------------------------------


def _rows(message_type: str, file: Path, file_format: str | None, mapping: Path | None) -> list[Row]:
    chosen = file_format or format_of(file)
    if chosen is None:
        raise click.UsageError(f"the name {file} does not tell its format: say --format")
    data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    columns = parse_mapping(mapping.read_bytes()) if mapping is not None else None
    return read_rows(data, chosen, message_type, columns)


def _handling(base: Handling, options: dict[str, Any]) -> Handling | None:
    """What `base` becomes by the options given; None if none was."""
    changes: dict[str, Any] = {}
    if options["tlp"]:
        changes["tlp"] = Tlp(options["tlp"])
    if options["classification"]:
        changes["classification"] = Classification(options["classification"])
    if options["codes"]:
        changes["codes"] = tuple(HandlingCode(c) for c in options["codes"])
    if options["purpose"]:
        changes["purpose"] = UsePurpose(options["purpose"])
    if options["originator_control"]:
        changes["originator_control"] = True
    if options["releasable_to"]:
        changes["releasable_to"] = tuple(parse_authority_code(c) for c in options["releasable_to"])
    if options["retention_until"]:
        until = parse_time(options["retention_until"], "--retention-until")
        changes["retention_until"] = int(until.timestamp() * 1000)
    return replace(base, **changes) if changes else None


def _drafts(
    message_type: str,
    to: Sequence[str],
    rows: Sequence[Row],
    target: ConversationItem | None,
    supersedes: bytes | None,
    options: dict[str, Any],
) -> list[Draft]:
    base = target.manifest.handling if target is not None else default_handling(now())
    handling = _handling(base, options)
    return [
        Draft(
            type=message_type,
            content=row.content,
            to=to,
            urgency=options["urgency"],
            handling=handling,
            in_reply_to=target.message if target is not None else None,
            reply_by=parse_time(options["reply_by"], "--reply-by") if options["reply_by"] else None,
            expires_in=timedelta(days=options["expires_in"]) if options["expires_in"] else None,
            supersedes=supersedes,
            exercise=options["exercise"],
            visible=options["visible"],
        )
        for row in rows
        if row.content is not None
    ]


def find_item(client: Client, text: str) -> ConversationItem:
    """A message that this profile holds, received or sent.

    Raises:
        NotFoundError: ``unknown_message``.
    """
    message = message_of(client, text)
    for item in client.conversation(message):
        if item.message == message:
            return item
    raise NotFoundError("unknown_message", f"this profile holds no message {text}")


# --- sending -------------------------------------------------------------------------------------------


def _invalid(rows: Sequence[Row]) -> Result | None:
    """The refusal of a file with rows that are not valid; None if all are."""
    bad = [row for row in rows if row.error is not None]
    if not bad:
        return None
    lines = [f"error: nothing was sent: {len(bad)} of {len(rows)} contents are not valid [invalid_content]"]
    for row in bad[:_MOST_ROWS]:
        assert row.error is not None
        lines.append(f"row {row.number}: {row.error.message}")
        if len(bad) <= 3:
            lines += details_of(row.error)
    if len(bad) > _MOST_ROWS:
        lines.append(f"(and {len(bad) - _MOST_ROWS} more)")
    lines.append("hint: mend these rows; `countermark type NAME` tells what a content holds")
    _remark(*lines)
    return Result(
        [],
        REFUSED,
        error={
            "code": "invalid_content",
            "message": f"nothing was sent: {len(bad)} of {len(rows)} contents are not valid",
            "hint": "mend these rows",
            "facts": {"rows": [{"row": r.number, **error_json(r.error)} for r in bad if r.error]},
        },
    )


def _outcome_json(row: Row, outcome: Outcome) -> dict[str, Any]:
    out: dict[str, Any] = {"row": row.number}
    if outcome.sent is not None:
        sent = outcome.sent
        out |= {
            "message": sent.hash,
            "id": sent.id,
            "recipients": list(sent.recipients),
            "conversation": sent.conversation.hex(),
            "index": sent.index,
            "time": sent.time,
        }
    if outcome.error is not None:
        out["error"] = error_json(outcome.error)
    return out


def _outcome_line(row: Row, outcome: Outcome, many: bool) -> str:
    which = f"row {row.number}: " if many else ""
    if outcome.sent is not None:
        to = outcome.sent.recipients
        whom = to[0] if len(to) == 1 else f"{len(to)} recipients"
        return f"{which}logged as entry {outcome.sent.index}, to {whom}: {outcome.sent.hash}"
    assert outcome.error is not None
    return f"{which}error: {outcome.error.message} [{outcome.error.code}]"


def _remark(*lines: str) -> None:
    """Remarks on standard error; the JSON form holds the same."""
    if not as_json():
        for line in lines:
            say(line)


def _waiting(client: Client) -> set[bytes]:
    return {i.payload for i in client.profile.store.outbox(OutboxState.WAITING)}


def _deliver(client: Client, rows: Sequence[Row], drafts: Sequence[Draft], message_type: str) -> Result:
    told: list[tuple[Row, Outcome]] = []
    stopped: CountermarkError | None = None
    before = _waiting(client)
    with progress(f"sending {message_type}") as advance:
        try:
            for row, outcome in zip(rows, client.send_many(drafts), strict=True):
                if outcome.error is not None and outcome.error.code == "stale_checkpoint":
                    # Nothing can be sealed while the broker is away: the rest would only wait in vain.
                    stopped = outcome.error
                    break
                told.append((row, outcome))
                advance(len(told), len(rows))
        except CountermarkError as error:
            stopped = error
        except KeyboardInterrupt:
            stopped = CountermarkError("interrupted", "interrupted while sending")
    failed = [(row, o) for row, o in told if o.error is not None]
    many = len(rows) > 1
    lines = [_outcome_line(row, o, many) for row, o in told if o.error is None][:_MOST_ROWS]
    for row, outcome in failed[:_MOST_ROWS]:
        assert outcome.error is not None
        _remark(_outcome_line(row, outcome, many), *details_of(outcome.error))
        if not many:
            _remark(f"hint: {hint_of(outcome.error)}")
    logged = len(told) - len(failed)
    if many:
        if logged > _MOST_ROWS:
            lines.append(f"(and {logged - _MOST_ROWS} more; --json names all)")
        lines.append(f"{logged} of {len(rows)} logged, {len(failed)} refused")
    members: dict[str, Any] = {
        "type": message_type,
        "logged": logged,
        "refused": len(failed),
        "messages": [_outcome_json(row, o) for row, o in told],
    }
    if stopped is None:
        return Result(lines, REFUSED if failed else 0, **members)
    kept = sorted(m.hex() for m in _waiting(client) - before)
    done = len(told) + len(kept)
    _remark(f"error: {stopped.message} [{stopped.code}]")
    if kept:
        _remark(f"hint: sealed and kept in the outbox: {', '.join(kept)}; `countermark flush` sends it")
    else:
        _remark(f"hint: {hint_of(stopped)}")
    next_row = rows[done].number if done < len(rows) else None
    if next_row is not None and many:
        _remark(
            f"hint: from row {next_row} on nothing is sealed yet: send the rest with --skip {rows[0].number - 1 + done}"
        )
    members |= {"error": error_json(stopped), "kept_in_outbox": kept, "next_row": next_row}
    return Result(lines, exit_code_of(stopped), **members)


def _send(
    access: Access,
    message_type: str,
    to: Sequence[str] | None,
    reply_to: str | None,
    supersedes: str | None,
    options: dict[str, Any],
) -> Result:
    rows = _rows(message_type, options["file"], options["file_format"], options["mapping"])
    refused = _invalid(rows)
    if refused is not None:
        return refused
    if options["check"]:
        return Result([f"valid: {len(rows)} of type {message_type}"], type=message_type, valid=len(rows))
    skipped = options["skip"]
    if skipped >= len(rows):
        raise click.UsageError(f"--skip {skipped} leaves nothing of {len(rows)} to send")
    chosen = rows[skipped:]
    with access.client() as client:
        target = find_item(client, reply_to) if reply_to is not None else None
        if to is None:
            assert target is not None
            to = [target.manifest.sender]
        replaced = message_of(client, supersedes) if supersedes is not None else None
        return _deliver(
            client, chosen, _drafts(message_type, to, chosen, target, replaced, options), message_type
        )


@click.command("send")
@click.argument("message_type", metavar="TYPE")
@click.option(
    "--to",
    "to",
    multiple=True,
    required=True,
    metavar="ADDRESS",
    help="Address, or one group as group:owner/name; may be repeated.",
)
@click.option("--reply-to", metavar="HASH", help="The message that it answers.")
@click.option("--supersedes", metavar="HASH", help="An own message that it replaces.")
@_message_options
@with_home
@command
def send(
    message_type: str,
    to: tuple[str, ...],
    reply_to: str | None,
    supersedes: str | None,
    access: Access,
    **options: Any,
) -> Result:
    """Send messages of TYPE: checked, sealed, signed, proven to be in the log.

    All contents of a file are validated before the first is sent. `countermark types` lists the types.

    Examples:
      countermark send tracing-request --to be.contact.federal --file request.json
      countermark send lost-or-stolen-notice --to group:xo-eac/police --file stolen.csv --mapping columns.json
      cat notices.jsonl | countermark send confiscation-notice --to be.ncb.brussels --file - --format jsonl
    """
    return _send(access, message_type, to, reply_to, supersedes, options)


@click.command("answer")
@click.argument("message_hash", metavar="HASH")
@click.argument("message_type", metavar="TYPE")
@_message_options
@with_home
@command
def answer(message_hash: str, message_type: str, access: Access, **options: Any) -> Result:
    """Answer the received message HASH with one of TYPE, to its sender.

    It carries on the handling of what it answers, and its mark of an exercise.

    Example:
      countermark answer 4be1c0ffee tracing-response --file response.json
    """
    return _send(access, message_type, None, message_hash, None, options)


# --- the outbox ----------------------------------------------------------------------------------------


def _item_json(item: OutboxItem) -> dict[str, Any]:
    out: dict[str, Any] = {
        "statement": item.payload.hex(),
        "kind": item.kind,
        "state": item.state.value,
        "created": item.created,
        "index": item.index,
        "time": item.time,
    }
    if item.code is not None:
        out["error"] = {"code": item.code, "message": item.error}
    return out


def _what(item: OutboxItem) -> str:
    if item.kind != "message":
        stage = parse_document(item.body).claims.get("stage")
        return f"receipt {stage}"
    return parse_manifest(parse_submission(item.body).document.claims).type


@click.command("outbox")
@click.option("--all", "show_all", is_flag=True, help="Those that are in the log too.")
@with_home
@command
def outbox(show_all: bool, access: Access) -> Result:
    """List what waits to be sent, and what was refused."""
    with access.profile() as profile:
        items = profile.store.outbox()
    chosen = [i for i in items if show_all or i.state is not OutboxState.LOGGED]
    counts = {state.value: sum(1 for i in items if i.state is state) for state in OutboxState}
    shown: list[Any] = [", ".join(f"{count} {state}" for state, count in counts.items())]
    if chosen:
        shown.append(
            table(
                ("STATEMENT", "WHAT", "STATE", "MADE", "ENTRY", "PROBLEM"),
                (
                    (
                        short(i.payload),
                        _what(i),
                        i.state.value,
                        utc(i.created),
                        "-" if i.index is None else i.index,
                        f"{i.error} [{i.code}]" if i.code else "",
                    )
                    for i in chosen
                ),
            )
        )
    return Result(shown, counts=counts, items=[_item_json(i) for i in chosen])


@click.command("flush")
@with_home
@command
def flush(access: Access) -> Result:
    """Send what the outbox holds: the same bytes again, after a crash or when the broker is back."""
    with access.client() as client:
        report = client.flush()
    refused, failed = report.refused, report.failed
    lines = [f"{len(report.logged)} logged, {len(refused)} refused, {len(failed)} failed"]
    lines += [f"{short(i.payload)}: {i.error} [{i.code}]" for i in (*refused, *failed)[:_MOST_ROWS]]
    return Result(
        lines,
        REFUSED if refused or failed else 0,
        logged=[_item_json(i) for i in report.logged],
        refused=[_item_json(i) for i in refused],
        failed=[_item_json(i) for i in failed],
    )
