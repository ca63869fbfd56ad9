"""Succession: a log whose lost tail is nowhere is closed by its governors, and goes on under the next name.

The database ends with the last entry that is at hand and replays. The governors sign that the next log begins with
exactly these leaves; that statement is its next entry. The new log has a checkpoint store of its own: what the old
one knows stays what was published under the old name, and is never touched.

Source: docs/spec/log.md §10; docs/operations/backup-and-restore.md §6; docs/adr/0017.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from countermark_broker.errors import ConfigurationError
from countermark_broker.log.appender import Appender
from countermark_broker.services.export import check_log_key_held, draft_governance
from countermark_broker.services.founding import append_now, list_node_key
from countermark_broker.services.keyring import Keyring
from countermark_broker.services.node import Node
from countermark_broker.store.head import read_head
from countermark_protocol.checkpoint import sign_checkpoint
from countermark_protocol.claims import Header, Kind, Seen
from countermark_protocol.directory import Directory
from countermark_protocol.documents import Document, parse_document
from countermark_protocol.gathering import finish_gathering
from countermark_protocol.identifiers import Origin
from countermark_protocol.judging import check_named, judge_statement
from countermark_protocol.merkle import EMPTY_ROOT
from countermark_protocol.records import LogRecord, parse_directory_statement
from countermark_protocol.statements import verify_statement
from countermark_protocol.succession import Predecessor, check_predecessor, next_origin


@dataclass(frozen=True, slots=True)
class Drafted:
    """What the governors are to sign.

    Attributes:
        data: the draft, a gathering file.
        origin: name of the log that is to go on.
        size: entries that it begins with.
        published: entries that the old log had published; the difference is lost.
    """

    data: bytes
    origin: Origin
    size: int
    published: int


async def draft_succession(node: Node, keys: Keyring, ground: str | None = None) -> Drafted:
    """The statement that closes this log and opens its successor.

    Args:
        node: not running, set up for the old log; its database holds all that is left.
        keys: where one of its log keys is not the log's, the successor gets that one.
        ground: why, in words.

    Raises:
        ConfigurationError: ``nothing_lost``: the database holds all that was published.
        FatalError: the database is not a part of what was published.
    """
    return await asyncio.to_thread(_draft, node, keys, ground)


def _draft(node: Node, keys: Keyring, ground: str | None) -> Drafted:
    stored = node.store.load()
    node.publisher.check_origin(stored)
    with node.database.reading() as connection:
        head = read_head(connection)
        directory = node.holder.at(connection, head, locked=False)
        root = node.tree.recompute_root(connection, head.size)
    if not directory.count:
        raise ConfigurationError("not_founded", "the database holds no log: restore the newest backup first")
    if stored.size <= head.size:
        raise ConfigurationError(
            "nothing_lost",
            f"the database holds all {stored.size} entries that were published: start the broker, the log goes on",
        )
    before = directory.log()
    fresh = [signer for signer in keys.log if signer.public_key != before.log_key]
    predecessor = Predecessor(directory.origin(), head.size, root)
    record = replace(
        before,
        log_key=fresh[-1].public_key if fresh else before.log_key,
        predecessor=predecessor,
    )
    header = Header(Kind.GOVERNANCE, next_origin(predecessor.origin), Seen(head.size, root))
    data = draft_governance(directory, header, record, fresh[-1:], ground)
    return Drafted(data, header.log, head.size, stored.size)


def read_succession(signed: bytes) -> tuple[Origin, Predecessor]:
    """Name of the successor, and what it succeeds, as a signed draft says; nothing of it is judged.

    Raises:
        ConfigurationError: ``no_succession``: it is another statement.
        MalformedError: not a statement with all its signatures.
    """
    claims = parse_document(finish_gathering(signed)).claims
    statement = parse_directory_statement(claims)
    record = statement.record
    if not isinstance(record, LogRecord) or record.predecessor is None:
        raise ConfigurationError("no_succession", "the statement is not one by which a log succeeds another")
    return statement.header.log, record.predecessor


async def adopt_succession(node: Node, appender: Appender, signed: bytes, keys: Keyring, holder: str) -> int:
    """Log the succession and open the new checkpoint store; the published size afterwards. May be repeated.

    Args:
        node: not running, set up for the *new* log: its name, and a checkpoint store of its own.
        appender: its own.
        signed: the draft, signed by the quorum.
        keys: with the administrator keys, where this node's key is not listed yet.
        holder: pseudonym of this node in the broker's keys.

    Raises:
        ConfigurationError: ``no_succession``, ``other_log_key``.
        FatalError: ``store_of_other_log``: the store named is not the new one.
        CountermarkError: not what the governors must sign, or not from where this database ends.
    """
    origin, predecessor = read_succession(signed)
    if origin != node.origin:
        raise ConfigurationError(
            "no_succession",
            f"the statement opens the log '{origin}', this node is set up for '{node.origin}'",
        )
    directory = await node.newest_directory()
    document = verify_statement(directory, parse_document(finish_gathering(signed)))
    if directory.origin() != origin:
        _judge(node, directory, document, predecessor)
    node.store.check(node.database)
    if not node.store.exists():
        log_key = keys.log[0]
        node.store.create(sign_checkpoint(origin, 0, EMPTY_ROOT, log_key.sign, log_key.public_key.raw))
    node.publisher.check_origin(node.store.load())
    await append_now(node, appender, document)
    await list_node_key(node, appender, keys, holder)
    return node.publisher.published.size


def _judge(node: Node, directory: Directory, document: Document, predecessor: Predecessor) -> None:
    """Judge all of it before the new store is made: nothing of a refused succession stays."""
    statement = judge_statement(directory, document, node.clock.now_ms())
    check_log_key_held(node, statement)
    with node.database.reading() as connection:
        head = read_head(connection)
        root = node.tree.recompute_root(connection, head.size)
    check_named(directory, statement, head.size)
    check_predecessor(predecessor, head.size, root)
