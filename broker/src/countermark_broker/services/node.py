"""What every service of a node stands on."""

from __future__ import annotations

from dataclasses import dataclass

from countermark_broker.clock import Clock
from countermark_broker.config import Settings
from countermark_broker.log.checkpoint_store import FileCheckpointStore
from countermark_broker.log.directory_holder import DirectoryHolder
from countermark_broker.log.faults import FaultPoints
from countermark_broker.log.health import Health
from countermark_broker.log.publisher import Publisher
from countermark_broker.log.sequencer import Sequencer
from countermark_broker.log.tree import Tree
from countermark_broker.log.verifier import Verifier
from countermark_broker.metrics import Metrics
from countermark_broker.store.engine import Database
from countermark_broker.store.head import read_head
from countermark_protocol.directory import Directory
from countermark_protocol.identifiers import Address, Origin
from countermark_protocol.keys import Signer


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signed a request.

    Attributes:
        address: the endpoint for which its key counts.
        request: digest of the signed request, 32 bytes.
    """

    address: Address
    request: bytes


@dataclass(frozen=True, slots=True)
class Node:
    """The parts of a running node, made by the composition root."""

    settings: Settings
    origin: Origin
    clock: Clock
    faults: FaultPoints
    health: Health
    metrics: Metrics
    database: Database
    store: FileCheckpointStore
    holder: DirectoryHolder
    tree: Tree
    verifier: Verifier
    publisher: Publisher
    sequencer: Sequencer
    node_key: Signer

    async def newest_directory(self) -> Directory:
        """The directory as committed by now, by any node."""
        async with self.database.read() as connection:
            head = await read_head(connection)
            if head.dir_count != self.holder.current.count:
                return await self.holder.at(connection, head, locked=False)
        return self.holder.current
