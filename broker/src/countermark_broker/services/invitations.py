"""Invitations: an authority makes one, an endpoint-to-be asks for it by its code and hands in one request.

The broker checks what it can, so that nothing useless is kept; whom the keys belong to is for people to compare.

Source: docs/spec/enrolment.md §2, §3.
"""

from __future__ import annotations

import math
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from countermark_broker.errors import QuotaExceededError
from countermark_broker.log.verifier import Source
from countermark_broker.services.changes import Signed, begin_change
from countermark_broker.services.node import Node
from countermark_broker.store.engine import Connection, database_now
from countermark_broker.store.invitations import (
    delete_invitation,
    put_invitation,
    read_invitation,
    read_invitations,
    replace_request,
    take_request,
)
from countermark_broker.store.reading import read_directory
from countermark_protocol.errors import ConflictError, SignatureError
from countermark_protocol.identifiers import AuthorityCode, KeyId, authority_of
from countermark_protocol.invitations import (
    CODE_BYTES,
    Asked,
    Invitation,
    Pending,
    Request,
    check_invitable,
    check_request,
    make_code,
    merge_approval,
    no_invitation,
    same_request,
)
from countermark_protocol.keys import PublicKey
from countermark_protocol.records import AuthorityRecord

_DAY_MS: Final = 86_400_000
_MINUTE_S: Final = 60.0
#: Sources whose look-ups are remembered; the longest unheard is forgotten first.
_MOST_SOURCES: Final = 4_096


class LookUps:
    """How often codes are asked for: of each source, and of all together in twenty times that.

    Guessing a code of 60 bits is hopeless at any rate; this keeps the trying from costing anything.

    Args:
        per_minute: of one source; 0: any number.
        now: seconds of a clock that never goes back.
    """

    def __init__(self, per_minute: int, now: Callable[[], float] = time.monotonic) -> None:
        self._most = per_minute
        self._now = now
        self._left: OrderedDict[object, tuple[float, float]] = OrderedDict()
        self._all = (per_minute * 20.0, now())

    def charge(self, source: object) -> None:
        """Count a look-up.

        Raises:
            QuotaExceededError: too many in this minute.
        """
        if not self._most:
            return
        own = self._refilled(self._left.pop(source, (float(self._most), self._now())), self._most)
        together = self._refilled(self._all, self._most * 20)
        self._left[source], self._all = own, together
        if len(self._left) > _MOST_SOURCES:
            self._left.popitem(last=False)
        if own[0] < 1 or together[0] < 1:
            seconds = max(1, math.ceil(_MINUTE_S / self._most))
            raise QuotaExceededError(
                "too_many_codes",
                f"too many codes were asked for: expected at most {self._most} a minute, wait {seconds} s",
                per_minute=self._most,
                retry_after=seconds,
            )
        self._left[source], self._all = (own[0] - 1, own[1]), (together[0] - 1, together[1])

    def _refilled(self, bucket: tuple[float, float], most: int) -> tuple[float, float]:
        left, at = bucket
        now = self._now()
        return min(float(most), left + max(0.0, now - at) * most / _MINUTE_S), now


# --- the authority -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Inviter:
    """An authority's key that has signed a request.

    Attributes:
        record: of the authority; it stands.
        key: id of the key; it counts.
    """

    record: AuthorityRecord
    key: KeyId

    @property
    def code(self) -> AuthorityCode:
        """The authority's code."""
        return self.record.code


def inviter_of(node: Node, key_id: KeyId) -> Inviter:
    """The authority whose key this is.

    Raises:
        SignatureError: ``not_an_authority``: it is none's whose record stands, or it is revoked.
    """
    directory = node.holder.current
    for subject in directory.subjects_of_key(key_id):
        prefix, _, name = subject.partition("/")
        record = directory.authority(AuthorityCode(name)) if prefix == "authority" else None
        if record is not None and key_id in record.keys.ids and directory.revocation(key_id) is None:
            return Inviter(record, key_id)
    raise SignatureError(
        "not_an_authority", f"key {key_id.hex()} is not a current key of any authority in force"
    )


def _keys_of(node: Node, code: AuthorityCode) -> dict[KeyId, PublicKey]:
    record = node.holder.current.authority(code)
    return {k.key_id: k for k in record.keys.keys} if record is not None else {}


async def make_invitation(node: Node, change: Signed, asked: Asked) -> Pending:
    """Keep an invitation, under a fresh code.

    Raises:
        SignatureError: ``not_an_authority``, ``replayed_request``, ``request_too_old``.
        PolicyError: ``outside_mandate``.
        ConflictError: ``too_many_invitations``.
    """
    inviter = inviter_of(node, change.key)
    check_invitable(inviter.record, asked.address)
    code = make_code(os.urandom(CODE_BYTES))

    def work(connection: Connection) -> Pending:
        now = begin_change(node, connection, change)
        times = now, now + asked.days * _DAY_MS
        return put_invitation(connection, code, inviter.code, asked.address, change.key, times)

    return await node.database.write(work)


async def list_invitations(node: Node, key_id: KeyId) -> list[Pending]:
    """The open invitations of the authority whose key asks, with what came on them.

    Raises:
        SignatureError: ``not_an_authority``.
    """
    code = inviter_of(node, key_id).code
    return await node.database.read(lambda c: read_invitations(c, code, database_now(c)))


async def withdraw_invitation(node: Node, change: Signed, code: str) -> None:
    """Forget an invitation of one's own authority; one that is not there is no failure.

    Raises:
        SignatureError: ``not_an_authority``, ``replayed_request``, ``request_too_old``.
    """
    authority = inviter_of(node, change.key).code

    def work(connection: Connection) -> None:
        begin_change(node, connection, change)
        delete_invitation(connection, authority, code)

    await node.database.write(work)


async def add_approval(node: Node, change: Signed, code: str, endpoint: bytes) -> Pending:
    """Keep an authority's further signature on a request, for its other signers.

    Raises:
        SignatureError: ``not_an_authority``, ``wrong_signer``, ``replayed_request``, … or it does not verify.
        NotFoundError: ``no_invitation``.
        ConflictError: ``other_payload``, ``approval_overtaken``.
    """
    inviter = inviter_of(node, change.key)

    def work(connection: Connection) -> Pending:
        now = begin_change(node, connection, change)
        found = read_invitation(connection, code, now)
        if found is None or found.request is None or authority_of(found.address) != inviter.code:
            raise no_invitation()
        merged = merge_approval(found.request, endpoint)
        check_request(merged, node.origin, found.address, _keys_of(node, inviter.code))
        if not replace_request(connection, code, found.request, merged):
            raise ConflictError(
                "approval_overtaken", "somebody else signed at this moment: approve once more"
            )
        return Pending(found.code, found.address, found.created, found.expires, merged)

    return await node.database.write(work)


# --- who was invited -----------------------------------------------------------------------------------


async def look_up_invitation(node: Node, code: str) -> Invitation:
    """What a code tells.

    Raises:
        NotFoundError: ``no_invitation``: mistyped, expired, used and withdrawn look alike.
    """

    def look(connection: Connection) -> tuple[Pending | None, bytes]:
        [(_, _, trust)] = read_directory(connection, 0, 1, 1)
        return read_invitation(connection, code, database_now(connection)), trust

    found, trust = await node.database.read(look)
    record = node.holder.current.authority(authority_of(found.address)) if found is not None else None
    if found is None or record is None or found.request is not None:
        raise no_invitation()
    return Invitation(found.code, found.address, record.name, found.expires, trust)


async def hand_in(node: Node, code: str, request: Request, source: Source) -> None:
    """Keep a request on an invitation: the first that is whole. The same again is no failure.

    Args:
        node: this node.
        code: of the invitation.
        request: what came.
        source: where from, for fair use of the verifying threads.

    Raises:
        NotFoundError: ``no_invitation``.
        MalformedError, SignatureError: it is not whole; see `check_request`.
        UnavailableError: this node writes nothing.
    """
    node.health.check_appends()
    found = await node.database.read(lambda c: read_invitation(c, code, database_now(c)))
    if found is None:
        raise no_invitation()
    address = found.address
    await node.verifier.run(lambda: check_request(request, node.origin, address, {}), source=source)

    def work(connection: Connection) -> None:
        now = database_now(connection)
        if take_request(connection, code, request, now):
            return
        held = read_invitation(connection, code, now)
        # A lost answer is asked for again; the authority may have signed meanwhile.
        if held is None or held.request is None or not same_request(held.request, request):
            raise no_invitation()

    await node.database.write(work)
