"""What a broker needs of memory does not depend on how large attachments are: measured on a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench" / "attachments.py"
#: MiB above idle, whatever the size.
MOST = 64


@pytest.mark.parametrize(
    ("place", "mib"),
    [
        ("folder", 64),
        pytest.param("folder", 1024, marks=pytest.mark.long),
        pytest.param("database", 1024, marks=pytest.mark.long),
    ],
)
def test_memory_does_not_grow_with_size(place, mib, tmp_path):
    command = [sys.executable, str(BENCH), "--mib", str(mib), "--place", place, "--directory", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured["pieces"] == mib // 4
    assert 0 < measured["peak_above_idle_mib"] < MOST, measured
