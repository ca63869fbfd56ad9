"""Decisions about requests, apart from any server: each takes what a request says, and allows it or refuses it.

Source: OWASP Cross-Site Request Forgery Prevention Cheat Sheet (verify the origin; a token per session);
OWASP HTTP Headers Cheat Sheet.
"""

from __future__ import annotations

import hmac
from collections.abc import Set as AbstractSet
from typing import Final
from urllib.parse import urlsplit

from countermark_console.errors import DeniedError
from countermark_console.texts import N_

#: Methods that change nothing (RFC 9110 §9.2.1).
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

#: Everything comes from this origin; nothing is inline; no page can be framed.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "object-src 'none'"
)

_HEADERS: Final = (
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    # Not "no-referrer", under which browsers hide the origin from the console's own forms too.
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(self), geolocation=(), microphone=(), payment=(), usb=()"),
)
_TLS_HEADERS: Final = (("strict-transport-security", "max-age=31536000"),)
#: Pages hold what was decrypted: no cache keeps them.
_PRIVATE: Final = (("cache-control", "no-store"),)
_PUBLIC: Final = (("cache-control", "public, max-age=3600"),)


def answer_headers(path: str, *, secure: bool) -> tuple[tuple[str, str], ...]:
    """Headers of every answer.

    Args:
        path: of the request.
        secure: whether browsers come over TLS.
    """
    cache = _PUBLIC if path.startswith("/static/") else _PRIVATE
    return (*_HEADERS, *(_TLS_HEADERS if secure else ()), *cache)


def check_host(host: str, origins: AbstractSet[str]) -> None:
    """Whether a request names this console: another name may be an attack by DNS rebinding.

    Raises:
        DeniedError: ``other_host``.
    """
    if host.lower() not in {urlsplit(origin).netloc for origin in origins}:
        raise DeniedError("other_host", N_("This console is not reached under that address"))


def check_origin(method: str, origin: str | None, fetch_site: str | None, origins: AbstractSet[str]) -> None:
    """Whether a request that changes something comes from a page of this console.

    Args:
        method: of the request.
        origin: header Origin; browsers send it with every such request.
        fetch_site: header Sec-Fetch-Site.
        origins: of this console.

    Raises:
        DeniedError: ``other_origin``.
    """
    if method in SAFE_METHODS:
        return
    if origin not in origins or fetch_site not in {None, "same-origin"}:
        raise DeniedError("other_origin", N_("That request did not come from a page of this console"))


def check_form_token(expected: str, given: str | None) -> None:
    """Whether a form carries the token of the session it was shown to.

    Raises:
        DeniedError: ``stale_form``.
    """
    if not given or not hmac.compare_digest(expected.encode(), given.encode()):
        raise DeniedError(
            "stale_form", N_("That page was too old, or not yours. Go back, load it anew and try again")
        )


def local_path(target: str) -> str:
    """Where to go after sign-in: a path of this console, whatever was asked for."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc or not target.startswith("/") or target.startswith(("//", "/\\")):
        return "/"
    if any(ord(letter) < 33 or letter == "\\" for letter in target):  # blanks and controls
        return "/"
    return target
