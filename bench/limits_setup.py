"""A founded world and a broker process for the measurements of limits; made of what the tests use."""

from __future__ import annotations

import asyncio
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import cpu_count
from pathlib import Path
from statistics import median, quantiles
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.broker_fixtures import found, write_home
from support.broker_process import BrokerProcess
from support.world import World


@contextmanager
def serving(**settings: Any) -> Iterator[tuple[World, BrokerProcess]]:
    """A broker process over SQLite, with everybody enrolled."""
    world = World()
    with tempfile.TemporaryDirectory() as directory:
        home = write_home(world, Path(directory) / "home", key_files=True, **settings)
        asyncio.run(found(world, home))
        process = BrokerProcess(world, home)
        try:
            yield world, process.wait_until_listening()
        finally:
            process.stop()


def machine() -> dict[str, Any]:
    """On what it was measured."""
    return {"processors": cpu_count(), "system": platform.platform(), "python": platform.python_version()}


def spread(seconds: list[float]) -> dict[str, float]:
    """Median and 95th percentile, in ms."""
    return {
        "count": len(seconds),
        "median_ms": round(median(seconds) * 1000, 2),
        "p95_ms": round(quantiles(seconds, n=20)[-1] * 1000, 2),
    }
