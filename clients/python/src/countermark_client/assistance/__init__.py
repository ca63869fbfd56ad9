"""Matching needs and resources: needs from a self-assessment, offers ranked for a request, matches, an overview.

Everything here is pure: it takes contents and messages that a client holds, and reads neither clock nor network.

Source: docs/spec/assistance.md.
"""

from __future__ import annotations

from countermark_client.assistance._kept import Known, known_matches, known_offers, known_requests
from countermark_client.assistance._money import Rate, RateTable, read_rates
from countermark_client.assistance._needs import AssessedRow, DraftRequest, draft_requests, read_assessment
from countermark_client.assistance._overview import Overview, make_overview
from countermark_client.assistance._ranking import (
    Fit,
    LeftOut,
    Part,
    Ranking,
    fit,
    rank_offers,
    rank_requests,
)
from countermark_client.assistance._state import (
    MatchMessage,
    MatchState,
    Standing,
    committed,
    fold_match,
    step_content,
)
from countermark_client.assistance._terms import propose

__all__ = [
    "AssessedRow",
    "DraftRequest",
    "Fit",
    "Known",
    "LeftOut",
    "MatchMessage",
    "MatchState",
    "Overview",
    "Part",
    "Ranking",
    "Rate",
    "RateTable",
    "Standing",
    "committed",
    "draft_requests",
    "fit",
    "fold_match",
    "known_matches",
    "known_offers",
    "known_requests",
    "make_overview",
    "propose",
    "rank_offers",
    "rank_requests",
    "read_assessment",
    "read_rates",
    "step_content",
]
