"""`migrate`, `doctor` and `rebuild`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click

from countermark_broker.cli.common import home_option, load_parts
from countermark_broker.cli.output import FAILED, FATAL, Result, command
from countermark_broker.services.maintenance import Check, Rebuilt, examine, rebuild_views
from countermark_broker.store.migrate import check_migrated, find_migrations
from countermark_broker.store.migrate import migrate as run_migrations


@click.command("migrate")
@home_option
@command
def migrate(home: Path) -> Result:
    """Bring the database to the newest revision."""
    settings, parts = load_parts(home)

    async def run() -> str:
        try:
            directory = find_migrations(settings.migrations)
            run_migrations(parts.node.database, directory)
            return check_migrated(parts.node.database, directory)
        finally:
            await parts.node.database.close()
            await asyncio.to_thread(parts.node.store.close)

    revision = asyncio.run(run())
    return Result([f"database at revision {revision}"], revision=revision)


@click.command("doctor")
@home_option
@command
def doctor(home: Path) -> Result:
    """Look at everything that must be right, and say the way out of what is not. Changes nothing."""
    settings, parts = load_parts(home)

    async def run() -> list[Check]:
        try:
            return await examine(parts.node, find_migrations(settings.migrations), os.environ)
        finally:
            await parts.node.database.close()
            await asyncio.to_thread(parts.node.store.close)

    checks = asyncio.run(run())
    lines = []
    for check in checks:
        lines.append(f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.message}")
        if not check.ok:
            lines.append(f"     hint: {check.hint}")
    members = [{"name": c.name, "ok": c.ok, "message": c.message, "hint": c.hint} for c in checks]
    good = all(c.ok for c in checks)
    fatal = any(c.fatal for c in checks)
    return Result(lines, 0 if good else FATAL if fatal else FAILED, ok=good, checks=members)


@click.command("rebuild")
@home_option
@click.option("--check", is_flag=True, help="Only compare; write nothing.")
@click.option(
    "--scratch",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Directory with room for a copy of the views; default: the system's.",
)
@command
def rebuild(home: Path, check: bool, scratch: Path | None) -> Result:
    """Replay the whole log, and compare the views with it or write them anew. Stop all nodes before writing."""
    _settings, parts = load_parts(home)

    def progress(done: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{done} entries", err=True, nl=False)

    async def run() -> Rebuilt:
        try:
            return await rebuild_views(parts.node, check_only=check, progress=progress, scratch=scratch)
        finally:
            await parts.node.database.close()
            await asyncio.to_thread(parts.node.store.close)

    rebuilt = asyncio.run(run())
    lines = [f"replayed {rebuilt.entries} entries: every leaf is what its record gives", *rebuilt.findings]
    if rebuilt.rewritten:
        lines.append("the views have been written anew")
    elif not rebuilt.findings:
        lines.append("every view is what the log gives")
    return Result(
        lines,
        FAILED if rebuilt.findings and not rebuilt.rewritten else 0,
        entries=rebuilt.entries,
        findings=list(rebuilt.findings),
        rewritten=rebuilt.rewritten,
    )
