"""A report as files: JSON with every source, CSV tables, Markdown to read.

Source: docs/spec/reports.md §5.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from typing import Any

from countermark_client.reports._figures import Figure
from countermark_client.reports._report import COMPUTED_BY, KINDS, NOT_COUNTED, TABLES, Report


def report_json(made: Report) -> dict[str, Any]:
    """Everything: figures with their sources, what is left out, warnings."""
    return {
        "computed_by": COMPUTED_BY,
        "kind": made.kind,
        "authority": made.authority,
        "years": list(made.years),
        "messages": made.messages,
        "figures": [_figure_json(each) for each in made.figures],
        "left_out": [
            {
                "reason": each.reason,
                "text": NOT_COUNTED[each.reason],
                "message": each.source.message,
                **({"item": each.source.item} if each.source.item else {}),
            }
            for each in made.left_out
        ],
        "warnings": [{"message": message, "text": text} for message, text in made.warnings],
        "median_response_days": dict(made.median_days),
    }


def _figure_json(each: Figure) -> dict[str, Any]:
    table = TABLES[each.table]
    return {
        "table": each.table,
        "year": each.year,
        **dict(zip(table.columns, each.cell, strict=True)),
        "count": each.count,
        "unit": table.unit,
        "counted": [
            {
                "count": counted.count,
                "sources": [
                    {"message": s.message, **({"item": s.item} if s.item else {})} for s in counted.sources
                ],
            }
            for counted in each.counted
        ],
    }


def _csv(header: list[str], rows: list[list[str]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    # A cell that begins like a formula is a text to spreadsheets, too.
    writer.writerows([[f"'{c}" if c[:1] in {"=", "+", "-", "@"} else c for c in row] for row in rows])
    return out.getvalue().encode()


def report_files(made: Report) -> dict[str, bytes]:
    """Files by name: ``report.json``, ``report.md``, ``<table>.csv``, ``sources.csv``, ``left-out.csv``."""
    files = {
        "report.json": (json.dumps(report_json(made), indent=2, ensure_ascii=False) + "\n").encode(),
        "report.md": report_markdown(made).encode(),
        "sources.csv": _csv(
            ["table", "year", "cell", "counted", "count", "message", "item"],
            [
                [f.table, f.year, " / ".join(f.cell), str(number), str(counted.count), s.message, s.item]
                for f in made.figures
                for number, counted in enumerate(f.counted, 1)
                for s in counted.sources
            ],
        ),
        "left-out.csv": _csv(
            ["reason", "text", "message", "item"],
            [[e.reason, NOT_COUNTED[e.reason], e.source.message, e.source.item] for e in made.left_out],
        ),
    }
    for name in KINDS[made.kind]:
        rows = [[f.year, *f.cell, str(f.count)] for f in made.figures if f.table == name]
        files[f"{name}.csv"] = _csv(["year", *TABLES[name].columns, "count"], rows)
    return files


def report_markdown(made: Report) -> str:
    """The figures as tables, and in how many cases what was left out."""
    years = ", ".join(map(str, made.years))
    lines = [
        f"# Report of {made.authority}, {years}",
        "",
        f"Computed by {COMPUTED_BY} from {made.messages} messages. Each number's messages stand in `sources.csv`.",
    ]
    for name in KINDS[made.kind]:
        table = TABLES[name]
        rows = [f for f in made.figures if f.table == name]
        lines += ["", f"## {table.title}", ""]
        if not rows:
            lines.append("None.")
            continue
        lines.append(f"| year | {' | '.join(c.replace('_', ' ') for c in table.columns)} | {table.unit} |")
        lines.append("|---|" + "---|" * len(table.columns) + "--:|")
        lines += [f"| {f.year} | {' | '.join(_cell(c) for c in f.cell)} | {f.count} |" for f in rows]
    if made.median_days:
        lines += ["", "## Median days from a request sent to its final answer", ""]
        lines += [f"- {year}: {days}" for year, days in made.median_days.items()]
    lines += ["", "## Not counted", ""]
    counts = Counter(each.reason for each in made.left_out)
    lines += [f"- {NOT_COUNTED[reason]}: {count}" for reason, count in sorted(counts.items())] or ["Nothing."]
    if made.warnings:
        lines += ["", "## To be looked at", ""]
        lines += [f"- {message[:16]}: {text}" for message, text in made.warnings]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
