"""`show` and `vkey`: what a witness has cosigned, what it has kept, and how it is known."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from countermark_protocol.encoding import encode_hex
from countermark_protocol.note import encode_vkey
from countermark_witness.cli.common import home_option
from countermark_witness.cli.output import Result, command
from countermark_witness.home import STORE_FILE, VKEYS_FILE, write_new
from countermark_witness.judge import LogState
from countermark_witness.store import KeptEvidence, Store

_DIRECTORY: Any = click.Path(path_type=Path, file_okay=False)


@click.command("vkey")
@home_option
@command
def vkey(home: Path) -> Result:
    """Print the witness's verifier keys, for policies."""
    vkeys = (home / VKEYS_FILE).read_text("utf-8").split()
    return Result(vkeys, vkeys=vkeys)


@click.command("show")
@home_option
@click.option(
    "--evidence",
    "folder",
    type=_DIRECTORY,
    help="Write the checkpoints of all evidence into this folder.",
)
@command
def show(home: Path, folder: Path | None) -> Result:
    """Show the newest checkpoint cosigned of each log, and the evidence kept."""
    store = Store(home / STORE_FILE)
    try:
        with store.transaction() as transaction:
            logs, kept = transaction.logs(), transaction.evidence()
    finally:
        store.close()
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for item in kept:
            for side, data in (("held", item.evidence.held), ("offered", item.evidence.offered)):
                path = folder / f"{item.number}-{item.evidence.finding}-{side}.checkpoint"
                if not path.exists():  # a number is never used again
                    write_new(path, data.decode("utf-8"))
    lines = [line for log in logs for line in _log_lines(log)] or ["no log is known"]
    lines += [_evidence_line(item) for item in kept] or ["no evidence"]
    if kept and folder is None:
        lines.append("`--evidence FOLDER` writes the checkpoints out")
    return Result(lines, logs=[_log_json(log) for log in logs], evidence=[_evidence_json(e) for e in kept])


def utc(seconds: int) -> str:
    """A time for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _log_lines(log: LogState) -> list[str]:
    held = log.held
    if held is None:
        head = "nothing cosigned yet"
    else:
        head = f"size {held.size}, root {encode_hex(held.root)}, cosigned {utc(held.time)}"
    keys = (f"  key from size {k.from_size}: {encode_vkey(k.key)}" for k in log.keys)
    return [f"{log.origin}: {head}", *keys]


def _log_json(log: LogState) -> dict[str, Any]:
    held = log.held
    return {
        "origin": log.origin,
        "keys": [{"from_size": k.from_size, "vkey": encode_vkey(k.key)} for k in log.keys],
        "held": held and {"size": held.size, "root": encode_hex(held.root), "time": held.time},
    }


def _evidence_line(item: KeptEvidence) -> str:
    return f"evidence {item.number}: {item.evidence.finding} of {item.origin}, {utc(item.time)}"


def _evidence_json(item: KeptEvidence) -> dict[str, Any]:
    return {
        "number": item.number,
        "origin": item.origin,
        "finding": item.evidence.finding,
        "time": item.time,
        "held": item.evidence.held.decode("utf-8"),
        "offered": item.evidence.offered.decode("utf-8"),
    }
