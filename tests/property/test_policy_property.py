"""No order, overlap or combination of rules opens what was denied, or takes back a signature that is demanded."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark_protocol.claims import Claims
from countermark_protocol.errors import PolicyError
from countermark_protocol.explaining import explain
from countermark_protocol.handling import Classification, Tlp
from countermark_protocol.identifiers import Role
from countermark_protocol.policy import (
    SEMANTICS,
    BilateralException,
    Embargo,
    Enforcer,
    Policy,
    PolicyFacts,
    Relation,
    Rule,
    Side,
    Traffic,
    allowing_rule,
)
from countermark_protocol.policy_form import parse_policy
from support.examples import tried

ROLES = (Role.POLICE, Role.CONTACT, Role.LICENSING)
CODES = ("be", "ke", "ug")
TYPES = ("alpha", "beta")
ADDRESSES = [f"{code}.{role}.x" for code in CODES for role in ROLES]

addresses = st.sampled_from(ADDRESSES)
sides = st.builds(
    Side, st.frozensets(st.sampled_from(ROLES), max_size=2), st.frozensets(st.sampled_from(CODES), max_size=2)
)
rules = st.builds(
    Rule,
    id=st.uuids().map(str),
    sender=sides,
    types=st.frozensets(st.sampled_from(TYPES), min_size=1),
    recipient=sides,
    relation=st.sampled_from(Relation),
    most_recipients=st.integers(1, 3),
    ceiling=st.sampled_from(Classification),
    traffic=st.frozensets(st.sampled_from(Traffic), min_size=1),
    release=st.booleans(),
    on_behalf_of=st.none() | sides,
    tlp=st.frozensets(st.sampled_from(Tlp), max_size=3),
    to_group=st.booleans(),
    enforced_by=st.just((Enforcer.BROKER,)),
    basis=st.just("a treaty"),
)
exceptions = st.builds(
    lambda rule, pair, until: BilateralException(
        replace(
            rule,
            sender=Side(rule.sender.roles, frozenset()),
            recipient=Side(rule.recipient.roles, frozenset()),
        ),
        pair,
        until,
    ),
    rules,
    st.sampled_from([("be", "ke"), ("be", "ug"), ("ke", "ug")]),
    st.none() | st.integers(0, 20),
)
embargoes = st.builds(
    Embargo,
    id=st.uuids().map(str),
    sender=sides,
    recipient=sides,
    types=st.frozensets(st.sampled_from(TYPES), max_size=1),
    until=st.none() | st.integers(0, 20),
)
policies = st.builds(
    Policy,
    rules=st.lists(rules, max_size=6).map(tuple),
    semantics=st.just(SEMANTICS),
    exceptions=st.lists(exceptions, max_size=3).map(tuple),
    embargoes=st.lists(embargoes, max_size=2).map(tuple),
    release_above=st.none() | st.sampled_from(Classification),
)
facts = st.builds(
    PolicyFacts,
    sender=addresses,
    type=st.sampled_from(TYPES),
    recipients=st.integers(1, 4),
    classification=st.sampled_from(Classification),
    exercise=st.booleans(),
    replied_to=st.none() | addresses,
    parties=st.frozensets(addresses, max_size=4),
    tlp=st.sampled_from(Tlp),
    to_group=st.booleans(),
    on_behalf_of=st.none() | addresses,
    time=st.none() | st.integers(0, 20),
)
MANY = tried(80)


def verdict(policy, asked, to, *, released):
    told = explain(policy, asked, to, released=released)
    return told.code, told.two_persons


@MANY
@given(st.data(), policies, facts, addresses, st.booleans())
def test_the_order_of_rules_means_nothing(data, policy, asked, to, released):
    other = replace(
        policy,
        rules=tuple(data.draw(st.permutations(policy.rules))),
        exceptions=tuple(data.draw(st.permutations(policy.exceptions))),
        embargoes=tuple(data.draw(st.permutations(policy.embargoes))),
    )
    assert explain(policy, asked, to, released=released) == explain(other, asked, to, released=released)


@MANY
@given(policies, policies, facts, addresses)
def test_two_tables_together_open_nothing_that_each_denies(one, two, asked, to):
    if asked.on_behalf_of is not None:
        return  # that takes two rules by its nature: see below
    both = replace(
        one,
        rules=one.rules + two.rules,
        exceptions=one.exceptions + two.exceptions,
        embargoes=one.embargoes + two.embargoes,
    )
    if explain(both, asked, to, released=True).allowed:
        assert (
            explain(one, asked, to, released=True).allowed or explain(two, asked, to, released=True).allowed
        )


@MANY
@given(policies, st.lists(rules, max_size=3), st.lists(exceptions, max_size=2), facts, addresses)
def test_nothing_added_opens_an_embargo_or_takes_back_the_second_signature(policy, more, agreed, asked, to):
    wider = replace(policy, rules=(*policy.rules, *more), exceptions=(*policy.exceptions, *agreed))
    before = explain(policy, asked, to)
    after = explain(wider, asked, to)
    if before.code == "embargoed":
        assert after.code == "embargoed"
    if before.code == "release_required":
        assert after.code == "release_required"


@MANY
@given(policies, st.lists(embargoes, min_size=1, max_size=3), facts, addresses)
def test_an_embargo_only_denies(policy, more, asked, to):
    narrower = replace(policy, embargoes=(*policy.embargoes, *more))
    if explain(narrower, asked, to, released=True).allowed:
        assert explain(policy, asked, to, released=True).allowed


@MANY
@given(policies, facts, addresses)
def test_what_is_allowed_is_allowed_by_one_rule_alone(policy, asked, to):
    told = explain(policy, asked, to, released=True)
    if not told.allowed or asked.on_behalf_of is not None:
        return
    alone = [Policy((rule,), SEMANTICS) for rule in policy.rules]
    alone += [Policy((), SEMANTICS, exceptions=(one,)) for one in policy.exceptions]
    assert any(explain(one, asked, to, released=True).allowed for one in alone)


@MANY
@given(policies, facts, addresses)
def test_nobody_sends_in_a_name_whose_owner_could_not_have_sent_it(policy, asked, to):
    if asked.on_behalf_of is None or not explain(policy, asked, to, released=True).allowed:
        return
    own = replace(asked, sender=asked.on_behalf_of, on_behalf_of=None)
    assert explain(policy, own, to, released=True).allowed
    assert any(
        rule.on_behalf_of is not None for rule in (*policy.rules, *(e.rule for e in policy.exceptions))
    )


@MANY
@given(policies, facts, addresses, st.integers(1, 4), st.sampled_from(Classification))
def test_fewer_recipients_and_a_lower_classification_close_nothing(policy, asked, to, fewer, lower):
    if fewer > asked.recipients or lower.level > asked.classification.level:
        return
    if explain(policy, asked, to, released=True).allowed:
        easier = replace(asked, recipients=fewer, classification=lower)
        assert explain(policy, easier, to, released=True).allowed


@MANY
@given(st.lists(rules, max_size=6), facts, addresses)
def test_an_empty_table_and_the_first_semantics_allow_nothing_on_behalf_of_others(table, asked, to):
    assert not explain(Policy((), SEMANTICS), asked, to, released=True).allowed
    if asked.on_behalf_of is not None:
        with pytest.raises(PolicyError, match="no rule of the policy"):
            allowing_rule(Policy(tuple(table)), asked, to)


@MANY
@given(policies)
def test_every_table_reads_back(policy):
    claims = Claims(policy.to_json(), "record")
    assert parse_policy(claims) == policy
    claims.done()
