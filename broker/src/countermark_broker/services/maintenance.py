"""Rebuild and doctor: what an operator runs beside, or instead of, the broker.

Source: docs/operations/running-a-broker.md §6, §7.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from countermark_broker.config import TEST_HOOKS_VARIABLE, TEST_KILL_VARIABLE
from countermark_broker.errors import FatalError
from countermark_broker.log.rebuild import Replay, replay_log
from countermark_broker.services.node import Node
from countermark_broker.store.engine import check_durability, database_now
from countermark_broker.store.head import read_head
from countermark_broker.store.migrate import check_migrated
from countermark_broker.store.views import compare_views, rewrite_views
from countermark_protocol.errors import CountermarkError

_UNPUBLISHED = "start the broker: it publishes what is committed"


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild found.

    Attributes:
        entries: replayed.
        findings: rows of the views that were not what the log gives.
        rewritten: whether they have been replaced.
    """

    entries: int
    findings: tuple[str, ...]
    rewritten: bool


async def rebuild_views(
    node: Node, *, check_only: bool, progress: Callable[[int], None] = lambda _done: None
) -> Rebuilt:
    """Replay the log; compare the views with it, and rewrite them unless told to check only.

    Raises:
        FatalError: an entry record does not replay, or the log is not the one that was published.
    """
    if check_only:
        async with node.database.read() as connection:
            replay = await replay_log(connection, node.origin, progress)
            findings = await compare_views(connection, replay.changes, replay.tiles(), replay.head)
        await _check_published(node, replay)
        return Rebuilt(replay.state.size, tuple(findings), rewritten=False)
    async with node.database.write() as connection:
        replay = await replay_log(connection, node.origin, progress)
        await _check_published(node, replay)
        findings = await compare_views(connection, replay.changes, replay.tiles(), replay.head)
        if findings:
            await rewrite_views(connection, replay.changes, replay.tiles(), replay.head)
    return Rebuilt(replay.state.size, tuple(findings), rewritten=bool(findings))


async def _check_published(node: Node, replay: Replay) -> None:
    stored = await node.store.load()
    if replay.roots.get(stored.size) != stored.root:
        raise FatalError(
            "published_root_differs",
            f"the entry records do not give the root that was published for size {stored.size}",
            "this database is not the one that was published (docs/operations/running-a-broker.md §7)",
        )


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that doctor looked at.

    Attributes:
        name: of the check.
        ok: whether it is as it should be.
        message: what was found.
        hint: the way out, where it is not.
    """

    name: str
    ok: bool
    message: str
    hint: str = ""


async def examine(node: Node, migrations: Path, environ: Mapping[str, str]) -> list[Check]:
    """Look at everything that must be right; changes nothing and publishes nothing."""
    checks = [_check_hooks(environ), *_check_permissions(node)]

    async def database() -> str:
        return f"at revision {await check_migrated(node.database, migrations)}"

    async def durability() -> str:
        found = await check_durability(node.database)
        return ", ".join(f"{name}={value}" for name, value in found.items())

    async def clock() -> str:
        async with node.database.read() as connection:
            difference = node.clock.now_ms() - await database_now(connection)
        if abs(difference) > node.settings.clock_difference_ms:
            raise FatalError(
                "clock_differs",
                f"this node's clock is {difference} ms from the database's",
                "set the clock (NTP)",
            )
        return f"{difference} ms from the database's"

    for name, look in (
        ("migrations", database),
        ("durability", durability),
        ("clock", clock),
        ("store", lambda: _check_store(node)),
        ("keys", lambda: _check_keys(node)),
    ):
        try:
            checks.append(Check(name, ok=True, message=await look()))
        except FatalError as error:
            checks.append(Check(name, ok=False, message=str(error), hint=error.way_out))
        except CountermarkError as error:
            checks.append(Check(name, ok=False, message=str(error), hint=error.hint))
    return checks


def _check_hooks(environ: Mapping[str, str]) -> Check:
    if environ.get(TEST_HOOKS_VARIABLE) or environ.get(TEST_KILL_VARIABLE):
        return Check(
            "test hooks",
            ok=False,
            message="TEST HOOKS ARE ON: this broker may kill itself",
            hint=f"unset {TEST_HOOKS_VARIABLE} and {TEST_KILL_VARIABLE}",
        )
    return Check("test hooks", ok=True, message="off")


def _check_permissions(node: Node) -> list[Check]:
    out = []
    for path in (node.settings.keys, node.settings.store_directory):
        try:
            mode = path.stat().st_mode
        except OSError as error:
            out.append(
                Check("permissions", False, f"{path}: {error.strerror}", "restore it, or correct the setting")
            )
            continue
        ok = not mode & 0o077 and os.access(path, os.R_OK)
        out.append(
            Check("permissions", ok, f"{path}: {mode & 0o777:o}", "" if ok else "run chmod go-rwx on it")
        )
    return out


async def _check_store(node: Node) -> str:
    stored = await node.store.load()
    async with node.database.read() as connection:
        head = await read_head(connection)
        node.publisher.check_not_behind(stored, head)
        if await node.tree.recompute_root(connection, stored.size) != stored.root:
            raise FatalError(
                "published_root_differs",
                f"the database gives another root for size {stored.size} than was published",
                "this database is not the one that was published (docs/operations/running-a-broker.md §7)",
            )
    if stored.size < head.size:
        return f"{head.size - stored.size} committed entries are not published: {_UNPUBLISHED}"
    return f"database and store agree on size {stored.size}"


async def _check_keys(node: Node) -> str:
    async with node.database.read() as connection:
        head = await read_head(connection)
        directory = await node.holder.at(connection, head, locked=False)
    log = directory.log()
    if not node.publisher.holds(log.log_key.key_id):
        raise FatalError(
            "log_key_missing",
            "the key file does not hold the log key of the directory",
            "put it into the key file",
        )
    if directory.instance(log.broker, node.node_key.public_key.key_id) is None:
        raise FatalError(
            "node_key_not_listed",
            f"this node's key is not in the keys of {log.broker}",
            "let the broker's administrator sign a 'keys' statement that lists it",
        )
    return "log key and node key are those of the directory"
