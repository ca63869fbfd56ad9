"""Which nodes there are: each says so with its heartbeat. For operators; nothing depends on it.

Source: docs/operations/running-a-broker.md §6.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from sqlalchemy import delete, select

from countermark_broker.store.engine import Connection, backend_of
from countermark_broker.store.tables import nodes

#: Of the code that runs here.
RELEASE: Final = version("countermark-broker")
#: ms after which a node that said nothing is forgotten.
_FORGOTTEN_MS: Final = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class KnownNode:
    """A node as it last said.

    Attributes:
        name: machine and process.
        release: of its code.
        seen: when, ms since 1970 by the database's clock.
    """

    name: str
    release: str
    seen: int


def own_name() -> str:
    """Of this process among all nodes."""
    return f"{socket.gethostname()[:128]}/{os.getpid()}"


def say_here(connection: Connection, now: int) -> None:
    """Say that this node is there, and forget those long gone; the transaction must be a writing one."""
    backend_of(connection).replace(connection, nodes, [(own_name(), RELEASE, now)])
    connection.execute(delete(nodes).where(nodes.c.seen < now - _FORGOTTEN_MS))


def read_nodes(connection: Connection, since: int) -> list[KnownNode]:
    """The nodes that said something since a time."""
    query = select(nodes).where(nodes.c.seen >= since).order_by(nodes.c.node)
    return [KnownNode(row.node, row.release, row.seen) for row in connection.execute(query)]


def in_words(known: list[KnownNode]) -> str:
    """How many nodes of which release."""
    counts = Counter(node.release for node in known)
    return ", ".join(f"{count} of release {release}" for release, count in sorted(counts.items())) or "none"
