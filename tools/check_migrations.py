"""Migrate a fresh database and compare it with the tables in the code: a forgotten migration is a finding."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from sqlalchemy import create_engine, inspect

from countermark_broker.store.tables import metadata

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Exit code 1 where tables.py and the migrations differ, or where there are two heads."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/drift.db"
        environment = {**os.environ, "COUNTERMARK_BROKER_DATABASE_URL": url}
        for command in (["upgrade", "head"], ["check"]):
            done = subprocess.run(
                [sys.executable, "-m", "alembic", *command],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                print(f"error: alembic {' '.join(command)}\n{done.stdout}{done.stderr}", file=sys.stderr)
                print(
                    "hint: make a revision that brings the database to broker/…/store/tables.py",
                    file=sys.stderr,
                )
                return 1
        # Alembic does not compare primary keys.
        connected = inspect(create_engine(url))
        for name, table in metadata.tables.items():
            key = connected.get_pk_constraint(name)["constrained_columns"]
            if key != [column.name for column in table.primary_key]:
                print(f"error: the migrations give table {name} the primary key {key}", file=sys.stderr)
                return 1
    print("migrations: up to date")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
