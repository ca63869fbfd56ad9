"""Holdings, verified: every signature, every path and every row, by the directory that the same file shows.

Source: docs/spec/contradictions.md §4.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from countermark_protocol.accounts import Account
from countermark_protocol.checkpoint import Checkpoint
from countermark_protocol.contradiction_shown import Shown, ShownEntry
from countermark_protocol.documents import parse_document
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import CountermarkError, VerificationError
from countermark_protocol.holdings import HeldAccount, HeldBox, HeldEntry, Holdings
from countermark_protocol.identifiers import Address


@dataclass(frozen=True, slots=True)
class Claimed:
    """What may be a contradiction, for the judge.

    Attributes:
        claim: code.
        pieces: the bytes.
        holdings: numbers of those that they come from.
    """

    claim: str
    pieces: tuple[bytes, ...]
    holdings: tuple[int, ...]


@dataclass(frozen=True)
class ReadEntry:
    """An entry, verified.

    Attributes:
        side: number of the holdings.
        held: as it was given.
        shown: verified, with the own delivery.
    """

    side: int
    held: HeldEntry
    shown: ShownEntry

    @cached_property
    def payload(self) -> bytes | None:
        """Its payload hash, 32 bytes, where the document is shown."""
        return parse_document(self.held.document).payload_hash if self.held.document is not None else None


@dataclass(frozen=True, slots=True)
class ReadAccount:
    """An account, verified.

    Attributes:
        side: number of the holdings.
        held: as it was given.
        account: what it says.
    """

    side: int
    held: HeldAccount
    account: Account


@dataclass(frozen=True, slots=True)
class ReadHoldings:
    """Holdings of which everything is verified that can be; what boxes state is the holder's word.

    Attributes:
        number: among those compared.
        holder: who.
        narrowed: what it left out.
        shown: the directory, and what follows from it.
        checkpoints: all of them.
        entries: in log order.
        accounts: the smallest size first.
        boxes: as given.
    """

    number: int
    holder: Address | None
    narrowed: str
    shown: Shown
    checkpoints: tuple[Checkpoint, ...]
    entries: tuple[ReadEntry, ...]
    accounts: tuple[ReadAccount, ...]
    boxes: tuple[HeldBox, ...]

    @property
    def size(self) -> int:
        """Of the largest signed tree."""
        return max((c.size for c in self.checkpoints), default=0)


def read_holdings(given: Holdings, number: int = 0) -> ReadHoldings:
    """Verify holdings.

    Args:
        given: parsed.
        number: among those compared.

    Raises:
        MalformedError: ``not_evidence``: of another log than its founding's; or something is not of its form.
        VerificationError: ``bad_holdings``: something in it is not signed, or proven, as it must be.
    """
    where = f"file {number + 1}" + (f", of {given.holder}" if given.holder is not None else "")
    what = "the directory"
    try:
        shown = Shown(given.statements)
        what = "a checkpoint"
        notes = dict.fromkeys([*given.checkpoints, *(e.checkpoint for e in given.entries)])
        checkpoints = tuple(shown.checkpoint(note) for note in notes)
        entries = []
        for held in given.entries:
            what = f"entry {held.inclusion.index}"
            for delivered in held.delivered:
                shown.entry(held.put_into(delivered))
            entries.append(ReadEntry(number, held, shown.entry(held.opened(), held.document)))
        what = "an account"
        accounts = [ReadAccount(number, held, shown.account(held.document)) for held in given.accounts]
    except CountermarkError as error:
        raise VerificationError("bad_holdings", f"{where}: {what} does not hold: {error}") from error
    if shown.origin != given.log:
        malformed("not_evidence", f"{where}: expected holdings of log '{shown.origin}', got '{given.log}'")
    return ReadHoldings(
        number,
        given.holder,
        given.narrowed,
        shown,
        checkpoints,
        tuple(sorted(entries, key=lambda e: e.shown.index)),
        tuple(sorted(accounts, key=lambda a: a.account.seen.size)),
        given.boxes,
    )
