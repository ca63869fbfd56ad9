"""Errors that only a running broker knows, beside those of the protocol.

`FatalError` is deliberately outside the protocol's tree: it is no answer to a request. It means that the
broker no longer knows its own state, so it stops appending until a person has looked (``doctor``).

Source: docs/spec/api.md §5; docs/operations/running-a-broker.md.
"""

from __future__ import annotations

from countermark_protocol.errors import CountermarkError


class BrokerError(CountermarkError):
    """Base of the errors of a running broker that are answers to a request."""

    hint = "see docs/errors.md for this code"


class OverloadedError(BrokerError):
    """There is more to do than fits in memory; nothing was stored."""

    hint = "wait as Retry-After says, then send the same bytes again"


class QuotaExceededError(OverloadedError):
    """An endpoint has sent as much as it may for the moment; nothing was stored."""

    hint = "wait as Retry-After says, then send the same bytes again; GET /v1/quotas shows what is left"


class UnavailableError(BrokerError):
    """The broker cannot append or read at the moment; whether a statement was logged may be unknown."""

    hint = (
        "wait as Retry-After says, then send the same bytes again: what was logged is answered with its proof"
    )


class NotStorableError(BrokerError):
    """The database does not take this one statement; nothing was stored, and others were not touched."""

    hint = (
        "tell the operator of the broker, with the code and the time: this is a gap in the checks before it"
    )


class ConfigurationError(BrokerError):
    """The settings or files of this broker are not usable as they are."""

    hint = "correct the setting or file that is named, then run `countermark-broker doctor`"


class FatalError(Exception):
    """The broker's state is unknown or contradicts what it has published: appending stops.

    Args:
        code: stable code.
        message: what contradicts what.
        way_out: what a person can do about it.
    """

    def __init__(self, code: str, message: str, way_out: str) -> None:
        super().__init__(f"{message} [{code}]")
        self.code = code
        self.message = message
        self.way_out = way_out
