"""Policy: who may send what to whom; a table, deny by default.

Every recipient of a message needs a rule that allows it. Rules and bilateral exceptions only allow; an embargo only
denies, and stands above both. Nothing in one rule can widen another, none can take back a signature that another
demands, and their order means nothing. A ``semantics`` number keeps old decisions replayable: what it says of a
table that was in force then stays in this code.

Source: docs/spec/policy.md; the default table (default_policy.py) follows the domain page 6.1.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from countermark_protocol.encoding import JsonObject
from countermark_protocol.errors import PolicyError
from countermark_protocol.handling import Classification, Tlp
from countermark_protocol.identifiers import Address, AuthorityCode, Role, authority_of, role_of

#: Roles and relations alone.
ROLES_ALONE: Final = 1
#: And exceptions, embargoes, further signatures, groups, TLP.
SEMANTICS: Final = 2


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


class Enforcer(StrEnum):
    """Who sees to it that a rule of the process is kept."""

    BROKER = "broker"
    SENDER = "sender"
    RECIPIENT = "recipient"
    PROCEDURE = "procedure"


@dataclass(frozen=True, slots=True)
class Side:
    """Which endpoints a rule's side covers.

    Attributes:
        roles: any of these roles; empty means all (from semantics 2 on).
        authorities: any of these authorities; empty means all.
    """

    roles: frozenset[Role]
    authorities: frozenset[AuthorityCode]

    def covers(self, address: Address) -> bool:
        """Whether `address` is on this side."""
        return (not self.roles or role_of(address) in self.roles) and (
            not self.authorities or authority_of(address) in self.authorities
        )

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        out: JsonObject = {}
        if self.roles:
            out["roles"] = sorted(r.value for r in self.roles)
        if self.authorities:
            out["authorities"] = sorted(self.authorities)
        return out


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table; the members from `release` on belong to semantics 2.

    Attributes:
        id: names the rule in refusals and explanations.
        sender: who may send.
        types: which message types.
        recipient: to whom.
        relation: what must hold between the two.
        most_recipients: of the whole message.
        ceiling: highest classification.
        traffic: real, exercise or both.
        release: a second person of the sender's endpoint must have signed.
        on_behalf_of: for messages sent on behalf of an endpoint on this side, and for no others; None: for those
            that are sent in one's own name.
        tlp: only these markings; empty means all.
        to_group: only messages that name the group of their recipients.
        enforced_by: who sees to it; the broker always does.
        basis: where the rule comes from, for people.
    """

    id: str
    sender: Side
    types: frozenset[str]
    recipient: Side
    relation: Relation
    most_recipients: int
    ceiling: Classification
    traffic: frozenset[Traffic]
    release: bool = False
    on_behalf_of: Side | None = None
    tlp: frozenset[Tlp] = frozenset()
    to_group: bool = False
    enforced_by: tuple[Enforcer, ...] = ()
    basis: str = ""

    def to_json(self) -> JsonObject:
        """Its JSON form; what semantics 1 does not know stands there only where it says something."""
        out: JsonObject = {
            "id": self.id,
            "from": self.sender.to_json(),
            "types": sorted(self.types),
            "to": self.recipient.to_json(),
            "relation": self.relation.value,
            "most_recipients": self.most_recipients,
            "ceiling": self.ceiling.value,
            "traffic": sorted(t.value for t in self.traffic),
            "signatures": ["sign", "release"] if self.release else ["sign"],
        }
        if self.on_behalf_of is not None:
            out["on_behalf_of"] = self.on_behalf_of.to_json()
        if self.tlp:
            out["tlp"] = sorted(t.value for t in self.tlp)
        if self.to_group:
            out["to_group"] = True
        if self.enforced_by:
            out["enforced_by"] = [e.value for e in self.enforced_by]
        if self.basis:
            out["basis"] = self.basis
        return out


@dataclass(frozen=True, slots=True)
class BilateralException:
    """What two authorities have agreed to allow between them, in either direction, beyond the rules.

    Attributes:
        rule: what it allows.
        between: the two codes, in order.
        until: ms since 1970 from which it holds no more; None for one without an end.
    """

    rule: Rule
    between: tuple[AuthorityCode, AuthorityCode]
    until: int | None = None

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        out = {**self.rule.to_json(), "between": list(self.between)}
        if self.until is not None:
            out["until"] = self.until
        return out


@dataclass(frozen=True, slots=True)
class Embargo:
    """What is denied whatever rules and exceptions allow.

    Attributes:
        id: names it in refusals and explanations.
        sender: who may not send.
        recipient: to whom not.
        types: which message types not; empty means all.
        until: ms since 1970 from which it holds no more; None for one without an end.
        basis: where it comes from, for people.
    """

    id: str
    sender: Side
    recipient: Side
    types: frozenset[str] = frozenset()
    until: int | None = None
    basis: str = ""

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        out: JsonObject = {"id": self.id, "from": self.sender.to_json(), "to": self.recipient.to_json()}
        if self.types:
            out["types"] = sorted(self.types)
        if self.until is not None:
            out["until"] = self.until
        if self.basis:
            out["basis"] = self.basis
        return out


@dataclass(frozen=True, slots=True)
class Duty:
    """A rule of the process that no broker can enforce, since it sees no content.

    Attributes:
        id: names it in explanations.
        types: which message types; empty means all.
        enforced_by: clients or people, never the broker.
        text: what is to be done.
        basis: where it comes from, for people.
    """

    id: str
    types: frozenset[str]
    enforced_by: tuple[Enforcer, ...]
    text: str
    basis: str = ""

    def to_json(self) -> JsonObject:
        """Its JSON form."""
        out: JsonObject = {"id": self.id}
        if self.types:
            out["types"] = sorted(self.types)
        out |= {"enforced_by": [e.value for e in self.enforced_by], "text": self.text}
        if self.basis:
            out["basis"] = self.basis
        return out


@dataclass(frozen=True, slots=True)
class Policy:
    """Subject ``policy``: the whole table. What follows `semantics` belongs to semantics 2.

    Attributes:
        rules: in the order written; the order means nothing.
        semantics: how it is read.
        exceptions: what pairs of authorities have agreed to allow beyond the rules.
        embargoes: what is denied above all of these.
        release_above: a message classified higher needs a second person's signature, whatever rule allows it.
        duties: rules that others than the broker enforce; they decide nothing here.
    """

    rules: tuple[Rule, ...]
    semantics: int = ROLES_ALONE
    exceptions: tuple[BilateralException, ...] = ()
    embargoes: tuple[Embargo, ...] = ()
    release_above: Classification | None = None
    duties: tuple[Duty, ...] = ()

    def to_json(self) -> JsonObject:
        """The record."""
        out: JsonObject = {"semantics": self.semantics, "rules": [r.to_json() for r in self.rules]}
        if self.semantics == ROLES_ALONE:
            return out
        out["exceptions"] = [e.to_json() for e in self.exceptions]
        out["embargoes"] = [e.to_json() for e in self.embargoes]
        if self.release_above is not None:
            out["release_above"] = self.release_above.value
        out["duties"] = [d.to_json() for d in self.duties]
        return out


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
        tlp: of the message; None where it is not known, which fits no rule that asks for one.
        to_group: whether it names the group of its recipients.
        on_behalf_of: the endpoint in whose name it is sent, if not in the sender's own.
        time: of its leaf, ms since 1970; None where it is not known: then no exception that ends holds, and every
            embargo does.
    """

    sender: Address
    type: str
    recipients: int
    classification: Classification
    exercise: bool
    replied_to: Address | None = None
    parties: frozenset[Address] = frozenset()
    tlp: Tlp | None = None
    to_group: bool = False
    on_behalf_of: Address | None = None
    time: int | None = None


def allowing_rule(policy: Policy, facts: PolicyFacts, recipient: Address) -> Rule:
    """A rule that allows a message to one recipient; of several the one whose id comes first.

    Raises:
        PolicyError: an embargo stands against it (``embargoed``), or no rule allows it (``policy_denied``).
    """
    if policy.semantics == ROLES_ALONE:
        # As it was decided in the first release: no sending on behalf of others, the first rule that fits.
        found = [] if facts.on_behalf_of is not None else _fitting(policy, facts, recipient)
        return next(iter(found), None) or _deny(facts, recipient)
    check_embargoes(policy, facts, recipient)
    found = sorted(_fitting(policy, facts, recipient), key=lambda rule: rule.id)
    if not found:
        _deny(facts, recipient)
    if facts.on_behalf_of is not None:
        # Nobody sends in another's name what the other may not send: the delegate opens no way around the table.
        principal = replace(facts, sender=facts.on_behalf_of, on_behalf_of=None)
        check_embargoes(policy, principal, recipient)
        if not _fitting(policy, principal, recipient):
            _deny(principal, recipient)
    return found[0]


def _deny(facts: PolicyFacts, recipient: Address) -> Rule:
    behalf = f" on behalf of {facts.on_behalf_of}" if facts.on_behalf_of is not None else ""
    raise PolicyError(
        "policy_denied",
        f"no rule of the policy lets {facts.sender}{behalf} send {'an exercise ' if facts.exercise else 'a '}"
        f"'{facts.type}' ({facts.classification.value}, {facts.recipients} recipients) to {recipient}",
        recipient=recipient,
    )


def check_embargoes(policy: Policy, facts: PolicyFacts, recipient: Address) -> None:
    """Check that no embargo stands against a message to one recipient.

    Raises:
        PolicyError: ``embargoed``.
    """
    for embargo in sorted(policy.embargoes, key=lambda e: e.id):
        if (
            (not embargo.types or facts.type in embargo.types)
            and embargo.sender.covers(facts.sender)
            and embargo.recipient.covers(recipient)
            and (embargo.until is None or facts.time is None or facts.time < embargo.until)
        ):
            raise PolicyError(
                "embargoed",
                f"the embargo '{embargo.id}' forbids {facts.sender} to send a '{facts.type}' to {recipient}"
                f"{': ' + embargo.basis if embargo.basis else ''}",
                recipient=recipient,
                embargo=embargo.id,
            )


def release_demanded(policy: Policy, facts: PolicyFacts, recipient: Address | None) -> str | None:
    """Why a message to one recipient needs a second person's signature; None if the policy demands none.

    One demand is enough: a further rule that allows the same without it takes nothing back. Where no recipient is
    known, only what is demanded of all is told.
    """
    if policy.release_above is not None and facts.classification.level > policy.release_above.level:
        return f"everything above {policy.release_above.value}"
    if recipient is None:
        return None
    demanding = sorted(rule.id for rule in _fitting(policy, facts, recipient) if rule.release)
    if facts.on_behalf_of is not None:
        principal = replace(facts, sender=facts.on_behalf_of, on_behalf_of=None)
        demanding += sorted(rule.id for rule in _fitting(policy, principal, recipient) if rule.release)
    return f"rule '{demanding[0]}'" if demanding else None


def demand_release(facts: PolicyFacts, recipient: Address | None, why: str | None, *, released: bool) -> None:
    """Refuse a message that a second person must sign and has not.

    Raises:
        PolicyError: ``release_required``.
    """
    if why is not None and not released:
        raise PolicyError(
            "release_required",
            f"two persons must sign a '{facts.type}' from {facts.sender} to {recipient or 'anybody'}: demanded by "
            f"{why}. Draft it, and let another holder of the endpoint release it",
            recipient=recipient,
        )


def check_marking(facts: PolicyFacts) -> None:
    """Check that what names its recipients one by one is not sent to a group.

    Raises:
        PolicyError: ``red_to_group``.
    """
    if facts.to_group and facts.tlp is Tlp.RED:
        raise PolicyError(
            "red_to_group", "TLP:RED names its recipients one by one: it cannot be sent to a group"
        )


def check_releasable(releasable_to: Collection[AuthorityCode], recipient: Address) -> None:
    """Check a recipient against those that the handling releases a message to; empty: no such limit.

    Raises:
        PolicyError: ``not_releasable``.
    """
    if releasable_to and authority_of(recipient) not in releasable_to:
        raise PolicyError(
            "not_releasable",
            f"the message is not releasable to {authority_of(recipient)}",
            recipient=recipient,
        )


def rules_in_force(policy: Policy, sender: Address, recipient: Address, time: int | None) -> Iterator[Rule]:
    """The rules, and the exceptions that hold between these two at a time."""
    yield from policy.rules
    for exception in policy.exceptions:
        pair = tuple(sorted((authority_of(sender), authority_of(recipient))))
        if pair == exception.between and (
            exception.until is None or (time is not None and time < exception.until)
        ):
            yield exception.rule


def _fitting(policy: Policy, facts: PolicyFacts, recipient: Address) -> list[Rule]:
    return [
        rule
        for rule in rules_in_force(policy, facts.sender, recipient, facts.time)
        if facts.type in rule.types and next(misfits(rule, facts, recipient), None) is None
    ]


def misfits(rule: Rule, facts: PolicyFacts, recipient: Address) -> Iterator[str]:
    """What keeps a rule from allowing a message to one recipient; nothing if it allows it."""
    # What rules out most rules comes first.
    if facts.type not in rule.types:
        yield f"it is about other types than '{facts.type}'"
    if not rule.sender.covers(facts.sender):
        yield f"it does not let {facts.sender} send"
    if not rule.recipient.covers(recipient):
        yield f"it does not reach {recipient}"
    if not _related(rule.relation, facts, recipient):
        yield _RELATIONS[rule.relation]
    if facts.recipients > rule.most_recipients:
        yield f"it allows at most {rule.most_recipients} recipients, not {facts.recipients}"
    if facts.classification.level > rule.ceiling.level:
        yield f"its ceiling is {rule.ceiling.value}, not {facts.classification.value}"
    if (Traffic.EXERCISE if facts.exercise else Traffic.REAL) not in rule.traffic:
        yield f"it is for {'real messages' if facts.exercise else 'exercises'} only"
    if rule.tlp and facts.tlp not in rule.tlp:
        yield f"it asks for TLP:{' or TLP:'.join(sorted(t.value for t in rule.tlp))}"
    if rule.to_group and not facts.to_group:
        yield "it asks for a named group"
    if rule.on_behalf_of is None:
        if facts.on_behalf_of is not None:
            yield "it is for messages in one's own name"
    elif facts.on_behalf_of is None:
        yield "it is for messages on behalf of another endpoint"
    elif not rule.on_behalf_of.covers(facts.on_behalf_of) or (
        not rule.on_behalf_of.authorities and authority_of(facts.on_behalf_of) != authority_of(facts.sender)
    ):
        yield f"it does not let anyone send on behalf of {facts.on_behalf_of}"


_RELATIONS: Final = {
    Relation.OWN_AUTHORITY: "it is for recipients of the sender's own authority",
    Relation.SENDER_OF_IN_REPLY_TO: "it is for answers, to the sender of the message replied to",
    Relation.PARTY_TO_CONVERSATION: "it is for parties to the conversation",
}


def _related(relation: Relation, facts: PolicyFacts, recipient: Address) -> bool:
    if relation is Relation.ANY:
        return True
    if relation is Relation.OWN_AUTHORITY:
        return authority_of(facts.sender) == authority_of(recipient)
    if relation is Relation.SENDER_OF_IN_REPLY_TO:
        return facts.replied_to == recipient
    return recipient in facts.parties
