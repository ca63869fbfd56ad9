"""Whom a message goes to: names resolved against the verified directory into an explicit list, on this machine.

The broker is never asked who belongs to a name: it gets the recipients, each by its address. Forms of a name are

- an address;
- ``group:<owner>/<name>``: the members of a group, alone;
- a selector: an address with ``*`` for one or more of its three parts, such as ``ke.*.*`` or ``*.customs.*``;
- ``contact:<country>``: the points of contact that a country has designated; ``contact:made-in`` takes the country of
  manufacture from the content.

A selector takes whom it finds, and leaves out, by name, whom a rule or the sender's own handling excludes. Everybody
else must be reached, or be left out by the sender by name, or nothing is sent. What was resolved stands in the message:
later changes of a group change nothing of it.

Source: docs/spec/messages.md §2.
"""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from countermark_protocol.directory import Directory
from countermark_protocol.encoding import JsonObject, malformed
from countermark_protocol.errors import MalformedError, NotFoundError
from countermark_protocol.identifiers import Address, Role, parse_address, parse_group_name
from countermark_protocol.manifest import ResolvedGroup
from countermark_protocol.offices import OfficeHours, on_duty
from countermark_protocol.recipients import MAX_RECIPIENTS
from countermark_protocol.records import EndpointRecord, GroupRecord

if TYPE_CHECKING:
    from countermark_client._recipient_problems import Problem

GROUP_PREFIX: Final = "group:"
CONTACT_PREFIX: Final = "contact:"
MADE_IN: Final = "contact:made-in"
_COUNTRY: Final = re.compile(r"[A-Za-z]{2}")
#: Weapons outlive States; whom to ask then is for people to decide.
_FORMER: Final = frozenset({"CS", "DD", "RH", "SU", "VD", "YU"})


@dataclass(frozen=True, slots=True)
class Addressee:
    """A recipient, and how it became one.

    Attributes:
        address: of the endpoint.
        by: the name that was given and led to it.
        name: for people; empty if its record says none.
        index: log entry of the record that its address was proven by; None if there is none.
        is_open: whether somebody is there at this moment; None if the directory does not say.
        alternates: who stands in for it at this moment.
    """

    address: Address
    by: str
    name: str
    index: int | None
    is_open: bool | None
    alternates: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Whom a name led to, and why it is not written to.

    Attributes:
        address: of the endpoint.
        by: the name.
        code: of the problem; ``left_out`` where there is none, and the sender left it out all the same.
        message: in words.
    """

    address: Address
    by: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """An explicit list of recipients, and what it was made from.

    Attributes:
        recipients: ordered by address.
        left_out: by selectors, and by the sender's own word.
        problems: what stands against recipients: as long as there is any, nothing is sent.
        group: the group, with the statement that its members were taken from; None if none was named.
        size: entries of the log whose directory was used.
        dir_count: directory statements in it.
        dir_head: root over all records, 32 bytes: proven to stand in the log's last leaf.
    """

    recipients: tuple[Addressee, ...]
    left_out: tuple[LeftOut, ...]
    problems: tuple[Problem, ...]
    group: ResolvedGroup | None
    size: int
    dir_count: int
    dir_head: bytes


@dataclass(frozen=True, slots=True)
class Named:
    """What names lead to, before anybody was looked at more closely.

    Attributes:
        chosen: by address, the name that led to it.
        selected: those of them that only selectors found.
        group: the group, if one was named.
    """

    chosen: dict[Address, str]
    selected: frozenset[Address]
    group: ResolvedGroup | None


def is_open(hours: OfficeHours, time: int) -> bool | None:
    """Whether somebody is there at a time (ms since 1970); None if the zone is not known here."""
    try:
        zone = zoneinfo.ZoneInfo(hours.zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None
    local = dt.datetime.fromtimestamp(time / 1000, zone)
    return hours.is_open(local.isoweekday(), f"{local:%H:%M}")


def office_of(directory: Directory, address: Address, time: int) -> tuple[bool | None, tuple[Address, ...]]:
    """Whether an endpoint's office is open at a time, and who stands in for it then and can receive.

    A suspended endpoint's last record still says who stood in for it.
    """
    held = directory.held(f"endpoint/{address}")
    record = held.record if held is not None else None
    if not isinstance(record, EndpointRecord):
        return None, ()
    hours = record.office_hours
    standing = tuple(a for a in on_duty(record.alternates, time) if directory.keys(a) is not None)
    return (is_open(hours, time) if hours is not None else None), standing


def addressee(directory: Directory, address: Address, by: str, time: int) -> Addressee:
    """What the directory says of a recipient."""
    held = directory.held(f"endpoint/{address}")
    record = held.record if held is not None else None
    open_, alternates = office_of(directory, address, time)
    return Addressee(
        address,
        by,
        record.name if isinstance(record, EndpointRecord) else "",
        held.index if held is not None else None,
        open_,
        alternates,
    )


# --- names ---------------------------------------------------------------------------------------------


def resolve_names(
    directory: Directory, to: Sequence[str], own: Address, content: JsonObject, *, alternates: bool, time: int
) -> Named:
    """Resolve names.

    Args:
        directory: as verified.
        to: names.
        own: the sender, whom no group, selector or contact leads to.
        content: of the message, for ``contact:made-in``.
        alternates: whether those who stand in for closed offices are written to as well.
        time: ms since 1970.

    Raises:
        MalformedError: not a name; ``mixed_recipients``, ``too_many_recipients``, ``several_countries``, …
        NotFoundError: ``unknown_group``, ``nobody_selected``, ``no_contact``.
    """
    if isinstance(to, str):
        msg = "expected a list of addresses, got one string"
        raise TypeError(msg)
    if any(name.startswith(GROUP_PREFIX) for name in to):
        return _group(directory, to, own, alternates=alternates)
    chosen: dict[Address, str] = {}
    named: set[Address] = set()
    for name in to:
        if name.startswith(CONTACT_PREFIX):
            found = contacts(directory, _country(name, content), own)
        elif "*" in name:
            found = select(directory, name, own)
        else:
            found = (parse_address(name, "recipient"),)
        if "*" not in name:
            named.update(found)
        for address in found:
            chosen.setdefault(address, name)
    for address in tuple(chosen) if alternates else ():
        open_, standing_in = office_of(directory, address, time)
        if open_ is False:
            for other in standing_in:
                if other != own:
                    chosen.setdefault(other, f"stands in for {address}")
                    named.add(other)
    _check_number(chosen, "")
    return Named(dict(sorted(chosen.items())), frozenset(chosen) - named, None)


def _check_number(chosen: dict[Address, str], of: str) -> None:
    if not 1 <= len(chosen) <= MAX_RECIPIENTS:
        malformed("too_many_recipients", f"expected 1 to {MAX_RECIPIENTS} recipients{of}, got {len(chosen)}")


def _group(directory: Directory, to: Sequence[str], own: Address, *, alternates: bool) -> Named:
    if len(to) > 1:
        malformed("mixed_recipients", "expected one group, or addresses: a message names one group at most")
    if alternates:
        malformed(
            "alternates_of_group", "a group is written to as it stands: name recipients to include alternates"
        )
    name = parse_group_name(to[0].removeprefix(GROUP_PREFIX))
    record, held = directory.group(name), directory.held(f"group/{name}")
    if record is None or held is None or not isinstance(held.record, GroupRecord):
        raise NotFoundError("unknown_group", f"there is no group '{name}', or it is suspended")
    members = dict.fromkeys(sorted(set(record.members) - {own}), to[0])
    _check_number(members, f" in group '{name}'")
    return Named(members, frozenset(), ResolvedGroup(name, held.statement))


def select(directory: Directory, selector: str, own: Address) -> tuple[Address, ...]:
    """Endpoints in force that a selector finds.

    Raises:
        MalformedError: ``not_a_selector``.
        NotFoundError: ``nobody_selected``.
    """
    wanted = selector.split(".")
    if len(wanted) != 3 or not _is_selector(wanted):
        malformed(
            "not_a_selector",
            "expected an address with '*' for whole parts of it, such as 'ke.*.*' or '*.customs.*'",
        )
    found = tuple(
        address
        for address in _endpoints(directory)
        if address != own
        and all(want in {"*", part} for want, part in zip(wanted, address.split("."), strict=True))
    )
    if not found:
        raise NotFoundError("nobody_selected", f"no endpoint in force is selected by '{selector}'")
    return found


def _is_selector(wanted: list[str]) -> bool:
    # What stands beside the asterisks must be able to stand in an address.
    example = zip(wanted, ("ke", Role.POLICE.value, "x"), strict=True)
    try:
        parse_address(".".join(default if want == "*" else want for want, default in example))
    except MalformedError:
        return False
    return True


def _endpoints(directory: Directory) -> Iterator[Address]:
    for subject in sorted(directory.subjects("endpoint/")):
        if directory.stands(subject):
            yield Address(subject.removeprefix("endpoint/"))


# --- the contact of a country --------------------------------------------------------------------------


def contacts(directory: Directory, country: str, own: Address | None = None) -> tuple[Address, ...]:
    """The points of contact of a country that are in force.

    Args:
        directory: as verified.
        country: ISO 3166-1 alpha-2, in either case.
        own: whom to leave out.

    Raises:
        MalformedError: ``not_a_country``.
        NotFoundError: ``no_contact``.
    """
    if not _COUNTRY.fullmatch(country):
        malformed(
            "not_a_country", f"expected a country as ISO 3166-1 alpha-2, such as BE, got {country[:20]!r}"
        )
    prefix = f"{country.lower()}.{Role.CONTACT.value}."
    found = tuple(a for a in _endpoints(directory) if a.startswith(prefix) and a != own)
    if found:
        return found
    if country.upper() in _FORMER:
        raise NotFoundError(
            "no_contact",
            f"{country.upper()} is a former State without a point of contact: choose one of a successor State",
        )
    bureau = f"{country.lower()}.{Role.NCB.value}."
    others = [a for a in _endpoints(directory) if a.startswith(bureau)]
    hint = f"; its national central bureau is {', '.join(others)}" if others else ""
    raise NotFoundError("no_contact", f"no point of contact of {country.upper()} is in the directory{hint}")


def _country(name: str, content: JsonObject) -> str:
    if name != MADE_IN:
        return name.removeprefix(CONTACT_PREFIX)
    found = set(_made_in(content))
    if not found:
        malformed(
            "no_country_of_manufacture", "the content names no country of manufacture: name the recipient"
        )
    if len(found) > 1:
        malformed(
            "several_countries",
            f"the weapons were made in {', '.join(sorted(found))}: send one message a country",
        )
    return found.pop()


def _made_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for member, inner in value.items():
            if member == "countryOfManufacture" and isinstance(inner, str):
                yield inner
            else:
                yield from _made_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _made_in(inner)
