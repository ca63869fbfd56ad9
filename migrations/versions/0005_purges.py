"""Which messages are purged: a table that the release before does not look at

Revision: 0005, after 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "purges",
        sa.Column("payload_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("entry", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("payload_hash", name=op.f("pk_purges")),
    )


def downgrade() -> None:
    op.drop_table("purges")
