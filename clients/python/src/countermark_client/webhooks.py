"""What a receiver of webhooks needs: one function that checks a request, and raises unless it is a true look.

It needs neither profile nor network, so the receiver can stand outside, away from all keys: it only has to wake
somebody who holds them.

    look = webhooks.verify(request.headers, body, keys, endpoint="ke.police.nairobi")
    wake_workers(look.box)

Source: docs/spec/api.md §6; docs/howto/webhooks.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from countermark_protocol.identifiers import parse_address
from countermark_protocol.webhooks import (
    TOLERANCE_S,
    Look,
    Webhook,
    parse_look,
    parse_webhook_key,
    verify_look,
)

__all__ = ["Look", "Webhook", "verify"]


def verify(
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
    body: bytes,
    keys: Iterable[str],
    *,
    endpoint: str,
    tolerance_seconds: int = TOLERANCE_S,
    now_seconds: int | None = None,
) -> Look:
    """Check that a request is a look by the broker, for this endpoint, made just now.

    Args:
        headers: of the request; names in any case.
        body: exact bytes as received.
        keys: ``whpk_…``, from `Client.webhook_keys` or ``countermark webhook show``: never from the request.
        endpoint: the address whose looks are awaited.
        tolerance_seconds: how far the broker's clock and this one's may be apart.
        now_seconds: seconds since 1970; the machine's clock if None.

    Returns:
        Which box moved. The same look may come more than once, with the same id.

    Raises:
        SignatureError: not signed by one of the keys, too old, from the future, or for another endpoint.
        MalformedError: no webhook, or a key that is none.
        UncheckableError: no key was given.

    Does not prove: that the box holds anything new. Read it.
    """
    return verify_look(
        parse_look(headers, body),
        [parse_webhook_key(key) for key in keys],
        endpoint=parse_address(endpoint),
        now_seconds=int(time.time()) if now_seconds is None else now_seconds,
        tolerance_seconds=tolerance_seconds,
    )
