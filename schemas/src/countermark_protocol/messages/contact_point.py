"""Contact points: whom a State designates for what, and when somebody is there.

Source: ITI 25 and 31(a); PoA II.5; Firearms Protocol 13(2); UNTOC 18(13); docs/spec/messages.md §7.9.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from countermark_protocol.codes.transfers import ContactPointAction, ContactPointKind, Weekday
from countermark_protocol.codes.weapons import PublicLevel
from countermark_protocol.messages.base import UNIQUE, Block, Broken, Message, term
from countermark_protocol.messages.scalars import (
    Country,
    Day,
    Email,
    EndpointRef,
    Language,
    Line,
    MessageHash,
    Phone,
    Prose,
    TimeOfDay,
    TimeZone,
    WebAddress,
)


class OpeningHours(Block):
    """When somebody is there, by the clock of the contact point's time zone."""

    RULES: ClassVar[Mapping[str, str]] = {
        "hours_forward": "closes is after opens",
    }

    days: Annotated[
        tuple[Weekday, ...],
        term("Days of the week", source="ITI 25", codes="WEEKDAY", at_least=1, at_most=7),
        UNIQUE,
    ]
    opens: Annotated[TimeOfDay, term("Opens", source="ITI 25", unit="local time")]
    closes: Annotated[TimeOfDay, term("Closes", source="ITI 25", unit="local time")]

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.closes <= self.opens:
            yield Broken("hours_forward", "/closes")


class PointOfContact(Block):
    """How a contact point is reached; an office and its function rather than a person."""

    RULES: ClassVar[Mapping[str, str]] = {
        "point_reachable": "a contact point has an endpoint, a telephone or an e-mail address",
    }

    agency: Annotated[Line, term("Agency", source="ITI 25; PoA report 1")]
    unit: Annotated[Line | None, term("Unit within the agency", source="PoA report 1")] = None
    function: Annotated[Line | None, term("Function of who answers", source="PoA report 1")] = None
    address: Annotated[Prose | None, term("Postal address", source="PoA report 1")] = None
    phone: Annotated[Phone | None, term("Telephone", source="PoA report 1")] = None
    duty_phone: Annotated[Phone | None, term("Telephone out of hours", source="UNTOC 18(13)")] = None
    email: Annotated[Email | None, term("E-mail", source="PoA report 1")] = None
    web: Annotated[WebAddress | None, term("Web page", source="PoA report 1")] = None
    endpoint: Annotated[EndpointRef | None, term("Its endpoint in this log", source="ITI 25")] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.endpoint is None and self.phone is None and self.email is None:
            yield Broken("point_reachable")


class ContactPointNotice(Message):
    """A State tells whom it designates as a point of contact, for what, and since when (ITI 25 and 31(a))."""

    TYPE: ClassVar[str] = "contact-point-notice"
    VERSION: ClassVar[int] = 1
    RULES: ClassVar[Mapping[str, str]] = {
        "point_forward": "validUntil is not before validFrom",
        "point_ends": "END states validUntil",
        "point_changes": "replaces stands with CHANGE and END, and only with these",
    }

    country: Annotated[Country, term("State", source="ITI 25", codes="ISO 3166-1 alpha-2")]
    action: Annotated[
        ContactPointAction, term("What the notice says", source="ITI 31(a)", codes="CONTACT_POINT_ACTION")
    ]
    kinds: Annotated[
        tuple[ContactPointKind, ...],
        term(
            "What it is for",
            source="ITI 25; PoA II.5; FP 13(2); UNTOC 18(13)",
            codes="CONTACT_POINT_KIND",
            at_least=1,
            at_most=7,
        ),
        UNIQUE,
    ]
    contact: Annotated[PointOfContact, term("How it is reached", source="ITI 25; PoA report 1")]
    languages: Annotated[
        tuple[Language, ...],
        term(
            "Languages in which it answers",
            source="Directive (EU) 2023/977",
            codes="BCP 47",
            at_least=1,
            at_most=10,
        ),
        UNIQUE,
    ]
    time_zone: Annotated[TimeZone, term("Its time zone", source="ITI 25", codes="IANA time zones")]
    hours: Annotated[
        tuple[OpeningHours, ...],
        term("When somebody is there; absent: not said", source="ITI 25", at_least=1, at_most=14),
    ] = ()
    competences: Annotated[Prose | None, term("What it can and cannot do", source="ITI 25")] = None
    valid_from: Annotated[Day, term("First day", source="ITI 31(a)", unit="day")]
    valid_until: Annotated[Day | None, term("Last day; absent: no end", source="ITI 31(a)", unit="day")] = (
        None
    )
    replaces: Annotated[
        MessageHash | None, term("The notice that this changes or ends", source="ITI 31(a)")
    ] = None
    public_level: Annotated[
        PublicLevel, term("How widely it may be shown", source="TLP 2.0", codes="PUBLIC_LEVEL")
    ]

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.valid_until is not None and self.valid_until < self.valid_from:
            yield Broken("point_forward", "/validUntil")
        if self.action is ContactPointAction.END and self.valid_until is None:
            yield Broken("point_ends", "/validUntil")
        if (self.action is ContactPointAction.DESIGNATE) == (self.replaces is not None):
            yield Broken("point_changes", "/replaces")
