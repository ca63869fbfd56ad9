"""Pack a table of UN/LOCODE (unlocode, country, subdivision, name) into the client's package.

The same table always gives the same bytes. A test with the shared folder compares what is packed with its origin.
"""

from __future__ import annotations

import csv
import gzip
import sys
from pathlib import Path

TARGET = (
    Path(__file__).resolve().parent.parent
    / "clients/python/src/countermark_client/places/unlocode_2015.tsv.gz"
)


def packed(source: Path) -> bytes:
    """The bytes of the packed table: ``code TAB subdivision TAB name``, in the order of the codes."""
    with source.open(encoding="utf-8", newline="") as file:
        rows = sorted((row["unlocode"], row["subdivision"], row["name"]) for row in csv.DictReader(file))
    text = "".join("\t".join(row) + "\n" for row in rows)
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)


def main() -> int:
    """Write the file anew."""
    if len(sys.argv) != 2:
        print("usage: pack_places.py TABLE.csv", file=sys.stderr)
        return 2
    TARGET.write_bytes(packed(Path(sys.argv[1])))
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
