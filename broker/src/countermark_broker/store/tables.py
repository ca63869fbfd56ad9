"""The tables. `entries`, `stanzas` and `contents` hold what cannot be remade; everything else is a view.

What clients sign is kept as bytes: text columns refuse some of what may be signed. Addresses and ids are
text, since their language is plain ASCII. Times are ms since 1970. Nothing here is particular to a database.

Source: docs/spec/log.md §6; docs/operations/running-a-broker.md §4.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
)

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: One row: the newest state of the log, and what the lock is taken on.
head: Final = Table(
    "head",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("dir_count", BigInteger, nullable=False),
    Column("dir_head", LargeBinary(32), nullable=False),
    Column("frontier", LargeBinary, nullable=False),
)

#: Entry records: leaf, signed document, recipient rows, secret.
entries: Final = Table(
    "entries",
    metadata,
    Column("entry", BigInteger, primary_key=True, autoincrement=False),
    Column("leaf", LargeBinary(115), nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("payload_hash", LargeBinary(32), nullable=False, unique=True),
    Column("document", LargeBinary, nullable=False),
    Column("secret", LargeBinary(32), nullable=False),
    Column("recipient_rows", LargeBinary, nullable=False),
    Column("dir_number", BigInteger, nullable=True, unique=True),
)

#: Beside the entries: what can be purged.
stanzas: Final = Table(
    "stanzas",
    metadata,
    Column("message", BigInteger, ForeignKey("entries.entry"), primary_key=True, autoincrement=False),
    Column("recipient", String(160), primary_key=True),
    Column("stanza", LargeBinary, nullable=False),
)

contents: Final = Table(
    "contents",
    metadata,
    Column("message", BigInteger, ForeignKey("entries.entry"), primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
)

#: View: what decisions need to know of a message.
messages: Final = Table(
    "messages",
    metadata,
    Column("entry", BigInteger, ForeignKey("entries.entry"), primary_key=True, autoincrement=False),
    Column("payload_hash", LargeBinary(32), nullable=False, unique=True),
    Column("sender", String(160), nullable=False),
    Column("id", String(36), nullable=False),
    Column("type", String(64), nullable=False),
    Column("conversation", LargeBinary(32), nullable=False, index=True),
    Column("exercise", SmallInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    UniqueConstraint("sender", "id"),
)

#: View: how far each recipient is. `due` is `expires_at` while an undelivered notice may still be made.
deliveries: Final = Table(
    "deliveries",
    metadata,
    Column("message", BigInteger, ForeignKey("entries.entry"), primary_key=True, autoincrement=False),
    Column("recipient", String(160), primary_key=True),
    Column("stage", String(16), nullable=False),
    Column("stage_entry", BigInteger, nullable=False),
    Column("undelivered_entry", BigInteger, nullable=True),
    Column("due", BigInteger, nullable=True, index=True),
)

#: View: every position of every box, with the box's head before and after it.
box_rows: Final = Table(
    "box_rows",
    metadata,
    Column("endpoint", String(160), primary_key=True),
    Column("box", String(8), primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("entry", BigInteger, ForeignKey("entries.entry"), nullable=False),
    Column("previous", LargeBinary(32), nullable=False),
    Column("head", LargeBinary(32), nullable=False),
    Index(None, "entry"),
)

#: View: the newest state of every box, so that an append reads one row a box.
box_heads: Final = Table(
    "box_heads",
    metadata,
    Column("endpoint", String(160), primary_key=True),
    Column("box", String(8), primary_key=True),
    Column("length", BigInteger, nullable=False),
    Column("head", LargeBinary(32), nullable=False),
)

#: View: the tree in tiles of 256 hashes (C2SP tlog-tiles); full ones never change.
tiles: Final = Table(
    "tiles",
    metadata,
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)

#: One row: when any node last said that it is there, and when it last came back after being away.
heartbeat: Final = Table(
    "heartbeat",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("gap_end", BigInteger, nullable=False),
)

#: Tables that `rebuild` remakes from the entry records, in an order that respects references.
VIEWS: Final = (messages, deliveries, box_rows, box_heads, tiles, head)
