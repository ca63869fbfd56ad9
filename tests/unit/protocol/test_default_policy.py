"""The default policy against domain page 6.1, case by case, by hand: who may send what to whom."""

from itertools import product

import pytest

from countermark_protocol.default_policy import DEFAULT_POLICY
from countermark_protocol.errors import PolicyError
from countermark_protocol.handling import Classification
from countermark_protocol.identifiers import Role
from countermark_protocol.policy import PolicyFacts, allowing_rule
from countermark_protocol.types import TYPES

TR, TA, TS = "tracing-request", "tracing-acknowledgement", "tracing-response"
CN, DN, LS = "confiscation-notice", "destruction-notice", "lost-or-stolen-notice"
RA, MS = "trade-route-alert", "marking-system-description"
C, S, R = Classification.CONFIDENTIAL, Classification.SECRET, Classification.RESTRICTED

# allowed, type, from role, to role, recipients, classification
CASES = [
    # Tracing requests: field services and points of contact ask points of contact, at most five at once.
    (True, TR, "police", "contact", 1, R),
    (True, TR, "police", "ncb", 5, R),
    (True, TR, "customs", "contact", 1, C),
    (True, TR, "border", "contact", 1, R),
    (True, TR, "contact", "contact", 2, R),
    (True, TR, "ncb", "ncb", 1, R),
    (True, TR, "contact", "organisation", 1, R),
    (False, TR, "police", "contact", 6, R),  # no broadcast traces
    (False, TR, "police", "contact", 200, R),
    (False, TR, "police", "police", 1, R),  # through the points of contact only
    (False, TR, "police", "licensing", 1, R),
    (False, TR, "police", "intelligence", 1, R),
    (False, TR, "police", "donor", 1, R),
    (False, TR, "police", "secretariat", 1, R),
    (False, TR, "police", "auditor", 1, R),
    (False, TR, "police", "contact", 1, S),  # above the ceiling
    (False, TR, "licensing", "contact", 1, R),
    (False, TR, "intelligence", "contact", 1, R),
    (False, TR, "judicial", "contact", 1, R),
    (False, TR, "military", "contact", 1, R),
    (False, TR, "donor", "contact", 1, R),
    (False, TR, "secretariat", "contact", 1, R),
    (False, TR, "auditor", "contact", 1, R),
    # Confiscation and destruction: intelligence may receive, not send.
    (True, CN, "customs", "contact", 1, R),
    (True, CN, "police", "organisation", 50, C),
    (True, CN, "judicial", "contact", 3, R),
    (True, CN, "contact", "police", 1, R),
    (True, CN, "military", "contact", 1, R),
    (True, CN, "police", "intelligence", 1, R),
    (True, DN, "customs", "contact", 1, R),
    (True, DN, "police", "organisation", 1, R),
    (False, CN, "intelligence", "contact", 1, R),
    (False, DN, "intelligence", "contact", 1, R),
    (False, CN, "licensing", "contact", 1, R),
    (False, CN, "ncb", "contact", 1, R),
    (False, CN, "organisation", "contact", 1, R),
    (False, CN, "police", "donor", 1, R),
    (False, CN, "police", "secretariat", 1, R),
    (False, CN, "police", "auditor", 1, R),
    (False, DN, "donor", "contact", 1, R),
    (False, DN, "police", "contact", 1, S),
    # Lost or stolen: to everybody who may stop the weapon.
    (True, LS, "police", "police", 200, R),
    (True, LS, "licensing", "licensing", 1, R),
    (True, LS, "contact", "contact", 190, R),
    (True, LS, "ncb", "customs", 1, R),
    (True, LS, "police", "border", 1000, C),
    (False, LS, "customs", "police", 1, R),
    (False, LS, "organisation", "police", 1, R),
    (False, LS, "intelligence", "police", 1, R),
    (False, LS, "police", "intelligence", 1, R),
    (False, LS, "police", "judicial", 1, R),
    (False, LS, "police", "donor", 1, R),
    (False, LS, "police", "secretariat", 1, R),
    # Route alerts.
    (True, RA, "customs", "customs", 20, R),
    (True, RA, "intelligence", "customs", 20, C),
    (True, RA, "contact", "intelligence", 1, R),
    (True, RA, "police", "military", 1, R),
    (False, RA, "licensing", "customs", 1, R),
    (False, RA, "organisation", "customs", 1, R),
    (False, RA, "judicial", "customs", 1, R),
    (False, RA, "customs", "donor", 1, R),
    (False, RA, "customs", "auditor", 1, R),
    (False, RA, "intelligence", "customs", 1, S),
    # Marking systems: to all, may be public.
    (True, MS, "contact", "police", 1000, Classification.UNCLASSIFIED),
    (True, MS, "licensing", "donor", 1, Classification.UNCLASSIFIED),
    (True, MS, "contact", "secretariat", 1, R),
    (True, MS, "contact", "auditor", 1, R),
    (False, MS, "contact", "police", 1, C),  # what may be public is not confidential
    (False, MS, "police", "contact", 1, R),
    (False, MS, "organisation", "contact", 1, R),
    (False, MS, "contact", "broker", 1, R),
    # Nothing the domain page names but this version has no type for.
    (False, "assistance-request", "contact", "donor", 1, R),
    (False, "mutual-legal-assistance", "judicial", "judicial", 1, R),
    (False, "", "police", "contact", 1, R),
]

# allowed, type, from role, the request's sender's role, to whom ("requester" or another), recipients
ANSWERS = [
    (True, TA, "contact", "police", "requester", 1),
    (True, TS, "contact", "customs", "requester", 1),
    (True, TS, "ncb", "border", "requester", 1),
    (True, TS, "licensing", "police", "requester", 1),  # as the point's delegate
    (True, TS, "organisation", "contact", "requester", 1),
    (True, TA, "ncb", "ncb", "requester", 1),
    (False, TS, "contact", "police", "another", 1),
    (False, TS, "contact", "police", "nothing", 1),  # an answer to no request
    (False, TS, "contact", "police", "requester", 2),  # a copy to a third State needs the consent of both
    (False, TA, "contact", "police", "another", 1),
    (False, TS, "police", "police", "requester", 1),
    (False, TS, "customs", "police", "requester", 1),
    (False, TS, "intelligence", "police", "requester", 1),
    (False, TS, "judicial", "police", "requester", 1),
    (False, TS, "donor", "police", "requester", 1),
    (False, TS, "contact", "judicial", "requester", 1),
    (False, TS, "contact", "donor", "requester", 1),
]


def allows(type_, sender, recipient, recipients, classification, exercise, **more):
    facts = PolicyFacts(sender, type_, recipients, classification, exercise, **more)
    try:
        allowing_rule(DEFAULT_POLICY, facts, recipient)
    except PolicyError:
        return False
    return True


@pytest.mark.parametrize("exercise", [False, True])
@pytest.mark.parametrize(("allowed", "type_", "sender", "recipient", "count", "classification"), CASES)
def test_case(allowed, type_, sender, recipient, count, classification, exercise):
    addresses = f"ke.{sender}.a", f"be.{recipient}.b"
    assert allows(type_, *addresses, count, classification, exercise) is allowed


@pytest.mark.parametrize(("allowed", "type_", "sender", "requester", "to", "count"), ANSWERS)
def test_answer(allowed, type_, sender, requester, to, count):
    asked_by, other = f"ke.{requester}.a", f"ke.{requester}.other"
    recipient = other if to == "another" else asked_by
    replied_to = None if to == "nothing" else asked_by
    # That everybody is a party to the conversation makes no difference: answers go to the requester alone.
    parties = frozenset({asked_by, other, f"be.{sender}.b"})
    assert (
        allows(type_, f"be.{sender}.b", recipient, count, R, False, replied_to=replied_to, parties=parties)
        is allowed
    )


def test_enough_cases_and_enough_denials():
    cases = CASES + ANSWERS
    assert len(cases) >= 60
    assert sum(not case[0] for case in cases) * 2 >= len(cases)
    assert {case[1] for case in cases} >= set(TYPES)


def test_no_rule_lets_anyone_reach_the_broker_or_outsiders_hold_operational_types():
    operational = set(TYPES) - {MS}
    for sender, type_, reply in product(Role, TYPES, (False, True)):
        for recipient in (Role.BROKER, Role.DONOR, Role.SECRETARIAT, Role.AUDITOR):
            if recipient is not Role.BROKER and type_ not in operational:
                continue
            to = f"be.{recipient}.b"
            assert not allows(
                type_,
                f"ke.{sender}.a",
                to,
                1,
                Classification.UNCLASSIFIED,
                False,
                replied_to=to if reply else None,
            )


def test_rule_ids_are_unique():
    assert len({r.id for r in DEFAULT_POLICY.rules}) == len(DEFAULT_POLICY.rules)
