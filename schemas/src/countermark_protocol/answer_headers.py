"""Headers that every HTTP answer of broker and witness bears: for browsers that get to see one, and for caches.

Nothing here is a page. A browser that is led to an answer must run, frame, embed or remember nothing of it.
``Strict-Transport-Security`` is the front's, which ends TLS (docker/haproxy.cfg).

Source: docs/spec/api.md §1.7; RFC 9111; W3C Content Security Policy 3.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_POLICY: Final = b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", _POLICY),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
#: Where an answer does not say for itself: most are for one caller alone.
NOT_KEPT: Final = (b"cache-control", b"no-store")


def with_security_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Headers of an answer with `SECURITY_HEADERS`, and `NOT_KEPT` where they say nothing of caches."""
    given = list(headers)
    if not any(name.lower() == NOT_KEPT[0] for name, _ in given):
        given.append(NOT_KEPT)
    return [*given, *SECURITY_HEADERS]
