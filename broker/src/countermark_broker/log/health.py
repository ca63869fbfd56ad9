"""Whether this node may go on: one fatal finding stops all appending until a person has looked."""

from __future__ import annotations

import logging

from countermark_broker.errors import FatalError, UnavailableError

_log = logging.getLogger(__name__)


class Health:
    """Remembers the first fatal finding.

    Args:
        read_only: this node never appends: it serves a log that another operator writes.
    """

    def __init__(self, *, read_only: bool = False) -> None:
        self.read_only = read_only
        self.fatal: FatalError | None = None
        self.stopping = False

    def fail(self, error: FatalError) -> None:
        """Stop appending for good."""
        if self.fatal is None:
            self.fatal = error
            _log.critical("fatal: %s; %s", error, error.way_out)

    def check(self) -> None:
        """Refuse to go on after a fatal finding, or while stopping.

        Raises:
            UnavailableError: ``fatal_state`` or ``stopping``.
        """
        self.check_fatal()
        if self.stopping:
            raise UnavailableError("stopping", "this node is stopping: send the same bytes to another one")

    def check_appends(self) -> None:
        """As `check`, and refuse where this node only reads.

        Raises:
            UnavailableError: ``fatal_state``, ``stopping`` or ``read_only``.
        """
        self.check()
        if self.read_only:
            raise UnavailableError(
                "read_only", "this node only serves what is logged: send to the log's operator"
            )

    def check_fatal(self) -> None:
        """Refuse to go on after a fatal finding.

        Raises:
            UnavailableError: ``fatal_state``.
        """
        if self.fatal is not None:
            raise self.fatal_answer()

    @staticmethod
    def fatal_answer() -> UnavailableError:
        """What callers are told: nothing of the finding itself."""
        return UnavailableError(
            "fatal_state", "this broker has stopped appending until its operator has looked at its state"
        )
