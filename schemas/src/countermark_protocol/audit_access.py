"""What an auditor may be shown under a look-up that it has logged, and for how long.

The look-up was judged when it was logged; the same function judges the mandate again, as of the newest published tree,
each time something is shown. Every broker asks here.

Source: docs/spec/audit.md §2.3, §5.
"""

from __future__ import annotations

from typing import Final

from countermark_protocol.acts import LookUp, Scope, parse_look_up
from countermark_protocol.boxes import Box
from countermark_protocol.claims import Kind
from countermark_protocol.deciding_acts import mandate_of
from countermark_protocol.directory import Directory
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import NotFoundError, PolicyError
from countermark_protocol.identifiers import Address, authority_of

#: Boxes in one account (docs/spec/log.md 7.1), by endpoints.
MOST_ENDPOINTS: Final = 10_000 // len(Box)


def logged_look_up(name: bytes, kind: int | None, document: bytes, auditor: Address) -> LookUp:
    """The look-up of an auditor that is a certain entry.

    Args:
        name: payload hash by which it was asked for, 32 bytes.
        kind: of the entry of that payload; None if there is none.
        document: the entry's signed document.
        auditor: who asks.

    Raises:
        NotFoundError: ``no_such_look_up``: it is none, or another's.
    """
    if kind == Kind.LOOKUP:
        look_up = parse_look_up(parse_document(document).claims)
        if look_up.author == auditor:
            return look_up
    raise NotFoundError(
        "no_such_look_up",
        f"{auditor} has logged no look-up {name.hex()}: state it first",
        payload_hash=name.hex(),
    )


def check_showing(directory: Directory, look_up: LookUp, scope: Scope, now: int, at: int) -> None:
    """Demand that something may be shown under a logged look-up.

    Args:
        directory: folded.
        look_up: of the caller.
        scope: that the call needs.
        now: ms since 1970.
        at: index of the last published leaf.

    Raises:
        PolicyError: ``look_up_over``: it has ended, or the mandate counts no more; ``other_scope``.
    """
    if now >= look_up.until:
        raise PolicyError(
            "look_up_over", f"the look-up ended {now - look_up.until} ms ago: state another one"
        )
    try:
        mandate_of(directory, look_up.author, look_up.scope, now, at)
    except PolicyError as error:
        raise PolicyError("look_up_over", f"the mandate counts no more: {error.message}") from None
    if look_up.scope is not scope:
        raise PolicyError(
            "other_scope", f"this call needs a look-up of scope '{scope}', got '{look_up.scope}'"
        )


def covered_endpoints(directory: Directory, auditor: Address, at: int) -> list[Address]:
    """Every endpoint of an auditor's authority that the directory has ever named up to an index, in order.

    Its own is among them. Those that are suspended are too: what was delivered to them was.
    """
    prefix = f"endpoint/{authority_of(auditor)}."
    named = (s for s in directory.subjects(prefix) if directory.held(s, at) is not None)
    return sorted(Address(subject.removeprefix("endpoint/")) for subject in named)


def check_covered(address: Address, owners: list[Address], auditor: Address) -> None:
    """Demand that an endpoint is within a national auditor's mandate.

    Raises:
        PolicyError: ``outside_mandate``.
    """
    if address not in owners:
        raise PolicyError(
            "outside_mandate",
            f"the directory names no endpoint {address} of authority '{authority_of(auditor)}'",
        )


def check_stateable(owners: list[Address]) -> None:
    """Demand that one account can state the boxes of all endpoints of a mandate.

    Raises:
        PolicyError: ``mandate_too_large``.
    """
    if len(owners) > MOST_ENDPOINTS:
        raise PolicyError(
            "mandate_too_large",
            f"the authority has {len(owners)} endpoints, and one account states the boxes of at most "
            f"{MOST_ENDPOINTS}: read them at the last position that is there",
        )
