"""`countermark audit search` and `timeline`: finding messages in a mirror, and the life of a conversation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from countermark_client._verdict_words import revoked_text
from countermark_client.cli.common import Access, with_home
from countermark_client.cli.mirrors import mirror_option, opened, path_of, traffic_option, with_period
from countermark_client.cli.output import Result, command, short, table, utc
from countermark_client.review._scope import Period, Traffic, one_state
from countermark_client.review._search import (
    DELIVERIES,
    MOST,
    OUTCOMES,
    SIDES,
    Found,
    Query,
    conversation_of,
    find_message,
)
from countermark_client.review._search import search as search_in
from countermark_client.review._tables import duration
from countermark_client.review._timeline import Event
from countermark_client.review._timeline import timeline as timeline_of
from countermark_protocol.handling import Classification, Tlp
from countermark_protocol.identifiers import Role, parse_address, parse_authority_code
from countermark_protocol.manifest import Stage, Urgency
from countermark_protocol.tracing.clock import Clock
from countermark_protocol.types import TYPES
from countermark_protocol.verdicts import VerdictClass

_MOST_NAMED: Final = 3


def _choice(values: Any) -> click.Choice[str]:
    return click.Choice([str(value) for value in values])


@click.command("search")
@click.option("--party", metavar="ADDRESS", help="Sent or received by this endpoint.")
@click.option(
    "--country", metavar="CODE", help="Sent or received by endpoints of this authority, such as ke."
)
@click.option("--role", type=_choice(Role), help="Sent or received by endpoints of this role.")
@click.option("--side", type=_choice(SIDES), default=SIDES[0], show_default=True, help="Which of the two.")
@click.option("--type", "type_", type=_choice(TYPES), help="Of this type.")
@click.option("--conversation", metavar="HASH", help="Of the conversation that the message HASH belongs to.")
@click.option("--stage", type=_choice(Stage), help="Answers of this stage.")
@click.option("--outcome", type=_choice(OUTCOMES), help="Answers that count at least one item of it.")
@click.option("--delivery", type=_choice(DELIVERIES), help="With a recipient that stands there.")
@click.option("--tlp", type=_choice(Tlp), help="Of this TLP label.")
@click.option("--classification", type=_choice(Classification), help="Of this classification.")
@click.option("--urgency", type=_choice(Urgency), help="Of this urgency.")
@with_period
@traffic_option
@click.option(
    "--limit", type=click.IntRange(1, MOST), default=50, show_default=True, help="Messages on one page."
)
@click.option(
    "--after", type=click.IntRange(min=-1), default=-1, metavar="INDEX", help="The page behind this entry."
)
@mirror_option
@with_home
@command
def search(
    party: str | None,
    country: str | None,
    role: str | None,
    side: str,
    type_: str | None,
    conversation: str | None,
    stage: str | None,
    outcome: str | None,
    delivery: str | None,
    tlp: str | None,
    classification: str | None,
    urgency: str | None,
    period: Period,
    traffic: str,
    limit: int,
    after: int,
    folder: Path | None,
    access: Access,
) -> Result:
    """Find messages in the mirror by what their manifests and receipts say, in log order.

    What is asked of a party must hold for one and the same: --country ke --role police finds Kenya's police.
    Drills are found only with --exercise.

    Examples:
      countermark audit search --country ke --type tracing-request --from 2026-01-01
      countermark audit search --party ug.contact.kampala --side recipient --delivery rejected
      countermark audit search --outcome refused --period 2026-Q2 --limit 200 --json
    """
    with opened(path_of(folder, access)) as mirror, one_state(mirror) as database:
        first = conversation_of(database, find_message(database, conversation)) if conversation else None
        query = Query(
            traffic=Traffic(traffic),
            period=period,
            party=parse_address(party, "--party") if party is not None else None,
            country=parse_authority_code(country, "--country") if country is not None else None,
            role=role,
            side=side,
            type=type_,
            conversation=first,
            stage=stage,
            delivery=delivery,
            outcome=outcome,
            tlp=tlp,
            classification=classification,
            urgency=urgency,
        )
        page = search_in(database, query, after=after, limit=limit)
    headers = ("INDEX", "TIME", "MESSAGE", "FROM", "TO", "TYPE", "URGENCY", "STAGE", "DELIVERY")
    lines: list[Any] = (
        [table(headers, [_row(f) for f in page.messages])] if page.messages else ["no messages"]
    )
    if page.after is not None:
        lines.append(f"more: the same with --after {page.after}")
    return Result(lines, messages=[f.to_json() for f in page.messages], after=page.after)


def _row(found: Found) -> tuple[object, ...]:
    m = found.message
    named = [r["recipient"] for r in found.recipients[:_MOST_NAMED]]
    others = m["recipients"] - len(named)
    to = ", ".join(named) + (f"{' and ' if named else ''}{others} more" if others else "")
    states = {
        "undelivered" if r["undelivered_at"] and r["stage"] == "open" else r["stage"]
        for r in found.recipients
    }
    drill = " (drill)" if m["exercise"] else ""
    return (
        m["idx"],
        utc(m["time"]),
        short(m["payload"]),
        m["sender"],
        to,
        m["type"] + drill,
        m["urgency"],
        m["stage"] or "-",
        ", ".join(sorted(states)) or "not known",
    )


@click.command("timeline")
@click.argument("message_hash", metavar="HASH")
@mirror_option
@with_home
@command
def timeline(message_hash: str, folder: Path | None, access: Access) -> Result:
    """Show all that the log holds about the conversation of the message HASH, with its deadlines and pauses.

    Messages, receipts, undelivered notices, purges and disclosures, in log order; then the clock of each trace, as it
    stands at the mirror's newest entry. Times are those of the log, in UTC.

    Example:
      countermark audit timeline 4be1c0ff
    """
    with opened(path_of(folder, access)) as mirror, one_state(mirror) as database:
        conversation = conversation_of(database, find_message(database, message_hash))
        told = timeline_of(database, conversation)
    rows = [(e.index, utc(e.time), e.author, e.kind, short(e.messages[0]), _facts(e)) for e in told.events]
    lines: list[Any] = [
        f"conversation {conversation.hex()}{' (drill)' if told.exercise else ''}",
        "",
        table(("INDEX", "TIME", "BY", "WHAT", "MESSAGE", "FACTS"), rows),
    ]
    for clock in told.clocks:
        lines += ["", *_clock(clock)]
    return Result(lines, **told.to_json())


def _facts(event: Event) -> str:
    facts = event.facts
    if event.kind != "message":
        more = [f"{len(event.messages)} messages"] if len(event.messages) > 1 else []
        return ", ".join([*(f"{name} {value}" for name, value in facts.items() if value is not None), *more])
    out = [facts["type"], facts["urgency"]]
    if facts["stage"] is not None:
        counts = ", ".join(f"{n} {name}" for name, n in facts["outcome"].items() if n)
        out.append(f"{facts['stage']}{f' ({counts})' if counts else ''}")
    if facts["reply_by"] is not None:
        out.append(f"reply by {utc(facts['reply_by'])}")
    to = facts["to"][:_MOST_NAMED]
    others = facts["recipients"] - len(to)
    verdict = event.verdict
    if verdict is not None and verdict.kind is not VerdictClass.VALID:
        out.append(f"signature {verdict.kind.value.upper()}")
        out += [f"key revoked {revoked_text(r)}" for r in (verdict.revoked,) if r is not None]
    return "; ".join(out) + f"; to {', '.join([*to, *([f'{others} more'] if others else [])])}"


def _clock(clock: Clock) -> list[str]:
    """Lines on one clock."""
    lines = [
        f"trace {short(clock.request)} to {clock.requested}: {clock.state} ({clock.urgency})",
        f"  delivered     {utc(clock.delivered_at)}",
        f"  acknowledged  {utc(clock.acknowledged_at)}, due {utc(clock.acknowledge_by)}: {clock.acknowledged}",
    ]
    lines += [
        f"  paused        {utc(begin)} to {utc(end)}: {duration((clock.at if end is None else end) - begin)}"
        for begin, end in clock.pauses
    ]
    lines.append(f"  answered      {utc(clock.answered_at)}, due {utc(clock.due_at)}")
    if clock.response is not None:
        lines.append(f"  took          {duration(clock.response)} without pauses")
    return lines
