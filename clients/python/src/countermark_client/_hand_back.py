"""Handing back what this profile has kept of a log's tail, to an operator who has lost it.

The outbox keeps what was posted, with its proof, until 30 days after a published checkpoint covered it. It tells the
broker nothing that it was not handed before: the same signed bytes, stanzas and ciphertexts.

Source: docs/spec/export.md §6.4; design section 4, "Lost tail".
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from countermark_client._profile import Profile
from countermark_client._records import OutboxState
from countermark_client._settling import MESSAGE
from countermark_protocol.answers import parse_accepted
from countermark_protocol.errors import ConflictError
from countermark_protocol.hand_back import HandBackHeader, HandBackWriter, HeldStatement

#: Statements in memory at once.
_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class HandedBack:
    """What a file holds.

    Attributes:
        statements: how many, with their proofs.
        pruned: how many of that range are not kept any more, so that only their proofs were left.
        digest: of the file's content, 32 bytes.
    """

    statements: int
    pruned: int
    digest: bytes


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
    """Write every statement that this profile has kept, and that is entry `first` or a later one.

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

    digest = write_hand_back(path, HandBackHeader(profile.log, profile.endpoint, first, now), fill)
    return HandedBack(len(kept), len(held) - len(kept), digest)
