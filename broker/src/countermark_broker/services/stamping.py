"""Time stamps (RFC 3161) on witnessed checkpoints, by authorities that the operator chooses.

Beside the log and never in its way: where an authority is away, slow or wrong, that is said (log, metrics, doctor), it
is asked again after a while, and everything else goes on. Each authority is asked by a task of its own and by one node
at a time; a node that dies in the midst leaves a claim that lapses.

Source: docs/spec/witness.md §8; docs/operations/time-stamps.md.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING, Final

from countermark_broker.config import Settings
from countermark_broker.errors import ConfigurationError
from countermark_broker.services.node import Node
from countermark_broker.store.cosigned import CosignedRow, read_newest_cosigned
from countermark_broker.store.engine import Connection
from countermark_broker.store.stamps import (
    AuthorityRow,
    StampRow,
    claim,
    keep_failure,
    keep_stamp,
    read_authorities,
    read_authority,
    read_oldest_stamps,
    read_stamps,
)
from countermark_protocol.errors import CountermarkError, TransportError
from countermark_protocol.stamp_history import MAX_STAMP_BYTES, MAX_STAMPS, StampHistory, StampItem
from countermark_protocol.timestamps import (
    REPLY_TYPE,
    REQUEST_TYPE,
    TsaRoots,
    check_answer,
    make_stamp_request,
    parse_stamp,
    parse_tsa_roots,
    verify_stamp,
)

if TYPE_CHECKING:
    import httpx

_log = logging.getLogger(__name__)

#: s between looks whether there is anything to stamp.
_LOOK_S: Final = 10.0
#: s until an authority that failed is asked again, or sooner where stamps are wanted oftener.
_AGAIN_S: Final = 300
#: s beyond the time-out after which the claim of a node that died lapses.
_LAPSE_S: Final = 30.0
_MINUTE_MS: Final = 60_000
#: Of notes and stamps in one page of the series.
_PAGE_BYTES: Final = 4 * 1024 * 1024
_OK: Final = 200


def read_roots(settings: Settings) -> TsaRoots:
    """The certificates that stamps must lead to.

    Raises:
        ConfigurationError: ``bad_configuration``: the file cannot be read, or holds none.
    """
    assert settings.timestamp_roots is not None
    path = settings.home / settings.timestamp_roots
    try:
        return parse_tsa_roots(path.read_bytes())
    except (OSError, CountermarkError):
        raise ConfigurationError(
            "bad_configuration", f"cannot read certificates in PEM from {path} (setting 'timestamp_roots')"
        ) from None


class Stamping:
    """Asks the authorities that the settings name.

    Args:
        node: this node.

    Raises:
        ConfigurationError: ``bad_configuration``: the file of roots is not usable.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._roots = read_roots(node.settings)
        self._alarmed: set[str] = set()

    async def run(self) -> None:
        """Ask all of them, each by itself, until this node stops for good."""
        names = self._node.settings.timestamp_authorities
        if len(names) == 1:
            _log.warning("only one authority of time stamps is named: two vouch for each other's absence")
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(self._keep_asking(name))

    async def _keep_asking(self, name: str) -> None:
        node = self._node
        while node.health.fatal is None and not node.health.stopping:
            try:
                await self.stamp_once(name)
                await self.look(name)
            except CountermarkError as error:
                _log.warning("time stamps of '%s': %s", name, error)
            except Exception:  # noqa: BLE001  one unforeseen failure must not end stamping for good
                _log.exception("a defect while asking '%s' for a time stamp", name)
            await asyncio.sleep(min(_LOOK_S, node.settings.timestamp_interval_s))

    async def stamp_once(self, name: str) -> bool:
        """Have the newest witnessed checkpoint stamped, if that is due and nobody else does it; whether it was.

        Args:
            name: of the authority.

        Raises:
            CountermarkError: the database does not answer. What an authority does is taken down, not raised.
        """
        node = self._node
        seen, newest = await node.database.read(_look, name)
        if newest is None or not self._due(seen, newest):
            return False
        lasts = int((node.settings.timestamp_timeout_s + _LAPSE_S) * 1000)
        if not await node.database.write(claim, name, lasts, seen):
            return False
        outcome = "stamped"
        try:
            row = await self._stamp(name, newest)
        except CountermarkError as error:
            outcome = error.code
            _log.warning("the authority of time stamps '%s' gave none: %s", name, error)
            await node.database.write(keep_failure, name, error.code)
        else:
            await node.database.write(keep_stamp, row)
        node.metrics.stamps.labels(name, outcome).inc()
        return outcome == "stamped"

    def _due(self, seen: AuthorityRow | None, newest: CosignedRow) -> bool:
        if seen is None:
            return True
        every = self._node.settings.timestamp_interval_s * 1000
        now = self._node.clock.now_ms()
        if seen.failing_since:
            return now - seen.tried_at >= min(every, _AGAIN_S * 1000)
        return newest.size > seen.size and now - seen.answered_at >= every

    async def _stamp(self, name: str, newest: CosignedRow) -> StampRow:
        """Ask for a stamp, and check it as a court would, and that it answers this question now."""
        request = make_stamp_request(newest.note)
        seconds = self._node.settings.timestamp_timeout_s
        try:
            async with asyncio.timeout(seconds):
                response = await _post(self._node.settings.timestamp_authorities[name], request.data)
        except TimeoutError:
            raise TransportError("tsa_timeout", f"no answer within {seconds:g} s") from None
        stamp = parse_stamp(response, newest.note)
        check_answer(stamp, request.nonce, self._node.clock.now_ms())
        verify_stamp(stamp, self._roots)
        return StampRow(stamp.time // _MINUTE_MS, name, newest.size, newest.note, response)

    async def look(self, name: str) -> None:
        """Say since when an authority fails, and raise the alarm once that is too long.

        Raises:
            CountermarkError: the database does not answer.
        """
        node = self._node
        row = await node.database.read(read_authority, name)
        failing = 0.0
        if row is not None and row.failing_since:
            failing = max(0, node.clock.now_ms() - row.failing_since) / 1000
        node.metrics.stamps_failing.labels(name).set(failing)
        late = failing > node.settings.timestamp_alarm_s
        if late and row is not None and name not in self._alarmed:
            self._alarmed.add(name)
            _log.error(
                "the authority of time stamps '%s' has given none for %d s (%s): the log goes on, without its stamps",
                name,
                failing,
                row.error,
            )
        elif not late and name in self._alarmed:
            self._alarmed.remove(name)
            _log.info("the authority of time stamps '%s' stamps again", name)


def _look(connection: Connection, name: str) -> tuple[AuthorityRow | None, CosignedRow | None]:
    return read_authority(connection, name), read_newest_cosigned(connection)


async def _post(url: str, body: bytes) -> bytes:
    """One question; no redirect is followed, no proxy asked, and no more is read than a stamp may have.

    Raises:
        TransportError: ``tsa_away``, ``tsa_status``, ``tsa_type``, ``tsa_too_large``.
    """
    import httpx  # noqa: PLC0415  slow to load, and only a broker with time stamps needs it

    headers = {"Content-Type": REQUEST_TYPE, "Accept": REPLY_TYPE, "Accept-Encoding": "identity"}
    verify = ssl.create_default_context() if url.startswith("https:") else False
    try:
        async with (
            httpx.AsyncClient(verify=verify, trust_env=False, timeout=None) as client,  # noqa: S113  the caller's
            client.stream("POST", url, content=body, headers=headers) as response,
        ):
            return await _read(response)
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
        raise TransportError("tsa_away", f"no answer: {error.__class__.__name__}") from error


async def _read(response: httpx.Response) -> bytes:
    if response.status_code != _OK:
        raise TransportError("tsa_status", f"expected status 200, got {response.status_code}")
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != REPLY_TYPE or "content-encoding" in response.headers:
        raise TransportError("tsa_type", f"expected {REPLY_TYPE}, got '{kind[:80]}' or a coding of it")
    read = b""
    async for part in response.aiter_raw():
        read += part
        if len(read) > MAX_STAMP_BYTES:
            raise TransportError("tsa_too_large", f"expected at most {MAX_STAMP_BYTES} bytes, got more")
    return read


# --- what is told ---------------------------------------------------------------------------------------


async def read_stamp_history(node: Node, first: int, limit: int) -> StampHistory:
    """The series from a minute on: at most `limit`, fewer where they are large, one at least where there is one.

    Args:
        node: this node.
        first: minutes since 1970.
        limit: 1 to `MAX_STAMPS`.

    Raises:
        CountermarkError: the database does not answer.
    """
    rows = await node.database.read(read_stamps, first, limit)
    held: list[StampRow] = []
    length = 0
    for row in rows:
        length += len(row.note) + len(row.response)
        if held and length > _PAGE_BYTES:
            break
        held.append(row)
    complete = len(rows) < limit and len(held) == len(rows)
    while held and not complete and len({row.minute for row in held}) > 1 and _cut(held, rows):
        held.pop()  # a page ends with a minute: the next one begins behind it
    return StampHistory(tuple(map(_item, held)), complete)


def _cut(held: list[StampRow], rows: list[StampRow]) -> bool:
    """Whether the last minute of a page may go on behind it."""
    return len(held) == len(rows) or rows[len(held)].minute == held[-1].minute


async def read_covering_stamps(node: Node, size: int) -> StampHistory:
    """Of each authority the oldest stamp on a tree of at least `size` leaves.

    Raises:
        CountermarkError: the database does not answer.
    """
    rows = await node.database.read(read_oldest_stamps, size)
    return StampHistory(tuple(map(_item, rows[:MAX_STAMPS])), complete=True)


def _item(row: StampRow) -> StampItem:
    return StampItem(row.minute, row.authority, row.note, row.response)


async def check_stamps(node: Node) -> str:
    """How the authorities of time stamps fare, in words.

    Raises:
        ConfigurationError: ``bad_configuration``: the file of roots is not usable.
        TransportError: ``tsa_away``: one gives no stamps; what is missing is said.
        CountermarkError: the database does not answer.
    """
    names = node.settings.timestamp_authorities
    if not names:
        return "none asked for: no authority is named in 'timestamp_authorities'"
    read_roots(node.settings)
    known = {row.authority: row for row in await node.database.read(read_authorities)}
    now = node.clock.now_ms()
    told, away = [], False
    for name in names:
        row = known.get(name)
        if row is None:
            told.append(f"'{name}' was not asked yet, as nothing is witnessed or no node has run")
            continue
        has = f"{row.size} entries stamped {(now - row.answered_at) // _MINUTE_MS} minutes ago"
        text = f"'{name}': {has if row.answered_at else 'no stamp yet'}"
        if row.failing_since:
            away = True
            text += f", AWAY for {(now - row.failing_since) // _MINUTE_MS} minutes ({row.error})"
        told.append(text)
    if len(names) == 1:
        told.append("only one authority is named: two vouch for each other's absence")
    if away:
        raise TransportError("tsa_away", "; ".join(told))
    return "; ".join(told)
