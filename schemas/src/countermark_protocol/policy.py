"""Policy: who may send what to whom; a table, deny by default.

Every recipient of a message needs a rule that allows it. Rules only allow; nothing in one rule can widen
another, and their order means nothing. A ``semantics`` number keeps old decisions replayable.

Source: docs/spec/policy.md; the default table follows the domain page 6.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from countermark_protocol.claims import Claims
from countermark_protocol.encoding import JsonObject, malformed
from countermark_protocol.errors import PolicyError
from countermark_protocol.handling import Classification
from countermark_protocol.identifiers import (
    Address,
    AuthorityCode,
    Role,
    authority_of,
    parse_authority_code,
    role_of,
)
from countermark_protocol.recipients import MAX_RECIPIENTS

SEMANTICS: Final = 1


class Relation(StrEnum):
    """What must hold between sender and recipient."""

    ANY = "any"
    OWN_AUTHORITY = "own-authority"
    SENDER_OF_IN_REPLY_TO = "sender-of-in-reply-to"
    PARTY_TO_CONVERSATION = "party-to-conversation"


class Traffic(StrEnum):
    """Real messages, or drill traffic (``exercise``)."""

    REAL = "real"
    EXERCISE = "exercise"


@dataclass(frozen=True, slots=True)
class Side:
    """Which endpoints a rule's side covers.

    Attributes:
        roles: any of these roles.
        authorities: any of these authorities; empty means all.
    """

    roles: frozenset[Role]
    authorities: frozenset[AuthorityCode]

    def covers(self, address: Address) -> bool:
        """Whether `address` is on this side."""
        return role_of(address) in self.roles and (
            not self.authorities or authority_of(address) in self.authorities
        )

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        out: JsonObject = {"roles": sorted(r.value for r in self.roles)}
        if self.authorities:
            out["authorities"] = sorted(self.authorities)
        return out


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table.

    Attributes:
        id: names the rule in refusals and explanations.
        sender: who may send.
        types: which message types.
        recipient: to whom.
        relation: what must hold between the two.
        most_recipients: of the whole message.
        ceiling: highest classification.
        traffic: real, exercise or both.
    """

    id: str
    sender: Side
    types: frozenset[str]
    recipient: Side
    relation: Relation
    most_recipients: int
    ceiling: Classification
    traffic: frozenset[Traffic]

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        return {
            "id": self.id,
            "from": self.sender.to_json(),
            "types": sorted(self.types),
            "to": self.recipient.to_json(),
            "relation": self.relation.value,
            "most_recipients": self.most_recipients,
            "ceiling": self.ceiling.value,
            "traffic": sorted(t.value for t in self.traffic),
            "signatures": ["sign"],
        }


@dataclass(frozen=True, slots=True)
class Policy:
    """Subject ``policy``: the whole table.

    Attributes:
        rules: in the order written; the order means nothing.
    """

    rules: tuple[Rule, ...]

    def to_json(self) -> JsonObject:
        """The record."""
        return {"semantics": SEMANTICS, "rules": [r.to_json() for r in self.rules]}


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """What the table is asked about one message.

    Attributes:
        sender: of the message.
        type: of the message.
        recipients: how many it has.
        classification: of the message.
        exercise: whether it is drill traffic.
        replied_to: sender of the message it replies to, if it replies.
        parties: everybody who sent or received a message of its conversation so far.
    """

    sender: Address
    type: str
    recipients: int
    classification: Classification
    exercise: bool
    replied_to: Address | None = None
    parties: frozenset[Address] = frozenset()


def _matches(rule: Rule, facts: PolicyFacts, recipient: Address) -> bool:
    # What rules out most rules comes first.
    return (
        facts.type in rule.types
        and rule.sender.covers(facts.sender)
        and rule.recipient.covers(recipient)
        and _related(rule.relation, facts, recipient)
        and facts.recipients <= rule.most_recipients
        and facts.classification.level <= rule.ceiling.level
        and (Traffic.EXERCISE if facts.exercise else Traffic.REAL) in rule.traffic
    )


def _related(relation: Relation, facts: PolicyFacts, recipient: Address) -> bool:
    if relation is Relation.ANY:
        return True
    if relation is Relation.OWN_AUTHORITY:
        return authority_of(facts.sender) == authority_of(recipient)
    if relation is Relation.SENDER_OF_IN_REPLY_TO:
        return facts.replied_to == recipient
    return recipient in facts.parties


def allowing_rule(policy: Policy, facts: PolicyFacts, recipient: Address) -> Rule:
    """The first rule that allows a message to one recipient.

    Raises:
        PolicyError: no rule does (``policy_denied``).
    """
    for rule in policy.rules:
        if _matches(rule, facts, recipient):
            return rule
    raise PolicyError(
        "policy_denied",
        f"no rule of the policy lets {facts.sender} send {'an exercise ' if facts.exercise else 'a '}"
        f"'{facts.type}' ({facts.classification.value}, {facts.recipients} recipients) to {recipient}",
        recipient=recipient,
    )


# --- parsing -----------------------------------------------------------------------------------------


def _role(value: Any, what: str) -> Role:
    if not isinstance(value, str) or value not in set(Role):
        malformed("bad_member", f"{what}: expected roles of docs/spec/encoding.md §5")
    return Role(value)


def _side(value: Any, what: str) -> Side:
    claims = Claims(value, what)
    side = Side(
        roles=frozenset(claims.list_of("roles", _role, 1, len(Role))),
        authorities=frozenset(claims.list_of("authorities", parse_authority_code, 1, 300))
        if claims.has("authorities")
        else frozenset(),
    )
    claims.done()
    return side


def _traffic(value: Any, what: str) -> Traffic:
    if not isinstance(value, str) or value not in set(Traffic):
        malformed("bad_member", f"{what}: expected 'real' or 'exercise'")
    return Traffic(value)


def _name(value: Any, what: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 64 or not value.isascii():
        malformed("bad_member", f"{what}: expected a name of 1 to 64 ASCII characters")
    return value


def _rule(value: Any, what: str) -> Rule:
    claims = Claims(value, what)
    rule = Rule(
        id=claims.parsed("id", _name),
        sender=claims.parsed("from", _side),
        types=frozenset(claims.list_of("types", _name, 1, 100)),
        recipient=claims.parsed("to", _side),
        relation=claims.choice("relation", Relation),
        most_recipients=claims.integer("most_recipients", 1, MAX_RECIPIENTS),
        ceiling=claims.choice("ceiling", Classification),
        traffic=frozenset(claims.list_of("traffic", _traffic, 1, 2)),
    )
    if claims.raw("signatures") != ["sign"]:
        raise PolicyError(
            "reserved_release", "rules that demand further signatures are reserved for a later version"
        )
    claims.done()
    return rule


def parse_policy(claims: Claims) -> Policy:
    """Read a policy record.

    Raises:
        MalformedError: a member is missing, wrong or unknown, or a rule's id stands twice.
        PolicyError: a rule demands what this version reserves.
    """
    if claims.integer("semantics", 1, 65535) != SEMANTICS:
        claims.bad("semantics", f"semantics {SEMANTICS}")
    rules = tuple(_rule(v, f"rule {i}") for i, v in enumerate(claims.items("rules", 0, 1000)))
    if len({r.id for r in rules}) != len(rules):
        claims.bad("rules", "every rule id once")
    return Policy(rules)
