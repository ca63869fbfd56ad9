"""The demo's world for tests: founded as `make demo` founds it, by processes that are forked."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from demo import world as demo_world  # noqa: E402

from support.forked import ForkedProcess, run_forked  # noqa: E402

_PATIENCE_S = 60


def run_broker(*arguments: str) -> str:
    """Run one command of the broker to its end; what it printed."""
    done = run_forked(arguments, os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def found(root: Path, database_url: str) -> demo_world.World:
    """Make keys and found the log."""
    with mock.patch.object(demo_world, "run_broker", run_broker):
        return demo_world.found(root, database_url)


@contextmanager
def serving(world: demo_world.World) -> Iterator[ForkedProcess]:
    """The broker in a process of its own, stopped at the end unless it was killed."""
    with (world.root / "broker.log").open("ab") as log:
        arguments = ("serve", "--home", str(world.broker_home), "--json-lines")
        process = ForkedProcess(arguments, os.environ, log)
        with process.stdout:
            try:
                line = process.stdout.readline()
                assert line, (world.root / "broker.log").read_text()
                assert "listening" in json.loads(line)
                yield process
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(_PATIENCE_S)


@contextmanager
def governed(
    root: Path, database_url: str, cast: dict[str, tuple[str, dict[str, str]]]
) -> Iterator[demo_world.World]:
    """A founded log with fewer endpoints than the demo's, all of them in the group; it is served no more."""
    members = tuple(address for _, endpoints in cast.values() for address in endpoints)
    world = found(root, database_url)
    with mock.patch.multiple(demo_world, CAST=cast, GROUP_MEMBERS=members), serving(world):
        demo_world.govern(world)
    try:
        yield world
    finally:
        world.close()
