"""The final log as anybody with the right keys reads it from outside: leaves, directory, all boxes, contents.

Nothing is judged here: answers are kept as they came, and the checker verifies them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from countermark_protocol.answers import (
    BoxEntry,
    DirectoryPage,
    LoggedStatement,
    parse_box_page,
    parse_directory_page,
)
from countermark_protocol.boxes import Box
from countermark_protocol.identifiers import Address
from countermark_protocol.leaf import LEAF_BYTES
from support.api_client import ApiClient
from support.world import BROKER, NAIROBI

PAGE = 500


@dataclass(frozen=True, slots=True)
class Shown:
    """One position of a box, and the checkpoint it was proven under."""

    checkpoint: bytes
    entry: BoxEntry


@dataclass(frozen=True, slots=True)
class Final:
    """The log after everything has come to rest.

    Attributes:
        checkpoint: the newest.
        leaves: all of them, 115 bytes each.
        directory: all directory statements, with their leaves.
        boxes: all boxes of all endpoints, the broker's too, in the order read.
        contents: payload hash → ciphertext as its sender gets it.
        now: the database's clock at the end, ms since 1970; 0 if nothing is to be said of what is due.
    """

    checkpoint: bytes
    leaves: tuple[bytes, ...]
    directory: tuple[LoggedStatement, ...]
    boxes: Mapping[tuple[Address, Box], tuple[Shown, ...]]
    contents: Mapping[bytes, bytes] = field(default_factory=dict)
    now: int = 0


def observe(client: ApiClient, contents: Mapping[bytes, bytes], now: int) -> Final:
    """Read everything, over until nothing moved meanwhile (a notice may still have been due).

    Args:
        client: of a node.
        contents: from `read_contents`; goes into the result.
        now: goes into the result.
    """
    while True:
        checkpoint = _get(client, "/v1/log/checkpoint")
        final = Final(
            checkpoint=checkpoint,
            leaves=_leaves(client),
            directory=read_directory(client),
            boxes={
                (address, box): _box(client, address, box)
                for address in (*client.world.agencies, BROKER)
                for box in Box
            },
            contents=contents,
            now=now,
        )
        if _get(client, "/v1/log/checkpoint") == checkpoint:
            return final
        time.sleep(0.05)


def read_contents(client: ApiClient, senders: Mapping[bytes, Address]) -> dict[bytes, bytes]:
    """Ciphertexts as their senders get them, by payload hash; what is not to be had is missing."""
    held = {name: _content(client, name, sender) for name, sender in senders.items()}
    return {name: data for name, data in held.items() if data is not None}


def _get(client: ApiClient, target: str, by: object = None) -> bytes:
    answer = client.request("GET", target, by=by)
    assert answer.status_code == 200, f"{target}: {answer.status_code} {answer.text}"
    return answer.content


def _leaves(client: ApiClient) -> tuple[bytes, ...]:
    leaves: list[bytes] = []
    while data := _get(client, f"/v1/log/leaves?from={len(leaves)}&limit=10000"):
        leaves += [data[i : i + LEAF_BYTES] for i in range(0, len(data), LEAF_BYTES)]
    return tuple(leaves)


def read_directory(client: ApiClient) -> tuple[LoggedStatement, ...]:
    """All directory statements, in order."""
    out: list[LoggedStatement] = []
    while True:
        page: DirectoryPage = parse_directory_page(
            _get(client, f"/v1/directory?from={len(out)}&limit={PAGE}", NAIROBI)
        )
        out += page.statements
        if page.complete:
            return tuple(out)


def _box(client: ApiClient, address: Address, box: Box) -> tuple[Shown, ...]:
    by = client.world.node_key if address == BROKER else address
    out: list[Shown] = []
    while True:
        page = parse_box_page(
            _get(client, f"/v1/boxes/{address}/{box.value}?from={len(out)}&limit={PAGE}&wait=0", by)
        )
        if not page.entries:
            return tuple(out)
        out += [Shown(page.checkpoint, entry) for entry in page.entries]


def _content(client: ApiClient, name: bytes, sender: Address) -> bytes | None:
    answer = client.request("GET", f"/v1/messages/{name.hex()}/content", by=sender)
    return answer.content if answer.status_code == 200 else None
