"""Write schemas/json/<type>-v<version>.schema.json from the models, or check that they are up to date.

Usage: python tools/generate_schemas.py [--check]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from countermark_protocol.messages.json_schema import json_schema
from countermark_protocol.registry import MODELS

FOLDER = Path(__file__).resolve().parent.parent / "schemas" / "json"


def expected_files() -> dict[str, str]:
    """Name and text of every schema file."""
    return {
        f"{name}-v{version}.schema.json": json.dumps(json_schema(model), indent=2, ensure_ascii=False) + "\n"
        for (name, version), model in sorted(MODELS.items())
    }


def differences(folder: Path) -> list[str]:
    """Names of files in `folder` that are missing, differ, or belong to no model."""
    expected = expected_files()
    present = {path.name: path.read_text("utf-8") for path in folder.glob("*.schema.json")}
    return sorted(
        name for name in expected.keys() | present.keys() if expected.get(name) != present.get(name)
    )


def main(arguments: list[str] | None = None) -> int:
    """Generate or check; 0 if the files are up to date afterwards."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 if a file is out of date"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the schemas are")
    options = parser.parse_args(arguments)
    stale = differences(options.folder)
    if options.check:
        for name in stale:
            print(
                f"out of date: {options.folder / name}: run python tools/generate_schemas.py", file=sys.stderr
            )
        return 1 if stale else 0
    options.folder.mkdir(parents=True, exist_ok=True)
    expected = expected_files()
    for name in stale:
        if name in expected:
            (options.folder / name).write_text(expected[name], "utf-8")
        else:
            (options.folder / name).unlink()
        print(f"written: {name}" if name in expected else f"removed: {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
