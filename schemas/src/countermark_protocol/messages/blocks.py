"""Blocks that messages share: places, contacts, parties, evaluation, restrictions on use.

Source: docs/spec/messages.md §7.2.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from countermark_protocol.codes.events import LocationType, NoDateReason
from countermark_protocol.codes.tracing import (
    ExternalSystem,
    InformationAccuracy,
    PartyRole,
    PersonCategory,
    SourceReliability,
)
from countermark_protocol.handling import HandlingCode, Tlp, UsePurpose
from countermark_protocol.messages.base import UNIQUE, Block, Broken, term
from countermark_protocol.messages.scalars import (
    AuthorityRef,
    Country,
    Day,
    Email,
    Language,
    Latitude,
    Line,
    Longitude,
    Phone,
    Prose,
    Ref,
    Subdivision,
    Unlocode,
)


class Place(Block):
    """A place, as exactly as it may be told."""

    RULES: ClassVar[Mapping[str, str]] = {
        "place_subdivision": "the subdivision belongs to the country",
        "place_unlocode": "the UN/LOCODE belongs to the country, or to international waters (XZ)",
        "place_position": "latitude and longitude stand together or not at all",
    }

    country: Annotated[Country, term("Country", source="ITI 17(a); FP 12(2)(c)", codes="ISO 3166-1 alpha-2")]
    subdivision: Annotated[
        Subdivision | None, term("Subdivision of the country", source="WCO CEN", codes="ISO 3166-2")
    ] = None
    unlocode: Annotated[
        Unlocode | None, term("Port, airport or town", source="WCO CEN", codes="UN/LOCODE")
    ] = None
    name: Annotated[Line | None, term("Name of the place, as recorded", source="ATF 3312.1 VIII")] = None
    lat: Annotated[Latitude | None, term("Latitude", source="WCO CEN", unit="degrees")] = None
    lon: Annotated[Longitude | None, term("Longitude", source="WCO CEN", unit="degrees")] = None
    location_type: Annotated[
        LocationType | None, term("Kind of place", source="WCO CEN", codes="LOCATION_TYPE")
    ] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.subdivision is not None and self.subdivision[:2] != self.country:
            yield Broken("place_subdivision", "/subdivision")
        if self.unlocode is not None and self.unlocode[:2] not in {self.country, "XZ"}:
            yield Broken("place_unlocode", "/unlocode")
        if (self.lat is None) != (self.lon is None):
            yield Broken("place_position")


class Contact(Block):
    """Who can be reached about the message; duty posts rather than persons where possible."""

    agency: Annotated[Line, term("Agency", source="ITI 25 and 31; PoA report 1")]
    unit: Annotated[Line | None, term("Unit within the agency", source="ATF 3312.1 III")] = None
    name: Annotated[Line | None, term("Officer's name or function", source="ATF 3312.1 III")] = None
    phone: Annotated[Phone | None, term("Telephone", source="ATF 3312.1 III; PoA report 1")] = None
    email: Annotated[Email | None, term("E-mail", source="PoA report 1")] = None
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
    ] = ()


class Actor(Block):
    """A party to a transfer: a firm or an authority, never a private person."""

    RULES: ClassVar[Mapping[str, str]] = {
        "actor_identified": "an actor has an organisation, a country or a place",
    }

    role: Annotated[PartyRole, term("What it does", source="FP 12(1) and 15", codes="PARTY_ROLE")]
    organisation: Annotated[Line | None, term("Name of the firm or authority", source="FP 12(1)")] = None
    country: Annotated[Country | None, term("Country", source="FP 12(1)", codes="ISO 3166-1 alpha-2")] = None
    place: Annotated[Place | None, term("Where it acts", source="FP 15; ATF 3312.1")] = None
    licence_no: Annotated[Ref | None, term("Its licence", source="FP 12(1) and 15")] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.organisation is None and self.country is None and self.place is None:
            yield Broken("actor_identified")


class Party(Block):
    """A party that may be a person: personal data, which exists only here, inside sealed content."""

    RULES: ClassVar[Mapping[str, str]] = {
        "party_identified": "a party has an organisation or a name",
        "party_person_category": "personal data states in what quality the person is named; a witness never is",
    }

    role: Annotated[PartyRole, term("What it does", source="FP 12(1); ATF 3312.1 VI", codes="PARTY_ROLE")]
    person_category: Annotated[
        PersonCategory | None,
        term("In what quality a person is named", source="INTERPOL RPD", codes="PERSON_CATEGORY"),
    ] = None
    organisation: Annotated[Line | None, term("Name of the firm or authority", source="FP 12(1)")] = None
    name: Annotated[Line | None, term("Person's name", source="ATF 3312.1 VI")] = None
    date_of_birth: Annotated[
        Day | None, term("Person's date of birth", source="ATF 3312.1 VI", unit="day")
    ] = None
    identity_document: Annotated[
        Line | None, term("Person's identity document, kind and number", source="ATF 3312.1 VI")
    ] = None
    address: Annotated[Prose | None, term("Person's address", source="ATF 3312.1 VI")] = None
    country: Annotated[
        Country | None, term("Country or nationality", source="ATF 3312.1 VI", codes="ISO 3166-1 alpha-2")
    ] = None
    licence_no: Annotated[Ref | None, term("Its licence", source="FP 12(1) and 15")] = None

    @property
    def is_personal(self) -> bool:
        """Whether it holds personal data."""
        personal = (self.name, self.date_of_birth, self.identity_document, self.address)
        return any(value is not None for value in personal)

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if self.organisation is None and self.name is None:
            yield Broken("party_identified")
        if self.is_personal and self.person_category is None:
            yield Broken("party_person_category", "/personCategory")


class Evaluation(Block):
    """4x4 evaluation of source and information."""

    source: Annotated[
        SourceReliability,
        term("Reliability of the source", source="EU Manual 6261/18", codes="EVALUATION A/B/C/X"),
    ]
    information: Annotated[
        InformationAccuracy,
        term("Accuracy of the information", source="EU Manual 6261/18", codes="EVALUATION 1-4"),
    ]


class UseRestrictions(Block):
    """What the recipient may do with the information (ITI 15)."""

    RULES: ClassVar[Mapping[str, str]] = {
        "handling_h0_alone": "handling code H0 stands alone",
        "handling_h3_text": "h3Text stands with handling code H3, and only with it",
        "handling_clear": "TLP:CLEAR carries no handling code H1, H2 or H3",
    }

    tlp: Annotated[Tlp, term("Who may see it", source="TLP 2.0", codes="TLP 2.0")]
    handling_codes: Annotated[
        tuple[HandlingCode, ...],
        term("Handling codes", source="EU Manual 6261/18 (SIENA)", codes="H0-H3", at_least=1, at_most=4),
        UNIQUE,
    ] = ()
    h3_text: Annotated[
        Prose | None, term("The restrictions that H3 stands for", source="EU Manual 6261/18")
    ] = None
    releasable_to: Annotated[
        tuple[AuthorityRef, ...],
        term(
            "Authorities that may receive it; absent: no such limit", source="ITI 15", at_least=1, at_most=300
        ),
        UNIQUE,
    ] = ()
    originator_controlled: Annotated[
        bool, term("Whether onward release needs the originator's consent", source="ITI 15")
    ]
    caveats: Annotated[
        tuple[Line, ...], term("Caveats in words", source="ITI 15; FP 12(5)", at_least=1, at_most=20)
    ] = ()
    purpose: Annotated[
        UsePurpose | None, term("What it may be used for", source="ITI 15 and 17(c)", codes="PURPOSE")
    ] = None
    retention_until: Annotated[
        Day | None, term("Day until which it may be kept", source="INTERPOL RPD 49-50", unit="day")
    ] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        codes = set(self.handling_codes)
        if HandlingCode.H0 in codes and len(codes) > 1:
            yield Broken("handling_h0_alone", "/handlingCodes")
        if (HandlingCode.H3 in codes) != (self.h3_text is not None):
            yield Broken("handling_h3_text", "/h3Text")
        if self.tlp is Tlp.CLEAR and codes - {HandlingCode.H0}:
            yield Broken("handling_clear", "/handlingCodes")


class ExternalRef(Block):
    """The reference under which another system knows the case."""

    system: Annotated[
        ExternalSystem,
        term("System", source="ITI 33-35 (INTERPOL); iARMS, SIENA, SIS", codes="EXTERNAL_SYSTEM"),
    ]
    ref: Annotated[Ref, term("Its reference", source="ITI 33-35")]


class Dated(Block):
    """Something that happened on a day, or whose day is not known and says so."""

    RULES: ClassVar[Mapping[str, str]] = {
        "date_or_reason": "either date or noDateReason stands, not both",
        "date_as_recorded": "dateAsRecorded stands only with noDateReason RECORDED_IMPLAUSIBLE, and then must",
    }

    date: Annotated[Day | None, term("Day on which it happened", source="ITI 17(a); WCO CEN", unit="day")] = (
        None
    )
    no_date_reason: Annotated[
        NoDateReason | None, term("Why there is no date", source="own", codes="NO_DATE_REASON")
    ] = None
    date_as_recorded: Annotated[
        Line | None, term("The date as the register has it, though it cannot be true", source="own")
    ] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if (self.date is None) == (self.no_date_reason is None):
            yield Broken("date_or_reason")
        if (self.no_date_reason is NoDateReason.RECORDED_IMPLAUSIBLE) != (self.date_as_recorded is not None):
            yield Broken("date_as_recorded", "/dateAsRecorded")
