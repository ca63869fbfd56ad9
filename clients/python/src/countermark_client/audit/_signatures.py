"""Verifying many signatures on all processors: most of what an audit costs, and all of it independent.

Ed25519 holds Python's interpreter lock, so threads would wait for each other: documents go to processes.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from types import TracebackType
from typing import Final, Self

from countermark_protocol.documents import (
    Document,
    Purpose,
    UnverifiedDocument,
    keys_of_signatures,
    payload_hash,
    signing_input,
    statement_hash,
)
from countermark_protocol.errors import SignatureError
from countermark_protocol.identifiers import KeyId
from countermark_protocol.keys import Algorithm, PublicKey

#: Of one signature: algorithm, key id, purpose, the signature itself, the raw public key. Plain values go to another
#: process in half the time that objects take.
Signed = tuple[int, bytes, int, bytes, bytes]
#: Of one document: its payload and signatures.
Job = tuple[bytes, tuple[Signed, ...]]
#: (code, message) of the first signature that does not verify; None where all do.
Verdict = tuple[str, str] | None
#: ``get()``: the verdicts of a page, in order.
Pending = Callable[[], list[Verdict]]
#: Below this, handing over costs more than it saves.
_LEAST: Final = 32


class Signatures:
    """Verifies signatures in processes of its own.

    Args:
        processes: how many; 0 verifies here; None takes as many as there are processors.
    """

    def __init__(self, processes: int | None = None) -> None:
        self._processes = len(os.sched_getaffinity(0)) if processes is None else processes
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def warm(self) -> None:
        """Start the processes, which takes a moment, before there is anything to verify."""
        if self._processes:
            for _ in range(self._processes):
                self._started().submit(verify_jobs, [])

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # Not forked: this process may have threads and an open database.
            self._pool = ProcessPoolExecutor(
                self._processes, mp_context=multiprocessing.get_context("spawn"), initializer=_begin
            )
        return self._pool

    def start(
        self, documents: Sequence[UnverifiedDocument], resolve: Callable[[KeyId], PublicKey | None]
    ) -> Pending:
        """Begin to verify the signatures of some documents.

        Args:
            documents: parsed.
            resolve: gives the public key of a key id, or None. It need not be trusted: the id binds the key.

        Returns:
            A function that waits for the verdicts and returns them.
        """
        found = [_signed(document, resolve) for document in documents]
        pending = self._submit(
            [(d.payload, f) for d, f in zip(documents, found, strict=True) if isinstance(f, tuple)]
        )

        def verdicts() -> list[Verdict]:
            done = iter(pending())
            return [next(done) if isinstance(f, tuple) else (f.code, f.message) for f in found]

        return verdicts

    def _submit(self, jobs: list[Job]) -> Pending:
        if not self._processes or len(jobs) < _LEAST:
            return lambda: verify_jobs(jobs)
        pool = self._started()
        share = -(-len(jobs) // self._processes)
        futures: list[Future[list[Verdict]]] = [
            pool.submit(verify_jobs, jobs[i : i + share]) for i in range(0, len(jobs), share)
        ]
        return lambda: [verdict for future in futures for verdict in future.result()]


def _begin() -> None:
    # Interrupting the command ends the pool; its processes need not say so too.
    import signal  # noqa: PLC0415  in the new process only

    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _signed(
    document: UnverifiedDocument, resolve: Callable[[KeyId], PublicKey | None]
) -> tuple[Signed, ...] | SignatureError:
    out: list[Signed] = []
    try:
        found = keys_of_signatures(document, resolve)
    except SignatureError as error:
        return error
    for s, key in found:
        if key.algorithm is not s.algorithm:
            return SignatureError("wrong_algorithm", f"key {s.key_id.hex()} does not use {s.algorithm.name}")
        out.append((int(s.algorithm), s.key_id, int(s.purpose), s.raw, key.raw))
    return tuple(out)


def verify_jobs(jobs: Sequence[Job]) -> list[Verdict]:
    """Verify every signature of some documents."""
    return [_verify(payload, signed) for payload, signed in jobs]


def _verify(payload: bytes, signed: tuple[Signed, ...]) -> Verdict:
    try:
        for algorithm, key_id, purpose, raw, public in signed:
            known = Algorithm(algorithm)
            message = signing_input(payload, known, key_id, Purpose(purpose))
            PublicKey(known, public).verify(message, raw)
    except SignatureError as error:
        return error.code, error.message
    return None


def as_verified(document: UnverifiedDocument) -> Document:
    """A document whose signatures were verified by `Signatures`, or whose failure was taken down."""
    return Document(
        data=document.data,
        payload=document.payload,
        claims=document.claims,
        signers=tuple([(s.purpose, s.key_id) for s in document.counted]),
        payload_hash=payload_hash(document.payload),
        statement_hash=statement_hash(document.data),
    )
