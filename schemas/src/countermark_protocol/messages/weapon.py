"""The one model of a weapon: what it is, and what stands on it.

What is not known is sent as not known: a make or calibre is ``{"text": "UNKNOWN"}``, a mark that nobody wrote
down has a status and no text, an item without any marks says why. The verbatim text is kept beside its code.

Source: ITI 7-10 and 17(b); Firearms Protocol 3, 7, 8; UNODC IAFQ; NIEM; docs/spec/messages.md §7.3.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Final

from countermark_protocol.codes.matching import UNKNOWN_TEXT
from countermark_protocol.codes.weapons import (
    BallisticHit,
    BallisticSystem,
    CalibreScheme,
    Component,
    FinishScheme,
    LegalScheme,
    MakeScheme,
    NoMarksReason,
    OriginForm,
    OwnerCategory,
    ReferenceScheme,
    WeaponCategory,
)
from countermark_protocol.messages.base import UNIQUE, Block, Broken, refs_unique, term
from countermark_protocol.messages.marks import Mark
from countermark_protocol.messages.scalars import (
    Count,
    Country,
    HsCode,
    Line,
    ListCode,
    MakerCountry,
    MarkText,
    NcicAction,
    NcicType,
    Prose,
    Ref,
    Year,
)

_CODED_RULES: Final[Mapping[str, str]] = {
    "code_needs_scheme": "code and scheme stand together or not at all",
    "unknown_spelling": f"what is not known is written {UNKNOWN_TEXT}, in capitals, and has no code",
}


def _coded(text: str, code: str | None, scheme: str | None) -> Iterator[Broken]:
    if (code is None) != (scheme is None):
        yield Broken("code_needs_scheme")
    if text.upper() == UNKNOWN_TEXT and (text != UNKNOWN_TEXT or code is not None):
        yield Broken("unknown_spelling", "/text")


class Make(Block):
    """Who made it, as written, with its code where one is known. Make does not give country of manufacture."""

    RULES: ClassVar[Mapping[str, str]] = _CODED_RULES

    text: Annotated[Line, term("Make as recorded; UNKNOWN if not known", source="ITI 8(a); ATF 3312.1 5c")]
    code: Annotated[
        ListCode | None, term("Code of the make", source="NIEM FirearmMake", codes="by scheme")
    ] = None
    scheme: Annotated[
        MakeScheme | None,
        term("Whose code it is", source="NIEM; INTERPOL IFRT; RCMP FRT", codes="MAKE_SCHEME"),
    ] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        yield from _coded(self.text, self.code, self.scheme)


class Model(Block):
    """The model as written."""

    text: Annotated[Line, term("Model as recorded", source="ITI 8(a); ATF 3312.1 5f")]
    ref: Annotated[Ref | None, term("Its reference in the register", source="INTERPOL IFRT")] = None


class Calibre(Block):
    """The calibre as written, with its code where one is known."""

    RULES: ClassVar[Mapping[str, str]] = _CODED_RULES

    text: Annotated[
        Line, term("Calibre as recorded; UNKNOWN if not known", source="ITI 17(b); ATF 3312.1 5e")
    ]
    code: Annotated[
        ListCode | None, term("Code of the calibre", source="NIEM FirearmBoreSize", codes="by scheme")
    ] = None
    scheme: Annotated[
        CalibreScheme | None, term("Whose code it is", source="NIEM; CIP", codes="CALIBRE_SCHEME")
    ] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        yield from _coded(self.text, self.code, self.scheme)


class Finish(Block):
    """The finish as written, with its code where one is known."""

    RULES: ClassVar[Mapping[str, str]] = _CODED_RULES

    text: Annotated[Line, term("Finish as recorded", source="INTERPOL iARMS")]
    code: Annotated[
        ListCode | None, term("Code of the finish", source="NIEM FirearmFinish", codes="NCIC VCO")
    ] = None
    scheme: Annotated[FinishScheme | None, term("Whose code it is", source="NIEM", codes="FINISH_SCHEME")] = (
        None
    )

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        yield from _coded(self.text, self.code, self.scheme)


class KnownImport(Block):
    """The last legal import that is known."""

    country: Annotated[
        Country, term("Importing country", source="ITI 8(b); MOSAIC 05.31", codes="ISO 3166-1 alpha-2")
    ]
    year: Annotated[Year | None, term("Year of import", source="ITI 8(b)", unit="year")] = None
    importer: Annotated[
        Line | None, term("Importer as marked or recorded", source="ATF 3312.1 5h; CIFTA VI")
    ] = None


class FirearmReference(Block):
    """Entry of a reference table that describes this kind of firearm."""

    scheme: Annotated[
        ReferenceScheme, term("Reference table", source="INTERPOL IFRT", codes="REFERENCE_SCHEME")
    ]
    id: Annotated[Ref, term("Its entry", source="INTERPOL IFRT")]


class BallisticRef(Block):
    """Result of a ballistic comparison."""

    system: Annotated[BallisticSystem, term("Network", source="INTERPOL IBIN", codes="BALLISTIC_SYSTEM")]
    case_id: Annotated[Ref | None, term("Case in that network", source="INTERPOL IBIN")] = None
    hit_status: Annotated[BallisticHit, term("Result", source="INTERPOL IBIN", codes="BALLISTIC_HIT")]


class LegalCategory(Block):
    """Category under a law."""

    scheme: Annotated[
        LegalScheme, term("Law", source="Directive (EU) 2021/555 Annex I", codes="LEGAL_SCHEME")
    ]
    code: Annotated[ListCode, term("Category", source="Directive (EU) 2021/555 Annex I")]


class FirearmItem(Block):
    """One weapon."""

    RULES: ClassVar[Mapping[str, str]] = {
        "marks_or_reason": "an item lists its marks or says why there are none, not both",
        "year_or_candidates": "either yearOfManufacture or yearOfManufactureCandidates stands, not both",
        "candidates_in_order": "candidate years are ascending and at least two",
    }

    item_ref: Annotated[Ref, term("Its reference within the message", source="ITI 17(b)")]
    category: Annotated[
        WeaponCategory, term("Category", source="ITI 4 and 17(b); IAFQ", codes="WEAPON_CATEGORY")
    ]
    action: Annotated[NcicAction | None, term("Action", source="NIEM", codes="NCIC GTYP2")] = None
    detailed_type: Annotated[NcicType | None, term("Type and action", source="NIEM", codes="NCIC GTYP3")] = (
        None
    )
    origin_form: Annotated[
        OriginForm, term("How it came to be what it is", source="IAFQ", codes="ORIGIN_FORM")
    ]
    make: Annotated[Make, term("Make", source="ITI 8(a) and 17(b)")]
    model: Annotated[Model | None, term("Model, where known", source="ITI 8(a) and 17(b)")] = None
    calibre: Annotated[Calibre, term("Calibre", source="ITI 8(a) and 17(b)")]
    country_of_manufacture: Annotated[
        MakerCountry | None,
        term(
            "Country of manufacture, where known",
            source="ITI 8(a)",
            codes="ISO 3166-1 alpha-2, former states",
        ),
    ] = None
    last_known_import: Annotated[
        KnownImport | None, term("Last legal import that is known", source="ITI 8(b); MOSAIC 05.31")
    ] = None
    year_of_manufacture: Annotated[
        Year | None, term("Year of manufacture", source="ITI 8(a)", unit="year")
    ] = None
    year_of_manufacture_candidates: Annotated[
        tuple[Year, ...],
        term(
            "Years it may have been made, if its date code is ambiguous",
            source="own",
            unit="year",
            at_most=40,
        ),
    ] = ()
    marks: Annotated[
        tuple[Mark, ...], term("Its marks", source="ITI 7-10 and 17(b)", at_least=1, at_most=40)
    ] = ()
    no_marks_reason: Annotated[
        NoMarksReason | None,
        term("Why no marks are listed", source="ITI 7-10; IAFQ", codes="NO_MARKS_REASON"),
    ] = None
    barrel_length_mm: Annotated[
        int | None, term("Barrel length", source="INTERPOL iARMS", unit="mm", low=1, high=20_000)
    ] = None
    capacity: Annotated[
        int | None, term("Magazine capacity", source="INTERPOL iARMS", unit="cartridges", low=0, high=10_000)
    ] = None
    finish: Annotated[Finish | None, term("Finish", source="INTERPOL iARMS; NIEM")] = None
    condition: Annotated[Prose | None, term("Condition in words", source="INTERPOL iARMS")] = None
    ammunition_included: Annotated[bool | None, term("Whether ammunition was with it", source="IAFQ")] = None
    owner_category: Annotated[
        OwnerCategory | None,
        term("Class of its last lawful owner", source="ITI 8(d); UNODC", codes="OWNER_CATEGORY"),
    ] = None
    firearm_reference: Annotated[
        FirearmReference | None, term("Entry of a reference table", source="INTERPOL IFRT")
    ] = None
    ballistic_refs: Annotated[
        tuple[BallisticRef, ...],
        term("Ballistic comparisons", source="INTERPOL IBIN", at_least=1, at_most=20),
    ] = ()
    legal_category: Annotated[
        LegalCategory | None, term("Legal category", source="Directive (EU) 2021/555")
    ] = None
    hs_code: Annotated[HsCode | None, term("Customs heading", source="WCO HS", codes="HS chapter 93")] = None
    remarks: Annotated[Prose | None, term("Other relevant information", source="ITI 17(b)")] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        if bool(self.marks) == (self.no_marks_reason is not None):
            yield Broken("marks_or_reason", "/marks")
        candidates = self.year_of_manufacture_candidates
        if candidates and self.year_of_manufacture is not None:
            yield Broken("year_or_candidates", "/yearOfManufacture")
        if candidates and (len(candidates) < 2 or list(candidates) != sorted(set(candidates))):
            yield Broken("candidates_in_order", "/yearOfManufactureCandidates")


#: Rules that a message with weapons adds; see `check_items`.
ITEM_RULES: Final[Mapping[str, str]] = {
    "item_refs_differ": "every itemRef of a message is another",
    "made_before_event": "no weapon was made after the year of the event",
}


def check_items(items: tuple[FirearmItem, ...], event_year: int | None) -> Iterator[Broken]:
    """Yield the rules about the weapons of one message that do not hold.

    Args:
        items: of the message, in ``/items``.
        event_year: year in which they were found, lost or destroyed; None if not known.
    """
    yield from refs_unique(tuple(item.item_ref for item in items), "item_refs_differ", "items")
    if event_year is None:
        return
    for i, item in enumerate(items):
        if item.year_of_manufacture is not None and item.year_of_manufacture > event_year:
            yield Broken("made_before_event", f"/items/{i}/yearOfManufacture")


class AmmunitionLot(Block):
    """Ammunition of one kind."""

    calibre: Annotated[Calibre, term("Calibre", source="IAFQ")]
    quantity: Annotated[Count, term("Quantity", source="IAFQ", unit="cartridges")]
    headstamp: Annotated[MarkText | None, term("Headstamp, verbatim", source="IAFQ")] = None
    lot: Annotated[MarkText | None, term("Lot, verbatim", source="ECOWAS 18")] = None


class PartLot(Block):
    """Parts and components of one kind."""

    component: Annotated[Component, term("Part", source="FP 3(b); IAFQ", codes="COMPONENT")]
    quantity: Annotated[Count, term("Quantity", source="IAFQ", unit="pieces")]
    marks: Annotated[
        tuple[Mark, ...], term("Marks on them", source="ITI 10", at_least=1, at_most=100), UNIQUE
    ] = ()
    description: Annotated[Line | None, term("Description", source="IAFQ")] = None
