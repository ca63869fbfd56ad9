"""What the demo makes up: one place for it, so that all of it can be listed at the end.

Real registers hold no case references, authorisations or witnesses for us; messages need them. Whatever no record
holds goes through `Inventions.make`, and is sent flagged as ``exercise``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from countermark_protocol.encoding import JsonObject

T = TypeVar("T")


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


@dataclass(frozen=True, slots=True)
class InventionCount:
    """How often one kind of thing was made up, with its first instance."""

    kind: str
    count: int
    first: Invention


@dataclass(slots=True)
class Inventions:
    """The one place through which the demo makes things up, and the list of all of them."""

    made: list[Invention] = field(default_factory=list)

    def make(self, kind: str, about: str, value: T) -> T:
        """Note that `value` is made up, and return it."""
        self.made.append(Invention(kind, about, str(value)))
        return value

    def summary(self) -> tuple[InventionCount, ...]:
        """Each kind, most frequent first."""
        first: dict[str, Invention] = {}
        counts: dict[str, int] = {}
        for each in self.made:
            first.setdefault(each.kind, each)
            counts[each.kind] = counts.get(each.kind, 0) + 1
        order = sorted(counts, key=lambda kind: (-counts[kind], kind))
        return tuple(InventionCount(kind, counts[kind], first[kind]) for kind in order)


@dataclass(frozen=True, slots=True)
class Agency:
    """Who plays a sender; the demo casts it.

    Attributes:
        name: of the agency.
        unit: within it.
        languages: BCP 47, in which it answers.
        email: of its duty post.
    """

    name: str
    unit: str
    languages: tuple[str, ...] = ("en",)
    email: str = "duty@example.invalid"

    def contact(self) -> JsonObject:
        """Its contact block."""
        return {
            "agency": self.name,
            "unit": self.unit,
            "email": self.email,
            "languages": list(self.languages),
        }
