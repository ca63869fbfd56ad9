"""`countermark backup`: a whole profile in one encrypted file, and back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from countermark_client._backup import BackupReport, create_backup, restore_backup, verify_backup
from countermark_client._restored import Adopted
from countermark_client._store import OutboxItem
from countermark_client.cli.common import (
    FILE,
    FOLDER,
    HOME_VARIABLE,
    NEW_FILE,
    Access,
    now,
    passphrase_for,
    with_home,
)
from countermark_client.cli.output import Result, command, short, table, utc
from countermark_protocol.errors import ConflictError
from countermark_protocol.manifest import Manifest
from countermark_protocol.receipts import Receipt

BACKUP_VARIABLE: Final = "COUNTERMARK_BACKUP_PASSPHRASE"  # the variable's name

_passphrase = click.option(
    "--backup-passphrase-file",
    "passphrase_file",
    type=FILE,
    metavar="FILE",
    help=f"Holds the passphrase of the backup. Else {BACKUP_VARIABLE}, else you are asked.",
)
_home = click.option(
    "--home",
    type=FOLDER,
    envvar=HOME_VARIABLE,
    default=lambda: str(Path.home() / ".countermark"),
    show_default="~/.countermark",
    help=f"Folder of the profile. [env: {HOME_VARIABLE}]",
)


def _report(report: BackupReport, *lines: str) -> Result:
    whose = report.address or "an authority"
    shown = [
        f"profile of {whose} in log {report.log}, made {utc(report.made_at)}",
        f"{report.files} files, {report.size} bytes; {report.waiting} waiting in the outbox",
        f"the log was known to size {report.checkpoint}",
        *lines,
    ]
    if report.token is not None:
        shown += [
            f"NOT in it: the keys in {report.token}",
            "without that token, or a copy of it, nobody signs for this profile and what is sealed to it stays sealed",
        ]
    return Result(
        shown,
        made_at=report.made_at,
        address=report.address,
        log=report.log,
        files=report.files,
        size=report.size,
        waiting=report.waiting,
        checkpoint=report.checkpoint,
        token=report.token,
    )


@click.group("backup")
def backup() -> None:
    """Keep a whole profile in one encrypted file, and restore it without sending anything twice."""


@backup.command("create")
@click.argument("file", type=NEW_FILE)
@_home
@_passphrase
@command
def create(file: Path, home: Path | str, passphrase_file: Path | None) -> Result:
    """Write an encrypted backup of the profile to FILE, also while a client runs.

    Keys, trust, outbox, messages and cursors. The key file in it stays under the profile's own passphrase: you need
    both to use what is restored.

    Example:
      countermark backup create profile.backup --backup-passphrase-file backup.txt
    """
    passphrase = passphrase_for(f"the backup {file}", passphrase_file, new=True, variable=BACKUP_VARIABLE)
    create_backup(Path(home), file, passphrase, clock=now)
    return _report(verify_backup(file, passphrase), "opened again and found whole")


@backup.command("verify")
@click.argument("file", type=FILE)
@_passphrase
@command
def verify(file: Path, passphrase_file: Path | None) -> Result:
    """Open the backup FILE to its end and check that it is a whole profile.

    Example:
      countermark backup verify profile.backup
    """
    passphrase = passphrase_for(f"the backup {file}", passphrase_file, variable=BACKUP_VARIABLE)
    return _report(verify_backup(file, passphrase), "whole")


@backup.command("restore")
@click.argument("file", type=FILE)
@_home
@_passphrase
@command
def restore(file: Path, home: Path | str, passphrase_file: Path | None) -> Result:
    """Restore the profile in FILE into a new folder.

    It sends nothing before `countermark backup compare`. The machine that it was made on must not run on.

    Example:
      countermark backup restore profile.backup --home kenya
    """
    passphrase = passphrase_for(f"the backup {file}", passphrase_file, variable=BACKUP_VARIABLE)
    report = restore_backup(file, Path(home), passphrase)
    return _report(report, f"restored to {home}; next: `countermark backup compare`")


# --- after a restore -----------------------------------------------------------------------------------


def _what(one: Adopted) -> str:
    if isinstance(one.statement, Manifest):
        return f"message {one.statement.type}"
    return f"receipt {one.statement.stage.value}" if isinstance(one.statement, Receipt) else "notice"


def _item_json(item: OutboxItem) -> dict[str, Any]:
    return {"statement": item.payload.hex(), "kind": item.kind, "index": item.index}


@backup.command("compare")
@click.option(
    "--adopt", is_flag=True, help="Entries that this profile's key signed after the backup are yours."
)
@with_home
@command
def compare(adopt: bool, access: Access) -> Result:
    """Compare a restored profile with what the log holds of its key; from then on it sends again.

    What was sent after the backup was made is shown and, with --adopt, taken over. Look at it first: what you did not
    send was sent by somebody who has your key.

    Examples:
      countermark backup compare
      countermark backup compare --adopt
    """
    with access.client() as client, naming_entries():
        found = client.compare_restored(adopt=adopt)
    lines: list[Any] = [
        f"{len(found.recognised)} of the outbox were logged since: not sent again",
        f"{len(found.adopted)} entries made after the backup of {utc(found.made_at)} adopted",
        f"{len(found.waiting)} wait in the outbox: `countermark flush` sends them",
    ]
    if found.adopted:
        rows = ((one.index, utc(one.time), _what(one), short(one.message)) for one in found.adopted)
        lines.append(table(("ENTRY", "LOGGED", "WHAT", "STATEMENT"), rows))
    return Result(
        lines,
        made_at=found.made_at,
        recognised=[_item_json(i) for i in found.recognised],
        adopted=[
            {"index": a.index, "time": a.time, "statement": a.message.hex(), "what": _what(a)}
            for a in found.adopted
        ],
        waiting=[_item_json(i) for i in found.waiting],
    )


@contextlib.contextmanager
def naming_entries() -> Iterator[None]:
    """Name the entries in question in the text of the error."""
    try:
        yield
    except ConflictError as error:
        if error.code != "entries_to_adopt":
            raise
        listed = "; ".join(
            f"entry {e['index']} of {utc(e['time'])}: {e['what']} {e['statement'][:16]}"
            for e in error.facts["entries"][:20]
        )
        raise ConflictError("entries_to_adopt", f"{error.message}. {listed}", **error.facts) from None
