"""Gathering witnesses' cosignatures of published checkpoints.

Asked every few seconds for a head that has grown, and every minute for one that has not, so that a quiet log stays
fresh. Asked only while what is committed is what is published: a cosignature says that a quorum knew of nothing
larger then, which would be untrue of what waits to be published. Any node gathers; whoever finds that another one
has just done so leaves it.

Source: design section 4, "Time", "Witnessing"; docs/spec/witness.md §6.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from countermark_broker.errors import FatalError
from countermark_broker.services.node import Node
from countermark_broker.store.cosigned import (
    CosignedRow,
    read_cosigned,
    read_first_cosigned,
    read_newest_cosigned,
    write_cosigned,
)
from countermark_broker.store.engine import Connection
from countermark_broker.store.head import read_head
from countermark_protocol.checkpoint import Checkpoint, parse_checkpoint, verify_checkpoint
from countermark_protocol.cosignature import CosignerKey
from countermark_protocol.errors import CountermarkError, SignatureError, TransportError
from countermark_protocol.mandates import Witness
from countermark_protocol.note import NoteSignature
from countermark_protocol.tlog_policy import Quorum, check_quorum
from countermark_protocol.tlog_witness import (
    ADD_CHECKPOINT_PATH,
    MAX_ANSWER_BYTES,
    HeldSize,
    add_cosignatures,
    encode_add_checkpoint,
    parse_answer,
    verify_answer,
)
from countermark_protocol.witness_history import SECONDS_A_MINUTE, HistoryItem, WitnessHistory
from countermark_protocol.witnesses import keys_of_witness, quorum_policy

if TYPE_CHECKING:
    import httpx

_log = logging.getLogger(__name__)

#: s after which an answer is too old to be a statement about now.
_LATE_S: Final = 30.0
#: A witness answers at most twice with the size that it holds: once more means that others feed it too.
_TRIES: Final = 3
#: Of notes in one page of the series.
_PAGE_BYTES: Final = 4 * 1024 * 1024


class Witnessing:
    """Asks the witnesses that the governors name.

    Args:
        node: this node.
        transport: of httpx, in tests; None for the network.
    """

    def __init__(self, node: Node, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._node = node
        self._transport = transport
        #: Witness → size of the tree that it last cosigned, as far as is known here.
        self._known: dict[str, int] = {}
        self._alarmed = False

    async def run(self) -> None:
        """Gather until this node stops for good; a failure is logged and tried again."""
        node = self._node
        while node.health.fatal is None and not node.health.stopping:
            try:
                await self.gather_once()
                await self.look()
            except CountermarkError as error:
                _log.warning("witnesses: %s", error)
            except Exception:  # noqa: BLE001  one unforeseen failure must not end gathering for good
                _log.exception("a defect while gathering cosignatures")
            await asyncio.sleep(node.settings.witness_ms / 1000)

    async def gather_once(self) -> bool:
        """Ask all witnesses about the published head, unless that is known well enough; whether a quorum answered.

        Raises:
            CountermarkError: the database does not answer.
        """
        node = self._node
        record = node.holder.current.log()
        if not record.witnesses:
            return False
        newest, committed = await node.database.read(_newest_and_size)
        published = node.publisher.published
        if committed != published.size:
            published = await node.publisher.at_least(committed)
        if newest is not None and not self._due(newest, published):
            return True
        lines = await asyncio.gather(
            *(self._ask(witness, published) for witness in record.witnesses if witness.url is not None)
        )
        note = add_cosignatures(published.raw, [line for of_one in lines for line in of_one])
        checkpoint = self._verify(note, published.size)
        try:
            quorum = self._quorum(checkpoint)
        except SignatureError as error:
            _log.warning("witnesses: %s", error)
            return False
        if quorum.current_at is None:  # they are named by a statement that this tree does not hold yet
            return False
        row = CosignedRow(quorum.current_at // SECONDS_A_MINUTE, checkpoint.size, note)
        await node.database.write(write_cosigned, row)
        return True

    def _due(self, newest: CosignedRow, published: Checkpoint) -> bool:
        if newest.size < published.size:
            return True
        quorum = self._quorum(self._verify(newest.note, newest.size))
        return quorum.current_at is None or self._now() - quorum.current_at >= SECONDS_A_MINUTE

    async def look(self) -> None:
        """Say how old the newest quorum is, and raise the alarm once it is too old.

        Raises:
            CountermarkError: the database does not answer.
        """
        node = self._node
        if not node.holder.current.log().witnesses:
            return
        newest, _ = await node.database.read(_newest_and_size)
        age: float = float("inf")
        if newest is not None:
            quorum = self._quorum(self._verify(newest.note, newest.size))
            if quorum.current_at is not None:
                age = max(0, self._now() - quorum.current_at)
        node.metrics.witnessed_size.set(newest.size if newest is not None else 0)
        node.metrics.witness_age.set(age)
        late = age > node.settings.witness_alarm_s + SECONDS_A_MINUTE
        if late and not self._alarmed:
            _log.error(
                "no quorum of witnesses has cosigned for %s s: clients refuse to send on old checkpoints", age
            )
        elif self._alarmed and not late:
            _log.info("a quorum of witnesses cosigns again")
        self._alarmed = late

    def _now(self) -> int:
        return self._node.clock.now_ms() // 1000

    def _verify(self, note: bytes, size: int) -> Checkpoint:
        directory = self._node.holder.current
        key = directory.log_key_for(size)
        return verify_checkpoint(parse_checkpoint(note), directory.origin_for(size), key.raw)

    def _quorum(self, checkpoint: Checkpoint) -> Quorum:
        # As of its own size: whoever reads it years later knows which witnesses were named then.
        policy, log_keys = quorum_policy(self._node.holder.current, max(checkpoint.size - 1, 0))
        return check_quorum(policy, checkpoint, log_keys)

    async def _ask(self, witness: Witness, checkpoint: Checkpoint) -> Sequence[NoteSignature]:
        """The cosignatures of one witness; none where it does not answer, refuses, or is too late."""
        try:
            async with asyncio.timeout(_LATE_S):
                return await self._exchange(witness, keys_of_witness(witness), checkpoint)
        except TimeoutError:
            _log.warning("witness %s did not answer within %d s", witness.name, _LATE_S)
        except FatalError:
            raise
        except TransportError as error:
            _log.warning("witness %s: %s", witness.name, error)
        except CountermarkError as error:
            # To refuse is what a witness is for: whoever reads the log must see it.
            _log.error("witness %s: %s", witness.name, error)
        return ()

    async def _exchange(
        self, witness: Witness, keys: Sequence[CosignerKey], checkpoint: Checkpoint
    ) -> Sequence[NoteSignature]:
        import httpx  # noqa: PLC0415  slow to load, and only a log with witnesses needs it

        assert witness.url is not None
        url = witness.url.rstrip("/") + ADD_CHECKPOINT_PATH
        async with httpx.AsyncClient(transport=self._transport, timeout=_LATE_S, trust_env=False) as client:
            for _ in range(_TRIES):
                old = min(self._known.get(witness.name, 0), checkpoint.size)
                proof = await self._node.database.read(self._consistency, old, checkpoint.size)
                body = encode_add_checkpoint(old, proof, checkpoint.raw)
                try:
                    answer = await _post(client, url, body)
                except httpx.HTTPError as error:
                    raise TransportError("witness_away", f"no answer: {error.__class__.__name__}") from error
                parsed = parse_answer(*answer)
                if isinstance(parsed, HeldSize):
                    if parsed.size > checkpoint.size:
                        # It knows more than is published: what this node holds may be a restored backup.
                        await self._check_ahead(witness, parsed.size)
                        return ()
                    self._known[witness.name] = parsed.size
                    continue
                verified = verify_answer(checkpoint, parsed, keys)
                self._known[witness.name] = checkpoint.size
                return [one.line for one in verified]
        return ()

    def _consistency(self, connection: Connection, old: int, size: int) -> tuple[bytes, ...]:
        if old in {0, size}:
            return ()
        return self._node.tree.consistency(connection, old, size)

    async def _check_ahead(self, witness: Witness, size: int) -> None:
        """Another node may have published more a moment ago; else the witness knows what this log has lost.

        Raises:
            FatalError: ``behind_witness``.
        """
        newest = await self._node.publisher.advance()
        if size > newest.size:
            error = FatalError(
                "behind_witness",
                f"witness {witness.name} has cosigned a tree of {size} leaves of this log, which has {newest.size}: "
                "database and checkpoint store are both restored from a backup, or another broker signs with this "
                "log's key",
                "do not go on from here: bring back the newest entries (docs/operations/backup-and-restore.md §4)",
            )
            self._node.health.fail(error)
            raise error


async def _post(client: httpx.AsyncClient, url: str, body: bytes) -> tuple[int, str, bytes]:
    async with client.stream("POST", url, content=body) as response:
        read = b""
        async for part in response.aiter_bytes():
            read += part
            if len(read) > MAX_ANSWER_BYTES:
                break
        return response.status_code, response.headers.get("content-type", ""), read


def _newest_and_size(connection: Connection) -> tuple[CosignedRow | None, int]:
    return read_newest_cosigned(connection), read_head(connection).size


async def read_witnessed(node: Node, size: int | None = None) -> bytes | None:
    """A checkpoint with a quorum's cosignatures; None where there is none.

    Args:
        node: this node.
        size: leaves that its tree has at least, and it is the oldest kept of those; the newest if None.

    Raises:
        CountermarkError: the database does not answer.
    """
    if size is None:
        row = await node.database.read(read_newest_cosigned)
    else:
        row = await node.database.read(read_first_cosigned, size)
    return row.note if row is not None else None


async def read_history(node: Node, first: int, limit: int) -> WitnessHistory:
    """The series from a minute on: at most `limit`, fewer where they are large, one at least where there is one.

    Args:
        node: this node.
        first: minutes since 1970.
        limit: 1 to `MAX_HISTORY`.

    Raises:
        CountermarkError: the database does not answer.
    """
    rows = await node.database.read(read_cosigned, first, limit)
    items: list[HistoryItem] = []
    length = 0
    for row in rows:
        length += len(row.note)
        if items and length > _PAGE_BYTES:
            break
        items.append(HistoryItem(row.minute, row.note))
    return WitnessHistory(tuple(items), complete=len(rows) < limit and len(items) == len(rows))
