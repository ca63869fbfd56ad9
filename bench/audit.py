"""How fast a mirror is verified: `python bench/audit.py` (two minutes). Prints JSON.

An oversight mirror of a log of `--entries` entries, a third of them messages and the rest their receipts, made in
memory; then `countermark audit verify` over its file, in a process of its own with as many processes for signatures as
there are processors. Beside each round the raw verification of the same signatures by as many processes, and nothing
else. Figures are medians over the rounds; `processor_us_per_entry` is what the command and its processes used, its
start included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from limits_setup import machine

from countermark_client.audit import Mirror, Signatures, synchronise
from countermark_protocol.claims import Seen
from countermark_protocol.documents import parse_document
from countermark_protocol.merkle import leaf_hash, root_of
from countermark_protocol.tiles import (
    TILE_WIDTH,
    encode_bundle,
    encode_tile,
    parse_bundle_path,
    parse_tile_path,
)
from support.audited import MemoryLog, audited_world
from support.world import BRUSSELS, KAMPALA, LYON, MOMBASA, NAIROBI

AIM = 5_000
PAIRS = ((NAIROBI, KAMPALA), (KAMPALA, NAIROBI), (NAIROBI, BRUSSELS), (MOMBASA, LYON), (MOMBASA, KAMPALA))


class _Log(MemoryLog):
    """Hashes its leaves once."""

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self._hashes = [leaf_hash(leaf) for leaf in self.leaves]

    def fetch(self, path: str) -> bytes:
        if path.startswith("tile/entries/"):
            bundle = parse_bundle_path(path)
            first = bundle.index * TILE_WIDTH
            return encode_bundle(self.leaves[first : first + bundle.width])
        tile = parse_tile_path(path)
        span, first = TILE_WIDTH**tile.level, tile.index * TILE_WIDTH
        nodes = range(first, first + tile.width)
        return encode_tile([root_of(self._hashes[i * span : (i + 1) * span]) for i in nodes])


def _made(entries: int) -> _Log:
    world = audited_world()
    while world.state.size < entries:
        world.now += 50
        sender, recipient = PAIRS[world.state.size // 3 % len(PAIRS)]
        seen = Seen(world.state.size, world.state.frontier.root())
        world.accept(recipient, world.send(sender, [recipient], seen=seen))
    return _Log(world)


def _raw(log: _Log, processes: int) -> float:
    """Signatures a second, verified by these processes and nothing else."""
    documents = [parse_document(e.document.data) for e in log.world.entries]
    with Signatures(processes) as signatures:
        signatures.start(documents[:64], log.world.state.directory.public_key)()  # starts the processes
        begun = time.perf_counter()
        assert not any(signatures.start(documents, log.world.state.directory.public_key)())
        return len(documents) / (time.perf_counter() - begun)


def _round(folder: Path, log: _Log, processes: int) -> dict[str, float]:
    raw = _raw(log, processes)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "countermark_client.cli", "audit", "verify", "--json"),
            *("--mirror", str(folder), "--fingerprint", log.fingerprint),
        ],
        check=True,
        capture_output=True,
    )
    seconds = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = json.loads(ran.stdout)
    assert (done["verified"], done["found"]) == (log.size, [])
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"whole": log.size / seconds, "rate": log.size / done["seconds"], "raw": raw, "used": used}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    processes = len(os.sched_getaffinity(0))
    log = _made(chosen.entries)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mirror.db"
        mirror = Mirror(path)
        begun = time.perf_counter()
        with Signatures(processes) as signatures:
            synced = synchronise(mirror, log, log.mandate, clock=lambda: 0, signatures=signatures)
        seconds = time.perf_counter() - begun
        mirror.close()
        assert synced.open == ()
        size = path.stat().st_size
        rounds = [_round(path.parent, log, processes) for _ in range(chosen.rounds)]
    middle = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    out = {
        "machine": machine(),
        "entries": log.size,
        "mirror_bytes_per_entry": round(size / log.size),
        "processes": processes,
        "sync_entries_per_second": round(log.size / seconds),
        "verify_entries_per_second": round(middle["rate"]),
        "verify_entries_per_second_by_round": sorted(round(r["rate"]) for r in rounds),
        "verify_entries_per_second_with_start": round(middle["whole"]),
        "raw_signatures_per_second": round(middle["raw"]),
        "verify_vs_raw": round(middle["rate"] / middle["raw"], 2),
        "processor_us_per_entry": round(middle["used"] / log.size * 1e6),
        "aim": {"verify_entries_per_second": AIM, "met": middle["rate"] >= AIM},
    }
    print(json.dumps(out, indent=2))


if __name__ == "__main__":
    main()
