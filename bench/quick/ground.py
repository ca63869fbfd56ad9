"""What everything is measured on: messages prepared beforehand, founded logs, and broker processes."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import platform
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import cryptography
import httpx
import psutil
from demo.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from countermark_protocol.documents import parse_document, signing_input  # noqa: E402  after the path
from countermark_protocol.identifiers import Address  # noqa: E402
from support.broker_fixtures import AUTHORITY, PASSPHRASE, found, write_home  # noqa: E402
from support.world import KAMPALA, NAIROBI, World  # noqa: E402

#: As many senders and recipients as streams, so that neither a quota nor one box stands in the way.
SENDERS = tuple(Address(f"ke.police.post{n}") for n in range(8))
RECIPIENTS = tuple(Address(f"ug.contact.post{n}") for n in range(8))
#: Bytes of JSON in a message: a notice of a seizure with a handful of weapons.
CONTENT_BYTES = 2000
#: Limits that would otherwise be what is measured: all load comes from one machine, by few endpoints.
SETTINGS: dict[str, Any] = {
    "store_poll_ms": 1_000,
    "heartbeat_ms": 10_000,
    "verify_threads": 0,
    "quota_messages": 0,
    "quota_recipients": 0,
    "quota_mib": 0,
    "quota_receipts": 0,
    "quota_directory": 0,
    "max_verifying": 8_192,
    "max_verifying_each": 4_096,
    "max_requests_each": 1_024,
    "max_bodies_mib": 2_048,
    "max_bodies_each_mib": 1_024,
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message ready to be sent.

    Attributes:
        submission: its bytes.
        key: its sender's raw Ed25519 public key.
        signature: the one on its manifest.
        signed: what that signature is over.
    """

    submission: bytes
    key: bytes
    signature: bytes
    signed: bytes


def make_world() -> World:
    """The senders, the recipients, and the pair of clients. Keys are the same in every process."""
    return World(endpoints=(NAIROBI, KAMPALA, *SENDERS, *RECIPIENTS))


def _prepare(numbers: range) -> list[Prepared]:
    world, out = make_world(), []
    body = {"note": "x" * CONTENT_BYTES}
    for number in numbers:
        sender = SENDERS[number % len(SENDERS)]
        sealed = world.message(sender, [RECIPIENTS[number // 8 % len(RECIPIENTS)]], content=body)
        (signature,) = parse_document(sealed.document).signatures
        payload = parse_document(sealed.document).payload
        signed = signing_input(payload, signature.algorithm, signature.key_id, signature.purpose)
        key = world.agencies[sender].instance.public_key.raw
        out.append(Prepared(sealed.data, key, signature.raw, signed))
    return out


def prepare(count: int) -> list[Prepared]:
    """Seal and sign messages, each to one recipient, by all senders in turn; on all processors."""
    step = 250
    parts = [range(at, min(at + step, count)) for at in range(0, count, step)]
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        return [one for part in pool.map(_prepare, parts, chunksize=1) for one in part]


def found_home(home: Path, database_url: str = "") -> Path:
    """Found the log of the world in a new home, with everybody enrolled."""
    world = make_world()
    write_home(
        world, home, key_files=True, **SETTINGS, **({"database_url": database_url} if database_url else {})
    )
    asyncio.run(found(world, home))
    return home


class Served:
    """`countermark-broker serve` over a home, in processes of its own.

    Args:
        home: founded.
        workers: processes behind the port.
    """

    def __init__(self, home: Path, workers: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        path = home / "broker.toml"
        hosts = f'authorities = ["{AUTHORITY}", "127.0.0.1:{self.port}"]'
        path.write_text(path.read_text().replace(f'authorities = ["{AUTHORITY}"]', hosts))
        self._log = (home / "serve.log").open("ab")
        arguments = ["--home", str(home), "--port", str(self.port), "--workers", str(workers), "--json-lines"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "countermark_broker.cli", "serve", *arguments],
            env=os.environ | {"COUNTERMARK_BROKER_PASSPHRASE": PASSPHRASE},
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self._workers = workers

    def wait(self) -> Served:
        """Wait until it answers; with several workers, until all have had time to."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line or "listening" not in json.loads(line):
            raise SystemExit(f"the broker did not start; see {self._log.name}")
        deadline = monotonic() + 60
        while True:
            try:
                httpx.get(f"{self.url}/v1/ready", timeout=60, trust_env=False).raise_for_status()
                break
            except httpx.TransportError:
                if monotonic() > deadline:
                    raise
                sleep(0.05)
        # The first that answers says nothing about the others, which open their keys at the same time.
        settled, before = 0, self.cpu_seconds()
        while settled < 3:
            sleep(0.2)
            now = self.cpu_seconds()
            settled, before = (settled + 1 if sum(now) - sum(before) < 0.02 else 0), now
        return self

    def cpu_seconds(self) -> list[float]:
        """Processor time of each process that serves, so far."""
        return cpu_seconds(self._process.pid, parent=self._workers == 1)

    def stop(self) -> None:
        """Stop it, and wait."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()


def cpu_seconds(pid: int, *, parent: bool = True) -> list[float]:
    """Processor time, in seconds, of a process and its children, ended ones included."""
    process = psutil.Process(pid)
    out = []
    for each in [*([process] if parent else []), *process.children(recursive=True)]:
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        out.append(times.user + times.system + times.children_user + times.children_system)
    return out


def machine(directory: Path) -> dict[str, Any]:
    """On what it was measured, and on which file system."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    inside = [m for m in mounts if directory.resolve().is_relative_to(m[0])]
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "os": platform.platform(),
        "file_system": max(inside, key=lambda m: len(m[0]))[1],
        "python": platform.python_version(),
        "cryptography": cryptography.__version__,
    }
