"""Plots of a report, as SVG and PNG: drawn without a display, the same bytes from the same report.

Bars in colours that the colour-blind tell apart, with a legend and numbers; what is not shown in a table is not drawn.
Needs the extra ``countermark-client[audit]``.

Source: docs/howto/review-a-log.md; Okabe and Ito, Color Universal Design (the palette).
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

from countermark_client.review._exports import audit_extra
from countermark_client.review._report import Report
from countermark_client.review._tables import TOTAL, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS: Final = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#000000", "#999999",
)  # fmt: skip
#: Rows in one plot; a longer table is drawn for its largest.
MOST: Final = 20
_HOUR: Final = 60
_WIDTH: Final = 9.0
#: Share of the longest bar that a piece needs for a number within it.
_ROOM: Final = 0.045
_RC: Final[dict[Any, Any]] = {
    "svg.hashsalt": "countermark",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",  # comes with the package: the same on every machine
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def plots_of(report: Report, formats: tuple[str, ...]) -> dict[str, bytes]:
    """Draw every table of numbers that has rows, and not more columns than there are colours.

    Args:
        report: whose.
        formats: ``svg``, ``png`` or both.

    Returns:
        Files by name.

    Raises:
        UncheckableError: ``audit_extra_missing``.
    """
    with audit_extra("a plot"):
        import matplotlib as mpl  # noqa: PLC0415  an extra, and slow to load
        from matplotlib.figure import Figure  # noqa: PLC0415
    out: dict[str, bytes] = {}
    with mpl.rc_context(_RC):
        for table in report.tables:
            if not table.rows or table.keys > 1 or len(table.columns) > len(_COLOURS) + 2:
                continue
            figure = Figure(figsize=(_WIDTH, 1), layout="constrained")
            _draw(figure, report, table)
            for form in formats:
                data = io.BytesIO()
                metadata: dict[str, Any] = {"Date": None} if form == "svg" else {"Software": None}
                figure.savefig(data, format=form, dpi=150, metadata=metadata)
                out[f"{table.name}.{form}"] = data.getvalue()
    return out


def _draw(figure: Figure, report: Report, table: Table) -> None:
    rows = [row for row in table.rows if row[0] != TOTAL]
    by_time = table.columns[0] == "month"
    hidden = len(table.suppressed)
    left_out = 0
    if not by_time and len(rows) > MOST:
        rows = sorted(rows, key=lambda r: (-sum(v for v in r[1:] if isinstance(v, int)), str(r[0])))[:MOST]
        left_out = len(table.rows) - 1 - MOST
    times = table.unit == "minutes"
    series = [
        c
        for c in table.columns[1:]
        if c not in {TOTAL, "count", "p95" if table.name.startswith("response") else ""}
    ]
    series = [c for c in series if times or any(r[table.columns.index(c)] for r in rows)]
    height = (0.32 if not times else 0.32 * len(series)) * max(len(rows), 2) + 1.6
    figure.set_size_inches(_WIDTH, height)
    axes = figure.subplots()
    not_whole = {str(table.rows[row][0]) for row, _ in table.suppressed}
    labels = [f"{row[0]} *" if row[0] in not_whole else str(row[0]) for row in rows]
    values = {c: [_number(row[table.columns.index(c)]) for row in rows] for c in series}
    if times:
        _side_by_side(axes, values)
    else:
        _stacked(axes, values)
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("hours" if times else table.unit)
    head = report.head
    axes.set_title(f"{table.title}\n{head['period']}, {head['traffic']} traffic", loc="left", fontsize=10)
    remarks = []
    if hidden:
        remarks.append(f"* may be longer: {hidden} numbers are not shown, and not drawn")
    if left_out > 0:
        remarks.append(f"the {MOST} largest; {left_out} more are in the table")
    if remarks:
        figure.supxlabel("; ".join(remarks), fontsize=8, color="#444444", x=0.02, ha="left")
    if series:
        figure.legend(loc="outside right upper", frameon=False)


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _stacked(axes: Axes, values: dict[str, list[int]]) -> None:
    """One bar a row, its pieces one behind the other, each with its number where there is room."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415  an extra

    lefts = [0] * max((len(v) for v in values.values()), default=0)
    longest = max((sum(pieces) for pieces in zip(*values.values(), strict=True)), default=0) or 1
    for i, (name, counts) in enumerate(values.items()):
        colour = _COLOURS[i % len(_COLOURS)]
        axes.barh(range(len(counts)), counts, left=lefts, color=colour, label=name, height=0.72)
        for y, (count, left) in enumerate(zip(counts, lefts, strict=True)):
            if count / longest >= _ROOM:
                ink = (
                    "black" if colour in {"#E69F00", "#56B4E9", "#F0E442", "#999999", "#CC79A7"} else "white"
                )
                axes.text(left + count / 2, y, str(count), ha="center", va="center", color=ink, fontsize=8)
        lefts = [left + count for left, count in zip(lefts, counts, strict=True)]
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _side_by_side(axes: Axes, values: dict[str, list[int]]) -> None:
    """One bar a row and column, in hours, with its number behind it."""
    height = 0.8 / max(len(values), 1)
    for i, (name, minutes) in enumerate(values.items()):
        hours = [m / _HOUR for m in minutes]
        places = [y - 0.4 + height * (i + 0.5) for y in range(len(hours))]
        bars = axes.barh(places, hours, height=height, color=_COLOURS[i], label=name)
        axes.bar_label(bars, [f"{h:.1f}" for h in hours], padding=3, fontsize=8)
    axes.margins(x=0.1)
