"""A message as the desk keeps it: what the client proved and opened, made into one row and its words.

Source: docs/spec/messages.md §2, §7.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from countermark_client import Attachment, ConversationItem, OpenedMessage
from countermark_console.desk.forms.choices import code_label
from countermark_console.desk.forms.fields import FormField, Kind, form_of
from countermark_console.desk.words import texts_in
from countermark_protocol.encoding import JsonObject
from countermark_protocol.errors import UncheckableError
from countermark_protocol.identifiers import authority_of
from countermark_protocol.manifest import Manifest, Urgency
from countermark_protocol.registry import content_document

_HEADLINES: Final = ("title", "subject", "projectTitle")
_URGENT: Final = frozenset({Urgency.URGENT, Urgency.FLASH})


@dataclass(frozen=True, slots=True)
class Entry:
    """A message to be stored.

    Attributes:
        hash: payload hash, 64 hexadecimal digits.
        direction: ``in`` or ``out``.
        manifest: the visible half.
        content: document of the sealed half; None where it does not open here.
        recipients: those that are known.
        log_index: of its log entry.
        log_time: of its leaf, ms since 1970.
        stage: how far it is.
        facts: what was proven of it (who signed, the verdict on that).
    """

    hash: str
    direction: str
    manifest: Manifest
    content: JsonObject | None = field(repr=False)
    recipients: tuple[str, ...]
    log_index: int
    log_time: int
    stage: str
    facts: JsonObject

    @property
    def conversation(self) -> str:
        """Payload hash of its conversation's first message."""
        return self.manifest.conversation.hex() if self.manifest.conversation is not None else self.hash

    @property
    def urgent(self) -> bool:
        """Whether it goes before all others."""
        return self.manifest.urgency in _URGENT

    @property
    def country(self) -> str:
        """Authority of the other side: the sender's, or the first recipient's."""
        other = self.manifest.sender if self.direction == "in" else (self.recipients or ("",))[0]
        return authority_of(other) if other else ""

    @property
    def reference(self) -> str:
        """The case as its author names it; empty where no member says."""
        document = self.content or {}
        if isinstance(document.get("nationalCaseRef"), str):
            return str(document["nationalCaseRef"])
        named = (value for name, value in document.items() if name.endswith("Ref") and isinstance(value, str))
        return next(named, "")

    @property
    def headline(self) -> str:
        """What it is about, in one line."""
        document = self.content or {}
        said = next((document[name] for name in _HEADLINES if isinstance(document.get(name), str)), "")
        if said:
            return str(said)
        items = document.get("items")
        if not isinstance(items, list) or not items:
            return ""
        more = f" (+{len(items) - 1})" if len(items) > 1 else ""
        return f"{weapon_line(items[0])}{more}"

    def words(self) -> Iterator[str]:
        """All texts by which it is found."""
        yield self.hash
        yield self.manifest.id
        yield self.manifest.type
        yield self.manifest.sender
        yield from self.recipients
        if self.content is not None:
            yield from texts_in(self.content)
        for one in self.facts["attachments"]:
            yield one["name"]
            yield one["caption"]
        if self.content is not None:
            yield from _meanings(self.manifest, self.content)

    def terms(self) -> Iterator[tuple[str, str]]:
        """(source, text) of what it says of weapons, to be suggested when the next form is filled in."""
        for item in (self.content or {}).get("items", ()):
            for member, source in (("make", "makes"), ("model", "models"), ("calibre", "calibres")):
                value = item.get(member) if isinstance(item, dict) else None
                if isinstance(value, dict) and isinstance(value.get("text"), str):
                    yield source, value["text"]


def weapon_line(item: Any) -> str:
    """A weapon in one line: make, model, calibre and what can be read of its serial."""
    if not isinstance(item, dict):
        return ""
    said = [
        value["text"]
        for name in ("make", "model", "calibre")
        if isinstance(value := item.get(name), dict) and isinstance(value.get("text"), str)
    ]
    for mark in item.get("marks", ()):
        if isinstance(mark, dict) and mark.get("kind") == "SERIAL":
            serial = mark.get("text") or mark.get("pattern")
            if isinstance(serial, str):
                said.append(serial)
                break
    return ", ".join(said)


def _meanings(manifest: Manifest, document: JsonObject) -> Iterator[str]:
    """What the codes of a content mean, so that it is found by words."""
    try:
        form = form_of(manifest.type, manifest.version)
    except UncheckableError:
        return
    yield from _labels(form, document)


def _labels(form: FormField, value: Any) -> Iterator[str]:
    if form.kind is Kind.GROUP and isinstance(value, dict):
        for each in form.fields:
            if each.name in value:
                yield from _labels(each, value[each.name])
    elif form.kind is Kind.ROWS and form.item is not None and isinstance(value, list):
        for row in value:
            yield from _labels(form.item, row)
    elif form.code_list is not None:
        for code in value if isinstance(value, list) else [value]:
            yield code_label(form.code_list, str(code))


def received_entry(message: OpenedMessage, stage: str = "delivered") -> Entry:
    """The entry of a received message."""
    return Entry(
        hash=message.hash,
        direction="in",
        manifest=message.manifest,
        content=content_document(message.content),
        recipients=tuple(message.recipients or ()),
        log_index=message.index,
        log_time=message.time,
        stage=stage,
        facts={
            "signed_by": [
                {"purpose": one.purpose, "endpoint": one.endpoint, "holder": one.holder}
                for one in message.signed_by
            ],
            "verdict": message.verdict.kind.value,
            "doubtful": message.doubtful,
            "reset": message.reset is not None,
            "attachments": _attached(message.attachments),
        },
    )


def kept_entry(item: ConversationItem, recipients: tuple[str, ...] = ()) -> Entry:
    """The entry of a message that the profile holds: a sent one, or one that was answered for elsewhere.

    Args:
        item: in the log.
        recipients: of a sent one.
    """
    assert item.index is not None
    assert item.time is not None
    return Entry(
        hash=item.message.hex(),
        direction=item.direction,
        manifest=item.manifest,
        content=content_document(item.content) if item.content is not None else None,
        recipients=recipients,
        log_index=item.index,
        log_time=item.time,
        stage=item.stage,
        facts={
            "signed_by": [],
            "verdict": item.verdict.kind.value,
            "doubtful": False,
            "reset": False,
            "attachments": _attached(item.attachments),
        },
    )


def _attached(attachments: tuple[Attachment, ...]) -> list[JsonObject]:
    """What a sender says of its files; a thumbnail is its sender's bytes until it is encoded anew."""
    return [
        {
            "index": one.index,
            "name": one.name,
            "media_type": one.media_type,
            "size": one.size,
            "sha256": one.sha256,
            "caption": one.caption or "",
            "thumbnail": base64.b64encode(one.thumbnail.data).decode() if one.thumbnail is not None else "",
        }
        for one in attachments
    ]
