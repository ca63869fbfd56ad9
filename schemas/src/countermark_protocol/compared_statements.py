"""Comparing what was denied, refused or said to be undelivered with the signed statements that another party shows.

Source: docs/spec/contradictions.md §5.8.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress

from countermark_protocol.accounts import Verdict
from countermark_protocol.claims import Kind
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import CountermarkError
from countermark_protocol.read_holdings import Claimed, ReadAccount, ReadEntry, ReadHoldings
from countermark_protocol.receipts import parse_receipt, parse_undelivered


def contradicted_statements(sides: Sequence[ReadHoldings]) -> Iterator[Claimed]:
    """Denials, refusals and notices that a statement in the log contradicts."""
    entries = [entry for side in sides for entry in side.entries if entry.held.document is not None]
    by_payload: dict[bytes, list[ReadEntry]] = defaultdict(list)
    for entry in entries:
        if entry.payload is not None:
            by_payload[entry.payload].append(entry)
    by_name = {payload.hex(): held for payload, held in by_payload.items()}
    for side in sides:
        for one in side.accounts:
            if one.account.verdict is Verdict.NOT_HELD and one.held.request is not None:
                yield from _denied(one, one.held.request, by_name)
            elif one.account.verdict is Verdict.REFUSED:
                yield from _refused(one, by_payload.get(one.account.request, []))
    yield from _undelivered(entries)


def _denied(one: ReadAccount, request: bytes, by_name: dict[str, list[ReadEntry]]) -> Iterator[Claimed]:
    words = request.decode("ascii", "replace").split("/")
    for name in {word.split("\n")[0] for word in words} & set(by_name):
        for entry in by_name[name]:
            document = entry.held.document or b""
            proofs = [entry.held.opened()] if entry.held.own is not None else []
            proofs += [
                entry.held.put_into(d) for d in entry.held.delivered if d.row.endpoint == one.account.caller
            ]
            for proof in proofs:
                pieces = one.held.document, request, document, proof
                yield Claimed("not_held_contradicted", pieces, (one.side, entry.side))


def _refused(one: ReadAccount, entries: Sequence[ReadEntry]) -> Iterator[Claimed]:
    for entry in entries:
        if entry.shown.index < one.account.seen.size:
            pieces = (
                one.held.document,
                entry.held.document or b"",
                entry.held.inclusion.leaf,
                entry.held.opened(),
            )
            yield Claimed("refused_but_logged", pieces, (one.side, entry.side))


def _undelivered(entries: Sequence[ReadEntry]) -> Iterator[Claimed]:
    """Notices after a receipt of that recipient, or after another notice."""
    first: dict[tuple[bytes, str], ReadEntry] = {}
    notices: list[tuple[tuple[bytes, str], ReadEntry]] = []
    for entry in sorted(entries, key=lambda e: e.shown.index):
        settled: list[tuple[bytes, str]] = []
        with suppress(CountermarkError):  # one that is none is another's finding
            claims = parse_document(entry.held.document or b"").claims
            if entry.shown.leaf.kind == Kind.RECEIPT:
                receipt = parse_receipt(claims)
                settled = [(item.message, receipt.author) for item in receipt.items]
            elif entry.shown.leaf.kind == Kind.UNDELIVERED:
                notice = parse_undelivered(claims)
                settled = [(notice.message, notice.recipient)]
                notices.append((settled[0], entry))
        for key in settled:
            first.setdefault(key, entry)
    for key, later in notices:
        earlier = first[key]
        if earlier.shown.index < later.shown.index:
            pieces = (
                earlier.held.document or b"",
                later.held.document or b"",
                later.held.inclusion.leaf,
                later.held.opened(),
                earlier.held.opened(),
            )
            yield Claimed("false_undelivered", pieces, (earlier.side, later.side))
