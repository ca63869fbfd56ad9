"""Verification of transfer licences: is this document what it looks like, and does it cover these goods?

Source: Firearms Protocol 7, 10 and 12(1); Directive (EU) 2021/555; docs/spec/messages.md §7.15.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from countermark_protocol.codes.tracing import RefusalReason
from countermark_protocol.codes.transfers import (
    Authenticity,
    CheckReason,
    FieldMatch,
    LicenceAdvice,
    LicenceDocument,
)
from countermark_protocol.codes.weapons import WeaponCategory
from countermark_protocol.messages.base import UNIQUE, Block, Broken, Message, refs_unique, term
from countermark_protocol.messages.blocks import Actor, Contact, ExternalRef, Place, UseRestrictions
from countermark_protocol.messages.scalars import (
    Count,
    Country,
    Day,
    HsCode,
    Instant,
    Language,
    Line,
    MarkText,
    MessageRef,
    Pointer,
    Prose,
    Ref,
)
from countermark_protocol.messages.weapon import Calibre, Make, Model
from countermark_protocol.messages.weapon_v2 import Photograph


class LicensedGoods(Block):
    """One line of goods, as the document states it."""

    line_ref: Annotated[Ref, term("Its reference within the message", source="FP 10(3)")]
    description: Annotated[Line, term("Description, as written", source="FP 10(3)")]
    category: Annotated[WeaponCategory | None, term("Category", source="FP 7", codes="WEAPON_CATEGORY")] = (
        None
    )
    make: Annotated[Make | None, term("Make", source="FP 7")] = None
    model: Annotated[Model | None, term("Model", source="FP 7")] = None
    calibre: Annotated[Calibre | None, term("Calibre", source="FP 7")] = None
    quantity: Annotated[Count, term("Quantity", source="FP 10(3)", unit="pieces")]
    hs_code: Annotated[HsCode | None, term("Customs heading", source="WCO HS", codes="HS chapter 93")] = None
    listed_serials: Annotated[
        tuple[MarkText, ...],
        term("Serial numbers that it lists, verbatim", source="FP 7", at_least=1, at_most=500),
        UNIQUE,
    ] = ()


class PresentedLicence(Block):
    """What the document says, as it was presented."""

    RULES: ClassVar[Mapping[str, str]] = {
        "licence_dates": "expiryDate is not before issueDate",
        "licence_lines_differ": "every lineRef is another",
    }

    document_kind: Annotated[
        LicenceDocument, term("Kind of document", source="FP 10; EU 2021/555", codes="LICENCE_DOCUMENT")
    ]
    document_number: Annotated[Ref, term("Its number", source="FP 10(3)")]
    issuing_authority: Annotated[Line, term("Who issued it", source="FP 10(3)")]
    issue_country: Annotated[Country, term("Country of issue", source="FP 10(3)", codes="ISO 3166-1 alpha-2")]
    issue_place: Annotated[Line | None, term("Place of issue", source="FP 10(3)")] = None
    issue_date: Annotated[Day, term("Date of issue", source="FP 10(3)", unit="day")]
    expiry_date: Annotated[Day, term("Date of expiry", source="FP 10(3)", unit="day")]
    export_country: Annotated[
        Country, term("Country of export", source="FP 10(3)", codes="ISO 3166-1 alpha-2")
    ]
    import_country: Annotated[
        Country, term("Country of import", source="FP 10(3)", codes="ISO 3166-1 alpha-2")
    ]
    transit_countries: Annotated[
        tuple[Country, ...],
        term(
            "Countries of transit, in order",
            source="FP 10(3)",
            codes="ISO 3166-1 alpha-2",
            at_least=1,
            at_most=20,
        ),
    ] = ()
    exporter: Annotated[Actor, term("Exporter", source="FP 7 and 12(1)")]
    importer: Annotated[Actor, term("Importer", source="FP 7 and 12(1)")]
    final_recipient: Annotated[Actor | None, term("Final recipient", source="FP 10(3)")] = None
    broker: Annotated[Actor | None, term("Broker", source="FP 15")] = None
    carrier: Annotated[Actor | None, term("Carrier", source="FP 12(1)")] = None
    goods: Annotated[tuple[LicensedGoods, ...], term("Goods", source="FP 10(3)", at_least=1, at_most=200)]
    images: Annotated[
        tuple[Photograph, ...], term("Images of the document", source="FP 10(5)", at_least=1, at_most=20)
    ] = ()

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.expiry_date < self.issue_date:
            yield Broken("licence_dates", "/expiryDate")
        lines = tuple(each.line_ref for each in self.goods)
        yield from refs_unique(lines, "licence_lines_differ", "goods")


class BorderStop(Block):
    """Goods that wait at a border for the answer."""

    place: Annotated[Place, term("Where", source="WCO CEN")]
    stopped_at: Annotated[Instant, term("Since when", source="WCO CEN", unit="instant, UTC")]
    held_until: Annotated[
        Instant | None, term("Until when the law lets them be held", source="WCO CEN", unit="instant, UTC")
    ] = None
    transport_document: Annotated[Ref | None, term("Transport document", source="WCO CEN")] = None


class LicenceVerificationRequest(Message):
    """A State asks the one that issued a transfer document whether it is authentic and what it covers (FP 10)."""

    TYPE: ClassVar[str] = "licence-verification-request"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        "border_stop": "borderStop stands with reasonForCheck BORDER_STOP, and only with it",
    }

    request_ref: Annotated[Ref, term("The requester's case", source="FP 10(5)")]
    reason_for_check: Annotated[
        CheckReason, term("Why it is checked", source="FP 10(5)", codes="CHECK_REASON")
    ]
    border_stop: Annotated[BorderStop | None, term("Goods that wait", source="WCO CEN")] = None
    licence: Annotated[PresentedLicence, term("The document as presented", source="FP 10")]
    doubts: Annotated[Prose | None, term("What is doubted, in words", source="FP 10(5)")] = None
    contact: Annotated[Contact, term("Who asks", source="FP 13(2)")]
    language: Annotated[
        Language, term("Language of the texts", source="Directive (EU) 2023/977", codes="BCP 47")
    ]
    external_refs: Annotated[
        tuple[ExternalRef, ...], term("The case in other systems", source="ITI 33-35", at_least=1, at_most=20)
    ] = ()

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if (self.reason_for_check is CheckReason.BORDER_STOP) != (self.border_stop is not None):
            yield Broken("border_stop", "/borderStop")


class LicenceFieldMatch(Block):
    """One member of the document against the register."""

    field: Annotated[Pointer, term("Which member of the request's licence", source="FP 10(5)")]
    result: Annotated[FieldMatch, term("Whether they agree", source="FP 10(5)", codes="FIELD_MATCH")]
    registered: Annotated[Line | None, term("What the register holds", source="FP 10(5)")] = None


class DeliveryConfirmed(Block):
    """That goods arrived (Firearms Protocol 10(4))."""

    date: Annotated[Day, term("Day of arrival", source="FP 10(4)", unit="day")]
    quantity: Annotated[Count, term("How many arrived", source="FP 10(4)", unit="pieces")]


class LicenceVerificationResponse(Message):
    """The issuing State says whether a transfer document is authentic, and what its register holds (FP 10)."""

    TYPE: ClassVar[str] = "licence-verification-response"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        "cannot_verify_why": "CANNOT_VERIFY says why, by refusalReasons or explanation; the first stands only with it",
        "refusal_in_words": "refusalReasons stand with an explanation",
        "release_only_if_clean": "RELEASE is advised only of an AUTHENTIC document without a DIFFERENT member",
        "match_fields_differ": "a member is compared once",
    }

    request_id: Annotated[MessageRef, term("The request that is answered", source="FP 10(5)")]
    local_ref: Annotated[Ref | None, term("The issuing State's case", source="FP 10(5)")] = None
    checked_at: Annotated[
        Instant, term("When the register was looked at", source="FP 10(5)", unit="instant, UTC")
    ]
    register_: Annotated[Line, term("Which register", source="FP 7", name="register")]
    authenticity: Annotated[
        Authenticity, term("What the document is", source="FP 10(5)", codes="AUTHENTICITY")
    ]
    matches: Annotated[
        tuple[LicenceFieldMatch, ...],
        term("Members compared", source="FP 10(5)", at_least=1, at_most=100),
    ] = ()
    quantity_remaining: Annotated[
        int | None,
        term("What is left of the licensed quantity", source="FP 7", unit="pieces", low=0, high=10_000_000),
    ] = None
    delivery_confirmed: Annotated[DeliveryConfirmed | None, term("Delivery", source="FP 10(4)")] = None
    refusal_reasons: Annotated[
        tuple[RefusalReason, ...],
        term(
            "Grounds on which nothing is said", source="ITI 22", codes="REFUSAL_REASON", at_least=1, at_most=4
        ),
        UNIQUE,
    ] = ()
    explanation: Annotated[Prose | None, term("Explanation in words", source="ITI 23")] = None
    advice: Annotated[
        LicenceAdvice | None, term("What is advised", source="FP 10(5)", codes="LICENCE_ADVICE")
    ] = None
    use_restrictions: Annotated[UseRestrictions, term("How the answer may be used", source="FP 12(5)")]
    contact: Annotated[Contact, term("Who answers", source="FP 13(2)")]
    language: Annotated[
        Language | None, term("Language of the texts", source="Directive (EU) 2023/977", codes="BCP 47")
    ] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        unable = self.authenticity is Authenticity.CANNOT_VERIFY
        said_why = bool(self.refusal_reasons) or self.explanation is not None
        if (unable and not said_why) or (self.refusal_reasons and not unable):
            yield Broken("cannot_verify_why", "/refusalReasons")
        if self.refusal_reasons and self.explanation is None:
            yield Broken("refusal_in_words", "/explanation")
        clean = self.authenticity is Authenticity.AUTHENTIC and not any(
            each.result is FieldMatch.DIFFERENT for each in self.matches
        )
        if self.advice is LicenceAdvice.RELEASE and not clean:
            yield Broken("release_only_if_clean", "/advice")
        fields = tuple(each.field for each in self.matches)
        yield from refs_unique(fields, "match_fields_differ", "matches")
