"""What a profile holds of its log, for a comparison with what another party holds.

Made of what the profile has verified and kept: nothing is asked of the broker, and nothing decrypted is in it.

Source: docs/spec/contradictions.md §4.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from countermark_client._records import Direction, OutboxState
from countermark_client._store import Store
from countermark_protocol.accounts import Verdict, parse_account
from countermark_protocol.answers import parse_accepted
from countermark_protocol.boxes import EMPTY_HEAD, Box, Row, row_path
from countermark_protocol.contradiction_shown import Shown
from countermark_protocol.contradictions import of_logged
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import CountermarkError, NotFoundError
from countermark_protocol.holdings import BoxEnd, HeldAccount, HeldBox, HeldEntry, Holdings
from countermark_protocol.identifiers import Address, Origin, authority_of
from countermark_protocol.leaf import parse_leaf
from countermark_protocol.proof import OwnDelivery
from countermark_protocol.proof_pieces import Delivered, parse_proof_piece

#: Addresses that are named before they are counted.
_NAMED: Final = 8


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What of it is shown.

    Attributes:
        boxes: only these; None for all.
        since: ms since 1970: only entries of this time and later; None for all.
        until: ms since 1970: only entries before it; None for all.
        parties: only deliveries to these addresses and authorities, beside one's own; None for all.
        documents: whether the signed statements themselves are shown.
    """

    boxes: frozenset[Box] | None = None
    since: int | None = None
    until: int | None = None
    parties: tuple[str, ...] | None = None
    documents: bool = False

    def has_box(self, box: Box) -> bool:
        """Whether a box is shown."""
        return self.boxes is None or box in self.boxes

    def has_time(self, time: int) -> bool:
        """Whether what happened at a time is shown."""
        return (self.since is None or time >= self.since) and (self.until is None or time < self.until)

    def has_party(self, address: Address) -> bool:
        """Whether deliveries to an endpoint are shown."""
        return self.parties is None or address in self.parties or authority_of(address) in self.parties

    @property
    def words(self) -> str:
        """What is left out, for who reads the file."""
        parts = []
        if self.boxes is not None:
            parts.append(f"boxes {', '.join(sorted(self.boxes))} only")
        if self.since is not None:
            parts.append(f"nothing before {_moment(self.since)}")
        if self.until is not None:
            parts.append(f"nothing from {_moment(self.until)} on")
        if self.parties is not None:
            parts.append(f"deliveries to {', '.join(self.parties) or 'nobody else'} only")
        if not self.documents:
            parts.append("no signed statements")
        return "; ".join(parts)[:2_000]


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(" ", "seconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class MadeHoldings:
    """Holdings, and what did not get into them.

    Attributes:
        holdings: all of it verified.
        dropped: how many kept items no third party could verify any more; they are left out.
    """

    holdings: Holdings
    dropped: int


def holdings_of(
    store: Store,
    log: Origin,
    address: Address | None,
    now: int,
    narrowing: Narrowing | None = None,
    paths: Sequence[HeldEntry] = (),
) -> MadeHoldings:
    """What a profile's store holds.

    Args:
        store: of the profile.
        log: origin.
        address: of the endpoint; None for a profile without one.
        now: ms since 1970.
        narrowing: what of it is shown.
        paths: further leaves, verified, that show the tree at sizes which another party names.

    Raises:
        NotFoundError: ``nothing_held``: the profile has never read its log.
    """
    wanted = narrowing or Narrowing()
    notes = [note for note in (store.meta("checkpoint"), store.meta("witnessed")) if note is not None]
    if not notes:
        raise NotFoundError(
            "nothing_held", "this profile has never read its log: there is nothing to compare"
        )
    entries = [*_received(store, wanted), *paths]
    if address is not None and wanted.has_box(Box.SENT):
        entries += _sent(store, address, wanted)
    boxes = []
    if address is not None:
        boxes = [HeldBox(address, _end(store, box, entries, wanted)) for box in Box if wanted.has_box(box)]
    return checked(
        Holdings(
            log=log,
            holder=address,
            made_at=now,
            narrowed=wanted.words,
            statements=of_logged(store.directory()),
            checkpoints=tuple(notes),
            entries=tuple(sorted(entries, key=lambda e: e.inclusion.index)),
            accounts=tuple(_accounts(store, wanted)),
            boxes=tuple(b for b in boxes if b.end.entries or wanted.since is None),
        )
    )


def _received(store: Store, wanted: Narrowing) -> Iterator[HeldEntry]:
    for box in (Box.URGENT, Box.ROUTINE, Box.NOTICES):
        if not wanted.has_box(box):
            continue
        for position in range(store.box_state(box).count):
            kept = store.proven_entry(box, position)
            if kept is not None:
                yield from _proven(*kept, wanted)


def _proven(document: bytes, proof: bytes, wanted: Narrowing) -> Iterator[HeldEntry]:
    piece = parse_proof_piece(proof)
    if wanted.has_time(parse_leaf(piece.inclusion.leaf).time):
        shown = document if wanted.documents else None
        yield HeldEntry(piece.checkpoint, piece.inclusion, piece.delivery, (), shown)


def _sent(store: Store, address: Address, wanted: Narrowing) -> Iterator[HeldEntry]:
    """What this profile posted, and what it read in ``sent`` of other instances of its endpoint."""
    known = set()
    for item in store.outbox(OutboxState.LOGGED):
        if item.proof is None:
            continue
        accepted = parse_accepted(item.proof)
        known.add(item.payload)
        if accepted.deliveries is None or not wanted.has_time(parse_leaf(accepted.inclusion.leaf).time):
            continue
        rows, tail = accepted.deliveries.rows, accepted.deliveries.tail
        own = next((r for r in rows if (r.endpoint, r.box) == (address, Box.SENT)), None)
        message = store.message(item.payload, Direction.OUT)
        document = accepted.document or (message.document if message is not None else item.body) or None
        yield HeldEntry(
            accepted.checkpoint,
            accepted.inclusion,
            OwnDelivery(own, tail, row_path(rows, own)) if own is not None else None,
            tuple(Delivered(r, row_path(rows, r)) for r in rows if r != own and wanted.has_party(r.endpoint)),
            document if wanted.documents else None,
        )
    for message in store.messages():
        if message.direction is Direction.OUT and message.proof is not None and message.payload not in known:
            yield from _proven(message.document, message.proof, wanted)


def _end(store: Store, box: Box, entries: Sequence[HeldEntry], wanted: Narrowing) -> BoxEnd:
    """How a box chains; of a period, from the entry before its first one on, up to its last one."""
    held = []
    for position in range(store.box_state(box).count):
        entry = store.box_entry(box, position)
        assert entry is not None
        held.append(entry)
    first, last = 0, len(held)
    if wanted.since is not None or wanted.until is not None:
        inside = {e.inclusion.index for e in entries}
        places = [place for place, (index, _, _) in enumerate(held) if index in inside]
        first, last = (max(0, places[0] - 1), places[-1] + 1) if places else (0, 0)
    chosen = held[first:last]
    return BoxEnd(
        box,
        first,
        chosen[0][2] if chosen else EMPTY_HEAD,
        tuple((index, hashed) for index, hashed, _ in chosen),
    )


def _accounts(store: Store, wanted: Narrowing) -> Iterator[HeldAccount]:
    for one in store.accounts():
        if wanted.has_time(one.made_at):
            yield HeldAccount(one.document, one.request)


def checked(made: Holdings) -> MadeHoldings:
    """Leave out what does not verify any more, as a checkpoint with a cosignature that nobody knows now."""
    shown, dropped = Shown(made.statements), 0

    def holds(check: Callable[[], object]) -> bool:
        nonlocal dropped
        try:
            check()
        except CountermarkError:
            dropped += 1
            return False
        return True

    def entry_holds(entry: HeldEntry) -> None:
        shown.entry(entry.opened(), entry.document)
        for delivered in entry.delivered:
            shown.entry(entry.put_into(delivered))

    return MadeHoldings(
        Holdings(
            made.log,
            made.holder,
            made.made_at,
            made.narrowed,
            made.statements,
            tuple(n for n in made.checkpoints if holds(lambda n=n: shown.checkpoint(n))),  # type: ignore[misc]
            tuple(e for e in made.entries if holds(lambda e=e: entry_holds(e))),  # type: ignore[misc]
            tuple(a for a in made.accounts if holds(lambda a=a: shown.account(a.document))),  # type: ignore[misc]
            made.boxes,
        ),
        dropped,
    )


# --- what a file discloses -----------------------------------------------------------------------------


def discloses(h: Holdings) -> list[str]:
    """What whoever gets the file learns, a line each."""
    accounts = [parse_account(parse_document(a.document).claims) for a in h.accounts]
    own = Counter((e.own.row.endpoint, e.own.row.box) for e in h.entries if e.own is not None)
    others = [d.row for e in h.entries for d in e.delivered]
    refusals = [a for a in accounts if a.verdict is Verdict.REFUSED]
    asked = sum(a.request is not None for a in h.accounts)
    shown = sum(e.document is not None for e in h.entries)
    whose = sorted({str(b.endpoint) for a in accounts for b in a.boxes})
    lines = [f"directory   {len(h.statements)} statements, which every participant has"]
    lines += [
        f"positions   {count} entries of box {box} of {endpoint}: when each was logged, and of which kind"
        for (endpoint, box), count in sorted(own.items())
    ]
    lines += [
        f"chain       box {b.end.box} of {b.endpoint}: indexes of {len(b.end.entries)} entries"
        for b in h.boxes
        if b.end.entries
    ]
    if accounts:
        lines.append(
            f"accounts    {len(accounts)}: how many entries each box of {_named(whose)} had, whenever it was read"
        )
    if refusals:
        lines.append(
            f"refusals    {len(refusals)} of these: rule, words and payload hash of what was refused"
        )
    if asked:
        lines.append(f"requests    {asked}: which messages were asked for and denied")
    if others:
        lines.append(
            f"deliveries  {len(others)} to {_named(_endpoints(others))}: that they got something, and when"
        )
    if shown:
        lines.append(
            f"statements  {shown} signed ones: who wrote to whom, of which type, how it is to be handled, and receipts"
        )
    return [*lines, "no content, no stanza, no key"]


def _endpoints(rows: Sequence[Row]) -> list[str]:
    return sorted({str(row.endpoint) for row in rows})


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
