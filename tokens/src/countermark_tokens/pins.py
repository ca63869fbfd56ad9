"""Where a token's PIN comes from: a file, or a variable of the environment. Never a default, never a URI."""

from __future__ import annotations

import os
from collections.abc import Mapping

from countermark_tokens.errors import TokenError
from countermark_tokens.uri import TokenUri


def find_pin(uri: TokenUri, variable: str, environ: Mapping[str, str] | None = None) -> str | None:
    """The PIN of a token from the file that its URI names, else from the environment; None if it is in neither.

    Args:
        uri: of the token or of a key in it.
        variable: of the environment.
        environ: the process's own if None.

    Raises:
        TokenError: ``no_pin``: the file cannot be read or is empty.
    """
    if uri.pin_source is None:
        return (os.environ if environ is None else environ).get(variable) or None
    try:
        pin = uri.pin_source.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        pin = ""
    if not pin:
        raise TokenError("no_pin", f"the PIN file {uri.pin_source} cannot be read or is empty")
    return pin


def read_pin(uri: TokenUri, variable: str, environ: Mapping[str, str] | None = None) -> str:
    """As `find_pin`, where there must be one.

    Raises:
        TokenError: ``no_pin``.
    """
    pin = find_pin(uri, variable, environ)
    if pin is None:
        raise TokenError(
            "no_pin", f"the PIN of the {uri} is wanted: give pin-source=file:… in the URI, or set {variable}"
        )
    return pin
