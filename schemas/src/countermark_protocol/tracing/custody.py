"""The chain of custody of one weapon: answers of several States merged, from manufacture to the point of diversion.

Steps that several answers tell of alike are one step with several sources. Nothing is mended: what does not fit is
shown as a gap or a contradiction, for people to ask about.

Source: ITI 5 and 20; MOSAIC 05.31; SDG 16.4.2; docs/spec/tracing.md §6.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from countermark_protocol.codes.matching import folded
from countermark_protocol.codes.tracing import ChainEventKind
from countermark_protocol.messages.blocks import Actor
from countermark_protocol.messages.scalars import earliest, latest
from countermark_protocol.messages.tracing_response import ChainEvent, ItemResult, PointOfDiversion

#: Order of what registers hold of one day.
_RANK: Final = {kind: rank for rank, kind in enumerate(ChainEventKind)}
_ONCE: Final = frozenset({ChainEventKind.MANUFACTURED, ChainEventKind.DESTROYED})


class Flaw(StrEnum):
    """What does not fit in a chain."""

    NO_MANUFACTURE = "no-manufacture"
    GAP = "gap"
    DATES_BACK = "dates-back"
    DATES_DIFFER = "dates-differ"
    TOLD_TWICE = "told-twice"
    AFTER_DESTRUCTION = "after-destruction"
    OPEN_END = "open-end"


#: What each means.
FLAWS: Final = MappingProxyType(
    {
        Flaw.NO_MANUFACTURE: "gap: nothing is known of the manufacture",
        Flaw.GAP: "gap: who handed it on here is not who received it before",
        Flaw.DATES_BACK: "contradiction: dated before what must have come first",
        Flaw.DATES_DIFFER: "contradiction: answers date the same step differently",
        Flaw.TOLD_TWICE: "contradiction: it can have happened only once, and answers tell of two",
        Flaw.AFTER_DESTRUCTION: "contradiction: dated after its destruction",
        Flaw.OPEN_END: "gap: the point of diversion is not established",
    }
)


@dataclass(frozen=True, slots=True)
class ToldChain:
    """What one answer tells of the weapon.

    Attributes:
        source: who answers: address.
        result: of the item.
    """

    source: str
    result: ItemResult


@dataclass(frozen=True, slots=True)
class CustodyStep:
    """One step of the merged chain.

    Attributes:
        event: what happened.
        date: as told, partial; None if nobody says.
        from_: by or from whom.
        to: to whom.
        licences: references of licences and documents.
        sources: who tells of it.
        flaws: what does not fit before or at it.
    """

    event: ChainEventKind
    date: str | None
    from_: Actor | None
    to: Actor | None
    licences: tuple[str, ...]
    sources: tuple[str, ...]
    flaws: tuple[Flaw, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "event": self.event.value,
            "date": self.date,
            "from": _actor_json(self.from_),
            "to": _actor_json(self.to),
            "licences": list(self.licences),
            "sources": list(self.sources),
            "flaws": [flaw.value for flaw in self.flaws],
        }


@dataclass(frozen=True, slots=True)
class Custody:
    """A chain of custody.

    Attributes:
        steps: oldest first.
        diversion: where the weapon left the licit world, by each source that says so.
        next_states: States that answers name to be asked next and that did not answer.
        flaws: of the chain as a whole.
    """

    steps: tuple[CustodyStep, ...]
    diversion: tuple[tuple[str, PointOfDiversion], ...]
    next_states: tuple[str, ...]
    flaws: tuple[Flaw, ...]

    @property
    def whole(self) -> bool:
        """Whether it leads from manufacture to the point of diversion without gap or contradiction."""
        return bool(self.steps) and not self.flaws and not any(step.flaws for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "steps": [step.to_json() for step in self.steps],
            "diversion": [
                {"source": source, **point.model_dump(mode="json", exclude_none=True)}
                for source, point in self.diversion
            ],
            "next_states": list(self.next_states),
            "flaws": [flaw.value for flaw in self.flaws],
            "whole": self.whole,
        }


@dataclass(frozen=True, slots=True)
class _Placed:
    """A step with where it belongs: its own date, or that of the one before it in its answer."""

    step: CustodyStep
    day: dt.date
    number: int


def merge_chains(told: Iterable[ToldChain]) -> Custody:
    """Merge what several answers tell of one weapon.

    Args:
        told: answers about it; their order does not matter.
    """
    answers = sorted(told, key=lambda t: (t.source, t.result.model_dump_json()))
    placed: list[_Placed] = []
    for answer in answers:
        for one in _placed(answer):
            _join(placed, one)
    placed.sort(key=lambda p: (p.day, _RANK[p.step.event], p.number, p.step.sources))
    steps = _checked([p.step for p in placed])
    diversion = tuple(
        (a.source, a.result.point_of_diversion) for a in answers if a.result.point_of_diversion is not None
    )
    answered = {a.source.partition(".")[0].upper() for a in answers}
    named = {a.result.next_state for a in answers if a.result.next_state is not None}
    flaws: list[Flaw] = []
    if steps and steps[0].event is not ChainEventKind.MANUFACTURED:
        flaws.append(Flaw.NO_MANUFACTURE)
    if not diversion:
        flaws.append(Flaw.OPEN_END)
    return Custody(tuple(steps), diversion, tuple(sorted(named - answered)), tuple(flaws))


def _placed(answer: ToldChain) -> Iterator[_Placed]:
    chain = answer.result.chain
    # What has no date belongs to the step before it; what begins an answer, to the one after it.
    day = next((earliest(event.date) for event in chain if event.date is not None), dt.date.max)
    for event in chain:
        if event.date is not None:
            day = earliest(event.date)
        made = event.event is ChainEventKind.MANUFACTURED and event.date is None
        yield _Placed(_step(event, answer.source), dt.date.min if made else day, event.seq)


def _step(event: ChainEvent, source: str) -> CustodyStep:
    licences = tuple(ref for ref in (event.licence_ref, event.document_ref) if ref is not None)
    return CustodyStep(event.event, event.date, event.from_, event.to, licences, (source,))


def _join(placed: list[_Placed], new: _Placed) -> None:
    """Add a step, to the same one of another answer if there is one."""
    for i, known in enumerate(placed):
        if not _same(known.step, new.step) or set(new.step.sources) & set(known.step.sources):
            continue
        old = known.step
        exact = max(
            (d for d in (old.date, new.step.date) if d is not None), key=lambda d: (len(d), d), default=None
        )
        flaws = (*old.flaws, *new.step.flaws)
        if not _meet(old.date, new.step.date):
            flaws = (*flaws, Flaw.DATES_DIFFER)
        step = CustodyStep(
            old.event,
            exact,
            _fuller(old.from_, new.step.from_),
            _fuller(old.to, new.step.to),
            tuple(dict.fromkeys((*old.licences, *new.step.licences))),
            tuple(sorted({*old.sources, *new.step.sources})),
            tuple(dict.fromkeys(flaws)),
        )
        placed[i] = _Placed(step, max(known.day, new.day), max(known.number, new.number))
        return
    placed.append(new)


def _same(one: CustodyStep, other: CustodyStep) -> bool:
    """Whether two answers tell of one step: the same event between parties that do not exclude each other.

    Dated apart it is the same only where it can happen once, or both name a party, and the same.
    """
    if one.event is not other.event or not (
        _compatible(one.from_, other.from_) and _compatible(one.to, other.to)
    ):
        return False
    if _meet(one.date, other.date):
        return True
    pairs = ((one.from_, other.from_), (one.to, other.to))
    return one.event in _ONCE or all(a is not None and b is not None for a, b in pairs)


def _meet(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return True
    return earliest(one) <= latest(other) and earliest(other) <= latest(one)


def _compatible(one: Actor | None, other: Actor | None) -> bool:
    if one is None or other is None:
        return True
    countries = {_country(one), _country(other)} - {None}
    names = {_name(one), _name(other)} - {None}
    return len(countries) <= 1 and len(names) <= 1


def _country(actor: Actor) -> str | None:
    return actor.country or (actor.place.country if actor.place is not None else None)


def _name(actor: Actor) -> str | None:
    return folded(actor.organisation) if actor.organisation is not None else None


def _fuller(one: Actor | None, other: Actor | None) -> Actor | None:
    known = [actor for actor in (one, other) if actor is not None]
    return max(known, key=lambda a: len(a.model_dump(exclude_none=True)), default=None)


def _checked(steps: Sequence[CustodyStep]) -> list[CustodyStep]:
    """The steps, each with what does not fit at it."""
    out: list[CustodyStep] = []
    holder: Actor | None = None
    destroyed: str | None = None
    seen: set[ChainEventKind] = set()
    for place, step in enumerate(steps):
        flaws = list(step.flaws)
        if _too_early(step, steps[place + 1 :], seen):
            flaws.append(Flaw.DATES_BACK)
        if holder is not None and not _meets(holder, step):
            flaws.append(Flaw.GAP)
        if step.event in _ONCE and step.event in seen:
            flaws.append(Flaw.TOLD_TWICE)
        if destroyed is not None and step.event is not ChainEventKind.DESTROYED:
            flaws.append(Flaw.AFTER_DESTRUCTION)
        seen.add(step.event)
        if step.event is ChainEventKind.DESTROYED:
            destroyed = step.date or ""
        out.append(replace(step, flaws=tuple(dict.fromkeys(flaws))))
        if step.to is not None:
            holder = step.to
        elif step.event is ChainEventKind.MANUFACTURED:
            holder = step.from_
    return out


def _meets(holder: Actor, step: CustodyStep) -> bool:
    """Whether a step goes on from who held the weapon; an import may be told from its sender's side again."""
    if step.from_ is None or _compatible(holder, step.from_):
        return True
    return step.event is ChainEventKind.IMPORTED and step.to is not None and _compatible(holder, step.to)


def _too_early(step: CustodyStep, later: Sequence[CustodyStep], seen: set[ChainEventKind]) -> bool:
    """Whether what must have come first is dated later: the manufacture, or of an import its export."""
    if ChainEventKind.MANUFACTURED not in seen and any(
        one.event is ChainEventKind.MANUFACTURED for one in later if one is not step
    ):
        return step.event is not ChainEventKind.MANUFACTURED
    if step.event is not ChainEventKind.IMPORTED or step.to is None or ChainEventKind.EXPORTED in seen:
        return False
    return any(
        one.event is ChainEventKind.EXPORTED and one.to is not None and _compatible(one.to, step.to)
        for one in later
    )


def actor_text(actor: Actor | None) -> str:
    """A party in words."""
    if actor is None:
        return "not told"
    country = _country(actor)
    where = actor.place.name if actor.place is not None else None
    parts = [p for p in (actor.organisation, where, country) if p]
    return ", ".join(parts) or actor.role.value


def _actor_json(actor: Actor | None) -> dict[str, Any] | None:
    return actor.model_dump(mode="json", exclude_none=True) if actor is not None else None
