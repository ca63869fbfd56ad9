"""Reviewing a log from an auditor's mirror: search, timelines, and reports as tables, plots and files.

Nothing here writes into a mirror, asks a broker or reads a clock. `search` and `timeline` read a mirror's
database, best within `one_state`; `make_report` gives the statistics of a period as one audience may see them;
`text_of`, the exports and `plots_of` write them down.
"""

from __future__ import annotations

from countermark_client.review._clocks import read_clocks
from countermark_client.review._exports import (
    csv_bytes,
    json_bytes,
    jsonl_bytes,
    parquet_bytes,
    text_of,
    write_files,
)
from countermark_client.review._plots import plots_of
from countermark_client.review._report import AUDITOR, PUBLIC, Report, make_report
from countermark_client.review._scope import (
    Period,
    Traffic,
    everything,
    one_state,
    parse_period,
    period_between,
)
from countermark_client.review._search import Found, Page, Query, conversation_of, find_message, search
from countermark_client.review._tables import Table
from countermark_client.review._timeline import Event, Timeline, timeline
from countermark_protocol.tracing.clock import Acknowledged, Clock, State

__all__ = [
    "AUDITOR",
    "PUBLIC",
    "Acknowledged",
    "Clock",
    "Event",
    "Found",
    "Page",
    "Period",
    "Query",
    "Report",
    "State",
    "Table",
    "Timeline",
    "Traffic",
    "conversation_of",
    "csv_bytes",
    "everything",
    "find_message",
    "json_bytes",
    "jsonl_bytes",
    "make_report",
    "one_state",
    "parquet_bytes",
    "parse_period",
    "period_between",
    "plots_of",
    "read_clocks",
    "search",
    "text_of",
    "timeline",
    "write_files",
]
