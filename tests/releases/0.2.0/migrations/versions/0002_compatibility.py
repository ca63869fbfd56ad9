"""Which releases may run on this database; no foreign keys any more

Foreign keys cost every statement a look-up for each of its rows, under the lock; all rows of an entry are
written by one routine in one transaction, and `countermark-broker fsck` looks for rows without entry.

Revision: 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = (
    ("stanzas", "message"),
    ("contents", "message"),
    ("messages", "entry"),
    ("deliveries", "message"),
    ("box_rows", "entry"),
)


def upgrade() -> None:
    compatibility = op.create_table(
        "compatibility",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("oldest", sa.String(length=8), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_compatibility")),
    )
    op.bulk_insert(compatibility, [{"id": 1, "oldest": "0001"}])
    for table, column in TABLES:
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint(op.f(f"fk_{table}_{column}"), type_="foreignkey")


def downgrade() -> None:
    for table, column in TABLES:
        with op.batch_alter_table(table) as batch:
            batch.create_foreign_key(op.f(f"fk_{table}_{column}"), "entries", [column], ["entry"])
    op.drop_table("compatibility")
