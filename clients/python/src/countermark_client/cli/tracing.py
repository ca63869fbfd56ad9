"""`countermark trace`: where traces stand, what is due of them, and closing them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from countermark_client._traces import TracedCase
from countermark_client._words import span
from countermark_client.cli.common import Access, message_of, now, with_home
from countermark_client.cli.output import Result, command, say, short, table, utc
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import TransportError
from countermark_protocol.tracing.calendars import NO_HOLIDAYS, Holidays, parse_holidays
from countermark_protocol.tracing.due import TASKS, Due
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


def case_lines(case: TracedCase) -> list[str]:
    """A conversation for people."""
    title = f"conversation {case.conversation.hex()}"
    if case.case_ref is not None:
        title += f", case {case.case_ref}, items {', '.join(case.items)}"
    lines = [title + (", EXERCISE" if case.exercise else "")]
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
    return Result([*case_lines(case)], **case.to_json())


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
