"""Signed requests that change something beyond a statement: taken once, by the database's clock.

Source: docs/spec/api.md §2.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from countermark_broker.services.node import Caller, Node
from countermark_broker.store.engine import Connection, database_now
from countermark_broker.store.nonces import spend_nonce
from countermark_protocol.errors import SignatureError
from countermark_protocol.identifiers import KeyId


@dataclass(frozen=True, slots=True)
class Signed:
    """A verified request that wants to change something, whoever signed it.

    Attributes:
        key: id of the key that signed.
        nonce: 16 bytes.
        created: when it was signed, seconds since 1970.
    """

    key: KeyId
    nonce: bytes
    created: int


@dataclass(frozen=True, slots=True)
class Change(Signed):
    """The same, signed by an endpoint's instance key.

    Attributes:
        caller: whose.
    """

    caller: Caller


def begin_change(node: Node, connection: Connection, change: Signed) -> int:
    """Spend the request's nonce in the transaction that makes its change; the database's time, ms since 1970.

    Its age is judged once more, by the clock that all nodes share: else a node whose clock is behind would take a
    request whose nonce is forgotten already.

    Raises:
        SignatureError: ``replayed_request`` or ``request_too_old``.
        UnavailableError: this node writes nothing: it only reads, is stopping, or waits for a person.
    """
    node.health.check_appends()
    settings = node.settings
    now = database_now(connection)
    until = (change.created + 1 + settings.request_age_s) * 1000 + settings.clock_difference_ms
    if now > until:
        raise SignatureError(
            "request_too_old", "the request is too old by the database's clock: sign it again"
        )
    spend_nonce(connection, change.key, change.nonce, until)
    return now
