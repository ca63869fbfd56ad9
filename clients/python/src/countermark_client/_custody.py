"""Chains of custody from what one profile holds: a conversation, and those that were forwarded from or to it.

Source: docs/spec/tracing.md §6.
"""

from __future__ import annotations

from collections.abc import Iterator

from countermark_client import _contents
from countermark_client._models import MessageRef, message_hash
from countermark_client._open import manifest_of
from countermark_client._session import Session
from countermark_client._store import StoredMessage
from countermark_client._succession import open_kept
from countermark_protocol.errors import NotFoundError
from countermark_protocol.identifiers import MessageId


class Chains:
    """Chains of custody of one profile's traces."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._store = session.store

    def custody(self, ref: MessageRef) -> dict[str, _contents.Custody]:
        """The chain of every weapon of a trace; see `Client.custody`."""
        stored = self._store.message(message_hash(ref))
        if stored is None:
            raise NotFoundError("unknown_message", "this profile holds no message of that hash")
        contents = self._opened()
        root = contents.get(stored.conversation)
        request = next((c for _, c in root or () if isinstance(c, _contents.TracingRequest)), None)
        if request is None:
            raise NotFoundError(
                "not_a_trace", "the conversation of that message opens no tracing request here"
            )
        linked = self._linked(stored.conversation, contents)
        return {
            item.item_ref: _contents.merge_chains(
                told for c in linked for told in _told(contents[c], item, own=c == stored.conversation)
            )
            for item in request.items
        }

    def _opened(self) -> dict[bytes, list[tuple[StoredMessage, _contents.Message]]]:
        """What opens of every traced conversation, in log order."""
        found: dict[bytes, list[tuple[StoredMessage, _contents.Message]]] = {}
        for conversation in self._store.traced_conversations():
            found[conversation] = [
                (stored, content)
                for stored in self._store.messages(conversation)
                if (content := open_kept(self._session, stored)) is not None
            ]
        return found

    def _linked(
        self, root: bytes, contents: dict[bytes, list[tuple[StoredMessage, _contents.Message]]]
    ) -> list[bytes]:
        """Conversations that lead to or from one, by the answers that requests name as previous traces."""
        said_in: dict[MessageId, bytes] = {
            manifest_of(stored).id: conversation
            for conversation, pairs in contents.items()
            for stored, _ in pairs
        }
        links: dict[bytes, set[bytes]] = {conversation: set() for conversation in contents}
        for conversation, pairs in contents.items():
            for _, content in pairs:
                if not isinstance(content, _contents.TracingRequest):
                    continue
                for trace in content.previous_traces:
                    parent = said_in.get(MessageId(trace.message)) if trace.message is not None else None
                    if parent is not None:
                        links[conversation].add(parent)
                        links[parent].add(conversation)
        found, open_ = [root], [root]
        while open_:
            for other in sorted(links[open_.pop()]):
                if other not in found:
                    found.append(other)
                    open_.append(other)
        return found


def _told(
    pairs: list[tuple[StoredMessage, _contents.Message]], item: _contents.FirearmItem, *, own: bool
) -> Iterator[_contents.ToldChain]:
    """The newest result of every source about a weapon."""
    refs = {item.item_ref} if own else set()
    wanted = _contents.weapon_keys(item)
    for _, content in pairs:
        if isinstance(content, _contents.TracingRequest) and not own:
            for other in content.items:
                agree = wanted.agreement(_contents.weapon_keys(other)) is not None
                # Without a legible serial a forwarded weapon keeps its reference.
                if agree or (not wanted.serials and other.item_ref == item.item_ref):
                    refs.add(other.item_ref)
    newest: dict[tuple[str, str], _contents.ToldChain] = {}
    for stored, content in pairs:
        if isinstance(content, _contents.TracingResponse):
            manifest = manifest_of(stored)
            source = manifest.on_behalf_of or manifest.sender
            for result in content.item_results:
                if result.item_ref in refs:
                    newest[source, result.item_ref] = _contents.ToldChain(source, result)
    yield from newest.values()
