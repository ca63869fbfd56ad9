"""The proposal that a fit suggests: what is covered, what is left open.

Source: docs/spec/assistance.md §3.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from countermark_client.assistance._ranking import Fit
from countermark_protocol.codes.assistance import MatchProposer, MatchStep
from countermark_protocol.errors import PolicyError
from countermark_protocol.messages.assistance_match import (
    FULL_SCORE,
    AssistanceMatch,
    Coverage,
    Gap,
    MatchProposal,
)
from countermark_protocol.messages.assistance_offer import AssistanceOffer
from countermark_protocol.messages.assistance_request import AssistanceRequest
from countermark_protocol.messages.money import Money

#: Longest line of a content.
_LINE: Final = 200


def propose(
    request: AssistanceRequest,
    requester: str,
    offer: AssistanceOffer,
    offeror: str,
    found: Fit,
    *,
    match_ref: str,
    by: MatchProposer,
    answer_until: dt.date,
    overview_consent: bool,
) -> AssistanceMatch:
    """Draft the proposal that a fit suggests; a person reads it before it is sent.

    Args:
        request: what is needed.
        requester: endpoint that sent the request.
        offer: what is offered.
        offeror: endpoint that sent the offer.
        found: how well they fit.
        match_ref: the match's reference.
        by: in what quality it is proposed.
        answer_until: last day on which it can be accepted.
        overview_consent: whether the proposer agrees that an overview publishes the match.

    Raises:
        PolicyError: ``no_match``: they cannot fit, or nothing is known to be covered; facts: ``reasons``.
    """
    if found.obstacles:
        raise PolicyError(
            "no_match", f"they cannot be matched: {'; '.join(found.obstacles)}", reasons=list(found.obstacles)
        )
    money = None
    if found.covers and offer.amount is not None:
        money = Money(currency=offer.amount.currency, amount=found.covers)
    in_kind = tuple(f"{each.quantity} x {each.item}"[:_LINE] for each in offer.in_kind)
    if money is None and not in_kind:
        reason = next(part.reason for part in found.parts if part.criterion == "amount")
        raise PolicyError("no_match", f"nothing is known to be covered: {reason}", reasons=[reason])
    return AssistanceMatch(
        match_ref=match_ref,
        request_ref=request.request_ref,
        requester=requester,
        offer_ref=offer.offer_ref,
        offeror=offeror,
        step=MatchStep.PROPOSED,
        proposal=MatchProposal(
            proposed_by=by,
            score=found.score,
            coverage=Coverage(
                money=money, percent=found.percent or None if money is not None else None, in_kind=in_kind
            ),
            gaps=tuple(_gaps(request, offer, found)),
            duration_months=request.duration_months,
            answer_until=answer_until,
        ),
        overview_consent=overview_consent,
    )


def _gaps(request: AssistanceRequest, offer: AssistanceOffer, found: Fit) -> list[Gap]:
    gaps = [Gap(area=area, text="not offered") for area in request.areas if area not in offer.areas]
    gaps += [Gap(text=f"{form} is not offered") for form in request.forms if form not in offer.forms]
    for part in found.parts:
        if part.criterion in {"amount", "time", "language"} and part.points < FULL_SCORE:
            gaps.append(Gap(text=part.reason[:_LINE]))
    return gaps
