"""`countermark report`: figures for national and international reports, from this profile's own messages."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Final

import click

from countermark_client.cli.common import FILE, FOLDER, NEW_FILE, Access, with_home, write_new
from countermark_client.cli.output import Result, command
from countermark_protocol.encoding import parse_object
from countermark_protocol.errors import MalformedError, PolicyError
from countermark_protocol.identifiers import authority_of

_KINDS: Final = ("iafq", "sdg", "poa")


@click.command("report")
@click.argument("kind", type=click.Choice(_KINDS))
@click.option(
    "--year",
    "years",
    type=click.IntRange(1400, 2999),
    multiple=True,
    required=True,
    help="Of the events; may be repeated.",
)
@click.option("--exercise", is_flag=True, help="Count drill traffic, and only that.")
@click.option("--out", type=FOLDER, metavar="DIR", help="Write JSON, Markdown and CSV files there.")
@click.option(
    "--written",
    type=FILE,
    metavar="FILE",
    help="With poa: members of a national-report that no message tells, as JSON.",
)
@click.option("--draft", type=NEW_FILE, metavar="FILE", help="With --written: write the draft report there.")
@with_home
@command
def report(
    kind: str,
    years: tuple[int, ...],
    exercise: bool,
    out: Path | None,
    written: Path | None,
    draft: Path | None,
    access: Access,
) -> Result:
    """Compute figures for a report from this profile's messages, each with the messages that it counts.

    KIND is iafq (UNODC illicit arms flows questionnaire), sdg (SDG 16.4.2) or poa (national report on the Programme
    of Action and the International Tracing Instrument). Notices of this State's offices are counted,
    weapon by weapon, each once; what is not counted is listed with its reason. See docs/howto/reports.md.

    Examples:
      countermark report sdg --year 2025
      countermark report iafq --year 2024 --year 2025 --out figures
      countermark report poa --year 2025 --written report-texts.json --draft national-report.json
    """
    # Loaded when asked for: few commands need them.
    from countermark_client import reports  # noqa: PLC0415
    from countermark_client.review._exports import write_files  # noqa: PLC0415

    if (written is None) != (draft is None):
        raise click.UsageError("--written and --draft go together")
    with access.client() as client:
        address = client.profile.address
        if address is None:
            raise PolicyError("no_endpoint", "this profile is of no endpoint: it holds no messages to count")
        made = reports.make_report(client.messages(), authority_of(address), years, kind, exercise=exercise)
    shown = [] if out is not None else [reports.report_markdown(made).rstrip("\n")]
    members = reports.report_json(made)
    if out is not None:
        files = reports.report_files(made)
        write_files(out, files)
        shown += [f"written: {out / name}" for name in sorted(files)]
        left = Counter(each.reason for each in made.left_out)
        shown += [f"not counted: {reports.NOT_COUNTED[why]}: {count}" for why, count in sorted(left.items())]
    if written is not None and draft is not None:
        document = reports.national_draft(made, parse_object(written.read_bytes(), written.name))
        write_new(draft, (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())
        missing = _missing(document)
        shown.append(
            f"written: {draft}" + (", with members still to be written:" if missing else ", complete")
        )
        shown += [f"  {field}: {expected}" for field, expected in missing]
        members |= {"draft": str(draft), "missing": [{"field": f, "expected": e} for f, e in missing]}
    return Result(shown, **members)


def _missing(document: dict[str, object]) -> list[tuple[str, str]]:
    from countermark_protocol.registry import validate_content  # noqa: PLC0415  loaded when asked for

    try:
        validate_content("national-report", 1, document)
    except MalformedError as error:
        return [(each["field"] or "/", each["expected"]) for each in error.facts["violations"]]
    return []
