"""Reading a policy record: the strict language of the table, by its semantics.

Source: docs/spec/policy.md §1.
"""

from __future__ import annotations

from typing import Any, Final

from countermark_protocol.claims import Claims, codes_of
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import PolicyError
from countermark_protocol.handling import Classification, Tlp
from countermark_protocol.identifiers import AuthorityCode, Role, parse_authority_code
from countermark_protocol.policy import (
    ROLES_ALONE,
    SEMANTICS,
    BilateralException,
    Duty,
    Embargo,
    Enforcer,
    Policy,
    Relation,
    Rule,
    Side,
    Traffic,
)
from countermark_protocol.recipients import MAX_RECIPIENTS

_MOST_RULES: Final = 1000
_MOST_TYPES: Final = 100
_MOST_AUTHORITIES: Final = 300
_TEXT: Final = 400


def parse_policy(claims: Claims) -> Policy:
    """Read a policy record.

    Raises:
        MalformedError: a member is missing, wrong or unknown, or an id stands twice.
        PolicyError: a rule of semantics 1 demands what only later ones know (``reserved_release``).
    """
    semantics = claims.integer("semantics", 1, 65535)
    if semantics == ROLES_ALONE:
        policy = Policy(tuple(_old_rule(v, w) for v, w in _numbered(claims, "rules")))
    elif semantics == SEMANTICS:
        policy = Policy(
            rules=tuple(_rule(v, w) for v, w in _numbered(claims, "rules")),
            semantics=SEMANTICS,
            exceptions=tuple(_exception(v, w) for v, w in _numbered(claims, "exceptions")),
            embargoes=tuple(_embargo(v, w) for v, w in _numbered(claims, "embargoes")),
            release_above=claims.choice("release_above", Classification)
            if claims.has("release_above")
            else None,
            duties=tuple(_duty(v, w) for v, w in _numbered(claims, "duties")),
        )
    else:
        claims.bad("semantics", f"semantics {ROLES_ALONE} or {SEMANTICS}")
    ids = [
        *(r.id for r in policy.rules),
        *(e.rule.id for e in policy.exceptions),
        *(e.id for e in policy.embargoes),
        *(d.id for d in policy.duties),
    ]
    if len(set(ids)) != len(ids):
        claims.bad("rules", "every id once")
    return policy


def _numbered(claims: Claims, name: str) -> list[tuple[Any, str]]:
    return [(v, f"{name} {i}") for i, v in enumerate(claims.items(name, 0, _MOST_RULES))]


def _role(value: Any, what: str) -> Role:
    found: Role | None = codes_of(Role).get(value) if isinstance(value, str) else None
    if found is None:
        malformed("bad_member", f"{what}: expected roles of docs/spec/encoding.md §5")
    return found


def _roles(claims: Claims) -> frozenset[Role]:
    return frozenset(claims.list_of("roles", _role, 1, len(Role)))


def _authorities(claims: Claims) -> frozenset[AuthorityCode]:
    if not claims.has("authorities"):
        return frozenset()
    # An empty list would read as "none" or as "all": it is neither.
    return frozenset(claims.list_of("authorities", parse_authority_code, 1, _MOST_AUTHORITIES))


def _old_side(value: Any, what: str) -> Side:
    claims = Claims(value, what)
    side = Side(_roles(claims), _authorities(claims))
    claims.done()
    return side


def _side(value: Any, what: str) -> Side:
    claims = Claims(value, what)
    roles: frozenset[Role] = _roles(claims) if claims.has("roles") else frozenset()
    side = Side(roles, _authorities(claims))
    claims.done()
    return side


def _traffic(value: Any, what: str) -> Traffic:
    found: Traffic | None = codes_of(Traffic).get(value) if isinstance(value, str) else None
    if found is None:
        malformed("bad_member", f"{what}: expected 'real' or 'exercise'")
    return found


def _tlp(value: Any, what: str) -> Tlp:
    found: Tlp | None = codes_of(Tlp).get(value) if isinstance(value, str) else None
    if found is None:
        malformed("bad_member", f"{what}: expected markings of TLP 2.0")
    return found


def _enforcer(value: Any, what: str) -> Enforcer:
    found: Enforcer | None = codes_of(Enforcer).get(value) if isinstance(value, str) else None
    if found is None:
        malformed("bad_member", f"{what}: expected 'broker', 'sender', 'recipient' or 'procedure'")
    return found


def _name(value: Any, what: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 64 or not value.isascii():
        malformed("bad_member", f"{what}: expected a name of 1 to 64 ASCII characters")
    return value


def _types(claims: Claims) -> frozenset[str]:
    return frozenset(claims.list_of("types", _name, 1, _MOST_TYPES))


def _old_rule(value: Any, what: str) -> Rule:
    claims = Claims(value, what)
    rule = Rule(
        id=claims.parsed("id", _name),
        sender=claims.parsed("from", _old_side),
        types=_types(claims),
        recipient=claims.parsed("to", _old_side),
        relation=claims.choice("relation", Relation),
        most_recipients=claims.integer("most_recipients", 1, MAX_RECIPIENTS),
        ceiling=claims.choice("ceiling", Classification),
        traffic=frozenset(claims.list_of("traffic", _traffic, 1, 2)),
    )
    if claims.raw("signatures") != ["sign"]:
        raise PolicyError(
            "reserved_release",
            f"semantics {ROLES_ALONE} knows no rules that demand further signatures: say semantics {SEMANTICS}",
        )
    claims.done()
    return rule


def _rule(value: Any, what: str) -> Rule:
    claims = Claims(value, what)
    rule = _read_rule(claims)
    claims.done()
    return rule


def _read_rule(claims: Claims) -> Rule:
    signatures = claims.raw("signatures")
    if signatures not in (["sign"], ["sign", "release"]):
        claims.bad("signatures", '["sign"] or ["sign","release"]')
    if claims.has("to_group") and claims.raw("to_group") is not True:
        claims.bad("to_group", "true, or no such member")
    enforced_by = claims.list_of("enforced_by", _enforcer, 1, len(Enforcer))
    if Enforcer.BROKER not in enforced_by:
        claims.bad("enforced_by", "'broker' among those of a rule; what it cannot see to is a duty")
    return Rule(
        id=claims.parsed("id", _name),
        sender=claims.parsed("from", _side),
        types=_types(claims),
        recipient=claims.parsed("to", _side),
        relation=claims.choice("relation", Relation),
        most_recipients=claims.integer("most_recipients", 1, MAX_RECIPIENTS),
        ceiling=claims.choice("ceiling", Classification),
        traffic=frozenset(claims.list_of("traffic", _traffic, 1, 2)),
        release=signatures != ["sign"],
        on_behalf_of=claims.optional("on_behalf_of", _side),
        tlp=frozenset(claims.list_of("tlp", _tlp, 1, len(Tlp))) if claims.has("tlp") else frozenset(),
        to_group=claims.has("to_group"),
        enforced_by=tuple(enforced_by),
        basis=claims.text("basis", _TEXT) if claims.has("basis") else "",
    )


def _exception(value: Any, what: str) -> BilateralException:
    claims = Claims(value, what)
    rule = _read_rule(claims)
    between = claims.list_of("between", parse_authority_code, 2, 2)
    if between[0] >= between[1]:
        claims.bad("between", "two authorities in order")
    for name, side in (("from", rule.sender), ("to", rule.recipient)):
        if side.authorities:
            claims.bad(name, "no authorities in an exception: it holds between the two that it names")
    exception = BilateralException(rule, (between[0], between[1]), claims.optional_time("until"))
    claims.done()
    return exception


def _embargo(value: Any, what: str) -> Embargo:
    claims = Claims(value, what)
    embargo = Embargo(
        id=claims.parsed("id", _name),
        sender=claims.parsed("from", _side),
        recipient=claims.parsed("to", _side),
        types=_types(claims) if claims.has("types") else frozenset(),
        until=claims.optional_time("until"),
        basis=claims.text("basis", _TEXT) if claims.has("basis") else "",
    )
    claims.done()
    return embargo


def _duty(value: Any, what: str) -> Duty:
    claims = Claims(value, what)
    enforced_by = claims.list_of("enforced_by", _enforcer, 1, len(Enforcer))
    if Enforcer.BROKER in enforced_by:
        claims.bad("enforced_by", "others than the broker: what that enforces is a rule")
    duty = Duty(
        id=claims.parsed("id", _name),
        types=_types(claims) if claims.has("types") else frozenset(),
        enforced_by=tuple(enforced_by),
        text=claims.text("text", _TEXT),
        basis=claims.text("basis", _TEXT) if claims.has("basis") else "",
    )
    claims.done()
    return duty
