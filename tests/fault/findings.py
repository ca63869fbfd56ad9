"""What a checker can find, each kind with a name of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Wrong(StrEnum):
    """Kinds of violations."""

    LOST = "lost"
    DOUBLED = "doubled"
    ORDER = "order"
    PHANTOM = "phantom"
    RECEIPT = "receipt"
    REFUSAL_STORED = "refusal_stored"
    WRONGLY_REFUSED = "wrongly_refused"
    WRONGLY_ACCEPTED = "wrongly_accepted"
    ACCOUNT = "account"
    CHECKPOINT = "checkpoint"
    PREMATURE_NOTICE = "premature_notice"
    MISSING_NOTICE = "missing_notice"
    TIME = "time"
    DIRECTORY = "directory"
    PROOF = "proof"
    DEFECT = "defect"


@dataclass(frozen=True, slots=True)
class Violation:
    """One promise that was broken.

    Attributes:
        kind: which promise.
        what: what was seen, for people.
    """

    kind: Wrong
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


@dataclass
class Findings:
    """Violations as they are found; the same one is kept once."""

    found: list[Violation] = field(default_factory=list)

    def add(self, kind: Wrong, what: str) -> None:
        """Keep one."""
        violation = Violation(kind, what)
        if violation not in self.found:
            self.found.append(violation)
