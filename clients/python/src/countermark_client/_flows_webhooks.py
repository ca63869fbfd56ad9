"""Asking the broker to tell this endpoint when its boxes move.

Source: docs/spec/api.md §6.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from countermark_client._accounts import Accounts
from countermark_client._io import Flow
from countermark_client._log import LogView
from countermark_client._session import ProblemAnswer, Session
from countermark_protocol.boxes import Box
from countermark_protocol.encoding import encode_json
from countermark_protocol.keys import Algorithm
from countermark_protocol.webhooks import Webhook, encode_webhook_key, parse_webhooks

_PATH: Final = "/v1/webhooks"
#: What there is to do for a worker: messages to it, and what became of those it sent.
DEFAULT_BOXES: Final = (Box.URGENT, Box.ROUTINE, Box.NOTICES)


class Webhooks:
    """The webhooks of one profile's endpoint."""

    def __init__(self, session: Session, log: LogView, accounts: Accounts) -> None:
        self._session = session
        self._log = log
        self._accounts = accounts

    def put(self, url: str, boxes: Sequence[Box | str]) -> Flow[tuple[Webhook, ...]]:
        """Register a URL, or set it anew."""
        body = encode_json({"url": url, "boxes": [Box(box).value for box in boxes]})
        return (yield from self._call("PUT", body=body))

    def read(self) -> Flow[tuple[Webhook, ...]]:
        """What is registered, and how it fares."""
        return (yield from self._call("GET"))

    def remove(self, url: str | None) -> Flow[tuple[Webhook, ...]]:
        """Remove one, or all."""
        return (yield from self._call("DELETE", f"url={quote(url, safe='')}" if url is not None else ""))

    def _call(self, method: str, query: str = "", body: bytes | None = None) -> Flow[tuple[Webhook, ...]]:
        signer = self._session.signer()
        try:
            response, _ = yield from self._session.call(method, _PATH, query, body=body, signer=signer)
        except ProblemAnswer as answer:
            raise (yield from self._accounts.error_of(answer)) from None
        return parse_webhooks(response.body)

    def keys(self) -> tuple[str, ...]:
        """The keys by which looks are signed: from the verified directory, never from the broker's own word."""
        directory = self._log.directory
        record = directory.keys(directory.log().broker)
        return tuple(
            encode_webhook_key(one.key)
            for one in (record.signing if record is not None else ())
            if one.key.algorithm is Algorithm.ED25519 and directory.key_stands(one.key.key_id)
        )
