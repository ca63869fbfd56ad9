"""Programs that are no Python packages, which some tests want: found, or the test is listed as NOT RUN."""

import os
import shutil
import sys
from pathlib import Path

import pytest

#: Under CI everything must run: absence is then a failure.
REQUIRED = os.environ.get("CI") == "true"


def tool(name, package, *places):
    """Path of a program or library.

    Args:
        name: of the program, looked for beside this Python and on PATH.
        package: where it comes from, for people.
        places: paths to try before.
    """
    beside = Path(sys.executable).parent / name
    found = next((str(p) for p in (*map(Path, places), beside) if p.exists()), None) or shutil.which(
        name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    )
    if found is None:
        message = f"NOT RUN: needs {name} ({package})"
        if REQUIRED:
            pytest.fail(message)
        pytest.skip(message)
    return found
