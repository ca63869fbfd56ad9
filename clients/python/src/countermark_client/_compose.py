"""Composing a message: everything that is checked before anything is sealed, and the sealing.

Every recipient's problem is named, by recipient, before a key is made. What is sealed once is never sealed
again: the bytes made here are those that the outbox sends.

Source: docs/spec/messages.md §2 to §4; docs/spec/sealing.md.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from countermark_client._keystore import INSTANCE
from countermark_client._log import LogView
from countermark_client._models import Draft, MessageRef, message_hash
from countermark_client._open import UnacceptableError, open_received
from countermark_client._revocations import Revocations
from countermark_client._session import Session
from countermark_client._store import Direction, StoredMessage
from countermark_protocol.claims import Header, Kind
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document, sign_document
from countermark_protocol.encoding import JsonObject, encode_json, malformed
from countermark_protocol.errors import NotFoundError, PolicyError, UncheckableError
from countermark_protocol.handling import Classification, Handling, Tlp, UsePurpose
from countermark_protocol.identifiers import (
    Address,
    authority_of,
    make_message_id,
    parse_address,
    parse_group_name,
)
from countermark_protocol.keys import PublicKey
from countermark_protocol.manifest import (
    DEFAULT_VALIDITY_MS,
    Manifest,
    ResolvedGroup,
    Urgency,
    parse_manifest,
)
from countermark_protocol.messages.base import Message
from countermark_protocol.messages.facts import manifest_facts
from countermark_protocol.messages.review import Circumstances, Severity, review, review_answer
from countermark_protocol.messages.tracing_request import TracingRequest
from countermark_protocol.messages.tracing_response import TracingResponse
from countermark_protocol.parts import split_content
from countermark_protocol.policy import PolicyFacts, allowing_rule
from countermark_protocol.recipients import (
    MAX_RECIPIENTS,
    RecipientRow,
    order_rows,
    recipients_root,
    stanza_hash,
)
from countermark_protocol.records import GroupRecord
from countermark_protocol.registry import content_document, known_types, validate_content
from countermark_protocol.sealing import ContentSecrets, MessageBinding, seal_content, wrap_secrets
from countermark_protocol.submission import encode_submission
from countermark_protocol.types import TYPES

GROUP_PREFIX: Final = "group:"
_CHUNK_SALT_BYTES: Final = 24
#: Records of a trace are kept for years; an agency that must delete earlier says so in `handling`.
_DEFAULT_RETENTION_MS: Final = 5 * 365 * 24 * 3600 * 1000


def default_handling(now: int) -> Handling:
    """How a message may be used where nothing else is said: TLP:AMBER, RESTRICTED, kept for five years.

    Args:
        now: ms since 1970.
    """
    return Handling(
        tlp=Tlp.AMBER,
        classification=Classification.RESTRICTED,
        codes=(),
        originator_control=False,
        purpose=UsePurpose.CRIMINAL_INVESTIGATION,
        retention_until=now + _DEFAULT_RETENTION_MS,
    )


@dataclass(frozen=True, slots=True)
class Composed:
    """A message ready for the outbox.

    Attributes:
        payload_hash: names it, 32 bytes.
        manifest: its visible half.
        document: the signed manifest.
        recipients: to whom, in order of address.
        submission: the exact bytes to send.
        own_stanza: that opens it for its sender; never sent. None without a sealing key.
    """

    payload_hash: bytes
    manifest: Manifest
    document: bytes
    recipients: tuple[Address, ...]
    submission: bytes
    own_stanza: bytes | None


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


class Composer:
    """Makes messages of one profile."""

    def __init__(self, session: Session, log: LogView, revocations: Revocations) -> None:
        self._session = session
        self._log = log
        self._revocations = revocations

    @property
    def _directory(self) -> Directory:
        return self._revocations.directory

    def compose(self, draft: Draft) -> Composed:
        """Check a draft in full, then seal and sign it.

        Raises:
            MalformedError: content that is not valid, an address that is none.
            UncheckableError: a message type or version that is not known here.
            NotFoundError: an unknown group, or a reply to a message this profile does not hold.
            PolicyError: ``recipients_refused``, with every problem by recipient in ``facts['problems']``;
                ``review_refused``: a rule for senders forbids this content.
        """
        now = self._session.clock()
        target = self._target(draft.in_reply_to)
        group, recipients = self._resolve(draft.to)
        exercise = draft.exercise or (target is not None and target.manifest.exercise)
        handling = draft.handling or (
            target.manifest.handling if target is not None else default_handling(now)
        )
        message, problems = self._content(draft, recipients)
        # Roles, countries and handling are asked of the table that stands; the broker decides again.
        problems += self._policy_problems(draft, message, recipients, handling, exercise, target)
        if group is not None and handling.tlp is Tlp.RED:
            problems += [_problem(group.name, "red_to_group", "TLP:RED names its recipients one by one")]
        if problems:
            named = "; ".join(f"{p['recipient']}: {p['message']}" for p in problems[:5])
            more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""
            raise PolicyError("recipients_refused", f"nothing was sent. {named}{more}", problems=problems)
        self._review(draft, message, recipients, handling, exercise, target, now)
        return self._seal(draft, message, recipients, group, handling, exercise, target, now)

    # --- what is checked ---

    def _target(self, ref: MessageRef | None) -> Target | None:
        if ref is None:
            return None
        stored = self._stored(ref)
        if stored is None:
            raise NotFoundError(
                "unknown_reply_target", "this profile holds no message of that hash: read the inbox first"
            )
        manifest = parse_manifest(parse_document(stored.document).claims)
        return Target(stored.payload, manifest, stored.conversation)

    def _stored(self, ref: MessageRef) -> StoredMessage | None:
        return self._session.store.message(message_hash(ref))

    def _resolve(self, to: Sequence[str]) -> tuple[ResolvedGroup | None, tuple[Address, ...]]:
        if isinstance(to, str):
            msg = "expected a list of addresses, got one string"
            raise TypeError(msg)
        names = [t.removeprefix(GROUP_PREFIX) for t in to if t.startswith(GROUP_PREFIX)]
        if not names:
            recipients = tuple(sorted({parse_address(t, "recipient") for t in to}))
            if not 1 <= len(recipients) <= MAX_RECIPIENTS:
                malformed(
                    "too_many_recipients", f"expected 1 to {MAX_RECIPIENTS} recipients, got {len(recipients)}"
                )
            return None, recipients
        if len(to) > 1:
            malformed(
                "mixed_recipients", "expected one group, or addresses: a message names one group at most"
            )
        name = parse_group_name(names[0])
        directory = self._directory
        record, held = directory.group(name), directory.held(f"group/{name}")
        if record is None or held is None or not isinstance(held.record, GroupRecord):
            raise NotFoundError("unknown_group", f"there is no group '{name}', or it is suspended")
        members = tuple(sorted(set(record.members) - {self._session.profile.endpoint}))
        if not 1 <= len(members) <= MAX_RECIPIENTS:
            malformed("too_many_recipients", f"group '{name}' has {len(members)} other members")
        return ResolvedGroup(name, held.statement), members

    def _content(self, draft: Draft, recipients: tuple[Address, ...]) -> tuple[Message, list[JsonObject]]:
        """Choose the version that all recipients read, and validate the content as it."""
        known = sorted(v for name, v in known_types() if name == draft.type)
        if not known:
            raise UncheckableError(
                "unknown_type",
                f"message type {draft.type[:64]!r} is not known here: expected one of "
                f"{', '.join(sorted({name for name, _ in known_types()}))}",
                type=draft.type[:64],
            )
        wanted = set(known)
        if isinstance(draft.content, Message):
            if draft.type != draft.content.TYPE:
                malformed("wrong_type", f"expected content of a {draft.type}, got a {draft.content.TYPE}")
            wanted = {draft.content.VERSION}
        problems: list[JsonObject] = []
        common = wanted
        for recipient in recipients:
            keys = self._directory.keys(recipient)
            if keys is None or keys.sealing is None:
                problems.append(_problem(recipient, "unknown_recipient", "is no active endpoint with keys"))
                continue
            reads = set(keys.reads.get(draft.type, ()))
            if not reads & wanted:
                text = f"reads {sorted(reads) or 'no'} versions of {draft.type}, not {sorted(wanted)}"
                problems.append(_problem(recipient, "version_not_read", text))
                continue
            if not self._sealing_key(recipient):
                text = "its sealing key is revoked: it must publish a new one"
                problems.append(_problem(recipient, "sealing_key_not_accepted", text))
            common = common & reads
        if not problems and not common:
            problems = [
                _problem(r, "version_not_read", f"no version of {draft.type} is read by all recipients")
                for r in recipients
            ]
        document = content_document(draft.content) if isinstance(draft.content, Message) else draft.content
        return validate_content(draft.type, max(common or wanted), document), problems

    def _sealing_key(self, recipient: Address) -> PublicKey | None:
        directory = self._directory
        keys = directory.keys(recipient)
        if keys is None or keys.sealing is None:
            return None
        usable = directory.accepts_sealing_key(recipient, keys.sealing.key_id, self._session.clock())
        return keys.sealing if usable else None

    def _policy_problems(
        self,
        draft: Draft,
        message: Message,
        recipients: tuple[Address, ...],
        handling: Handling,
        exercise: bool,
        target: Target | None,
    ) -> list[JsonObject]:
        facts = PolicyFacts(
            sender=self._session.profile.endpoint,
            type=message.TYPE,
            recipients=len(recipients),
            classification=handling.classification,
            exercise=exercise,
            replied_to=target.manifest.sender if target is not None else None,
            # Who else is party to a conversation is known to the broker alone: here nobody is ruled out.
            parties=frozenset(recipients) if target is not None else frozenset(),
        )
        policy = self._directory.policy()
        problems: list[JsonObject] = []
        for recipient in recipients:
            try:
                allowing_rule(policy, facts, recipient)
            except PolicyError as error:
                problems.append(_problem(recipient, error.code, error.message))
            if handling.releasable_to and authority_of(recipient) not in handling.releasable_to:
                text = f"the handling does not release it to '{authority_of(recipient)}'"
                problems.append(_problem(recipient, "not_releasable", text))
        answer = TYPES[message.TYPE].is_answer
        if answer and draft.in_reply_to is None:
            problems += [
                _problem(r, "answer_incomplete", "an answer names the message it replies to")
                for r in recipients
            ]
        return problems

    def _review(
        self,
        draft: Draft,
        message: Message,
        recipients: tuple[Address, ...],
        handling: Handling,
        exercise: bool,
        target: Target | None,
        now: int,
    ) -> None:
        circumstances = Circumstances(
            today=dt.datetime.fromtimestamp(now / 1000, dt.UTC).date(),
            # Drills may play through another State's records.
            sender_country=None if exercise else _country(self._session.profile.endpoint),
            addressee_country=_country(recipients[0]) if len(recipients) == 1 else None,
            urgency=Urgency(draft.urgency),
            tlp=handling.tlp,
            classification=handling.classification,
        )
        findings = list(review(message, circumstances))
        if isinstance(message, TracingResponse) and target is not None:
            request = self._request(target)
            if request is not None:
                findings += review_answer(request, message)
        refused = [f for f in findings if f.severity is Severity.REFUSE]
        if refused:
            raise PolicyError(
                "review_refused",
                "; ".join(f"{f.field or 'the message'}: {f.text}" for f in refused[:5]),
                findings=[{"rule": f.rule, "field": f.field, "text": f.text} for f in refused],
            )

    def _request(self, target: Target) -> TracingRequest | None:
        """The tracing request that an answer belongs to, opened; None where this profile cannot read it."""
        for payload in (target.message, target.conversation):
            stored = self._session.store.message(payload, Direction.IN)
            if stored is None or stored.stanza is None or stored.content is None:
                continue
            with contextlib.suppress(UnacceptableError, UncheckableError):
                content = open_received(self._session, stored)
                if isinstance(content, TracingRequest):
                    return content
        return None

    # --- sealing ---

    def _seal(
        self,
        draft: Draft,
        message: Message,
        recipients: tuple[Address, ...],
        group: ResolvedGroup | None,
        handling: Handling,
        exercise: bool,
        target: Target | None,
        now: int,
    ) -> Composed:
        profile = self._session.profile
        keys = ContentSecrets(secrets.token_bytes(32), secrets.token_bytes(32))
        ciphertext, sealed = seal_content(
            split_content(content_document(message)), keys, secrets.token_bytes(_CHUNK_SALT_BYTES)
        )
        binding = MessageBinding(
            log=profile.log,
            message_id=make_message_id(now, secrets.token_bytes(10)),
            type=message.TYPE,
            sender=profile.endpoint,
            ciphertexts=(sealed.digest,),
        )
        stanzas: dict[Address, bytes] = {}
        rows: list[RecipientRow] = []
        for recipient in recipients:
            key = self._sealing_key(recipient)
            assert key is not None  # its absence was named as a problem
            stanzas[recipient] = wrap_secrets(key, binding.info(recipient, key.key_id), keys)
            rows.append(
                RecipientRow(secrets.token_bytes(32), recipient, key.key_id, stanza_hash(stanzas[recipient]))
            )
        ordered = order_rows(rows)
        facts = manifest_facts(message)
        visible = draft.visible if draft.visible is not None else TYPES[message.TYPE].visible_recipients
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
            group=group,
            reply_by=_ms(draft.reply_by) if draft.reply_by is not None else None,
            conversation=target.conversation if target is not None else None,
            in_reply_to=target.message if target is not None else None,
            supersedes=message_hash(draft.supersedes) if draft.supersedes is not None else None,
            stage=facts.stage if facts is not None else None,
            outcome=facts.outcome if facts is not None else None,
        )
        document = sign_document(encode_json(manifest.to_json()), [profile.keystore.signer(INSTANCE)])
        unverified = parse_document(document)
        parse_manifest(unverified.claims)  # what a reader would refuse is refused here, before it is kept
        return Composed(
            payload_hash=unverified.payload_hash,
            manifest=manifest,
            document=document,
            recipients=recipients,
            submission=encode_submission(
                document, ordered, [stanzas[row.endpoint] for row in ordered], ciphertext
            ),
            own_stanza=self._own_stanza(binding, keys),
        )

    def _own_stanza(self, binding: MessageBinding, keys: ContentSecrets) -> bytes | None:
        try:
            key = self._session.profile.keystore.sealing_key().public_key
        except NotFoundError:
            return None
        return wrap_secrets(key, binding.info(binding.sender, key.key_id), keys)


def _problem(recipient: str, code: str, message: str) -> JsonObject:
    return {"recipient": recipient, "code": code, "message": message}


def _country(address: Address) -> str | None:
    code = authority_of(address)
    return code.upper() if len(code) == 2 else None


def _ms(moment: dt.datetime) -> int:
    if moment.utcoffset() is None:
        malformed("naive_time", "expected a time with its time zone, got one without")
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)
