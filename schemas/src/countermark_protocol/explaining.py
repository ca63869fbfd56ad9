"""What the policy would say of a message that nobody has written yet, and by which rule; and what another would.

The same functions decide as for real messages. What is not known of a message (who replied to what) is a question to
who asks.

Source: docs/spec/policy.md §5, §6.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from countermark_protocol.encoding import JsonObject
from countermark_protocol.errors import PolicyError
from countermark_protocol.identifiers import Address, AuthorityCode
from countermark_protocol.policy import (
    Duty,
    Policy,
    PolicyFacts,
    Rule,
    allowing_rule,
    check_marking,
    check_releasable,
    demand_release,
    misfits,
    release_demanded,
    rules_in_force,
)

_MOST_NEAR: Final = 3


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would happen to a message at one recipient.

    Attributes:
        recipient: the one asked about.
        code: of the refusal; None if it is allowed.
        text: of the refusal as broker and client would word it; None if it is allowed.
        rule: that allows it, or None.
        two_persons: why a second person must sign; None if nobody asks for that.
        near: rules about this type that do not fit, the closest first, each with what keeps it from fitting.
        duties: what others than the broker see to, about this type.
    """

    recipient: Address
    code: str | None
    text: str | None
    rule: Rule | None
    two_persons: str | None
    near: tuple[tuple[str, tuple[str, ...]], ...]
    duties: tuple[Duty, ...]

    @property
    def allowed(self) -> bool:
        """Whether it would be accepted, as it was described."""
        return self.code is None

    def to_json(self) -> JsonObject:
        """For programs."""
        return {
            "recipient": self.recipient,
            "allowed": self.allowed,
            "code": self.code,
            "text": self.text,
            "rule": self.rule.to_json() if self.rule is not None else None,
            "two_persons": self.two_persons,
            "near": [{"rule": name, "but": list(reasons)} for name, reasons in self.near],
            "duties": [duty.to_json() for duty in self.duties],
        }


def explain(
    policy: Policy,
    facts: PolicyFacts,
    recipient: Address,
    *,
    released: bool = False,
    releasable_to: Sequence[AuthorityCode] = (),
    own_demand: str | None = None,
) -> Explanation:
    """Say what would happen to a message at one recipient, and by which rule.

    Args:
        policy: the table.
        facts: of the message.
        recipient: the one asked about.
        released: whether a second person signs.
        releasable_to: of its handling; empty means no such limit.
        own_demand: why the sender's endpoint lets two persons sign by its own record, or None.
    """
    duties = tuple(d for d in policy.duties if not d.types or facts.type in d.types)
    why: str | None = None
    rule: Rule | None = None
    try:
        check_marking(facts)
        check_releasable(releasable_to, recipient)
        rule = allowing_rule(policy, facts, recipient)
        why = own_demand or release_demanded(policy, facts, recipient)
        demand_release(facts, recipient, why, released=released)
    except PolicyError as error:
        near = tuple(_near(policy, facts, recipient)) if rule is None else ()
        return Explanation(recipient, error.code, error.message, rule, why, near, duties)
    return Explanation(recipient, None, None, rule, why, (), duties)


def _near(policy: Policy, facts: PolicyFacts, recipient: Address) -> Iterator[tuple[str, tuple[str, ...]]]:
    about = [
        (rule.id, tuple(misfits(rule, facts, recipient)))
        for rule in rules_in_force(policy, facts.sender, recipient, facts.time)
        if facts.type in rule.types
    ]
    yield from sorted((one for one in about if one[1]), key=lambda one: (len(one[1]), one[0]))[:_MOST_NEAR]


# --- trying another table ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Past:
    """A message that was decided upon.

    Attributes:
        message: its payload hash, 32 bytes.
        index: of its log entry; None for one that was refused.
        facts: of it, as they were.
        recipients: those that are known.
        released: whether a second person had signed.
    """

    message: bytes
    index: int | None
    facts: PolicyFacts
    recipients: tuple[Address, ...]
    released: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What another table makes of a message at one recipient.

    Attributes:
        past: the message.
        recipient: at which it changes.
        before: code of the refusal by the table that stands; None if that allows it.
        after: code of the refusal by the other; None if that allows it.
        text: of the refusal that comes, or None.
        rule: that allows it from then on, or None.
    """

    past: Past
    recipient: Address
    before: str | None
    after: str | None
    text: str | None
    rule: str | None


def try_policy(standing: Policy, proposed: Policy, messages: Iterable[Past], now: int) -> Iterator[Change]:
    """What would be decided otherwise by a proposed table than by the one that stands, were these messages sent now.

    Args:
        standing: the table in force.
        proposed: the other.
        messages: to be asked about.
        now: ms since 1970; exceptions and embargoes that end are asked about as of then.
    """
    for past in messages:
        facts = replace(past.facts, time=now)
        for recipient in past.recipients:
            before = explain(standing, facts, recipient, released=past.released)
            after = explain(proposed, facts, recipient, released=past.released)
            if before.code != after.code:
                rule = after.rule.id if after.rule is not None else None
                yield Change(past, recipient, before.code, after.code, after.text, rule)
