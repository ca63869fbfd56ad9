"""Nonces of signed requests that change something beyond a statement: each is good once.

Spent in the transaction of the change itself: what was rolled back may be sent again, what was committed never.

Source: docs/spec/api.md §2.4; RFC 9421 §7.2.2.
"""

from __future__ import annotations

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from countermark_broker.store.engine import Connection
from countermark_broker.store.tables import nonces
from countermark_protocol.errors import SignatureError


def spend_nonce(connection: Connection, key: bytes, nonce: bytes, until: int) -> None:
    """Spend a nonce; the transaction must be the one that makes the change.

    Args:
        connection: in a writing transaction.
        key: id of the key that signed, 32 bytes.
        nonce: 16 bytes.
        until: ms since 1970 from which on the request is refused as too old anyway.

    Raises:
        SignatureError: ``replayed_request``: a request with this nonce changed something already.
    """
    try:
        # In a savepoint: PostgreSQL would take no further statement after a failed one.
        with connection.begin_nested():
            connection.execute(insert(nonces).values(key=key, nonce=nonce, until=until))
    except IntegrityError:
        raise SignatureError(
            "replayed_request",
            "this signed request was taken already: sign a new one, with a nonce of its own",
        ) from None


def sweep_nonces(connection: Connection, now: int) -> None:
    """Forget the nonces of requests that are too old by now."""
    connection.execute(delete(nonces).where(nonces.c.until < now))


def has_old_nonces(connection: Connection, now: int) -> bool:
    """Whether there is anything to sweep."""
    return connection.execute(select(nonces.c.key).where(nonces.c.until < now).limit(1)).first() is not None
