"""Look-ups: an auditor states in the log that it looks, under which mandate and why, before it is shown anything.

Source: docs/spec/audit.md §2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from countermark_client._acting import Acts
from countermark_client.audit._engine import Mandate
from countermark_client.audit._mirror import Mirror
from countermark_protocol.acts import LookUp, Scope, parse_look_up
from countermark_protocol.claims import Header, Kind, Seen
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import NotFoundError

if TYPE_CHECKING:
    from countermark_client import Client, Profile


@dataclass(frozen=True, slots=True)
class LookedUp:
    """A look-up in the log.

    Attributes:
        payload: its payload hash, 32 bytes: what is asked under it names it.
        index: of its entry.
        time: of its leaf, ms since 1970.
        look_up: what it says.
    """

    payload: bytes
    index: int
    time: int
    look_up: LookUp


def mandate_of(profile: Profile, scope: Scope) -> Mandate:
    """The mandate that a profile audits under.

    Raises:
        NotFoundError: the profile is of no endpoint.
    """
    return Mandate(profile.trust.origin, profile.trust.document.data, profile.endpoint, scope)


def look_up(client: Client, mirror: Mirror, scope: Scope, ground: str, until: int) -> LookedUp:
    """Log a look-up, verify that it is in the log, and keep it in the mirror.

    Args:
        client: over the auditor's profile.
        mirror: of that mandate.
        scope: the mandate it looks under.
        ground: why, for people.
        until: ms since 1970, at most 24 hours ahead.

    Raises:
        PolicyError: ``no_mandate``, ``look_up_too_long``.
        TransportError: the broker is away; the look-up waits in the outbox.
        VerificationError: the answer does not prove that it is in the log.
    """
    mandate = mandate_of(client.profile, scope)
    mirror.belongs_to(mandate.origin, mandate.founding, mandate.auditor, scope.value)

    client.sync()  # the log may have another name by now

    def make(seen: Seen) -> LookUp:
        return LookUp(Header(Kind.LOOKUP, client.profile.log, seen), mandate.auditor, scope, ground, until)

    core = client._core  # noqa: SLF001  of this package
    item = client._run(Acts(core.session, core.log, core.sender).post(make))  # noqa: SLF001
    assert item.index is not None
    assert item.time is not None
    assert item.proof is not None
    said = parse_look_up(parse_document(item.body).claims)
    with mirror.transaction():
        mirror.database.execute(
            "INSERT OR REPLACE INTO look_ups VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (item.payload, item.index, item.time, scope.value, ground, until, item.body, item.proof),
        )
    return LookedUp(item.payload, item.index, item.time, said)


def running_look_up(mirror: Mirror, now: int) -> bytes:
    """Payload hash of the look-up that lasts longest.

    Args:
        mirror: that keeps it.
        now: ms since 1970.

    Raises:
        NotFoundError: ``no_look_up``: none runs any more.
    """
    row = mirror.database.execute(
        "SELECT payload FROM look_ups WHERE until > ? ORDER BY until DESC LIMIT 1", (now,)
    ).fetchone()
    if row is None:
        raise NotFoundError("no_look_up", "no look-up runs: state in the log that you look, and why")
    return bytes(row[0])
