"""What every service of a node stands on."""

from __future__ import annotations

from dataclasses import dataclass

from countermark_broker.clock import Clock, check_clock
from countermark_broker.config import Settings
from countermark_broker.errors import UnavailableError
from countermark_broker.log.checkpoint_store import CheckpointStore
from countermark_broker.log.directory_holder import DirectoryHolder
from countermark_broker.log.faults import FaultPoints
from countermark_broker.log.health import Health
from countermark_broker.log.publisher import Publisher
from countermark_broker.log.sequencer import Sequencer
from countermark_broker.log.tree import Tree
from countermark_broker.log.verifier import Verifier
from countermark_broker.metrics import Metrics
from countermark_broker.services.quotas import Quotas
from countermark_broker.store.content import ContentStore
from countermark_broker.store.engine import Connection, Database, database_now
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
    store: CheckpointStore
    holder: DirectoryHolder
    tree: Tree
    verifier: Verifier
    publisher: Publisher
    sequencer: Sequencer
    node_key: Signer
    entry_key: bytes | None
    quotas: Quotas
    content: ContentStore

    async def check_clock(self) -> int:
        """Demand that this node's clock lets it append; its difference from the database's in ms.

        Raises:
            UnavailableError: ``clock_differs``; or the database does not answer.
        """
        now = await self.database.read(database_now)
        return check_clock(self.clock, now, self.settings.clock_difference_ms)

    def check_listed(self, size: int) -> Address:
        """Demand that accounts of a published size can be signed with this node's key; the broker's address.

        Raises:
            UnavailableError: ``node_key_not_listed``.
        """
        directory = self.holder.current
        broker = directory.log().broker
        if not directory.node_key(self.node_key.public_key.key_id, size - 1):
            raise UnavailableError(
                "node_key_not_listed",
                "this node's key is not in the broker's published keys: it cannot sign answers",
            )
        return broker

    async def newest_directory(self) -> Directory:
        """The directory as committed by now, by any node."""
        return await self.database.read(self.directory_in)

    def directory_in(self, connection: Connection) -> Directory:
        """The directory as a transaction sees it."""
        head = read_head(connection)
        if head.dir_count != self.holder.current.count:
            return self.holder.at(connection, head, locked=False)
        return self.holder.current
