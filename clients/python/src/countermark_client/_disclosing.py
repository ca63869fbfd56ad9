"""Disclosing: showing a court or an auditor a message, or chosen parts of it, after stating so in the log.

What is handed over is made first, its digest is logged, and only then is it given out. The same disclosure to
the same receiver on the same ground is logged once: who makes it again gets the same bytes and entry.

Source: docs/spec/disclosure.md; docs/spec/audit.md §3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from countermark_client._acting import Acts
from countermark_client._flows_send import Sender
from countermark_client._io import Flow
from countermark_client._models import MessageRef, message_hash
from countermark_client._open import binding_of, manifest_of
from countermark_client._session import Session
from countermark_client._settling import ACT
from countermark_client._store import Direction, OutboxItem, OutboxState, StoredMessage
from countermark_client._succession import sent_ciphertext
from countermark_protocol.acts import Disclosure, parse_act
from countermark_protocol.claims import Header, Kind, Seen
from countermark_protocol.disclosure import (
    ShownContent,
    encode_disclosure,
    parse_disclosed,
    verify_shown,
)
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import ConflictError, NotFoundError, SealError
from countermark_protocol.parts import Part, disclose_parts
from countermark_protocol.sealing import ContentSecrets, MessageBinding, open_content, unwrap_secrets


@dataclass(frozen=True, slots=True)
class Disclosed:
    """A disclosure that is in the log, ready to be handed over.

    Attributes:
        data: the disclosure, exact bytes.
        shown: what it shows.
        to: whom it is for.
        ground: why.
        act: payload hash of the logged act, 32 bytes.
        index: of its entry.
        time: of its leaf, ms since 1970.
    """

    data: bytes
    shown: ShownContent
    to: str
    ground: str
    act: bytes
    index: int
    time: int


class Disclosing:
    """Disclosures of one profile."""

    def __init__(self, session: Session, sender: Sender, acts: Acts) -> None:
        self._session = session
        self._store = session.store
        self._sender = sender
        self._acts = acts

    def disclose(self, ref: MessageRef, to: str, ground: str, parts: Iterable[str] | None) -> Flow[Disclosed]:
        """Log and make a disclosure; see `Client.disclose`."""
        stored = self._logged(message_hash(ref))
        whole, opener = self._opened(stored)
        names = frozenset(part.name for part in whole) if parts is None else frozenset(parts)
        unknown = names - {part.name for part in whole}
        if unknown:
            raise NotFoundError(
                "unknown_part",
                f"the message has no part {min(unknown)}; its parts are {', '.join(_listed(whole))}",
            )
        data = encode_disclosure(stored.document, disclose_parts(whole, opener, names))
        shown = verify_shown(parse_disclosed(data))
        item = self._known(shown, to, ground)
        if item is None:

            def make(seen: Seen) -> Disclosure:
                return Disclosure(
                    Header(Kind.DISCLOSURE, self._session.profile.log, seen),
                    self._session.profile.endpoint,
                    shown.message,
                    to,
                    ground,
                    len(shown.opened),
                    shown.parts,
                    shown.digest,
                )

            item = yield from self._acts.post(make)
        elif item.state is OutboxState.WAITING:
            yield from self._sender.flush_waiting(until=item.payload)
            item = self._store.outbox_item(item.payload)
        if item is None or item.index is None or item.time is None:
            raise ConflictError("not_logged", "the disclosure is not in the log: nothing may be handed over")
        return Disclosed(data, shown, to, ground, item.payload, item.index, item.time)

    def _logged(self, payload: bytes) -> StoredMessage:
        stored = self._store.message(payload)
        if stored is None:
            raise NotFoundError("unknown_message", f"this profile holds no message {payload.hex()}")
        if stored.index is None:
            raise NotFoundError(
                "not_logged", "this message is not in the log: there is nothing to disclose yet"
            )
        return stored

    def _known(self, shown: ShownContent, to: str, ground: str) -> OutboxItem | None:
        """The act that states exactly this, if it waits or is logged."""
        for item in self._store.outbox(OutboxState.WAITING, OutboxState.LOGGED):
            if item.kind != ACT or not item.body:
                continue
            act = parse_act(parse_document(item.body).claims)
            if isinstance(act, Disclosure) and (act.digest, act.to, act.ground) == (shown.digest, to, ground):
                return item
        return None

    def _opened(self, stored: StoredMessage) -> tuple[tuple[Part, ...], bytes]:
        """The parts of a message, and the opener that their salts come from."""
        manifest = manifest_of(stored)
        if stored.direction is Direction.OUT:
            ciphertext = sent_ciphertext(self._store, stored.payload)
        else:
            ciphertext = stored.content
        if ciphertext is None or stored.stanza is None:
            raise NotFoundError("not_opened", "this profile holds no opened message of that hash")
        secrets = self._unwrap(binding_of(manifest), stored.stanza)
        return open_content(ciphertext, secrets, manifest.content), secrets.opener

    def _unwrap(self, binding: MessageBinding, stanza: bytes) -> ContentSecrets:
        profile = self._session.profile
        for key in profile.keystore.sealing_keys():
            try:
                return unwrap_secrets(key, binding.info(profile.endpoint, key.public_key.key_id), stanza)
            except SealError:
                continue
        raise SealError("stanza_does_not_open", "no sealing key of this profile opens this message")


def _listed(parts: tuple[Part, ...], most: int = 20) -> list[str]:
    names = [part.name for part in parts]
    return names if len(names) <= most else [*names[:most], f"and {len(names) - most} more"]
