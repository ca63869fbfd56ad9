"""`countermark verify` and `evidence`: the log checked from outside, and what was found wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from countermark_client._evidence_kept import CONTRADICTION_FILE
from countermark_client._models import Judged, LogReport
from countermark_client._verdict_words import verdict_json, verdict_text
from countermark_client._words import moment
from countermark_client.cli.common import Access, with_home
from countermark_client.cli.documents import confirm
from countermark_client.cli.output import MISBEHAVIOUR, Result, command, progress, say, short, utc
from countermark_protocol.claims import KIND_NAMES, Kind
from countermark_protocol.verdicts import VerdictClass

if TYPE_CHECKING:
    from countermark_client import Client


def _kind_name(number: int) -> str:
    try:
        return KIND_NAMES[Kind(number)]
    except ValueError:
        return f"kind {number}"


def _boxes(client: Client) -> dict[str, int]:
    """How many entries every own box holds, read to its end."""
    if client.profile.address is None:
        return {}
    return {box.value: count for box, count in client.read_boxes().items()}


def _report_json(report: LogReport) -> dict[str, object]:
    return {
        "size": report.size,
        "root": report.root.hex(),
        "first_time": report.first_time,
        "last_time": report.last_time,
        "directory_statements": report.directory_statements,
        "kinds": {_kind_name(k): n for k, n in sorted(report.kinds.items())},
        "own_entries": report.own_entries,
    }


def _verdict_counts(judged: Sequence[Judged]) -> dict[str, int]:
    """How many own messages have each verdict, in the order of the classes."""
    counts = Counter(one.verdict.kind for one in judged)
    return {kind.value: counts[kind] for kind in VerdictClass if counts[kind]}


def _verdict_lines(judged: Sequence[Judged]) -> list[str]:
    """Lines on the signatures of own messages: how many of each class, and each that needs a word."""
    if not judged:
        return []
    counts = ", ".join(f"{count} {name}" for name, count in _verdict_counts(judged).items())
    lines = [f"signatures   of {len(judged)} messages sent or received: {counts}"]
    for one in judged:
        if one.verdict.kind is not VerdictClass.VALID:
            lines.append(
                f"  entry {one.index}  {short(one.message)} of {one.sender}, logged {moment(one.time)}"
            )
            lines += [f"    {line}" for line in verdict_text(one.verdict)]
    return lines


@click.command("verify")
@with_home
@command
def verify(access: Access) -> Result:
    """Verify the log from outside, and everything in it that concerns this profile.

    Reads the directory, every leaf and all own boxes; checks that the checkpoint continues the last one
    seen, that leaves follow each other and give the signed root, that every directory head is that of the
    statements shown, that the boxes have no hole, and that `sent` holds what this profile sent and nothing
    else. Says of every own message what is to be thought of its signatures, as of its own entry and by
    what became of the keys since. Ends with code 4 if two signed facts contradict each other; both are
    then kept as evidence.
    """
    with access.client() as client:
        before = client.checkpoint
        boxes = _boxes(client)
        with progress("reading leaves") as advance:
            report = client.verify_log(advance)
        halted = client.halted
        judged = client.verdicts()
    growth = (
        f"it continues the tree of {before.size} entries seen before"
        if before is not None
        else "no checkpoint was known before"
    )
    kinds = ", ".join(f"{n} {_kind_name(k)}" for k, n in sorted(report.kinds.items()))
    lines = [
        f"verified     {report.size} entries from {utc(report.first_time)} to {utc(report.last_time)}",
        f"root         {report.root.hex()}",
        f"history      {growth}",
        f"directory    {report.directory_statements} statements, as in every leaf",
        f"kinds        {kinds}",
    ]
    if boxes:
        lines.append("boxes        " + ", ".join(f"{name} {count}" for name, count in boxes.items()))
        lines.append(f"own entries  {report.own_entries}, each at its place")
    lines += _verdict_lines(judged)
    if halted is not None:
        lines.append(f"HALTED       {halted}")
    return Result(
        lines,
        MISBEHAVIOUR if halted is not None else 0,
        **_report_json(report),
        boxes=boxes,
        verdicts=_verdict_counts(judged),
        messages=[
            {
                "message": one.message.hex(),
                "from": one.sender,
                "index": one.index,
                "time": one.time,
                "verdict": verdict_json(one.verdict),
            }
            for one in judged
            if one.verdict.kind is not VerdictClass.VALID
        ],
        halted=halted,
    )


@click.group("evidence", invoke_without_command=True)
@click.option(
    "--resume", is_flag=True, help="Send again, after people have looked at it; the evidence stays."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_home
@command
@click.pass_context
def evidence(context: click.Context, resume: bool, yes: bool, access: Access) -> Result | None:
    """List evidence of misbehaviour that this profile has kept; `export` and `verify` make and check a message's.

    What is kept are signed bytes that contradict each other, and, if these convince a third party, the file that does:
    anybody checks it with `verify`. While it is not cleared with --resume, nothing is sent.
    Show the files to governors and auditors first.

    Examples:
      countermark evidence --resume
      countermark evidence export 4be1c0ff -o exhibit-7.evidence.json
      countermark evidence verify exhibit-7.evidence.json
    """
    if context.invoked_subcommand is not None:
        return None
    with access.client() as client:
        found = client.profile.evidence
        if resume and client.halted is not None:
            say(f"halted by: {client.halted}")
            confirm("Have governors or auditors seen the evidence? Send again?", assumed=yes)
            client.clear_halt()
        halted = client.halted
    lines: list[str] = []
    for one in found:
        lines.append(f"{one.code}: {one.message}")
        lines.append(f"  {len(one.pieces)} pieces in {one.folder}")
        lines.append(
            f"  convinces a third party: hand over {one.folder}/{CONTRADICTION_FILE}"
            if one.contradiction is not None
            else "  an alarm: these bytes convince nobody who was not there"
        )
    lines.append(
        f"HALTED: {halted}"
        if halted
        else "not halted"
        if found
        else "no evidence: nothing contradicts itself"
    )
    return Result(
        lines,
        MISBEHAVIOUR if halted else 0,
        evidence=[
            {
                "code": e.code,
                "message": e.message,
                "folder": str(e.folder),
                "pieces": len(e.pieces),
                "convinces": e.contradiction is not None,
            }
            for e in found
        ],
        halted=halted,
    )
