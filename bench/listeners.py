"""Thousands of idle long-polls on one node: memory of each, and how soon one is woken: `python bench/listeners.py`.

Prints JSON. Wake latency runs from sending the message until the listener has its page, commit included; beside it
stands the same with hardly any listeners, and the ratio of the two.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import resource
import time
from pathlib import Path
from typing import Any

from limits_setup import machine, serving, spread

from countermark_protocol.boxes import Box
from countermark_protocol.manifest import Urgency
from support.api_client import ApiClient
from support.broker_fixtures import AUTHORITY
from support.raw_http import Answered, Connection, ask, request
from support.world import BRUSSELS, KAMPALA, LYON, MOMBASA, NAIROBI, World

IDLE = [(address, Box.ROUTINE) for address in (BRUSSELS, LYON, MOMBASA)] + [(NAIROBI, Box.URGENT)]
TOGETHER = 200


def _poll(api: ApiClient, address: Any, box: Box, first: int = 0) -> bytes:
    target = f"/v1/boxes/{address}/{box.value}?from={first}&limit=10&wait=60"
    headers = api.sign("GET", target, None, api.world.agencies[address].instance).headers
    return request("GET", target, AUTHORITY, headers=headers)


async def _listening(port: int) -> int:
    text = (await ask(port, request("GET", "/metrics", AUTHORITY))).body.decode()
    return int(float(re.search(r"^countermark_listeners (\S+)", text, re.MULTILINE)[1]))  # type: ignore[index]


async def _open(api: ApiClient, port: int, places: list[Any]) -> list[asyncio.Task[Answered]]:
    """Begin long-polls, some at a time; return once all of them wait."""
    already, tasks = await _listening(port), []
    for number, place in enumerate(places):
        source = f"127.0.1.{1 + number % 200}"
        tasks.append(asyncio.create_task(Connection(port, source).send(_poll(api, *place))))
        if number % 50 == 49:
            await asyncio.sleep(0.05)
    while await _listening(port) < already + len(places):
        failed = [task for task in tasks if task.done()]
        if failed:
            raise SystemExit(f"a long-poll was refused: {failed[0].result()}")
        await asyncio.sleep(0.1)
    return tasks


async def _wake(world: World, api: ApiClient, port: int, first: int, times: int) -> list[float]:
    """One listener waits for one box, and is woken; seconds each time."""
    seconds = []
    for position in range(first, first + times):
        (task,) = await _open(api, port, [(KAMPALA, Box.URGENT, position)])
        message = request(
            "POST", "/v1/messages", AUTHORITY, world.message(NAIROBI, [KAMPALA], urgency=Urgency.FLASH).data
        )
        began = time.monotonic()
        _, answer = await asyncio.gather(ask(port, message), task)
        seconds.append(time.monotonic() - began)
        if answer.status != 200 or b'"document"' not in answer.body:
            raise SystemExit(f"not woken: {answer}")
    return seconds


def _resident_kib(process: Any) -> int:
    status = Path(f"/proc/{process._process.pid}/status").read_text()  # noqa: SLF001
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1])  # type: ignore[index]


async def _measure(world: World, process: Any, count: int, times: int) -> dict[str, Any]:
    api, port = process.client(), process.port
    few = await _wake(world, api, port, 0, times)
    before = _resident_kib(process)
    began = time.monotonic()
    idle = await _open(api, port, [IDLE[n % len(IDLE)] for n in range(count)])
    opening = time.monotonic() - began
    held = _resident_kib(process) - before
    many = await _wake(world, api, port, times, times)
    together = await _open(api, port, [(KAMPALA, Box.ROUTINE)] * TOGETHER)
    message = request("POST", "/v1/messages", AUTHORITY, world.message(NAIROBI, [KAMPALA]).data)
    began = time.monotonic()
    await asyncio.gather(ask(port, message), *together)
    all_woken = time.monotonic() - began
    woken_wrongly = sum(task.done() for task in idle)
    for task in idle:
        task.cancel()
    await asyncio.gather(*idle, return_exceptions=True)
    api.close()
    figures = {"few_listeners": spread(few), "many_listeners": spread(many)}
    return {
        "machine": machine(),
        "listeners": count,
        "opened_per_second": round(count / opening),
        "kib_each": round(held / count, 1),
        "wake": figures,
        "wake_all_of_one_box_ms": {"listeners": TOGETHER, "until_the_last": round(all_woken * 1000, 1)},
        "woken_wrongly": woken_wrongly,
        "ratios": {
            "many_vs_few": round(
                figures["many_listeners"]["median_ms"] / figures["few_listeners"]["median_ms"], 2
            )
        },
    }


def measure(count: int, times: int) -> dict[str, Any]:
    """One run."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with serving(max_listeners_each=count + TOGETHER) as (world, process):
        return asyncio.run(_measure(world, process, count, times))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listeners", type=int, default=3000)
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    print(json.dumps(measure(options.listeners, options.times), indent=2))
