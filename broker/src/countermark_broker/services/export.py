"""Moving a log: a second operator imports an export, serves it, and goes on with it once the governors say so.

An export is an archive like any backup. Who imports it replays all of it, so nothing of the first operator is
believed. What the second operator cannot have is the first one's log key: the governors name a new one, which
signs every size beyond that statement (docs/spec/directory.md §4.8). A new log key at the same operator is the
same two steps.

Source: docs/spec/export.md §4; docs/operations/moving-a-log.md §2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from countermark_broker.errors import ConfigurationError
from countermark_broker.log.appender import Appender
from countermark_broker.log.archive import open_archive
from countermark_broker.services.backup import Progress, Restored, restore_backup
from countermark_broker.services.founding import append_now, list_node_key
from countermark_broker.services.keyring import Keyring
from countermark_broker.services.node import Node
from countermark_protocol.claims import Header, Kind, Seen
from countermark_protocol.directory import Directory
from countermark_protocol.documents import Purpose, parse_document
from countermark_protocol.encoding import encode_json
from countermark_protocol.gathering import add_signature, finish_gathering, start_gathering
from countermark_protocol.judging import judge_statement
from countermark_protocol.keys import Signer
from countermark_protocol.records import DirectoryStatement, LogRecord, make_key_set, subject_of
from countermark_protocol.statements import verify_statement


async def import_log(node: Node, path: Path, progress: Progress = lambda _done: None) -> Restored:
    """Take another operator's export into this node's database, and its checkpoint into its own store.

    A newer export is imported the same way, onto the older one.

    Args:
        node: read-only, not running; its database migrated.
        path: of the export.
        progress: told how many entries are there.

    Raises:
        ConfigurationError: ``not_read_only``: this node appends, so its store is its own.
        CountermarkError, FatalError: as `restore_backup`.
    """
    if not node.settings.read_only:
        raise ConfigurationError(
            "not_read_only",
            "an export is imported by a node with read_only = true; else use `backup restore`",
        )
    restored = await restore_backup(node, path, progress)

    def publish() -> None:
        with open_archive(path) as archive:
            new = archive.checkpoint
        if not node.store.exists():
            node.store.create(new.raw)
            return
        stored = node.store.load()
        if stored.size < new.size and not node.store.advance(stored.size, stored.root, new.raw):
            raise ConfigurationError(
                "store_moved", "somebody else writes this checkpoint store: stop all nodes"
            )

    await asyncio.to_thread(publish)
    return restored


def _new_log_key(directory: Directory, keys: Keyring) -> Signer:
    current = directory.log().log_key
    fresh = [signer for signer in keys.log if signer.public_key != current]
    if not fresh:
        raise ConfigurationError("no_new_log_key", "there is no other log key: make one with `log-key new`")
    return fresh[-1]


async def draft_log_key(node: Node, keys: Keyring) -> bytes:
    """The governance statement that names this broker's new log key and administrator, for the governors to sign.

    Args:
        node: not running.
        keys: with a log key that the directory does not name yet; its administrator keys, if any, replace the
            broker's administrator.

    Raises:
        ConfigurationError: ``no_new_log_key``.
    """
    directory = await node.newest_directory()
    signer = _new_log_key(directory, keys)
    before = directory.log()
    record = replace(before, log_key=signer.public_key, predecessor=None)
    if keys.administrator:
        record = replace(
            record, broker_administrator=make_key_set([s.public_key for s in keys.administrator])
        )
    published = await asyncio.to_thread(node.store.load)
    header = Header(Kind.GOVERNANCE, node.origin, Seen(published.size, published.root))
    return draft_governance(directory, header, record, (signer, *keys.administrator))


def draft_governance(
    directory: Directory,
    header: Header,
    record: LogRecord,
    signers: Iterable[Signer],
    ground: str | None = None,
) -> bytes:
    """A gathering file by which governors change the record of the log, with possession by the keys new in it.

    Args:
        directory: as it stands.
        header: of the statement.
        record: the whole new one.
        signers: of keys that it names; those that it named before need not show that they are held.
        ground: why, in words.
    """
    subject = subject_of(Kind.GOVERNANCE)
    held = directory.held(subject)
    statement = DirectoryStatement(header, subject, held.statement if held else None, record, ground)
    data = start_gathering(encode_json(statement.to_json()))
    before = directory.log()
    known = {before.log_key.key_id, *before.broker_administrator.ids}
    for one in signers:
        if one.public_key.key_id not in known:
            data = add_signature(data, one, Purpose.POSSESSION)
    return data


def check_log_key_held(node: Node, statement: DirectoryStatement) -> LogRecord:
    """Demand that a statement names a log key which this node holds; its record of the log.

    Raises:
        ConfigurationError: ``other_log_key``.
    """
    record = statement.record
    if not isinstance(record, LogRecord) or not node.publisher.holds(record.log_key.key_id):
        raise ConfigurationError(
            "other_log_key", "the statement names no log key that this node holds: nothing could be published"
        )
    return record


async def adopt_log_key(node: Node, appender: Appender, signed: bytes, keys: Keyring, holder: str) -> int:
    """Log the governors' statement and, if it is new, this node's key; the published size afterwards.

    Args:
        node: not running; holds the key that the statement names.
        appender: its own.
        signed: the draft, signed by the quorum.
        keys: with the administrator keys that the statement names.
        holder: pseudonym of this node in the broker's keys.

    Raises:
        ConfigurationError: ``other_log_key``: it names a key that this node does not hold.
        CountermarkError: not what the governors must sign, or the log refuses it.
    """
    directory = await node.newest_directory()
    document = verify_statement(directory, parse_document(finish_gathering(signed)))
    record = check_log_key_held(node, judge_statement(directory, document, node.clock.now_ms()))
    await node.publisher.advance()
    await append_now(node, appender, document)
    moved = record.broker_administrator != directory.log().broker_administrator
    await list_node_key(node, appender, keys, holder, alone=moved)
    return node.publisher.published.size
