"""Disk that messages need, on both databases: `python bench/disk.py` (a minute or two). Prints JSON.

Each figure is the growth of the whole database, indexes included, for one message: alone, and with the `delivered`
and `accepted` receipts of all its recipients (one message a receipt, the dearest way). Beside it the write-ahead log
that was written for it, and an archive's bytes. Content is as large as `--content` bytes of JSON seal to, padding
included. Figures are bytes; nothing is timed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from limits_setup import machine
from sqlalchemy import create_engine, text

from countermark_broker.config import load_settings
from countermark_broker.log.appender import Appended, Submitted
from countermark_broker.parts import build_parts
from countermark_broker.services.backup import create_backup
from countermark_broker.store.tables import metadata
from countermark_broker.store.writing import NOTHING, Enclosed
from countermark_protocol.documents import parse_document
from countermark_protocol.receipts import ReceiptStage
from countermark_protocol.statements import read_statement, verify_statement
from countermark_protocol.submission import parse_submission
from support.broker_fixtures import found, keyring, write_home
from support.postgresql import PostgresServer
from support.world import NAIROBI, World

MOST = 20
GROUP = 64


def _size(url: str) -> dict[str, int]:
    """Bytes of the database and of each table with its indexes; of WAL since the cluster began (PostgreSQL)."""
    engine = create_engine(url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as c:
        if engine.dialect.name == "sqlite":
            c.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
            pages = (
                c.execute(text("PRAGMA page_count")).scalar_one()
                - c.execute(text("PRAGMA freelist_count")).scalar_one()
            )
            out = {"all": pages * c.execute(text("PRAGMA page_size")).scalar_one(), "wal": 0}
        else:
            c.execute(text("VACUUM"))
            c.execute(text("CHECKPOINT"))
            wal = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"
            out = {"all": 0, "wal": c.execute(text(wal)).scalar_one()}
            for table in metadata.tables:
                out[table] = c.execute(text(f"SELECT pg_total_relation_size('{table}')")).scalar_one()
                out["all"] += out[table]
    engine.dispose()
    return out


@contextmanager
def _postgresql() -> Any:
    server = PostgresServer().start()
    try:
        yield server.create_database("disk")
    finally:
        server.remove()


class _Log:
    """A founded log to which statements are appended in groups, as the sequencer would."""

    def __init__(self, world: World, home: Path) -> None:
        self.parts = build_parts(load_settings(home, {}), keyring(world))
        self.waiting: list[Submitted] = []

    def add(self, document: bytes, enclosed: Enclosed = NOTHING) -> None:
        directory = self.parts.node.holder.current
        verified = verify_statement(directory, parse_document(document))
        self.waiting.append(Submitted(read_statement(verified, enclosed.rows), enclosed))
        if len(self.waiting) >= GROUP:
            self.flush()

    def flush(self) -> None:
        if self.waiting:
            outcomes = self.parts.appender.commit(self.waiting)
            assert all(isinstance(outcome, Appended) for outcome in outcomes), outcomes
            self.waiting = []


async def _measure(url: str, folder: Path, messages: int, content: int) -> list[dict[str, Any]]:
    recipients = [f"ug.police.post{n}" for n in range(MOST)]
    world = World(endpoints=(NAIROBI, *recipients))
    home = write_home(world, folder / "home", database_url=url)
    await found(world, home)
    log, out = _Log(world, home), []
    await log.parts.node.publisher.advance()
    body = {"note": "x" * content}
    for count in (1, MOST):
        number = messages if count == 1 else max(messages // 10, GROUP)
        before = _size(url)
        sent = [world.message(NAIROBI, recipients[:count], content=body) for _ in range(number)]
        for one in sent:
            parsed = parse_submission(one.data)
            log.add(one.document, Enclosed(parsed.rows, parsed.stanzas, parsed.content))
        log.flush()
        alone = _size(url)
        for stage in (ReceiptStage.DELIVERED, ReceiptStage.ACCEPTED):
            for one in sent:
                for recipient in recipients[:count]:
                    log.add(world.receipt(recipient, [one], stage))
        log.flush()
        done = _size(url)
        out.append(
            {
                "recipients": count,
                "messages": number,
                "submission_bytes": len(sent[0].data),
                "content_bytes": len(sent[0].content),
                "message_bytes": (alone["all"] - before["all"]) // number,
                "with_receipts_bytes": (done["all"] - before["all"]) // number,
                "wal_bytes": (done["wal"] - before["wal"]) // number or None,
            }
        )
    await log.parts.node.publisher.advance()
    archive = folder / "archive"
    kept = await create_backup(log.parts.node, archive)
    out.append(
        {"entries": kept.size, "archive_bytes": archive.stat().st_size, "database_bytes": _size(url)["all"]}
    )
    log.parts.node.verifier.close()
    await log.parts.node.database.close()
    return out


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--messages", type=int, default=2000, help="to one recipient; a tenth of it to twenty"
    )
    parser.add_argument("--content", type=int, default=2000, help="bytes of JSON before sealing")
    arguments = parser.parse_args()
    result: dict[str, Any] = {"machine": machine(), "content_json_bytes": arguments.content}
    with tempfile.TemporaryDirectory() as name:
        for kind in ("sqlite", "postgresql"):
            folder = Path(name) / kind
            folder.mkdir()
            if kind == "sqlite":
                url = f"sqlite:///{folder / 'disk.sqlite3'}"
                result[kind] = asyncio.run(_measure(url, folder, arguments.messages, arguments.content))
            else:
                with _postgresql() as url:
                    result[kind] = asyncio.run(_measure(url, folder, arguments.messages, arguments.content))
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
