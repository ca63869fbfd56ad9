"""Own code lists about what happened: findings, offences, places, routes, disposal, destruction.

NOTE: values are wire format: never reuse, never rename.

Source: docs/spec/messages.md §7; the instruments each docstring names.
"""

from __future__ import annotations

from enum import StrEnum


class NoDateReason(StrEnum):
    """Why an event has no date: registers often lack one, or hold one that cannot be true.

    Own list: no instrument names these, but a date that is not known must be sent as not known.
    """

    NOT_RECORDED = "NOT_RECORDED"
    NOT_ESTABLISHED = "NOT_ESTABLISHED"
    RECORDED_IMPLAUSIBLE = "RECORDED_IMPLAUSIBLE"


class NoOffenceReason(StrEnum):
    """Why a confiscation names no offence. Own list, for the same reason as `NoDateReason`."""

    NOT_RECORDED = "NOT_RECORDED"
    UNDER_ASSESSMENT = "UNDER_ASSESSMENT"
    NO_OFFENCE = "NO_OFFENCE"


class IllicitBasis(StrEnum):
    """Why a weapon is illicit: the five tests of ITI 6, as INTERPOL iARMS uses them."""

    NATIONAL_LAW = "NATIONAL_LAW"
    UNSC_EMBARGO = "UNSC_EMBARGO"
    NOT_MARKED = "NOT_MARKED"
    UNLICENSED_MANUFACTURE = "UNLICENSED_MANUFACTURE"
    UNAUTHORISED_TRANSFER = "UNAUTHORISED_TRANSFER"


class FindingContext(StrEnum):
    """How a weapon came to hand (UNODC IAFQ; SDG 16.4.2 metadata)."""

    SEIZED = "SEIZED"
    FOUND = "FOUND"
    SURRENDERED = "SURRENDERED"
    CONFISCATED_BY_COURT = "CONFISCATED_BY_COURT"
    RECOVERED_LOST_STOLEN = "RECOVERED_LOST_STOLEN"


class ConfiscationAction(StrEnum):
    """What the authority did (UNODC IAFQ definitions)."""

    SEIZED = "SEIZED"
    FOUND = "FOUND"
    SURRENDERED = "SURRENDERED"
    CONFISCATED = "CONFISCATED"


class Offence(StrEnum):
    """Offence in whose context a weapon was found (Firearms Protocol 5; IAFQ legal context)."""

    ILLICIT_MANUFACTURE = "ILLICIT_MANUFACTURE"
    ILLICIT_TRAFFICKING = "ILLICIT_TRAFFICKING"
    MARK_TAMPERING = "MARK_TAMPERING"
    ILLEGAL_POSSESSION = "ILLEGAL_POSSESSION"
    VIOLENT_CRIME = "VIOLENT_CRIME"
    DRUGS = "DRUGS"
    ORGANISED_CRIME = "ORGANISED_CRIME"
    TERRORISM = "TERRORISM"
    SMUGGLING = "SMUGGLING"
    POACHING = "POACHING"
    OTHER = "OTHER"


class LocationType(StrEnum):
    """Kind of place (WCO CEN location types)."""

    AIRPORT = "AIRPORT"
    SEAPORT = "SEAPORT"
    LAND_BORDER = "LAND_BORDER"
    RAIL = "RAIL"
    INLAND_WATER = "INLAND_WATER"
    MAIL_CENTRE = "MAIL_CENTRE"
    EXPRESS_HUB = "EXPRESS_HUB"
    ROAD_INLAND = "ROAD_INLAND"
    PRIVATE_DWELLING = "PRIVATE_DWELLING"
    PUBLIC_PLACE = "PUBLIC_PLACE"
    WAREHOUSE = "WAREHOUSE"
    SEA = "SEA"
    ONLINE = "ONLINE"
    OTHER = "OTHER"


class Direction(StrEnum):
    """Which way goods were going (WCO CEN)."""

    IMPORT = "IMPORT"
    EXPORT = "EXPORT"
    TRANSIT = "TRANSIT"
    INTERNAL = "INTERNAL"


class DetectionMethod(StrEnum):
    """How goods were detected (WCO CEN)."""

    ROUTINE = "ROUTINE"
    RISK_PROFILE = "RISK_PROFILE"
    DOG = "DOG"
    XRAY = "XRAY"
    TIP_OFF = "TIP_OFF"
    INTELLIGENCE = "INTELLIGENCE"
    OTHER = "OTHER"


class Concealment(StrEnum):
    """Means of concealment (Firearms Protocol 12(2)(b); WCO CEN)."""

    NONE = "NONE"
    ON_PERSON = "ON_PERSON"
    LUGGAGE = "LUGGAGE"
    VEHICLE_STRUCTURE = "VEHICLE_STRUCTURE"
    VEHICLE_CARGO = "VEHICLE_CARGO"
    CONTAINER = "CONTAINER"
    FALSE_BOTTOM = "FALSE_BOTTOM"
    MIXED_IN_GOODS = "MIXED_IN_GOODS"
    DISASSEMBLED = "DISASSEMBLED"
    PARCEL = "PARCEL"
    VESSEL_STRUCTURE = "VESSEL_STRUCTURE"
    MISDECLARED = "MISDECLARED"
    OTHER = "OTHER"


class AcquisitionTechnique(StrEnum):
    """How a weapon left the licit world (ITI 4-6; ATT 11; SDG 16.4.2 point of diversion)."""

    STRAW_PURCHASE = "STRAW_PURCHASE"
    THEFT_STATE_STOCK = "THEFT_STATE_STOCK"
    THEFT_DEALER = "THEFT_DEALER"
    THEFT_PRIVATE = "THEFT_PRIVATE"
    DIVERSION_EXPORT = "DIVERSION_EXPORT"
    FALSE_EUC = "FALSE_EUC"
    UNRETURNED_TEMPORARY_EXPORT = "UNRETURNED_TEMPORARY_EXPORT"
    BATTLEFIELD = "BATTLEFIELD"
    REACTIVATION = "REACTIVATION"
    ALARM_CONVERSION = "ALARM_CONVERSION"
    ARTISANAL_MAKE = "ARTISANAL_MAKE"
    PARTS_KIT = "PARTS_KIT"
    ADDITIVE_MAKE = "ADDITIVE_MAKE"
    ONLINE_DARKNET = "ONLINE_DARKNET"
    CORRUPTION = "CORRUPTION"
    BROKER_UNLICENSED = "BROKER_UNLICENSED"
    SURRENDER_LEAK = "SURRENDER_LEAK"
    OTHER = "OTHER"


class Disposal(StrEnum):
    """What became, or is to become, of the items (ITI 9; Firearms Protocol 6)."""

    DESTROYED = "DESTROYED"
    RETURNED_TO_OWNER = "RETURNED_TO_OWNER"
    TRANSFERRED_TO_STATE_USE = "TRANSFERRED_TO_STATE_USE"
    RETAINED_EVIDENCE = "RETAINED_EVIDENCE"
    RETAINED_REFERENCE_COLLECTION = "RETAINED_REFERENCE_COLLECTION"
    SOLD_CIVILIAN = "SOLD_CIVILIAN"
    EXPORTED = "EXPORTED"
    STORED_PENDING = "STORED_PENDING"
    DEACTIVATED_MUSEUM = "DEACTIVATED_MUSEUM"


class TraceIntended(StrEnum):
    """Whether the items are to be traced (MOSAIC 05.31)."""

    YES = "YES"
    NO = "NO"
    DONE = "DONE"


class NoTraceReason(StrEnum):
    """Why items are not traced: the exceptions of MOSAIC 05.31, and the practical ones."""

    AMNESTY_COLLECTION = "AMNESTY_COLLECTION"
    MADE_BEFORE_1946 = "MADE_BEFORE_1946"
    DESTRUCTION_URGENT = "DESTRUCTION_URGENT"
    NEVER_MARKED = "NEVER_MARKED"
    OTHER = "OTHER"


class Sex(StrEnum):
    """As counted in statistics (WCO CEN); U is unknown."""

    F = "F"
    M = "M"
    X = "X"
    U = "U"


class DestructionOrigin(StrEnum):
    """Where destroyed weapons came from (PoA II.16-19)."""

    SEIZED = "SEIZED"
    SURPLUS = "SURPLUS"
    COLLECTION = "COLLECTION"
    OBSOLETE = "OBSOLETE"
    FOUND = "FOUND"


class DestructionMethod(StrEnum):
    """How weapons were destroyed (MOSAIC 05.50); DEEP_SEA is discouraged there."""

    CUTTING_OXY = "CUTTING_OXY"
    SHEARING = "SHEARING"
    CRUSHING = "CRUSHING"
    SHREDDING = "SHREDDING"
    SMELTING = "SMELTING"
    BURNING = "BURNING"
    EXPLOSIVE = "EXPLOSIVE"
    DEEP_SEA = "DEEP_SEA"
    OTHER = "OTHER"


class WitnessRole(StrEnum):
    """In what function a destruction was witnessed (MOSAIC 05.50)."""

    PROSECUTOR = "PROSECUTOR"
    JUDGE = "JUDGE"
    AUDITOR = "AUDITOR"
    OBSERVER = "OBSERVER"
    POLICE = "POLICE"
    MILITARY = "MILITARY"
    CIVIL_SOCIETY = "CIVIL_SOCIETY"
    OTHER = "OTHER"


class VerificationType(StrEnum):
    """How a destruction was verified."""

    ON_SITE = "ON_SITE"
    VIDEO = "VIDEO"
    CERTIFICATE = "CERTIFICATE"


class LossKind(StrEnum):
    """Kind of loss (INTERPOL iARMS, NCIC Gun File, SIS Regulation (EU) 2018/1862 art. 38)."""

    LOST = "LOST"
    STOLEN_THEFT = "STOLEN_THEFT"
    STOLEN_ROBBERY = "STOLEN_ROBBERY"
    TRAFFICKED = "TRAFFICKED"
    SMUGGLED = "SMUGGLED"
    MISAPPROPRIATED = "MISAPPROPRIATED"
    FELONY = "FELONY"


class RecordAction(StrEnum):
    """What is done to the record of a lost or stolen weapon (NCIC Gun File)."""

    ENTRY = "ENTRY"
    MODIFY = "MODIFY"
    LOCATE = "LOCATE"
    CLEAR_RECOVERED = "CLEAR_RECOVERED"
    CANCEL = "CANCEL"


class ActionIfFound(StrEnum):
    """What a finder is asked to do (SIS Regulation (EU) 2018/1862 art. 38)."""

    SEIZE = "SEIZE"
    REPORT_ONLY = "REPORT_ONLY"
    CONTACT_ORIGINATOR = "CONTACT_ORIGINATOR"


class AlertBasis(StrEnum):
    """What a trade-route alert rests on."""

    SEIZURE_SERIES = "SEIZURE_SERIES"
    TRACE_RESULTS = "TRACE_RESULTS"
    INVESTIGATION = "INVESTIGATION"
    OPEN_SOURCE = "OPEN_SOURCE"
    PARTNER = "PARTNER"


class SegmentStatus(StrEnum):
    """How sure a leg of a route is."""

    CONFIRMED = "CONFIRMED"
    SUSPECTED = "SUSPECTED"


class ActorType(StrEnum):
    """Who acts on a route (Firearms Protocol 12(2)(a)); never a private person."""

    GROUP = "GROUP"
    BROKER = "BROKER"
    CARRIER = "CARRIER"


class IndicatorKind(StrEnum):
    """By what a consignment may be recognised."""

    COMPANY = "COMPANY"
    PHONE_PREFIX = "PHONE_PREFIX"
    PARCEL_WEIGHT = "PARCEL_WEIGHT"
    HS_MISDECLARATION = "HS_MISDECLARATION"
    OTHER = "OTHER"


class RecommendedAction(StrEnum):
    """What recipients of an alert are asked to do."""

    CHECK = "CHECK"
    SEIZE = "SEIZE"
    REPORT = "REPORT"
    DO_NOT_ALERT = "DO_NOT_ALERT"
