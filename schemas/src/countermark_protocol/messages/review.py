"""What a person should know before sending or accepting: rules that need the day, the manifest or the register.

`countermark_protocol.registry.validate_content` refuses what is wrong whoever reads it, and whenever. What
depends on today, on who sends to whom, or on how it is handled, and what is only suspicious, is found here.
A finding that *refuses* must stop the sender's client; one that *holds* stops it until a second person has read the
message; a *warning* is shown.

Which rule of domain page 6.4 is enforced by whom stands in docs/spec/messages.md §7.18.

Source: domain page 6.1 to 6.4; docs/spec/messages.md §7.11.
"""

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from countermark_protocol.codes.makers import maker_countries
from countermark_protocol.codes.tables import CodeListName, load_code_list
from countermark_protocol.codes.tracing import ChainEventKind, TraceOutcome
from countermark_protocol.codes.weapons import CalibreScheme, FinishScheme, MakeScheme, MarkKind
from countermark_protocol.handling import Classification, Tlp
from countermark_protocol.manifest import Urgency
from countermark_protocol.messages.base import Message
from countermark_protocol.messages.clarification import TracingClarification
from countermark_protocol.messages.confiscation import ConfiscationNotice
from countermark_protocol.messages.destruction import DestructionNotice
from countermark_protocol.messages.facts import holds_personal_data
from countermark_protocol.messages.found_or_surrendered import FoundOrSurrenderedNotice
from countermark_protocol.messages.hits import HitNotice
from countermark_protocol.messages.lost_or_stolen import LostOrStolenNotice
from countermark_protocol.messages.marks import Mark
from countermark_protocol.messages.review_assistance import last_day, own_state, unlisted_currencies
from countermark_protocol.messages.review_words import marked_above
from countermark_protocol.messages.scalars import earliest
from countermark_protocol.messages.tracing_request import TracingAcknowledgement, TracingRequest
from countermark_protocol.messages.tracing_response import TracingResponse
from countermark_protocol.messages.trade_route import TradeRouteAlert
from countermark_protocol.messages.transfer_refusal import TransferRefusalNotice
from countermark_protocol.messages.weapon import FirearmItem

#: A delayed answer is looked at again within this time (domain page 6.3).
MAX_DELAY_DAYS: Final = 90
#: A theft record is looked at again within a year (INTERPOL RPD 49-50); one day more for leap years.
MAX_REVIEW_DAYS: Final = 366
#: ITI 12 asks for 20 years of records other than manufacture.
RECORDS_YEARS: Final = 20
#: Weapons made until then are antiques (Firearms Protocol 3(a)), and not traced.
LAST_ANTIQUE_YEAR: Final = 1899
#: Weapons made before are an exception to tracing (MOSAIC 05.31).
FIRST_TRACED_YEAR: Final = 1946
_PATENT = re.compile(r"(U\.? ?S\.? )?PAT(ENT|\.| )", re.IGNORECASE)
_TURKISH_MAKER = re.compile(r"T[- ]?[0-9]{4}(?:[- ]?[0-9]{2})?(?![0-9])")


class Severity(StrEnum):
    """What a finding means for sending."""

    REFUSE = "refuse"
    HOLD = "hold"
    WARN = "warn"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should know.

    Attributes:
        severity: whether it stops the message.
        rule: stable id, a key of `RULES`.
        field: JSON pointer into the content.
    """

    severity: Severity
    rule: str
    field: str

    @property
    def text(self) -> str:
        """What it means, in words."""
        return RULES[self.rule]


#: Id of each finding, and what it means.
RULES: Final[Mapping[str, str]] = {
    "event_in_future": "the event is dated in the future",
    "event_long_ago": f"the event is more than {RECORDS_YEARS} years ago: the record may not exist any more",
    "antique": "made before 1900: an antique, not a firearm to be traced",
    "made_before_1946": "made before 1946: an exception to tracing",
    "serial_is_model": "the serial equals the model",
    "serial_is_calibre": "the serial equals the calibre",
    "serial_is_patent": "the serial is the number of a patent",
    "serials_differ": "parts of the weapon bear different serials: they may have been exchanged",
    "make_of_another_country": "the table of makes names another country for this make",
    "classification_words": "a text bears the mark of a higher classification than the message",
    "refusal_needs_restricted": "a notice of a refused transfer is RESTRICTED at least",
    "serial_is_maker_code": "the serial is, or begins with, a Turkish maker code (T, four digits, year)",
    "code_not_in_list": "this edition of the code list does not hold the code",
    "addressee_is_not_importer": "the weapon bears an import mark of another State than the one asked",
    "sender_is_not_recovery_state": "a State asks to trace weapons found in its own jurisdiction (ITI 16)",
    "urgency_not_justified": "URGENT and FLASH state their justification",
    "personal_data_tlp": "content with data on persons is not TLP:GREEN or TLP:CLEAR",
    "actors_need_restricted": "an alert that names actors is RESTRICTED at least",
    "delay_too_long": f"a delayed answer is reviewed within {MAX_DELAY_DAYS} days",
    "review_too_late": "a theft record is reviewed within 12 months",
    "item_not_requested": "the request has no such item",
    "item_not_answered": "a final answer has a result for every item",
    "already_over": "the last day on which it stands has passed",
    "not_the_senders_state": "a State asks for assistance and reports for itself",
    "photograph_not_attached": "the file of the photograph does not go with the message: attach it as it will be sent",
    "recovered_before_chain": "the weapon was recovered before the last date of its chain, and was not stolen",
}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known beside the content; what is None is not checked.

    Attributes:
        today: the day, UTC.
        sender_country: ISO 3166-1 alpha-2, capitals.
        addressee_country: the same; None also for several.
        urgency: of the manifest.
        tlp: of the manifest.
        classification: of the manifest.
    """

    today: dt.date | None = None
    sender_country: str | None = None
    addressee_country: str | None = None
    urgency: Urgency | None = None
    tlp: Tlp | None = None
    classification: Classification | None = None


_WITH_ITEMS = (
    TracingRequest
    | TracingClarification
    | ConfiscationNotice
    | FoundOrSurrenderedNotice
    | DestructionNotice
    | LostOrStolenNotice
    | HitNotice
)


def _refuse(rule: str, field: str) -> Finding:
    return Finding(Severity.REFUSE, rule, field)


def _warn(rule: str, field: str) -> Finding:
    return Finding(Severity.WARN, rule, field)


_ORDER: Final = tuple(Severity)


def review(message: Message, circumstances: Circumstances) -> tuple[Finding, ...]:
    """Find what a person should know of a valid content: refusals first, then what holds it.

    Args:
        message: the content.
        circumstances: the day and what the manifest says, as far as known.
    """
    found = [*_review_dates(message, circumstances.today), *_review_items(message, circumstances)]
    if circumstances.tlp in {Tlp.GREEN, Tlp.CLEAR} and holds_personal_data(message):
        found.append(_refuse("personal_data_tlp", ""))
    if isinstance(message, TracingRequest):
        found.extend(_review_request(message, circumstances))
    sender = circumstances.sender_country
    state, at_state = own_state(message)
    if sender is not None and state not in {None, sender}:
        found.append(_refuse("not_the_senders_state", at_state))
    found.extend(_warn("code_not_in_list", at) for at in unlisted_currencies(message))
    level = circumstances.classification.level if circumstances.classification is not None else None
    names_actors = isinstance(message, TradeRouteAlert) and bool(message.actors)
    if names_actors and level is not None and level < Classification.RESTRICTED.level:
        found.append(_refuse("actors_need_restricted", "/actors"))
    if (
        isinstance(message, TransferRefusalNotice)
        and level is not None
        and level < Classification.RESTRICTED.level
    ):
        found.append(_refuse("refusal_needs_restricted", ""))
    if circumstances.classification is not None:
        held = marked_above(message, circumstances.classification)
        found.extend(Finding(Severity.HOLD, "classification_words", at) for at in held)
    return tuple(sorted(found, key=lambda each: (_ORDER.index(each.severity), each.field, each.rule)))


def _review_request(message: TracingRequest, circumstances: Circumstances) -> Iterator[Finding]:
    sender = circumstances.sender_country
    if sender is not None and sender != message.recovery.place.country:
        yield _refuse("sender_is_not_recovery_state", "/recovery/place/country")
    if circumstances.urgency in {Urgency.URGENT, Urgency.FLASH} and message.urgency_justification is None:
        yield _refuse("urgency_not_justified", "/urgencyJustification")


def _event(message: Message) -> tuple[dt.date | None, str]:
    """Day of the event that a message is about, and where it stands."""
    if isinstance(message, TracingRequest):
        return message.recovery.date, "/recovery/date"
    if isinstance(message, ConfiscationNotice):
        return message.event.date, "/event/date"
    if isinstance(message, FoundOrSurrenderedNotice):
        return message.event.date, "/event/date"
    if isinstance(message, HitNotice):
        return message.encounter.date, "/encounter/date"
    if isinstance(message, TransferRefusalNotice):
        return message.decision_date, "/decisionDate"
    if isinstance(message, DestructionNotice):
        return message.destroyed_on, "/destroyedOn"
    if isinstance(message, LostOrStolenNotice):
        if message.event.period is not None:
            return message.event.period.to.date(), "/event/period/to"
        return message.event.date, "/event/date"
    if isinstance(message, TracingAcknowledgement):
        return message.received_at.date(), "/receivedAt"
    return None, ""


def _review_dates(message: Message, today: dt.date | None) -> Iterator[Finding]:
    if today is None:
        return
    day, field = _event(message)
    # A day lasts until it ends in the last time zone, so tomorrow by UTC is not yet the future everywhere.
    if day is not None and day > today + dt.timedelta(days=1):
        yield _refuse("event_in_future", field)
    if day is not None and day.year < today.year - RECORDS_YEARS:
        yield _warn("event_long_ago", field)
    last, last_field = last_day(message)
    # A day lasts until it ends in the last time zone, so yesterday by UTC may still be today.
    if last is not None and last < today - dt.timedelta(days=1):
        yield _refuse("already_over", last_field)
    if isinstance(message, LostOrStolenNotice) and (message.review_on - today).days > MAX_REVIEW_DAYS:
        yield _refuse("review_too_late", "/reviewOn")
    if isinstance(message, TracingResponse):
        for i, result in enumerate(message.item_results):
            review_on = result.refusal.review_on if result.refusal else None
            delayed = result.outcome is TraceOutcome.DELAYED
            if delayed and review_on is not None and (review_on - today).days > MAX_DELAY_DAYS:
                yield _refuse("delay_too_long", f"/itemResults/{i}/refusal/reviewOn")


def _review_items(message: Message, circumstances: Circumstances) -> Iterator[Finding]:
    if not isinstance(message, _WITH_ITEMS):
        return
    for i, item in enumerate(message.items):
        at = f"/items/{i}"
        yield from _review_codes(item, at)
        yield from _review_maker(item, at)
        year = item.year_of_manufacture
        if year is not None and year <= LAST_ANTIQUE_YEAR:
            yield _warn("antique", f"{at}/yearOfManufacture")
        elif year is not None and year < FIRST_TRACED_YEAR and isinstance(message, TracingRequest):
            yield _warn("made_before_1946", f"{at}/yearOfManufacture")
        serials = [m.text for m in item.marks if m.kind is MarkKind.SERIAL and m.text and m.pattern is None]
        if any(not _same(serials[0], other) for other in serials[1:]):
            yield _warn("serials_differ", f"{at}/marks")
        for k, mark in enumerate(item.marks):
            yield from _review_mark(item, mark, f"{at}/marks/{k}")
            asked = circumstances.addressee_country if isinstance(message, TracingRequest) else None
            imported_by = mark.country if mark.kind is MarkKind.IMPORT else None
            if asked is not None and imported_by is not None and asked != imported_by:
                yield _warn("addressee_is_not_importer", f"{at}/marks/{k}/country")


def _review_codes(item: FirearmItem, at: str) -> Iterator[Finding]:
    coded = (
        (item.make.scheme is MakeScheme.NCIC_MAK, item.make.code, CodeListName.NCIC_MAKE, "make/code"),
        (
            item.calibre.scheme is CalibreScheme.NCIC_CAL,
            item.calibre.code,
            CodeListName.NCIC_CALIBRE,
            "calibre/code",
        ),
        (
            item.finish is not None and item.finish.scheme is FinishScheme.NCIC_VCO,
            item.finish and item.finish.code,
            CodeListName.NCIC_FINISH,
            "finish/code",
        ),
        (item.hs_code is not None, item.hs_code, CodeListName.HS_CHAPTER_93, "hsCode"),
    )
    for ours, code, name, member in coded:
        if ours and code not in load_code_list(name):
            yield _warn("code_not_in_list", f"{at}/{member}")


def _review_maker(item: FirearmItem, at: str) -> Iterator[Finding]:
    made_in = item.country_of_manufacture
    if made_in is None or item.make.code is None or item.make.scheme is not MakeScheme.NCIC_MAK:
        return
    known = maker_countries(item.make.code)
    if known and made_in not in known:
        yield _warn("make_of_another_country", f"{at}/countryOfManufacture")


def _same(one: str, other: str) -> bool:
    def core(text: str) -> str:
        return re.sub(r"\W", "", text).upper()

    return core(one) == core(other)


def _review_mark(item: FirearmItem, mark: Mark, at: str) -> Iterator[Finding]:
    if mark.kind is not MarkKind.SERIAL or mark.text is None:
        return
    if item.model is not None and _same(mark.text, item.model.text):
        yield _warn("serial_is_model", f"{at}/text")
    if _same(mark.text, item.calibre.text):
        yield _warn("serial_is_calibre", f"{at}/text")
    if _PATENT.match(mark.text):
        yield _warn("serial_is_patent", f"{at}/text")
    if _TURKISH_MAKER.match(mark.text):
        yield _warn("serial_is_maker_code", f"{at}/text")


def review_answer(request: TracingRequest, response: TracingResponse) -> tuple[Finding, ...]:
    """Compare an answer with the request that it answers: one result an item, no time that runs backwards.

    Args:
        request: what was asked.
        response: what is, or was, answered; fields of the findings point into it.
    """
    found: list[Finding] = []
    asked = {item.item_ref for item in request.items}
    for i, result in enumerate(response.item_results):
        if result.item_ref not in asked:
            found.append(_refuse("item_not_requested", f"/itemResults/{i}/itemRef"))
        recovered = request.recovery.date
        stolen = any(step.event is ChainEventKind.STOLEN for step in result.chain)
        dates = [step.date for step in result.chain if step.date is not None]
        # The chain's dates do not go back, so the last is the latest.
        if recovered is not None and dates and not stolen and earliest(dates[-1]) > recovered:
            found.append(_warn("recovered_before_chain", f"/itemResults/{i}/chain"))
    answered = {result.item_ref for result in response.item_results}
    if response.final and asked - answered:
        found.append(_refuse("item_not_answered", "/itemResults"))
    return tuple(found)
