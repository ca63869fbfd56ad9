"""Messages as a client holds them, made by hand: for tests of what is computed from them."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any

from countermark_client._compose import default_handling
from countermark_client._models import ConversationItem
from countermark_protocol.claims import Header, Kind, Seen
from countermark_protocol.identifiers import Address, Origin, make_message_id
from countermark_protocol.manifest import Manifest, SealedContent, Urgency
from countermark_protocol.registry import validate_content
from countermark_protocol.verdicts import SignatureVerdict, VerdictClass

DAY_MS = 86_400_000
NOON = int(dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC).timestamp() * 1000)


class Store:
    """Makes items in log order; each is one day later than the one before, unless told otherwise."""

    def __init__(self) -> None:
        self.items: list[ConversationItem] = []

    def add(
        self,
        sender: str,
        message_type: str,
        document: dict[str, Any] | None,
        *,
        reply_to: ConversationItem | None = None,
        supersedes: ConversationItem | None = None,
        day: dt.date | None = None,
        **changes: Any,
    ) -> ConversationItem:
        """One message more; `document` None stands for content that is not opened here."""
        index = len(self.items) + 1
        payload = hashlib.sha256(f"message {index}".encode()).digest()
        time = NOON + index * DAY_MS
        if day is not None:
            time = int(dt.datetime(day.year, day.month, day.day, 12, tzinfo=dt.UTC).timestamp() * 1000)
        manifest = Manifest(
            header=Header(Kind.MESSAGE, Origin("log.test/countermark"), Seen(0, bytes(32))),
            id=make_message_id(time, payload[:10]),
            type=message_type,
            version=1,
            sender=Address(sender),
            recipient_count=1,
            recipient_root=bytes(32),
            recipients_visible=True,
            sent_at=time,
            expires_at=time + 30 * DAY_MS,
            urgency=Urgency.ROUTINE,
            handling=default_handling(time),
            exercise=changes.pop("exercise", False),
            content=SealedContent(bytes(32), 1, bytes(32)),
            conversation=(reply_to.manifest.conversation or reply_to.message) if reply_to else None,
            in_reply_to=reply_to.message if reply_to else None,
            supersedes=supersedes.message if supersedes else None,
            on_behalf_of=changes.pop("on_behalf_of", None),
        )
        values: dict[str, Any] = {
            "message": payload,
            "direction": "in",
            "manifest": manifest,
            "content": None if document is None else validate_content(message_type, 1, document),
            "index": index,
            "time": time,
            "stage": "accepted",
            "reason": None,
            "successor": None,
            "undelivered": 0,
            "late": 0,
            "verdict": SignatureVerdict(VerdictClass.VALID, payload),
        }
        item = ConversationItem(**(values | changes))
        self.items.append(item)
        return item
