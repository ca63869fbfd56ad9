"""A match of a request with an offer: what one side says of it, for itself.

A match is agreed when the requester's and the offeror's own messages say so about the same proposal; no message
says it for both. Which message a step answers is ``in_reply_to`` of its manifest, which its sender signs.

Source: UNODA compendium *Matching Needs and Resources*; domain page 5.11; docs/spec/assistance.md §3.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Final

from countermark_protocol.codes.assistance import AssistanceArea, DeclineReason, MatchProposer, MatchStep
from countermark_protocol.messages.assistance_request import MAX_MONTHS
from countermark_protocol.messages.base import Block, Broken, Message, term
from countermark_protocol.messages.money import Money
from countermark_protocol.messages.scalars import Day, EndpointRef, Language, Line, MessageRef, Prose, Ref

#: The best score.
FULL_SCORE: Final = 1000


def _part(text: str, source: str = "domain page 5.11") -> object:
    return term(text, source=source, unit="per mille", low=0, high=FULL_SCORE)


class MatchScore(Block):
    """How well an offer fits a request, by the rules of one version of the matching."""

    rule_version: Annotated[int, term("Version of the matching", source="own", low=1, high=1000)]
    total: Annotated[int, _part("All criteria together")]
    area: Annotated[int, _part("By theme")]
    form: Annotated[int, _part("By form of assistance")]
    region: Annotated[int, _part("By region")]
    amount: Annotated[int, _part("By amount covered")]
    time: Annotated[int, _part("By period")]
    language: Annotated[int, _part("By language")]


class Coverage(Block):
    """What of the request the proposal covers."""

    RULES: ClassVar[Mapping[str, str]] = {
        "coverage_stated": "a coverage names money, what is given in kind, or both",
        "percent_of_money": "percent stands only with money",
    }

    money: Annotated[Money | None, term("Money", source="domain page 5.11")] = None
    percent: Annotated[
        int | None,
        term(
            "Share of the budget that it covers", source="domain page 5.11", unit="per cent", low=1, high=100
        ),
    ] = None
    in_kind: Annotated[
        tuple[Line, ...], term("What is given in kind", source="PoA report 9", at_least=1, at_most=50)
    ] = ()

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.money is None and not self.in_kind:
            yield Broken("coverage_stated")
        if self.percent is not None and self.money is None:
            yield Broken("percent_of_money", "/percent")


class Gap(Block):
    """What the proposal leaves open."""

    area: Annotated[
        AssistanceArea | None, term("Area", source="domain page 5.11", codes="ASSISTANCE_AREA")
    ] = None
    text: Annotated[Line, term("What is not covered", source="domain page 5.11")]


class Milestone(Block):
    """Something to be reached by a day."""

    due: Annotated[Day, term("By when", source="domain page 5.11", unit="day")]
    text: Annotated[Line, term("What", source="domain page 5.11")]


class MatchProposal(Block):
    """The terms that each side accepts or does not."""

    proposed_by: Annotated[
        MatchProposer,
        term("In what quality it is proposed", source="domain page 5.11", codes="MATCH_PROPOSER"),
    ]
    score: Annotated[MatchScore | None, term("How well they fit", source="domain page 5.11")] = None
    coverage: Annotated[Coverage, term("What is covered", source="domain page 5.11")]
    gaps: Annotated[
        tuple[Gap, ...], term("What is left open", source="domain page 5.11", at_least=1, at_most=50)
    ] = ()
    starts_on: Annotated[Day | None, term("Start", source="domain page 5.11", unit="day")] = None
    duration_months: Annotated[
        int | None, term("Duration", source="domain page 5.11", unit="months", low=1, high=MAX_MONTHS)
    ] = None
    milestones: Annotated[
        tuple[Milestone, ...], term("Milestones", source="domain page 5.11", at_least=1, at_most=50)
    ] = ()
    answer_until: Annotated[
        Day, term("Last day on which it can be accepted", source="domain page 6.2", unit="day")
    ]


class AssistanceMatch(Message):
    """A request and an offer may fit: proposed, discussed, accepted, declined, delivered, closed."""

    TYPE: ClassVar[str] = "assistance-match"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        "two_parties": "requester and offeror are not the same endpoint",
        "proposal_with_step": "proposal stands with step PROPOSED, and only with it",
        "decline_reason": "declineReason stands with step DECLINED, and only with it",
        "delivered_value": "deliveredValue stands only with step DELIVERED or CLOSED",
        "evaluation_at_close": "evaluationNote stands with step CLOSED, and only with it",
        "consulting_text": "step CONSULTING says in note what is to be talked about",
    }

    match_ref: Annotated[Ref, term("The match's reference", source="domain page 5.11")]
    request_ref: Annotated[Ref, term("Reference of the request", source="domain page 5.11")]
    request_message: Annotated[
        MessageRef | None, term("The request's message, as its sender numbered it", source="domain page 5.11")
    ] = None
    requester: Annotated[
        EndpointRef, term("Who asked, and alone can accept for its side", source="domain page 5.11")
    ]
    offer_ref: Annotated[Ref, term("Reference of the offer", source="domain page 5.11")]
    offer_message: Annotated[
        MessageRef | None, term("The offer's message, as its sender numbered it", source="domain page 5.11")
    ] = None
    offeror: Annotated[
        EndpointRef, term("Who offered, and alone can accept for its side", source="domain page 5.11")
    ]
    step: Annotated[
        MatchStep, term("What the sender says, for itself", source="domain page 5.11", codes="MATCH_STEP")
    ]
    proposal: Annotated[MatchProposal | None, term("The terms", source="domain page 5.11")] = None
    note: Annotated[Prose | None, term("In words", source="domain page 5.11")] = None
    decline_reason: Annotated[
        DeclineReason | None, term("Why it is declined", source="domain page 5.11", codes="DECLINE_REASON")
    ] = None
    delivered_value: Annotated[Money | None, term("What was given", source="domain page 5.11")] = None
    evaluation_note: Annotated[Prose | None, term("What came of it", source="domain page 5.11")] = None
    overview_consent: Annotated[
        bool,
        term("Whether the sender agrees that an overview publishes the match", source="UNODA compendium"),
    ]
    language: Annotated[
        Language | None, term("Language of the texts", source="Directive (EU) 2023/977", codes="BCP 47")
    ] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.requester == self.offeror:
            yield Broken("two_parties", "/offeror")
        if (self.step is MatchStep.PROPOSED) != (self.proposal is not None):
            yield Broken("proposal_with_step", "/proposal")
        if (self.step is MatchStep.DECLINED) != (self.decline_reason is not None):
            yield Broken("decline_reason", "/declineReason")
        if self.delivered_value is not None and self.step not in {MatchStep.DELIVERED, MatchStep.CLOSED}:
            yield Broken("delivered_value", "/deliveredValue")
        if (self.step is MatchStep.CLOSED) != (self.evaluation_note is not None):
            yield Broken("evaluation_at_close", "/evaluationNote")
        if self.step is MatchStep.CONSULTING and self.note is None:
            yield Broken("consulting_text", "/note")
