"""Refusals of transfers: that others know of a denial before they grant what was denied.

What is told of a ground is its class and no more; of a person only what names it, and only where an authorisation was
refused to it.

Source: CFSP 2008/944; Delegated Regulations (EU) 2019/686 and 2021/1423; ATT 11; docs/spec/messages.md §7.16.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from countermark_protocol.codes.transfers import (
    RefusalClass,
    RefusalDecision,
    RefusalNoticeKind,
    RefusalRecordAction,
)
from countermark_protocol.codes.weapons import WeaponCategory
from countermark_protocol.messages.base import UNIQUE, Block, Broken, Message, term
from countermark_protocol.messages.blocks import Actor, Contact, Party
from countermark_protocol.messages.scalars import (
    Count,
    Country,
    Criterion,
    Day,
    HsCode,
    Language,
    Line,
    ListCode,
    MessageHash,
    Prose,
    Ref,
)


class RefusedGoods(Block):
    """One line of goods that were refused."""

    description: Annotated[Line, term("Description", source="CFSP 2008/944")]
    category: Annotated[
        WeaponCategory | None, term("Category", source="CFSP 2008/944", codes="WEAPON_CATEGORY")
    ] = None
    military_list: Annotated[
        ListCode | None, term("Entry of the Common Military List, e.g. ML1", source="CFSP 2008/944")
    ] = None
    hs_code: Annotated[HsCode | None, term("Customs heading", source="WCO HS", codes="HS chapter 93")] = None
    quantity: Annotated[Count | None, term("Quantity", source="CFSP 2008/944", unit="pieces")] = None


class TransferRefusalNotice(Message):
    """A State tells that it refused, withdrew or revoked an authorisation to transfer."""

    TYPE: ClassVar[str] = "transfer-refusal-notice"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        "denial_states_transfer": "an EXPORT_DENIAL states legalBasis, destination, endUser, goods and criteria",
        "refusal_names_subject": "an AUTHORISATION_REFUSAL names its subject; no other kind does",
        "refusal_previous": "previous stands with UPDATE and ANNUL, and only with these",
        "refusal_kept": "retentionUntil is after decisionDate, by ten years at most",
        "criteria_in_order": "criteria are ascending and differ",
    }

    refusal_ref: Annotated[Ref, term("The refusal's reference", source="CFSP 2008/944; 2021/1423")]
    action: Annotated[
        RefusalRecordAction,
        term("What is done to the record", source="2021/1423", codes="REFUSAL_RECORD_ACTION"),
    ]
    previous: Annotated[
        MessageHash | None, term("The notice that this updates or annuls", source="2021/1423")
    ] = None
    kind: Annotated[
        RefusalNoticeKind,
        term("What was refused", source="CFSP 2008/944; 2019/686; 2021/1423", codes="REFUSAL_NOTICE_KIND"),
    ]
    refusing_state: Annotated[
        Country, term("State that refused", source="CFSP 2008/944", codes="ISO 3166-1 alpha-2")
    ]
    authority: Annotated[Contact, term("Authority that decided", source="2021/1423")]
    decision_date: Annotated[Day, term("Day of the decision", source="2021/1423", unit="day")]
    decision_type: Annotated[
        RefusalDecision, term("Kind of decision", source="2021/1423", codes="REFUSAL_DECISION")
    ]
    reason_class: Annotated[
        RefusalClass, term("Class of the ground, and no more", source="2021/1423", codes="REFUSAL_CLASS")
    ]
    legal_basis: Annotated[Prose | None, term("Legal basis", source="CFSP 2008/944")] = None
    criteria: Annotated[
        tuple[Criterion, ...],
        term("Criteria of the Common Position", source="CFSP 2008/944 art. 2", at_least=1, at_most=8),
        UNIQUE,
    ] = ()
    subject: Annotated[
        Party | None,
        term("Who was refused; personal data, to licensing authorities alone", source="2021/1423"),
    ] = None
    destination: Annotated[
        Country | None, term("Country of destination", source="CFSP 2008/944", codes="ISO 3166-1 alpha-2")
    ] = None
    end_user: Annotated[Actor | None, term("End user", source="CFSP 2008/944")] = None
    end_use: Annotated[Prose | None, term("End use as stated", source="CFSP 2008/944")] = None
    goods: Annotated[
        tuple[RefusedGoods, ...], term("Goods", source="CFSP 2008/944", at_least=1, at_most=100)
    ] = ()
    valid_years: Annotated[
        int, term("For how long others consult", source="CFSP 2008/944 art. 4", unit="years", low=1, high=10)
    ]
    consult_before_similar: Annotated[
        bool,
        term(
            "Whether to consult before granting what is essentially identical", source="CFSP 2008/944 art. 4"
        ),
    ]
    retention_until: Annotated[
        Day, term("Day until which recipients may keep it", source="2021/1423", unit="day")
    ]
    language: Annotated[
        Language | None, term("Language of the texts", source="Directive (EU) 2023/977", codes="BCP 47")
    ] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.kind is RefusalNoticeKind.EXPORT_DENIAL:
            stated = (self.legal_basis, self.destination, self.end_user)
            if any(one is None for one in stated) or not self.goods or not self.criteria:
                yield Broken("denial_states_transfer")
        if (self.kind is RefusalNoticeKind.AUTHORISATION_REFUSAL) != (self.subject is not None):
            yield Broken("refusal_names_subject", "/subject")
        if (self.action is RefusalRecordAction.ENTRY) == (self.previous is not None):
            yield Broken("refusal_previous", "/previous")
        # Ten years, with the leap days that they can have.
        if not 0 < (self.retention_until - self.decision_date).days <= 10 * 365 + 3:
            yield Broken("refusal_kept", "/retentionUntil")
        if list(self.criteria) != sorted(self.criteria):
            yield Broken("criteria_in_order", "/criteria")
