"""What a test needs of the machine it runs on: a small disk of its own, and a clock that can be set."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_LIBRARY = "libfaketimeMT.so.1"


class Missing(Exception):
    """This machine does not allow a kind of fault: it is listed as NOT RUN."""


class SmallDisk:
    """A tmpfs of a few MiB; only root may mount one.

    Args:
        place: an empty directory.
        mebibytes: its size.
    """

    def __init__(self, place: Path, mebibytes: int) -> None:
        self.place = place
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=755", "tmpfs", place],
            capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            msg = f"a small tmpfs cannot be mounted (root may): {done.stderr.strip()}"
            raise Missing(msg)

    def fill(self) -> None:
        """Leave no byte."""
        with (self.place / "filler").open("ab", buffering=0) as filler:
            size = 1 << 20
            while size:
                try:
                    filler.write(bytes(size))
                except OSError:
                    size //= 2

    def empty(self) -> None:
        """Give the room back."""
        (self.place / "filler").unlink()

    def remove(self) -> None:
        """Unmount it."""
        subprocess.run(["umount", "-l", self.place], check=True, capture_output=True)


class FakeClock:
    """A clock for the processes that are started with `environment`: the machine's, moved by some seconds.

    Args:
        path: of the file that says by how many; everybody may read it.
    """

    def __init__(self, path: Path) -> None:
        found = sorted(Path("/usr").glob(f"lib/*/faketime/{_LIBRARY}"))
        if not found:
            msg = f"needs {_LIBRARY} (Debian package libfaketime)"
            raise Missing(msg)
        self._path = path
        self.environment = {
            "LD_PRELOAD": str(found[0]),
            "FAKETIME_TIMESTAMP_FILE": str(path),
            "FAKETIME_NO_CACHE": "1",
            # Time-outs and pauses go on as they should; what jumps is the time of day.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            # Without this the library garbles waits that a monotonic clock ends: threads would spin.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            # The times of files are as they are.
            "NO_FAKE_STAT": "1",
        }
        self.move(0)

    def move(self, seconds: float) -> None:
        """Let the clock be so many seconds off from now on."""
        fresh = self._path.with_name(f"{self._path.name}.new")
        fresh.write_text(f"{seconds:+.3f}\n")
        fresh.chmod(0o644)
        os.replace(fresh, self._path)
