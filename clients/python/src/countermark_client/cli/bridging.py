"""`countermark bridge`: an agency's own relay between its endpoint and another system."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from countermark_client.cli.common import FOLDER, Access, now, with_home
from countermark_client.cli.output import Result, command, safe, short, table, utc
from countermark_protocol.codes.tracing import ExternalSystem

if TYPE_CHECKING:
    from countermark_client import Client
    from countermark_client.bridge import Ledger

name_option = click.option(
    "--name",
    default="folder",
    show_default=True,
    help="Of this bridge; part of what is sent over it: never change it.",
)


@click.group("bridge")
def bridge() -> None:
    """Relay between this endpoint and another system of this agency.

    A bridge runs here, where the keys are; the broker never sees what crosses it. Both identifiers of everything that
    crosses are kept. See docs/howto/bridge.md, also on writing an adapter for SIENA, I-24/7 or AS4.
    """


@contextmanager
def _ledger(client: Client, name: str) -> Iterator[Ledger]:
    from countermark_client.bridge import Ledger  # noqa: PLC0415  loaded when asked for

    if not name.replace("-", "").isalnum() or not name.isascii() or len(name) > 40:
        raise click.UsageError("--name takes 1 to 40 letters, digits and hyphens")
    folder = client.profile.folder
    ledger = Ledger(":memory:" if folder is None else folder / f"bridge-{name}.db")
    try:
        yield ledger
    finally:
        ledger.close()


@bridge.command("folder")
@click.argument("folder", type=FOLDER)
@name_option
@click.option(
    "--system",
    type=click.Choice([each.value for each in ExternalSystem]),
    default=ExternalSystem.OTHER.value,
    show_default=True,
    help="What the folder leads to, as contents name it.",
)
@click.option(
    "--outside",
    is_flag=True,
    help="Others than this agency read the folder: what must stay here is withheld.",
)
@with_home
@command
def folder_(folder: Path, name: str, system: str, outside: bool, access: Access) -> Result:
    """Relay once between this endpoint and FOLDER: new messages into FOLDER/out, files of FOLDER/in into the log.

    Made to be run again and again (cron, a systemd timer): what crossed does not cross twice, whenever it breaks off.

    Examples:
      countermark bridge folder /srv/exchange
      countermark bridge folder /srv/siena --name siena --system SIENA --outside
    """
    from countermark_client.bridge import FolderAdapter, relay  # noqa: PLC0415  loaded when asked for

    adapter = FolderAdapter(folder, name, ExternalSystem(system), within_agency=not outside)
    with access.client() as client, _ledger(client, name) as ledger:
        for _ in client.inbox():
            pass  # reading signs for messages and opens them; accepting stays with who handles them
        report = relay(client, adapter, ledger, now)
    kinds = ("sent", "delivered", "refused", "withheld")
    lines = [
        ", ".join(f"{kind}: {len(getattr(report, kind))}" for kind in kinds),
        *(f"  refused   {safe(ref)}: {safe(error)}" for ref, error in report.refused),
        *(f"  withheld  {message[:16]}: {reason}" for message, reason in report.withheld),
    ]
    return Result(
        lines,
        sent=[{"message": message, "ref": ref} for message, ref in report.sent],
        delivered=[{"message": message, "ref": ref} for message, ref in report.delivered],
        refused=[{"ref": ref, "code": error.code} for ref, error in report.refused],
        withheld=[{"message": message, "reason": reason} for message, reason in report.withheld],
    )


@bridge.command("list")
@name_option
@with_home
@command
def list_(name: str, access: Access) -> Result:
    """List what reached this bridge, with both identifiers and what became of it."""
    with access.client() as client, _ledger(client, name) as ledger:
        found = ledger.crossings()
    rows = (
        (
            each.way.value,
            short(bytes.fromhex(each.message)) if each.message else "-",
            each.ref or "-",
            each.state.value,
            utc(each.at),
            each.reason or "",
        )
        for each in found
    )
    return Result(
        [
            table(("WAY", "MESSAGE", "OTHER SYSTEM", "STATE", "AT", "REASON"), rows)
            if found
            else "nothing yet"
        ],
        crossings=[
            {
                "way": each.way.value,
                "message": each.message,
                "ref": each.ref,
                "state": each.state.value,
                "reason": each.reason,
                "at": each.at,
            }
            for each in found
        ],
    )
