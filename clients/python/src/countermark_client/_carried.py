"""Answers out of a bundle in the place of a broker: the same flows, the same checks, no network.

Source: docs/spec/bundle.md §4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from countermark_client._io import Flow, Request, Response
from countermark_client._settling import ACT, MESSAGE, RECEIPT
from countermark_protocol.bundle import Item
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import TransportError

T = TypeVar("T")

MESSAGES_PATH = "/v1/messages"
RECEIPTS_PATH = "/v1/receipts"
ACTS_PATH = "/v1/acts"
#: Where a statement of the outbox is posted, by its kind.
PATHS = {MESSAGE: MESSAGES_PATH, RECEIPT: RECEIPTS_PATH, ACT: ACTS_PATH}


def posted(path: str, payload: bytes) -> str:
    """What a bundle names the answer to a posted statement by.

    Args:
        path: it is posted to.
        payload: its payload hash, 32 bytes.
    """
    return f"POST {path} {payload.hex()}"


def asked(path: str, query: str = "") -> str:
    """What a bundle names the answer to a question by."""
    return f"GET {path}?{query}" if query else f"GET {path}"


class Carried:
    """The answers of one bundle.

    Args:
        items: of a bundle *back*.

    Raises:
        MalformedError: ``bundle_target``: two answers to one question.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self._answers = {item.target: item for item in items}
        if len(self._answers) != len(items):
            malformed("bundle_target", "the bundle answers one question twice")

    def answer(self, target: str) -> Item | None:
        """The answer to a question, or None."""
        return self._answers.get(target)

    def _perform(self, request: Request) -> Response:
        found = self.answer(asked(request.path, request.query)) if request.method == "GET" else None
        if found is None:
            raise TransportError(
                "not_carried", f"the bundle brings no answer to {request.method} {request.path}"
            )
        return Response(found.status, {}, found.body)

    def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end on these answers alone.

        Raises:
            TransportError: ``not_carried``: it asks for what the bundle does not bring.
            CountermarkError: as the flow.
        """
        try:
            effect = next(flow)
            while True:
                if not isinstance(effect, Request):
                    effect = flow.send(None)  # nothing is waited for: a bundle answers at once or never
                    continue
                try:
                    response = self._perform(effect)
                except TransportError as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(response)
        except StopIteration as stop:
            value: T = stop.value
            return value
        finally:
            flow.close()
