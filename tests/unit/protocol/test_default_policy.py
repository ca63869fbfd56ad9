"""The default policy against domain page 6.1: the cases of policy_cases.csv, each with the answer that a person expects."""

import csv
from itertools import product
from pathlib import Path

import pytest

from countermark_protocol.default_policy import DEFAULT_POLICY
from countermark_protocol.explaining import explain
from countermark_protocol.handling import Classification, Tlp
from countermark_protocol.identifiers import Role
from countermark_protocol.policy import Enforcer, PolicyFacts
from countermark_protocol.types import TYPES

PLACE = Path(__file__).with_name("policy_cases.csv")
NOW = 1_800_000_000_000


def cases():
    lines = [line for line in PLACE.read_text().splitlines() if not line.startswith("#")]
    return list(csv.DictReader(lines, strict=True))


CASES = cases()


def judged(case):
    """The code of the refusal, or `allow`."""
    said = dict(one.partition("=")[::2] for one in case["with"].split())
    assert set(said) <= {"n", "class", "tlp", "group", "exercise", "reply", "behalf", "two", "release"}, case
    facts = PolicyFacts(
        sender=case["from"],
        type=case["type"],
        recipients=int(said.get("n", 1)),
        classification=Classification(said.get("class", "RESTRICTED")),
        exercise="exercise" in said,
        replied_to=said.get("reply"),
        # Who replies writes within a conversation, to parties of it; an answer goes to the requester alone.
        parties=parties(case, said),
        tlp=Tlp(said.get("tlp", "AMBER")),
        to_group="group" in said,
        on_behalf_of=said.get("behalf"),
        time=NOW,
    )
    told = explain(
        DEFAULT_POLICY,
        facts,
        case["to"],
        released="two" in said,
        releasable_to=tuple(filter(None, said.get("release", "").split("+"))),
    )
    return told.code or "allow"


def parties(case, said):
    return frozenset({case["from"], case["to"], "ke.police.a"}) if "reply" in said else frozenset()


def named(case):
    return " ".join(filter(None, (case["type"], case["from"], case["to"], case["with"])))


@pytest.mark.parametrize("case", CASES, ids=named)
def test_case(case):
    assert judged(case) == case["expect"], case["paragraph"]


def test_enough_cases_and_enough_denials_and_each_row_of_the_page():
    assert len(CASES) >= 220
    assert len({tuple(case.values()) for case in CASES}) == len(CASES)
    assert sum(case["expect"] != "allow" for case in CASES) * 2 > len(CASES)
    assert {case["type"] for case in CASES} >= set(TYPES)
    rows = {
        "tracing-request", "ack / response", "confiscation / destruction", "lost-or-stolen", "trade-route-alert",
        "marking-system-description", "assistance-*", "licence verification", "transfer-refusal", "MLA",
        "national-report", "two-person rule", "each type",
    }  # fmt: skip
    assert {row for row in rows if any(case["paragraph"].startswith(f"6.1 {row}") for case in CASES)} == rows
    used = {rule.id for rule in DEFAULT_POLICY.rules}
    assert used == {rule for case in CASES if case["expect"] == "allow" for rule in fitting(case)}


def fitting(case):
    """The rule that allows a case; every rule of the table must be wanted by one."""
    said = dict(one.partition("=")[::2] for one in case["with"].split())
    facts = PolicyFacts(
        sender=case["from"],
        type=case["type"],
        recipients=int(said.get("n", 1)),
        classification=Classification(said.get("class", "RESTRICTED")),
        exercise="exercise" in said,
        replied_to=said.get("reply"),
        parties=parties(case, said),
        tlp=Tlp(said.get("tlp", "AMBER")),
        to_group="group" in said,
        on_behalf_of=said.get("behalf"),
    )
    rule = explain(DEFAULT_POLICY, facts, case["to"], released=True).rule
    return [rule.id] if rule is not None else []


def test_no_rule_lets_anyone_reach_the_broker_or_outsiders_hold_operational_types():
    # What States tell everybody of themselves, and what assistance is asked for and offered.
    operational = {t for t in TYPES if not t.startswith("assistance-")} - {
        "marking-system-description",
        "contact-point-notice",
        "national-report",
    }
    for sender, type_, reply, group in product(Role, TYPES, (False, True), (False, True)):
        for recipient in (Role.BROKER, Role.DONOR, Role.SECRETARIAT, Role.AUDITOR):
            if recipient is not Role.BROKER and type_ not in operational:
                continue
            to = f"be.{recipient}.b"
            facts = PolicyFacts(
                f"ke.{sender}.a",
                type_,
                1,
                Classification.UNCLASSIFIED,
                exercise=False,
                replied_to=to if reply else None,
                tlp=Tlp.CLEAR,
                to_group=group,
            )
            assert not explain(DEFAULT_POLICY, facts, to, released=True).allowed


def test_every_rule_says_who_enforces_it_and_where_it_comes_from():
    ids = [r.id for r in DEFAULT_POLICY.rules] + [d.id for d in DEFAULT_POLICY.duties]
    assert len(set(ids)) == len(ids)
    for rule in DEFAULT_POLICY.rules:
        assert Enforcer.BROKER in rule.enforced_by
        assert rule.basis.startswith("6.1 ")
    for duty in DEFAULT_POLICY.duties:
        assert duty.enforced_by
        assert Enforcer.BROKER not in duty.enforced_by
        assert duty.basis.startswith("6.1 ")
