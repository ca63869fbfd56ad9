"""Appointments as people type them, and what they change: witnesses, and auditors' terms.

Reading a record takes a witness's key as it comes, since not every release knows every kind. Whoever *names* a witness
is told at once where a key cannot be read: it would never count.

Source: docs/spec/directory.md §2; docs/spec/audit.md §1; docs/spec/witness.md §3.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from countermark_protocol.cosignature import parse_cosigner_vkey
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import NotFoundError
from countermark_protocol.mandates import Oversight, Term, Witness, parse_oversight, parse_witness

#: How a witness is named to a command.
WITNESS_FORM = "NAME=VKEY[,VKEY][@URL]"


def parse_appointed_witness(text: str) -> Witness:
    """A witness from ``NAME=VKEY[,VKEY][@URL]``.

    Args:
        text: name for people, one or two verifier keys of its cosigner, and where it is asked for cosignatures.

    Raises:
        MalformedError: ``bad_witness``: of another form; a verifier key cannot be read.
    """
    name, _, rest = text.partition("=")
    at = min((i for i in (rest.find("@https://"), rest.find("@http://")) if i >= 0), default=len(rest))
    vkeys, url = rest[:at].split(","), rest[at + 1 :]
    if not name or not rest or not all(vkeys):
        malformed("bad_witness", f"expected a witness as {WITNESS_FORM}, got '{text[:80]}'")
    for vkey in vkeys:
        parse_cosigner_vkey(vkey)
    value: dict[str, object] = {"name": name, "keys": vkeys}
    if url:
        value["url"] = url
    return parse_witness(value, "witness")


def parse_term_of(since: str, until: str) -> Term:
    """A term from two dates or times, ISO 8601; UTC where no zone is given.

    Raises:
        MalformedError: ``bad_term``: not dates, or `until` is not after `since`.
    """
    term = Term(_time(since), _time(until))
    if term.until <= term.since:
        malformed("bad_term", f"expected a term that ends after it begins, got {since} to {until}")
    return term


def _time(text: str) -> int:
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        malformed(
            "bad_term",
            f"expected a date or time such as 2026-12-01 or 2026-12-01T09:00:00Z, got '{text[:40]}'",
        )
    value = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return int(value.timestamp()) * 1000


def make_oversight(address: str, term: Term) -> Oversight:
    """An oversight auditor's appointment.

    Raises:
        MalformedError: not the address of an auditor.
    """
    return parse_oversight({"address": address, **term.to_json()}, "auditor")


def change_witnesses(
    before: tuple[Witness, ...],
    quorum_before: int,
    add: Iterable[Witness],
    remove: Iterable[str],
    quorum: int | None,
) -> tuple[tuple[Witness, ...], int]:
    """Witnesses, and how many of them it takes, after some were named and others withdrawn.

    Args:
        before: as they stand.
        quorum_before: as it stands; 0 while there are none.
        add: to be named; one of a name that is there takes its place.
        remove: names of those withdrawn.
        quorum: how many it takes from now on; as before, if None.

    Raises:
        NotFoundError: ``unknown_witness``: none of that name is there.
        MalformedError: ``bad_witness_quorum``: more than there are witnesses, or not said where there were none.
    """
    named = {witness.name: witness for witness in before}
    for name in remove:
        if named.pop(name, None) is None:
            raise NotFoundError("unknown_witness", f"the log names no witness '{name}'")
    named |= {witness.name: witness for witness in add}
    wanted = quorum if quorum is not None else quorum_before if named else 0
    if not (1 <= wanted <= len(named) if named else wanted == 0):
        malformed(
            "bad_witness_quorum",
            f"expected a quorum from 1 to the {len(named)} witnesses named, got {wanted}"
            if named
            else "expected no quorum where there are no witnesses",
        )
    return tuple(named.values()), wanted


def change_auditors(
    before: tuple[Oversight, ...], add: Iterable[Oversight], remove: Iterable[str]
) -> tuple[Oversight, ...]:
    """Oversight auditors after some were appointed, or given another term, and others withdrawn.

    Raises:
        NotFoundError: ``unknown_auditor``: one to be withdrawn is not appointed.
    """
    named = {str(auditor.address): auditor for auditor in before}
    for address in remove:
        if named.pop(address, None) is None:
            raise NotFoundError("unknown_auditor", f"{address} is not appointed an oversight auditor")
    named |= {str(auditor.address): auditor for auditor in add}
    return tuple(named.values())
