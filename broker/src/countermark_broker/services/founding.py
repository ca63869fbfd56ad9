"""Founding a log: a draft that governors sign, then entry 0, then the broker's own keys as entry 1.

The checkpoint store is written first, at size 0: a log whose store is missing can then never be mistaken for
a new one. Every step may be repeated after a crash; what is done already is found done.

Source: design section 5; docs/spec/directory.md; docs/operations/running-a-broker.md §2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from countermark_broker.errors import ConfigurationError, FatalError
from countermark_broker.log.appender import Appender, Failed, Refused, Submitted
from countermark_broker.services.keyring import Keyring
from countermark_broker.services.node import Node
from countermark_broker.store.checkpoints import STORE_LOST
from countermark_broker.store.migrate import holds_entries, migrate
from countermark_broker.store.writing import NOTHING
from countermark_protocol.checkpoint import sign_checkpoint
from countermark_protocol.claims import Header, Kind, Seen
from countermark_protocol.directory import Directory
from countermark_protocol.documents import Document, Purpose, parse_document, sign_document
from countermark_protocol.encoding import encode_json
from countermark_protocol.gathering import add_signature, finish_gathering, read_gathering, start_gathering
from countermark_protocol.identifiers import Address, Origin
from countermark_protocol.judging import judge_statement
from countermark_protocol.keys import PublicKey
from countermark_protocol.mandates import Oversight, Witness
from countermark_protocol.merkle import EMPTY_ROOT
from countermark_protocol.records import (
    DirectoryStatement,
    InstanceKey,
    KeysRecord,
    LogRecord,
    make_key_set,
    subject_of,
)
from countermark_protocol.statements import read_statement, verify_statement

_NOTHING_SEEN = Seen(0, EMPTY_ROOT)


@dataclass(frozen=True, slots=True)
class Appointed:
    """Whom a founding appoints; governors may appoint others later.

    Attributes:
        witnesses: who may cosign checkpoints.
        quorum: how many of them make one witnessed; 0 exactly while there are none.
        auditors: with oversight.
    """

    witnesses: tuple[Witness, ...] = ()
    quorum: int = 0
    auditors: tuple[Oversight, ...] = ()


def draft_founding(
    origin: Origin,
    broker: Address,
    keys: Keyring,
    governors: Sequence[PublicKey],
    quorum: int,
    *,
    undelivered_grace_ms: int,
    reset_delay_ms: int,
    appointed: Appointed | None = None,
) -> bytes:
    """The founding as a gathering file, without any signature yet.

    Args:
        origin: name of the log.
        broker: the broker's address.
        keys: with the log key and the administrator keys.
        governors: their public keys.
        quorum: how many of them must sign later statements; all sign the founding.
        undelivered_grace_ms: until a message without ``delivered`` gets its notice.
        reset_delay_ms: until a sealing key set after a reset is used.
        appointed: witnesses and auditors; none if None.
    """
    chosen = appointed or Appointed()
    record = LogRecord(
        log_key=keys.log[0].public_key,
        governors=make_key_set(list(governors), quorum),
        broker=broker,
        broker_administrator=make_key_set([s.public_key for s in keys.administrator]),
        undelivered_grace=undelivered_grace_ms,
        reset_delay=reset_delay_ms,
        witnesses=chosen.witnesses,
        witness_quorum=chosen.quorum,
        auditors=chosen.auditors,
    )
    header = Header(Kind.FOUNDING, origin, _NOTHING_SEEN)
    return start_gathering(
        encode_json(DirectoryStatement(header, subject_of(Kind.FOUNDING), None, record).to_json())
    )


def complete_founding(data: bytes, keys: Keyring) -> Document:
    """Add the possession signatures of log key and administrator, and judge the whole.

    Args:
        data: the gathering file, signed by every governor.
        keys: the broker's own.

    Raises:
        CountermarkError: not a founding, or not signed by exactly those who must.
    """
    for signer in (*keys.log, *keys.administrator):
        if signer.public_key.key_id not in read_gathering(data).signed_by():
            data = add_signature(data, signer, Purpose.POSSESSION)
    document = verify_statement(Directory(), parse_document(finish_gathering(data)))
    judge_statement(Directory(), document, 0)
    return document


async def found_log(
    node: Node, appender: Appender, migrations: Path, founding: Document, keys: Keyring, holder: str
) -> None:
    """Write store, database, entry 0 and entry 1; the log can be served after it.

    Args:
        node: not running yet.
        appender: its own.
        migrations: the Alembic directory.
        founding: complete.
        keys: the broker's own.
        holder: pseudonym of this node in the broker's keys.

    Raises:
        ConfigurationError: the founding is not that of this broker's settings and keys, or the checkpoint store
            is not durable or not apart from the database.
        FatalError: ``store_missing``: the log exists, and its checkpoint store is lost.
        CountermarkError: the log refuses a statement, e.g. since it is founded otherwise.
    """
    statement = judge_statement(Directory(), founding, 0)
    record = statement.record
    assert isinstance(record, LogRecord)
    if statement.header.log != node.origin:
        raise ConfigurationError(
            "founding_of_other_log", f"the founding is for log '{statement.header.log}', not '{node.origin}'"
        )
    if record.log_key.key_id not in {s.public_key.key_id for s in keys.log}:
        raise ConfigurationError(
            "founding_of_other_log", "the founding names another log key than the key file"
        )
    node.store.check(node.database)
    if not node.store.exists():
        if await node.database.read(holds_entries):
            raise FatalError(
                "store_missing",
                "the database holds a log, and the checkpoint store has no checkpoint",
                STORE_LOST,
            )
        log_key = keys.log[0]
        note = sign_checkpoint(node.origin, 0, EMPTY_ROOT, log_key.sign, log_key.public_key.raw)
        node.store.create(note)
    migrate(node.database, migrations)
    await node.publisher.advance()
    await append_now(node, appender, founding)
    # Again after a crash: what is logged already is answered as such.
    await list_node_key(node, appender, keys, holder)


def _broker_keys(node: Node, record: LogRecord, keys: Keyring, holder: str, *, alone: bool) -> Document:
    """The broker's keys: this node's, and unless it is `alone` those that stand."""
    directory = node.holder.current
    subject = subject_of(Kind.KEYS, record.broker)
    held, standing = directory.held(subject), directory.keys(record.broker)
    own = InstanceKey(node.node_key.public_key, holder)
    others = () if alone or standing is None else tuple(k for k in standing.signing if k.key != own.key)
    mine = KeysRecord(
        address=record.broker,
        signing=tuple(sorted((*others, own), key=lambda k: k.key.key_id)),
        sealing=None,
        previous_sealing=None,
        previous_until=0,
        reads={},
    )
    header = Header(Kind.KEYS, node.origin, _NOTHING_SEEN)
    statement = DirectoryStatement(header, subject, held.statement if held else None, mine)
    signers = keys.administrator[: record.broker_administrator.threshold]
    data = sign_document(encode_json(statement.to_json()), signers, [node.node_key])
    return verify_statement(directory, parse_document(data))


async def list_node_key(
    node: Node, appender: Appender, keys: Keyring, holder: str, *, alone: bool = False
) -> bool:
    """Log the broker's keys anew with this node's among them; False if it is listed already.

    Args:
        node: not running.
        appender: its own.
        keys: with the broker's administrator keys.
        holder: pseudonym of this node.
        alone: no other node goes on: whoever ran them runs the broker no more.

    Raises:
        CountermarkError: the log refuses it, e.g. since these are not the administrator keys.
    """
    record = (await node.newest_directory()).log()
    if node.holder.current.node_key(node.node_key.public_key.key_id):
        return False
    await append_now(node, appender, _broker_keys(node, record, keys, holder, alone=alone))
    return True


async def append_now(node: Node, appender: Appender, document: Document) -> None:
    """Append one statement and publish it, on a node that is not running.

    Raises:
        CountermarkError: it is refused.
    """
    outcome = appender.commit([Submitted(read_statement(document), NOTHING)])[0]
    if isinstance(outcome, Refused | Failed):
        raise outcome.error
    await node.publisher.advance()
