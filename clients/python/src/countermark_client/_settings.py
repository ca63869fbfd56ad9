"""Settings of a client: bounds and patience, with the reason for each default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from countermark_protocol.bulk import MAX_BULK_SUBMISSIONS

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
        bulk_count: messages in one request, at most; more wait for its answer. Bounds what a cut connection makes to
            be sent again.
        bulk_bytes: bytes of messages in one request, at most, unless a single one is larger; bounds memory.
        outbox_kept_for: ms that signed bytes and stanzas are kept once a published checkpoint covers them: 30 days
            (design section 4, lost tail).
        page_size: entries asked for in one page of a box.
        renew_before: ms before the end of its keys from which a running client renews them, where it holds the
            administrator's key; 0 to leave that to people.
        warn_before: ms before the end of its keys from which it warns.
        key_validity: ms that keys count which a renewal makes. A year: short enough that the way is known.
        key_overlap: ms that the keys before them still count, for what is in flight or waits without a line.
        keep_attachments: whether sealed pieces of attachments stay in the profile, as the sealed originals of messages
            do: of sent ones for disclosures and to be sent anew, of fetched ones to be opened without a line. If not,
            those of a sent message go with its stanzas (`outbox_kept_for`), those of a fetched file once it is
            written.
        cut_off: this post has no line: nothing is asked of the broker, what is signed waits in the outbox for a
            bundle, and the inbox gives what bundles brought.
    """

    max_checkpoint_age: int = 15 * MINUTE_MS
    sync_interval: int = MINUTE_MS
    attempts: int = 5
    backoff_seconds: float = 0.5
    backoff_limit_seconds: float = 30.0
    timeout_seconds: float = 30.0
    page_size: int = 100
    bulk_count: int = 256
    bulk_bytes: int = 16 * 1024 * 1024
    outbox_kept_for: int = 30 * DAY_MS
    renew_before: int = 30 * DAY_MS
    warn_before: int = 30 * DAY_MS
    key_validity: int = 365 * DAY_MS
    key_overlap: int = 30 * DAY_MS
    cut_off: bool = False
    keep_attachments: bool = True

    def __post_init__(self) -> None:
        """Refuse what would be unsafe or never end (ValueError)."""
        if not 0 < self.max_checkpoint_age <= DAY_MS:
            msg = "max_checkpoint_age must be from 1 ms to 24 hours"
            raise ValueError(msg)
        if (
            not 1 <= self.bulk_count <= MAX_BULK_SUBMISSIONS
            or self.bulk_bytes < 1
            or self.outbox_kept_for < 0
        ):
            msg = (
                f"bulk_count must be from 1 to {MAX_BULK_SUBMISSIONS}, bulk_bytes at least 1, outbox_kept_for not "
                "negative"
            )
            raise ValueError(msg)
        if (
            min(self.renew_before, self.warn_before) < 0
            or not 0 < self.key_overlap < self.key_validity
            or self.renew_before >= self.key_validity
        ):
            msg = (
                "renew_before and warn_before must not be negative; key_overlap and renew_before must be shorter than "
                "key_validity"
            )
            raise ValueError(msg)
        if self.attempts < 1 or not 1 <= self.page_size <= 500 or self.sync_interval < 0:
            msg = "attempts must be at least 1, page_size from 1 to 500, sync_interval not negative"
            raise ValueError(msg)
