"""What a malicious broker shows to auditors, and what an auditor's mirror has kept of it for a third party."""

from __future__ import annotations

from collections.abc import Iterable

from countermark_client.audit._engine import Mandate
from countermark_client.audit._findings import evidence_of
from countermark_client.audit._holdings import holdings_of_mirror
from countermark_client.audit._mirror import Mirror
from countermark_client.audit._replay import Shown
from countermark_client.audit._signatures import Signatures
from countermark_client.audit._sync import Synchronised, synchronise
from countermark_client.testing import World
from countermark_client.testing._tree import Tree
from countermark_protocol.accounts import Account, StatedBox, Verdict
from countermark_protocol.acts import Scope
from countermark_protocol.answers import BoxPage, DirectoryPage, LoggedStatement
from countermark_protocol.boxes import Box
from countermark_protocol.claims import DIRECTORY_KINDS
from countermark_protocol.encoding import encode_json, parse_object
from countermark_protocol.holdings import Holdings
from countermark_protocol.identifiers import Address, authority_of
from countermark_protocol.keys import sha256
from countermark_protocol.leaf import parse_leaf
from countermark_protocol.merkle import leaf_hash, root_of
from countermark_protocol.proof import Inclusion
from countermark_protocol.stamp_history import StampHistory
from countermark_protocol.tiles import (
    TILE_WIDTH,
    encode_bundle,
    encode_tile,
    parse_bundle_path,
    parse_tile_path,
)
from countermark_protocol.witness_history import HistoryItem, WitnessHistory
from malicious_broker.evidence import file_of
from malicious_broker.kit import MaliciousBroker

AUDITOR, OVERSEER = Address("ke.auditor.office"), Address("xo-un.auditor.panel")
_PAGE = 500


class Auditor:
    """An auditor with its mirror, and a broker that shows it what it likes.

    Args:
        world: the mandate's log.
        broker: who shows it.
        scope: of the mandate.

    Attributes:
        mirror: what it has kept.
        hidden: entries that it is not shown.
        cosigned: witnessed checkpoints that it is shown.
    """

    def __init__(self, world: World, broker: MaliciousBroker, scope: Scope) -> None:
        self._world, self._broker, self._scope = world, broker, scope
        self._address = AUDITOR if scope is Scope.NATIONAL else OVERSEER
        self.mirror = Mirror(None)
        self.hidden: set[int] = set()
        self.cosigned: list[HistoryItem] = []

    def sync(self) -> Synchronised:
        """Bring the mirror up to date."""
        mandate = Mandate(self._broker.origin, self._world.trust, self._address, self._scope)
        with Signatures(0) as signatures:
            return synchronise(self.mirror, self, mandate, clock=self._world.clock, signatures=signatures)

    # --- what it is shown ---

    def checkpoint(self) -> bytes:
        """The newest checkpoint."""
        return self._broker.checkpoint

    def fetch(self, path: str) -> bytes:
        """A tile."""
        leaves = [entry.leaf.encode() for entry in self._broker.entries]
        if path.startswith("tile/entries/"):
            bundle = parse_bundle_path(path)
            first = bundle.index * TILE_WIDTH
            return encode_bundle(leaves[first : first + bundle.width])
        tile = parse_tile_path(path)
        span, first = TILE_WIDTH**tile.level, tile.index * TILE_WIDTH
        hashes = [leaf_hash(leaf) for leaf in leaves]
        return encode_tile(
            [root_of(hashes[i * span : (i + 1) * span]) for i in range(first, first + tile.width)]
        )

    def directory(self, start: int) -> DirectoryPage:
        """Directory statements."""
        broker = self._broker
        statements = tuple(
            LoggedStatement(i, broker.entries[i].leaf.encode(), broker.entries[i].document.data)
            for i in broker._directory_entries[start : start + _PAGE]
        )
        last = broker._inclusion(broker.state.size - 1)
        return DirectoryPage(
            broker.checkpoint, statements, start + len(statements) >= len(broker._directory_entries), last
        )

    def witnessed(self, start: int) -> WitnessHistory:
        """Witnessed checkpoints."""
        return WitnessHistory(tuple(item for item in self.cosigned if item.minute >= start), complete=True)

    def stamps(self, start: int) -> StampHistory:
        """It keeps none."""
        return StampHistory((), complete=True)

    def entries(self, start: int) -> list[tuple[Shown, bytes]]:
        """Entries, up to one that is hidden."""
        out = []
        for entry in self._broker.entries[start : start + _PAGE]:
            if entry.index in self.hidden:
                break
            submission = self._broker._submissions.get(entry.document.payload_hash)
            rows = submission.rows if submission is not None else ()
            out.append((Shown(entry.index, entry.document.data, entry.secret, rows), entry.leaf.encode()))
        return out

    def box(self, endpoint: Address, box: Box, start: int) -> tuple[BoxPage, bytes]:
        """A page of a box."""
        broker, request = self._broker, sha256(f"{endpoint} {box} {start}".encode())
        held = [i for i in broker._boxes.get((endpoint, box), []) if i not in self.hidden][start:]
        page = tuple(broker._entry(i, endpoint, box) for i in held[:_PAGE])
        return BoxPage(broker.checkpoint, page, None if page else self._account(request)), request

    def _account(self, request: bytes) -> bytes:
        broker = self._broker
        named = (Address(s.removeprefix("endpoint/")) for s in broker.state.directory.subjects("endpoint/"))
        boxes = [(e, b) for e in named if authority_of(e) == authority_of(self._address) for b in Box]
        account = Account(
            log=broker.origin,
            seen=broker._seen(),
            author=broker.state.directory.log().broker,
            caller=self._address,
            request=request,
            made_at=self._world.clock(),
            verdict=Verdict.END_OF_BOX,
            boxes=tuple(StatedBox(*p, broker.claimed.get(p, broker.state.boxes[p])) for p in boxes),
        )
        return broker.sign_as_node(account.to_json())

    # --- what it has kept ---

    @property
    def found(self) -> dict[str, dict[str, bytes]]:
        """Codes of what it found, each with the bytes that show it."""
        rows = self.mirror.database.execute("SELECT number, code FROM findings ORDER BY number DESC")
        return {code: evidence_of(self.mirror, number) for number, code in rows.fetchall()}

    @property
    def account(self) -> bytes:
        """The newest account that it was given."""
        [data] = self.mirror.database.execute("SELECT document FROM accounts ORDER BY number DESC").fetchone()
        return data

    def document(self, index: int) -> bytes:
        """A statement that it was shown."""
        [data] = self.mirror.database.execute(
            "SELECT document FROM entries WHERE idx = ?", (index,)
        ).fetchone()
        return data

    def proof(self, index: int, note: bytes | None = None, place: tuple[Address, Box] | None = None) -> bytes:
        """A leaf and its path from the leaves kept, under a note kept, with the row and tail shown of a box."""
        leaves = self._leaves()
        newest = self.mirror.database.execute("SELECT note FROM checkpoints ORDER BY size DESC").fetchone()
        note = note or newest[0]
        size, tree = int(note.split(b"\n")[1]), Tree()
        for leaf in leaves[:size]:
            tree.append(leaf_hash(leaf))
        out = {
            "checkpoint": note.decode(),
            "inclusion": Inclusion(index, leaves[index], tree.inclusion(index, size)).to_json(),
        }
        if place is not None:
            [shown] = self.mirror.database.execute(
                "SELECT shown FROM boxes WHERE endpoint = ? AND box = ? AND idx = ?", (*place, index)
            ).fetchone()
            out["delivery"] = parse_object(shown, "shown")["delivery"]
        return encode_json(out)

    def _leaves(self) -> list[bytes]:
        return [leaf for (leaf,) in self.mirror.database.execute("SELECT leaf FROM leaves ORDER BY idx")]

    @property
    def held(self) -> Holdings:
        """What it would show to another party."""
        return holdings_of_mirror(self.mirror, self._world.clock()).holdings

    def evidence(self, claim: str, *pieces: bytes) -> bytes:
        """Evidence with the directory that the mirror holds."""
        rows = self.mirror.database.execute(
            "SELECT idx, leaf, document FROM entries JOIN leaves USING (idx) ORDER BY idx"
        )
        return file_of(claim, pieces, _directory(rows.fetchall()))


def _directory(rows: Iterable[tuple[int, bytes, bytes]]) -> list[tuple[int, bytes, bytes]]:
    kinds = {int(kind) for kind in DIRECTORY_KINDS}
    return [row for row in rows if parse_leaf(row[1]).kind in kinds]
