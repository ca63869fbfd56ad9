"""Own code lists about weapons and their marks.

NOTE: values are wire format: never reuse, never rename. Where a list extends the domain page, the docstring
says why. The lists of others (ISO, NCIC, HS, UN/ECE) are data files, read by `countermark_protocol.codes.tables`.

Source: docs/spec/messages.md §7; the instruments each docstring names.
"""

from __future__ import annotations

from enum import StrEnum


class WeaponCategory(StrEnum):
    """What kind of weapon it is (ITI 4; IAFQ arm types); maps to NCIC GTYP, GTYP2 and GTYP3."""

    PISTOL = "PISTOL"
    REVOLVER = "REVOLVER"
    RIFLE = "RIFLE"
    CARBINE = "CARBINE"
    ASSAULT_RIFLE = "ASSAULT_RIFLE"
    SHOTGUN = "SHOTGUN"
    COMBINATION = "COMBINATION"
    SUBMACHINE_GUN = "SUBMACHINE_GUN"
    LIGHT_MACHINE_GUN = "LIGHT_MACHINE_GUN"
    HEAVY_MACHINE_GUN = "HEAVY_MACHINE_GUN"
    GRENADE_LAUNCHER = "GRENADE_LAUNCHER"
    RECOILLESS = "RECOILLESS"
    RPG_LAUNCHER = "RPG_LAUNCHER"
    MANPADS = "MANPADS"
    MORTAR_LT100 = "MORTAR_LT100"
    SIGNAL_GAS_ALARM = "SIGNAL_GAS_ALARM"
    AIR_GUN = "AIR_GUN"
    OTHER = "OTHER"
    UNKNOWN = "UNKNOWN"


class OriginForm(StrEnum):
    """How the weapon came to be what it is (IAFQ make-up)."""

    FACTORY = "FACTORY"
    ARTISANAL = "ARTISANAL"
    CONVERTED = "CONVERTED"
    REACTIVATED = "REACTIVATED"
    DEACTIVATED = "DEACTIVATED"
    MODIFIED = "MODIFIED"
    PARTS_BUILD = "PARTS_BUILD"
    ADDITIVE_3D = "ADDITIVE_3D"
    UNKNOWN = "UNKNOWN"


class Component(StrEnum):
    """The part that bears a mark (ITI 10; Firearms Protocol 3(b)); frame or receiver is the reference.

    UNKNOWN is added to the domain page's list: national registers often hold a serial without its place,
    and what is unknown is sent as unknown.
    """

    FRAME = "FRAME"
    RECEIVER = "RECEIVER"
    SLIDE = "SLIDE"
    BARREL = "BARREL"
    BOLT = "BOLT"
    BREECH = "BREECH"
    CYLINDER = "CYLINDER"
    STOCK = "STOCK"
    GRIP = "GRIP"
    MAGAZINE = "MAGAZINE"
    SILENCER = "SILENCER"
    OTHER = "OTHER"
    UNKNOWN = "UNKNOWN"


class MarkKind(StrEnum):
    """What a mark says (ITI 7-8; MOSAIC 05.30)."""

    MANUFACTURER = "MANUFACTURER"
    SERIAL = "SERIAL"
    MODEL = "MODEL"
    CALIBRE = "CALIBRE"
    YEAR = "YEAR"
    COUNTRY_OF_MANUFACTURE = "COUNTRY_OF_MANUFACTURE"
    IMPORT = "IMPORT"
    STOCK_TRANSFER = "STOCK_TRANSFER"
    PROOF = "PROOF"
    SECURITY = "SECURITY"
    ARSENAL_CREST = "ARSENAL_CREST"
    DESTRUCTION = "DESTRUCTION"
    MARKED_BY_STATE_ON_SEIZURE = "MARKED_BY_STATE_ON_SEIZURE"
    OTHER = "OTHER"


class MarkStatus(StrEnum):
    """In what state a mark was found (ITI 7; IAFQ mark states)."""

    LEGIBLE = "LEGIBLE"
    PARTIAL = "PARTIAL"
    RESTORED = "RESTORED"
    OBLITERATED = "OBLITERATED"
    ALTERED = "ALTERED"
    NEVER_MARKED = "NEVER_MARKED"
    NOT_EXAMINED = "NOT_EXAMINED"
    NOT_RECORDED = "NOT_RECORDED"


class NoMarksReason(StrEnum):
    """Why an item lists no marks at all; the states of `MarkStatus` that leave nothing to list."""

    NEVER_MARKED = "NEVER_MARKED"
    NOT_EXAMINED = "NOT_EXAMINED"
    NOT_RECORDED = "NOT_RECORDED"


class MarkMethod(StrEnum):
    """How a mark was made (ITI 7 leaves the method to the State; MOSAIC 05.30)."""

    ENGRAVE = "ENGRAVE"
    STAMP = "STAMP"
    LASER = "LASER"
    MICRODOT = "MICRODOT"
    OTHER = "OTHER"


class RestorationMethod(StrEnum):
    """How restoring a removed mark was tried (ATF 3312.1 part IX)."""

    ACID_ETCH = "ACID_ETCH"
    MAGNETIC = "MAGNETIC"
    ELECTRO = "ELECTRO"
    XRAY = "XRAY"
    OTHER = "OTHER"
    NOT_ATTEMPTED = "NOT_ATTEMPTED"


class Confidence(StrEnum):
    """How sure the examiner is of a restored text."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


class OwnerCategory(StrEnum):
    """Who owned the weapon last, as a class and never as a name (ITI 8(d); UNODC)."""

    PRIVATE = "PRIVATE"
    DEALER = "DEALER"
    MANUFACTURER = "MANUFACTURER"
    STATE_ARMED_FORCES = "STATE_ARMED_FORCES"
    STATE_POLICE = "STATE_POLICE"
    OTHER_STATE = "OTHER_STATE"
    PRIVATE_SECURITY = "PRIVATE_SECURITY"
    UNKNOWN = "UNKNOWN"


class MakeScheme(StrEnum):
    """Whose code a make's code is."""

    NCIC_MAK = "NCIC_MAK"
    IFRT = "IFRT"
    FRT = "FRT"
    NATIONAL = "NATIONAL"


class CalibreScheme(StrEnum):
    """Whose code a calibre's code is."""

    NCIC_CAL = "NCIC_CAL"
    CIP = "CIP"


class FinishScheme(StrEnum):
    """Whose code a finish's code is."""

    NCIC_VCO = "NCIC_VCO"


class ReferenceScheme(StrEnum):
    """Reference tables of firearms (INTERPOL IFRT, RCMP FRT, NCIC)."""

    IFRT = "IFRT"
    FRT = "FRT"
    NCIC = "NCIC"


class BallisticSystem(StrEnum):
    """Networks that compare cartridge cases and bullets."""

    IBIN = "IBIN"
    NIBIN = "NIBIN"
    EVOFINDER = "EVOFINDER"
    OTHER = "OTHER"


class BallisticHit(StrEnum):
    """What a ballistic comparison gave; LEAD is unconfirmed."""

    LEAD = "LEAD"
    CONFIRMED = "CONFIRMED"
    NO_HIT = "NO_HIT"
    PENDING = "PENDING"


class LegalScheme(StrEnum):
    """Laws that put firearms in categories."""

    EU_2021_555 = "EU-2021-555"
    NATIONAL = "NATIONAL"


class CountryMarkScheme(StrEnum):
    """How a country writes itself on the weapons it makes (ITI 8(a))."""

    ISO3166_ALPHA2 = "ISO3166_ALPHA2"
    ISO3166_ALPHA3 = "ISO3166_ALPHA3"
    SYMBOL = "SYMBOL"


class PublicLevel(StrEnum):
    """How widely a marking description may be shown (TLP 2.0, the three levels that fit)."""

    CLEAR = "CLEAR"
    GREEN = "GREEN"
    AMBER = "AMBER"


class HandlingEvent(StrEnum):
    """What was done with a weapon since it came to hand (ITI 9; Firearms Protocol 6; INTERPOL FIELDS)."""

    TAKEN = "TAKEN"
    EXAMINED = "EXAMINED"
    PHOTOGRAPHED = "PHOTOGRAPHED"
    RESTORATION_TRIED = "RESTORATION_TRIED"
    TEST_FIRED = "TEST_FIRED"
    MARKED = "MARKED"
    STORED = "STORED"
    HANDED_OVER = "HANDED_OVER"
    RETURNED = "RETURNED"
    TAKEN_INTO_STOCK = "TAKEN_INTO_STOCK"
    DEACTIVATED = "DEACTIVATED"
    DESTROYED = "DESTROYED"
    OTHER = "OTHER"


class ImageType(StrEnum):
    """Media types of photographs (RFC 6838)."""

    JPEG = "image/jpeg"
    PNG = "image/png"
    WEBP = "image/webp"
