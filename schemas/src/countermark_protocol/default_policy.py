"""The default policy: who may send what to whom (domain page 6.1), as a table governors may adopt.

Source: docs/spec/policy.md §4.
"""

from __future__ import annotations

from typing import Final

from countermark_protocol.handling import Classification
from countermark_protocol.identifiers import Role
from countermark_protocol.policy import Policy, Relation, Rule, Side, Traffic

_BOTH: Final = frozenset(Traffic)
#: Who registers and traces weapons in a State.
_OPERATIONAL: Final = (Role.POLICE, Role.CUSTOMS, Role.BORDER)
_POINTS: Final = (Role.CONTACT, Role.NCB)
#: Everyone who may hold operational messages; donors, secretariats and auditors may not.
_FIELD: Final = (
    *_OPERATIONAL,
    *_POINTS,
    Role.LICENSING,
    Role.INTELLIGENCE,
    Role.JUDICIAL,
    Role.MILITARY,
    Role.ORGANISATION,
)


def _side(*roles: Role) -> Side:
    return Side(frozenset(roles), frozenset())


def _rule(
    name: str,
    types: tuple[str, ...],
    senders: tuple[Role, ...],
    recipients: tuple[Role, ...],
    relation: Relation = Relation.ANY,
    most: int = 1000,
    ceiling: Classification = Classification.CONFIDENTIAL,
) -> Rule:
    return Rule(name, _side(*senders), frozenset(types), _side(*recipients), relation, most, ceiling, _BOTH)


DEFAULT_POLICY: Final = Policy(
    (
        # ITI paragraphs 16, 17, 25: no broadcast traces, at most five addressees.
        _rule(
            "trace-request",
            ("tracing-request",),
            (*_OPERATIONAL, *_POINTS),
            (*_POINTS, Role.ORGANISATION),
            most=5,
        ),
        # ITI paragraphs 18 to 23: answers go to the requester alone.
        _rule(
            "trace-answer",
            ("tracing-acknowledgement", "tracing-response"),
            (*_POINTS, Role.LICENSING, Role.ORGANISATION),
            (*_OPERATIONAL, *_POINTS),
            Relation.SENDER_OF_IN_REPLY_TO,
            most=1,
        ),
        # ITI paragraph 9; Firearms Protocol article 6. Intelligence may receive, not send.
        _rule(
            "seizure-and-destruction",
            ("confiscation-notice", "destruction-notice"),
            (Role.CUSTOMS, Role.POLICE, Role.BORDER, Role.JUDICIAL, Role.CONTACT, Role.MILITARY),
            _FIELD,
        ),
        _rule(
            "lost-or-stolen",
            ("lost-or-stolen-notice",),
            (Role.POLICE, Role.LICENSING, *_POINTS),
            (*_OPERATIONAL, *_POINTS, Role.LICENSING, Role.ORGANISATION),
        ),
        # Firearms Protocol article 12 (2); ATT article 11.
        _rule(
            "route-alert",
            ("trade-route-alert",),
            (Role.CUSTOMS, Role.POLICE, Role.BORDER, Role.INTELLIGENCE, *_POINTS),
            _FIELD,
        ),
        # ITI paragraph 31 (b): may be public.
        _rule(
            "marking-system",
            ("marking-system-description",),
            (Role.CONTACT, Role.LICENSING),
            tuple(r for r in Role if r is not Role.BROKER),
            ceiling=Classification.RESTRICTED,
        ),
    )
)
