"""`countermark import` and `export-table`: a national system's table to notices, and notices to such a table."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

import click

from countermark_client import _contents
from countermark_client._compose import default_handling
from countermark_client._models import Draft
from countermark_client.cli.addressing import settle
from countermark_client.cli.common import FILE, NEW_FILE, Access, now, with_home
from countermark_client.cli.output import REFUSED, Result, command, error_json, exit_code_of, progress, say
from countermark_client.importing.exporting import notice_rows, table_header
from countermark_client.importing.mapping import MappingFile, parse_mapping_file
from countermark_client.importing.records import (
    ImportCounts,
    ImportedNotice,
    Problem,
    check_columns,
    read_notices,
)
from countermark_client.importing.sending import ImportOutcome, ImportState, send_notices
from countermark_client.importing.tables import open_table
from countermark_protocol.errors import CountermarkError, TransportError
from countermark_protocol.handling import Handling, Tlp

_MOST_PROBLEMS: Final = 20
_WRONG: Final = frozenset(
    {
        ImportState.CHANGED,
        ImportState.UNREADABLE,
        ImportState.WAITING,
        ImportState.REFUSED,
        ImportState.NOT_REACHED,
    }
)


@contextmanager
def _notices(
    file: Path, sheet: str | None, mapping: MappingFile
) -> Iterator[tuple[Iterator[ImportedNotice], ImportCounts]]:
    """The notices of a table, as they are read."""
    counts = ImportCounts()
    with open_table(file, sheet) as (header, rows):
        check_columns(mapping, header)
        yield read_notices(mapping, rows, counts), counts


def _problem_json(problem: Problem) -> dict[str, Any]:
    return {
        "row": problem.row,
        "line": problem.line,
        "column": problem.column,
        "cell": problem.cell,
        "expected": problem.expected,
    }


def _problem_line(problem: Problem) -> str:
    where = f"row {problem.row} (line {problem.line})"
    if problem.column is None:
        return f"{where}: expected {problem.expected}"
    return f"{where}, column {problem.column!r}: expected {problem.expected}, got {problem.cell!r}"


def _dry_run(file: Path, sheet: str | None, mapping: MappingFile) -> tuple[Result, int]:
    """Read the whole table and tell what every row would become; how many could become nothing."""
    types: Counter[str] = Counter()
    problems: list[Problem] = []
    unreadable = 0
    with _notices(file, sheet, mapping) as (notices, counts):
        for notice in notices:
            if notice.content is None:
                unreadable += 1
                problems += notice.problems
            else:
                types[notice.type] += 1
    lines = [f"{counts.rows} rows"]
    lines += [f"  {count} {name}" for name, count in sorted(types.items())]
    lines += [f"  {count} rows become no notice: {ground}" for ground, count in counts.skipped.items()]
    if problems:
        lines.append(f"  {unreadable} notices cannot be made:")
        lines += [f"    {_problem_line(each)}" for each in problems[:_MOST_PROBLEMS]]
        if len(problems) > _MOST_PROBLEMS:
            lines.append(f"    (and {len(problems) - _MOST_PROBLEMS} more; --json tells all)")
    members: dict[str, Any] = {
        "rows": counts.rows,
        "notices": dict(sorted(types.items())),
        "skipped": dict(counts.skipped),
        "unreadable": unreadable,
        "problems": [_problem_json(each) for each in problems],
    }
    return Result(lines, REFUSED if problems else 0, **members), unreadable


@click.command("import")
@click.argument("file", type=FILE)
@click.option("--mapping", "mapping_file", type=FILE, required=True, help="See docs/spec/mapping.md.")
@click.option("--to", "to", multiple=True, metavar="ADDRESS", help="To whom, as in `send`; may be repeated.")
@click.option("--sheet", help="Of a workbook; its first if not said.")
@click.option("--dry-run", is_flag=True, help="Tell what every row would become; send nothing.")
@click.option("--bulk", is_flag=True, help="Rows that cannot be read do not stop the others.")
@click.option("--tlp", type=click.Choice([t.value for t in Tlp]), help="Who may see it.")
@click.option("--exercise", is_flag=True, help="Drill traffic: marked as such for good.")
@click.option(
    "--report", type=NEW_FILE, help="Write what became of each notice here, one JSON object a line."
)
@click.option(
    "--leave-out",
    "leave_out",
    multiple=True,
    metavar="ADDRESS",
    help="Send to the others only; stands in the record of what was sent; may be repeated.",
)
@click.option(
    "--yes", is_flag=True, help="Do not ask, at a terminal, whether the recipients found are right."
)
@with_home
@command
def import_(
    file: Path,
    mapping_file: Path,
    to: tuple[str, ...],
    sheet: str | None,
    dry_run: bool,
    bulk: bool,
    tlp: str | None,
    exercise: bool,
    report: Path | None,
    leave_out: tuple[str, ...],
    yes: bool,
    access: Access,
) -> Result:
    """Import the records of a table (.csv or .xlsx) as notices, each once, however often it is run.

    Examples:
      countermark import register.csv --mapping register.toml --dry-run
      countermark import register.xlsx --mapping register.toml --to group:xo-eac/police --report done.jsonl
    """
    mapping = parse_mapping_file(mapping_file.read_bytes())
    checked, unreadable = _dry_run(file, sheet, mapping)
    if dry_run:
        return checked
    if unreadable and not bulk:
        say(f"error: nothing was sent: {unreadable} notices cannot be made; --bulk sends the others")
        return checked
    if not to:
        raise click.UsageError("say --to, or --dry-run")
    with access.client() as client:

        def draft_of(notice: ImportedNotice) -> Draft:
            assert notice.content is not None
            return Draft(
                type=notice.type,
                content=notice.content,
                to=to,
                handling=_handling(tlp),
                exercise=exercise,
                reference=notice.reference,
                leave_out=leave_out,
            )

        total = sum(checked["notices"].values()) + unreadable
        with _notices(file, sheet, mapping) as (notices, counts):
            first = next((each for each in notices if each.content is not None), None)
        if first is not None:
            settle(client, [draft_of(first)], assumed=yes)
        with (
            _notices(file, sheet, mapping) as (notices, counts),
            _Report(report) as written,
            progress("importing") as show,
        ):
            told: Counter[ImportState] = Counter()
            wrong: list[ImportOutcome] = []
            for done, each in enumerate(send_notices(client, notices, draft_of), 1):
                told[each.state] += 1
                if each.state in _WRONG and len(wrong) < _MOST_PROBLEMS:
                    wrong.append(each)
                written.add(each)
                show(done, total)
    return _result(told, wrong, counts)


def _handling(tlp: str | None) -> Handling | None:
    if tlp is None:
        return None
    return replace(default_handling(now()), tlp=Tlp(tlp))


class _Report:
    """What became of each notice, one JSON object a line, as it becomes known."""

    def __init__(self, path: Path | None) -> None:
        self._file = path.open("w", encoding="ascii", buffering=1) if path is not None else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, outcome: ImportOutcome) -> None:
        """Write one line."""
        if self._file is not None:
            self._file.write(json.dumps(_outcome_json(outcome)) + "\n")


def _outcome_json(each: ImportOutcome) -> dict[str, Any]:
    out: dict[str, Any] = {
        "rows": list(each.notice.rows),
        "type": each.notice.type,
        "state": each.state.value,
    }
    if each.outcome is not None and each.outcome.message is not None:
        out["message"] = each.outcome.message.hex()
    if each.notice.problems:
        out["problems"] = [_problem_json(problem) for problem in each.notice.problems]
    if each.error is not None:
        out["error"] = error_json(each.error)
    return out


def _result(told: Counter[ImportState], wrong: list[ImportOutcome], counts: ImportCounts) -> Result:
    total = sum(told.values())
    words = ", ".join(
        f"{told[state]} {state.value.replace('_', ' ')}" for state in ImportState if told[state]
    )
    lines: list[Any] = [f"{total} notices of {counts.rows} rows: {words or 'nothing to do'}"]
    lines += [f"{count} rows become no notice: {ground}" for ground, count in counts.skipped.items()]
    error: CountermarkError | None = None
    for each in wrong:
        rows = f"rows {each.notice.rows[0]} to {each.notice.rows[-1]}" if len(each.notice.rows) > 1 else None
        if each.notice.problems:
            lines += [_problem_line(problem) for problem in each.notice.problems]
        elif each.state is ImportState.CHANGED:
            lines.append(
                f"{rows or f'row {each.notice.rows[0]}'}: changed since it was sent, or sent in another way: not sent "
                "again. Correct it by a message that supersedes the first"
            )
        elif each.error is not None and each.state is not ImportState.NOT_REACHED:
            lines.append(f"{rows or f'row {each.notice.rows[0]}'}: {each.error.message} [{each.error.code}]")
        error = error or each.error
    if told[ImportState.NOT_REACHED] or told[ImportState.WAITING]:
        say("hint: the same command goes on where it stopped, and sends nothing twice")
    left = [each for each in wrong if isinstance(each.error, TransportError)]
    code = exit_code_of(left[0].error) if left and left[0].error else REFUSED if wrong else 0
    members: dict[str, Any] = {state.value: told[state] for state in ImportState}
    return Result(
        lines,
        code,
        rows=counts.rows,
        **members,
        skipped=dict(counts.skipped),
        wrong=[_outcome_json(each) for each in wrong],
    )


@click.command("export-table")
@click.option("--mapping", "mapping_file", type=FILE, required=True, help="As for `import`.")
@click.option("--out", type=NEW_FILE, required=True, help="The CSV file to write.")
@click.option("--sent", "direction", flag_value="out", help="Sent ones alone.")
@click.option("--received", "direction", flag_value="in", help="Received ones alone.")
@with_home
@command
def export_table(mapping_file: Path, out: Path, direction: str | None, access: Access) -> Result:
    """Export notices that this profile holds as a table, by the mapping read the other way.

    Example:
      countermark export-table --mapping register.toml --received --out notices.csv
    """
    mapping = parse_mapping_file(mapping_file.read_bytes())
    rows = notices = others = closed = 0
    with access.client() as client, out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, table_header(mapping), lineterminator="\n")
        writer.writeheader()
        for item in client.messages(direction):
            if item.content is None:
                closed += 1
                continue
            content = _contents.content_document(item.content)
            found = list(notice_rows(mapping, item.manifest.type, content))
            writer.writerows(found)
            rows, notices, others = rows + len(found), notices + bool(found), others + (not found)
    lines = [f"{rows} rows of {notices} notices; {others} other messages are none of this mapping"]
    if closed:
        lines.append(f"{closed} messages are not opened here: read the inbox first")
    return Result(
        lines,
        rows=rows,
        notices=notices,
        others=others,
        not_opened=closed,
    )
