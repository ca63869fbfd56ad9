"""A report as files: text, JSON, CSV, JSON Lines and Parquet. The same report gives the same bytes.

In CSV, text that a spreadsheet would take for a formula gets an apostrophe before it, and a number that is not shown
is ``*``; in JSON it is null and named in ``suppressed``; in JSON Lines and Parquet it is null. DuckDB writes
Parquet (the extra ``countermark-client[audit]``): one package without others, kept by its foundation, and a
third as large as the alternative.

Source: RFC 4180; RFC 8259; docs/howto/review-a-log.md.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from countermark_client.review._report import Report
from countermark_client.review._tables import Table, Value, iso
from countermark_protocol.errors import UncheckableError

#: What stands for a number that is not shown.
HIDDEN: Final = "*"
#: With what a cell begins that spreadsheets calculate (OWASP, CSV injection).
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_TYPES: Final = {True: "VARCHAR", False: "BIGINT"}


def neutral(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def csv_bytes(table: Table) -> bytes:
    """A table as CSV, UTF-8, with a line of column names."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([neutral(c) for c in table.columns])
    for i, row in enumerate(table.rows):
        writer.writerow(
            [
                HIDDEN if (i, j) in table.suppressed else neutral(v) if isinstance(v, str) else v
                for j, v in enumerate(row)
            ]
        )
    return out.getvalue().encode("utf-8")


def jsonl_bytes(table: Table) -> bytes:
    """A table as JSON Lines: one object a row, ASCII."""
    rows = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    return "".join(json.dumps(row) + "\n" for row in rows).encode("ascii")


def json_bytes(report: Report) -> bytes:
    """The whole report as one JSON object, ASCII."""
    return json.dumps(report.to_json(), indent=1).encode("ascii") + b"\n"


def parquet_bytes(table: Table) -> bytes:
    """A table as Parquet.

    Raises:
        UncheckableError: ``audit_extra_missing``.
    """
    with audit_extra("Parquet"):
        import duckdb  # noqa: PLC0415  an extra, loaded where it is used
    names = ['"' + c.replace('"', '""') + '"' for c in table.columns]
    columns = ", ".join(f"{name} {_TYPES[i < table.keys]}" for i, name in enumerate(names))
    # Nothing is fetched: what writes Parquet is in the package.
    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "threads": 1,
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(duckdb.connect(":memory:", config=settings)) as database,
    ):
        path = Path(folder) / "table.parquet"
        database.execute(f"CREATE TABLE t ({columns})")
        if table.rows:
            marks = ", ".join("?" * len(names))
            database.executemany(f"INSERT INTO t VALUES ({marks})", [list(row) for row in table.rows])  # noqa: S608  marks only
        database.execute("COPY t TO ? (FORMAT parquet)", [str(path)])
        return path.read_bytes()


def text_of(report: Report) -> str:
    """The whole report as text, tables in columns."""
    head = report.head
    lines = [
        f"Report on {head['log']}",
        f"period    {head['period']}: {iso(head['begin'])} to {iso(head['end'])}, UTC, the end not included",
        f"traffic   {head['traffic']}",
        f"for       {head['audience']}",
        f"mirror    {head['scope']} mandate of {head['auditor']}",
        f"entries   {head['mirrored']}, judged below {head['verified']}; findings open: {head['open_findings']}",
    ]
    if not head["complete"]:
        lines.append("PARTIAL   the mirror ends before the period does")
    if head["threshold"] is not None:
        lines.append(
            f"{HIDDEN} stands for a number that is not shown: counts below {head['threshold']} are not"
        )
    for table in report.tables:
        lines += ["", f"{table.title} ({table.unit})", *table_lines(table)]
    return "\n".join(lines) + "\n"


def table_lines(table: Table) -> list[str]:
    """A table in columns: texts to the left, numbers to the right."""
    if not table.rows:
        return [f"  {table.note or 'none'}"]
    cells = [
        [HIDDEN if (i, j) in table.suppressed else _text(v) for j, v in enumerate(row)]
        for i, row in enumerate(table.rows)
    ]
    widths = [max(len(row[j]) for row in [list(table.columns), *cells]) for j in range(len(table.columns))]
    lines = [
        "  "
        + "  ".join(
            t.ljust(w) if j < table.keys else t.rjust(w)
            for j, (t, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [list(table.columns), *cells]
    ]
    return [*lines, f"  ({table.note})"] if table.note else lines


def _text(value: Value) -> str:
    return "-" if value is None else str(value)


@contextlib.contextmanager
def audit_extra(what: str) -> Iterator[None]:
    """Tell what to install where an extra is missing.

    Raises:
        UncheckableError: ``audit_extra_missing``.
    """
    try:
        yield
    except ImportError:
        raise UncheckableError(
            "audit_extra_missing",
            f"{what} needs more than is installed: pip install 'countermark-client[audit]'",
        ) from None


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, each whole or not at all; those of the same names are replaced.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, data in files.items():
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(folder / name)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
