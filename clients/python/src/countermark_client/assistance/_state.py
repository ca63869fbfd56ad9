"""What a match is, from what each side has said of it: nobody agrees for another.

A message speaks for the endpoint that sent it, or for the one on whose behalf it was sent and which signed it too.
`fold_match` takes the messages of one conversation, in any order, and gives the state with every message that counted
for nothing and why. Two readers of the same messages see the same.

    PROPOSED --somebody asks--> CONSULTING
    PROPOSED, CONSULTING --each party accepts one proposal--> AGREED --offeror--> DELIVERED --requester--> CLOSED
    PROPOSED, CONSULTING, AGREED --a party declines--> DECLINED
    PROPOSED, CONSULTING --last day of the last proposal passes--> EXPIRED

Source: docs/spec/assistance.md §3.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from countermark_protocol.codes.assistance import DeclineReason, MatchStep
from countermark_protocol.errors import PolicyError
from countermark_protocol.messages.assistance_match import AssistanceMatch, MatchProposal
from countermark_protocol.messages.money import Money

#: Why a message counts for nothing, in words.
IGNORED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "no_proposal_yet": "a match begins with a proposal",
        "another_match": "it names another match, request, offer or party than the proposal it follows",
        "not_a_party": "only requester and offeror accept, decline, deliver and close",
        "accepts_no_proposal": "it replies to no proposal of this match",
        "accepts_another_proposal": "the match is agreed on another proposal",
        "accepted_too_late": "the proposal could not be accepted any more",
        "after_the_end": "the match was declined or closed before",
        "not_agreed": "what is not agreed is neither delivered nor closed",
        "not_the_offeror": "the offeror says what it has delivered",
        "not_the_requester": "the requester closes",
        "not_delivered": "a match is closed after its delivery; before, a party may decline",
        "already_delivered": "what is delivered is not declined",
    }
)


class Standing(StrEnum):
    """What a match is."""

    NONE = "NONE"
    PROPOSED = "PROPOSED"
    CONSULTING = "CONSULTING"
    AGREED = "AGREED"
    DECLINED = "DECLINED"
    EXPIRED = "EXPIRED"
    DELIVERED = "DELIVERED"
    CLOSED = "CLOSED"


_OPEN: Final = frozenset({Standing.NONE, Standing.PROPOSED, Standing.CONSULTING})


@dataclass(frozen=True, slots=True)
class MatchMessage:
    """One message of a match.

    Attributes:
        message: payload hash, hexadecimal.
        speaker: the endpoint that it speaks for.
        in_reply_to: payload hash of the message it replies to, hexadecimal, or None.
        index: of its log entry; orders messages.
        day: of its leaf, UTC.
        content: what it says.
    """

    message: str
    speaker: str
    in_reply_to: str | None
    index: int
    day: dt.date
    content: AssistanceMatch = field(repr=False)


@dataclass(frozen=True, slots=True)
class MatchState:
    """What a match is, and by which messages.

    Attributes:
        standing: as of the day asked for.
        first: the proposal that began it; None if there is none.
        terms: what is agreed; None while nothing is.
        agreed_by: of each party, the message by which it accepted the terms; empty while nothing is agreed.
        open_proposals: messages that can be accepted still.
        decline_reason: why it was declined.
        delivered: what the offeror says it has given, where it says so.
        consents: whether each party that has spoken agrees, by its newest message that counts, that it be published.
        history: messages that counted, in log order.
        ignored: (message, key of `IGNORED`) of those that did not, in log order.
    """

    standing: Standing
    first: MatchMessage | None = None
    terms: MatchProposal | None = None
    agreed_by: Mapping[str, str] = field(default_factory=dict)
    open_proposals: tuple[str, ...] = ()
    decline_reason: DeclineReason | None = None
    delivered: Money | None = None
    consents: Mapping[str, bool] = field(default_factory=dict)
    history: tuple[MatchMessage, ...] = ()
    ignored: tuple[tuple[str, str], ...] = ()

    @property
    def parties(self) -> tuple[str, ...]:
        """Requester and offeror."""
        return (self.first.content.requester, self.first.content.offeror) if self.first is not None else ()

    @property
    def publishable(self) -> bool:
        """Whether both parties agree that an overview publishes it."""
        return bool(self.parties) and all(self.consents.get(party, False) for party in self.parties)


class _Fold:
    def __init__(self) -> None:
        self.standing = Standing.NONE
        self.first: MatchMessage | None = None
        self.proposals: dict[str, MatchMessage] = {}
        self.accepted: dict[str, dict[str, str]] = {}
        self.terms: str | None = None
        self.decline_reason: DeclineReason | None = None
        self.delivered: Money | None = None

    def take(self, each: MatchMessage) -> str | None:
        """Take one message; why it counts for nothing, or None."""
        said = each.content
        if self.first is None:
            if said.step is not MatchStep.PROPOSED:
                return "no_proposal_yet"
            self.first = each
        elif _key(said) != _key(self.first.content):
            return "another_match"
        if self.standing in {Standing.DECLINED, Standing.CLOSED}:
            return "after_the_end"
        party = each.speaker in {said.requester, said.offeror}
        if said.step is MatchStep.CONSULTING:
            if self.standing in _OPEN:
                self.standing = Standing.CONSULTING
            return None
        if said.step is MatchStep.PROPOSED:
            return self._propose(each, party=party)
        if not party:
            return "not_a_party"
        return {
            MatchStep.ACCEPTED: self._accept,
            MatchStep.DECLINED: self._decline,
            MatchStep.DELIVERED: self._deliver,
            MatchStep.CLOSED: self._close,
        }[said.step](each)

    def _propose(self, each: MatchMessage, *, party: bool) -> str | None:
        self.proposals[each.message] = each
        if self.standing is Standing.NONE:
            self.standing = Standing.PROPOSED
        if party:
            # Who proposes terms accepts them.
            self._count(each.message, each)
        return None

    def _accept(self, each: MatchMessage) -> str | None:
        proposal = self.proposals.get(each.in_reply_to or "")
        if proposal is None:
            return "accepts_no_proposal"
        if self.terms is not None:
            return None if self.terms == proposal.message else "accepts_another_proposal"
        if each.day > _last_day(proposal):
            return "accepted_too_late"
        self._count(proposal.message, each)
        return None

    def _count(self, proposal: str, each: MatchMessage) -> None:
        by = self.accepted.setdefault(proposal, {})
        by.setdefault(each.speaker, each.message)
        if self.terms is None and len(by) == len({each.content.requester, each.content.offeror}):
            self.terms, self.standing = proposal, Standing.AGREED

    def _decline(self, each: MatchMessage) -> str | None:
        if self.standing is Standing.DELIVERED:
            return "already_delivered"
        self.standing, self.decline_reason = Standing.DECLINED, each.content.decline_reason
        return None

    def _deliver(self, each: MatchMessage) -> str | None:
        if self.standing not in {Standing.AGREED, Standing.DELIVERED}:
            return "not_agreed"
        if each.speaker != each.content.offeror:
            return "not_the_offeror"
        self.standing = Standing.DELIVERED
        self.delivered = each.content.delivered_value or self.delivered
        return None

    def _close(self, each: MatchMessage) -> str | None:
        if self.standing is Standing.AGREED:
            return "not_delivered"
        if self.standing is not Standing.DELIVERED:
            return "not_agreed"
        if each.speaker != each.content.requester:
            return "not_the_requester"
        self.standing = Standing.CLOSED
        return None


def _key(said: AssistanceMatch) -> tuple[str, ...]:
    return (said.match_ref, said.request_ref, said.requester, said.offer_ref, said.offeror)


def _last_day(proposal: MatchMessage) -> dt.date:
    """A day lasts until it ends in the last time zone, so the next day by UTC may still be it."""
    terms = proposal.content.proposal
    assert terms is not None
    return terms.answer_until + dt.timedelta(days=1) if terms.answer_until < dt.date.max else dt.date.max


def fold_match(messages: Iterable[MatchMessage], on: dt.date) -> MatchState:
    """What a match is, from the messages of its conversation.

    Args:
        messages: in any order; one that stands twice counts once.
        on: the day as of which, UTC; later messages count, too: it only says what has expired.
    """
    fold = _Fold()
    history: list[MatchMessage] = []
    ignored: list[tuple[str, str]] = []
    unique = {each.message: each for each in messages}
    for each in sorted(unique.values(), key=lambda m: (m.index, m.message)):
        why = fold.take(each)
        if why is None:
            history.append(each)
        else:
            ignored.append((each.message, why))
    live = tuple(name for name, each in fold.proposals.items() if on <= _last_day(each))
    standing = fold.standing
    undecided = standing in _OPEN - {Standing.NONE}
    if undecided and not live:
        standing = Standing.EXPIRED
    parties = () if fold.first is None else (fold.first.content.requester, fold.first.content.offeror)
    return MatchState(
        standing=standing,
        first=fold.first,
        terms=fold.proposals[fold.terms].content.proposal if fold.terms is not None else None,
        agreed_by=dict(fold.accepted[fold.terms]) if fold.terms is not None else {},
        open_proposals=live if undecided else (),
        decline_reason=fold.decline_reason,
        delivered=fold.delivered,
        consents={m.speaker: m.content.overview_consent for m in history if m.speaker in parties},
        history=tuple(history),
        ignored=tuple(ignored),
    )


def committed(states: Iterable[MatchState]) -> dict[tuple[str, str], int]:
    """How much of each offer is taken by matches that stand: by (offeror, offer reference), in its own currency."""
    taken: dict[tuple[str, str], int] = {}
    for state in states:
        stands = state.standing in {Standing.AGREED, Standing.DELIVERED, Standing.CLOSED}
        if stands and state.first is not None and state.terms is not None:
            money = state.terms.coverage.money
            said = state.first.content
            if money is not None:
                key = (said.offeror, said.offer_ref)
                taken[key] = taken.get(key, 0) + money.amount
    return taken


def step_content(
    state: MatchState,
    speaker: str,
    step: MatchStep,
    *,
    in_reply_to: str | None = None,
    overview_consent: bool,
    note: str | None = None,
    decline_reason: DeclineReason | None = None,
    delivered_value: Money | None = None,
    evaluation_note: str | None = None,
) -> AssistanceMatch:
    """What `speaker` would send to take a step in a match; see `AssistanceMatch` for what goes with which step.

    Args:
        state: of the match.
        speaker: the endpoint that takes it.
        step: any but PROPOSED.
        in_reply_to: the message that it will reply to, hexadecimal; of ACCEPTED, which proposal. The newest proposal
            that is open if not said.
        overview_consent: whether it agrees that an overview publishes the match.
        note: in words.
        decline_reason: of DECLINED.
        delivered_value: of DELIVERED or CLOSED.
        evaluation_note: of CLOSED.

    Raises:
        PolicyError: ``step_counts_for_nothing``: as the match stands, it would be ignored; facts: ``why``.
        pydantic.ValidationError: the step lacks what goes with it.
    """
    if state.first is None:
        raise PolicyError("step_counts_for_nothing", IGNORED["no_proposal_yet"], why="no_proposal_yet")
    said = state.first.content
    content = AssistanceMatch(
        match_ref=said.match_ref,
        request_ref=said.request_ref,
        request_message=said.request_message,
        requester=said.requester,
        offer_ref=said.offer_ref,
        offer_message=said.offer_message,
        offeror=said.offeror,
        step=step,
        note=note,
        decline_reason=decline_reason,
        delivered_value=delivered_value,
        evaluation_note=evaluation_note,
        overview_consent=overview_consent,
    )
    last = state.history[-1]
    replied = in_reply_to or (state.open_proposals[-1] if state.open_proposals else None)
    tried = MatchMessage("", speaker, replied, last.index + 1, last.day, content)
    why = dict(fold_match([*state.history, tried], last.day).ignored).get("")
    if why is not None:
        raise PolicyError("step_counts_for_nothing", f"it would count for nothing: {IGNORED[why]}", why=why)
    return content
