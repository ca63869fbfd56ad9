"""Invitations: unlogged, expiring rows at which an endpoint-to-be and its authority find each other.

Nothing decides by them, and losing the whole table costs an invitation made anew. Each takes one request.

Source: docs/spec/enrolment.md §2.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, func, insert, select, update

from countermark_broker.store.engine import Connection
from countermark_broker.store.tables import invitations
from countermark_protocol.errors import ConflictError
from countermark_protocol.identifiers import Address, AuthorityCode
from countermark_protocol.invitations import MAX_OPEN, Pending, Request


def _pending(row: Any) -> Pending:
    request = Request(bytes(row.endpoint), bytes(row.keys)) if row.endpoint is not None else None
    return Pending(row.code, Address(row.address), row.created, row.expires, request)


def put_invitation(
    connection: Connection,
    code: str,
    authority: AuthorityCode,
    address: Address,
    issuer: bytes,
    times: tuple[int, int],
) -> Pending:
    """Keep an invitation.

    Args:
        connection: in a writing transaction.
        code: fresh.
        authority: that invites.
        address: that is invited.
        issuer: id of the authority's key that asked, 32 bytes.
        times: made, and until when it is kept; ms since 1970 by the database's clock.

    Raises:
        ConflictError: ``too_many_invitations``.
    """
    created, expires = times
    mine = (
        select(func.count())
        .select_from(invitations)
        .where(invitations.c.authority == authority, invitations.c.expires > created)
    )
    if connection.execute(mine).scalar_one() >= MAX_OPEN:
        raise ConflictError(
            "too_many_invitations",
            f"authority '{authority}' has {MAX_OPEN} open invitations: withdraw some, or wait until they expire",
        )
    row = {"code": code, "authority": authority, "address": address, "issuer": issuer}
    connection.execute(insert(invitations).values(**row, created=created, expires=expires))
    return Pending(code, address, created, expires, None)


def read_invitation(connection: Connection, code: str, now: int) -> Pending | None:
    """An invitation that has not expired."""
    query = select(invitations).where(invitations.c.code == code, invitations.c.expires > now)
    row = connection.execute(query).first()
    return _pending(row) if row is not None else None


def read_invitations(connection: Connection, authority: AuthorityCode, now: int) -> list[Pending]:
    """Those of an authority that have not expired, the oldest first."""
    query = (
        select(invitations)
        .where(invitations.c.authority == authority, invitations.c.expires > now)
        .order_by(invitations.c.created, invitations.c.code)
        .limit(MAX_OPEN)
    )
    return [_pending(row) for row in connection.execute(query)]


def take_request(connection: Connection, code: str, request: Request, now: int) -> bool:
    """Keep a request, if none has come on this invitation and it has not expired; whether it was kept."""
    query = (
        update(invitations)
        .where(invitations.c.code == code, invitations.c.expires > now, invitations.c.endpoint.is_(None))
        .values(endpoint=request.endpoint, keys=request.keys)
    )
    return connection.execute(query).rowcount > 0


def replace_request(connection: Connection, code: str, before: Request, after: Request) -> bool:
    """Put a request with further signatures in the place of one, if that still stands; whether it did."""
    query = (
        update(invitations)
        .where(invitations.c.code == code, invitations.c.endpoint == before.endpoint)
        .values(endpoint=after.endpoint)
    )
    return connection.execute(query).rowcount > 0


def delete_invitation(connection: Connection, authority: AuthorityCode, code: str) -> None:
    """Withdraw an invitation of an authority, and what came on it."""
    connection.execute(
        delete(invitations).where(invitations.c.code == code, invitations.c.authority == authority)
    )


def sweep_invitations(connection: Connection, now: int) -> None:
    """Forget what has expired."""
    connection.execute(delete(invitations).where(invitations.c.expires <= now))


def has_expired_invitations(connection: Connection, now: int) -> bool:
    """Whether there is anything to sweep."""
    query = select(invitations.c.code).where(invitations.c.expires <= now).limit(1)
    return connection.execute(query).first() is not None
