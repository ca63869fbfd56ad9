"""From real records to message contents: pure functions from a CSV row to a content document.

What a record says is kept verbatim, and coded only where the code is beyond doubt; what it does not say is sent as
unknown. What a message needs and no record holds (case references, authorisations, witnesses) is made up here, and
only through `Inventions`, so that the demo can list all of it at its end.

The dates that the Delaware file calls ``crime_on`` are sent as the dates of recovery, as its own time-to-crime does.

Source of the records: samples/README.md. Source of the mapping: docs/spec/messages.md §7.
"""

from __future__ import annotations

import csv
import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from countermark_protocol.codes.events import (
    AcquisitionTechnique,
    ActionIfFound,
    AlertBasis,
    ConfiscationAction,
    DestructionMethod,
    DestructionOrigin,
    Disposal,
    FindingContext,
    IllicitBasis,
    LocationType,
    LossKind,
    NoDateReason,
    NoOffenceReason,
    RecommendedAction,
    RecordAction,
    SegmentStatus,
    TraceIntended,
    VerificationType,
    WitnessRole,
)
from countermark_protocol.codes.matching import UNKNOWN_TEXT, match_calibre, match_make
from countermark_protocol.codes.tables import CodeListName, load_code_list
from countermark_protocol.codes.tracing import (
    AcknowledgementStatus,
    AddresseeReason,
    ChainEventKind,
    InabilityReason,
    InformationAccuracy,
    InformationSought,
    IntendedUse,
    PartyRole,
    RefusalReason,
    SourceReliability,
    TraceOutcome,
    UndertakingStatus,
)
from countermark_protocol.codes.weapons import (
    BallisticHit,
    BallisticSystem,
    CalibreScheme,
    Component,
    CountryMarkScheme,
    FinishScheme,
    MakeScheme,
    MarkKind,
    MarkMethod,
    MarkStatus,
    NoMarksReason,
    OriginForm,
    OwnerCategory,
    PublicLevel,
    WeaponCategory,
)
from countermark_protocol.encoding import JsonObject
from countermark_protocol.handling import HandlingCode, Tlp
from countermark_protocol.messages.blocks import Actor, Contact, Evaluation, Place, UseRestrictions
from countermark_protocol.messages.confiscation import ConfiscationEvent, ConfiscationNotice
from countermark_protocol.messages.destruction import Authorisation, DestructionNotice, Verification, Witness
from countermark_protocol.messages.lost_or_stolen import LossEvent, LostOrStolenNotice
from countermark_protocol.messages.marking_system import (
    AppliedMark,
    CountryIdentifier,
    MarkingSystemDescription,
    MarkType,
    RecordKeeping,
    SecurityMark,
    SerialFormat,
)
from countermark_protocol.messages.marks import Mark
from countermark_protocol.messages.tracing_request import (
    ForwardedTo,
    MissingElement,
    PriorSteps,
    Recovery,
    TracingAcknowledgement,
    TracingRequest,
    Undertaking,
)
from countermark_protocol.messages.tracing_response import (
    ChainEvent,
    Inability,
    ItemResult,
    Refusal,
    Retention,
    TracingResponse,
)
from countermark_protocol.messages.trade_route import (
    Commodity,
    Period,
    RouteSegment,
    TradeRoute,
    TradeRouteAlert,
    Volume,
)
from countermark_protocol.messages.weapon import BallisticRef, Calibre, Finish, FirearmItem, Make, Model
from countermark_protocol.registry import content_document, validate_as

T = TypeVar("T")
Row = Mapping[str, str]

SAMPLES: Final = Path(__file__).resolve().parent.parent / "samples"
#: The day on which the Delaware file was published: what it dates later cannot have happened.
DELAWARE_PUBLISHED: Final = dt.date(2026, 1, 28)

#: Words by which a Bloomington model field names a category; a field that names none, or two, names nothing.
_CATEGORY_WORDS: Final = (
    (re.compile(r"\bSHOT ?GUN?\b|\bSHOTGU$"), WeaponCategory.SHOTGUN),
    (re.compile(r"\bRIFLE\b"), WeaponCategory.RIFLE),
    (re.compile(r"\bCARBINE\b"), WeaponCategory.CARBINE),
    (re.compile(r"\bPISTOL\b"), WeaponCategory.PISTOL),
    (re.compile(r"\bREVOLVER\b"), WeaponCategory.REVOLVER),
)
#: Bloomington's kinds of place that mean one of ours; the rest is sent as recorded only.
_LOCATIONS: Final[Mapping[str, LocationType]] = {
    "RESIDENCE": LocationType.PRIVATE_DWELLING,
    "HIGHWAY/ROAD/ALLEY": LocationType.ROAD_INLAND,
    "PARKING LOT/GARAGE": LocationType.PUBLIC_PLACE,
    "GOVERNMENT/PUBLIC BUILDING": LocationType.PUBLIC_PLACE,
    "RENTAL STORAGE FACILITY": LocationType.WAREHOUSE,
}


# --- what is made up ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Invention:
    """One thing that no record holds.

    Attributes:
        kind: what sort of thing, e.g. ``authorisation``.
        about: which message or record needs it.
        value: what was made up, as text.
    """

    kind: str
    about: str
    value: str


@dataclass(slots=True)
class Inventions:
    """The one place through which the demo makes things up, and the list of all of them."""

    made: list[Invention] = field(default_factory=list)

    def make(self, kind: str, about: str, value: T) -> T:
        """Note that `value` is made up, and return it."""
        self.made.append(Invention(kind, about, str(value)))
        return value

    def summary(self) -> tuple[tuple[str, int, Invention], ...]:
        """Each kind with how often it was made up, and its first instance; most frequent first."""
        first: dict[str, Invention] = {}
        counts: dict[str, int] = {}
        for each in self.made:
            first.setdefault(each.kind, each)
            counts[each.kind] = counts.get(each.kind, 0) + 1
        return tuple((kind, counts[kind], first[kind]) for kind in sorted(counts, key=lambda k: (-counts[k], k)))


@dataclass(frozen=True, slots=True)
class Agency:
    """Who plays the sender: made up by the demo that casts it.

    Attributes:
        name: of the agency.
        unit: within it.
        languages: BCP 47, in which it answers.
        email: of its duty post, in the domain ``example.invalid``.
    """

    name: str
    unit: str
    languages: tuple[str, ...] = ("en",)
    email: str = "duty@example.invalid"

    def contact(self) -> Contact:
        """Its contact block."""
        return Contact(agency=self.name, unit=self.unit, email=self.email, languages=self.languages)


# --- reading -----------------------------------------------------------------------------------------


def load_rows(name: str, folder: Path = SAMPLES) -> list[dict[str, str]]:
    """Rows of ``<name>.csv``, by column name."""
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _make(text: str) -> Make:
    code = match_make(text).code
    scheme = MakeScheme.NCIC_MAK if code else None
    return Make(text=text.strip() or UNKNOWN_TEXT, code=code, scheme=scheme)


def _calibre(text: str) -> Calibre:
    code = match_calibre(text).code
    scheme = CalibreScheme.NCIC_CAL if code else None
    return Calibre(text=text.strip() or UNKNOWN_TEXT, code=code, scheme=scheme)


def _finish(text: str) -> Finish | None:
    text = text.strip()
    if not text:
        return None
    if text in load_code_list(CodeListName.NCIC_FINISH):
        return Finish(text=text, code=text, scheme=FinishScheme.NCIC_VCO)
    return Finish(text=text)


def _delaware_day(text: str) -> tuple[dt.date | None, NoDateReason | None, str | None]:
    """Date, why there is none, and what is recorded although it cannot be true."""
    if not text:
        return None, NoDateReason.NOT_RECORDED, None
    day = dt.date.fromisoformat(text)
    if day > DELAWARE_PUBLISHED:
        return None, NoDateReason.RECORDED_IMPLAUSIBLE, text
    return day, None, None


def _is_true(row: Row, column: str) -> bool:
    return row[column] == "True"


def delaware_item(row: Row, item_ref: str = "1") -> FirearmItem:
    """The weapon of a Delaware row; the file has no model, category, component or country of manufacture."""
    serial = row["serial_pseudonym"].strip()
    marks = (
        Mark(kind=MarkKind.SERIAL, component=Component.UNKNOWN, text=serial, status=MarkStatus.LEGIBLE),
    )
    ballistic = BallisticRef(system=BallisticSystem.NIBIN, hit_status=BallisticHit.LEAD)
    return FirearmItem(
        item_ref=item_ref,
        category=WeaponCategory.UNKNOWN,
        origin_form=OriginForm.UNKNOWN,
        make=_make(row["manufacturer_src"]),
        calibre=_calibre(row["calibre_src"]),
        marks=marks if serial else (),
        no_marks_reason=None if serial else NoMarksReason.NOT_RECORDED,
        ballistic_refs=(ballistic,) if _is_true(row, "nibin_lead") else (),
    )


def _delaware_place(row: Row) -> Place:
    return Place(country="US", subdivision=f"US-{row['recovery_state']}", name=row["recovery_city"])


def _delaware_remarks(row: Row) -> str | None:
    notes = [
        note
        for column, note in (
            ("trafficking_indicia", "the register notes indicia of trafficking"),
            ("interstate", "the register notes that the weapon crossed a state line"),
        )
        if _is_true(row, column)
    ]
    return "; ".join(notes) or None


# --- notices -----------------------------------------------------------------------------------------


def confiscation_notice(row: Row, agency: Agency, inventions: Inventions) -> JsonObject:
    """Map a Delaware row to a confiscation-notice; its reference is the record's own."""
    ref = row["event_ref"]
    date, no_date_reason, as_recorded = _delaware_day(row["crime_on"])
    notice = ConfiscationNotice(
        notice_ref=ref,
        action=inventions.make("action (the file says: recovered)", ref, ConfiscationAction.SEIZED),
        event=ConfiscationEvent(
            date=date, no_date_reason=no_date_reason, date_as_recorded=as_recorded, place=_delaware_place(row)
        ),
        authority=agency.contact(),
        items=(delaware_item(row),),
        no_offence_reason=NoOffenceReason.NOT_RECORDED,
        judicial_status=row["case_status"].strip() or None,
        disposition=inventions.make("disposition", ref, Disposal.RETAINED_EVIDENCE),
        trace_intended=inventions.make("intention to trace", ref, TraceIntended.YES),
        remarks=_delaware_remarks(row),
        language="en",
    )
    return content_document(notice)


def _bloomington_category(model: str) -> WeaponCategory:
    named = {category for words, category in _CATEGORY_WORDS if words.search(model.upper())}
    return named.pop() if len(named) == 1 else WeaponCategory.UNKNOWN


def lost_or_stolen_notice(
    row: Row, number: int, agency: Agency, inventions: Inventions, *, today: dt.date
) -> JsonObject:
    """Map a Bloomington row to a lost-or-stolen-notice: an entry, or the clearing of one if it was recovered.

    Args:
        row: of the file.
        number: of the row, from 1; the file has no identifiers.
        agency: that sends it.
        inventions: where made-up things are noted.
        today: the record is to be looked at again in a year.
    """
    ref = inventions.make("national case reference", f"theft {number}", f"BLM-{number:04d}")
    recovered = row["recovery"].strip()
    cleared = recovered.startswith("RECOVERED")
    stolen_from = row["stolen_from"].strip()
    model = row["model"].strip()
    item = FirearmItem(
        item_ref="1",
        category=_bloomington_category(model),
        origin_form=OriginForm.UNKNOWN,
        make=_make(row["make"]),
        model=Model(text=model) if model else None,
        calibre=_calibre(""),
        no_marks_reason=NoMarksReason.NOT_RECORDED,
        finish=_finish(row["colour"]),
    )
    notice = LostOrStolenNotice(
        record_kind=LossKind.STOLEN_THEFT,
        action=RecordAction.CLEAR_RECOVERED if cleared else RecordAction.ENTRY,
        event=LossEvent(
            date=dt.date.fromisoformat(row["stolen_on"]),
            place=Place(
                country="US", subdivision="US-IN", name="Bloomington", location_type=_LOCATIONS.get(stolen_from)
            ),
            place_as_recorded=stolen_from or None,
        ),
        items=(item,),
        owner_category=OwnerCategory.UNKNOWN,
        national_case_ref=ref,
        action_if_found=inventions.make("action if found", ref, ActionIfFound.SEIZE),
        review_on=inventions.make("review date", ref, today + dt.timedelta(days=365)),
        recovered_ref=inventions.make("recovery reference", ref, f"{ref}-R") if cleared else None,
        contact=agency.contact(),
        remarks=recovered or None,
        language="en",
    )
    return content_document(notice)


def destruction_notice(
    rows: Sequence[Row], agency: Agency, inventions: Inventions, *, number: int, destroyed_on: dt.date
) -> JsonObject:
    """Make up the destruction of weapons of Delaware rows: listed if they have a serial, else counted.

    Args:
        rows: 1 to 500.
        agency: that sends it.
        inventions: where made-up things are noted; a destruction is made up altogether.
        number: of this notice, from 1.
        destroyed_on: the day.
    """
    ref = inventions.make("destruction", f"destruction {number}", f"DES-{number:04d}")
    marked = [row for row in rows if row["serial_pseudonym"].strip()]
    counted = len(rows) - len(marked)
    document = content_document(
        DestructionNotice(
            notice_ref=ref,
            origin=DestructionOrigin.SEIZED,
            confiscation_refs=tuple(row["event_ref"] for row in rows),
            authorisation=inventions.make(
                "authorisation",
                ref,
                Authorisation(
                    authority="Superior Court (exercise)",
                    reference=f"ORDER-{number:04d}",
                    date=destroyed_on - dt.timedelta(days=14),
                ),
            ),
            destroyed_on=destroyed_on,
            place=inventions.make("place of destruction", ref, Place(country="US", subdivision="US-DE")),
            method=inventions.make("method of destruction", ref, DestructionMethod.SMELTING),
            facility=inventions.make("facility", ref, "electric arc furnace (exercise)"),
            items=tuple(delaware_item(row, str(i + 1)) for i, row in enumerate(marked)),
            total=len(rows),
            marks_recorded_before=not counted,
            marks_not_recorded_reason="the register holds no serial for the weapons that are counted"
            if counted
            else None,
            witnesses=inventions.make(
                "witnesses",
                ref,
                (
                    Witness(organisation="Department of Justice (exercise)", role=WitnessRole.PROSECUTOR),
                    Witness(organisation="Office of the Auditor (exercise)", role=WitnessRole.AUDITOR),
                ),
            ),
            verification=inventions.make(
                "verification", ref, Verification(type=VerificationType.ON_SITE, certificate_ref=f"CERT-{number:04d}")
            ),
            ends_record=True,
            contact=agency.contact(),
            language="en",
        )
        if marked and not counted
        else _with_counts(rows)
    )
    return document
