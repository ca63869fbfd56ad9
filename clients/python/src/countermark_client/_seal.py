"""Sealing: from checked content to the exact bytes of a submission, once.

What is sealed once is never sealed again: the bytes made here are those that the outbox sends.

Source: docs/spec/messages.md §2 to §4; docs/spec/sealing.md.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from countermark_client import _contents
from countermark_client._addressing import LeftOut
from countermark_client._io import Flow
from countermark_client._log import LogView
from countermark_client._models import Draft, message_hash
from countermark_client._references import References
from countermark_client._revocations import Revocations
from countermark_client._sealing_files import PieceKeeper, SealedFiles, seal_files
from countermark_client._session import Session
from countermark_protocol.chunks import SALT_BYTES as CHUNK_SALT_BYTES
from countermark_protocol.claims import Header, Kind
from countermark_protocol.documents import parse_document, sign_document
from countermark_protocol.encoding import encode_json, malformed
from countermark_protocol.errors import NotFoundError
from countermark_protocol.handling import Handling
from countermark_protocol.identifiers import Address, make_message_id
from countermark_protocol.keys import PublicKey
from countermark_protocol.manifest import (
    DEFAULT_VALIDITY_MS,
    Manifest,
    ResolvedGroup,
    Urgency,
    parse_manifest,
)
from countermark_protocol.parts import split_content
from countermark_protocol.recipients import RecipientRow, order_rows, recipients_root, stanza_hash
from countermark_protocol.sealing import ContentSecrets, MessageBinding, seal_content, wrap_secrets
from countermark_protocol.submission import encode_submission
from countermark_protocol.visibility import is_visible


@dataclass(frozen=True, slots=True)
class Composed:
    """A message ready for the outbox.

    Attributes:
        payload_hash: names it, 32 bytes.
        manifest: its visible half.
        document: the signed manifest.
        recipients: to whom, in order of address.
        submission: the exact bytes to send.
        pieces: digests of the pieces of each attachment, kept in the profile (`PieceFiles`); a draft's beside it.
        own_stanza: that opens it for its sender; never sent. None without a sealing key.
        reader_stanzas: of a draft: what opens it for those that must judge it; never sent.
        left_out: whom its names led to and it does not go to.
    """

    payload_hash: bytes
    manifest: Manifest
    document: bytes
    recipients: tuple[Address, ...]
    submission: bytes
    own_stanza: bytes | None
    reader_stanzas: Mapping[Address, bytes] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    pieces: tuple[tuple[bytes, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """The message that a reply answers.

    Attributes:
        message: payload hash, 32 bytes.
        manifest: its visible half.
        conversation: payload hash of its conversation's first message, 32 bytes.
    """

    message: bytes
    manifest: Manifest
    conversation: bytes


class Sealer:
    """Seals messages of one profile."""

    def __init__(self, session: Session, log: LogView, revocations: Revocations) -> None:
        self._session = session
        self._log = log
        self._revocations = revocations
        self._references = References(session.store)

    def key_of(self, recipient: Address) -> PublicKey | None:
        """The key to seal to for a recipient now; None if there is none, or it has to be waited for."""
        return self._revocations.directory.sealing_key(recipient, self._session.clock())

    def seal(
        self,
        draft: Draft,
        message: _contents.Message,
        recipients: tuple[Address, ...],
        group: ResolvedGroup | None,
        handling: Handling,
        exercise: bool,
        target: Target | None,
        now: int,
        keeper: PieceKeeper | None = None,
    ) -> Flow[Composed]:
        """Seal and sign a message whose every part was checked (`Composer.compose`).

        The pieces of its attachments are on disk when this ends; if it does not end, they go. A draft's are kept by
        `keeper`, a message's in the profile.

        Raises:
            ConflictError: ``file_changed``.
            MalformedError: ``too_many_pieces``.
            CountermarkError: the profile's store cannot keep them.
        """
        keys = ContentSecrets(secrets.token_bytes(32), secrets.token_bytes(32))
        files = yield from seal_files(keeper or self._session.profile.pieces, draft.attachments, keys)
        try:
            return self._seal(draft, message, recipients, group, handling, exercise, target, now, keys, files)
        except BaseException:
            files.drop()
            raise

    def _seal(
        self,
        draft: Draft,
        message: _contents.Message,
        recipients: tuple[Address, ...],
        group: ResolvedGroup | None,
        handling: Handling,
        exercise: bool,
        target: Target | None,
        now: int,
        keys: ContentSecrets,
        files: SealedFiles,
    ) -> Composed:
        profile = self._session.profile
        ciphertext, sealed = seal_content(
            split_content(_contents.content_document(message), files.descriptors),
            keys,
            secrets.token_bytes(CHUNK_SALT_BYTES),
        )
        binding = MessageBinding(
            log=profile.log,
            message_id=make_message_id(now, self._references.random_part(draft.reference)),
            type=message.TYPE,
            sender=profile.endpoint,
            ciphertexts=(sealed.digest, *(named.digest for named in files.named)),
        )
        stanzas: dict[Address, bytes] = {}
        rows: list[RecipientRow] = []
        for recipient in recipients:
            key = self.key_of(recipient)
            assert key is not None  # its absence was named as a problem
            stanzas[recipient] = wrap_secrets(key, binding.info(recipient, key.key_id), keys)
            rows.append(
                RecipientRow(secrets.token_bytes(32), recipient, key.key_id, stanza_hash(stanzas[recipient]))
            )
        ordered = order_rows(rows)
        facts = _contents.manifest_facts(message)
        visible = is_visible(message.TYPE, draft.visible)
        validity = (
            draft.expires_in // dt.timedelta(milliseconds=1) if draft.expires_in else DEFAULT_VALIDITY_MS
        )
        manifest = Manifest(
            header=Header(Kind.MESSAGE, profile.log, self._log.seen),
            id=binding.message_id,
            type=message.TYPE,
            version=message.VERSION,
            sender=profile.endpoint,
            recipient_count=len(ordered),
            recipient_root=recipients_root(ordered),
            recipients_visible=visible,
            sent_at=now,
            expires_at=now + validity,
            urgency=Urgency(draft.urgency),
            handling=handling,
            exercise=exercise,
            content=sealed,
            attachments=files.named,
            group=group,
            reply_by=_ms(draft.reply_by) if draft.reply_by is not None else None,
            conversation=target.conversation if target is not None else None,
            in_reply_to=target.message if target is not None else None,
            supersedes=message_hash(draft.supersedes) if draft.supersedes is not None else None,
            stage=facts.stage if facts is not None else None,
            outcome=facts.outcome if facts is not None else None,
            on_behalf_of=Address(draft.on_behalf_of) if draft.on_behalf_of is not None else None,
        )
        document = sign_document(encode_json(manifest.to_json()), [self._session.signer()])
        unverified = parse_document(document)
        own = self._own_stanza(binding, keys)
        parse_manifest(unverified.claims)  # what a reader would refuse is refused here, before it is kept
        return Composed(
            payload_hash=unverified.payload_hash,
            manifest=manifest,
            document=document,
            recipients=recipients,
            submission=encode_submission(
                document, ordered, [stanzas[row.endpoint] for row in ordered], ciphertext, files.pieces
            ),
            pieces=files.pieces,
            own_stanza=own,
            reader_stanzas=self._reader_stanzas(binding, keys, own, manifest.on_behalf_of),
        )

    def _reader_stanzas(
        self, binding: MessageBinding, keys: ContentSecrets, own: bytes | None, principal: Address | None
    ) -> dict[Address, bytes]:
        readers = {binding.sender: own} if own is not None else {}
        key = self.key_of(principal) if principal is not None else None
        if principal is not None and key is not None:
            readers[principal] = wrap_secrets(key, binding.info(principal, key.key_id), keys)
        return readers

    def _own_stanza(self, binding: MessageBinding, keys: ContentSecrets) -> bytes | None:
        try:
            key = self._session.profile.keystore.sealing_key().public_key
        except NotFoundError:
            return None
        return wrap_secrets(key, binding.info(binding.sender, key.key_id), keys)


def _ms(moment: dt.datetime) -> int:
    if moment.utcoffset() is None:
        malformed("naive_time", "expected a time with its time zone, got one without")
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)
