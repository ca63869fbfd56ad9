"""`countermark work`, `backlog`: several workers on one endpoint."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import TYPE_CHECKING, Any

import click

from countermark_client._models import OpenPosition
from countermark_client.cli.common import Access, now, pause, with_home
from countermark_client.cli.output import (
    REFUSED,
    Result,
    as_json,
    command,
    print_line,
    say,
    short,
    show,
    table,
    utc,
)
from countermark_client.cli.receiving import received_json, received_row
from countermark_protocol.errors import TransportError

if TYPE_CHECKING:
    from countermark_client import Client, Received

#: Seconds of one long-poll while following, and between two tries while the broker is away.
_PATIENCE = 60.0
_PAUSE = 30.0


@click.command("work")
@click.option("--run", "program", metavar="PROGRAM", help="Gets each message as JSON on its standard input.")
@click.option("--box", type=click.Choice(["urgent", "routine"]), help="Work on one box alone.")
@click.option(
    "--lease",
    "lease_seconds",
    type=click.IntRange(1, 3600),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="Longer than one message may take.",
)
@click.option(
    "--at-once", type=click.IntRange(1, 256), default=16, show_default=True, help="Messages leased at a time."
)
@click.option("--limit", type=click.IntRange(1), help="Stop after so many.")
@click.option("--follow", is_flag=True, help="Go on waiting for messages.")
@with_home
@command
def work(
    program: str | None,
    box: str | None,
    lease_seconds: int,
    at_once: int,
    limit: int | None,
    follow: bool,
    access: Access,
) -> Result | None:
    """Take in messages as one of several workers: each comes to one of them, and is accepted when it is done.

    With --run, a message is accepted once PROGRAM (run without a shell) ends with 0; it is left for another try
    if it does not. Without, it is accepted once it is printed. With --follow --json one object a line.

    Examples:
      countermark work --run './take-in.sh --register north' --follow
      countermark work --limit 100 --json
    """
    options = {"lease_seconds": lease_seconds, "at_once": at_once}
    counts = {"accepted": 0, "left": 0}
    found: list[dict[str, Any]] = []
    with access.client() as client:
        while True:
            try:
                for received in client.work(box, wait=_PATIENCE if follow else 0.0, **options):
                    _tell(received, found, follow=follow)
                    done = _handle(received, program)
                    if done:
                        received.accept()
                    counts["accepted" if done else "left"] += 1
                    if counts["accepted"] + counts["left"] == limit:
                        break
            except TransportError as error:
                if not follow:
                    raise
                say(f"the broker is away, trying again: {error}")
                pause(_PAUSE)
            except KeyboardInterrupt:
                follow = False
            if not follow or counts["accepted"] + counts["left"] == limit:
                break
        rejected = len(client.rejected)
    if follow and as_json():
        return None
    line = f"{counts['accepted']} accepted, {counts['left']} left, {rejected} rejected"
    return Result([line], REFUSED if counts["left"] else 0, messages=found, rejected=rejected, **counts)


def _tell(received: Received, found: list[dict[str, Any]], *, follow: bool) -> None:
    if as_json() and follow:
        print_line(received_json(received))
    elif as_json():
        found.append(received_json(received))
    else:
        show("  ".join(map(str, received_row(received))))


def _handle(received: Received, program: str | None) -> bool:
    if program is None:
        return True
    # The user's own program and arguments; what was received goes to its standard input alone.
    done = subprocess.run(  # noqa: S603
        shlex.split(program),
        input=json.dumps(received_json(received)).encode(),
        check=False,
        stdout=subprocess.DEVNULL,
    )
    if done.returncode:
        say(f"{short(received.message)}: the program ended with {done.returncode}; left for another try")
    return done.returncode == 0


# --- what is left --------------------------------------------------------------------------------------


def _open_json(one: OpenPosition) -> dict[str, Any]:
    return {
        "box": one.box,
        "position": one.position,
        "message": one.message.hex(),
        "from": one.manifest.sender,
        "type": one.manifest.type,
        "index": one.index,
        "time": one.time,
        "stage": one.stage,
        "holder": one.holder,
        "until": one.until,
    }


def _open_row(one: OpenPosition) -> tuple[object, ...]:
    held = f"{one.holder} until {utc(one.until)}" if one.holder is not None else "-"
    where = f"{one.box} {one.position}"
    return where, short(one.message), utc(one.time), one.manifest.sender, one.manifest.type, one.stage, held


@click.command("backlog")
@click.option(
    "--older-than",
    type=click.IntRange(0),
    metavar="MINUTES",
    help="Those alone, and end with 1 if there are any.",
)
@with_home
@command
def backlog(older_than: int | None, access: Access) -> Result:
    """List what no worker of this endpoint has accepted or rejected yet, position by position.

    Every position of both boxes is accounted for by the log: whatever is not here has its receipt.

    Example:
      countermark backlog --older-than 60
    """
    with access.client() as client:
        found = _older(client, older_than)
    headers = ("POSITION", "MESSAGE", "LOGGED", "FROM", "TYPE", "STAGE", "WORKER")
    shown = [table(headers, map(_open_row, found))] if found else ["nothing is left"]
    code = REFUSED if found and older_than is not None else 0
    return Result(shown, code, positions=[_open_json(one) for one in found])


def _older(client: Client, minutes: int | None) -> list[OpenPosition]:
    found = client.backlog()
    return found if minutes is None else [one for one in found if one.time <= now() - minutes * 60_000]
