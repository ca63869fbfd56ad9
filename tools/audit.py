"""Ask for known vulnerabilities in the locked requirements; that nobody could be asked is no success.

Ends with 1 if a requirement has a known vulnerability, or if some could be looked up and others not. If none could (no
network, or a registry that knows of no vulnerabilities) it says NOT RUN, and ends with 0, or with 1 where the variable
COUNTERMARK_AUDIT is ``required``: set it wherever the network reaches such a service.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
#: s for all of it.
_PATIENCE = 300


def judge(found: list[dict[str, Any]], *, required: bool) -> tuple[int, list[str]]:
    """What to end with, and what to say, of pip-audit's ``dependencies``."""
    lines = [
        f"VULNERABLE {one['name']} {one['version']}: {v['id']}, mended in {', '.join(v['fix_versions']) or 'none yet'}"
        for one in found
        for v in one.get("vulns", ())
    ]
    skipped = [one for one in found if "skip_reason" in one]
    if len(skipped) == len(found):
        lines.append("NOT RUN: no requirement could be looked up: is a vulnerability service within reach?")
        return int(required), lines
    lines += [f"NOT LOOKED UP {one['name']}: {one['skip_reason']}" for one in skipped]
    return int(bool(lines)), lines or [f"{len(found)} requirements, none with a known vulnerability"]


def main() -> int:
    """Run pip-audit and judge what it found."""
    program = Path(sys.executable).with_name("pip-audit")
    command = [
        program,
        "--require-hashes",
        "-r",
        ROOT / "requirements.lock",
        "-f",
        "json",
        "--progress-spinner",
        "off",
    ]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=_PATIENCE)
        found = json.loads(done.stdout)["dependencies"] if done.stdout else []
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        found = []
    code, lines = judge(found, required=os.environ.get("COUNTERMARK_AUDIT") == "required")
    for line in lines:
        print(line, file=sys.stderr if code else sys.stdout)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
