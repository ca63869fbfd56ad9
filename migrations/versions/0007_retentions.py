"""Until when messages are kept: two tables that the release before does not look at

Revision: 0007, after 0006.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "retentions",
        sa.Column("message", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("message", name=op.f("pk_retentions")),
    )
    op.create_index(op.f("ix_retentions_until"), "retentions", ["until"])
    scan = op.create_table(
        "retention_scan",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("scanned", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retention_scan")),
    )
    op.bulk_insert(scan, [{"id": 0, "scanned": 0}])


def downgrade() -> None:
    op.drop_table("retention_scan")
    op.drop_table("retentions")
