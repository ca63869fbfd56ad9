"""Messages that more than one key signs: drafted by one person, released by another, or sent on another's behalf.

A draft is sealed and signed once, carried as a file, opened and judged by whoever signs next, and sent by an instance
of the endpoint that it is from. What a profile has signed is remembered, so that its later appearance in the log is
no surprise; and what it never signed is one.

Source: docs/spec/messages.md §8; docs/howto/release-and-behalf.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from countermark_client import _contents
from countermark_client._draft_files import (
    attachments_in,
    files_of,
    needed,
    open_all,
    save_all,
    take_pieces,
)
from countermark_client._io import Flow
from countermark_client._keystore import INSTANCE
from countermark_client._log import LogView
from countermark_client._models import Attachment, Draft, FetchedAttachment, SignedBy
from countermark_client._open import Opened, binding_of
from countermark_client._revocations import Revocations
from countermark_client._seal import Composed
from countermark_client._sealing_files import with_prepared
from countermark_client._session import Session
from countermark_protocol.authors import authenticate
from countermark_protocol.decision import facts_of, why_two_persons
from countermark_protocol.directory import Directory
from countermark_protocol.documents import Document, Purpose, verify_document
from countermark_protocol.errors import (
    ConflictError,
    PolicyError,
    SealError,
    SignatureError,
    UncheckableError,
    VerificationError,
)
from countermark_protocol.identifiers import Address
from countermark_protocol.manifest import Manifest
from countermark_protocol.message_draft import MessageDraft, parse_message_draft
from countermark_protocol.parts import join_all_parts
from countermark_protocol.sealing import open_content, unwrap_secrets
from countermark_protocol.submission import parse_submission

if TYPE_CHECKING:
    from countermark_client._compose import Composer

_PURPOSES: Final = frozenset({Purpose.SIGN, Purpose.RELEASE, Purpose.BEHALF})


@dataclass(frozen=True, slots=True)
class DraftedMessage:
    """A draft as it was read: verified so far, and opened.

    Attributes:
        message: payload hash, 32 bytes: what will name the message once it is sent.
        manifest: the visible half.
        content: the sealed half, typed.
        attachments: what it says of its files; `held` tells whether their pieces are in the folder beside it.
        recipients: to whom.
        signed_by: who has signed.
        missing: purposes that must sign still: ``release``, ``behalf``.
    """

    message: bytes
    manifest: Manifest
    content: _contents.Message
    attachments: tuple[Attachment, ...]
    recipients: tuple[Address, ...]
    signed_by: tuple[SignedBy, ...]
    missing: tuple[str, ...]


def signed_by(
    directory: Directory, document: Document, manifest: Manifest, time: int, at: int | None = None
) -> tuple[SignedBy, ...]:
    """Who signed a message, by keys that counted.

    Args:
        directory: folded at least up to `at`.
        document: of the message, its signatures verified.
        manifest: of it.
        time: of its leaf, ms since 1970.
        at: index of its entry; None for the newest state.
    """
    signers = authenticate(directory, document, manifest.sender, time, at)
    found = [(Purpose.SIGN, manifest.sender, signers.author)]
    if signers.release is not None:
        found.append((Purpose.RELEASE, manifest.sender, signers.release))
    if signers.behalf is not None and manifest.on_behalf_of is not None:
        found.append((Purpose.BEHALF, manifest.on_behalf_of, signers.behalf))
    return tuple(SignedBy(p.name.lower(), who, k.holder, k.key.key_id) for p, who, k in found)


class Drafting:
    """Drafts of one profile, its own and those that others handed it."""

    def __init__(self, session: Session, log: LogView, revocations: Revocations, composer: Composer) -> None:
        self._session = session
        self._store = session.store
        self._log = log
        self._revocations = revocations
        self._composer = composer

    @property
    def _directory(self) -> Directory:
        return self._revocations.directory

    def draft(self, draft: Draft, files: Path | str | None) -> Flow[bytes]:
        """Check, seal and sign a message without sending it; see `Client.draft_message`."""
        keeper = needed(len(draft.attachments), files) if draft.attachments else None
        if keeper is not None:
            keeper.check_free()
        draft = yield from with_prepared(draft)
        yield from self._log.refresh()
        composed = yield from self._composer.compose(draft, drafted=True, keeper=keeper)
        self._store.add_left_out(composed.payload_hash, composed.left_out)
        return self._kept(MessageDraft(parse_submission(composed.submission), composed.reader_stanzas))

    def read(self, data: bytes, files: Path | str | None) -> Flow[DraftedMessage]:
        """Verify and open a draft; see `Client.read_message_draft`."""
        yield from self._log.refresh()
        drafted, _ = self._read(parse_message_draft(data), files)
        return drafted

    def fetch(
        self, data: bytes, files: Path | str, folder: Path | str, *, overwrite: bool
    ) -> Flow[tuple[FetchedAttachment, ...]]:
        """Write the files of a draft out; see `Client.fetch_draft_attachments`."""
        yield from self._log.refresh()
        file = parse_message_draft(data)
        _, opened = self._read(file, files)
        place = files_of(file, files)
        if place is None:
            return ()
        return (yield from save_all(file, opened, place, Path(folder), overwrite=overwrite))

    def sign(self, data: bytes, files: Path | str | None) -> Flow[bytes]:
        """Add this profile's signature; see `Client.sign_message_draft`."""
        yield from self._log.refresh()
        file = parse_message_draft(data)
        drafted, opened = self._read(file, files)
        endpoint, manifest = self._session.profile.endpoint, drafted.manifest
        if endpoint not in {manifest.sender, manifest.on_behalf_of}:
            raise PolicyError(
                "not_a_signer", f"this draft is from {manifest.sender}: {endpoint} has nothing to sign in it"
            )
        purpose = Purpose.RELEASE if endpoint == manifest.sender else Purpose.BEHALF
        if any(one.purpose == purpose.name.lower() for one in drafted.signed_by):
            raise ConflictError("already_signed", f"this draft bears '{purpose.name.lower()}' already")
        # Who signs answers for the files as well: what is not here, or is another file than described, is not signed.
        place = files_of(file, files)
        if place is not None:
            yield from open_all(file, opened, place)
        signed = file.with_signature(self._session.profile.keystore.signer(INSTANCE), purpose)
        # A second key of the same person is refused here as it would be by everybody else.
        self._signatures(signed)
        return self._kept(signed)

    def ready(self, data: bytes) -> Flow[Composed]:
        """A draft that bears all signatures it needs, to be sent by this profile; not its pieces yet (`take`)."""
        drafted = yield from self.read(data, None)
        endpoint = self._session.profile.endpoint
        if drafted.manifest.sender != endpoint:
            raise PolicyError(
                "not_a_signer", f"this draft is from {drafted.manifest.sender}: an instance of it sends it"
            )
        if drafted.missing:
            raise PolicyError(
                "draft_incomplete",
                f"this draft lacks the signature {' and '.join(drafted.missing)}: hand the file to who must sign it",
                missing=list(drafted.missing),
            )
        file = parse_message_draft(data)
        self._kept(file)
        return Composed(
            payload_hash=file.payload_hash,
            manifest=drafted.manifest,
            document=file.submission.document.data,
            recipients=drafted.recipients,
            submission=file.body(),
            own_stanza=file.stanzas.get(endpoint),
            pieces=file.submission.pieces,
        )

    def take(self, data: bytes, files: Path | str | None) -> Flow[None]:
        """Bring the pieces of a draft that is to be sent into this profile.

        Raises:
            CountermarkError: as `take_pieces`.
        """
        yield from take_pieces(parse_message_draft(data), files, self._session.profile.pieces)

    def _kept(self, file: MessageDraft) -> bytes:
        data = file.encode()
        self._store.add_signed_draft(file.payload_hash, data, self._session.clock())
        return data

    # --- reading ---

    def _read(self, file: MessageDraft, files: Path | str | None) -> tuple[DraftedMessage, Opened]:
        submission = file.submission
        manifest = submission.manifest
        if manifest.header.log != self._session.profile.log:
            raise VerificationError("wrong_log", f"this draft was made for log '{manifest.header.log}'")
        signatures = self._signatures(file)
        recipients = tuple(sorted(row.endpoint for row in submission.rows))
        opened = self._open(file)
        content = opened.content
        bears = {one.purpose for one in signatures}
        wanted = {"behalf"} if manifest.on_behalf_of is not None else set[str]()
        if wants_two_persons(self._directory, manifest, recipients, content, self._session.clock()):
            wanted.add("release")
        drafted = DraftedMessage(
            message=file.payload_hash,
            manifest=manifest,
            content=content,
            attachments=attachments_in(file, opened, files),
            recipients=recipients,
            signed_by=signatures,
            missing=tuple(sorted(wanted - bears)),
        )
        return drafted, opened

    def _signatures(self, file: MessageDraft) -> tuple[SignedBy, ...]:
        """Who has signed so far, each by a key that counts; the drafter always has.

        Raises:
            SignatureError: one does not verify, or does not count; ``same_holder``.
        """
        unverified, manifest = file.submission.document, file.submission.manifest
        document = verify_document(unverified, self._directory.public_key)
        found: list[SignedBy] = []
        now = self._session.clock()
        for purpose, key_id in sorted(document.signers):
            owner = manifest.on_behalf_of if purpose is Purpose.BEHALF else manifest.sender
            instance = self._directory.instance(owner, key_id, time=now) if owner is not None else None
            if owner is None or instance is None or purpose not in _PURPOSES:
                raise SignatureError(
                    "wrong_signer", f"key {key_id.hex()} signed this draft and does not count for that"
                )
            found.append(SignedBy(purpose.name.lower(), owner, instance.holder, key_id))
        purposes = [one.purpose for one in found]
        if "sign" not in purposes or len(set(purposes)) != len(purposes):
            raise SignatureError(
                "wrong_signer", "a draft bears one signature of its drafter, and no purpose twice"
            )
        holders = [one.holder for one in found if one.purpose != "behalf"]
        if len(set(holders)) != len(holders):
            raise SignatureError(
                "same_holder", f"'{holders[0]}' drafted this message: another person must release it"
            )
        return tuple(found)

    def _open(self, file: MessageDraft) -> Opened:
        """What whoever signs signs for.

        Raises:
            UncheckableError: ``draft_does_not_open``: nobody signs what he cannot read.
        """
        manifest, endpoint = file.submission.manifest, self._session.profile.endpoint
        stanza = file.stanzas.get(endpoint)
        for key in self._session.profile.keystore.sealing_keys() if stanza is not None else ():
            info = binding_of(manifest).info(endpoint, key.public_key.key_id)
            with contextlib.suppress(SealError):
                secrets = unwrap_secrets(key, info, stanza or b"")
                parts = open_content(file.submission.content, secrets, manifest.content)
                joined = join_all_parts(parts, manifest.attachments)
                content = _contents.validate_content(manifest.type, manifest.version, joined.document)
                _contents.check_manifest_facts(content, manifest.stage, manifest.outcome, manifest.supersedes)
                return Opened(content, joined.attachments, secrets)
        raise UncheckableError(
            "draft_does_not_open",
            f"no sealing key of {endpoint} here opens this draft: nobody signs what he cannot read",
        )


def wants_two_persons(
    directory: Directory,
    manifest: Manifest,
    recipients: Iterable[Address],
    content: _contents.Message,
    now: int,
) -> bool:
    """Whether a second person must sign a message: by the table, by the endpoint's own record, or by its content."""
    if refuses_on_national_security(content) or held_for_review(content, manifest):
        return True
    replies = manifest.in_reply_to is not None
    for recipient in recipients:
        # Who is party to the conversation was checked by who drafted: here nobody is ruled out, so no demand is lost.
        parties = frozenset({recipient}) if replies else frozenset[Address]()
        facts = facts_of(manifest, recipient if replies else None, parties, now)
        if why_two_persons(directory, facts, recipient) is not None:
            return True
    return False


def held_for_review(content: _contents.Message, manifest: Manifest) -> bool:
    """Whether a finding holds a message until a second person has read it (domain page 6.4, rule 12)."""
    findings = _contents.review(
        content, _contents.Circumstances(classification=manifest.handling.classification)
    )
    return any(each.severity is _contents.Severity.HOLD for each in findings)


def refuses_on_national_security(content: _contents.Message) -> bool:
    """Whether an answer refuses on that ground, for which the domain asks two persons (page 6.1)."""
    if isinstance(content, _contents.TracingResponse):
        refusals = [result.refusal for result in content.item_results if result.refusal is not None]
        reasons = [reason for refusal in refusals for reason in refusal.reasons]
    elif isinstance(content, _contents.LicenceVerificationResponse):
        reasons = list(content.refusal_reasons)
    else:
        return False  # what decides on release is signed by two persons anyway
    return any(reason.value == "NATIONAL_SECURITY" for reason in reasons)
