"""first tables

Revision: 0001, after .
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "box_heads",
        sa.Column("endpoint", sa.String(length=160), nullable=False),
        sa.Column("box", sa.String(length=8), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("head", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "box", name=op.f("pk_box_heads")),
    )
    op.create_table(
        "entries",
        sa.Column("entry", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("leaf", sa.LargeBinary(length=115), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("payload_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("secret", sa.LargeBinary(length=32), nullable=False),
        sa.Column("recipient_rows", sa.LargeBinary(), nullable=False),
        sa.Column("dir_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("entry", name=op.f("pk_entries")),
        sa.UniqueConstraint("dir_number", name=op.f("uq_entries_dir_number")),
        sa.UniqueConstraint("payload_hash", name=op.f("uq_entries_payload_hash")),
    )
    op.create_table(
        "head",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("dir_count", sa.BigInteger(), nullable=False),
        sa.Column("dir_head", sa.LargeBinary(length=32), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_head")),
    )
    op.create_table(
        "heartbeat",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("gap_end", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_heartbeat")),
    )
    op.create_table(
        "tiles",
        sa.Column("level", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "number", name=op.f("pk_tiles")),
    )
    op.create_table(
        "box_rows",
        sa.Column("endpoint", sa.String(length=160), nullable=False),
        sa.Column("box", sa.String(length=8), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry", sa.BigInteger(), nullable=False),
        sa.Column("previous", sa.LargeBinary(length=32), nullable=False),
        sa.Column("head", sa.LargeBinary(length=32), nullable=False),
        sa.ForeignKeyConstraint(["entry"], ["entries.entry"], name=op.f("fk_box_rows_entry")),
        sa.PrimaryKeyConstraint("endpoint", "box", "position", name=op.f("pk_box_rows")),
    )
    op.create_index(op.f("ix_box_rows_entry"), "box_rows", ["entry"], unique=False)
    op.create_table(
        "contents",
        sa.Column("message", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["message"], ["entries.entry"], name=op.f("fk_contents_message")),
        sa.PrimaryKeyConstraint("message", name=op.f("pk_contents")),
    )
    op.create_table(
        "deliveries",
        sa.Column("message", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("recipient", sa.String(length=160), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("stage_entry", sa.BigInteger(), nullable=False),
        sa.Column("undelivered_entry", sa.BigInteger(), nullable=True),
        sa.Column("due", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["message"], ["entries.entry"], name=op.f("fk_deliveries_message")),
        sa.PrimaryKeyConstraint("message", "recipient", name=op.f("pk_deliveries")),
    )
    op.create_index(op.f("ix_deliveries_due"), "deliveries", ["due"], unique=False)
    op.create_table(
        "messages",
        sa.Column("entry", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("payload_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("sender", sa.String(length=160), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("conversation", sa.LargeBinary(length=32), nullable=False),
        sa.Column("exercise", sa.SmallInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["entry"], ["entries.entry"], name=op.f("fk_messages_entry")),
        sa.PrimaryKeyConstraint("entry", name=op.f("pk_messages")),
        sa.UniqueConstraint("payload_hash", name=op.f("uq_messages_payload_hash")),
        sa.UniqueConstraint("sender", "id", name=op.f("uq_messages_sender_id")),
    )
    op.create_index(op.f("ix_messages_conversation"), "messages", ["conversation"], unique=False)
    op.create_table(
        "stanzas",
        sa.Column("message", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("recipient", sa.String(length=160), nullable=False),
        sa.Column("stanza", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["message"], ["entries.entry"], name=op.f("fk_stanzas_message")),
        sa.PrimaryKeyConstraint("message", "recipient", name=op.f("pk_stanzas")),
    )


def downgrade() -> None:
    op.drop_table("stanzas")
    op.drop_index(op.f("ix_messages_conversation"), table_name="messages")
    op.drop_table("messages")
    op.drop_index(op.f("ix_deliveries_due"), table_name="deliveries")
    op.drop_table("deliveries")
    op.drop_table("contents")
    op.drop_index(op.f("ix_box_rows_entry"), table_name="box_rows")
    op.drop_table("box_rows")
    op.drop_table("tiles")
    op.drop_table("heartbeat")
    op.drop_table("head")
    op.drop_table("entries")
    op.drop_table("box_heads")
