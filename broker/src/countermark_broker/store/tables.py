"""The tables. What cannot be remade: `entries`, `stanzas`, `contents`, `claims` and the blobs that these name.

Everything else is a view, or is gathered, or short-lived.

What clients sign is kept as bytes: text columns refuse some of what may be signed. Addresses and ids are
text, since their language is plain ASCII. Times are ms since 1970. Nothing here is particular to a database.
There are no foreign keys: all rows of an entry are written by one routine in one transaction, and fsck looks.

Source: docs/spec/log.md §6; docs/operations/running-a-broker.md §4.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
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
    Column("message", BigInteger, primary_key=True, autoincrement=False),
    Column("recipient", String(160), primary_key=True),
    Column("stanza", LargeBinary, nullable=False),
)

contents: Final = Table(
    "contents",
    metadata,
    Column("message", BigInteger, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
)

#: Beside the entries too: the sealed pieces of which a message consists, in order. `part` is the number of the
#: attachment, or `CONTENT_PART` for a content that lies in the content store.
claims: Final = Table(
    "claims",
    metadata,
    Column("message", BigInteger, primary_key=True, autoincrement=False),
    Column("part", SmallInteger, primary_key=True, autoincrement=False),
    Column("number", SmallInteger, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary(32), nullable=False, index=True),
)
CONTENT_PART: Final = -1

#: Where the piece of a digest lies: in which store, and under which name there. A name is never used a second time.
blobs: Final = Table(
    "blobs",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("size", Integer, nullable=False),
    Column("place", String(16), nullable=False, index=True),
    Column("name", String(96), nullable=False, unique=True),
)

#: The content store that is the database: blobs in parts, since databases and their drivers copy each value.
blob_data: Final = Table(
    "blob_data",
    metadata,
    Column("name", String(96), primary_key=True),
    Column("number", SmallInteger, primary_key=True, autoincrement=False),
    Column("written_at", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

#: Short-lived: which endpoint has uploaded what and when, until a message of its claims it.
uploads: Final = Table(
    "uploads",
    metadata,
    Column("endpoint", String(160), primary_key=True),
    Column("digest", LargeBinary(32), primary_key=True),
    Column("size", Integer, nullable=False),
    Column("uploaded_at", BigInteger, nullable=False, index=True),
    Index(None, "digest"),
)

#: What no row names any more and is still to be deleted from a store outside the database.
doomed_blobs: Final = Table(
    "doomed_blobs",
    metadata,
    Column("place", String(16), primary_key=True),
    Column("name", String(96), primary_key=True),
)

#: By which mark a store outside the database is known to be the one that this log's pieces lie in.
content_places: Final = Table(
    "content_places",
    metadata,
    Column("place", String(16), primary_key=True),
    Column("mark", LargeBinary(16), nullable=False),
)

#: View: what decisions need to know of a message.
messages: Final = Table(
    "messages",
    metadata,
    Column("entry", BigInteger, primary_key=True, autoincrement=False),
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
    Column("message", BigInteger, primary_key=True, autoincrement=False),
    Column("recipient", String(160), primary_key=True),
    Column("stage", String(16), nullable=False),
    Column("stage_entry", BigInteger, nullable=False),
    Column("undelivered_entry", BigInteger, nullable=True),
    Column("due", BigInteger, nullable=True, index=True),
)

#: View: messages whose stanzas and content were deleted, and the entry that says so.
purges: Final = Table(
    "purges",
    metadata,
    Column("payload_hash", LargeBinary(32), primary_key=True),
    Column("entry", BigInteger, nullable=False),
)

#: View: every position of every box, with the box's head before and after it.
box_rows: Final = Table(
    "box_rows",
    metadata,
    Column("endpoint", String(160), primary_key=True),
    Column("box", String(8), primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("entry", BigInteger, nullable=False),
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

#: The newest checkpoint of each minute that a quorum of witnesses has cosigned. Gathered, not in the log: what
#: is lost is asked for again, but for the times of old cosignatures.
cosigned: Final = Table(
    "cosigned",
    metadata,
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("note", LargeBinary, nullable=False),
)

#: Time stamps on witnessed checkpoints, by authority and the minute that each states. Gathered, not in the log: what is
#: lost cannot be had again.
stamps: Final = Table(
    "stamps",
    metadata,
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("authority", String(32), primary_key=True),
    Column("size", BigInteger, nullable=False, index=True),
    Column("note", LargeBinary, nullable=False),
    Column("response", LargeBinary, nullable=False),
)

#: Unlogged: which node asks an authority of time stamps, and how the authority fares.
stamp_authorities: Final = Table(
    "stamp_authorities",
    metadata,
    Column("authority", String(32), primary_key=True),
    Column("asking_until", BigInteger, nullable=False),
    Column("answered_at", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("failing_since", BigInteger, nullable=False),
    Column("tried_at", BigInteger, nullable=False),
    Column("error", String(64), nullable=False),
)

#: Until when messages are kept, those below the entry in `retention_scan`. A list to work off, no view: it is filled
#: by looking through the log, so that messages accepted by a release that does not know it are not passed over.
retentions: Final = Table(
    "retentions",
    metadata,
    Column("message", BigInteger, primary_key=True, autoincrement=False),
    Column("until", BigInteger, nullable=False, index=True),
)

#: One row: the first entry that has not been looked through.
retention_scan: Final = Table(
    "retention_scan",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("scanned", BigInteger, nullable=False),
)

#: One row: when any node last said that it is there, and when it last came back after being away.
heartbeat: Final = Table(
    "heartbeat",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("gap_end", BigInteger, nullable=False),
)

#: One row: the oldest revision whose code may run on this database (expand/contract migrations).
compatibility: Final = Table(
    "compatibility",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("oldest", String(8), nullable=False),
)

#: Nonces of signed requests that changed something, until such a request is too old to be taken.
nonces: Final = Table(
    "nonces",
    metadata,
    Column("key", LargeBinary(32), primary_key=True),
    Column("nonce", LargeBinary(16), primary_key=True),
    Column("until", BigInteger, nullable=False, index=True),
)

#: Unlogged and short-lived: which worker of an endpoint is busy with a position. Decides nothing.
leases: Final = Table(
    "leases",
    metadata,
    Column("endpoint", String(160), primary_key=True),
    Column("box", String(8), primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("key", LargeBinary(32), nullable=False),
    Column("until", BigInteger, nullable=False, index=True),
)

#: Unlogged: where an endpoint wants to be told that its boxes moved, and how telling it fares.
webhooks: Final = Table(
    "webhooks",
    metadata,
    Column("endpoint", String(160), primary_key=True),
    Column("url", String(500), primary_key=True),
    Column("registered_at", BigInteger, nullable=False),
    Column("salt", LargeBinary(16), nullable=False),
    Column("enabled", SmallInteger, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("failing_since", BigInteger, nullable=True),
    Column("error", String(64), nullable=True),
    Column("succeeded_at", BigInteger, nullable=True),
    Column("next_try", BigInteger, nullable=False),
    Column("off_at", BigInteger, nullable=True),
    Column("claim", LargeBinary(16), nullable=True),
    Column("claimed_until", BigInteger, nullable=False),
)

#: Up to which length each box was told. A look is owed where the box is longer: there is no queue.
webhook_boxes: Final = Table(
    "webhook_boxes",
    metadata,
    Column("endpoint", String(160), primary_key=True),
    Column("url", String(500), primary_key=True),
    Column("box", String(8), primary_key=True),
    Column("told", BigInteger, nullable=False),
)

#: Unlogged and short-lived: where an endpoint-to-be and its authority find each other. A code is no secret.
invitations: Final = Table(
    "invitations",
    metadata,
    Column("code", String(12), primary_key=True),
    Column("authority", String(160), nullable=False, index=True),
    Column("address", String(160), nullable=False),
    Column("issuer", LargeBinary(32), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False, index=True),
    Column("endpoint", LargeBinary, nullable=True),
    Column("keys", LargeBinary, nullable=True),
)

#: Nodes and their releases, for operators.
nodes: Final = Table(
    "nodes",
    metadata,
    Column("node", String(160), primary_key=True),
    Column("release", String(32), nullable=False),
    Column("seen", BigInteger, nullable=False),
)

#: Tables that `rebuild` remakes from the entry records, in an order that respects references.
VIEWS: Final = (messages, deliveries, purges, box_rows, box_heads, tiles, head)
