"""Handing back what this profile has kept of a log's tail, to an operator who has lost it.

The outbox keeps what was posted, with its proof, until 30 days after a published checkpoint covered it. Beside it lies
what was received, with its proofs, and the whole directory: copies that help where a sender has lost its own. It tells
the broker nothing that it did not have before: the same signed bytes, stanzas and ciphertexts.

Source: docs/spec/export.md §6.4, §6.8; design section 4, "Lost tail".
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from countermark_client._open import manifest_of
from countermark_client._profile import Profile
from countermark_client._records import Direction, OutboxState, StoredMessage
from countermark_client._settling import MESSAGE
from countermark_client._store import Store
from countermark_protocol.answers import Accepted, parse_accepted, parse_accepted_members
from countermark_protocol.encoding import parse_json, parse_object
from countermark_protocol.errors import ConflictError
from countermark_protocol.hand_back import HandBackHeader, HandBackWriter, HeldStatement, KeptEntry
from countermark_protocol.proof import parse_recipient, parse_recipients
from countermark_protocol.submission import parse_submission

#: Statements in memory at once.
_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class HandedBack:
    """What a file holds.

    Attributes:
        statements: how many, with their proofs.
        pruned: how many of that range are not kept any more, so that only their proofs were left.
        digest: of the file's content, 32 bytes.
        copies: how many further entries: received ones, statements of the directory, what is left of pruned messages.
    """

    statements: int
    pruned: int
    digest: bytes
    copies: int = 0


def write_hand_back(path: Path, header: HandBackHeader, fill: Callable[[HandBackWriter], None]) -> bytes:
    """Write a file that only its owner may read, whole or not at all; its digest, 32 bytes.

    Args:
        path: must not exist.
        header: what it says of itself.
        fill: writes its frames.

    Raises:
        ConflictError: ``file_exists``.
        OSError: it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        raise ConflictError("file_exists", f"{path} exists: choose another name") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            writer = HandBackWriter(file.write, header)
            fill(writer)
            digest = writer.end()
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return digest


def hand_back(profile: Profile, first: int, path: Path, now: int) -> HandedBack:
    """Write all that this profile has kept of entry `first` and later ones: what it posted, and what it received.

    Args:
        profile: of an endpoint.
        first: index of the first entry that the operator lacks.
        path: of the file; must not exist.
        now: ms since 1970.

    Raises:
        ConflictError: ``file_exists``.
        OSError: the file cannot be written.
    """
    store = profile.store
    held = [i for i in store.outbox(OutboxState.LOGGED) if i.index is not None and i.index >= first]
    kept = sorted((i.index or 0, i.number) for i in held if i.body and i.proof is not None)

    def fill(writer: HandBackWriter) -> None:
        for start in range(0, len(kept), _AT_ONCE):
            for item in store.outbox_numbered([number for _, number in kept[start : start + _AT_ONCE]]):
                if not item.body or item.proof is None or item.index is None:
                    continue
                is_message = item.kind == MESSAGE
                proof = parse_accepted(item.proof)
                writer.held(HeldStatement(item.index, item.body, is_message=is_message, proof=proof))
        for copy in _copies(store, first):
            copies.add(copy.index)
            writer.kept(copy)

    copies: set[int] = set()
    digest = write_hand_back(path, HandBackHeader(profile.log, profile.endpoint, first, now), fill)
    return HandedBack(len(kept), len(held) - len(kept), digest, len(copies))


def _copies(store: Store, first: int) -> Iterator[KeptEntry]:
    """What was received, what is left of one's own pruned messages, and the directory; each entry once."""
    for index, leaf, document in store.directory():
        if index >= first:
            yield KeptEntry(index, leaf, document)
    for _, index, _, document in store.notices():
        notice = store.notice(index) if index >= first else None
        if notice is not None:
            yield _kept(index, document, _proof(notice[2]))
    for direction in Direction:
        for payload, index in store.message_places(direction, first):
            message = store.message(payload, direction)
            if message is None:
                continue
            copy = _received(message, index) if direction is Direction.IN else _sent(store, message, index)
            if copy is not None:
                yield replace(copy, pieces=_pieces(store, message, direction))


def _received(message: StoredMessage, index: int) -> KeptEntry | None:
    if message.proof is None or message.recipient is None:
        return None
    row = parse_recipient(parse_json(message.recipient))
    kept = _kept(index, message.document, _proof(message.proof))
    return replace(kept, rows=(row,), stanzas=(message.stanza or b"",), content=message.content)


def _sent(store: Store, message: StoredMessage, index: int) -> KeptEntry | None:
    """Of a message whose outbox item was pruned, and of one that was logged under other signatures than were sent."""
    item = store.outbox_item(message.payload)
    if item is None or item.proof is None or (item.body and _is_same(item.body, message.document)):
        return None
    kept = _kept(index, message.document, _proof(item.proof))
    if not item.rows:
        return kept
    rows = parse_recipients(parse_json(item.rows))
    return replace(kept, rows=rows, stanzas=(b"",) * len(rows), content=message.content)


def _pieces(store: Store, message: StoredMessage, direction: Direction) -> tuple[tuple[bytes, ...], ...]:
    """Which pieces make up each attachment, of those that this profile has fetched or sent."""
    count = len(manifest_of(message).attachments)
    return tuple(store.pieces(message.payload, direction, number) for number in range(count))


def _is_same(body: bytes, document: bytes) -> bool:
    return parse_submission(body).document.data == document


def _kept(index: int, document: bytes, proof: Accepted) -> KeptEntry:
    return KeptEntry(index, proof.inclusion.leaf, document, proof)


def _proof(data: bytes) -> Accepted:
    """Checkpoint and inclusion of a proof as kept, whatever else stands in it."""
    members = parse_object(data, "proof")
    return parse_accepted_members({name: members[name] for name in ("checkpoint", "inclusion")})
