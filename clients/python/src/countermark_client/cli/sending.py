"""`countermark send` and `answer`."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from countermark_client._compose import default_handling
from countermark_client._models import ConversationItem, Draft
from countermark_client.attaching import prepare_now
from countermark_client.cli.addressing import resolution_json, settle
from countermark_client.cli.attaching import ATTACH_OPTIONS, prepare_files, transfers
from countermark_client.cli.common import Access, message_of, now, parse_time, with_home
from countermark_client.cli.content_files import FORMATS, Row, format_of, parse_mapping, read_rows
from countermark_client.cli.delivering import deliver, refuse_invalid, remark, with_references
from countermark_client.cli.output import Result, command, error_json, exit_code_of, hint_of
from countermark_client.cli.releasing import write_draft
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import parse_base64url, parse_object
from countermark_protocol.errors import CountermarkError, NotFoundError
from countermark_protocol.handling import Classification, Handling, HandlingCode, Tlp, UsePurpose
from countermark_protocol.identifiers import parse_authority_code
from countermark_protocol.manifest import Urgency

if TYPE_CHECKING:
    from countermark_client import Client

#: Options that become part of each message; rows sent with others are others.
#: Shown of one file; all of them stand in the JSON.
_MOST_WARNINGS: Final = 10
_PART_OF_THE_MESSAGE: Final = (
    "urgency", "tlp", "classification", "codes", "purpose", "originator_control", "releasable_to",
    "retention_until", "reply_by", "expires_in", "exercise", "visible",
)  # fmt: skip
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
    click.option(
        "--bulk",
        is_flag=True,
        help="Rows that are not valid do not stop the others.",
    ),
    click.option(
        "--run",
        default="",
        metavar="NAME",
        help="The same rows under another name are sent once more.",
    ),
    click.option(
        "--report",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Write what became of each row to this file, one JSON object a line.",
    ),
    click.option("--check", is_flag=True, help="Check the file only; send nothing."),
    click.option(
        "--alternates",
        is_flag=True,
        help="Send it to those, too, who stand in for offices that are closed at this moment.",
    ),
    click.option(
        "--leave-out",
        "leave_out",
        multiple=True,
        metavar="ADDRESS",
        help="Send it to the others only; stands in the record of what was sent; may be repeated.",
    ),
    click.option(
        "--yes", is_flag=True, help="Do not ask, at a terminal, whether the recipients found are right."
    ),
    click.option(
        "--wait",
        type=click.Choice(["logged", "witnessed"]),
        default="logged",
        show_default=True,
        help="Until when: a quorum of witnesses cosigns within seconds.",
    ),
    click.option(
        "--within",
        type=click.IntRange(1, 3_600),
        default=60,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for witnesses.",
    ),
)


_DRAFT_OPTIONS: Final[tuple[Callable[[Any], Any], ...]] = (
    click.option(
        "--draft",
        "draft_file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Do not send: write the signed draft here, for a second person or the one in whose name it is sent.",
    ),
    click.option("--on-behalf-of", metavar="ADDRESS", help="In whose name it is sent; with --draft."),
    click.option(
        "--reply-to-file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="The message that it answers, as the one in whose name it is sent exported it.",
    ),
)


def _message_options(function: Any) -> Any:
    for option in reversed((*_MESSAGE_OPTIONS, *ATTACH_OPTIONS, *_DRAFT_OPTIONS)):
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
            alternates=options["alternates"],
            leave_out=options["leave_out"],
        )
        for row in rows
        if row.content is not None
    ]


def _shown_message(file: Path) -> bytes:
    """The signed manifest in a bundle that `countermark export` wrote."""
    message = Claims(Claims(parse_object(file.read_bytes(), file.name), "bundle").raw("message"), "message")
    return parse_base64url(message.raw("document"), "'document' of the message")


def _draft(client: Client, drafts: list[Draft], options: dict[str, Any]) -> Result:
    """Write the draft of one message."""
    if len(drafts) != 1:
        raise click.UsageError(f"a draft holds one message; the file has {len(drafts)}")
    shown = options["reply_to_file"]
    draft = replace(
        drafts[0],
        on_behalf_of=options["on_behalf_of"],
        reply_to_document=_shown_message(shown) if shown is not None else None,
    )
    return write_draft(client, draft, options["draft_file"])


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


def _check_report(options: dict[str, Any]) -> None:
    report = options["report"]
    if report is None or not report.exists():
        return
    for name in ("file", "mapping"):
        path = options[name]
        if path is not None and path.exists() and report.samefile(path):
            raise click.UsageError(
                f"--report would write over {path}, the --{name} of this run: choose another"
            )


def _send(
    access: Access,
    message_type: str,
    to: Sequence[str] | None,
    reply_to: str | None,
    supersedes: str | None,
    options: dict[str, Any],
) -> Result:
    _check_report(options)
    rows = _rows(message_type, options["file"], options["file_format"], options["mapping"])
    files = prepare_files(options["attach"], options["photographs"], rows, message_type)
    if options["check"] or not options["bulk"]:
        refused = refuse_invalid(rows)
        if refused is not None:
            return refused
    if options["check"]:
        return Result([f"valid: {len(rows)} of type {message_type}"], type=message_type, valid=len(rows))
    if options["draft_file"] is None and (options["on_behalf_of"] or options["reply_to_file"]):
        raise click.UsageError("--on-behalf-of and --reply-to-file go with --draft")
    with access.client() as client:
        target = find_item(client, reply_to) if reply_to is not None else None
        if to is None:
            assert target is not None
            to = [target.manifest.sender]
        replaced = message_of(client, supersedes) if supersedes is not None else None
        valid = [row for row in rows if row.error is None]
        drafts = _drafts(message_type, to, valid, target, replaced, options)
        drafts = [replace(draft, attachments=files) for draft in drafts] if files else drafts
        if options["draft_file"] is not None:
            return _draft(client, drafts, options)
        # Rows of a file are known again by their content; one message by itself is sent as often as it is said.
        if options["bulk"] or options["run"] or len(rows) > 1:
            refs = [m.hex() if m is not None else "" for m in (target.message if target else None, replaced)]
            sent_as = json.dumps(
                [message_type, sorted(to), refs, *(options[n] for n in _PART_OF_THE_MESSAGE)]
                # Only where it is said, so that rows sent by an earlier release are known again.
                + (["alternates"] if options["alternates"] else [])
                + [["attached", *(one.original_sha256 for one in files)] for _ in files[:1]]
            )
            drafts = with_references(drafts, f"named:{options['run']}", sent_as)
        drafts, resolved = settle(client, drafts, assumed=options["yes"])
        warnings = _warn(client, valid, drafts)
        with transfers(client) if files else contextlib.nullcontext():
            result = deliver(client, rows, drafts, message_type, options["report"])
        if warnings:
            result["warnings"] = warnings
        if resolved:
            result["resolved"] = [resolution_json(found) for found in resolved]
        if options["wait"] == "witnessed":
            result = _wait_witnessed(client, result, timedelta(seconds=options["within"]))
        return result


def _warn(client: Client, rows: Sequence[Row], drafts: Sequence[Draft]) -> list[dict[str, Any]]:
    """Say what a person should know of the contents and their files, and send them all the same."""
    for text in [text for draft in drafts for one in draft.attachments for text in prepare_now(one).warnings]:
        remark(f"warning: {text}")
    found = [
        {"row": row.number, "rule": each.rule, "field": each.field, "text": each.text}
        for row, draft in zip(rows, drafts, strict=True)
        for each in client.review(draft)
    ]
    for each in found[:_MOST_WARNINGS]:
        where = f"row {each['row']}, " if len(rows) > 1 else ""
        remark(f"warning: {where}{each['field'] or 'the message'}: {each['text']}")
    if len(found) > _MOST_WARNINGS:
        remark(f"warning: and {len(found) - _MOST_WARNINGS} more: --json lists them")
    return found


def _wait_witnessed(client: Client, result: Result, within: timedelta) -> Result:
    """Wait for the newest of what was logged: whoever saw that one saw all before it."""
    indexes = [row["index"] for row in result["messages"] if "index" in row]
    if not indexes:
        return result
    try:
        witnessed = client.wait_witnessed(max(indexes), within)
    except CountermarkError as error:
        remark(f"error: {error.message} [{error.code}]", f"hint: {hint_of(error)}")
        members = {**result, "witnessed": None, "error": error_json(error)}
        return Result(result.shown, result.exit_code or exit_code_of(error), **members)
    told = {
        "size": witnessed.checkpoint.size,
        "at": witnessed.at,
        "existed_by": witnessed.existed_by,
        "witnesses": list(witnessed.witnesses),
    }
    line = f"witnessed by {', '.join(witnessed.witnesses)}: a log of {witnessed.checkpoint.size} entries"
    return Result([*result.shown, line], result.exit_code, **{**result, "witnessed": told})


@click.command("send")
@click.argument("message_type", metavar="TYPE")
@click.option(
    "--to",
    "to",
    multiple=True,
    required=True,
    metavar="ADDRESS",
    help="Address, selector such as 'ke.*.*', contact:BE, contact:made-in; or one group:owner/name; may be repeated.",
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

    All contents of a file are validated before the first is sent, unless --bulk says otherwise. A file of many can be
    sent again after it broke off: what was sealed is not sent twice. `countermark types` lists the types. Where
    recipients are given by a name, whom it leads to is shown first.

    Examples:
      countermark send tracing-request --to be.contact.federal --file request.json
      countermark send tracing-request --to contact:made-in --file request.json
      countermark send tracing-request --to be.contact.federal --file request.json --photograph items/0/marks/0=left.jpg
      countermark send lost-or-stolen-notice --to '*.customs.*' --file stolen.jsonl
      countermark send lost-or-stolen-notice --to group:xo-eac/police --file stolen.csv --mapping columns.json
      countermark send lost-or-stolen-notice --to be.ncb.brussels --file register.csv --bulk --report done.jsonl
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
