"""Which offers fit a request best, and why: one score of six parts, the same from either side.

A part is 0 to 1000 per mille of what was asked for; what is not known counts as nothing, so telling more never lowers
a rank. The total weighs the parts by `WEIGHTS`. What cannot fit (another theme, a State that is not eligible, a period
that is over) is left out with its reasons, never silently.

NOTE: what a version of these rules gives never changes; another rule is another `RULE_VERSION`.

Source: docs/spec/assistance.md §4.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from countermark_client.assistance._money import RateTable
from countermark_protocol.codes.assistance import NoBudgetReason, OfferCondition
from countermark_protocol.codes.regions import regions_of
from countermark_protocol.messages.assistance_match import FULL_SCORE, MatchScore
from countermark_protocol.messages.assistance_offer import AssistanceOffer
from countermark_protocol.messages.assistance_request import AssistanceRequest

RULE_VERSION: Final = 1
#: Share of each part in the total, in order of weight; they add up to 1000.
WEIGHTS: Final[Mapping[str, int]] = MappingProxyType(
    {"area": 300, "amount": 200, "region": 150, "time": 150, "form": 100, "language": 100}
)
#: Parts that decide between equal totals, first to last.
_ORDER: Final = ("area", "amount", "time", "region", "form", "language")


@dataclass(frozen=True, slots=True)
class Part:
    """One criterion.

    Attributes:
        criterion: a key of `WEIGHTS`.
        points: 0 to 1000.
        reason: in words.
    """

    criterion: str
    points: int
    reason: str


@dataclass(frozen=True, slots=True)
class Fit:
    """How well an offer and a request fit.

    Attributes:
        parts: one for each criterion, in order of weight.
        obstacles: why it cannot be at all, in words; none if it can.
        covers: what the offer gives to this project, whole units of the offer's currency; None if not known.
        percent: share of the budget that this covers, 0 to 100; None if not known.
    """

    parts: tuple[Part, ...]
    obstacles: tuple[str, ...]
    covers: int | None
    percent: int | None

    def points(self, criterion: str) -> int:
        """Of one criterion, 0 to 1000."""
        return next(part.points for part in self.parts if part.criterion == criterion)

    @property
    def weighed(self) -> int:
        """The exact total, 0 to 1,000,000."""
        return sum(WEIGHTS[part.criterion] * part.points for part in self.parts)

    @property
    def score(self) -> MatchScore:
        """As a proposal carries it."""
        parts = {part.criterion: part.points for part in self.parts}
        return MatchScore(rule_version=RULE_VERSION, total=self.weighed // FULL_SCORE, **parts)

    @property
    def rank(self) -> tuple[int, ...]:
        """Sorts ascending, best first."""
        return (-self.weighed, *(-self.points(name) for name in _ORDER))


def fit(
    request: AssistanceRequest,
    offer: AssistanceOffer,
    on: dt.date,
    *,
    rates: RateTable | None = None,
    committed: int = 0,
) -> Fit:
    """Compare one request with one offer.

    Args:
        request: what is needed.
        offer: what is offered.
        on: the day as of which; what could only begin earlier does not count.
        rates: by which sums in two currencies are compared; without, they are not.
        committed: how much of the offer's amount other matches have taken, whole units of its currency.
    """
    amount, covers, percent = _amount(request, offer, rates or RateTable(), committed)
    parts = {
        "area": _share("area", request.areas, offer.areas, "themes"),
        "amount": amount,
        "region": _region(request, offer),
        "time": _time(request, offer, on),
        "form": _share("form", request.forms, offer.forms, "forms of assistance"),
        "language": _language(request, offer),
    }
    return Fit(
        parts=tuple(parts[name] for name in WEIGHTS),
        obstacles=tuple(_obstacles(request, offer, parts, on)),
        covers=covers,
        percent=percent,
    )


def _obstacles(
    request: AssistanceRequest, offer: AssistanceOffer, parts: Mapping[str, Part], on: dt.date
) -> list[str]:
    found = [parts[name].reason for name in ("area", "region") if not parts[name].points]
    if request.valid_until < on:
        found.append(f"the request stood until {request.valid_until}")
    if offer.available_until < on:
        found.append(f"the offer stood until {offer.available_until}")
    return found


def _share(criterion: str, wanted: Sequence[str], given: Sequence[str], what: str) -> Part:
    both = [each for each in wanted if each in given]
    points = FULL_SCORE * len(both) // len(wanted)
    if not both:
        return Part(criterion, 0, f"none of the {what} asked for is offered")
    missing = [each for each in wanted if each not in given]
    reason = f"{len(both)} of {len(wanted)} {what} asked for: {', '.join(both)}"
    return Part(criterion, points, reason + (f"; not {', '.join(missing)}" if missing else ""))


def _region(request: AssistanceRequest, offer: AssistanceOffer) -> Part:
    state, eligible = request.requesting_state, offer.eligibility
    if eligible.any_state:
        return Part("region", FULL_SCORE, "every State is eligible")
    if state in eligible.states:
        return Part("region", FULL_SCORE, f"{state} is named as eligible")
    regions = [each for each in eligible.regions if each in regions_of(state)]
    if regions:
        return Part("region", FULL_SCORE, f"{state} belongs to {', '.join(regions)}, which is eligible")
    return Part("region", 0, f"{state} is not eligible")


def _language(request: AssistanceRequest, offer: AssistanceOffer) -> Part:
    wanted = {each.split("-", 1)[0] for each in request.languages}
    both = sorted(wanted & {each.split("-", 1)[0] for each in offer.languages})
    if both:
        return Part("language", FULL_SCORE, f"both speak {', '.join(both)}")
    return Part("language", 0, f"no language in common: {', '.join(sorted(wanted))} is asked for")


def _time(request: AssistanceRequest, offer: AssistanceOffer, on: dt.date) -> Part:
    start = max(on, offer.available_from, request.start_not_before or on)
    open_months = max(0, months_between(start, offer.available_until))
    most = offer.max_duration_months
    fits = min(open_months, request.duration_months if most is None else most, request.duration_months)
    limits = [f"from {start} to {offer.available_until}"]
    if most is not None and most < request.duration_months:
        limits.append(f"projects of at most {most} months")
    reason = f"{fits} of {request.duration_months} months fit: {', '.join(limits)}"
    return Part("time", FULL_SCORE * fits // request.duration_months, reason)


def months_between(start: dt.date, end: dt.date) -> int:
    """Whole months from the beginning of one day to the end of another; negative if that is before."""
    after = end + dt.timedelta(days=1) if end < dt.date.max else end
    months = (after.year - start.year) * 12 + after.month - start.month
    return months - (after.day < start.day)


def _amount(
    request: AssistanceRequest, offer: AssistanceOffer, rates: RateTable, committed: int
) -> tuple[Part, int | None, int | None]:
    """The part, what is covered in the offer's currency, and which share of the budget."""
    budget, offered = request.budget, offer.amount
    if budget is None:
        if request.no_budget_reason is NoBudgetReason.IN_KIND_ONLY and offer.in_kind:
            return Part("amount", FULL_SCORE, "things in kind are asked for and offered"), None, None
        why = (
            "no budget is estimated"
            if request.no_budget_reason is NoBudgetReason.NOT_ESTIMATED
            else "no things in kind"
        )
        return Part("amount", 0, f"cannot be compared: {why}"), None, None
    if offered is None:
        return (
            Part("amount", 0, "cannot be compared: a budget is asked for, things in kind are offered"),
            None,
            None,
        )
    found = rates.find(budget.currency, offered.currency)
    if found is None:
        text = f"cannot be compared: no rate is given for {budget.currency} and {offered.currency}"
        return Part("amount", 0, text), None, None
    rate, words = found
    total = budget.total * rate
    if offered.min is not None and total < offered.min:
        text = (
            f"projects from {offered.min:,} {offered.currency} are helped, this is of {int(total):,} {words}"
        )
        return Part("amount", 0, text.rstrip()), 0, 0
    own = max((c.percent or 0 for c in offer.conditions if c.kind is OfferCondition.CO_FUNDING), default=0)
    covers = min(Fraction(max(0, offered.max - committed)), total * (100 - own) / 100)
    points = int(FULL_SCORE * covers / total)
    notes = [note for note in (words, f"the State bears {own} %" if own else "") if note]
    if committed:
        notes.append(f"{committed:,} {offered.currency} are taken by other matches")
    text = f"{int(covers):,} of {int(total):,} {offered.currency} are covered"
    return Part("amount", points, "; ".join([text, *notes])), int(covers), int(100 * covers / total)


# --- ranking -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What cannot fit.

    Attributes:
        key: as given.
        reasons: in words.
    """

    key: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ranking:
    """What fits, best first, and what does not.

    Attributes:
        fits: (key, fit); equal ones by their keys.
        left_out: by their keys.
    """

    fits: tuple[tuple[str, Fit], ...]
    left_out: tuple[LeftOut, ...]


def rank_offers(
    request: AssistanceRequest,
    offers: Mapping[str, AssistanceOffer],
    on: dt.date,
    *,
    rates: RateTable | None = None,
    committed: Mapping[str, int] | None = None,
) -> Ranking:
    """Rank offers for a request; the order of `offers` makes no difference.

    Args:
        request: what is needed.
        offers: by any key, e.g. the message's hash.
        on: the day as of which.
        rates: see `fit`.
        committed: by key, how much of an offer other matches have taken.
    """
    taken = committed or {}
    return _ranked(
        {k: fit(request, offer, on, rates=rates, committed=taken.get(k, 0)) for k, offer in offers.items()}
    )


def rank_requests(
    offer: AssistanceOffer,
    requests: Mapping[str, AssistanceRequest],
    on: dt.date,
    *,
    rates: RateTable | None = None,
    committed: int = 0,
) -> Ranking:
    """Rank requests for an offer: each pair has the score that `rank_offers` gives it; see there."""
    return _ranked(
        {k: fit(request, offer, on, rates=rates, committed=committed) for k, request in requests.items()}
    )


def _ranked(fits: Mapping[str, Fit]) -> Ranking:
    possible = sorted((each.rank, key) for key, each in fits.items() if not each.obstacles)
    return Ranking(
        tuple((key, fits[key]) for _, key in possible),
        tuple(LeftOut(key, fits[key].obstacles) for key in sorted(fits) if fits[key].obstacles),
    )
