"""Bulk submission: a stream of submissions through the steps of accept.py, answered in order as commits land.

Reading, verifying, committing and answering go on at once, each on whatever has gathered meanwhile. What holds
the sender back is verifying and committing, never the reading of our answers (api/bulk.py).

Source: docs/spec/api.md §3.11.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from countermark_broker.errors import QuotaExceededError
from countermark_broker.log.appender import Failed, Outcome, Repeated, Submitted
from countermark_broker.log.verifier import Source
from countermark_broker.services.accept import (
    Answer,
    answer_outcome,
    charge,
    examine,
    refund,
    submitted_message,
)
from countermark_broker.services.accounts import NegativeAnswer
from countermark_broker.services.node import Node
from countermark_broker.services.pieces import keep_content
from countermark_broker.services.proofs import prove_record
from countermark_broker.store.loading import load_indexes
from countermark_broker.store.reading import EntryRecord
from countermark_protocol.errors import CountermarkError
from countermark_protocol.identifiers import Address
from countermark_protocol.submission import parse_submission

#: Submissions that are verified and queued as one part.
_PART: Final = 64
#: Parts that may wait for their commits while later ones are verified. Bounds what one stream holds.
_PARTS_AHEAD: Final = 24

#: What became of one submission.
Verdict = Answer | CountermarkError | NegativeAnswer | Exception


@dataclass(frozen=True, slots=True)
class _Found:
    """One submission, examined.

    Attributes:
        author: its sender.
        data: its signed document.
        item: ready for the lock, or the entry that it is already.
    """

    author: Address
    data: bytes
    item: Submitted | EntryRecord


_Pending = tuple[_Found, asyncio.Future[Outcome] | None] | Exception


async def accept_bulk(
    node: Node, frames: AsyncIterator[Sequence[bytes]], source: Source
) -> AsyncGenerator[list[Verdict]]:
    """Accept submissions as they come; their verdicts, in order, in parts as each is known.

    Args:
        node: this node.
        frames: submissions as they arrive; ends, or raises, where the stream does.
        source: where the stream comes from.
    """
    parts: asyncio.Queue[list[_Pending] | None] = asyncio.Queue(_PARTS_AHEAD)
    failed: list[Exception] = []
    # No part may be larger than what may wait to be verified.
    most = min(_PART, node.settings.max_verifying_each, node.settings.max_verifying)

    async def take() -> None:
        try:
            async for batch in frames:
                for at in range(0, len(batch), most):
                    await parts.put(await _begin(node, batch[at : at + most], source))
        except Exception as error:  # noqa: BLE001  told after the verdicts of what came before it
            failed.append(error)
        # Not when cancelled: then nobody takes parts any more, and there may be no room for this one.
        await parts.put(None)

    taking = asyncio.create_task(take(), name="bulk")
    try:
        while (part := await parts.get()) is not None:
            yield [await _verdict(node, pending) for pending in part]
        if failed:
            yield [failed[0]]
    finally:
        # What was queued for the lock is committed whether or not anybody waits for the answer.
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)


async def _begin(node: Node, submissions: Sequence[bytes], source: Source) -> list[_Pending]:
    """Examine a part, and queue what is good for the lock."""
    found = await node.verifier.run_many(
        [partial(_examine, node, data) for data in submissions], source=source
    )
    out: list[_Pending] = []
    ready: list[tuple[int, _Found, Submitted]] = []
    beyond: list[tuple[int, _Found, Submitted]] = []
    for number, one in enumerate(found):
        if isinstance(one, Exception):
            out.append(one)
            continue
        out.append((one, None))
        if isinstance(one.item, Submitted):
            try:
                charge(node, one.item, one.author)
            except QuotaExceededError as error:
                out[number] = error
                beyond.append((number, one, one.item))
            else:
                ready.append((number, one, one.item))
    try:
        futures = await node.sequencer.submit_many([await keep_content(node, item) for _, _, item in ready])
    except BaseException as error:
        for _, one, item in ready:
            refund(node, item, one.author)
        if not isinstance(error, CountermarkError):
            raise
        for number, _, _ in ready:
            out[number] = error
    else:
        for (number, one, item), future in zip(ready, futures, strict=True):
            future.add_done_callback(partial(_give_back, node, item, one.author))
            out[number] = (one, future)
    if beyond:
        await _find_logged(node, beyond, out)
    return out


def _give_back(node: Node, item: Submitted, author: Address, future: asyncio.Future[Outcome]) -> None:
    """Refund what was not logged by this call, whether or not anybody still waits for the verdict."""
    if not future.cancelled() and isinstance(future.result(), Repeated | Failed):
        refund(node, item, author)


async def _find_logged(
    node: Node, beyond: Sequence[tuple[int, _Found, Submitted]], out: list[_Pending]
) -> None:
    """What is logged already costs nothing: it is answered although nothing is left of its author's quota."""
    hashes = [item.statement.document.payload_hash for _, _, item in beyond]
    try:
        indexes = await node.database.read(load_indexes, hashes)
    except CountermarkError as error:
        for number, _, _ in beyond:
            out[number] = error
        return
    for (number, one, _), payload_hash in zip(beyond, hashes, strict=True):
        index = indexes[payload_hash]
        if index is not None:
            known: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            known.set_result(Repeated(index))
            out[number] = (one, known)


def _examine(node: Node, data: bytes) -> _Found:
    submission = parse_submission(data)
    author, document = submission.manifest.sender, submission.document
    found = examine(node, document, author)
    item = found if isinstance(found, EntryRecord) else submitted_message(submission, found)
    return _Found(author, document.data, item)


async def _verdict(node: Node, pending: _Pending) -> Verdict:
    if isinstance(pending, Exception):
        return pending
    found, future = pending
    try:
        if isinstance(found.item, EntryRecord):
            return Answer(
                fresh=False, accepted=await prove_record(node, found.item, found.author, found.data)
            )
        assert future is not None
        return await answer_outcome(node, found.item, found.author, await future)
    except Exception as error:  # noqa: BLE001  one submission's failure is its own verdict
        return error
