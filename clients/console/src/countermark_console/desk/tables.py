"""The tables of a desk, for SQLite and PostgreSQL: messages as they were opened, cases, notes, views, drafts.

Content stands here in the clear: this is the agency's own store, beside its own keys. Times are ms since 1970 (UTC),
hashes 64 hexadecimal digits, documents JSON text.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

#: A row's number; an alias of SQLite's rowid, which its search index needs.
_NUMBER: Final = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData()

messages = Table(
    "desk_messages",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("hash", String(64), nullable=False),
    Column("direction", String(3), nullable=False),  # in, out
    Column("type", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("id", String(36), nullable=False),
    Column("sender", String(120), nullable=False),
    Column("recipients", Text, nullable=False),  # JSON list, of those that are known
    Column("country", String(44), nullable=False),  # authority of the other side
    Column("conversation", String(64), nullable=False),
    Column("in_reply_to", String(64)),
    Column("supersedes", String(64)),
    Column("log_index", BigInteger, nullable=False),
    Column("log_time", BigInteger, nullable=False),
    Column("urgent", Boolean, nullable=False),
    Column("exercise", Boolean, nullable=False),
    Column("stage", String(16), nullable=False),
    Column("reference", Text, nullable=False),
    Column("headline", Text, nullable=False),
    Column("manifest", Text, nullable=False),
    Column("content", Text),  # NULL where it does not open here
    Column("facts", Text, nullable=False),
    Column("receipts", Text, nullable=False),
    Column("witnessed_at", BigInteger),
    Column("read_at", BigInteger),
    Column("read_by", String(120)),
    UniqueConstraint("hash", "direction"),
    Index("desk_messages_order", "log_index", "number"),
    Index("desk_messages_direction", "direction", "log_index", "number"),
    Index("desk_messages_type", "direction", "type", "log_index", "number"),
    Index("desk_messages_country", "direction", "country", "log_index", "number"),
    Index("desk_messages_conversation", "conversation", "log_index", "number"),
)
Index(
    "desk_messages_unread",
    messages.c.log_index,
    messages.c.number,
    sqlite_where=text("read_at IS NULL AND direction = 'in'"),
    postgresql_where=text("read_at IS NULL AND direction = 'in'"),
)
Index(
    "desk_messages_open",
    messages.c.log_index,
    messages.c.number,
    sqlite_where=text("stage = 'delivered' AND direction = 'in'"),
    postgresql_where=text("stage = 'delivered' AND direction = 'in'"),
)
Index(
    "desk_messages_urgent",
    messages.c.log_index,
    messages.c.number,
    sqlite_where=text("urgent"),
    postgresql_where=text("urgent"),
)
Index(
    "desk_messages_unwitnessed",
    messages.c.log_index,
    sqlite_where=text("witnessed_at IS NULL"),
    postgresql_where=text("witnessed_at IS NULL"),
)

cases = Table(
    "desk_cases",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("conversation", String(64), nullable=False, unique=True),
    Column("type", String(64), nullable=False),  # of its first message
    Column("direction", String(3), nullable=False),  # of its first message
    Column("country", String(44), nullable=False),
    Column("reference", Text, nullable=False),
    Column("headline", Text, nullable=False),
    Column("status", String(32), nullable=False),
    Column("state", String(32)),  # of the tracing process, where it is a trace
    Column("task", String(32)),  # what waits for this agency
    Column("deadline", BigInteger),
    Column("urgent", Boolean, nullable=False),
    Column("exercise", Boolean, nullable=False),
    Column("messages", Integer, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("moved_at", BigInteger, nullable=False),
    Column("owner", String(120)),
    Column("closed_at", BigInteger),
    Column("closed_by", String(120)),
    Column("outcome", Text),
    Index("desk_cases_moved", "moved_at", "number"),
    Index("desk_cases_status", "status", "moved_at", "number"),
    Index("desk_cases_owner", "owner", "moved_at", "number"),
    Index("desk_cases_deadline", "deadline"),
)

notes = Table(
    "desk_notes",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("conversation", String(64), nullable=False, index=True),
    Column("at", BigInteger, nullable=False),
    Column("person", String(120), nullable=False),
    Column("text", Text, nullable=False),
)

views = Table(
    "desk_views",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("person", String(120), nullable=False, index=True),
    Column("name", String(120), nullable=False),
    Column("query", Text, nullable=False),
    UniqueConstraint("person", "name"),
)

terms = Table(
    "desk_terms",
    metadata,
    Column("source", String(16), primary_key=True),
    Column("folded", String(200), primary_key=True),
    Column("text", String(200), nullable=False),
)

drafts = Table(
    "desk_drafts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("state", String(16), nullable=False),  # drafting, waiting, sent
    Column("revision", Integer, nullable=False),
    Column("type", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("author", String(120), nullable=False),
    Column("hands", Text, nullable=False),  # JSON list of all who wrote in it
    Column("made_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("form", Text, nullable=False),  # the state of the form
    Column("terms", Text, nullable=False),  # recipients, urgency, handling …
    Column("submitted_by", String(120)),
    Column("submitted_at", BigInteger),
    Column("signed", LargeBinary),  # a message draft that waits for a second signature
    Column("returned", Text),  # why it was handed back to its author
    Column("message", String(64)),
    Column("released_by", String(120)),
    Index("desk_drafts_state", "state", "changed_at"),
)

photographs = Table(
    "desk_photographs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("draft", String(32), nullable=False, index=True),
    Column("position", Integer, nullable=False),
    Column("name", String(120), nullable=False),
    Column("caption", Text, nullable=False),
    Column("media_type", String(64), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("thumbnail", LargeBinary, nullable=False),
    Column("item", Integer),  # place of the weapon that it shows, in the form
)

told = Table(
    "desk_told",
    metadata,
    Column("hash", String(64), primary_key=True),  # of an urgent message that the duty officer was told of
    Column("at", BigInteger, nullable=False),
)
