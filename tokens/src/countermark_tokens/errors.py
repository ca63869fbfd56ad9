"""What can go wrong with a token, beside the errors of the protocol."""

from __future__ import annotations

from typing import ClassVar

from countermark_protocol.errors import CountermarkError


class TokenError(CountermarkError):
    """A key in a token cannot be reached or used as it is; nothing was signed."""

    hint: ClassVar[str] = "docs/operations/keys-in-tokens.md tells what to do about each code"
