"""Errors that only a witness knows, beside those of the protocol.

Source: docs/spec/witness.md §5.
"""

from __future__ import annotations

from countermark_protocol.errors import CountermarkError


class WitnessError(CountermarkError):
    """This witness's files, settings or clock are not usable as they are."""

    hint = "correct what is named; docs/howto/run-a-witness.md says how"
