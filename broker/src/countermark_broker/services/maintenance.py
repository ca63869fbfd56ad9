"""Rebuild and doctor: what an operator runs beside, or instead of, the broker.

Source: docs/operations/running-a-broker.md §6, §7.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from countermark_broker.config import TEST_FAIL_VARIABLE, TEST_HOOKS_VARIABLE, TEST_KILL_VARIABLE
from countermark_broker.errors import FatalError, UnavailableError
from countermark_broker.log.rebuild import Replayer, replay_log
from countermark_broker.services.elsewhere import Elsewhere
from countermark_broker.services.node import Node
from countermark_broker.services.stamping import check_stamps
from countermark_broker.store.engine import Connection, backend_of, database_now
from countermark_broker.store.head import Head, read_head, take_lock
from countermark_broker.store.migrate import check_migrated
from countermark_broker.store.nodes import KnownNode, in_words, read_nodes
from countermark_broker.store.pieces import count_places
from countermark_broker.store.scratch import scratch_database
from countermark_broker.store.views import compare_views, rewrite_views
from countermark_protocol.appending import entry_key_id
from countermark_protocol.checkpoint import UnverifiedCheckpoint
from countermark_protocol.errors import CountermarkError

#: More are not listed: a table that is lost as a whole would list all its rows.
MOST_FINDINGS: Final = 1000
_ABSENT = (
    "see whether the database, and the checkpoint store's if it is one, is running and reachable; then again"
)
_LOG_GOES_ON = "the log goes on without these stamps; ask who runs the authority, or name another one"
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
    node: Node,
    *,
    check_only: bool,
    progress: Callable[[int], None] = lambda _done: None,
    scratch: Path | None = None,
) -> Rebuilt:
    """Replay the log; compare the views with it, and rewrite them unless told to check only.

    Args:
        node: not running, unless only checking.
        check_only: write nothing.
        progress: told how many entries are replayed.
        scratch: directory with room for a copy of the views; the system's temporary one if None.

    Raises:
        FatalError: an entry record does not replay, or the log is not the one that was published.
    """
    # The store first: whatever it names is committed already when the snapshot begins. Nodes may publish meanwhile.
    stored = await asyncio.to_thread(node.store.load)

    def run(connection: Connection) -> Rebuilt:
        backend_of(connection).patient(connection)
        if not check_only:
            take_lock(connection)
        with scratch_database(scratch) as replayed:
            replay = replay_log(connection, replayed, progress)
            check_published(replay, stored)
            findings = tuple(islice(compare_views(connection, replayed), MOST_FINDINGS))
            if findings and not check_only:
                rewrite_views(connection, replayed)
            return Rebuilt(replay.head.size, findings, rewritten=bool(findings) and not check_only)

    return await (node.database.read(run) if check_only else node.database.write(run))


def check_published(replay: Replayer, stored: UnverifiedCheckpoint) -> None:
    """Demand that what was replayed begins with the published log.

    Raises:
        FatalError: ``published_root_differs``, or ``database_behind_store``.
    """
    if stored.size > replay.head.size:
        raise FatalError(
            "database_behind_store",
            f"the published log has {stored.size} entries, the records give only {replay.head.size}",
            "see docs/operations/running-a-broker.md §7",
        )
    if replay.root(stored.size) != stored.root:
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
        fatal: it is a contradiction, and not only an absence or a wrong setting.
    """

    name: str
    ok: bool
    message: str
    hint: str = ""
    fatal: bool = False


async def examine(node: Node, migrations: Path, environ: Mapping[str, str]) -> list[Check]:
    """Look at everything that must be right; changes nothing and publishes nothing."""
    checks = [_check_hooks(environ), *_check_permissions(node)]

    async def database() -> str:
        return f"at revision {check_migrated(node.database, migrations)}"

    async def durability() -> str:
        found = await asyncio.to_thread(node.database.check_durability)
        return ", ".join(f"{name}={value}" for name, value in found.items())

    async def clock() -> str:
        try:
            difference = await node.check_clock()
        except UnavailableError as error:
            if error.code != "clock_differs":
                raise
            raise FatalError("clock_differs", error.message, "set the clock (NTP)") from None
        return f"{difference} ms from the database's"

    async def entry_key() -> str:
        if node.entry_key is None:
            return (
                "none: if the database is lost, entries come back from oversight mirrors alone (`entry-key`)"
            )
        return f"{entry_key_id(node.entry_key)}; all nodes must show the same"

    async def others() -> str:
        def look(connection: Connection) -> list[KnownNode]:
            return read_nodes(connection, database_now(connection) - 2 * node.settings.heartbeat_gap_ms)

        return f"running of late: {in_words(await node.database.read(look))}"

    async def content() -> str:
        await asyncio.to_thread(node.content.open, create=False)

        def look(connection: Connection) -> dict[str, tuple[int, int]]:
            return count_places(connection)

        held = await node.database.read(look)
        unknown = sorted(held.keys() - set(node.content.places))
        if unknown:
            raise FatalError(
                "content_place_unknown",
                f"pieces lie in place '{unknown[0]}', which the settings do not name",
                f"set content_{unknown[0]} (docs/operations/content-store.md §4)",
            )
        there = ", ".join(f"{place}: {count} pieces" for place, (count, _) in sorted(held.items()))
        return f"new pieces go to {node.content.fresh}; {there or 'there are none'}"

    for name, look in (
        ("migrations", database),
        ("durability", durability),
        ("clock", clock),
        ("nodes", others),
        ("time stamps", lambda: check_stamps(node)),
        ("store", lambda: _check_store(node)),
        ("content store", content),
        ("elsewhere", lambda: check_elsewhere(node)),
        ("keys", lambda: check_keys(node)),
        ("entry key", entry_key),
    ):
        try:
            checks.append(Check(name, ok=True, message=await look()))
        except FatalError as error:
            fatal = name in {"store", "keys", "elsewhere"}
            checks.append(Check(name, ok=False, message=str(error), hint=error.way_out, fatal=fatal))
        except UnavailableError as error:
            checks.append(Check(name, ok=False, message=str(error), hint=_ABSENT))
        except CountermarkError as error:
            hint = _LOG_GOES_ON if error.code == "tsa_away" else error.hint
            checks.append(Check(name, ok=False, message=str(error), hint=hint))
    return checks


def _check_hooks(environ: Mapping[str, str]) -> Check:
    if any(environ.get(name) for name in (TEST_HOOKS_VARIABLE, TEST_KILL_VARIABLE, TEST_FAIL_VARIABLE)):
        return Check(
            "test hooks",
            ok=False,
            message="TEST HOOKS ARE ON: this broker may kill or harm itself",
            hint=f"unset {TEST_HOOKS_VARIABLE}, {TEST_KILL_VARIABLE} and {TEST_FAIL_VARIABLE}",
        )
    return Check("test hooks", ok=True, message="off")


def _check_permissions(node: Node) -> list[Check]:
    settings = node.settings
    paths = [settings.keys, *filter(None, [settings.store_directory])]
    if settings.log_key and settings.node_key and not settings.keys.exists():
        paths.remove(settings.keys)
    out = [_check_mode(path, 0o077, "go-rwx", readable=os.access(path, os.R_OK)) for path in paths]
    if settings.passphrase_file is not None:
        # Not the group: what systemd's LoadCredential= lets one user read looks like mode 440.
        out.append(_check_mode(settings.home / settings.passphrase_file, 0o007, "o-rwx"))
    return out


def _check_mode(path: Path, forbidden: int, change: str, *, readable: bool = True) -> Check:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return Check("permissions", False, f"{path}: {error.strerror}", "restore it, or correct the setting")
    ok = readable and not mode & forbidden
    return Check("permissions", ok, f"{path}: {mode & 0o777:o}", "" if ok else f"run chmod {change} on it")


async def _check_store(node: Node) -> str:
    await asyncio.to_thread(node.store.check, node.database)
    stored = await asyncio.to_thread(node.store.load)

    def look(connection: Connection) -> Head:
        head = read_head(connection)
        node.publisher.check_not_behind(stored, head)
        if node.tree.recompute_root(connection, stored.size) != stored.root:
            raise FatalError(
                "published_root_differs",
                f"the database gives another root for size {stored.size} than was published",
                "this database is not the one that was published (docs/operations/running-a-broker.md §7)",
            )
        return head

    head = await node.database.read(look)
    if stored.size < head.size:
        return f"{head.size - stored.size} committed entries are not published: {_UNPUBLISHED}"
    return f"database and store agree on size {stored.size}"


async def check_elsewhere(node: Node) -> str:
    """Ask the log's witnesses and mirrors whether they know more than is logged here; in words.

    Raises:
        FatalError: ``behind_others``: they do.
    """
    directory = await node.newest_directory()
    if not directory.count:
        return "nothing is logged yet"
    heard = await asyncio.to_thread(Elsewhere(node, directory).checkpoints, node.settings.mirrors)
    # Read after they were asked: nodes may append and publish meanwhile.
    size = (await node.database.read(read_head)).size
    if not heard:
        return "nobody to ask: no witness has a URL, no mirror is named"
    told = [
        f"{one.source}: {one.checkpoint.size} entries"
        if one.checkpoint is not None
        else f"{one.source}: {one.problem}"
        for one in heard
    ]
    if any(one.checkpoint is not None and one.checkpoint.size > size for one in heard):
        raise FatalError(
            "behind_others",
            f"{size} entries are logged here, others hold more that the log key signed ({'; '.join(told)})",
            "database and checkpoint store are restored from a backup, or another broker signs with this log's key: do "
            "not start; bring the entries back (docs/operations/backup-and-restore.md §5)",
        )
    return "; ".join(told)


async def check_keys(node: Node) -> str:
    """Demand the keys without which a node would accept what it can neither publish nor answer; in words.

    Raises:
        FatalError: ``log_key_missing``, or ``node_key_not_listed``.
    """
    directory = await node.newest_directory()
    log = directory.log()
    if node.settings.read_only:
        return "this node only reads: it needs no log key"
    if not node.publisher.holds(log.log_key.key_id):
        raise FatalError(
            "log_key_missing",
            "neither key file nor token holds the log key of the directory",
            "put it into the key file",
        )
    if not directory.node_key(node.node_key.public_key.key_id):
        raise FatalError(
            "node_key_not_listed",
            f"this node's key is not in the keys of {log.broker}",
            "let the broker's administrator sign a 'keys' statement that lists it",
        )
    return "log key and node key are those of the directory"
