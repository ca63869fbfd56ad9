"""A log in memory as an auditor's source: what a broker shows, and whatever a test spoils of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from countermark_client.audit._adopting import adopt, effects_of
from countermark_client.audit._engine import Mandate
from countermark_client.audit._mirror import Mirror
from countermark_client.audit._replay import Shown
from countermark_client.audit._signatures import Signatures, as_verified
from countermark_client.audit._sync import Synchronised, synchronise
from countermark_client.audit._verify import Verified, verify_file, verify_mirror
from countermark_protocol.accounts import Account, StatedBox, Verdict
from countermark_protocol.acts import Scope
from countermark_protocol.answers import BoxEntry, BoxPage, DirectoryPage, LoggedStatement, OwnRecipient
from countermark_protocol.appending import Entry
from countermark_protocol.boxes import Box, BoxState
from countermark_protocol.checkpoint import sign_checkpoint
from countermark_protocol.claims import DIRECTORY_KINDS
from countermark_protocol.documents import parse_document, sign_document
from countermark_protocol.encoding import encode_json
from countermark_protocol.identifiers import Address, Origin, authority_of
from countermark_protocol.keys import fingerprint, sha256
from countermark_protocol.leaf import Leaf, parse_leaf
from countermark_protocol.mandates import Oversight, Witness
from countermark_protocol.merkle import Frontier, leaf_hash, root_of
from countermark_protocol.recipients import RecipientRow, recipient_path
from countermark_protocol.stamp_history import StampHistory, StampItem
from countermark_protocol.statements import kind_of, read_statement
from countermark_protocol.tile_reader import Fetch
from countermark_protocol.tiles import (
    TILE_WIDTH,
    encode_bundle,
    encode_tile,
    parse_bundle_path,
    parse_tile_path,
)
from countermark_protocol.timestamps import TsaRoots
from countermark_protocol.tlog_policy import TlogPolicy
from countermark_protocol.witness_history import HistoryItem, WitnessHistory
from support.protocol_world import NOW, ProtocolWorld, copy_state, fresh_state
from support.world import ALWAYS, BROKER, KENYAN_AUDITOR, OVERSEER, USUAL, Sealed


class AuditedWorld(ProtocolWorld):
    """A world that remembers the recipient rows of its messages, by payload hash."""

    rows: dict[bytes, tuple[RecipientRow, ...]]

    def put(self, what: bytes | Sealed, **more: Any) -> Entry:
        if isinstance(what, Sealed):
            self.rows[what.payload_hash] = what.rows
        return super().put(what, **more)

    def force(self, what: bytes | Sealed, boxes: dict[Box, Box] | None = None) -> Entry:
        """Log what the rules refuse, as a broker that decides wrongly does.

        Args:
            what: a statement.
            boxes: other boxes than those that it belongs into.
        """
        data, rows = (what.document, what.rows) if isinstance(what, Sealed) else (what, ())
        if isinstance(what, Sealed):
            self.rows[what.payload_hash] = what.rows
        unverified = parse_document(data)
        document = as_verified(unverified)
        statement = read_statement(document, rows)
        state, index = self.state, self.state.size
        decision = effects_of(state, statement)
        if boxes:
            decision = replace(
                decision, deliveries=tuple((e, boxes.get(b, b)) for e, b in decision.deliveries)
            )
        head, count = state.directory.head, state.directory.count
        if decision.directory is not None:
            head = state.directory.head_with(decision.directory, document, index, self.now)
            count += 1
        secret = sha256(b"forced %d" % index)
        leaf = Leaf(
            kind=int(kind_of(unverified.claims)),
            time=self.now,
            dir_count=count,
            dir_head=head,
            statement=document.statement_hash,
            delivery=bytes(32),
        )
        _, delivery = adopt(copy_state(state), statement, decision, leaf, secret)
        leaf = replace(leaf, delivery=delivery)
        placed, _ = adopt(state, statement, decision, leaf, secret)
        assert isinstance(state.roots, dict)
        state.roots[state.size] = state.frontier.root()
        entry = Entry(index, leaf, document, secret, placed, decision)
        self.entries.append(entry)
        return entry


def audited_world(endpoints: Sequence[Address] = USUAL, witnesses: tuple[Witness, ...] = ()) -> AuditedWorld:
    """The usual world with both auditors, nothing sent yet."""
    world = AuditedWorld(
        oversight=(Oversight(OVERSEER, ALWAYS),),
        endpoints=(*endpoints, KENYAN_AUDITOR, OVERSEER),
        witnesses=witnesses,
    )
    world.now, world.entries, world.rows = NOW, [], {}
    world.state = fresh_state(world.origin)
    world.put(world.founding())
    world.put(world.broker_keys())
    world.put(world.policy_statement())
    for code in sorted({authority_of(a) for a in world.endpoints}):
        world.put(world.authority_statement(code))
    for address in world.endpoints:
        world.put(world.endpoint_statement(address))
        world.put(world.keys_statement(address))
    return world


class MemoryLog:
    """Shows a world's log to an auditor.

    Attributes:
        leaves: as the tree has them; a test may change them before anything is read.
        rows: recipient rows of messages, by payload hash; see `sent`.
        spoil_entry, spoil_box, spoil_tile, spoil_account: what a test makes of each answer.
        page: entries in one page.
        series: witnessed checkpoints that it shows, in the order of time.
        stamped: time stamps that it shows, in the order of minute and authority.
        own: the auditor's own policy.
        roots: of authorities of time stamps that the auditor believes.
        lag: how many entries the node that shows boxes has not heard of yet.
        calls: how many answers were given; at `fail_at` the answer is an error.
    """

    def __init__(self, world: AuditedWorld, auditor: Address = OVERSEER) -> None:
        self.world = world
        self.auditor = auditor
        self.size = len(world.entries)
        self.leaves = [e.leaf.encode() for e in world.entries]
        self.spoil_entry: Callable[[Shown, bytes], tuple[Shown, bytes] | None] = lambda s, leaf: (s, leaf)
        self.spoil_box: Callable[[Address, Box, list[BoxEntry]], list[BoxEntry]] = lambda _e, _b, p: p
        self.spoil_tile: Callable[[str, bytes], bytes] = lambda _path, data: data
        self.spoil_account: Callable[[Account], Account] = lambda account: account
        self.series: list[HistoryItem] = []
        self.stamped: list[StampItem] = []
        self.own: TlogPolicy | None = None
        self.mirrored: Fetch | None = None
        self.roots: TsaRoots = ()
        self.page = 500
        self.lag = 0
        self.calls = 0
        self.fail_at: int | None = None

    def _called(self) -> None:
        self.calls += 1
        if self.calls == self.fail_at:
            raise KeyboardInterrupt

    # --- the log ---

    def root(self, size: int) -> bytes:
        return Frontier().extend([leaf_hash(leaf) for leaf in self.leaves[:size]]).root()

    def checkpoint(self) -> bytes:
        self._called()
        w = self.world
        return sign_checkpoint(
            w.origin, self.size, self.root(self.size), w.log_key.sign, w.log_key.public_key.raw
        )

    def fetch(self, path: str) -> bytes:
        self._called()
        if path.startswith("tile/entries/"):
            bundle = parse_bundle_path(path)
            first = bundle.index * TILE_WIDTH
            return self.spoil_tile(path, encode_bundle(self.leaves[first : first + bundle.width]))
        tile = parse_tile_path(path)
        span = TILE_WIDTH**tile.level
        hashes = [leaf_hash(leaf) for leaf in self.leaves[: self.size]]
        first = tile.index * TILE_WIDTH
        nodes = [
            root_of(hashes[i * span : (i + 1) * span]) if span > 1 else hashes[i]
            for i in range(first, first + tile.width)
        ]
        return self.spoil_tile(path, encode_tile(nodes))

    def directory(self, start: int) -> DirectoryPage:
        self._called()
        found = [e for e in self.world.entries[: self.size] if e.leaf.kind in DIRECTORY_KINDS]
        statements = tuple(
            LoggedStatement(e.index, self.leaves[e.index], e.document.data) for e in found[start : start + 10]
        )
        complete = start + 10 >= len(found)
        self.calls -= 1
        return DirectoryPage(self.checkpoint(), statements, complete, self.world.inclusion(0))

    def witnessed(self, start: int) -> WitnessHistory:
        if self.series:
            self._called()
        rest = [item for item in self.series if item.minute >= start]
        return WitnessHistory(tuple(rest[: self.page]), len(rest) <= self.page)

    def stamps(self, start: int) -> StampHistory:
        rest = [item for item in self.stamped if item.minute >= start]
        return StampHistory(tuple(rest[: self.page]), len(rest) <= self.page)

    # --- what a mandate covers ---

    def entries(self, start: int) -> list[tuple[Shown, bytes]]:
        self._called()
        out = []
        for entry in self.world.entries[start : min(self.size, start + self.page)]:
            rows = self.world.rows.get(entry.document.payload_hash, ())
            shown = self.spoil_entry(
                Shown(entry.index, entry.document.data, entry.secret, rows), self.leaves[entry.index]
            )
            if shown is None:
                break
            out.append(shown)
        return out

    def positions(self, endpoint: Address, box: Box, size: int | None = None) -> list[Entry]:
        below = self.world.entries[: self.size if size is None else size]
        return [e for e in below if any((p.row.endpoint, p.row.box) == (endpoint, box) for p in e.placed)]

    def box(self, endpoint: Address, box: Box, start: int) -> tuple[BoxPage, bytes]:
        self._called()
        shown = self.positions(endpoint, box, self.size - self.lag)
        found = [self._box_entry(e, endpoint, box) for e in shown]
        page = tuple(self.spoil_box(endpoint, box, found)[start : start + self.page])
        request = sha256(f"{endpoint} {box} {start}".encode())
        return BoxPage(b"", page, None if page else self.account(request)), request

    def _box_entry(self, entry: Entry, endpoint: Address, box: Box) -> BoxEntry:
        rows = self.world.rows.get(entry.document.payload_hash, ())
        received = box in {Box.URGENT, Box.ROUTINE}
        visible = received and entry.document.claims["recipients"]["visible"]
        recipient = None
        if received:
            row = next(r for r in rows if r.endpoint == endpoint)
            recipient = OwnRecipient(row, recipient_path(rows, endpoint))
        return BoxEntry(
            inclusion=replace(self.world.inclusion(entry.index), leaf=self.leaves[entry.index]),
            delivery=self.world.own_delivery(entry, endpoint, box),
            document=entry.document.data,
            recipient=recipient,
            recipients=rows if visible else None,
        )

    def account(self, request: bytes) -> bytes:
        w, size = self.world, self.size - self.lag
        named = [Address(s.removeprefix("endpoint/")) for s in w.state.directory.subjects("endpoint/")]
        own = [e for e in named if authority_of(e) == authority_of(self.auditor)]
        account = Account(
            log=w.origin,
            seen=replace(w.seen(0), size=size, root=self.root(size)),
            author=BROKER,
            caller=self.auditor,
            request=request,
            made_at=w.now,
            verdict=Verdict.END_OF_BOX,
            boxes=tuple(StatedBox(e, b, self._state(e, b, size)) for e in own for b in Box),
        )
        return sign_document(encode_json(self.spoil_account(account).to_json()), [w.node_key])

    def _state(self, endpoint: Address, box: Box, size: int) -> BoxState:
        state = BoxState()
        for entry in self.positions(endpoint, box, size):
            state = state.after(entry.index, entry.document.statement_hash)
        return state

    # --- auditing it ---

    @property
    def mandate(self) -> Mandate:
        scope = Scope.OVERSIGHT if self.auditor == OVERSEER else Scope.NATIONAL
        founding = self.world.entries[0].document
        # As it was founded: a succession changes the name.
        return Mandate(Origin(founding.claims["log"]), founding.data, self.auditor, scope)

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.world.entries[0].document.payload_hash)

    def sync(self, mirror: Mirror, processes: int = 0) -> Synchronised:
        with Signatures(processes) as signatures:
            return synchronise(
                mirror,
                self,
                self.mandate,
                clock=lambda: self.world.now,
                signatures=signatures,
                own=self.own,
                leaves=self.mirrored,
                roots=self.roots,
            )

    def verify(self, mirror: Mirror, processes: int = 0) -> Verified:
        with Signatures(processes) as signatures:
            return verify_mirror(
                mirror,
                self.fingerprint,
                clock=lambda: self.world.now,
                signatures=signatures,
                own=self.own,
                roots=self.roots,
            )

    def verify_file(self, path: Path) -> Verified:
        with Signatures(0) as signatures:
            return verify_file(path, self.fingerprint, clock=lambda: self.world.now, signatures=signatures)


def rebuilt(log: MemoryLog, index: int, **changes: Any) -> None:
    """Give one leaf of the tree other members; the checkpoint is signed over it."""
    log.leaves[index] = replace(parse_leaf(log.leaves[index]), **changes).encode()
