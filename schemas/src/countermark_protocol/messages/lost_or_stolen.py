"""Loss and theft: weapons to look out for, and the end of looking out.

Source: INTERPOL iARMS; NCIC Gun File; SIS Regulation (EU) 2018/1862 art. 38; docs/spec/messages.md §7.7.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from countermark_protocol.codes.events import ActionIfFound, LossKind, RecordAction
from countermark_protocol.codes.weapons import OwnerCategory
from countermark_protocol.messages.base import Block, Broken, Message, term
from countermark_protocol.messages.blocks import Contact, Dated, ExternalRef, Place
from countermark_protocol.messages.scalars import Day, Instant, Language, Prose, Ref
from countermark_protocol.messages.weapon import ITEM_RULES, FirearmItem, check_items


class LossPeriod(Block):
    """Between when the weapon was last seen and when it was missed."""

    RULES: ClassVar[Mapping[str, str]] = {
        "period_forward": "to is not before from",
    }

    from_: Annotated[Instant, term("Last seen", source="NCIC DOT", unit="instant, UTC", name="from")]
    to: Annotated[Instant, term("Found missing", source="NCIC DOT", unit="instant, UTC")]

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.to < self.from_:
            yield Broken("period_forward", "/to")


class LossEvent(Dated):
    """When and where it went missing."""

    RULES: ClassVar[Mapping[str, str]] = {
        **Dated.RULES,
        "date_or_reason": "exactly one of date, period and noDateReason stands",
    }

    period: Annotated[LossPeriod | None, term("Time within which it happened", source="NCIC DOT")] = None
    place: Annotated[Place, term("Place", source="INTERPOL iARMS")]
    place_as_recorded: Annotated[
        Prose | None, term("Kind of place, as the register has it", source="own")
    ] = None
    reported_at: Annotated[
        Instant | None, term("When it was reported", source="INTERPOL iARMS", unit="instant, UTC")
    ] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        stated = [self.date, self.period, self.no_date_reason]
        if sum(each is not None for each in stated) != 1:
            yield Broken("date_or_reason")
        yield from (each for each in super().check() if each.rule != "date_or_reason")


class LostOrStolenNotice(Message):
    """Weapons were lost or stolen, or a record of such is changed or cleared."""

    TYPE: ClassVar[str] = "lost-or-stolen-notice"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        **ITEM_RULES,
        "cleared_by": "recoveredRef stands with CLEAR_RECOVERED, and only with it",
    }

    record_kind: Annotated[LossKind, term("Kind of loss", source="iARMS; NCIC; SIS 38", codes="LOSS_KIND")]
    action: Annotated[RecordAction, term("What is done to the record", source="NCIC", codes="RECORD_ACTION")]
    event: Annotated[LossEvent, term("The loss", source="NCIC DOT; iARMS")]
    items: Annotated[
        tuple[FirearmItem, ...], term("The weapons", source="NCIC; iARMS", at_least=1, at_most=500)
    ]
    owner_category: Annotated[
        OwnerCategory, term("Class of owner", source="INTERPOL iARMS; UNODC", codes="OWNER_CATEGORY")
    ]
    owner_ref: Annotated[
        Ref | None,
        term("The owner's reference: dealer's licence or State stock, never a person", source="iARMS"),
    ] = None
    national_case_ref: Annotated[Ref, term("National case", source="NCIC OCA")]
    action_if_found: Annotated[
        ActionIfFound, term("What a finder is asked to do", source="SIS 38", codes="ACTION_IF_FOUND")
    ]
    review_on: Annotated[
        Day, term("Day on which the record is looked at again", source="INTERPOL RPD 49-50", unit="day")
    ]
    recovered_ref: Annotated[Ref | None, term("Notice or case of the recovery", source="NCIC")] = None
    contact: Annotated[Contact | None, term("Who can be asked", source="ITI 25")] = None
    remarks: Annotated[Prose | None, term("Other relevant information", source="INTERPOL iARMS")] = None
    language: Annotated[
        Language | None, term("Language of the texts", source="Directive (EU) 2023/977", codes="BCP 47")
    ] = None
    external_refs: Annotated[
        tuple[ExternalRef, ...], term("The case in other systems", source="ITI 33-35", at_least=1, at_most=20)
    ] = ()

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        year = None
        if self.event.date is not None:
            year = self.event.date.year
        elif self.event.period is not None:
            year = self.event.period.to.year
        yield from check_items(self.items, year)
        if (self.action is RecordAction.CLEAR_RECOVERED) != (self.recovered_ref is not None):
            yield Broken("cleared_by", "/recoveredRef")
