"""`countermark audit report`: statistics of a period as text, files and plots, once or by a timer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from countermark_client.cli.common import FOLDER, NEW_FILE, Access, with_home
from countermark_client.cli.mirrors import mirror_option, opened, path_of, traffic_option, with_period
from countermark_client.cli.output import Result, command, say
from countermark_client.review._exports import (
    csv_bytes,
    json_bytes,
    jsonl_bytes,
    parquet_bytes,
    text_of,
    write_files,
)
from countermark_client.review._report import AUDITOR, Report, make_report
from countermark_client.review._scope import Period, Traffic
from countermark_client.review._suppression import LEAST, THRESHOLD

#: Kinds of files; `svg`, `png` and `parquet` need the extra.
FORMATS: Final = ("txt", "json", "csv", "jsonl", "parquet", "svg", "png")
_USUAL: Final = ("txt", "csv", "json")
_TABLES: Final = {"csv": csv_bytes, "jsonl": jsonl_bytes, "parquet": parquet_bytes}


@click.command("report")
@with_period
@traffic_option
@click.option(
    "--for",
    "audience",
    default=AUDITOR,
    show_default=True,
    metavar="WHOM",
    help="Who will read it: auditor, public, or a State's code such as ke.",
)
@click.option(
    "--threshold",
    type=click.IntRange(min=LEAST),
    default=THRESHOLD,
    show_default=True,
    help="Third parties see no counts from 1 to below it.",
)
@click.option(
    "--out", type=FOLDER, metavar="DIR", help="Write files into a folder of the report's own in DIR."
)
@click.option(
    "--format",
    "formats",
    type=click.Choice(FORMATS),
    multiple=True,
    help=f"Kinds of files, with --out; may be repeated. [default: {', '.join(_USUAL)}]",
)
@click.option(
    "--due-file",
    type=NEW_FILE,
    metavar="FILE",
    help="Do nothing if it names this report already; else name it there once all files are written.",
)
@click.option("--partial", is_flag=True, help="Report even if the mirror ends before the period does.")
@mirror_option
@with_home
@command
def report(
    period: Period,
    traffic: str,
    audience: str,
    threshold: int,
    out: Path | None,
    formats: tuple[str, ...],
    due_file: Path | None,
    partial: bool,
    folder: Path | None,
    access: Access,
) -> Result:
    """Count messages, deliveries, answers and outcomes of a period, from manifests and receipts alone.

    For third parties small counts are not shown, nor others from which they could be computed. Run again, it writes
    the same files; a timer can run it daily with --due-file until the period is covered and its report written.

    Examples:
      countermark audit report --period 2026-Q2
      countermark audit report --period last-month --for public --out reports --format csv --format png
      countermark audit report --period last-month --out reports --due-file reports/last
    """
    if out is None and (formats or due_file is not None):
        raise click.UsageError("--format and --due-file go with --out")
    name = f"{period.name}-{traffic}-{audience}"
    if due_file is not None and due_file.exists() and due_file.read_text("utf-8").strip() == name:
        return Result([f"nothing due: {name} is written"], due=False, name=name, files=[])
    with opened(path_of(folder, access)) as mirror:
        made = make_report(
            mirror, period, Traffic(traffic), audience=audience, threshold=threshold, partial=partial
        )
    if not made.head["complete"]:
        say("warning: the mirror ends before the period does")
    if out is None:
        return Result([text_of(made).rstrip("\n")], **made.to_json())
    place = out / made.name
    files = _files(made, formats or _USUAL)
    write_files(place, files)
    if due_file is not None:
        write_files(due_file.parent, {due_file.name: f"{made.name}\n".encode()})
    paths = [str(place / file) for file in files]
    return Result([f"written: {path}" for path in paths], due=True, name=made.name, files=paths)


def _files(made: Report, formats: tuple[str, ...]) -> dict[str, bytes]:
    """The files of a report, by name."""
    files: dict[str, bytes] = {}
    if "txt" in formats:
        files["report.txt"] = text_of(made).encode("utf-8")
    if "json" in formats:
        files["report.json"] = json_bytes(made)
    for form, written in _TABLES.items():
        if form in formats:
            files |= {f"{table.name}.{form}": written(table) for table in made.tables}
    drawn: Any = tuple(form for form in ("svg", "png") if form in formats)
    if drawn:
        from countermark_client.review._plots import plots_of  # noqa: PLC0415  slow to load, seldom asked for

        files |= plots_of(made, drawn)
    return files
