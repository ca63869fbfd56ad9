"""Processor time of each step of the bulk path, for one message: the same functions, called one after the other.

Nothing else runs in this process meanwhile, so all its processor time belongs to the step. What a real broker
needs beyond the sum of the steps is HTTP, the event loop, its hand-overs to threads, and collecting garbage.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench.quick.ground import Prepared, make_world

from countermark_broker.config import load_settings
from countermark_broker.log import appender as appending
from countermark_broker.log.appender import Appended, Submitted
from countermark_broker.parts import Parts, build_parts
from countermark_broker.services.accept import examine, submitted_message
from countermark_broker.services.proofs import prove_entry
from countermark_protocol.bulk import BulkVerdict, FrameReader, encode_bulk_checkpoint, encode_frames
from countermark_protocol.documents import Document
from countermark_protocol.submission import parse_submission
from support.broker_fixtures import keyring

#: Steps in their order; `verify` holds Ed25519 itself, `commit` all of the transaction that is not `load` or `decide`.
STEPS = ("parse", "verify", "load", "decide", "commit", "publish", "prove", "encode")
GROUP = 256


class _Times(Counter[str]):
    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        began = time.process_time_ns()
        try:
            yield
        finally:
            self[step] += time.process_time_ns() - began

    def wrap(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.of(step):
                return function(*args, **kwargs)

        return timed


async def _run(parts: Parts, messages: Sequence[Prepared], times: _Times) -> None:
    node = parts.node
    await node.publisher.advance()
    for at in range(0, len(messages), GROUP):
        part = messages[at : at + GROUP]
        body = encode_frames(m.submission for m in part)
        with times.of("parse"):
            submissions = [parse_submission(frame) for frame in FrameReader().feed(body)]
        found: list[Document] = []
        with times.of("verify"):
            for submission in submissions:
                document = examine(node, submission.document, submission.manifest.sender)
                assert isinstance(document, Document)
                found.append(document)
        group: list[Submitted] = [submitted_message(s, d) for s, d in zip(submissions, found, strict=True)]
        with times.of("commit"):
            outcomes = parts.appender.commit(group)
        with times.of("publish"):
            checkpoint = await node.publisher.advance()
        with times.of("prove"):
            indexes = [o.entry.index for o in outcomes if isinstance(o, Appended)]
            paths = node.tree.known_inclusions(indexes, checkpoint.size)
            proven = [
                await prove_entry(
                    node, Appended(o.entry, checkpoint, paths[o.entry.index]), s.manifest.sender
                )
                for o, s in zip(outcomes, submissions, strict=True)
                if isinstance(o, Appended)
            ]
        assert len(proven) == len(part), outcomes
        with times.of("encode"):
            lines = [encode_bulk_checkpoint(checkpoint.raw)]
            lines += [BulkVerdict(n, 201, accepted).encode() for n, accepted in enumerate(proven)]
            b"".join(line + b"\n" for line in lines)


class Steps:
    """A founded log of its own, to which messages are appended in this process; nothing is started.

    Args:
        home: of the log.
    """

    def __init__(self, home: Path) -> None:
        self._parts = build_parts(load_settings(home, {}), keyring(make_world()))

    def measure(self, messages: Sequence[Prepared]) -> dict[str, float]:
        """µs of processor time a message, by step; of the broker's process alone, not of a database server.

        Garbage is not collected meanwhile: when that happens is the broker's own affair, and it shows in the rest.
        """
        times = _Times()
        gc.collect()
        with ExitStack() as stack:
            for name, step in (("load_state", "load"), ("append_statement", "decide")):
                timed = times.wrap(step, getattr(appending, name))
                stack.enter_context(patch.object(appending, name, timed))
            gc.disable()
            stack.callback(gc.enable)
            asyncio.run(_run(self._parts, messages, times))
        times["commit"] -= times["load"] + times["decide"]
        return {step: times[step] / 1000 / len(messages) for step in STEPS}

    def close(self) -> None:
        """Close its database."""
        self._parts.node.verifier.close()
        self._parts.node.database.close_now()
