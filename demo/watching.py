"""Who watches the demo's broker: three witnesses, each a process of its own, and an oversight auditor.

The governors name them once the log is there, as they would in life: by a new record of the log.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from countermark_client.statements import sign_gathering
from countermark_protocol.mandates import Oversight, Term, Witness
from countermark_protocol.note import NoteKey, encode_vkey
from demo.world import AUDITOR, ORIGIN, World

WITNESSES = ("north", "south", "university")
QUORUM = 2
_YEAR_MS = 365 * 86_400_000


@contextmanager
def watched(world: World) -> Iterator[None]:
    """Start the witnesses, let the governors name them and the auditor, and wait for the first quorum."""
    folders = {name: world.root / "witnesses" / name for name in WITNESSES}
    processes = [_start(world, name, folder) for name, folder in folders.items()]
    try:
        named = []
        for (name, folder), (_, url) in zip(folders.items(), processes, strict=True):
            keys = tuple((folder / "witness.vkeys").read_text("utf-8").split())
            named.append(Witness(f"Witness {name}", keys, url))
        _appoint(world, tuple(named))
        yield
    finally:
        for process, _ in processes:
            process.send_signal(signal.SIGTERM)
        for process, _ in processes:
            process.wait(30)
            assert process.stdout is not None
            process.stdout.close()


def _start(world: World, name: str, folder: Path) -> tuple[subprocess.Popen[str], str]:
    trust = next(iter(world.clients.values())).profile.trust
    vkey = encode_vkey(NoteKey(ORIGIN, trust.record.log_key))
    environment = {**os.environ, "COUNTERMARK_WITNESS_PASSPHRASE": world.passphrase}
    program = [sys.executable, "-m", "countermark_witness.cli"]
    for words in (["init", "--name", f"{name}.example.org/witness"], ["add-log", ORIGIN, vkey]):
        done = subprocess.run(
            [*program, words[0], "--home", str(folder), *words[1:]],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            msg = f"countermark-witness {words[0]} failed:\n{done.stdout}{done.stderr}"
            raise RuntimeError(msg)
    with (folder / "witness.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [*program, "serve", "--home", str(folder), "--port", "0"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())["listening"]


def _appoint(world: World, witnesses: tuple[Witness, ...]) -> None:
    now = time.time_ns() // 1_000_000
    client = world.clients[AUDITOR]
    record = replace(
        client.directory.log(),
        witnesses=witnesses,
        witness_quorum=QUORUM,
        auditors=(Oversight(client.profile.endpoint, Term(now, now + _YEAR_MS)),),
    )
    index = client.publish_statement(sign_gathering(client.drafts.governance(record), world.governors[:2]))
    client.sync()
    client.wait_witnessed(index)
    for each in world.clients.values():
        each.sync()
