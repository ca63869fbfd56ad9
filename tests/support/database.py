"""Looking into the database of a home, and damaging it, past the broker; on either kind of database."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from countermark_broker.config import load_settings
from support.postgresql import PostgresServer


def is_sqlite(home: Path) -> bool:
    """Which database a home has."""
    return load_settings(home, {}).database.startswith("sqlite")


def sql(home: Path, *statements: str, **values: Any) -> list[tuple[Any, ...]]:
    """Run statements in one transaction; the rows of the last one. ``zeroblob(n)`` is n zero bytes on both."""
    rows: list[tuple[Any, ...]] = []
    engine = create_engine(load_settings(home, {}).database, poolclass=NullPool)
    with engine.begin() as connection:
        for statement in statements:
            spelt = statement
            if not is_sqlite(home):
                spelt = re.sub(r"zeroblob\((\d+)\)", r"decode(repeat('00', \1), 'hex')", statement)
            result = connection.execute(text(spelt), values)
            rows = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return rows


def refuse_rows(home: Path, table: str, condition: str = "TRUE") -> None:
    """Let the database refuse to store rows of which `condition` (on ``NEW``) is true."""
    if is_sqlite(home):
        sql(
            home,
            f"CREATE TRIGGER no BEFORE INSERT ON {table} WHEN {condition} BEGIN SELECT RAISE(ABORT, 'refused'); END",
        )
        return
    sql(
        home,
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = 'check_violation'; END $$",
        f"CREATE TRIGGER no BEFORE INSERT ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION no()",
    )


def save(home: Path, place: Path) -> None:
    """Keep a copy of the database as it is; nobody may be connected."""
    if is_sqlite(home):
        place.mkdir()
        for path in home.glob("broker.sqlite3*"):
            shutil.copy(path, place)
        return
    url = make_url(load_settings(home, {}).database)
    server = PostgresServer(Path(str(url.query["host"])))
    server.drop_database(f"{url.database}-saved")
    server.create_database(f"{url.database}-saved", str(url.database))


def restore(home: Path, place: Path) -> None:
    """Put the copy in the database's place; nobody may be connected."""
    if is_sqlite(home):
        for path in home.glob("broker.sqlite3*"):
            path.unlink()
        for path in place.iterdir():
            shutil.copy(path, home)
        return
    url = make_url(load_settings(home, {}).database)
    server = PostgresServer(Path(str(url.query["host"])))
    server.drop_database(str(url.database))
    server.create_database(str(url.database), f"{url.database}-saved")
