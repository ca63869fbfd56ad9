"""A bulk submission as so many calls: each verdict is recorded when its line arrives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import httpx

from countermark_protocol.bulk import BulkReader, BulkVerdict, encode_frames
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import CountermarkError
from fault.history import Action, Call, Intent
from support.broker_fixtures import AUTHORITY
from support.world import now_ms

if TYPE_CHECKING:
    from fault.client import Client

TARGET = "/v1/messages/bulk"
#: The last line of a stream that ends early is a problem of the whole request: nothing is known of the rest.
_NOT_KNOWN = 503


def call_bulk(client: Client, submissions: Sequence[tuple[bytes, Intent]]) -> list[Call]:
    """Submit in one request; one call for each submission, those without a verdict unanswered."""
    recorder, url, began_at = client.load.recorder, client.url(), now_ms()
    began = [recorder.number() for _ in submissions]
    verdicts: list[tuple[int, int, bytes]] = []
    try:
        _stream(client, submissions, verdicts)
    except (httpx.HTTPError, CountermarkError):
        client.fail_over()
    calls = []
    for i, (body, intent) in enumerate(submissions):
        ended, status, answer = verdicts[i] if i < len(verdicts) else (recorder.number(), None, b"")
        call = Call(
            client.name, Action.MESSAGE, intent, began[i], ended, TARGET, None, b"", body, status, answer,
            url, began_at, now_ms(),
        )  # fmt: skip
        recorder.add(call)
        calls.append(call)
    return calls


def _stream(
    client: Client, submissions: Sequence[tuple[bytes, Intent]], verdicts: list[tuple[int, int, bytes]]
) -> None:
    reader = BulkReader(len(submissions))
    body = encode_frames(data for data, _ in submissions)
    with client.http().stream("POST", TARGET, content=body, headers={"Host": AUTHORITY}) as answer:
        if answer.status_code != 200:
            client.fail_over()
            if answer.status_code not in {429, _NOT_KNOWN}:
                msg = f"a bulk submission was answered {answer.status_code}: {answer.read()[:300]!r}"
                raise AssertionError(msg)
            return
        for line in answer.iter_lines():
            verdict = reader.take(line.encode())
            if verdict is not None:
                verdicts.append((client.load.recorder.number(), verdict.status, _single(verdict)))


def _single(verdict: BulkVerdict) -> bytes:
    """The verdict as the answer that the submission alone would have had."""
    if verdict.accepted is not None:
        return encode_json(verdict.accepted.to_json())
    assert verdict.problem is not None
    return encode_json(verdict.problem.to_json())
