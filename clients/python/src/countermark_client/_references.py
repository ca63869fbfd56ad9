"""References: a program's own names for its messages, under which what was made first is found again.

A reference is kept in the transaction that writes its message. A backup does not hold those kept after it was made;
so the random part of a message's id is derived from its reference, with a secret that every backup holds. Of an
entry that a restored profile adopts, the id then tells under which reference it was made.

Source: docs/spec/backup.md §3; docs/spec/messages.md §2.
"""

from __future__ import annotations

import datetime as dt
import hmac
import secrets
import uuid
from dataclasses import dataclass, replace
from typing import Final

from countermark_client import _contents
from countermark_client._models import Draft, message_hash
from countermark_client._store import Store
from countermark_client.attaching import Attach, PreparedAttachment
from countermark_protocol.encoding import encode_json, labelled_hash
from countermark_protocol.errors import ConflictError
from countermark_protocol.handling import Handling
from countermark_protocol.identifiers import MessageId, make_message_id
from countermark_protocol.manifest import Urgency

#: Bytes of a UUID before its random part: the time.
_TIME_BYTES: Final = 6
_RANDOM_BYTES: Final = 10


@dataclass(frozen=True, slots=True)
class Known:
    """A message that was made under a reference.

    Attributes:
        payload: payload hash of the message, or of the one that it was made anew as.
        digest: of the draft; None of one adopted after a restore, whose draft is not known any more.
    """

    payload: bytes
    digest: bytes | None

    def check(self, draft: Draft) -> None:
        """Check that a draft is the one that the message was made of.

        Raises:
            ConflictError: ``reference_reused``.
        """
        if self.digest is None or self.digest == digest_of(draft):
            return
        if draft.attachments or self.digest != _former_digest(draft):
            raise ConflictError(
                "reference_reused",
                f"another message was sent under the reference {str(draft.reference)[:64]!r}, or the same one in "
                "another way: choose another reference",
            )


class References:
    """The references of one profile."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, reference: str | None) -> Known | None:
        """The message that was made under a reference before, or None; None too where there is no reference."""
        if reference is None:
            return None
        kept = self._store.reference(reference)
        if kept is not None:
            return Known(kept[1], kept[0])
        adopted = self._store.adopted(_tail(make_message_id(0, self.random_part(reference))))
        return Known(adopted, None) if adopted is not None else None

    def random_part(self, reference: str | None) -> bytes:
        """What makes the id of a message unique beside its time: 10 bytes."""
        if reference is None:
            return secrets.token_bytes(_RANDOM_BYTES)
        return hmac.digest(self._store.reference_secret, reference.encode(), "sha256")[:_RANDOM_BYTES]

    def adopt(self, message_id: MessageId, payload: bytes) -> None:
        """Keep what the id of a message, sent after the backup was made, tells of its reference."""
        self._store.add_adopted(_tail(message_id), payload)


def digest_of(draft: Draft) -> bytes:
    """What two drafts under one reference must have in common: all that is said in it.

    But for moments (`reply_by`, `retention_until`), which a program that begins again reckons anew; and for whom it
    leaves out: who is lost on the way is left out of the rest of a run, and what was sent before is not sent again.
    """
    said = {
        "urgency": Urgency(draft.urgency).value,
        "exercise": draft.exercise,
        "visible": draft.visible,
        "expires_in": draft.expires_in // dt.timedelta(milliseconds=1) if draft.expires_in else None,
        "handling": _handling(draft.handling) if draft.handling is not None else None,
        # Only where it is said, so that digests kept by an earlier release stay what they are.
        **({"alternates": True} if draft.alternates else {}),
    }
    if draft.attachments:
        said["attachments"] = [_attached(one) for one in draft.attachments]
    if draft.on_behalf_of is not None:
        said["on_behalf_of"] = draft.on_behalf_of
    return labelled_hash("draft", encode_json([*_whats(draft), said]))


def _attached(attachment: Attach | PreparedAttachment) -> object:
    """What was given, and not what was made of it: another release may encode a picture another way."""
    if not isinstance(attachment, PreparedAttachment):
        msg = "attachments are prepared before their draft is compared"
        raise TypeError(msg)
    as_is = attachment.sha256 == attachment.original_sha256
    return [attachment.original_sha256, attachment.name, attachment.media_type, attachment.caption, as_is]


def _former_digest(draft: Draft) -> bytes:
    """As references of earlier versions were kept."""
    return labelled_hash("draft", encode_json(_whats(draft)))


def _whats(draft: Draft) -> list[object]:
    content = (
        _contents.content_document(draft.content)
        if isinstance(draft.content, _contents.Message)
        else draft.content
    )
    refs = [message_hash(r).hex() if r is not None else None for r in (draft.in_reply_to, draft.supersedes)]
    return [draft.type, content, sorted(draft.to), refs]


def _handling(handling: Handling) -> object:
    return replace(handling, retention_until=0).to_json()


def _tail(message_id: MessageId) -> bytes:
    return uuid.UUID(message_id).bytes[_TIME_BYTES:]
