"""Memory of a broker while large attachments go through: pieces up, a message, pieces down, several at once.

Prints the process's peak (VmHWM) above what it had when idle; the bound is 64 MiB whatever the size.

    python bench/attachments.py --mib 1024 --place folder
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from countermark_broker.services.keyring import write_keys
from countermark_protocol.attachments import (
    PIECE_BYTES,
    SealedAttachment,
    attachment_digest,
    piece_digest,
)
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.keys import Algorithm
from countermark_protocol.submission import encode_submission
from support.broker_fixtures import PASSPHRASE, found, write_home
from support.broker_process import _PROGRAM, BrokerProcess
from support.world import KAMPALA, NAIROBI, World, seed

_MIB = 1024 * 1024


def memory(pid: int) -> dict[str, float]:
    """MiB that a process has, and had at most."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")}


def piece(number: int) -> bytes:
    """One of many pieces, no two alike, without keeping them."""
    return number.to_bytes(8, "big") * (PIECE_BYTES // 8)


def run(mib: int, place: str, at_once: int, directory: str | None) -> dict[str, object]:
    """Measure once."""
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        world, home = World(), Path(folder) / "home"
        settings = {"content_store": place}
        if place == "folder":
            settings["content_folder"] = "pieces"
        write_home(world, home, **settings)
        keys = (
            StoredKey("log", Algorithm.ED25519, seed("log")),
            StoredKey("node", Algorithm.ED25519, seed("node")),
        )
        write_keys(home / "keys" / "broker.keys", keys, PASSPHRASE)
        asyncio.run(found(world, home))
        broker = BrokerProcess(world, home, program=_PROGRAM).wait_until_listening()
        try:
            return {"place": place, "mib": mib, **_through(broker, world, mib * _MIB // PIECE_BYTES, at_once)}
        finally:
            broker.stop()


def _through(broker: BrokerProcess, world: World, count: int, at_once: int) -> dict[str, object]:
    pid = broker._process.pid  # noqa: SLF001  nobody else needs it
    api = broker.client()
    api.refresh()
    # One of everything, so that what is loaded once does not count.
    first = b"warm up"
    api.request("PUT", f"/v1/pieces/{piece_digest(first).hex()}", first, NAIROBI)
    idle = memory(pid)["VmRSS"]
    digests = [piece_digest(piece(number)) for number in range(count)]
    size = count * PIECE_BYTES
    named = SealedAttachment(attachment_digest(size, digests), size)

    def put(number: int) -> int:
        path = f"/v1/pieces/{digests[number].hex()}"
        while True:
            answer = api.request("PUT", path, piece(number), NAIROBI)
            if answer.status_code != 429:
                return answer.status_code
            time.sleep(0.2)

    began = time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        assert set(pool.map(put, range(count))) == {201}
    up, peak_up = time.monotonic() - began, memory(pid)["VmHWM"]

    sealed = world.message(NAIROBI, [KAMPALA], attachments=(named,))
    data = encode_submission(sealed.document, sealed.rows, sealed.stanzas, sealed.content, [digests])
    assert api.post_message(data).status_code == 201
    assert api.post_receipt(world.receipt(KAMPALA, [sealed]), KAMPALA).status_code == 201

    def get(number: int) -> bool:
        path = f"/v1/messages/{sealed.payload_hash.hex()}/attachments/0/pieces/{number}"
        while True:
            answer = api.request("GET", path, by=KAMPALA)
            if answer.status_code != 429:
                return answer.content == piece(number)
            time.sleep(0.2)

    began = time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        assert all(pool.map(get, range(count)))
    down = time.monotonic() - began
    api.close()
    after = memory(pid)
    return {
        "pieces": count,
        "at_once": at_once,
        "idle_mib": round(idle, 1),
        "peak_up_above_idle_mib": round(peak_up - idle, 1),
        "peak_above_idle_mib": round(after["VmHWM"] - idle, 1),
        "mib_per_s_up": round(count * 4 / up, 1),
        "mib_per_s_down": round(count * 4 / down, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--place", choices=["database", "folder"], default="folder")
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--directory", default=None)
    given = parser.parse_args()
    print(json.dumps(run(given.mib, given.place, given.at_once, given.directory)))


if __name__ == "__main__":
    main()
