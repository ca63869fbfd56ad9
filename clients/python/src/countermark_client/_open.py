"""Opening what was received, or sent by oneself: from the sealed original to a typed content.

What is wrong with a message is its sender's fault only if the broker delivered exactly what the sender
signed; a stanza or ciphertext that is not the one named is the broker's, and never leads to a rejection.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from countermark_client import _contents
from countermark_client._session import Session
from countermark_client._store import StoredMessage
from countermark_protocol.descriptors import AttachmentDescriptor
from countermark_protocol.documents import parse_document
from countermark_protocol.encoding import JsonObject, parse_json
from countermark_protocol.errors import (
    CountermarkError,
    MalformedError,
    NotFoundError,
    SealError,
    UncheckableError,
)
from countermark_protocol.manifest import Manifest, parse_manifest
from countermark_protocol.parts import Part, join_all_parts
from countermark_protocol.proof import parse_recipient
from countermark_protocol.receipts import RejectionReason
from countermark_protocol.sealing import ContentSecrets, MessageBinding, open_content, unwrap_secrets


class UnacceptableError(Exception):
    """A message that its sender spoilt; becomes a signed rejection.

    Attributes:
        reason: from the closed list.
        details: for the sender: what was expected and the form of what came, never a value.
        commitment_checked: whether the opened content was the one committed to.
    """

    def __init__(self, reason: RejectionReason, details: JsonObject, *, commitment_checked: bool) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.details = details
        self.commitment_checked = commitment_checked


@dataclass(frozen=True, slots=True)
class Opened:
    """What a message holds.

    Attributes:
        content: typed.
        attachments: what it says of each of its files, in the manifest's order.
        secrets: that opened it, and open them.
    """

    content: _contents.Message
    attachments: tuple[AttachmentDescriptor, ...]
    secrets: ContentSecrets = field(repr=False)


def manifest_of(stored: StoredMessage) -> Manifest:
    """The manifest of a kept message."""
    return parse_manifest(parse_document(stored.document).claims)


def binding_of(manifest: Manifest) -> MessageBinding:
    """What a message's stanzas are bound to."""
    return MessageBinding(
        log=manifest.header.log,
        message_id=manifest.id,
        type=manifest.type,
        sender=manifest.sender,
        ciphertexts=manifest.ciphertexts,
    )


def open_received(session: Session, stored: StoredMessage) -> Opened:
    """Open and validate a received message.

    Raises:
        UnacceptableError: its sender spoilt it.
        SealError: ``content_swapped``: the broker served another ciphertext than the one signed for.
        UncheckableError: ``sealing_key_missing``: this instance does not hold the key.
    """
    manifest = manifest_of(stored)
    assert stored.stanza is not None
    assert stored.content is not None
    assert stored.recipient is not None
    row = parse_recipient(parse_json(stored.recipient))
    try:
        key = session.profile.keystore.sealing_key(row.sealing_key)
    except NotFoundError as error:
        raise UncheckableError("sealing_key_missing", error.message) from None
    info = binding_of(manifest).info(session.profile.endpoint, row.sealing_key)
    try:
        secrets = unwrap_secrets(key, info, stored.stanza)
        parts = _open(stored.content, secrets, manifest)
    except SealError as error:
        if error.code == "content_swapped":
            raise
        reason = (
            RejectionReason.COMMITMENT_MISMATCH
            if error.code == "commitment_mismatch"
            else RejectionReason.UNOPENABLE
        )
        raise UnacceptableError(reason, _details(error), commitment_checked=False) from None
    except MalformedError as error:
        raise UnacceptableError(
            RejectionReason.UNOPENABLE, _details(error), commitment_checked=False
        ) from None
    return _validate(parts, secrets, manifest)


def _open(ciphertext: bytes, secrets: ContentSecrets, manifest: Manifest) -> tuple[Part, ...]:
    return open_content(ciphertext, secrets, manifest.content)


def _validate(parts: tuple[Part, ...], secrets: ContentSecrets, manifest: Manifest) -> Opened:
    try:
        joined = join_all_parts(parts, manifest.attachments)
        message = _contents.validate_content(manifest.type, manifest.version, joined.document)
    except SealError as error:  # other attachments are described than the manifest names
        raise UnacceptableError(
            RejectionReason.MANIFEST_MISMATCH, _details(error), commitment_checked=True
        ) from None
    except UncheckableError as error:
        raise UnacceptableError(
            RejectionReason.UNKNOWN_VERSION, _details(error), commitment_checked=True
        ) from None
    except MalformedError as error:
        raise UnacceptableError(
            RejectionReason.INVALID_CONTENT, _details(error), commitment_checked=True
        ) from None
    try:
        _contents.check_manifest_facts(message, manifest.stage, manifest.outcome, manifest.supersedes)
    except MalformedError as error:
        raise UnacceptableError(
            RejectionReason.MANIFEST_MISMATCH, _details(error), commitment_checked=True
        ) from None
    return Opened(message, joined.attachments, secrets)


def _details(error: CountermarkError) -> JsonObject:
    out: JsonObject = {"code": error.code, "message": error.message}
    violations = error.facts.get("violations")
    if violations:
        out["violations"] = violations
    return out


def open_own(session: Session, stored: StoredMessage, ciphertext: bytes) -> Opened | None:
    """Open a message that this profile sent itself; None where it keeps no stanza that opens."""
    if stored.stanza is None:
        return None
    manifest = manifest_of(stored)
    for key in session.profile.keystore.sealing_keys():
        info = binding_of(manifest).info(manifest.sender, key.public_key.key_id)
        with contextlib.suppress(SealError):
            secrets = unwrap_secrets(key, info, stored.stanza)
            joined = join_all_parts(_open(ciphertext, secrets, manifest), manifest.attachments)
            content = _contents.validate_content(manifest.type, manifest.version, joined.document)
            return Opened(content, joined.attachments, secrets)
    return None
