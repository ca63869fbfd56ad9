"""Matching and reports under any input: better never ranks lower, order makes no difference, figures add up."""

import datetime as dt
import json

from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from countermark_client.assistance import fit, fold_match, rank_offers, rank_requests, read_rates
from countermark_client.assistance._state import IGNORED, MatchMessage, Standing
from countermark_client.reports import TABLES, make_report
from countermark_protocol.codes.assistance import AssistanceArea, AssistanceForm
from countermark_protocol.codes.events import ConfiscationAction
from countermark_protocol.codes.regions import Region
from countermark_protocol.registry import validate_content
from message_examples import example
from support.examples import tried
from support.kept_items import Store

RELAXED = tried(60, suppress_health_check=list(HealthCheck))
ON = dt.date(2026, 1, 10)
RATES = read_rates("from,to,rate,source\nEUR,USD,1.20,example\n")


def some(codes, least=1, most=4):
    return st.lists(st.sampled_from(sorted(codes)), min_size=least, max_size=most, unique=True)


LANGUAGES = some(["en", "fr", "es", "ar", "en-KE", "pt"])
MONEY = st.integers(1, 10**6)


@st.composite
def requests(draw):
    document = example("assistance-request")
    document |= {
        "areas": draw(some(AssistanceArea)),
        "forms": draw(some(AssistanceForm)),
        "requestingState": draw(st.sampled_from(["KE", "TN", "BR", "AQ", "FJ"])),
        "languages": draw(LANGUAGES),
        "durationMonths": draw(st.integers(14, 60)),
        "budget": {"currency": draw(st.sampled_from(["USD", "EUR", "KES"])), "total": draw(MONEY)},
        "startNotBefore": draw(st.dates(dt.date(2025, 1, 1), dt.date(2029, 1, 1))).isoformat(),
    }
    del document["selfAssessment"]
    return validate_content("assistance-request", 1, document)


@st.composite
def offer_documents(draw):
    least, most = sorted((draw(MONEY), draw(MONEY)))
    first = draw(st.dates(dt.date(2025, 1, 1), dt.date(2028, 1, 1)))
    document = example("assistance-offer")
    return document | {
        "areas": draw(some(AssistanceArea)),
        "forms": draw(some(AssistanceForm)),
        "eligibility": {"anyState": False, "states": ["TD"], "regions": draw(some(Region, least=1, most=6))},
        "amount": {"currency": draw(st.sampled_from(["USD", "EUR"])), "min": least, "max": most},
        "conditions": [{"kind": "CO_FUNDING", "percent": draw(st.integers(1, 99))}],
        "languages": draw(LANGUAGES),
        "availableFrom": first.isoformat(),
        "availableUntil": (first + dt.timedelta(days=draw(st.integers(0, 2000)))).isoformat(),
        "maxDurationMonths": draw(st.integers(1, 60)),
    }


def read(document):
    return validate_content("assistance-offer", 1, document)


OFFERS = offer_documents().map(read)


def bettered(document, which, amount):
    """The same offer, better in one criterion or not worse."""
    better = json.loads(json.dumps(document))
    match which:
        case "areas":
            better["areas"] = sorted({*better["areas"], *sorted(AssistanceArea)[: amount % 18 + 1]})
        case "forms":
            better["forms"] = sorted({*better["forms"], *sorted(AssistanceForm)[: amount % 8 + 1]})
        case "region":
            better["eligibility"] = {"anyState": True}
        case "max":
            better["amount"]["max"] += amount
        case "min":
            better["amount"]["min"] = max(1, better["amount"]["min"] - amount)
        case "co_funding":
            del better["conditions"]
        case "languages":
            better["languages"] = sorted({*better["languages"], "en", "fr"})
        case "until":
            until = dt.date.fromisoformat(better["availableUntil"]) + dt.timedelta(days=amount % 4000)
            better["availableUntil"] = until.isoformat()
        case "duration":
            del better["maxDurationMonths"]
    return better


BETTER = st.sampled_from(
    ["areas", "forms", "region", "max", "min", "co_funding", "languages", "until", "duration"]
)


@RELAXED
@given(requests(), offer_documents(), BETTER, st.integers(1, 10**6))
def test_a_better_fit_in_one_criterion_never_ranks_lower(request, document, which, amount):
    plain, better = read(document), read(bettered(document, which, amount))
    one, other = (fit(request, each, ON, rates=RATES) for each in (plain, better))
    assert other.rank <= one.rank
    assert all(b.points >= a.points for a, b in zip(one.parts, other.parts, strict=True))
    if not one.obstacles:
        ranking = rank_offers(request, {"b-plain": plain, "a-better": better}, ON, rates=RATES)
        assert ranking.fits[0][0] == "a-better"


@RELAXED
@given(requests(), st.lists(OFFERS, max_size=5), st.randoms(use_true_random=False))
def test_a_ranking_is_whole_deterministic_and_the_same_from_either_side(request, offers, random):
    keyed = {f"o{i}": each for i, each in enumerate(offers)}
    ranking = rank_offers(request, keyed, ON, rates=RATES)
    shuffled = list(keyed.items())
    random.shuffle(shuffled)
    assert rank_offers(request, dict(shuffled), ON, rates=RATES) == ranking
    assert sorted([k for k, _ in ranking.fits] + [e.key for e in ranking.left_out]) == sorted(keyed)
    totals = [each.weighed for _, each in ranking.fits]
    assert totals == sorted(totals, reverse=True)
    for key, each in ranking.fits:
        (other,) = rank_requests(keyed[key], {"r": request}, ON, rates=RATES).fits
        assert other[1] == each
        assert 0 <= each.score.total <= 1000
        assert all(part.reason for part in each.parts)


@RELAXED
@given(requests(), OFFERS)
def test_a_rate_more_never_lowers_a_rank(request, offer):
    assert fit(request, offer, ON, rates=RATES).rank <= fit(request, offer, ON).rank


# --- matches -----------------------------------------------------------------------------------------

SPEAKERS = ("ke.contact.nairobi", "be.donor.brussels", "xo-un.secretariat.newyork")
STEPS = ("PROPOSED", "CONSULTING", "ACCEPTED", "DECLINED", "DELIVERED", "CLOSED")
BARE = {n: v for n, v in example("assistance-match").items() if n not in {"proposal", "note"}}
SAID = {
    step: validate_content(
        "assistance-match",
        1,
        BARE
        | {"step": step}
        | ({"proposal": example("assistance-match")["proposal"]} if step == "PROPOSED" else {})
        | ({"note": "When?"} if step == "CONSULTING" else {})
        | ({"declineReason": "FUNDS"} if step == "DECLINED" else {})
        | ({"evaluationNote": "Done"} if step == "CLOSED" else {}),
    )
    for step in STEPS
}


@RELAXED
@given(
    st.lists(st.tuples(st.sampled_from(SPEAKERS), st.sampled_from(STEPS), st.integers(0, 8)), max_size=12),
    st.randoms(use_true_random=False),
)
def test_a_match_is_agreed_only_by_both_sides_and_messages_come_in_any_order(said, random):
    messages = [
        MatchMessage(f"m{i}", speaker, f"m{reply}", i, dt.date(2026, 4, 1), SAID[step])
        for i, (speaker, step, reply) in enumerate(said)
    ]
    state = fold_match(messages, dt.date(2026, 4, 2))
    shuffled = [*messages, *messages[:3]]
    random.shuffle(shuffled)
    assert fold_match(shuffled, dt.date(2026, 4, 2)) == state
    assert len(state.history) + len(state.ignored) == len(messages)
    assert {why for _, why in state.ignored} <= set(IGNORED)
    if state.standing in {Standing.AGREED, Standing.DELIVERED, Standing.CLOSED}:
        assert set(state.agreed_by) == set(SPEAKERS[:2])
        own = {m.message: m for m in messages}
        for party, message in state.agreed_by.items():
            assert own[message].speaker == party
            assert own[message].content.step in {"PROPOSED", "ACCEPTED"}
    # Without one party's messages nothing is ever agreed.
    for party in SPEAKERS[:2]:
        alone = fold_match([m for m in messages if m.speaker != party], dt.date(2026, 4, 2))
        assert alone.terms is None


# --- reports -----------------------------------------------------------------------------------------


@st.composite
def notices(draw):
    document = example("confiscation-notice")
    items = []
    for number in range(draw(st.integers(1, 3))):
        item = {
            "itemRef": str(number + 1),
            "category": draw(st.sampled_from(["PISTOL", "RIFLE", "AIR_GUN", "UNKNOWN"])),
            "originForm": "FACTORY",
            "make": {"text": draw(st.sampled_from(["FN", "UNKNOWN"]))},
            "calibre": {"text": draw(st.sampled_from(["9x19", "UNKNOWN"]))},
        }
        serial = draw(st.sampled_from(["AB1234", "ab-12 34", "CD5678", None]))
        if serial is None:
            item["noMarksReason"] = "NEVER_MARKED"
        else:
            item["marks"] = [{"kind": "SERIAL", "component": "FRAME", "status": "LEGIBLE", "text": serial}]
        items.append(item)
    day = draw(st.none() | st.dates(dt.date(2024, 12, 25), dt.date(2025, 1, 10)))
    place = {"country": "TN"}
    dated = {"noDateReason": "NOT_RECORDED"} if day is None else {"date": day.isoformat()}
    document |= {
        "noticeRef": draw(st.sampled_from(["N1", "N2", "N3"])),
        "action": draw(st.sampled_from(sorted(ConfiscationAction))),
        "event": {**dated, "place": place},
        "items": items,
    }
    document.pop("ammunition", None)
    return document, draw(st.sampled_from(["tn.customs.tunis", "tn.police.tunis", "ly.customs.tripoli"]))


@RELAXED
@given(st.lists(notices(), max_size=6), st.randoms(use_true_random=False))
def test_figures_add_up_count_nothing_twice_and_do_not_depend_on_order(said, random):
    store = Store()
    for document, sender in said:
        store.add(sender, "confiscation-notice", document)
    made = make_report(store.items, "tn", [2024, 2025])
    shuffled = list(store.items)
    random.shuffle(shuffled)
    assert make_report(shuffled, "tn", [2024, 2025]) == made
    # Every table that partitions the weapons has the same sums.
    for year in ("2024", "2025", "unknown"):
        for action in ConfiscationAction:
            sums = {t.name: made.count(t.name, year, action) for t in TABLES.values() if t.adds_up}
            assert len(set(sums.values())) == 1
    # Every weapon of every notice is told of exactly once in a table, or its notice is left out.
    told = [
        (s.message, s.item) for f in made.figures if f.table == "arms" for c in f.counted for s in c.sources
    ]
    left_out = {each.source.message for each in made.left_out}
    expected = [
        (item.message.hex(), weapon.item_ref)
        for item in store.items
        if item.message.hex() not in left_out
        for weapon in item.content.items
    ]
    assert sorted(told) == sorted(expected)
    assert left_out == {i.message.hex() for i in store.items if i.manifest.sender.startswith("ly.")}
    indicator = make_report(store.items, "tn", [2024, 2025], "sdg")
    arms = sum(f.count for f in indicator.figures if f.table == "indicator_arms")
    apart = sum(each.reason.startswith("not_in_indicator") for each in indicator.left_out)
    assert arms + apart == sum(f.count for f in made.figures if f.table == "arms")
