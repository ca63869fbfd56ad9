"""Roles, and what a person may do by them: one pure decision for every page.

A person may have several. Reading messages comes with every role but the administrator's and auditor's own:
who runs the console need not read what it carries.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from countermark_console.errors import InputError
from countermark_console.texts import N_


class Role(StrEnum):
    """What a person is entrusted with."""

    DRAFTS = "drafts"
    RELEASES = "releases"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"


class Right(StrEnum):
    """What a page or a button asks for."""

    READ = "read messages"
    DRAFT = "write drafts and answers"
    RELEASE = "release messages"
    SEE_LOG = "see the agency's log"
    MANAGE = "manage accounts and settings"
    UNLOCK = "unlock the agency's keys"


ROLE_LABELS: Final = {
    Role.DRAFTS: N_("Reads messages, writes drafts and answers"),
    Role.RELEASES: N_("Releases messages that others wrote"),
    Role.AUDITOR: N_("Auditor: sees the agency's log"),
    Role.ADMINISTRATOR: N_("Administrator: accounts and settings"),
}

_RIGHTS: Final = {
    Role.DRAFTS: {Right.READ, Right.DRAFT, Right.UNLOCK},
    Role.RELEASES: {Right.READ, Right.RELEASE, Right.UNLOCK},
    Role.AUDITOR: {Right.SEE_LOG},
    Role.ADMINISTRATOR: {Right.SEE_LOG, Right.MANAGE, Right.UNLOCK},
}


def rights(roles: Iterable[Role]) -> frozenset[Right]:
    """All that these roles give."""
    return frozenset(right for role in roles for right in _RIGHTS[role])


def parse_roles(names: Iterable[str]) -> frozenset[Role]:
    """Roles by their names.

    Raises:
        InputError: ``no_such_role``, ``no_role``.
    """
    out = set()
    for name in names:
        try:
            out.add(Role(name))
        except ValueError:
            raise InputError("no_such_role", N_("Choose roles from the list"), field="roles") from None
    if not out:
        raise InputError("no_role", N_("Choose at least one role"), field="roles")
    return frozenset(out)
