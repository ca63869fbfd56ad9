"""The policy table: deny by default, every column of a rule counts."""

from dataclasses import replace

import pytest

from countermark_protocol.claims import Claims
from countermark_protocol.default_policy import DEFAULT_POLICY
from countermark_protocol.errors import CountermarkError, MalformedError, PolicyError
from countermark_protocol.handling import Classification
from countermark_protocol.identifiers import Role
from countermark_protocol.policy import (
    Policy,
    PolicyFacts,
    Relation,
    Rule,
    Side,
    Traffic,
    allowing_rule,
)
from countermark_protocol.policy_form import parse_policy
from support.world import BRUSSELS, KAMPALA, MOMBASA, NAIROBI

RULE = Rule(
    "one",
    Side(frozenset({Role.POLICE}), frozenset({"ke"})),
    frozenset({"tracing-request"}),
    Side(frozenset({Role.CONTACT, Role.CUSTOMS}), frozenset({"ug", "ke"})),
    Relation.ANY,
    3,
    Classification.RESTRICTED,
    frozenset({Traffic.REAL}),
)
FACTS = PolicyFacts(NAIROBI, "tracing-request", 3, Classification.RESTRICTED, exercise=False)


def denied(policy, facts, recipient):
    with pytest.raises(PolicyError) as caught:
        allowing_rule(policy, facts, recipient)
    assert caught.value.code == "policy_denied"
    assert caught.value.facts == {"recipient": recipient}


def test_an_empty_table_allows_nothing():
    denied(Policy(()), FACTS, KAMPALA)


def test_what_the_rule_allows():
    assert allowing_rule(Policy((RULE,)), FACTS, KAMPALA) == RULE
    assert (
        allowing_rule(Policy((replace(RULE, id="zero", types=frozenset({"x"})), RULE)), FACTS, KAMPALA)
        == RULE
    )
    low = replace(FACTS, classification=Classification.UNCLASSIFIED, recipients=1)
    assert allowing_rule(Policy((RULE,)), low, KAMPALA) == RULE


@pytest.mark.parametrize(
    ("facts", "recipient"),
    [
        (replace(FACTS, sender=MOMBASA), KAMPALA),  # another role
        (replace(FACTS, sender="be.police.x"), KAMPALA),  # another authority
        (replace(FACTS, type="tracing-response"), KAMPALA),
        (replace(FACTS, recipients=4), KAMPALA),
        (replace(FACTS, classification=Classification.CONFIDENTIAL), KAMPALA),
        (replace(FACTS, exercise=True), KAMPALA),
        (FACTS, BRUSSELS),  # another role and authority
        (FACTS, "be.contact.x"),  # another authority
        (FACTS, "ug.police.x"),  # another role
    ],
)
def test_every_column_counts(facts, recipient):
    denied(Policy((RULE,)), facts, recipient)


def test_rules_do_not_add_up():
    # One rule covers the type, another the recipient: neither covers the message.
    a = replace(RULE, id="a", types=frozenset({"x"}))
    b = replace(RULE, id="b", recipient=Side(frozenset({Role.NCB}), frozenset()))
    denied(Policy((a, b)), FACTS, KAMPALA)


def test_relations():
    def allows(relation, recipient=MOMBASA, **changes):
        try:
            allowing_rule(Policy((replace(RULE, relation=relation),)), replace(FACTS, **changes), recipient)
        except PolicyError:
            return False
        return True

    assert allows(Relation.ANY, KAMPALA)
    assert allows(Relation.OWN_AUTHORITY, MOMBASA)
    assert not allows(Relation.OWN_AUTHORITY, KAMPALA)
    assert not allows(Relation.SENDER_OF_IN_REPLY_TO)
    assert not allows(Relation.SENDER_OF_IN_REPLY_TO, replied_to=KAMPALA)
    assert allows(Relation.SENDER_OF_IN_REPLY_TO, replied_to=MOMBASA)
    assert not allows(Relation.PARTY_TO_CONVERSATION)
    assert not allows(Relation.PARTY_TO_CONVERSATION, parties=frozenset({NAIROBI, KAMPALA}))
    assert allows(Relation.PARTY_TO_CONVERSATION, parties=frozenset({NAIROBI, MOMBASA}))


def test_the_refusal_says_what_was_asked():
    with pytest.raises(PolicyError) as caught:
        allowing_rule(Policy(()), replace(FACTS, exercise=True), KAMPALA)
    for word in (NAIROBI, KAMPALA, "tracing-request", "RESTRICTED", "3 recipients", "exercise"):
        assert word in caught.value.message


# --- form ---


def parse(value):
    claims = Claims(value, "record")
    policy = parse_policy(claims)
    claims.done()
    return policy


@pytest.mark.parametrize("policy", [Policy(()), Policy((RULE,)), DEFAULT_POLICY])
def test_reads_back(policy):
    assert parse(policy.to_json()) == policy


def with_rule(**changes):
    return {"semantics": 1, "rules": [RULE.to_json() | changes]}


@pytest.mark.parametrize(
    ("error", "code", "value"),
    [
        (MalformedError, "missing_member", {"rules": []}),
        (MalformedError, "missing_member", {"semantics": 2, "rules": []}),
        (MalformedError, "bad_member", {"semantics": 3, "rules": []}),
        (MalformedError, "bad_member", {"semantics": 1, "rules": {}}),
        (MalformedError, "not_an_object", {"semantics": 1, "rules": [1]}),
        (MalformedError, "bad_member", {"semantics": 1, "rules": [RULE.to_json()] * 2}),
        (MalformedError, "unknown_member", with_rule(deny=True)),
        (MalformedError, "bad_member", with_rule(id="")),
        (MalformedError, "bad_member", with_rule(id="é")),
        (MalformedError, "bad_member", with_rule(id=5)),
        (MalformedError, "bad_member", with_rule(types=[])),
        (MalformedError, "bad_member", with_rule(types=["a", "a"])),
        (MalformedError, "bad_member", with_rule(relation="friend")),
        (MalformedError, "bad_member", with_rule(most_recipients=0)),
        (MalformedError, "bad_member", with_rule(most_recipients=1001)),
        (MalformedError, "bad_member", with_rule(ceiling="HIGH")),
        (MalformedError, "bad_member", with_rule(traffic=[])),
        (MalformedError, "bad_member", with_rule(traffic=["drill"])),
        (MalformedError, "bad_member", with_rule(traffic=[[]])),
        (MalformedError, "bad_member", with_rule(**{"from": {"roles": []}})),
        (MalformedError, "bad_member", with_rule(**{"from": {"roles": ["wizard"]}})),
        (MalformedError, "bad_member", with_rule(**{"from": {"roles": [{}]}})),
        # An empty list of authorities would read as "none" or as "all".
        (MalformedError, "bad_member", with_rule(**{"from": {"roles": ["police"], "authorities": []}})),
        (MalformedError, "not_an_authority", with_rule(to={"roles": ["police"], "authorities": ["KE"]})),
        (MalformedError, "unknown_member", with_rule(to={"roles": ["police"], "endpoints": []})),
        (PolicyError, "reserved_release", with_rule(signatures=["sign", "release"])),
        (PolicyError, "reserved_release", with_rule(signatures=[])),
    ],
)
def test_tables_outside_the_language(error, code, value):
    with pytest.raises(CountermarkError) as caught:
        parse(value)
    assert (type(caught.value), caught.value.code) == (error, code)
