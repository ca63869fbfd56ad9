"""One client of the load: it signs, calls, and records every call and what came of it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx

from countermark_protocol.identifiers import Address
from fault.history import Action, Call, Intent
from support.api_client import ApiClient
from support.broker_fixtures import AUTHORITY
from support.world import now_ms

if TYPE_CHECKING:
    from fault.load import Load

#: A call that takes longer has not been answered.
TIMEOUT_S = 6.0
#: A client that is not answered for so long gives up, and the round has failed.
PATIENCE_S = 60.0
PAUSE_S = 0.03
LONGEST_PAUSE_S = 0.3
#: Answers after which the same is sent again.
RETRY = frozenset({None, 429, 503})
_CLOCK_CODES = (b'"request_too_old"', b'"request_from_future"')


class Client:
    """One client: signs, calls, records.

    Args:
        load: whose.
        name: of the client; its dice fall by it and the round's seed.
    """

    def __init__(self, load: Load, name: str) -> None:
        self.load, self.name = load, name
        self.dice = random.Random(f"{load.seed} {name}")
        self._open: dict[str, ApiClient] = {}
        self._turn = self.dice.randrange(1 << 16)

    def close(self) -> None:
        """Close its connections."""
        for client in self._open.values():
            client.close()

    def chance(self, percent: int) -> bool:
        """Throw the dice."""
        return self.dice.randrange(100) < percent

    def url(self) -> str:
        """The node whose turn it is."""
        return self.load.urls[self._turn % len(self.load.urls)]

    def http(self) -> httpx.Client:
        """Connections to the node whose turn it is."""
        return self._client(self.url()).http

    def fail_over(self) -> None:
        """Let the next call go to another node."""
        self._turn += 1

    def _client(self, url: str) -> ApiClient:
        if url not in self._open:
            client = ApiClient(self.load.world, url, AUTHORITY)
            client.http.timeout = httpx.Timeout(TIMEOUT_S)
            self._open[url] = client
        return self._open[url]

    def call(
        self,
        action: Action,
        target: str,
        *,
        body: bytes | None = None,
        by: str | None = None,
        key: Any = None,
        intent: Intent = Intent.GOOD,
    ) -> Call:
        """One call; after one without an answer the next goes to another node."""
        url, recorder = self.url(), self.load.recorder
        client = self._client(url)
        method = "GET" if body is None else "POST"
        headers, digest = {"Host": AUTHORITY}, b""
        if by is not None:
            signed = client.sign(method, target, body, key or self.load.world.worker(by, 0))
            headers, digest = headers | signed.headers, signed.digest
        began, began_at = recorder.number(), now_ms()
        try:
            answer = client.http.request(method, target, content=body, headers=headers)
            status, content = answer.status_code, answer.content
        except httpx.HTTPError:
            status, content = None, b""
        call = Call(
            self.name, action, intent, began, recorder.number(), target,
            Address(by) if by is not None else None, digest, body or b"", status, content,
            url, began_at, now_ms(),
        )  # fmt: skip
        recorder.add(call)
        if status in RETRY:
            self.fail_over()
        return call

    def until_answered(self, again: Callable[[], Call]) -> Call:
        """Call until there is an answer that is one."""
        deadline = time.monotonic() + PATIENCE_S
        pause = PAUSE_S
        while True:
            call = again()
            late = call.status == 401 and any(code in call.answer for code in _CLOCK_CODES)
            if call.status not in RETRY and not late:
                return call
            if time.monotonic() > deadline or self.load.given_up:
                msg = f"{self.name} was not answered for {PATIENCE_S:.0f} s: {call.status} {call.answer[:300]!r}"
                raise TimeoutError(msg)
            if late:
                self.fail_over()
            time.sleep(pause * self.dice.uniform(0.5, 1.5))
            pause = min(2 * pause, LONGEST_PAUSE_S)
