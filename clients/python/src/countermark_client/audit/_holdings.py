"""What an auditor's mirror holds of its log, for a comparison with what another party holds.

A national mirror shows each position as it was shown to it; an oversight mirror makes rows and tails from the secrets
of the entries. Paths are made from the mirror's own leaves, under its newest checkpoint.

Source: docs/spec/contradictions.md §4, docs/spec/audit.md §5.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from countermark_client._holdings import MadeHoldings, Narrowing, checked
from countermark_client.audit._leaves import stored_leaves
from countermark_client.audit._mirror import Mirror
from countermark_protocol.boxes import EMPTY_HEAD, Box, BoxState, make_row, row_path
from countermark_protocol.checkpoint import parse_checkpoint
from countermark_protocol.claims import DIRECTORY_KINDS
from countermark_protocol.contradictions import of_logged
from countermark_protocol.encoding import parse_object
from countermark_protocol.errors import NotFoundError
from countermark_protocol.holdings import BoxEnd, HeldAccount, HeldBox, HeldEntry, Holdings
from countermark_protocol.identifiers import Address, Origin
from countermark_protocol.leaf import parse_leaf
from countermark_protocol.merkle import inclusion_path, leaf_hash, node_hash, root_of
from countermark_protocol.proof import Inclusion, OwnDelivery, parse_own_delivery

#: Leaves that are hashed at once: 2^8 of them.
_LEVEL = 8


def holdings_of_mirror(mirror: Mirror, now: int, narrowing: Narrowing | None = None) -> MadeHoldings:
    """What a mirror holds.

    Args:
        mirror: brought up to date.
        now: ms since 1970.
        narrowing: what of it is shown; its parties are the endpoints whose boxes are.

    Raises:
        NotFoundError: ``nothing_held``: the mirror has never been brought up to date.
        StorageError: the mirror cannot be read.
    """
    wanted = narrowing or Narrowing()
    newest = mirror.database.execute("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1").fetchone()
    if newest is None:
        raise NotFoundError(
            "nothing_held", "this mirror was never brought up to date: there is nothing to compare"
        )
    paths = _Paths(mirror, newest[0])
    entries = tuple(_entries(mirror, paths, wanted))
    notes = mirror.database.execute("SELECT note FROM checkpoints UNION SELECT note FROM cosigned").fetchall()
    accounts = mirror.database.execute("SELECT document, made_at FROM accounts ORDER BY number").fetchall()
    return checked(
        Holdings(
            log=Origin(mirror.text("log")),
            holder=Address(mirror.text("auditor")),
            made_at=now,
            narrowed=wanted.words,
            statements=of_logged(_statements(mirror)),
            checkpoints=tuple(note for (note,) in notes),
            entries=tuple(sorted(entries, key=lambda e: e.inclusion.index)),
            accounts=tuple(HeldAccount(document) for document, at in accounts if wanted.has_time(at)),
            boxes=tuple(_boxes(mirror, entries, wanted)),
        )
    )


class _Paths:
    """Inclusion paths from a mirror's own leaves."""

    def __init__(self, mirror: Mirror, note: bytes) -> None:
        self.note = note
        self._mirror = mirror
        self._size = parse_checkpoint(note).size
        self._subtree = cache(self._make)
        self._hashes = cache(self._read)

    def _read(self, bundle: int) -> tuple[bytes, ...]:
        return tuple(map(leaf_hash, stored_leaves(self._mirror, bundle << _LEVEL, bundle + 1 << _LEVEL)))

    def _make(self, level: int, number: int) -> bytes:
        if level > _LEVEL:
            return node_hash(self._subtree(level - 1, 2 * number), self._subtree(level - 1, 2 * number + 1))
        first = number << level
        start = first & (1 << _LEVEL) - 1
        return root_of(self._hashes(first >> _LEVEL)[start : start + (1 << level)])

    def inclusion(self, index: int) -> Inclusion | None:
        """The leaf at an index with its path; None beyond the newest checkpoint."""
        leaves = stored_leaves(self._mirror, index, index + 1)
        if not leaves or index >= self._size:
            return None
        return Inclusion(index, leaves[0], tuple(inclusion_path(self._subtree, index, self._size)))


def _statements(mirror: Mirror) -> list[tuple[int, bytes, bytes]]:
    kinds = {int(kind) for kind in DIRECTORY_KINDS}
    rows = mirror.database.execute(
        "SELECT idx, leaf, document, leaves.kind FROM entries JOIN leaves USING (idx) ORDER BY idx"
    )
    return [(index, leaf, document) for index, leaf, document, kind in rows if kind in kinds]


def _entries(mirror: Mirror, paths: _Paths, wanted: Narrowing) -> Iterator[HeldEntry]:
    rows = mirror.database.execute(
        "SELECT b.idx, b.endpoint, b.box, b.position, b.shown, e.document, e.secret, "
        "(SELECT head FROM boxes p WHERE p.endpoint = b.endpoint AND p.box = b.box AND p.position = b.position - 1) "
        "FROM boxes b LEFT JOIN entries e USING (idx) ORDER BY b.idx"
    )
    for index, endpoint, box, position, shown, document, secret, previous in rows:
        if not wanted.has_box(Box(box)) or not wanted.has_party(Address(endpoint)):
            continue
        inclusion = paths.inclusion(index)
        if inclusion is None or not wanted.has_time(parse_leaf(inclusion.leaf).time):
            continue
        if shown is not None:
            own = parse_own_delivery(parse_object(shown, "kept box entry")["delivery"])
        elif secret is not None:
            statement = parse_leaf(inclusion.leaf).statement
            before = BoxState(position, previous or EMPTY_HEAD)
            own = _made(mirror, index, secret, (Address(endpoint), Box(box)), before, statement)
        else:
            continue
        yield HeldEntry(paths.note, inclusion, own, (), document if wanted.documents else None)


def _made(
    mirror: Mirror, index: int, secret: bytes, place: tuple[Address, Box], before: BoxState, statement: bytes
) -> OwnDelivery:
    """A position opened from the secret of its entry."""
    rows = []
    for endpoint, box, position, previous in mirror.database.execute(
        "SELECT endpoint, box, position, (SELECT head FROM boxes p WHERE p.endpoint = b.endpoint AND p.box = b.box "
        "AND p.position = b.position - 1) FROM boxes b WHERE idx = ?",
        (index,),
    ):
        state = BoxState(position, previous or EMPTY_HEAD)
        rows.append(make_row(secret, Address(endpoint), Box(box), state, index, statement)[0])
    row, tail = make_row(secret, *place, before, index, statement)
    return OwnDelivery(row, tail, row_path(rows, row))


def _boxes(mirror: Mirror, entries: tuple[HeldEntry, ...], wanted: Narrowing) -> Iterator[HeldBox]:
    """How each box chains that has an entry shown; of a period, from the entry before its first one on."""
    inside: dict[tuple[str, str], list[int]] = {}
    for entry in entries:
        if entry.own is not None:
            place = entry.own.row.endpoint, entry.own.row.box
            inside.setdefault(place, []).append(entry.own.tail.position)
    whole = wanted.since is None and wanted.until is None
    for (endpoint, box), positions in sorted(inside.items()):
        first = 0 if whole else max(0, min(positions) - 1)
        rows = mirror.database.execute(
            "SELECT b.idx, l.leaf, b.head FROM boxes b JOIN leaves l USING (idx) WHERE endpoint = ? AND box = ? "
            "AND position >= ? AND position <= ? ORDER BY position",
            (endpoint, box, first - 1, max(positions)),
        ).fetchall()
        before = rows.pop(0)[2] if first else EMPTY_HEAD
        chain = tuple((index, parse_leaf(leaf).statement) for index, leaf, _ in rows)
        yield HeldBox(Address(endpoint), BoxEnd(Box(box), first, before, chain))
