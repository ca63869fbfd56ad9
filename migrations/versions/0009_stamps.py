"""Time stamps on witnessed checkpoints: two tables that the release before does not look at

Revision: 0009, after 0008.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stamps",
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("authority", sa.String(length=32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.Column("response", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("minute", "authority", name=op.f("pk_stamps")),
    )
    op.create_index(op.f("ix_stamps_size"), "stamps", ["size"])
    op.create_table(
        "stamp_authorities",
        sa.Column("authority", sa.String(length=32), nullable=False),
        sa.Column("asking_until", sa.BigInteger(), nullable=False),
        sa.Column("answered_at", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("failing_since", sa.BigInteger(), nullable=False),
        sa.Column("tried_at", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("authority", name=op.f("pk_stamp_authorities")),
    )


def downgrade() -> None:
    op.drop_table("stamp_authorities")
    op.drop_table("stamps")
