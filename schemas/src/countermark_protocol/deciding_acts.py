"""The decision's part on look-ups, disclosures and purges.

Source: docs/spec/audit.md §1 to §4.
"""

from __future__ import annotations

from typing import Final

from countermark_protocol.acts import Disclosure, LookUp, PurgeGround, Scope
from countermark_protocol.directory import Directory
from countermark_protocol.errors import ConflictError, NotFoundError, PolicyError
from countermark_protocol.identifiers import Address, Role, role_of
from countermark_protocol.mandates import Term
from countermark_protocol.state import LogState, MessageState
from countermark_protocol.statements import PurgeStatement

#: How long one look-up may last: a ground is stated anew every day.
LONGEST_LOOK_UP: Final = 86_400_000


def mandate_of(
    directory: Directory, auditor: Address, scope: Scope, time: int, at: int | None = None
) -> Term:
    """The term in which an auditor may look under a scope.

    Args:
        directory: folded up to the leaf before, or further.
        auditor: its address.
        scope: the mandate it claims.
        time: ms since 1970.
        at: log index as of which to judge; None for the newest state.

    Raises:
        PolicyError: ``no_mandate``: it is not appointed for that, no longer, or its endpoint does not stand.
    """
    record = directory.endpoint(auditor, at)
    term: Term | None = None
    if record is not None and role_of(auditor) is Role.AUDITOR:
        if scope is Scope.NATIONAL:
            term = record.audits
        else:
            appointed = {one.address: one.term for one in directory.log(at).auditors}
            term = appointed.get(auditor)
    if term is None or not term.holds(time):
        raise PolicyError(
            "no_mandate",
            f"{auditor} has no {scope.value} mandate at this time: "
            + (
                "its authority appoints it in its endpoint record"
                if scope is Scope.NATIONAL
                else "governors appoint it in the log's record"
            ),
        )
    return term


def check_look_up(state: LogState, look_up: LookUp, time: int) -> None:
    """Demand a mandate that lasts, and a session that ends.

    Raises:
        PolicyError: ``no_mandate`` or ``look_up_too_long``.
    """
    mandate_of(state.directory, look_up.author, look_up.scope, time)
    if not time < look_up.until <= time + LONGEST_LOOK_UP:
        raise PolicyError(
            "look_up_too_long",
            f"a look-up ends after it begins and lasts at most {LONGEST_LOOK_UP} ms: "
            f"'until' is {look_up.until - time} ms from this log's time",
        )


def check_disclosure(state: LogState, disclosure: Disclosure) -> None:
    """Demand that who discloses is a party.

    Raises:
        NotFoundError: ``unknown_message``: it neither sent nor received such a message.
    """
    message = state.messages[disclosure.message]
    author = disclosure.author
    if message is None or (author != message.sender and author not in message.deliveries):
        raise _unknown(disclosure.message, f"{author} is no party to a logged message")


def check_purge(state: LogState, statement: PurgeStatement, time: int) -> MessageState:
    """Demand a ground for which content may be deleted; the message.

    Raises:
        NotFoundError: ``unknown_message``.
        PolicyError: ``not_originator``, ``purge_ground`` or ``retention_running``.
        ConflictError: ``already_purged``.
    """
    purge = statement.purge
    message = state.messages[purge.message]
    if message is None:
        raise _unknown(purge.message, "the log holds no message")
    by_broker = purge.author == state.directory.log().broker
    if not by_broker and purge.author != message.sender:
        raise PolicyError("not_originator", "only a message's originator, and the broker, have it purged")
    expected = PurgeGround.RETENTION_ENDED if by_broker else PurgeGround.WITHDRAWN
    if purge.ground is not expected:
        raise PolicyError(
            "purge_ground", f"the ground of {purge.author} can only be '{expected}', got '{purge.ground}'"
        )
    earlier = state.purges[purge.message]
    if earlier is not None:
        raise ConflictError(
            "already_purged",
            f"message {purge.message.hex()} is purged by entry {earlier}",
            payload_hash=purge.message.hex(),
            standing=earlier,
        )
    retention = statement.manifest.handling.retention_until
    if by_broker and time < retention:
        raise PolicyError("retention_running", f"the message is to be kept for another {retention - time} ms")
    return message


def _unknown(payload_hash: bytes, what: str) -> NotFoundError:
    return NotFoundError("unknown_message", f"{what} {payload_hash.hex()}", payload_hash=payload_hash.hex())
