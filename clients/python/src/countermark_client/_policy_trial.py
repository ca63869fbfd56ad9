"""Trying a policy: the messages that a profile or a mirror holds, asked about once more by another table.

Only manifests are looked at. What is not known of a message is assumed in its favour: a profile of a recipient knows
its own row alone, and not always what was replied to.

Source: docs/spec/policy.md §6.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from countermark_client._store import Direction, Store
from countermark_protocol.decision import facts_of
from countermark_protocol.documents import Purpose, UnverifiedDocument, parse_document
from countermark_protocol.encoding import parse_json
from countermark_protocol.explaining import Past
from countermark_protocol.identifiers import Address
from countermark_protocol.manifest import Manifest, parse_manifest

if TYPE_CHECKING:
    from countermark_client.audit._mirror import Mirror


def held_by_profile(store: Store, own: Address, since: int, now: int) -> Iterator[Past]:
    """Messages that a profile sent, received, or was refused to send.

    Args:
        store: of the profile.
        own: its endpoint.
        since: ms since 1970; what was made before is left out.
        now: ms since 1970.
    """
    stored = store.messages()
    parsed = {m.payload: parse_document(m.document) for m in stored}
    recipients: dict[bytes, list[Address]] = defaultdict(list)
    for m in stored:
        known = [Address(r) for r in parse_json(m.recipients)] if m.recipients is not None else []
        recipients[m.payload] += known if m.direction is Direction.OUT else [own]
    indexes = {m.payload: m.index for m in stored}
    yield from _asked(parsed, recipients, indexes, since, now)


def held_by_mirror(mirror: Mirror, since: int, now: int) -> Iterator[Past]:
    """Messages of a mirror, with those recipients that it knows.

    Args:
        mirror: opened.
        since: ms since 1970; what was made before is left out.
        now: ms since 1970.
    """
    parsed, indexes = {}, {}
    for index, payload, document in mirror.database.execute(
        "SELECT idx, payload, document FROM entries WHERE kind = 'message' ORDER BY idx"
    ):
        parsed[payload], indexes[payload] = parse_document(document), index
    recipients: dict[bytes, list[Address]] = defaultdict(list)
    for payload, recipient in mirror.database.execute("SELECT message, recipient FROM deliveries"):
        recipients[payload].append(Address(recipient))
    yield from _asked(parsed, recipients, indexes, since, now)


def _asked(
    parsed: Mapping[bytes, UnverifiedDocument],
    recipients: Mapping[bytes, list[Address]],
    indexes: Mapping[bytes, int | None],
    since: int,
    now: int,
) -> Iterator[Past]:
    manifests = {payload: parse_manifest(document.claims) for payload, document in parsed.items()}
    parties: dict[bytes, set[Address]] = defaultdict(set)
    for payload, m in manifests.items():
        parties[m.conversation or payload] |= {m.sender, *recipients[payload]}
    for payload, m in manifests.items():
        if m.sent_at < since:
            continue
        for to in sorted(recipients[payload]):
            facts = facts_of(
                m, _replied_to(m, manifests, to), frozenset(parties[m.conversation or payload]), now
            )
            released = any(s.purpose is Purpose.RELEASE for s in parsed[payload].signatures)
            yield Past(payload, indexes[payload], facts, (to,), released)


def _replied_to(m: Manifest, manifests: Mapping[bytes, Manifest], to: Address) -> Address | None:
    if m.in_reply_to is None:
        return None
    target = manifests.get(m.in_reply_to)
    return target.sender if target is not None else to
