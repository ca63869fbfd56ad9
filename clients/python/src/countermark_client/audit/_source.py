"""Where an audit reads from: a broker, or a mirror that is verified from its own bytes.

Nothing that a source gives is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from countermark_client._boxes import page_target
from countermark_client._io import Flow, Response
from countermark_client._session import ProblemAnswer, problem_error
from countermark_client.audit._leaves import Tree
from countermark_client.audit._mirror import Mirror
from countermark_client.audit._replay import Shown, rows_of
from countermark_protocol.answers import (
    BoxEntry,
    BoxPage,
    DirectoryPage,
    OwnRecipient,
    parse_box_page,
    parse_directory_page,
)
from countermark_protocol.audit_answers import parse_audited_entries
from countermark_protocol.boxes import Box
from countermark_protocol.checkpoint import parse_checkpoint
from countermark_protocol.claims import Claims
from countermark_protocol.encoding import encode_json, parse_object
from countermark_protocol.errors import NotFoundError
from countermark_protocol.identifiers import Address
from countermark_protocol.proof import (
    Inclusion,
    parse_own_delivery,
    parse_path,
    parse_recipient,
    parse_recipients,
    path_to_json,
    recipient_to_json,
)
from countermark_protocol.stamp_history import StampHistory, parse_stamp_history
from countermark_protocol.witness_history import WitnessHistory, parse_witness_history

if TYPE_CHECKING:
    from countermark_client import Client

_PAGE: Final = 500
#: How often a node that lags behind is asked again, and seconds between.
_PATIENCE: Final = 5
_WAIT: Final = 1.0


class Source(Protocol):
    """What an audit asks for. Every method raises `CountermarkError` where there is no usable answer."""

    def entries(self, start: int) -> Sequence[tuple[Shown, bytes]]:
        """Entries from an index on, each with the leaf shown with it; none where the source has no more."""
        ...

    def box(self, endpoint: Address, box: Box, start: int) -> tuple[BoxPage, bytes]:
        """A page of a box from a position on, and the digest of the request that it answers."""
        ...


class LiveSource(Source, Protocol):
    """What only a broker has."""

    def checkpoint(self) -> bytes:
        """The newest checkpoint."""
        ...

    def fetch(self, path: str) -> bytes:
        """What the log serves at a path below its prefix (`VerifiedTiles`)."""
        ...

    def directory(self, start: int) -> DirectoryPage:
        """Directory statements from a number on."""
        ...

    def witnessed(self, start: int) -> WitnessHistory:
        """Witnessed checkpoints from a minute on; none where the broker keeps none."""
        ...

    def stamps(self, start: int) -> StampHistory:
        """Time stamps from a minute on; none where the broker keeps none."""
        ...


class BrokerSource:
    """A broker, asked by the client of an auditor.

    Args:
        client: over the auditor's profile.
        look_up: payload hash of the look-up that covers what is asked for, 32 bytes.
    """

    def __init__(self, client: Client, look_up: bytes) -> None:
        self._client = client
        self._session = client._core.session  # noqa: SLF001  of this package
        self._prefix = f"/v1/audit/{look_up.hex()}"

    def checkpoint(self) -> bytes:
        """The newest checkpoint."""
        return self.fetch("checkpoint")

    def fetch(self, path: str) -> bytes:
        """What the log serves at a path below its prefix."""
        return self._get(f"/v1/log/{path}", "", signed=False)[0].body

    def directory(self, start: int) -> DirectoryPage:
        """Directory statements from a number on."""
        return parse_directory_page(self._get("/v1/directory", f"from={start}&limit={_PAGE}")[0].body)

    def witnessed(self, start: int) -> WitnessHistory:
        """Witnessed checkpoints from a minute on; a broker that does not know the call keeps none."""
        try:
            answer, _ = self._get("/v1/log/witnessed/history", f"from={start}", signed=False)
        except NotFoundError:
            return WitnessHistory((), complete=True)
        return parse_witness_history(answer.body)

    def stamps(self, start: int) -> StampHistory:
        """Time stamps from a minute on; a broker that does not know the call keeps none."""
        try:
            answer, _ = self._get("/v1/log/witnessed/stamps", f"from={start}", signed=False)
        except NotFoundError:
            return StampHistory((), complete=True)
        return parse_stamp_history(answer.body)

    def entries(self, start: int) -> Sequence[tuple[Shown, bytes]]:
        """Entries from an index on."""
        for _ in range(_PATIENCE):
            answer, _digest = self._get(f"{self._prefix}/entries", f"from={start}&limit={_PAGE}")
            page = parse_audited_entries(answer.body)
            if page.entries or parse_checkpoint(page.checkpoint).size > start:
                break
            # A node that lags behind: another one has published more, of which this one will hear.
            self._client._sleep(_WAIT)  # noqa: SLF001  of this package
        return [(Shown(e.index, e.document, e.secret, e.recipients or ()), e.leaf) for e in page.entries]

    def box(self, endpoint: Address, box: Box, start: int) -> tuple[BoxPage, bytes]:
        """A page of a box."""
        path, query = page_target(endpoint, box, start, _PAGE)
        path = f"{self._prefix}/boxes/{path.removeprefix('/v1/boxes/')}"
        answer, digest = self._get(path, query.removesuffix("&wait=0"))
        return parse_box_page(answer.body), digest

    def _get(self, path: str, query: str, *, signed: bool = True) -> tuple[Response, bytes]:
        signer = self._session.signer() if signed else None

        def flow() -> Flow[tuple[Response, bytes]]:
            try:
                return (yield from self._session.call("GET", path, query, signer=signer))
            except ProblemAnswer as answer:
                error = problem_error(answer.problem)
                if not signed and isinstance(error, NotFoundError):
                    raise NotFoundError("tile_not_served", f"the log serves nothing at {path}") from None
                raise error from None

        return self._client._drive(flow())  # noqa: SLF001  of this package


class StoredSource:
    """A mirror's kept bytes.

    Args:
        mirror: whose.
        tree: over its leaves.
    """

    def __init__(self, mirror: Mirror, tree: Tree) -> None:
        self._db = mirror.database
        self._tree = tree

    def entries(self, start: int) -> Sequence[tuple[Shown, bytes]]:
        """Entries from an index on, without gap and each with its secret."""
        rows = self._db.execute(
            "SELECT e.idx, e.document, e.secret, e.rows, l.leaf FROM entries e JOIN leaves l USING (idx) "
            "WHERE e.idx >= ? AND e.idx < ? AND e.secret IS NOT NULL ORDER BY e.idx",
            (start, start + _PAGE),
        ).fetchall()
        return [
            (Shown(index, document, secret, rows_of(kept)), leaf)
            for number, (index, document, secret, kept, leaf) in enumerate(rows)
            if index == start + number
        ]

    def box(self, endpoint: Address, box: Box, start: int) -> tuple[BoxPage, bytes]:
        """A page of a box, without gap; empty at its end, without an account."""
        rows = self._db.execute(
            "SELECT b.position, b.idx, b.shown, e.document, l.leaf FROM boxes b JOIN entries e USING (idx) "
            "JOIN leaves l USING (idx) WHERE b.endpoint = ? AND b.box = ? AND b.position >= ? "
            "ORDER BY b.position LIMIT ?",
            (endpoint, box.value, start, _PAGE),
        ).fetchall()
        return BoxPage(b"", tuple(_stored(*row[1:]) for row in rows)), b""


def shown_json(entry: BoxEntry) -> bytes:
    """What is kept of a box entry beside leaf and document."""
    members = entry.to_json()
    out = {"delivery": members["delivery"]}
    if entry.recipient is not None:
        out["recipient"] = {
            "row": recipient_to_json(entry.recipient.row),
            "at": path_to_json(entry.recipient.at),
        }
    if entry.recipients is not None:
        out["recipients"] = members["recipients"]
    return encode_json(out)


def _stored(index: int, shown: bytes | None, document: bytes, leaf: bytes) -> BoxEntry:
    claims = Claims(parse_object(shown or b"{}", "kept box entry"), "kept box entry")
    entry = BoxEntry(
        inclusion=Inclusion(index, leaf, ()),
        delivery=claims.parsed("delivery", parse_own_delivery),
        document=document,
        recipient=claims.optional("recipient", _own),
        recipients=claims.optional("recipients", parse_recipients),
    )
    claims.done()
    return entry


def _own(value: object, what: str) -> OwnRecipient:
    claims = Claims(value, what)
    out = OwnRecipient(claims.parsed("row", parse_recipient), claims.parsed("at", parse_path))
    claims.done()
    return out


#: (what is done, how much of it, of how much).
Progress = Callable[[str, int, int], None]
