"""Clarification between the two States of a trace: what a requester asks about an answer, and what either side adds.

More information that a requested State needs is asked for by an acknowledgement (MORE_INFORMATION_NEEDED); what is
then given comes in a clarification. So does a question about a refusal, and what is said to it.

Source: International Tracing Instrument 17, 21 and 23; docs/spec/messages.md §7.4.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from countermark_protocol.codes.exchange import ClarificationKind, ClarificationTopic
from countermark_protocol.messages.base import Block, Broken, Message, refs_unique, term
from countermark_protocol.messages.blocks import Contact, ExternalRef
from countermark_protocol.messages.scalars import (
    Language,
    Line,
    MessageHash,
    MessageRef,
    Prose,
    Ref,
    RequestPointer,
)
from countermark_protocol.messages.tracing_request import MAX_TRACED_ITEMS
from countermark_protocol.messages.weapon_v2 import FirearmItemV2


class Question(Block):
    """One question."""

    question_ref: Annotated[Ref, term("Its reference, by which it is answered", source="ITI 23")]
    topic: Annotated[
        ClarificationTopic, term("What it is about", source="ITI 20-23", codes="CLARIFICATION_TOPIC")
    ]
    item_ref: Annotated[
        Ref | None, term("The weapon, by its reference in the request; absent: all of them", source="ITI 23")
    ] = None
    text: Annotated[Prose, term("The question in words", source="ITI 23")]


class Reply(Block):
    """The answer to one question."""

    question_ref: Annotated[Ref, term("The question, by its reference", source="ITI 23")]
    text: Annotated[Prose, term("What is said to it", source="ITI 23")]


class SuppliedElement(Block):
    """What the request lacked (ITI 21), as it should read."""

    RULES: ClassVar[Mapping[str, str]] = {
        "supplied_something": "a supplied element has a value, a text, or both",
    }

    path: Annotated[
        RequestPointer, term("Where in the request; only what ITI 17 names", source="ITI 17 and 21")
    ]
    value: Annotated[Line | None, term("What it should read there", source="ITI 17 and 21")] = None
    text: Annotated[Prose | None, term("What can be said of it in words", source="ITI 17 and 21")] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.value is None and self.text is None:
            yield Broken("supplied_something")


class TracingClarification(Message):
    """A question about an answer to a tracing request, or what one side adds for the other (ITI 21 and 23)."""

    TYPE: ClassVar[str] = "tracing-clarification"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        "clarification_seeks": "questions stand with SEEKS, and only with it",
        "clarification_gives": "replies, supplied elements and items stand with GIVES, at least one of them, and only "
        "with it",
        "question_refs_differ": "every questionRef is another",
        "reply_refs_differ": "a question is answered once",
        "clarified_items_differ": "every itemRef of a clarification is another",
    }

    request_id: Annotated[MessageRef, term("The tracing request", source="ITI 21 and 23")]
    about: Annotated[
        MessageHash, term("The message of the other side that this is about", source="ITI 21 and 23")
    ]
    kind: Annotated[
        ClarificationKind,
        term("Whether it asks or tells", source="ITI 21 and 23", codes="CLARIFICATION_KIND"),
    ]
    own_ref: Annotated[Ref | None, term("The sender's case", source="ATF 3312.1 4e")] = None
    questions: Annotated[
        tuple[Question, ...], term("What is asked", source="ITI 23", at_least=1, at_most=50)
    ] = ()
    replies: Annotated[
        tuple[Reply, ...], term("Answers to questions", source="ITI 23", at_least=1, at_most=50)
    ] = ()
    supplied: Annotated[
        tuple[SuppliedElement, ...],
        term("What the request lacked", source="ITI 21", at_least=1, at_most=50),
    ] = ()
    items: Annotated[
        tuple[FirearmItemV2, ...],
        term(
            "Weapons of the request as they are described now, each whole",
            source="ITI 17(b) and 21",
            at_least=1,
            at_most=MAX_TRACED_ITEMS,
        ),
    ] = ()
    contact: Annotated[Contact | None, term("Who can be asked", source="ITI 25")] = None
    language: Annotated[
        Language, term("Language of the texts", source="Directive (EU) 2023/977", codes="BCP 47")
    ]
    external_refs: Annotated[
        tuple[ExternalRef, ...], term("The case in other systems", source="ITI 33-35", at_least=1, at_most=20)
    ] = ()

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        seeks = self.kind is ClarificationKind.SEEKS
        if bool(self.questions) != seeks:
            yield Broken("clarification_seeks", "/questions")
        if bool(self.replies or self.supplied or self.items) == seeks:
            yield Broken("clarification_gives")
        asked = tuple(question.question_ref for question in self.questions)
        yield from refs_unique(asked, "question_refs_differ", "questions")
        answered = tuple(reply.question_ref for reply in self.replies)
        yield from refs_unique(answered, "reply_refs_differ", "replies")
        described = tuple(item.item_ref for item in self.items)
        yield from refs_unique(described, "clarified_items_differ", "items")
