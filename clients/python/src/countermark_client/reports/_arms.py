"""Arms that came to hand, one by one, from what an agency's own messages say of them.

A weapon stands in several messages: the notice of its seizure, the same notice again, the tracing requests about it. It
is *one* weapon where

1. reference and item are the same: two notices of one agency with one ``noticeRef``, or a request whose
   ``nationalCaseRef`` is that reference, with one ``itemRef``; or
2. the serial keys are equal (letters and digits; O is not 0), make or calibre agrees, or neither is known of both, the
   country of finding is the same, and the days of finding lie at most 7 apart (domain page 6.3).

Weapons without a serial that can be read are the same by the first rule only. The notice that was logged first speaks
for the weapon; a tracing request speaks for weapons that no notice tells of.

Source: docs/spec/reports.md §3.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from countermark_client.reports._standing import StandingMessage
from countermark_protocol.codes.matching import UNKNOWN_TEXT
from countermark_protocol.codes.reports import MarkingState
from countermark_protocol.codes.serials import serial_keys
from countermark_protocol.codes.tracing import TraceOutcome
from countermark_protocol.codes.transfers import FindManner
from countermark_protocol.codes.weapons import Component, MarkKind, MarkStatus, NoMarksReason
from countermark_protocol.messages.confiscation import ConfiscationNotice
from countermark_protocol.messages.found_or_surrendered import FoundOrSurrenderedNotice
from countermark_protocol.messages.marks import Mark
from countermark_protocol.messages.tracing_request import TracingRequest
from countermark_protocol.messages.weapon import Calibre, FirearmItem, Make

#: Days by which reports of one finding differ at most (domain page 6.3).
SAME_DAYS: Final = 7
_REFERENCE: Final = frozenset({Component.FRAME, Component.RECEIVER})
_TAMPERED: Final = frozenset(
    {MarkStatus.OBLITERATED, MarkStatus.ALTERED, MarkStatus.RESTORED, MarkStatus.PARTIAL}
)
_READ: Final = frozenset({MarkStatus.LEGIBLE, MarkStatus.RESTORED})


@dataclass(frozen=True, slots=True)
class Source:
    """One place that tells of a weapon.

    Attributes:
        message: payload hash, hexadecimal.
        item: its ``itemRef``, or the pointer to a row of counts.
    """

    message: str
    item: str


@dataclass(frozen=True, slots=True)
class Record:
    """What one message says of one weapon.

    Attributes:
        source: where.
        index: of the message's log entry.
        notice: whether it is a notice; a tracing request otherwise.
        reference: of the notice or case, with the authority that wrote it.
        action: how it came to hand, as the message says.
        day: of finding, or None.
        country: of finding.
        item: the weapon.
        offences: in whose context.
        trace_intended: ``YES``, ``NO``, ``DONE``, or None in a request.
        count: how many weapons; more than one only of a row that counts weapons without marks.
    """

    source: Source
    index: int
    notice: bool
    reference: tuple[str, str]
    action: str
    day: dt.date | None
    country: str
    item: FirearmItem = field(repr=False)
    offences: tuple[str, ...] = ()
    trace_intended: str | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Arm:
    """One weapon, or a row of weapons without marks.

    Attributes:
        records: what tells of it; the first speaks for it.
        outcomes: of final and interim answers to requests about it, with where they stand.
        requested: whether a request about it was sent.
        final: whether every request about it is answered finally.
    """

    records: tuple[Record, ...]
    outcomes: tuple[tuple[TraceOutcome, Source], ...] = ()
    requested: bool = False
    final: bool = False

    @property
    def main(self) -> Record:
        """What speaks for it."""
        return self.records[0]

    @property
    def year(self) -> int | None:
        """Of finding."""
        return self.main.day.year if self.main.day is not None else None

    @property
    def sources(self) -> tuple[Source, ...]:
        """All that was taken together, what speaks for it first."""
        return (*(each.source for each in self.records), *(source for _, source in self.outcomes))


def read_records(messages: Iterable[StandingMessage]) -> Iterator[Record]:
    """What an agency's own notices and requests say, weapon by weapon."""
    for each in messages:
        said, item = each.content, each.item
        index = item.index if item.index is not None else 0
        authority = item.manifest.sender.split(".", 1)[0]
        if isinstance(said, ConfiscationNotice | FoundOrSurrenderedNotice):
            for weapon, count in _weapons(said):
                yield Record(
                    source=Source(item.message.hex(), weapon.item_ref),
                    index=index,
                    notice=True,
                    reference=(authority, said.notice_ref),
                    action=action_of(said),
                    day=said.event.date,
                    country=said.event.place.country,
                    item=weapon,
                    offences=offences_of(said),
                    trace_intended=said.trace_intended.value,
                    count=count,
                )
        elif isinstance(said, TracingRequest):
            for weapon in said.items:
                yield Record(
                    source=Source(item.message.hex(), weapon.item_ref),
                    index=index,
                    notice=False,
                    reference=(authority, said.national_case_ref),
                    action=said.recovery.context.value,
                    day=said.recovery.date,
                    country=said.recovery.place.country,
                    item=weapon,
                    offences=tuple(offence.value for offence in said.recovery.offences),
                )


def action_of(said: ConfiscationNotice | FoundOrSurrenderedNotice) -> str:
    """How the weapons of a notice came to hand: what is collected in a programme is surrendered (IAFQ)."""
    if isinstance(said, ConfiscationNotice):
        return said.action.value
    return "FOUND" if said.manner is FindManner.FOUND else "SURRENDERED"


def offences_of(said: ConfiscationNotice | FoundOrSurrenderedNotice) -> tuple[str, ...]:
    """Offences in whose context they came to hand; none of what nobody seized."""
    if isinstance(said, FoundOrSurrenderedNotice):
        return ("NO_OFFENCE",)
    return tuple(offence.value for offence in said.offences)


def _weapons(said: ConfiscationNotice | FoundOrSurrenderedNotice) -> Iterator[tuple[FirearmItem, int]]:
    """The weapons of a notice, with how many each stands for: rows of counts bear no marks."""
    yield from ((weapon, 1) for weapon in said.items)
    if isinstance(said, FoundOrSurrenderedNotice):
        for number, row in enumerate(said.counts):
            weapon = FirearmItem(
                item_ref=f"/counts/{number}",
                category=row.category,
                origin_form=row.origin_form,
                make=Make(text=UNKNOWN_TEXT),
                calibre=Calibre(text=UNKNOWN_TEXT),
                no_marks_reason=row.reason,
            )
            yield weapon, row.count


# --- the same weapon ---------------------------------------------------------------------------------


class Groups:
    """Disjoint sets of numbers, joined two at a time."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def find(self, one: int) -> int:
        """The representative of a set."""
        while self._parent[one] != one:
            self._parent[one] = self._parent[self._parent[one]]
            one = self._parent[one]
        return one

    def join(self, one: int, other: int) -> None:
        """Make two sets one."""
        self._parent[self.find(one)] = self.find(other)


def serial_key(item: FirearmItem) -> str | None:
    """By which serial two records of a weapon are compared, or None: that of frame or receiver if it can be read."""
    readable = [
        mark
        for mark in item.marks
        if mark.kind is MarkKind.SERIAL and mark.status in _READ and mark.text is not None
    ]
    chosen = [mark for mark in readable if mark.component in _REFERENCE] or readable
    keys = sorted(key.plain for key in (serial_keys(mark.text or "") for mark in chosen) if key.stands_alone)
    return keys[0] if keys else None


def _name(text: str, code: str | None) -> str | None:
    return None if text == UNKNOWN_TEXT else code or text.upper()


def alike(one: FirearmItem, other: FirearmItem) -> bool:
    """Whether make or calibre agrees; or nothing can be said, since neither is known of both."""
    pairs = (
        (_name(one.make.text, one.make.code), _name(other.make.text, other.make.code)),
        (_name(one.calibre.text, one.calibre.code), _name(other.calibre.text, other.calibre.code)),
    )
    return any(None not in pair and pair[0] == pair[1] for pair in pairs) or all(
        None in pair for pair in pairs
    )


def join_by(
    records: Sequence[Record],
    groups: Groups,
    key: Callable[[Record], object],
    same: Callable[[Record, Record], bool],
) -> None:
    """Join records with the same key (none: never) of which `same` holds."""
    keyed: dict[object, list[int]] = {}
    for number, record in enumerate(records):
        found = key(record)
        if found is not None:
            keyed.setdefault(found, []).append(number)
    for numbers in keyed.values():
        for position, one in enumerate(numbers):
            for other in numbers[position + 1 :]:
                if same(records[one], records[other]):
                    groups.join(one, other)


def _one_finding(one: Record, other: Record) -> bool:
    if not alike(one.item, other.item):
        return False
    if one.day is None or other.day is None:
        return one.day is other.day
    return abs((one.day - other.day).days) <= SAME_DAYS


def group_records(records: Iterable[Record]) -> list[tuple[Record, ...]]:
    """Records of one weapon each, what speaks for it first; groups in the order of that."""
    ordered = sorted(records, key=_precedence)
    groups = Groups(len(ordered))
    join_by(ordered, groups, lambda r: (r.reference, r.item.item_ref), lambda *_: True)

    def found(record: Record) -> object:
        serial = serial_key(record.item)
        return None if serial is None else (serial, record.country)

    join_by(ordered, groups, found, _one_finding)
    numbered = sorted(range(len(ordered)), key=lambda n: (groups.find(n), n))
    grouped = [tuple(ordered[n] for n in each) for _, each in groupby(numbered, key=groups.find)]
    return sorted(grouped, key=lambda group: _precedence(group[0]))


def _precedence(record: Record) -> tuple[bool, int, str, str]:
    return not record.notice, record.index, record.source.message, record.source.item


# --- state of marking --------------------------------------------------------------------------------


def marking_state(item: FirearmItem) -> MarkingState:
    """State of marking of a weapon, by its serials: those of frame or receiver where there are any (ITI 10).

    A serial of which a part was removed or that had to be restored counts as removed or altered.
    """
    serials = [mark for mark in item.marks if mark.kind is MarkKind.SERIAL]
    serials = [mark for mark in serials if mark.component in _REFERENCE] or serials
    if not serials:
        never = item.no_marks_reason is NoMarksReason.NEVER_MARKED
        return MarkingState.NEVER_MARKED if never else MarkingState.UNKNOWN
    return _worst(serials)


def _worst(serials: Sequence[Mark]) -> MarkingState:
    statuses = {mark.status for mark in serials}
    if statuses & _TAMPERED:
        return MarkingState.REMOVED_OR_ALTERED
    if MarkStatus.LEGIBLE in statuses:
        return MarkingState.UNIQUELY_MARKED
    return MarkingState.NEVER_MARKED if statuses == {MarkStatus.NEVER_MARKED} else MarkingState.UNKNOWN
