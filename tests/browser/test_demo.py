"""`make demo-console`: two consoles side by side, of which anybody can sign in by what it says."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.long
def test_the_demo_serves_two_consoles_until_it_is_stopped():
    process = subprocess.Popen(
        [sys.executable, "-m", "demo.consoles", "--most", "5"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    said = ""
    try:
        for line in process.stdout:
            said += line
            if "Stop with Ctrl-C" in line:
                break
        urls = re.findall(r"http://127\.0\.0\.1:\d+", said)
        assert len(set(urls)) == 2, said
        for url in urls:
            assert "Sign in" in httpx.get(f"{url}/sign-in").text
    finally:
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        process.stdout.close()
        assert process.wait(120) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{urls[0]}/sign-in")
