"""Build the wheels and check that each holds its own package and nothing else.

An integrator who installs the client must not get broker code, tests or migrations.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "schemas": "countermark_protocol",
    "tokens": "countermark_tokens",
    "clients/python": "countermark_client",
    "clients/console": "countermark_console",
    "clients/witness": "countermark_witness",
    "broker": "countermark_broker",
}

#: What a package is of no use without, beside its code.
DATA = {
    "clients/console": (
        "templates/base.html",
        "static/console.css",
        "static/console.js",
        "static/vendor/govuk-frontend/govuk-frontend.min.css",
        "static/vendor/govuk-frontend/LICENSE",
        "static/vendor/htmx/htmx.min.js",
        "static/vendor/htmx/LICENSE",
        "locale/ar.po",
        "locale/es.po",
        "locale/fr.po",
    )
}


def main() -> int:
    """Build and check; exit code 1 names what is wrong."""
    wrong: list[str] = []
    for folder, package in PACKAGES.items():
        with tempfile.TemporaryDirectory() as out:
            subprocess.run(
                [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out],
                cwd=ROOT / folder,
                check=True,
                capture_output=True,
            )
            (wheel,) = Path(out).glob("*.whl")
            names = zipfile.ZipFile(wheel).namelist()
        tops = {name.split("/", 1)[0] for name in names}
        if {t for t in tops if not t.endswith(".dist-info")} != {package}:
            wrong.append(f"{folder}: expected only {package}, got {sorted(tops)}")
        wrong += [
            f"{folder}: lacks {missing}"
            for missing in DATA.get(folder, ())
            if not any(fnmatch(name, f"{package}/{missing}") for name in names)
        ]
        wrong += [f"{folder}: lacks {package}/py.typed"] * (f"{package}/py.typed" not in names)
        wrong += [f"{folder}: holds {n}" for n in names if "__pycache__" in n or "/tests/" in n]
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    print(f"wheels: {len(PACKAGES)} built, {len(wrong)} findings")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
