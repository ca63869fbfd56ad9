"""The one model of a weapon: what it is, and what stands on it.

What is not known is sent as not known: a make or calibre is ``{"text": "UNKNOWN"}``, a mark that nobody wrote
down has a status and no text, an item without any marks says why. The verbatim text is kept beside its code.

Source: ITI 7-10 and 17(b); Firearms Protocol 3, 7, 8; UNODC IAFQ; NIEM; docs/spec/messages.md §7.3.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Final

from countermark_protocol.codes.matching import UNKNOWN_TEXT
from countermark_protocol.codes.weapons import (
    BallisticHit,
    BallisticSystem,
    CalibreScheme,
    Component,
    Confidence,
    FinishScheme,
    LegalScheme,
    MakeScheme,
    MarkKind,
    MarkMethod,
    MarkStatus,
    NoMarksReason,
    OriginForm,
    OwnerCategory,
    ReferenceScheme,
    RestorationMethod,
    WeaponCategory,
)
from countermark_protocol.messages.base import UNIQUE, Block, Broken, refs_unique, term
from countermark_protocol.messages.scalars import (
    Count,
    Country,
    HsCode,
    Line,
    ListCode,
    MakerCountry,
    MarkPattern,
    MarkText,
    NcicAction,
    NcicType,
    Prose,
    Ref,
    Script,
    Year,
)

#: What people type when there is no serial (field page 4.2); compared without case, spaces and punctuation.
PLACEHOLDER_SERIALS: Final = frozenset(
    {
        *("SN", "NA", "NIL", "NONE", "NULL", "UNK", "UNKN", "UNKNOWN", "NOSERIAL", "NOSN", "NOSERIALNUMBER"),
        *("OBLITERATED", "DEFACED", "REMOVED", "ALTERED", "ILLEGIBLE", "NOTRECORDED", "TBD"),
        *("INEXISTENTE", "SUPRIMIDO", "SUPRIMIDA", "RASPADO", "RASPADA", "ILEGIVEL", "SEMNUMERO", "NAOCONSTA"),
        *("SANSNUMERO", "ILLISIBLE", "EFFACE", "SINNUMERO", "BORRADO", "ILEGIBLE"),
    }
)
_TEXT_STATUSES: Final = frozenset({MarkStatus.LEGIBLE, MarkStatus.RESTORED, MarkStatus.ALTERED, MarkStatus.PARTIAL})
_RESTORABLE: Final = frozenset(
    {MarkStatus.PARTIAL, MarkStatus.RESTORED, MarkStatus.OBLITERATED, MarkStatus.ALTERED}
)
_COUNTRY_KINDS: Final = frozenset({MarkKind.IMPORT, MarkKind.STOCK_TRANSFER, MarkKind.COUNTRY_OF_MANUFACTURE})
_YEAR_KINDS: Final = frozenset({MarkKind.IMPORT, MarkKind.STOCK_TRANSFER, MarkKind.YEAR, MarkKind.PROOF})


def is_placeholder_serial(text: str) -> bool:
    """Whether a text in a serial's place only says that there is none: words, dashes, rows of zeros."""
    decomposed = unicodedata.normalize("NFKD", text).upper()
    core = re.sub(r"[^0-9A-Z]", "", decomposed)
    if not core:
        # A serial in another script has letters of its own; dashes and question marks are no serial.
        return not any(c.isalnum() for c in text)
    return core in PLACEHOLDER_SERIALS or (len(core) >= 3 and set(core) == {"0"})


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
    code: Annotated[ListCode | None, term("Code of the make", source="NIEM FirearmMake", codes="by scheme")] = None
    scheme: Annotated[
        MakeScheme | None, term("Whose code it is", source="NIEM; INTERPOL IFRT; RCMP FRT", codes="MAKE_SCHEME")
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

    text: Annotated[Line, term("Calibre as recorded; UNKNOWN if not known", source="ITI 17(b); ATF 3312.1 5e")]
    code: Annotated[ListCode | None, term("Code of the calibre", source="NIEM FirearmBoreSize", codes="by scheme")] = (
        None
    )
    scheme: Annotated[CalibreScheme | None, term("Whose code it is", source="NIEM; CIP", codes="CALIBRE_SCHEME")] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        yield from _coded(self.text, self.code, self.scheme)


class Finish(Block):
    """The finish as written, with its code where one is known."""

    RULES: ClassVar[Mapping[str, str]] = _CODED_RULES

    text: Annotated[Line, term("Finish as recorded", source="INTERPOL iARMS")]
    code: Annotated[ListCode | None, term("Code of the finish", source="NIEM FirearmFinish", codes="NCIC VCO")] = None
    scheme: Annotated[FinishScheme | None, term("Whose code it is", source="NIEM", codes="FINISH_SCHEME")] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        yield from _coded(self.text, self.code, self.scheme)


class Restoration(Block):
    """How restoring a mark was tried."""

    method: Annotated[RestorationMethod, term("Method", source="ATF 3312.1 IX", codes="RESTORATION_METHOD")]
    confidence: Annotated[
        Confidence | None, term("How sure the examiner is of the result", source="ATF 3312.1 IX", codes="CONFIDENCE")
    ] = None
    note: Annotated[Prose | None, term("The examiner's remarks", source="ATF 3312.1 IX")] = None


class Mark(Block):
    """One mark: where it stands, what it reads, in what state it is."""

    RULES: ClassVar[Mapping[str, str]] = {
        "mark_without_text": "a mark that is obliterated, never made, not examined or not recorded has no text, "
        "pattern or symbol",
        "mark_needs_text": "a mark that can be read has a text, a pattern or a symbol",
        "mark_partial_pattern": "a partial serial has a pattern with '?' for each character that cannot be read",
        "mark_placeholder": "a serial is what stands on the weapon; where there is none, the status says so",
        "mark_restored_how": "a restored mark states the method of restoration that was used",
        "mark_restoration_state": "restoration stands only with a partial, restored, obliterated or altered mark",
        "mark_country_kind": "country stands only with an import, stock-transfer or country-of-manufacture mark",
        "mark_year_kind": "year stands only with an import, stock-transfer, proof or year mark",
    }

    kind: Annotated[MarkKind, term("What the mark says", source="ITI 8; MOSAIC 05.30", codes="MARK_KIND")]
    component: Annotated[
        Component,
        term("Part that bears it; frame or receiver is the reference", source="ITI 10; FP 3(b)", codes="COMPONENT"),
    ]
    position: Annotated[Line | None, term("Where on the part", source="ITI 7")] = None
    text: Annotated[MarkText | None, term("What it reads, verbatim", source="ITI 7 and 17(b)")] = None
    script: Annotated[Script | None, term("Script of the text", source="Dir. (EU) 2019/68", codes="ISO 15924")] = None
    symbol: Annotated[Line | None, term("A symbol, described in words", source="ITI 8(a)")] = None
    pattern: Annotated[
        MarkPattern | None, term("What of it can be read, '?' for each missing character", source="ATF 3312.1 IX")
    ] = None
    status: Annotated[MarkStatus, term("State in which it was found", source="ITI 7; IAFQ", codes="MARK_STATUS")]
    method: Annotated[MarkMethod | None, term("How it was made", source="ITI 7", codes="MARK_METHOD")] = None
    restoration: Annotated[Restoration | None, term("How restoring it was tried", source="ATF 3312.1 IX")] = None
    country: Annotated[
        MakerCountry | None, term("Country that the mark names", source="ITI 8(a)-(c)", codes="ISO 3166-1 alpha-2")
    ] = None
    year: Annotated[Year | None, term("Year that the mark names", source="ITI 8(a)-(b)", unit="year")] = None

    def check(self) -> Iterator[Broken]:
        """Yield the rules across fields that do not hold."""
        reads = self.text is not None or self.pattern is not None or self.symbol is not None
        if self.status in _TEXT_STATUSES:
            if not reads:
                yield Broken("mark_needs_text", "/text")
        elif reads:
            yield Broken("mark_without_text", "/text")
        if self.kind is MarkKind.SERIAL:
            if self.status is MarkStatus.PARTIAL and self.pattern is None:
                yield Broken("mark_partial_pattern", "/pattern")
            if self.text is not None and is_placeholder_serial(self.text):
                yield Broken("mark_placeholder", "/text")
        if self.status is MarkStatus.RESTORED and (
            self.restoration is None or self.restoration.method is RestorationMethod.NOT_ATTEMPTED
        ):
            yield Broken("mark_restored_how", "/restoration")
        if self.restoration is not None and self.status not in _RESTORABLE:
            yield Broken("mark_restoration_state", "/restoration")
        if self.country is not None and self.kind not in _COUNTRY_KINDS:
            yield Broken("mark_country_kind", "/country")
        if self.year is not None and self.kind not in _YEAR_KINDS:
            yield Broken("mark_year_kind", "/year")


class KnownImport(Block):
    """The last legal import that is known."""

    country: Annotated[
        Country, term("Importing country", source="ITI 8(b); MOSAIC 05.31", codes="ISO 3166-1 alpha-2")
    ]
    year: Annotated[Year | None, term("Year of import", source="ITI 8(b)", unit="year")] = None
    importer: Annotated[Line | None, term("Importer as marked or recorded", source="ATF 3312.1 5h; CIFTA VI")] = None


class FirearmReference(Block):
    """Entry of a reference table that describes this kind of firearm."""

    scheme: Annotated[ReferenceScheme, term("Reference table", source="INTERPOL IFRT", codes="REFERENCE_SCHEME")]
    id: Annotated[Ref, term("Its entry", source="INTERPOL IFRT")]


class BallisticRef(Block):
    """Result of a ballistic comparison."""

    system: Annotated[BallisticSystem, term("Network", source="INTERPOL IBIN", codes="BALLISTIC_SYSTEM")]
    case_id: Annotated[Ref | None, term("Case in that network", source="INTERPOL IBIN")] = None
    hit_status: Annotated[BallisticHit, term("Result", source="INTERPOL IBIN", codes="BALLISTIC_HIT")]


class LegalCategory(Block):
    """Category under a law."""

    scheme: Annotated[LegalScheme, term("Law", source="Directive (EU) 2021/555 Annex I", codes="LEGAL_SCHEME")]
    code: Annotated[ListCode, term("Category", source="Directive (EU) 2021/555 Annex I")]


class FirearmItem(Block):
    """One weapon."""

    RULES: ClassVar[Mapping[str, str]] = {
        "marks_or_reason": "an item lists its marks or says why there are none, not both",
        "year_or_candidates": "either yearOfManufacture or yearOfManufactureCandidates stands, not both",
        "candidates_in_order": "candidate years are ascending and at least two",
    }

    item_ref: Annotated[Ref, term("Its reference within the message", source="ITI 17(b)")]
    category: Annotated[WeaponCategory, term("Category", source="ITI 4 and 17(b); IAFQ", codes="WEAPON_CATEGORY")]
    action: Annotated[NcicAction | None, term("Action", source="NIEM", codes="NCIC GTYP2")] = None
    detailed_type: Annotated[NcicType | None, term("Type and action", source="NIEM", codes="NCIC GTYP3")] = None
    origin_form: Annotated[OriginForm, term("How it came to be what it is", source="IAFQ", codes="ORIGIN_FORM")]
    make: Annotated[Make, term("Make", source="ITI 8(a) and 17(b)")]
    model: Annotated[Model | None, term("Model, where known", source="ITI 8(a) and 17(b)")] = None
    calibre: Annotated[Calibre, term("Calibre", source="ITI 8(a) and 17(b)")]
    country_of_manufacture: Annotated[
        MakerCountry | None,
        term("Country of manufacture, where known", source="ITI 8(a)", codes="ISO 3166-1 alpha-2, former states"),
    ] = None
    last_known_import: Annotated[
        KnownImport | None, term("Last legal import that is known", source="ITI 8(b); MOSAIC 05.31")
    ] = None
    year_of_manufacture: Annotated[Year | None, term("Year of manufacture", source="ITI 8(a)", unit="year")] = None
    year_of_manufacture_candidates: Annotated[
        tuple[Year, ...],
        term("Years it may have been made, if its date code is ambiguous", source="own", unit="year", at_most=40),
    ] = ()
    marks: Annotated[tuple[Mark, ...], term("Its marks", source="ITI 7-10 and 17(b)", at_least=1, at_most=40)] = ()
    no_marks_reason: Annotated[
        NoMarksReason | None, term("Why no marks are listed", source="ITI 7-10; IAFQ", codes="NO_MARKS_REASON")
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
        OwnerCategory | None, term("Class of its last lawful owner", source="ITI 8(d); UNODC", codes="OWNER_CATEGORY")
    ] = None
    firearm_reference: Annotated[
        FirearmReference | None, term("Entry of a reference table", source="INTERPOL IFRT")
    ] = None
    ballistic_refs: Annotated[
        tuple[BallisticRef, ...], term("Ballistic comparisons", source="INTERPOL IBIN", at_least=1, at_most=20)
    ] = ()
    legal_category: Annotated[LegalCategory | None, term("Legal category", source="Directive (EU) 2021/555")] = None
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
    marks: Annotated[tuple[Mark, ...], term("Marks on them", source="ITI 10", at_least=1, at_most=100), UNIQUE] = ()
    description: Annotated[Line | None, term("Description", source="IAFQ")] = None
