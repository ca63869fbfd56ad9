"""Where engines, keys and workings of a node are put together; nothing is started, opened or read here.

Apart from `app`, so that a command that looks at a database need not load a web framework.
"""

from __future__ import annotations

from dataclasses import dataclass

from countermark_broker.clock import Clock, SystemClock
from countermark_broker.config import Settings
from countermark_broker.errors import ConfigurationError
from countermark_broker.log.appender import Appender, secret_maker
from countermark_broker.log.checkpoint_store import CheckpointStore, FileCheckpointStore
from countermark_broker.log.directory_holder import DirectoryHolder
from countermark_broker.log.faults import FaultPoints, NoFaults
from countermark_broker.log.health import Health
from countermark_broker.log.publisher import Publisher
from countermark_broker.log.sequencer import Sequencer
from countermark_broker.log.tree import Tree
from countermark_broker.log.verifier import Verifier, free_way
from countermark_broker.metrics import Metrics
from countermark_broker.services.keyring import Keyring
from countermark_broker.services.node import Node
from countermark_broker.services.quotas import quotas_of
from countermark_broker.store.checkpoints import PostgresqlCheckpointStore
from countermark_broker.store.content import content_store_of
from countermark_broker.store.engine import Database
from countermark_protocol.identifiers import parse_origin


@dataclass(frozen=True, slots=True)
class Parts:
    """A node and what only the composition root needs of it."""

    node: Node
    appender: Appender


def build_parts(
    settings: Settings, keys: Keyring, clock: Clock | None = None, faults: FaultPoints | None = None
) -> Parts:
    """Put a node together; nothing is started, opened or read yet.

    Args:
        settings: of this node.
        keys: with at least a log key and a node key.
        clock: the machine's if None.
        faults: none if None.

    Raises:
        ConfigurationError: a key is missing, or the database is not supported.
    """
    if not keys.log or keys.node is None:
        raise ConfigurationError("bad_key_file", "the key file must hold a log key and a node key")
    origin = parse_origin(settings.origin, "setting 'origin'")
    clock, faults = clock or SystemClock(), faults or NoFaults()
    health, metrics = Health(read_only=settings.read_only), Metrics()
    holder, tree = DirectoryHolder(), Tree(settings.tile_cache)
    database = Database(
        settings.database, readers=settings.reader_connections, busy_timeout_ms=settings.busy_timeout_ms
    )
    store: CheckpointStore = (
        FileCheckpointStore(settings.store_directory)
        if settings.store_directory is not None
        else PostgresqlCheckpointStore(settings.checkpoint_store, busy_timeout_ms=settings.busy_timeout_ms)
    )
    publisher = Publisher(
        origin=origin,
        database=database,
        store=store,
        holder=holder,
        tree=tree,
        keys={signer.public_key.key_id: signer for signer in keys.log},
        health=health,
        faults=faults,
    )
    way = free_way()
    appender = Appender(
        origin=origin,
        database=database,
        holder=holder,
        tree=tree,
        clock=clock,
        clock_difference_ms=settings.clock_difference_ms,
        holds=publisher.holds,
        faults=faults,
        way=way,
        secret=secret_maker(origin, keys.entries),
    )
    sequencer = Sequencer(
        appender=appender,
        publisher=publisher,
        database=database,
        tree=tree,
        health=health,
        observer=metrics,
        max_group=settings.max_group,
        max_group_recipients=settings.max_group_recipients,
        max_waiting=settings.max_waiting,
    )
    node = Node(
        settings=settings,
        origin=origin,
        clock=clock,
        faults=faults,
        health=health,
        metrics=metrics,
        database=database,
        store=store,
        holder=holder,
        tree=tree,
        verifier=Verifier(settings.threads, settings.max_verifying, settings.max_verifying_each, way),
        publisher=publisher,
        sequencer=sequencer,
        node_key=keys.node,
        entry_key=keys.entries,
        quotas=quotas_of(settings),
        content=content_store_of(settings, database),
    )
    return Parts(node, appender)
