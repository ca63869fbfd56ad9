"""`countermark trace`: where traces stand, what is due of them, and closing them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from countermark_client._traces import TracedCase
from countermark_client._words import span
from countermark_client.cli.common import Access, message_of, now, with_home, write_new
from countermark_client.cli.output import Result, command, say, short, table, utc
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import ConflictError, NotFoundError, TransportError
from countermark_protocol.tracing.calendars import NO_HOLIDAYS, Holidays, parse_holidays
from countermark_protocol.tracing.due import TASKS, Due, Task
from countermark_protocol.tracing.lifecycle import REASONS
from countermark_protocol.tracing.trace import Step, Trace

if TYPE_CHECKING:
    from countermark_client import Client

_MAX_HOLIDAYS_BYTES = 8 * 1024 * 1024

holidays_option = click.option(
    "--holidays",
    "holidays_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV with the columns country and date: days off beside weekends.",
)
offline_option = click.option("--offline", is_flag=True, help="As read before; do not ask the broker.")


@click.group("trace")
def trace() -> None:
    """Follow traces: where each stands, what is due, whom to ask next, and the chain that answers give.

    A trace is one tracing request to one office asked. Its state follows from the messages and receipts in the log.
    """


def read_holidays(path: Path | None) -> Holidays:
    """Holidays of a file that a user names."""
    if path is None:
        return NO_HOLIDAYS
    data = path.read_bytes()
    if len(data) > _MAX_HOLIDAYS_BYTES:
        malformed("bad_holidays", "the file is too large to be one of holidays")
    try:
        return parse_holidays(data.decode("utf-8"))
    except UnicodeDecodeError:
        malformed("bad_holidays", "expected text in UTF-8")


def bring_up_to_date(client: Client, *, offline: bool) -> None:
    """Read the boxes to their ends, so that receipts and arrivals count; without a broker, go on with what is there."""
    if offline:
        return
    try:
        client.read_boxes()
    except TransportError as error:
        say(f"warning: the broker is away, this is as read before: {error}")


def _row(case: TracedCase, one: Trace, own: str) -> tuple[str, ...]:
    clock = one.clock
    other = clock.requested if clock.requester == own else clock.requester
    due = [d for d in case.due if d.trace is one and d.who == own]
    return (
        short(case.conversation),
        "asked by us" if clock.requester == own else "asked of us" if clock.requested == own else "others'",
        other,
        one.state.value,
        utc(clock.due_at) if clock.due_at is not None else "-",
        ", ".join(d.task.value for d in due) or "-",
        case.case_ref or "-",
    )


@trace.command("list")
@click.option(
    "--open", "only_open", is_flag=True, help="Only traces that somebody has something to do about."
)
@holidays_option
@offline_option
@with_home
@command
def list_traces(only_open: bool, holidays_file: Path | None, offline: bool, access: Access) -> Result:
    """List traces: who was asked, where each stands, until when it is to be answered, and what is due here.

    Examples:
      countermark trace list
      countermark trace list --open --holidays holidays.csv
    """
    holidays = read_holidays(holidays_file)
    with access.client() as client:
        bring_up_to_date(client, offline=offline)
        own = str(client.profile.endpoint)
        cases = [c for c in client.traces(holidays) if c.due or c.waiting or not only_open]
    rows = [
        _row(case, one, own)
        for case in cases
        for one in case.traced.traces
        if not only_open or any(d.trace is one for d in case.due)
    ]
    rows += [
        (short(case.conversation), "asked by us", "-", case.waiting.value, "-", "-", case.case_ref or "-")
        for case in cases
        if case.waiting is not None
    ]
    header = ("CONVERSATION", "WHOSE", "OTHER SIDE", "STATE", "DUE", "TO DO HERE", "CASE")
    return Result([table(header, rows)] if rows else ["no traces"], cases=[case.to_json() for case in cases])


def _step_line(step: Step) -> str:
    what = step.act.value if step.act is not None else "answer"
    who = step.who or ("broker" if what == "expire" else "clock")
    message = f"  [{short(step.message)}]" if step.message is not None else ""
    if step.refused is not None:
        return f"  {utc(step.at)}  {who}: {what}, without effect: {REASONS[step.refused]}{message}"
    return f"  {utc(step.at)}  {who}: {what} -> {step.state}{message}"


def _due_line(due: Due) -> str:
    until = f", until {utc(due.until)}" if due.until is not None else ""
    return f"  DUE          {due.who}: {TASKS[due.task]}{until}"


def trace_lines(case: TracedCase, one: Trace) -> list[str]:
    """One trace for people: its times, what is due, and who did what when."""
    clock = one.clock
    lines = [
        f"trace of {clock.requester} at {clock.requested}: {one.state}",
        f"  asked        {utc(clock.asked_at)}, {clock.urgency}, by {clock.instrument}",
    ]
    if clock.acknowledge_by is not None and clock.acknowledged_at is None:
        lines.append(f"  acknowledge  by {utc(clock.acknowledge_by)}")
    if clock.acknowledged_at is not None:
        lines.append(f"  acknowledged {utc(clock.acknowledged_at)}, {clock.acknowledged}")
    if clock.due_at is not None:
        stood = f" (the clock stood for {span(clock.paused)})" if clock.paused else ""
        lines.append(f"  answer       by {utc(clock.due_at)}{stood}")
    if clock.answered_at is not None:
        lines.append(f"  answered     {utc(clock.answered_at)}, {clock.state}")
    if one.closing is not None:
        found = "established" if one.closing.diversion_established else "not established"
        note = f": {one.closing.note}" if one.closing.note else ""
        lines.append(f"  closed       {utc(one.closing.at)}, point of diversion {found}{note}")
    lines += [_due_line(due) for due in case.due if due.trace is one]
    return lines + [_step_line(step) for step in one.steps]


def case_lines(case: TracedCase, linked: Sequence[bytes] = ()) -> list[str]:
    """A conversation for people; `linked` are requests that may be of the same case."""
    title = f"conversation {case.conversation.hex()}"
    if case.case_ref is not None:
        title += f", case {case.case_ref}, items {', '.join(case.items)}"
    lines = [title + (", EXERCISE" if case.exercise else "")]
    lines += [f"may be one case with {short(other)}: link them, and answer one" for other in linked]
    for one in case.traced.traces:
        lines += trace_lines(case, one)
    lines += [_step_line(step) for step in case.traced.ignored]
    if case.waiting is not None:
        lines.append(f"the request is signed and not logged yet: {case.waiting}")
    if case.traced.held:
        held = ", ".join(map(short, case.traced.held))
        lines.append(f"held until what they follow is read: {held}")
    return lines


@trace.command("show")
@click.argument("hash_", metavar="HASH")
@holidays_option
@offline_option
@with_home
@command
def show_trace(hash_: str, holidays_file: Path | None, offline: bool, access: Access) -> Result:
    """Show the traces of the conversation that the message HASH belongs to: who did what when, and what is due."""
    holidays = read_holidays(holidays_file)
    with access.client() as client:
        bring_up_to_date(client, offline=offline)
        case = client.trace(message_of(client, hash_), holidays)
        requests = {t.clock.request for t in case.traced.traces}
        pairs = [{p.earlier.message, p.later.message} for p in client.duplicate_traces()]
        linked = sorted({m for pair in pairs if pair & requests for m in pair - requests})
    return Result([*case_lines(case, linked)], **case.to_json(), duplicates=[m.hex() for m in linked])


@trace.command("chain")
@click.argument("hash_", metavar="HASH")
@click.option("--item", "item_ref", metavar="REF", help="One weapon alone, by its reference in the request.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "svg", "mermaid"]),
    default="text",
    help="For people, as a drawing, or as a diagram for documents.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this new file.")
@with_home
@command
def chain(hash_: str, item_ref: str | None, form: str, out: Path | None, access: Access) -> Result:
    """Draw the chain of custody of the weapons of the trace that HASH belongs to, from manufacture to diversion.

    It is merged from the newest answer of every State, in this conversation and in those forwarded from or to it.
    Gaps and contradictions are shown, none is mended. A drawing is of one weapon: name it with --item.

    Examples:
      countermark trace chain 4be1c0ff
      countermark trace chain 4be1c0ff --item 1 --format svg --out chain.svg
    """
    from countermark_protocol.tracing.custody_drawing import (  # noqa: PLC0415  few draw
        custody_mermaid,
        custody_svg,
        custody_text,
    )

    with access.client() as client:
        found = client.custody(message_of(client, hash_))
    if item_ref is not None:
        if item_ref not in found:
            raise NotFoundError(
                "unknown_item", f"the request has no item {item_ref!r}; it has {', '.join(found)}"
            )
        found = {item_ref: found[item_ref]}
    if form != "text" and len(found) != 1:
        raise ConflictError("item_not_named", f"a drawing is of one weapon: name one of {', '.join(found)}")
    if form == "text":
        lines = [line for ref, one in found.items() for line in (f"item {ref}", *custody_text(one))]
        drawn = "\n".join(lines) + "\n"
    else:
        [one] = found.values()
        drawn = custody_svg(one) if form == "svg" else custody_mermaid(one)
        lines = drawn.splitlines()
    if out is not None:
        write_new(out, drawn.encode())
        lines = [f"written to {out}"]
    return Result([*lines], chains={ref: one.to_json() for ref, one in found.items()})


@trace.command("forward")
@click.argument("hash_", metavar="HASH")
@click.option("--state", required=True, metavar="CC", help="The next State, ISO 3166-1 alpha-2, as BE.")
@click.option("--to", multiple=True, metavar="ADDRESS", help="Whom there; its points of contact if not said.")
@click.option(
    "--item", "items", multiple=True, metavar="REF", help="Weapons; those that the answer sends there."
)
@click.option("--ref", "own_ref", metavar="TEXT", help="Your own case.")
@click.option("--agency", metavar="TEXT", help="Who passes it on; by default as in the answer.")
@click.option("--email", metavar="ADDRESS", help="Where that agency can be reached.")
@with_home
@command
def forward(
    hash_: str,
    state: str,
    to: tuple[str, ...],
    items: tuple[str, ...],
    own_ref: str | None,
    agency: str | None,
    email: str | None,
    access: Access,
) -> Result:
    """Pass the trace that HASH belongs to on to the next State, which an answer of it has named.

    A request of another State goes on only with its signed consent: ask for it with a release-consent-request about its
    message. Its handling stays, and persons are left out.

    Examples:
      countermark trace forward 4be1c0ff --state BE
      countermark trace forward 4be1c0ff --state BE --ref AT-2026-17 --agency "Federal Criminal Police"
    """
    contact = {"agency": agency, **({"email": email} if email else {})} if agency else None
    with access.client() as client:
        bring_up_to_date(client, offline=False)
        sent = client.forward_trace(
            message_of(client, hash_), state.upper(), contact=contact, own_ref=own_ref, to=to, items=items
        )
    who = ", ".join(sent.recipients)
    return Result(
        [f"forwarded to {who}: {sent.hash}, entry {sent.index}"],
        message=sent.hash,
        recipients=list(sent.recipients),
        index=sent.index,
    )


_REMINDED = frozenset({Task.REMIND, Task.ESCALATE})


@trace.command("remind")
@click.option("--language", default="en", help="Language of the text, BCP 47.")
@click.option("--dry-run", is_flag=True, help="Tell who would be reminded; send nothing.")
@holidays_option
@with_home
@command
def remind(language: str, dry_run: bool, holidays_file: Path | None, access: Access) -> Result:
    """Remind those whose answers are due: one text in the conversation of each trace, at the reminder and when overdue.

    Each is sent once, however often this runs: it is made for cron and systemd timers, and prints nothing while there
    is nothing to send. Bring what is overdue before the State's point of contact yourself, if that is another.

    Examples:
      countermark trace remind --dry-run
      countermark trace remind
    """
    holidays = read_holidays(holidays_file)
    lines, reminded = [], []
    with access.client() as client:
        bring_up_to_date(client, offline=False)
        own = str(client.profile.endpoint)
        for case in client.traces(holidays):
            for one in case.due:
                if one.who != own or one.task not in _REMINDED:
                    continue
                clock = one.trace.clock
                reference = f"remind {clock.request.hex()} {clock.requested} {one.task}"
                lines.append(f"{short(clock.conversation)}  {clock.requested}: {TASKS[one.task]}")
                reminded.append(one.to_json())
                if not dry_run:
                    client.send(
                        "free-text",
                        _reminder(one, language),
                        [clock.requested],
                        in_reply_to=clock.request,
                        reference=reference,
                    )
    return Result(lines, reminded=reminded, sent=0 if dry_run else len(reminded))


def _reminder(due: Due, language: str) -> dict[str, object]:
    clock = due.trace.clock
    by = utc(clock.due_at) if clock.due_at is not None else "-"
    late = due.task is Task.ESCALATE
    return {
        "subject": "Tracing request overdue" if late else "Reminder of a tracing request",
        "paragraphs": [f"The answer to this tracing request {'was' if late else 'is'} due by {by}."],
        "about": [clock.request.hex()],
        "language": language,
    }


@trace.command("due")
@click.option("--all", "of_all", is_flag=True, help="Also what others have to do.")
@holidays_option
@offline_option
@with_home
@command
def due(of_all: bool, holidays_file: Path | None, offline: bool, access: Access) -> Result:
    """Tell what is due of traces here: to acknowledge, to answer, to remind, to escalate, to close.

    Made for cron and systemd timers: it prints nothing while nothing is due.

    Examples:
      countermark trace due
      countermark trace due --holidays holidays.csv --json
    """
    holidays = read_holidays(holidays_file)
    with access.client() as client:
        bring_up_to_date(client, offline=offline)
        own = str(client.profile.endpoint)
        found = [d for case in client.traces(holidays) for d in case.due if of_all or d.who == own]
    found.sort(key=lambda d: (d.until if d.until is not None else d.since, d.task.value))
    return Result([_listed(d, own) for d in found], due=[d.to_json() for d in found])


def _listed(due: Due, own: str) -> str:
    clock = due.trace.clock
    other = clock.requested if clock.requester == own else clock.requester
    late = due.until is not None and due.until < now()
    until = f"{', LATE since' if late else ', until'} {utc(due.until)}" if due.until is not None else ""
    who = "" if due.who == own else f"{due.who}: "
    return f"{short(clock.conversation)}  {other}  {who}{TASKS[due.task]}{until}"


@trace.command("close")
@click.argument("hash_", metavar="HASH")
@click.option(
    "--diversion/--no-diversion",
    "established",
    required=True,
    help="Whether the trace established the point of diversion (SDG 16.4.2).",
)
@click.option("--requested", metavar="ADDRESS", help="Who was asked, where several were.")
@click.option("--note", default="", help="Why, in words; kept here alone.")
@with_home
@command
def close_trace(hash_: str, established: bool, requested: str | None, note: str, access: Access) -> Result:
    """Close the answered trace that the message HASH belongs to, as its requester.

    Examples:
      countermark trace close 4be1c0ff --diversion
      countermark trace close 4be1c0ff --no-diversion --note "no record at the importer"
    """
    with access.client() as client:
        bring_up_to_date(client, offline=False)
        case = client.close_trace(
            message_of(client, hash_), diversion_established=established, requested=requested, note=note
        )
    return Result(case_lines(case), **case.to_json())
