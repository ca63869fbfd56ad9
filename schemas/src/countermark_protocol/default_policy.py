"""The default policy: who may send what to whom (domain page 6.1), as a table governors may adopt.

Types that this version does not know yet have their rules already: no message of them is accepted before they exist,
and then only so. What the page asks and no broker can see is listed as a duty, with who sees to it.

Source: docs/spec/policy.md §4.
"""

from __future__ import annotations

from typing import Final

from countermark_protocol.handling import Classification, Tlp
from countermark_protocol.identifiers import Role
from countermark_protocol.policy import (
    SEMANTICS,
    Duty,
    Enforcer,
    Policy,
    Relation,
    Rule,
    Side,
    Traffic,
)

_BOTH: Final = frozenset(Traffic)
#: What manifest and directory show is checked by all three; the recipient as far as it knows the message.
_BY_TABLE: Final = (Enforcer.BROKER, Enforcer.SENDER, Enforcer.RECIPIENT)
#: Border guards act as police or customs of the border.
_OPERATIONAL: Final = (Role.POLICE, Role.CUSTOMS, Role.BORDER)
_POINTS: Final = (Role.CONTACT, Role.NCB)
#: A State's offices that may hold operational messages.
_OFFICES: Final = (*_OPERATIONAL, *_POINTS, Role.LICENSING, Role.JUDICIAL, Role.INTELLIGENCE)
_FIELD: Final = (*_OFFICES, Role.ORGANISATION)
_EVERYBODY: Final = tuple(r for r in Role if r is not Role.BROKER)
_ANSWERS: Final = ("tracing-acknowledgement", "tracing-response")
_SEIZURES: Final = ("confiscation-notice", "found-or-surrendered-notice", "destruction-notice")
_AMENDMENTS: Final = ("correction", "withdrawal")
#: Who may hold a record of a lost or stolen weapon, and so be told of a hit.
_RECORD_OWNERS: Final = (Role.POLICE, Role.LICENSING, *_POINTS)
_ASSISTANCE: Final = ("assistance-request", "assistance-offer", "assistance-match")


def _side(*roles: Role) -> Side:
    return Side(frozenset(roles), frozenset())


def _rule(
    name: str,
    basis: str,
    types: tuple[str, ...],
    senders: tuple[Role, ...],
    recipients: tuple[Role, ...],
    relation: Relation = Relation.ANY,
    most: int = 1000,
    ceiling: Classification = Classification.CONFIDENTIAL,
    *,
    release: bool = False,
    on_behalf_of: Side | None = None,
    tlp: tuple[Tlp, ...] = (),
    to_group: bool = False,
) -> Rule:
    return Rule(
        id=name,
        sender=_side(*senders),
        types=frozenset(types),
        recipient=_side(*recipients),
        relation=relation,
        most_recipients=most,
        ceiling=ceiling,
        traffic=_BOTH,
        release=release,
        on_behalf_of=on_behalf_of,
        tlp=frozenset(tlp),
        to_group=to_group,
        enforced_by=_BY_TABLE,
        basis=basis,
    )


_RULES: Final = (
    _rule(
        "trace-request",
        "6.1 tracing-request: to points of contact, never broadcast, at most five (ITI 16, 17, 25)",
        ("tracing-request",),
        (*_OPERATIONAL, *_POINTS),
        _POINTS,
        most=5,
    ),
    _rule(
        "trace-answer",
        "6.1 ack / response: of the requested State, to the requester alone (ITI 18-23)",
        _ANSWERS,
        _POINTS,
        (*_OPERATIONAL, *_POINTS, Role.ORGANISATION),
        Relation.SENDER_OF_IN_REPLY_TO,
        most=1,
    ),
    _rule(
        "trace-answer-by-delegate",
        "6.1 ack / response: licensing as the delegate of its State's point of contact, which signs with it",
        _ANSWERS,
        (Role.LICENSING,),
        (*_OPERATIONAL, *_POINTS, Role.ORGANISATION),
        Relation.SENDER_OF_IN_REPLY_TO,
        most=1,
        on_behalf_of=_side(*_POINTS),
    ),
    _rule(
        "trace-clarification",
        "6.1 ack / response: between the requester and the requested State alone (ITI 21, 23)",
        ("tracing-clarification",),
        (*_OPERATIONAL, *_POINTS, Role.ORGANISATION),
        (*_OPERATIONAL, *_POINTS, Role.ORGANISATION),
        Relation.SENDER_OF_IN_REPLY_TO,
        most=1,
    ),
    _rule(
        "trace-clarification-by-delegate",
        "6.1 ack / response: licensing as the delegate of its State's point of contact, which signs with it",
        ("tracing-clarification",),
        (Role.LICENSING,),
        (*_OPERATIONAL, *_POINTS, Role.ORGANISATION),
        Relation.SENDER_OF_IN_REPLY_TO,
        most=1,
        on_behalf_of=_side(*_POINTS),
    ),
    _rule(
        "seizure",
        "6.1 confiscation / destruction: to named States; intelligence receives, never sends (ITI 9, FP 6)",
        _SEIZURES,
        (*_OPERATIONAL, Role.JUDICIAL, Role.CONTACT),
        (*_OFFICES, Role.MILITARY),
    ),
    _rule(
        "seizure-by-the-military",
        "6.1 confiscation / destruction: military sends via NPC, so to its own and nowhere else",
        _SEIZURES,
        (Role.MILITARY,),
        (Role.CONTACT,),
        Relation.OWN_AUTHORITY,
    ),
    _rule(
        "seizure-to-organisations",
        "6.1 confiscation / destruction: INT_ORG (anonymised)",
        _SEIZURES,
        (*_OPERATIONAL, Role.JUDICIAL, Role.CONTACT),
        (Role.ORGANISATION,),
    ),
    _rule(
        "lost-or-stolen",
        "6.1 lost-or-stolen: all NPC, or who is named: the offices that may stop or register the weapon",
        ("lost-or-stolen-notice",),
        _RECORD_OWNERS,
        (*_OPERATIONAL, *_POINTS, Role.LICENSING, Role.ORGANISATION),
    ),
    _rule(
        "lost-or-stolen-to-group",
        "6.1 lost-or-stolen: or named group, which may hold judicial and intelligence offices, too",
        ("lost-or-stolen-notice",),
        _RECORD_OWNERS,
        _FIELD,
        to_group=True,
    ),
    _rule(
        "hit",
        "6.1 lost-or-stolen: whoever may be told of a record tells its owner of a hit (NCIC, SIS)",
        ("hit-notice",),
        (*_OPERATIONAL, *_POINTS, Role.LICENSING, Role.ORGANISATION),
        (*_RECORD_OWNERS, Role.ORGANISATION),
    ),
    _rule(
        "hit-answer",
        "6.1 lost-or-stolen: the record's owner confirms, to who reported the hit alone (NCIC, SIRENE)",
        ("hit-confirmation",),
        _RECORD_OWNERS,
        (*_OPERATIONAL, *_POINTS, Role.LICENSING, Role.ORGANISATION),
        Relation.SENDER_OF_IN_REPLY_TO,
        most=1,
    ),
    _rule(
        "route-alert",
        "6.1 trade-route-alert: named list or group (FP 12(2), ATT 11)",
        ("trade-route-alert",),
        (*_OPERATIONAL, Role.INTELLIGENCE, Role.CONTACT),
        (*_FIELD, Role.MILITARY),
    ),
    _rule(
        "marking-system",
        "6.1 marking-system-description: to all, may be public, hence not above RESTRICTED (ITI 31(b))",
        ("marking-system-description",),
        (Role.CONTACT, Role.LICENSING),
        _EVERYBODY,
        ceiling=Classification.RESTRICTED,
    ),
    _rule(
        "contact-point",
        "6.1 marking-system-description: as that, what States tell each other of themselves (ITI 25, 31(a))",
        ("contact-point-notice",),
        (Role.CONTACT,),
        _EVERYBODY,
        ceiling=Classification.RESTRICTED,
    ),
    _rule(
        "assistance",
        "6.1 assistance-*: NPC, DONOR, INT_ORG, SECRETARIAT to all or counterpart; PUBLIC allowed",
        _ASSISTANCE,
        (Role.CONTACT, Role.DONOR, Role.ORGANISATION, Role.SECRETARIAT),
        _EVERYBODY,
    ),
    _rule(
        "licence-verification",
        "6.1 licence verification: to LICENSING of the issuing State (FP 10)",
        ("licence-verification-request",),
        (Role.CUSTOMS, Role.BORDER, Role.LICENSING),
        (Role.LICENSING,),
    ),
    _rule(
        "licence-verification-answer",
        "6.1 licence verification: the issuing State's answer, to who asked alone",
        ("licence-verification-response",),
        (Role.LICENSING,),
        (Role.CUSTOMS, Role.BORDER, Role.LICENSING),
        Relation.SENDER_OF_IN_REPLY_TO,
        most=1,
    ),
    _rule(
        "transfer-refusal",
        "6.1 transfer-refusal: LICENSING to LICENSING, so a person's refusal reaches neither customs nor intelligence",
        ("transfer-refusal-notice",),
        (Role.LICENSING,),
        (Role.LICENSING,),
    ),
    _rule(
        "mutual-legal-assistance",
        "6.1 MLA: JUDICIAL to JUDICIAL, two persons; police cannot send",
        ("mutual-legal-assistance-request",),
        (Role.JUDICIAL,),
        (Role.JUDICIAL,),
        release=True,
    ),
    _rule(
        "mutual-legal-assistance-answer",
        "6.1 MLA: JUDICIAL to JUDICIAL, to who asked alone, two persons",
        ("mutual-legal-assistance-response",),
        (Role.JUDICIAL,),
        (Role.JUDICIAL,),
        Relation.SENDER_OF_IN_REPLY_TO,
        most=1,
        release=True,
    ),
    _rule(
        "release-consent",
        "6.1 two-person rule: consent is asked of who sent it, by who received it (ITI 15, ORCON)",
        ("release-consent-request",),
        (*_FIELD, Role.MILITARY),
        (*_FIELD, Role.MILITARY),
        Relation.SENDER_OF_IN_REPLY_TO,
        most=1,
    ),
    _rule(
        "release-consent-answer",
        "6.1 two-person rule: release consent, two persons, to who asked alone (ITI 15, ORCON)",
        ("release-consent-decision",),
        (*_FIELD, Role.MILITARY),
        (*_FIELD, Role.MILITARY),
        Relation.SENDER_OF_IN_REPLY_TO,
        most=1,
        release=True,
    ),
    _rule(
        "amendment",
        "6.1 each type: what became of a message goes to those who are party to its conversation (3.3)",
        _AMENDMENTS,
        _EVERYBODY,
        _EVERYBODY,
        Relation.PARTY_TO_CONVERSATION,
    ),
    _rule(
        "conversation",
        "6.1 each type: words within a conversation, among those who are party to it and may hold operational types",
        ("free-text",),
        (*_FIELD, Role.MILITARY),
        (*_FIELD, Role.MILITARY),
        Relation.PARTY_TO_CONVERSATION,
    ),
    _rule(
        "conversation-on-assistance",
        "6.1 assistance-*: words within a conversation, among those who may send these types",
        ("free-text",),
        (Role.CONTACT, Role.DONOR, Role.ORGANISATION, Role.SECRETARIAT),
        (Role.CONTACT, Role.DONOR, Role.ORGANISATION, Role.SECRETARIAT),
        Relation.PARTY_TO_CONVERSATION,
    ),
    _rule(
        "national-report",
        "6.1 national-report: NPC to INT_ORG, two persons",
        ("national-report",),
        (Role.CONTACT,),
        (Role.ORGANISATION,),
        release=True,
    ),
    _rule(
        "national-report-public",
        "6.1 national-report: NPC to all if CLEAR, two persons",
        ("national-report",),
        (Role.CONTACT,),
        _EVERYBODY,
        release=True,
        tlp=(Tlp.CLEAR,),
    ),
)


def _duty(name: str, types: tuple[str, ...], text: str, basis: str, *enforced_by: Enforcer) -> Duty:
    return Duty(name, frozenset(types), enforced_by, text, basis)


_SENDER, _RECIPIENT, _PROCEDURE = Enforcer.SENDER, Enforcer.RECIPIENT, Enforcer.PROCEDURE

_DUTIES: Final = (
    _duty(
        "trace-of-own-recovery",
        ("tracing-request",),
        "the weapon was recovered in the sender's own State",
        "6.1 tracing-request; ITI 16",
        _SENDER,
    ),
    _duty(
        "trace-with-a-reason",
        ("tracing-request",),
        "every addressee is asked for a stated reason",
        "6.1 tracing-request",
        _SENDER,
        _RECIPIENT,
    ),
    _duty(
        "trace-where-marks-point",
        ("tracing-request",),
        "only States are asked that a mark or an earlier answer names",
        "6.1 tracing-request",
        _PROCEDURE,
    ),
    _duty(
        "answer-to-a-third-state",
        _ANSWERS,
        "a third State gets a copy only with the consent of both (H2)",
        "6.1 ack / response",
        _PROCEDURE,
    ),
    _duty(
        "seizure-anonymised",
        _SEIZURES,
        "what goes to an organisation names no persons",
        "6.1 confiscation / destruction",
        _SENDER,
    ),
    _duty(
        "no-owner-data",
        ("lost-or-stolen-notice",),
        "personal data of an owner are never sent",
        "6.1 lost-or-stolen",
        _SENDER,
    ),
    _duty(
        "alert-evaluated",
        ("trade-route-alert",),
        "source and information are evaluated 4x4",
        "6.1 trade-route-alert",
        _SENDER,
        _RECIPIENT,
    ),
    _duty(
        "alert-releasable",
        ("trade-route-alert",),
        "the handling names the authorities that it may be released to; the broker holds to what it names",
        "6.1 trade-route-alert",
        _PROCEDURE,
    ),
    _duty(
        "sources-stripped",
        ("trade-route-alert",),
        "the intelligence service's gateway strips names of sources",
        "6.1 trade-route-alert",
        _PROCEDURE,
    ),
    _duty(
        "issuing-state",
        ("licence-verification-request",),
        "the State that is asked is the one that issued the licence",
        "6.1 licence verification",
        _PROCEDURE,
    ),
    _duty(
        "legal-basis-for-person-refusals",
        ("transfer-refusal-notice",),
        "what is known of a person from a refusal is not passed on to customs or intelligence without a legal basis",
        "6.1 transfer-refusal",
        _PROCEDURE,
    ),
    _duty(
        "evidence-channel",
        ("mutual-legal-assistance-request", "mutual-legal-assistance-response"),
        "evidence travels through this channel alone",
        "6.1 MLA",
        _PROCEDURE,
    ),
    _duty(
        "silence-is-no-consent",
        ("release-consent-request",),
        "what nobody has consented to is not passed on, however long the answer takes",
        "6.1 two-person rule: release consent; 6.2",
        _PROCEDURE,
    ),
    _duty(
        "hit-is-a-lead",
        ("hit-notice",),
        "nobody acts on a hit before the record's owner has confirmed it",
        "6.1 lost-or-stolen; NCIC",
        _PROCEDURE,
    ),
    _duty(
        "amendment-reaches-all",
        _AMENDMENTS,
        "it goes to everyone who got the original, who answers for it within five working days",
        "6.1 each type; 3.3",
        _SENDER,
        _PROCEDURE,
    ),
    _duty(
        "match-by-each-party",
        ("assistance-match",),
        "a party agrees by its own signature: nobody accepts for another",
        "6.1 assistance-*",
        _RECIPIENT,
    ),
    _duty(
        "two-persons-on-national-security",
        ("tracing-response", "licence-verification-response"),
        "two persons sign an answer that refuses on the ground of national security",
        "6.1 two-person rule; ITI 22",
        _SENDER,
        _RECIPIENT,
    ),
)

DEFAULT_POLICY: Final = Policy(
    rules=_RULES,
    semantics=SEMANTICS,
    # 6.1, two-person rule: any message above RESTRICTED.
    release_above=Classification.RESTRICTED,
    duties=_DUTIES,
)
