"""The manifest: the signed, visible half of a message.

It says who sends what type to whom and how it may be handled. Anything about the case is content: there is
no clear-text subject line.

Source: docs/spec/messages.md §2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from countermark_protocol.attachments import (
    MAX_ATTACHMENTS,
    SealedAttachment,
    check_piece_total,
    parse_sealed_attachment,
)
from countermark_protocol.claims import Claims, Header, Kind, read_header
from countermark_protocol.encoding import JsonObject, encode_hex, malformed, parse_digest
from countermark_protocol.handling import Handling, parse_handling
from countermark_protocol.identifiers import (
    Address,
    GroupName,
    MessageId,
    parse_address,
    parse_group_name,
    parse_message_id,
)
from countermark_protocol.recipients import MAX_RECIPIENTS

#: The layout of sealed content that this version knows (docs/spec/sealing.md).
CONTENT_FORMAT: Final = 1
#: Content larger than this travels as attachments.
MAX_CONTENT_BYTES: Final = 4 * 1024 * 1024
DEFAULT_VALIDITY_MS: Final = 30 * 24 * 3600 * 1000
#: A message stays deliverable for at most this long: replay windows and stores stay bounded.
MAX_VALIDITY_MS: Final = 92 * 24 * 3600 * 1000

_TYPE = re.compile(r"[a-z][a-z0-9-]{1,62}\Z")


class Urgency(StrEnum):
    """How soon it wants attention; the last two go to the box ``urgent``."""

    ROUTINE = "routine"
    PRIORITY = "priority"
    URGENT = "urgent"
    FLASH = "flash"


class Stage(StrEnum):
    """Where an answer leaves the process it answers."""

    ACKNOWLEDGED = "acknowledged"
    PAUSED = "paused"
    INTERIM = "interim"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Results of an answer, as counts per class, so that auditors can count without reading."""

    success: int = 0
    partial: int = 0
    none: int = 0
    refused: int = 0

    def to_json(self) -> JsonObject:
        """Its four members."""
        return {"success": self.success, "partial": self.partial, "none": self.none, "refused": self.refused}


@dataclass(frozen=True, slots=True)
class SealedContent:
    """What the manifest says of its sealed half.

    Attributes:
        digest: hash of the ciphertext (sealing.ciphertext_digest), 32 bytes.
        size: of the ciphertext in bytes.
        commitment: root over the parts, 32 bytes.
    """

    digest: bytes
    size: int
    commitment: bytes


@dataclass(frozen=True, slots=True)
class ResolvedGroup:
    """The group that the recipients were resolved from.

    Attributes:
        name: of the group.
        statement: hash of the group statement they were resolved from, 32 bytes.
    """

    name: GroupName
    statement: bytes


@dataclass(frozen=True, slots=True)
class Manifest:
    """All members of a manifest; times in ms since 1970, hashes 32 bytes.

    ``conversation`` is the payload hash of the conversation's first message and absent there;
    ``in_reply_to`` and ``supersedes`` are payload hashes too. ``stage`` and ``outcome`` stand on answers.
    ``on_behalf_of`` is the endpoint in whose name the sender sends; one of its keys signs too.
    """

    header: Header
    id: MessageId
    type: str
    version: int
    sender: Address
    recipient_count: int
    recipient_root: bytes
    recipients_visible: bool
    sent_at: int
    expires_at: int
    urgency: Urgency
    handling: Handling
    exercise: bool
    content: SealedContent
    attachments: tuple[SealedAttachment, ...] = ()
    group: ResolvedGroup | None = None
    reply_by: int | None = None
    conversation: bytes | None = None
    in_reply_to: bytes | None = None
    supersedes: bytes | None = None
    stage: Stage | None = None
    outcome: Outcome | None = None
    on_behalf_of: Address | None = None

    @property
    def ciphertexts(self) -> tuple[bytes, ...]:
        """Digests of everything that was sealed: the content's, then each attachment's."""
        return (self.content.digest, *(named.digest for named in self.attachments))

    def to_json(self) -> JsonObject:
        """The payload, members in the order of the spec; encode it with `encode_json`."""
        out: JsonObject = {
            **self.header.to_json(),
            "id": self.id,
            "type": self.type,
            "version": self.version,
            "from": self.sender,
        }
        if self.on_behalf_of is not None:
            out["on_behalf_of"] = self.on_behalf_of
        out["recipients"] = {
            "count": self.recipient_count,
            "root": encode_hex(self.recipient_root),
            "visible": self.recipients_visible,
        }
        if self.group is not None:
            out["group"] = {"name": self.group.name, "statement": encode_hex(self.group.statement)}
        out["sent_at"] = self.sent_at
        out["expires_at"] = self.expires_at
        if self.reply_by is not None:
            out["reply_by"] = self.reply_by
        for name, digest in (
            ("conversation", self.conversation),
            ("in_reply_to", self.in_reply_to),
            ("supersedes", self.supersedes),
        ):
            if digest is not None:
                out[name] = encode_hex(digest)
        out["urgency"] = self.urgency.value
        out["handling"] = self.handling.to_json()
        out["exercise"] = self.exercise
        out["content"] = {
            "format": CONTENT_FORMAT,
            "digest": encode_hex(self.content.digest),
            "size": self.content.size,
            "commitment": encode_hex(self.content.commitment),
        }
        out["attachments"] = [named.to_json() for named in self.attachments]
        if self.stage is not None:
            out["stage"] = self.stage.value
        if self.outcome is not None:
            out["outcome"] = self.outcome.to_json()
        return out


def _type(value: Any, what: str) -> str:
    if not isinstance(value, str) or not _TYPE.match(value):
        malformed("bad_member", f"{what}: expected the name of a message type, e.g. 'tracing-request'")
    return value


def _recipients(value: Any, what: str) -> tuple[int, bytes, bool]:
    claims = Claims(value, what)
    out = (claims.integer("count", 1, MAX_RECIPIENTS), claims.digest("root"), claims.boolean("visible"))
    claims.done()
    return out


def _content(value: Any, what: str) -> SealedContent:
    claims = Claims(value, what)
    if claims.integer("format", 1, 65535) != CONTENT_FORMAT:
        claims.bad("format", f"content format {CONTENT_FORMAT}")
    content = SealedContent(
        claims.digest("digest"), claims.integer("size", 1, MAX_CONTENT_BYTES), claims.digest("commitment")
    )
    claims.done()
    return content


def _group(value: Any, what: str) -> ResolvedGroup:
    claims = Claims(value, what)
    group = ResolvedGroup(claims.parsed("name", parse_group_name), claims.digest("statement"))
    claims.done()
    return group


def _outcome(value: Any, what: str) -> Outcome:
    claims = Claims(value, what)
    out = Outcome(*(claims.integer(name, 0, 1000) for name in ("success", "partial", "none", "refused")))
    claims.done()
    return out


def parse_manifest(payload: JsonObject) -> Manifest:
    """Read a manifest from a parsed payload.

    Raises:
        MalformedError: a member is missing, wrong or unknown, or members contradict each other.
    """
    claims = Claims(payload, "manifest")
    header = read_header(claims)
    if header.kind is not Kind.MESSAGE:
        claims.bad("kind", "'message'")
    count, root, visible = claims.parsed("recipients", _recipients)
    attachments = claims.list_of("attachments", parse_sealed_attachment, 0, MAX_ATTACHMENTS)
    check_piece_total(attachments)
    manifest = Manifest(
        header=header,
        id=claims.parsed("id", parse_message_id),
        type=claims.parsed("type", _type),
        version=claims.integer("version", 1, 65535),
        sender=claims.parsed("from", parse_address),
        recipient_count=count,
        recipient_root=root,
        recipients_visible=visible,
        group=claims.optional("group", _group),
        sent_at=claims.time("sent_at"),
        expires_at=claims.time("expires_at"),
        reply_by=claims.optional_time("reply_by"),
        conversation=claims.optional("conversation", parse_digest),
        in_reply_to=claims.optional("in_reply_to", parse_digest),
        supersedes=claims.optional("supersedes", parse_digest),
        urgency=claims.choice("urgency", Urgency),
        handling=claims.parsed("handling", parse_handling),
        exercise=claims.boolean("exercise"),
        content=claims.parsed("content", _content),
        attachments=attachments,
        stage=claims.choice("stage", Stage) if claims.has("stage") else None,
        outcome=claims.optional("outcome", _outcome),
        on_behalf_of=claims.optional("on_behalf_of", parse_address),
    )
    if manifest.on_behalf_of == manifest.sender:
        claims.bad("on_behalf_of", "another endpoint than 'from'")
    claims.done()
    _check_consistency(manifest)
    return manifest


def _check_consistency(m: Manifest) -> None:
    if not m.sent_at < m.expires_at <= m.sent_at + MAX_VALIDITY_MS:
        malformed(
            "bad_validity", f"expires_at must follow sent_at by at most {MAX_VALIDITY_MS // 86_400_000} days"
        )
    if m.reply_by is not None and m.reply_by < m.sent_at:
        malformed("bad_validity", "reply_by must not be before sent_at")
    if (m.conversation is None) != (m.in_reply_to is None):
        malformed("bad_conversation", "conversation and in_reply_to stand together or not at all")
    if (m.stage is None) != (m.outcome is None):
        malformed("bad_stage", "stage and outcome stand together, on answers, or not at all")
    if m.stage is not None and m.in_reply_to is None:
        malformed("bad_stage", "stage and outcome stand only on an answer, which names what it replies to")
