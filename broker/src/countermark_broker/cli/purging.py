"""`purge`: what a running node does by itself, by hand."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import click

from countermark_broker.cli.common import home_option, load_parts
from countermark_broker.cli.output import Result, command
from countermark_broker.errors import ConfigurationError
from countermark_broker.services.retention import list_due, purge_all
from countermark_broker.store.migrate import check_migrated, find_migrations
from countermark_broker.store.retention import Kept


@click.command("purge")
@home_option
@click.option(
    "--due", is_flag=True, help="Every message that has been kept as long as its originator asked for."
)
@click.option("--dry-run", is_flag=True, help="Only list them; write nothing.")
@command
def purge(home: Path, due: bool, dry_run: bool) -> Result:
    """Delete stanzas and content of messages that are due, each by a logged purge. Nodes may run.

    Nothing else deletes them: an originator that withdraws a message logs a purge of its own.
    """
    if not due:
        raise ConfigurationError(
            "bad_configuration", "say which: --due purges what need not be kept any more"
        )
    settings, parts = load_parts(home)

    async def run() -> list[Kept]:
        try:
            check_migrated(parts.node.database, find_migrations(settings.migrations))
            if dry_run:
                return await list_due(parts.node)
            parts.node.health.check_appends()
            return await purge_all(parts.node, parts.appender)
        finally:
            parts.node.verifier.close()
            parts.node.content.close()
            await parts.node.database.close()
            await asyncio.to_thread(parts.node.store.close)

    found = asyncio.run(run())
    done = "to be purged" if dry_run else "purged"
    lines = [f"{len(found)} messages {done}"]
    lines += [f"entry {one.index}  {one.payload_hash.hex()}  kept until {_day(one.until)}" for one in found]
    members = [{"index": k.index, "message": k.payload_hash.hex(), "retention_until": k.until} for k in found]
    return Result(lines, dry_run=dry_run, messages=members)


def _day(time: int) -> str:
    try:
        return f"{datetime.fromtimestamp(time / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (OverflowError, ValueError, OSError):
        return f"{time} ms since 1970"
