"""Reports computed from an agency's own messages: UNODC illicit arms flows, SDG 16.4.2, the PoA/ITI national report.

Everything here is pure: it takes messages as a client holds them (`Client.messages`), and each figure names the
messages and items that it counts.

Source: docs/spec/reports.md.
"""

from __future__ import annotations

from countermark_client.reports._arms import Source
from countermark_client.reports._figures import UNKNOWN_YEAR, Counted, Figure
from countermark_client.reports._national import national_draft, national_figures
from countermark_client.reports._render import report_files, report_json, report_markdown
from countermark_client.reports._report import KINDS, NOT_COUNTED, TABLES, LeftOut, Report, make_report

__all__ = [
    "KINDS",
    "NOT_COUNTED",
    "TABLES",
    "UNKNOWN_YEAR",
    "Counted",
    "Figure",
    "LeftOut",
    "Report",
    "Source",
    "make_report",
    "national_draft",
    "national_figures",
    "report_files",
    "report_json",
    "report_markdown",
]
