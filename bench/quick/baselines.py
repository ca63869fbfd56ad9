"""What the machine can do at most: signatures verified, requests answered, rows committed; none of it our code."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
from bench.quick.ground import ROOT, Prepared
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from demo.ports import free_port
from sqlalchemy.engine import make_url

GROUPS = (1, 16, 256)


# --- Ed25519 ---


def _verifying(pipe: Any) -> None:
    while (items := pipe.recv()) is not None:
        keys: dict[bytes, Ed25519PublicKey] = {}
        for raw, _, _ in items:
            keys.setdefault(raw, Ed25519PublicKey.from_public_bytes(raw))
        ready = [(keys[raw].verify, signature, signed) for raw, signature, signed in items]
        pipe.send(None)
        pipe.recv()
        began = time.monotonic()
        for verify, signature, signed in ready:
            verify(signature, signed)
        pipe.send((began, time.monotonic()))


class Verifiers:
    """One process a processor, each with its part of the messages; keys are parsed before the clock starts."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes, self._processes = [], []
        for _ in range(os.cpu_count() or 1):
            ours, theirs = context.Pipe()
            process = context.Process(target=_verifying, args=(theirs,), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)

    def rate(self, messages: Sequence[Prepared]) -> float:
        """Signatures verified a second, all processes together."""
        step = len(self._pipes)
        for number, pipe in enumerate(self._pipes):
            pipe.send([(m.key, m.signature, m.signed) for m in messages[number::step]])
        for pipe in self._pipes:
            pipe.recv()
        for pipe in self._pipes:
            pipe.send("go")
        times = [pipe.recv() for pipe in self._pipes]
        seconds: float = max(end for _, end in times) - min(began for began, _ in times)
        return len(messages) / seconds

    def close(self) -> None:
        """End the processes."""
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            pipe.send(None)
            process.join()


# --- HTTP ---


class BarePost:
    """A FastAPI route that takes a body and answers its length: uvicorn, one process, uvloop and httptools."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.quick.bare", str(self.port)], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise SystemExit("the bare server did not start")

    def stop(self) -> None:
        """Stop it, and wait."""
        self._process.terminate()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()


# --- databases ---


class BareSqlite:
    """One table in a file, WAL, ``synchronous=FULL``: a group is one transaction."""

    def __init__(self, directory: Path) -> None:
        self._connection = sqlite3.connect(directory / "bare.sqlite3", isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            self._connection.execute(f"PRAGMA {pragma}").close()
        self._connection.execute("CREATE TABLE bare (id INTEGER PRIMARY KEY, data BLOB NOT NULL)")
        self._next = 0

    def commit(self, rows: Sequence[bytes]) -> None:
        """Insert rows and commit durably."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("INSERT INTO bare VALUES (?, ?)", list(enumerate(rows, self._next)))
        self._connection.execute("COMMIT")
        self._next += len(rows)

    def close(self) -> None:
        """Close it."""
        self._connection.close()


class BarePostgresql:
    """The same table on a server with ``fsync`` and ``synchronous_commit`` on; rows by binary COPY."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self._connection = psycopg.connect(
            host=str(parsed.query["host"]), user=parsed.username, dbname=parsed.database
        )
        self._connection.execute("CREATE TABLE bare (id bigint PRIMARY KEY, data bytea NOT NULL)")
        self._connection.commit()
        for name in ("fsync", "synchronous_commit"):
            found = self._connection.execute(f"SHOW {name}".encode()).fetchone()
            assert found == ("on",), (name, found)
        self._next = 0

    def commit(self, rows: Sequence[bytes]) -> None:
        """Copy rows and commit durably."""
        cursor = self._connection.cursor()
        with cursor.copy("COPY bare FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int8", "bytea"])
            for number, row in enumerate(rows, self._next):
                copy.write_row((number, row))
        self._connection.commit()
        self._next += len(rows)

    def close(self) -> None:
        """Close it."""
        self._connection.close()


def commit_rate(database: BareSqlite | BarePostgresql, group: int, rows: Sequence[bytes]) -> float:
    """Rows committed a second in groups of one size, one after the other."""
    groups = [rows[at : at + group] for at in range(0, len(rows), group)]
    began = time.monotonic()
    for one in groups:
        database.commit(one)
    return len(rows) / (time.monotonic() - began)
