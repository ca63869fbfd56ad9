"""Attachments in bundles: sealed pieces go out before the message that names them, and come back piece by piece.

A message goes out whole, in one bundle, since a broker keeps what no message claims for a day only. Received files
come back as far as there is room; what is here already is named in the next bundle out, and not carried again.

Source: docs/spec/bundle.md §3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from countermark_client._carried import MESSAGES_PATH, Carried, asked
from countermark_client._fetching import Fetching
from countermark_client._io import Flow
from countermark_client._open import manifest_of
from countermark_client._session import ProblemAnswer, Session
from countermark_client._store import Direction, MessageStage, OutboxItem, StoredMessage
from countermark_protocol.attachments import (
    check_piece,
    check_pieces,
    encode_digests,
    parse_digests,
    piece_digest,
)
from countermark_protocol.bundle import MAX_WANTED, Item
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import MalformedError
from countermark_protocol.submission import parse_submission

PIECES_PATH: Final = "/v1/pieces/"
#: Bytes of a piece's item beside the piece, at most.
_MOST_FRAME: Final = 128
_MOST_MESSAGES: Final = 10_000
_PIECE: Final = re.compile(r"/v1/pieces/([0-9a-f]{64})")
_WANT: Final = re.compile(r"/v1/messages/([0-9a-f]{64})/attachments/(0|[1-9][0-9]{0,2})")


def attachment_path(payload: bytes, number: int) -> str:
    """Where the list of an attachment's pieces is asked for."""
    return f"{MESSAGES_PATH}/{payload.hex()}/attachments/{number}"


# --- the post without a line ------------------------------------------------------------------------------


def bytes_out(item: OutboxItem) -> int:
    """Bytes that a message with attachments takes in a bundle."""
    submission = parse_submission(item.body)
    pieces = sum(len(digests) + 1 for digests in submission.pieces)
    return len(item.body) + sum(a.size for a in submission.manifest.attachments) + pieces * _MOST_FRAME


def pieces_out(session: Session, item: OutboxItem) -> list[Item]:
    """The pieces of a message, to stand before it.

    Raises:
        StorageError: ``piece_not_held``, ``piece_damaged``.
    """
    digests = dict.fromkeys(d for of_one in parse_submission(item.body).pieces for d in of_one)
    return [Item(f"{PIECES_PATH}{d.hex()}", 0, session.profile.pieces.read(d)) for d in digests]


def lacking(session: Session) -> Iterator[tuple[StoredMessage, int, tuple[bytes, ...]]]:
    """Attachments of messages received whole that are not all here: (message, number, digests, none if unknown)."""
    if not session.settings.keep_attachments:
        return
    stages = (MessageStage.DELIVERED, MessageStage.ACCEPTED)
    for stored in session.store.messages_by_stage(*stages, limit=_MOST_MESSAGES):
        if stored.stanza is None or stored.content is None:
            continue
        for number in range(len(manifest_of(stored).attachments)):
            digests = session.store.pieces(stored.payload, Direction.IN, number)
            if not digests or not all(map(session.profile.pieces.held, digests)):
                yield stored, number, digests


def wants_out(session: Session) -> list[Item]:
    """What is asked for: one item for each attachment that lacks pieces, with the digests of those that are here."""
    held = session.profile.pieces.held
    found = [
        Item(attachment_path(stored.payload, number), 0, encode_digests([d for d in digests if held(d)]))
        for stored, number, digests in lacking(session)
    ]
    return found[:MAX_WANTED]


def take_files(session: Session, fetching: Fetching, carried: Carried) -> Flow[int]:
    """Keep the pieces that a bundle brings, each checked; how many attachments are all here now.

    Raises:
        SealError: ``attachment_swapped``, ``piece_swapped``.
        StorageError: ``pieces_failed``.
    """
    whole = 0
    for stored, number, _ in list(lacking(session)):
        path, named = attachment_path(stored.payload, number), manifest_of(stored).attachments[number]
        if carried.answer(asked(path)) is None:
            continue
        there = [carried.answer(asked(f"{path}/pieces/{i}")) is not None for i in range(named.pieces)]
        whole += yield from fetching.bring_carried(stored, number, there.__getitem__)
    return whole


# --- the connected post ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parcel:
    """The items of a bundle *out*, told apart.

    Attributes:
        statements: to be posted, in order.
        pieces: by digest.
        wants: (payload hash, number of the attachment) → digests of the pieces that the other post holds.
    """

    statements: tuple[Item, ...]
    pieces: Mapping[bytes, bytes] = field(repr=False)
    wants: Mapping[tuple[bytes, int], frozenset[bytes]]


def sort_items(items: Sequence[Item]) -> Parcel:
    """Tell statements, pieces and questions apart.

    Raises:
        MalformedError: ``piece_mismatch``, ``piece_size``, ``bad_digest_list``; ``bundle_foreign_item``: a piece that
            no message of the bundle names; a message that is none.
    """
    statements: list[Item] = []
    pieces: dict[bytes, bytes] = {}
    wants: dict[tuple[bytes, int], frozenset[bytes]] = {}
    for item in items:
        if (piece := _PIECE.fullmatch(item.target)) is not None:
            digest = bytes.fromhex(piece[1])
            check_piece(item.body, digest)
            pieces[digest] = item.body
        elif (want := _WANT.fullmatch(item.target)) is not None:
            wants[bytes.fromhex(want[1]), int(want[2])] = frozenset(parse_digests(item.body))
        else:
            statements.append(item)
    named = {d for item in statements if item.target == MESSAGES_PATH for d in _named(item)}
    if pieces.keys() - named:
        malformed("bundle_foreign_item", "expected pieces of messages in the bundle, got one that none names")
    return Parcel(tuple(statements), pieces, wants)


def _named(item: Item) -> list[bytes]:
    return [d for of_one in parse_submission(item.body).pieces for d in of_one]


def upload(session: Session, item: Item, pieces: Mapping[bytes, bytes]) -> Flow[str | None]:
    """Upload the pieces of a message before it is posted; why the broker does not take them, if it does not.

    Raises:
        TransportError: the broker is away.
    """
    digests = [d for d in _named(item) if d in pieces]
    if not digests:
        return None
    signer = session.signer()
    try:
        response, _ = yield from session.call(
            "POST", f"{PIECES_PATH}missing", body=encode_digests(digests), signer=signer
        )
        missing = frozenset(parse_digests(response.body))
        for digest in dict.fromkeys(d for d in digests if d in missing):
            yield from session.call("PUT", f"{PIECES_PATH}{digest.hex()}", body=pieces[digest], signer=signer)
    except ProblemAnswer as answer:
        return answer.problem.detail
    return None


def pieces_back(
    session: Session, stored: StoredMessage, number: int, held: frozenset[bytes]
) -> Flow[Iterator[Flow[Item | None]] | None]:
    """What another post lacks of an attachment: flows that each fetch one item, first the list of pieces, then these.

    Returns:
        None where the broker does not give it (purged), or gives another than the manifest names.

    Raises:
        TransportError: the broker is away.
    """
    path = attachment_path(stored.payload, number)
    listed = yield from _item(session, path)
    if listed is None:
        return None
    try:
        digests = parse_digests(listed.body)
        check_pieces(manifest_of(stored).attachments[number], digests)
    except MalformedError:
        return None

    def flows() -> Iterator[Flow[Item | None]]:
        yield _given(listed)
        for i, digest in enumerate(digests):
            if digest not in held:
                yield _item(session, f"{path}/pieces/{i}", digest)

    return flows()


def _given(item: Item) -> Flow[Item | None]:
    return item
    yield


def _item(session: Session, path: str, digest: bytes | None = None) -> Flow[Item | None]:
    """An answer of the broker; None where it refuses, or it is not the piece of a digest."""
    try:
        response, _ = yield from session.call("GET", path, signer=session.signer())
    except ProblemAnswer:
        return None
    if digest is not None and piece_digest(response.body) != digest:
        return None  # what the other post would refuse all of the bundle for
    return Item(asked(path), 200, response.body)
