"""`backup` and `fsck`: keeping a log, and looking whether it is whole."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from countermark_broker.cli.common import home_option, load_parts
from countermark_broker.cli.output import FAILED, FATAL, Result, command
from countermark_broker.errors import ConfigurationError
from countermark_broker.services.backup import Backup, create_backup, restore_backup, verify_backup
from countermark_broker.services.checking import Finding
from countermark_broker.services.fsck import check_everything
from countermark_broker.services.node import Node
from countermark_broker.store.migrate import check_migrated, find_migrations

T = TypeVar("T")

FILE: Any = click.Path(path_type=Path, exists=True, dir_okay=False)
DIRECTORY: Any = click.Path(path_type=Path, exists=True, file_okay=False)
SUFFIX: Final = ".countermark"

scratch_option = click.option(
    "--scratch", type=DIRECTORY, help="Directory with room for a copy of the views; default: the system's."
)


def progress(done: int) -> None:
    """Show how many entries are done, to people."""
    if sys.stderr.isatty():
        click.echo(f"\r{done} entries", err=True, nl=False)


def with_node(home: Path, run: Callable[[Node], Awaitable[T]], *, migrated: bool = True) -> T:
    """Run something with an unstarted node, and close its database afterwards."""
    settings, parts = load_parts(home)

    async def main() -> T:
        try:
            if migrated:
                check_migrated(parts.node.database, find_migrations(settings.migrations))
            return await run(parts.node)
        finally:
            parts.node.verifier.close()
            parts.node.content.close()
            await parts.node.database.close()
            await asyncio.to_thread(parts.node.store.close)

    return asyncio.run(main())


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """Findings for people, each kind's way out once."""
    lines = [f"{f.code}: {f.message}" for f in findings]
    return lines + [
        f"hint ({code}): {hint}" for code, hint in sorted({f.code: f.hint for f in findings}.items())
    ]


def finding_members(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """Findings for ``--json``."""
    return [{"code": f.code, "message": f.message, "hint": f.hint} for f in findings]


@click.group("backup")
def backup() -> None:
    """Keep the published log in one file, prove that it restores, and restore it."""


@backup.command("create")
@home_option
@click.option("--to", "path", type=click.Path(path_type=Path), help="File to write; must not exist.")
@click.option("--directory", type=DIRECTORY, help="Instead: a directory; the file is named by log and time.")
@command
def create(home: Path, path: Path | None, directory: Path | None) -> Result:
    """Write the published log into a file, while nodes run. It is as confidential as the database."""
    if (path is None) == (directory is None):
        raise ConfigurationError("bad_configuration", "give one of --to and --directory")

    def named(node: Node) -> Path:
        if path is not None:
            return path
        assert directory is not None
        log = re.sub(r"[^a-z0-9.]+", "-", node.origin)
        return directory / f"{log}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}{SUFFIX}"

    async def run(node: Node) -> tuple[Path, Backup]:
        target = named(node)
        return target, await create_backup(node, target, progress)

    target, made = with_node(home, run)
    return _result(target, made, f"kept {made.size} entries of {made.log} in {target}")


@backup.command("verify")
@click.argument("file", type=FILE, required=False)
@click.option("--newest", type=DIRECTORY, help="Instead of a file: the newest one in a directory.")
@scratch_option
@command
def verify(file: Path | None, newest: Path | None, scratch: Path | None) -> Result:
    """Prove that a file restores: replay all of it, and hold the end against its checkpoint. Needs no broker."""
    if (file is None) == (newest is None):
        raise ConfigurationError("bad_configuration", "give a file, or --newest")
    if newest is not None:
        found = sorted(newest.glob(f"*{SUFFIX}"), key=lambda p: p.stat().st_mtime)
        if not found:
            raise ConfigurationError("no_backup", f"no backup in {newest}")
        file = found[-1]
    assert file is not None
    made = asyncio.run(verify_backup(file, scratch, progress))
    return _result(file, made, f"{file} restores {made.size} entries of {made.log}")


def _result(path: Path, made: Backup, done: str) -> Result:
    return Result(
        [
            done,
            f"digest:      {made.digest.hex()}",
            f"fingerprint: {made.fingerprint} (that of the trust file)",
            *finding_lines(made.findings),
        ],
        FAILED if made.findings else 0,
        file=str(path),
        log=made.log,
        size=made.size,
        digest=made.digest.hex(),
        fingerprint=made.fingerprint,
        findings=finding_members(made.findings),
    )


@backup.command("restore")
@home_option
@click.argument("file", type=FILE)
@scratch_option
@command
def restore(home: Path, file: Path, scratch: Path | None) -> Result:
    """Bring the database to a file's state, from nothing or from an earlier state. Stop all nodes before.

    Everything is replayed. The checkpoint store is only read: it tells whether the file is the newest state.
    """
    restored = with_node(home, lambda node: restore_backup(node, file, progress, scratch))
    lines = [f"the database holds {restored.size} entries, {restored.added} of them restored now"]
    if restored.mended:
        lines.append(f"{restored.mended} damaged records have been replaced by those of the file; run `fsck`")
    if restored.missing is None:
        lines.append(
            "there is no checkpoint store: see docs/operations/running-a-broker.md §7 before anything else"
        )
    elif restored.missing:
        lines += [
            f"{restored.missing} published entries are missing: the broker will refuse to start",
            (
                "hint: restore a newer backup onto this one, or see what `recover` asks mirrors and senders for "
                "(docs/operations/backup-and-restore.md §4, §5)"
            ),
        ]
    else:
        lines.append("that is all that was ever published: the broker may be started")
    whole = restored.missing == 0
    return Result(
        [*lines, *finding_lines(restored.findings)],
        FATAL if not whole else FAILED if restored.findings else 0,
        size=restored.size,
        added=restored.added,
        mended=restored.mended,
        missing=restored.missing,
        findings=finding_members(restored.findings),
    )


@click.command("fsck")
@home_option
@command
def fsck(home: Path) -> Result:
    """Read everything once, and name what is missing, altered or surplus; nodes may run. Changes nothing."""
    checked = with_node(home, lambda node: check_everything(node, progress))
    fatal = any(f.code in {"behind_store", "root_differs"} for f in checked.findings)
    return Result(
        [
            f"read {checked.entries} entries",
            *(finding_lines(checked.findings) or ["everything is in its place"]),
        ],
        FATAL if fatal else FAILED if checked.findings else 0,
        entries=checked.entries,
        findings=finding_members(checked.findings),
    )
