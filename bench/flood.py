"""An agency's submissions beside a flood of forgeries in its name, and alone: `python bench/flood.py`.

Prints JSON. Only ratios within one run mean anything: load, broker and machine are the same for both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import time
from collections import Counter
from itertools import cycle, islice
from typing import Any

from limits_setup import machine, serving, spread

from support.broker_fixtures import AUTHORITY
from support.forgeries import forgeries
from support.raw_http import Connection, request
from support.world import KAMPALA, LYON, NAIROBI, World

FLOOD, AGENCY = "127.0.0.66", "127.0.0.2"


async def _flood(port: int, bodies: list[bytes], connections: int, ended: Any, counts: Counter[str]) -> None:
    async def one(number: int) -> None:
        connection = Connection(port, FLOOD)
        for body in cycle(bodies[number::connections]):
            if ended.is_set():
                break
            try:
                counts[str((await connection.send(body)).status)] += 1
            except (OSError, asyncio.IncompleteReadError):
                counts["cut"] += 1
        connection.close()

    await asyncio.gather(*(one(n) for n in range(connections)))


def _flooding(port: int, bodies: list[bytes], connections: int, started: Any, ended: Any, out: Any) -> None:
    counts: Counter[str] = Counter()
    began = time.monotonic()
    started.set()
    asyncio.run(_flood(port, bodies, connections, ended, counts))
    out.put((dict(counts), time.monotonic() - began))


async def _submit(port: int, source: str, bodies: list[bytes]) -> tuple[list[float], int]:
    """Seconds from sending until accepted, retries as told included; how often it was told to wait."""
    connection, seconds, waits = Connection(port, source), [], 0
    for body in bodies:
        began = time.monotonic()
        while (answer := await connection.send(body)).status == 429:
            waits += 1
            await asyncio.sleep(int(answer.headers["retry-after"]))
        if answer.status != 201:
            raise SystemExit(f"not accepted: {answer.status} {answer.body!r}")
        seconds.append(time.monotonic() - began)
    connection.close()
    return seconds, waits


def _own(world: World, count: int) -> list[bytes]:
    sealed = (world.message(NAIROBI, [KAMPALA]) for _ in range(count))
    return [request("POST", "/v1/messages", AUTHORITY, one.data) for one in sealed]


def measure(submissions: int, connections: int) -> dict[str, Any]:
    """One run."""
    context = multiprocessing.get_context("spawn")
    with serving() as (world, broker):
        forged = islice(forgeries(world, NAIROBI, LYON, KAMPALA), 900)
        bodies = [request("POST", "/v1/messages", AUTHORITY, body) for body in forged]
        asyncio.run(_submit(broker.port, AGENCY, _own(world, 20)))  # warm
        alone, _ = asyncio.run(_submit(broker.port, AGENCY, _own(world, submissions)))
        mine, beside_it = _own(world, submissions), _own(world, submissions)
        started, ended, out = context.Event(), context.Event(), context.Queue()
        child = context.Process(
            target=_flooding, args=(broker.port, bodies, connections, started, ended, out), daemon=True
        )
        child.start()
        started.wait()
        time.sleep(0.5)
        other, other_waits = asyncio.run(_submit(broker.port, AGENCY, mine))
        same, same_waits = asyncio.run(_submit(broker.port, FLOOD, beside_it))
        ended.set()
        counts, seconds = out.get()
        child.join()
    figures = {"alone": spread(alone), "beside": spread(other), "same_address": spread(same)}
    return {
        "machine": machine(),
        "flood": {
            "connections": connections,
            "answers": counts,
            "per_second": round(sum(counts.values()) / seconds),
        },
        "agency": figures,
        "told_to_wait": {"beside": other_waits, "same_address": same_waits},
        "ratios": {
            "beside_vs_alone": round(figures["beside"]["median_ms"] / figures["alone"]["median_ms"], 2),
            "same_address_vs_alone": round(
                figures["same_address"]["median_ms"] / figures["alone"]["median_ms"], 2
            ),
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submissions", type=int, default=60)
    parser.add_argument("--connections", type=int, default=48)
    options = parser.parse_args()
    print(json.dumps(measure(options.submissions, options.connections), indent=2))
