"""Files of messages as this profile holds them: what is told of them, and their plaintext out of sealed pieces.

Nothing here waits or connects: pieces that are not here are fetched first (`_fetching`).
"""

from __future__ import annotations

from collections.abc import Iterator

from countermark_client._models import Attachment
from countermark_client._open import Opened, manifest_of
from countermark_client._session import Session
from countermark_client._store import StoredMessage
from countermark_client.attaching import PreparedAttachment
from countermark_client.errors import StorageError
from countermark_protocol.errors import SealError
from countermark_protocol.receipts import RejectionReason
from countermark_protocol.sealed_attachments import attachment_key, open_attachment


def attachments_of(session: Session, stored: StoredMessage, opened: Opened | None) -> tuple[Attachment, ...]:
    """What a message says of its files, and whether they are here; nothing while it does not open."""
    if opened is None:
        return ()
    return tuple(
        Attachment.described(number, one, held=_held(session, stored, number))
        for number, one in enumerate(opened.attachments)
    )


def _held(session: Session, stored: StoredMessage, number: int) -> bool:
    digests = session.store.pieces(stored.payload, stored.direction, number)
    return bool(digests) and all(map(session.profile.pieces.held, digests))


def opened_blocks(session: Session, stored: StoredMessage, opened: Opened, number: int) -> Iterator[bytes]:
    """The plaintext of a file; provisional until the iterator ends.

    Args:
        session: of the profile.
        stored: the message.
        opened: the same, opened.
        number: of the attachment.

    Raises:
        SealError: ``attachment_unopenable``: its sender sealed another file than it describes.
        StorageError: ``piece_not_held``, ``piece_damaged``.
    """
    named = manifest_of(stored).attachments[number]
    digests = session.store.pieces(stored.payload, stored.direction, number)
    if not digests:
        raise StorageError("piece_not_held", "the attachment is not in this profile: fetch it")
    try:
        yield from open_attachment(
            attachment_key(opened.secrets, number),
            named,
            digests,
            opened.attachments[number],
            map(session.profile.pieces.read, digests),
        )
    except SealError as error:
        # Each piece is the one that the sender's signed manifest names: what is wrong in it is the sender's doing.
        ground = RejectionReason.UNOPENABLE
        if error.code in {"file_mismatch", "attachment_size"}:
            ground = RejectionReason.COMMITMENT_MISMATCH
        raise SealError(
            "attachment_unopenable",
            f"attachment {number} does not open to the file that its sender describes ({error.message}): nothing of it "
            f"was written; reject the message with the reason '{ground.value}'",
            attachment=number,
            reason=error.code,
            reject_as=ground.value,
        ) from error


def kept_attachments(
    session: Session, stored: StoredMessage, opened: Opened
) -> tuple[PreparedAttachment, ...]:
    """The files of a message of one's own, to be sent once more, out of its sealed pieces."""

    def prepared(number: int) -> PreparedAttachment:
        one = opened.attachments[number]
        return PreparedAttachment(
            name=one.name,
            media_type=one.media_type,
            size=one.size,
            sha256=one.sha256.hex(),
            caption=one.caption,
            thumbnail=one.thumbnail,
            original_sha256=one.sha256.hex(),
            warnings=(),
            source=lambda: opened_blocks(session, stored, opened, number),
        )

    return tuple(map(prepared, range(len(opened.attachments))))
