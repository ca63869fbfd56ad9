"""Whether two descriptions may be of one weapon: requests made twice, and weapons that appear after their destruction.

A match is a lead, never an identification, until the owner of the record confirms it.

Source: domain page 5.0 (serial normal form) and 6.3; ITI 9; docs/spec/tracing.md §7.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from countermark_protocol.codes.events import RecordAction
from countermark_protocol.codes.matching import UNKNOWN_TEXT, folded
from countermark_protocol.codes.serials import Agreement, SerialKeys, serial_keys
from countermark_protocol.codes.tracing import ChainEventKind
from countermark_protocol.codes.weapons import MarkKind, WeaponCategory
from countermark_protocol.messages.base import Message
from countermark_protocol.messages.confiscation import ConfiscationNotice
from countermark_protocol.messages.destruction import DestructionNotice
from countermark_protocol.messages.found_or_surrendered import FoundOrSurrenderedNotice
from countermark_protocol.messages.lost_or_stolen import LostOrStolenNotice
from countermark_protocol.messages.scalars import earliest
from countermark_protocol.messages.tracing_request import TracingRequest
from countermark_protocol.messages.tracing_response import TracingResponse
from countermark_protocol.messages.weapon import FirearmItem

#: Requests about one weapon found in one State within so many days are one case made twice (domain page 6.3).
DUPLICATE_DAYS: Final = 7
_NO_CATEGORY: Final = frozenset({WeaponCategory.OTHER, WeaponCategory.UNKNOWN})


@dataclass(frozen=True, slots=True)
class WeaponKeys:
    """By what a weapon is compared.

    Attributes:
        serials: of all its marks that read as serials.
        make: code and scheme, or the text in its normal form; None if unknown.
        category: None if it says nothing.
        calibre: as `make`.
    """

    serials: tuple[SerialKeys, ...]
    make: str | None
    category: WeaponCategory | None
    calibre: str | None

    def agreement(self, other: WeaponKeys) -> Agreement | None:
        """By which key two weapons agree; None if they do not, or too little is known to say so.

        A serial is never enough: the makes agree; or one is unknown, the categories agree and the serial is long
        enough to be looked for by itself. A short serial needs the calibre to agree too.
        """
        pairs = ((a, b, a.agreement(b)) for a in self.serials for b in other.serials)
        found = [(a, b, by) for a, b, by in pairs if by is not None]
        if not found:
            return None
        makes = _agree(self.make, other.make)
        calibres = _agree(self.calibre, other.calibre)
        categories = _agree(self.category, other.category)
        if makes is False or (makes is None and not categories):
            return None
        good = [by for a, b, by in found if (a.stands_alone and b.stands_alone) or (makes and calibres)]
        return min(good, key=list(Agreement).index, default=None)


def _agree(one: str | None, other: str | None) -> bool | None:
    return None if one is None or other is None else one == other


def weapon_keys(item: FirearmItem) -> WeaponKeys:
    """What an item is compared by."""
    texts = {m.text for m in item.marks if m.kind is MarkKind.SERIAL and m.text is not None}
    return WeaponKeys(
        tuple(serial_keys(text) for text in sorted(texts)),
        _coded(item.make.text, item.make.code, item.make.scheme),
        None if item.category in _NO_CATEGORY else item.category,
        _coded(item.calibre.text, item.calibre.code, item.calibre.scheme),
    )


def _coded(text: str, code: str | None, scheme: str | None) -> str | None:
    if code is not None:
        return f"{scheme}:{code}"
    return None if text == UNKNOWN_TEXT else folded(text)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A weapon as one message tells of it.

    Attributes:
        message: payload hash, 32 bytes.
        type: message type.
        who: address of who says so.
        item_ref: of the weapon in the message.
        keys: what it is compared by.
        country: where it happened, ISO 3166-1 alpha-2; None if not told.
        day: when; None if not told.
        logged: ms since 1970, when the message was logged.
        destroyed: whether the message tells of its destruction.
        previous: of a tracing request, the traces that it follows: country and reference of each.
    """

    message: bytes
    type: str
    who: str
    item_ref: str
    keys: WeaponKeys
    country: str | None
    day: dt.date | None
    logged: int
    destroyed: bool = False
    previous: tuple[tuple[str | None, str], ...] = ()


def sightings_of(
    content: Message, message: bytes, who: str, logged: int, request: TracingRequest | None = None
) -> tuple[Sighting, ...]:
    """The weapons that a message tells of.

    Args:
        content: of the message.
        message: payload hash, 32 bytes.
        who: address of its sender.
        logged: ms since 1970.
        request: that a response answers: it describes the weapons.
    """
    items: Iterable[FirearmItem] = ()
    days: dict[str, dt.date] = {}
    country: str | None = None
    day: dt.date | None = None
    previous: tuple[tuple[str | None, str], ...] = ()
    if isinstance(content, TracingRequest):
        previous = tuple((trace.country, trace.ref) for trace in content.previous_traces)
        items, day, country = content.items, content.recovery.date, content.recovery.place.country
    elif isinstance(content, ConfiscationNotice):
        items, day, country = content.items, content.event.date, content.event.place.country
    elif isinstance(content, FoundOrSurrenderedNotice):
        items, day = content.items, content.event.date
    elif isinstance(content, DestructionNotice):
        items, day, country = content.items, content.destroyed_on, content.place.country
    elif isinstance(content, LostOrStolenNotice):
        if content.action is not RecordAction.CANCEL:
            items, day = content.items, content.event.date
    elif isinstance(content, TracingResponse) and request is not None:
        days = _last_steps(content)
        items = tuple(item for item in request.items if item.item_ref in days)
    return tuple(
        Sighting(
            message,
            content.TYPE,
            who,
            item.item_ref,
            weapon_keys(item),
            country,
            days.get(item.item_ref, day),
            logged,
            isinstance(content, DestructionNotice),
            previous,
        )
        for item in items
    )


def _last_steps(response: TracingResponse) -> dict[str, dt.date]:
    """The last dated step of a licit or illicit life, by item: what a weapon that is gone cannot have had later."""
    found = {}
    for result in response.item_results:
        dated = [
            earliest(step.date)
            for step in result.chain
            if step.date is not None and step.event is not ChainEventKind.DESTROYED
        ]
        if dated:
            found[result.item_ref] = max(dated)
    return found


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sightings that may be of one weapon.

    Attributes:
        earlier: in the log; of a resurrection, the destruction.
        later: in the log; of a resurrection, the later appearance.
        by: key by which the serials agree.
    """

    earlier: Sighting
    later: Sighting
    by: Agreement


def duplicates(sightings: Sequence[Sighting]) -> tuple[Pair, ...]:
    """Requests made twice: one weapon, found in one State, within seven days. They are linked, never refused.

    A request that follows another trace than the other does is the next step of a case, not the case once more.

    Args:
        sightings: of tracing requests.
    """
    return tuple(
        pair
        for pair in _pairs(sightings)
        if pair.earlier.previous == pair.later.previous
        and pair.earlier.country is not None
        and pair.earlier.country == pair.later.country
        and pair.earlier.day is not None
        and pair.later.day is not None
        and abs((pair.earlier.day - pair.later.day).days) <= DUPLICATE_DAYS
    )


def resurrections(sightings: Sequence[Sighting]) -> tuple[Pair, ...]:
    """Weapons told to be destroyed that appear again: lost, seized, traced or transferred after that day.

    An appearance without a day counts if it was logged after the notice of destruction.

    Args:
        sightings: of all messages that tell of weapons.
    """
    found = []
    for pair in _pairs(sightings):
        if pair.earlier.destroyed == pair.later.destroyed:
            continue
        gone, seen = (pair.earlier, pair.later) if pair.earlier.destroyed else (pair.later, pair.earlier)
        after = (
            seen.day > gone.day
            if seen.day is not None and gone.day is not None
            else seen.logged > gone.logged
        )
        if after:
            found.append(Pair(gone, seen, pair.by))
    return tuple(found)


def _pairs(sightings: Iterable[Sighting]) -> Iterator[Pair]:
    """Sightings of different messages that agree, the earlier in the log first; each pair once."""
    ordered = sorted(sightings, key=lambda s: (s.logged, s.message, s.item_ref))
    by_key: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, later in enumerate(ordered):
        keys = {key for serial in later.keys.serials for key in _names(serial)}
        for known in sorted({i for key in keys for i in by_key[key]}):
            earlier = ordered[known]
            by = earlier.keys.agreement(later.keys) if earlier.message != later.message else None
            if by is not None:
                yield Pair(earlier, later, by)
        for key in keys:
            by_key[key].append(place)


def _names(serial: SerialKeys) -> Iterator[tuple[str, str]]:
    yield "plain", serial.plain
    yield "zero_and_one", serial.zero_and_one
    yield "look_alike", serial.look_alike
