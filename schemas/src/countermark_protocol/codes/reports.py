"""Own code lists of national reports and their figures.

NOTE: values are wire format: never reuse, never rename.

Source: docs/spec/reports.md §1; the instruments each docstring names.
"""

from __future__ import annotations

from enum import StrEnum


class ReportKind(StrEnum):
    """For which instrument a report is made."""

    POA_ITI = "POA_ITI"
    ATT = "ATT"
    OSCE = "OSCE"
    UNROCA = "UNROCA"


class ReportSection(StrEnum):
    """Sections of the PoA/ITI report (UNODA template); the reports of other instruments use those that they ask."""

    CONTACT_POINTS = "CONTACT_POINTS"
    MANUFACTURE = "MANUFACTURE"
    INTERNATIONAL_TRANSFERS = "INTERNATIONAL_TRANSFERS"
    BROKERING = "BROKERING"
    STOCKPILE = "STOCKPILE"
    COLLECTION = "COLLECTION"
    MARKING_AND_RECORDS = "MARKING_AND_RECORDS"
    TRACING = "TRACING"
    COOPERATION_AND_ASSISTANCE = "COOPERATION_AND_ASSISTANCE"
    INFORMATION_AND_GENDER = "INFORMATION_AND_GENDER"


class MarkContent(StrEnum):
    """What a State has marked at manufacture (ITI 8(a); PoA report section 2)."""

    MAKER = "MAKER"
    COUNTRY = "COUNTRY"
    SERIAL = "SERIAL"
    YEAR = "YEAR"
    TYPE_OR_MODEL = "TYPE_OR_MODEL"
    CALIBRE = "CALIBRE"
    OTHER = "OTHER"


class MarkingState(StrEnum):
    """State of marking by which arms are counted (IAFQ; SDG 16.4.2)."""

    UNIQUELY_MARKED = "UNIQUELY_MARKED"
    NEVER_MARKED = "NEVER_MARKED"
    REMOVED_OR_ALTERED = "REMOVED_OR_ALTERED"
    UNKNOWN = "UNKNOWN"


class FiguresBasis(StrEnum):
    """Where the figures of a report come from."""

    COMPUTED = "COMPUTED"
    COMPUTED_AND_EDITED = "COMPUTED_AND_EDITED"
    STATED = "STATED"
