"""Alembic's entry point: on the connection that `countermark-broker migrate` passes, or on a URL by hand."""

import os

from alembic import context
from sqlalchemy import Connection, create_engine

from countermark_broker.store.tables import metadata


def run(connection: Connection) -> None:
    """Migrate on one connection, in the transaction that its owner began."""
    context.configure(connection=connection, target_metadata=metadata, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with create_engine(os.environ["COUNTERMARK_BROKER_DATABASE_URL"]).begin() as by_hand:
        run(by_hand)
