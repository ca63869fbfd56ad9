"""What comes after the exchange: an auditor's mirror and report, and evidence that stands by itself.

All by the command line, as an auditor and a party would do it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from demo.world import AUDITOR, World

#: Of the report, to be shown.
_REPORT_LINES = 24


def run_client(world: World, folder: Path, *arguments: str) -> str:
    """Run one `countermark` command over a profile that no client here has open; what it printed.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    environment = {**os.environ, "COUNTERMARK_PASSPHRASE": world.passphrase, "COUNTERMARK_HOME": str(folder)}
    command = [sys.executable, "-m", "countermark_client.cli", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"countermark {' '.join(arguments[:2])} failed:\n{done.stdout}{done.stderr}"
        raise RuntimeError(msg)
    return done.stdout.strip()


def let_go(world: World, address: str) -> Path:
    """Close the client of an endpoint, so that commands can open its profile; where that lies."""
    client = world.clients.pop(address, None)
    if client is not None:
        client.close()
        client.profile.close()
    return world.root / "agencies" / address


def mirror_log(world: World) -> str:
    """The auditor says in the log why it looks, mirrors every statement, and verifies its mirror offline."""
    home = let_go(world, AUDITOR)
    return "\n".join(
        (
            run_client(world, home, "audit", "look-up", "--scope", "oversight", "--ground", "demonstration"),
            run_client(world, home, "audit", "sync"),
            run_client(world, home, "audit", "verify"),
        )
    )


def report_on_the_year(world: World) -> str:
    """Statistics of the drills of this year so far, from the mirror alone, as tables and plots."""
    home, year = let_go(world, AUDITOR), f"{datetime.now(UTC):%Y}"
    formats = [word for kind in ("txt", "csv", "svg", "png") for word in ("--format", kind)]
    run_client(
        world,
        home,
        *("audit", "report", "--period", year, "--partial", "--exercise", "exercise"),
        *("--out", str(world.root / "reports"), *formats),
    )
    folder = next((world.root / "reports").iterdir())
    lines = (folder / "report.txt").read_text("utf-8").splitlines()
    files = len(list(folder.iterdir()))
    return "\n".join([*lines[:_REPORT_LINES], f"… and {files} files, plots among them, in {folder.name}/"])


def show_to_a_court(world: World, party: str, message: bytes) -> str:
    """A party discloses one part of a message to a court, and writes all that proves it into one file."""
    home = let_go(world, party)
    bundle = world.root / "exhibit.evidence.json"
    run_client(
        world,
        home,
        *("evidence", "export", message.hex(), "-o", str(bundle)),
        *("--to", "Court of the demonstration", "--ground", "case 1 of the demo", "--part", "/items/0"),
    )
    # As the court: no profile, no network.
    verified = run_client(world, world.root / "court", "evidence", "verify", str(bundle))
    return f"{bundle.stat().st_size:,} bytes in {bundle.name}\n{verified}"
