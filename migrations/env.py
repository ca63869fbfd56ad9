"""Alembic's entry point: on the connection that `countermark-broker migrate` passes, or on a URL by hand."""

import asyncio
import os

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from countermark_broker.store.tables import metadata


def run(connection: Connection) -> None:
    """Migrate on one connection, in the transaction that its owner began."""
    context.configure(connection=connection, target_metadata=metadata, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


async def run_by_hand() -> None:
    """Migrate the database of COUNTERMARK_BROKER_DATABASE_URL."""
    engine = create_async_engine(os.environ["COUNTERMARK_BROKER_DATABASE_URL"])
    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    asyncio.run(run_by_hand())
