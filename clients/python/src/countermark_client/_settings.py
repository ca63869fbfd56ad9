"""Settings of a client: bounds and patience, with the reason for each default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MINUTE_MS: Final = 60_000
DAY_MS: Final = 24 * 60 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Settings:
    """How a client behaves.

    Attributes:
        max_checkpoint_age: ms; on an older checkpoint nothing is sent. 15 minutes; up to 24 hours for posts
            that are often cut off (design section 5).
        sync_interval: ms after which the directory is read again before sending: a connected client sees a
            revocation within 60 s.
        attempts: how often a request is tried while the other side is away or overloaded.
        backoff_seconds: wait before the second try; doubled each time, with up to half of it added at random.
        backoff_limit_seconds: longest wait between two tries.
        timeout_seconds: for an answer, beyond the time that a long-poll asks for.
        page_size: entries asked for in one page of a box.
    """

    max_checkpoint_age: int = 15 * MINUTE_MS
    sync_interval: int = MINUTE_MS
    attempts: int = 5
    backoff_seconds: float = 0.5
    backoff_limit_seconds: float = 30.0
    timeout_seconds: float = 30.0
    page_size: int = 100

    def __post_init__(self) -> None:
        """Refuse what would be unsafe or never end (ValueError)."""
        if not 0 < self.max_checkpoint_age <= DAY_MS:
            msg = "max_checkpoint_age must be from 1 ms to 24 hours"
            raise ValueError(msg)
        if self.attempts < 1 or not 1 <= self.page_size <= 500 or self.sync_interval < 0:
            msg = "attempts must be at least 1, page_size from 1 to 500, sync_interval not negative"
            raise ValueError(msg)
