"""Matching needs and resources: rates, ranking with reasons, drafts from a self-assessment, matches, the overview."""

import datetime as dt
import json
from fractions import Fraction

import pytest

from countermark_client.assistance import (
    MatchMessage,
    Standing,
    committed,
    draft_requests,
    fit,
    fold_match,
    known_matches,
    known_offers,
    known_requests,
    make_overview,
    propose,
    rank_offers,
    rank_requests,
    read_assessment,
    read_rates,
    step_content,
)
from countermark_client.assistance._ranking import WEIGHTS, months_between
from countermark_protocol.codes.assistance import DeclineReason, MatchProposer, MatchStep
from countermark_protocol.codes.regions import Region, currencies, regions_of, sub_region_of
from countermark_protocol.codes.tables import CodeListName, load_code_list
from countermark_protocol.errors import MalformedError, PolicyError
from countermark_protocol.registry import content_document, validate_content
from message_examples import example
from support.kept_items import Store

ON = dt.date(2026, 1, 10)
RATES = read_rates("from,to,rate,source\nEUR,USD,1.20,example 2026-01-05\n")
KENYA, BELGIUM, UN = "ke.contact.nairobi", "be.donor.brussels", "xo-un.secretariat.newyork"


def request(**changes):
    return validate_content("assistance-request", 1, example("assistance-request") | changes)


def offer(**changes):
    document = {
        name: value for name, value in (example("assistance-offer") | changes).items() if value is not None
    }
    return validate_content("assistance-offer", 1, document)


# --- regions and rates -------------------------------------------------------------------------------


def test_regions_and_currencies_are_those_of_the_country_list():
    countries = load_code_list(CodeListName.COUNTRY).entries
    assert set().union(*(regions_of(code) for code in countries)) == set(Region)
    assert regions_of("KE") == {Region.AFRICA, Region.SUB_SAHARAN_AFRICA}
    assert sub_region_of("KE") is Region.SUB_SAHARAN_AFRICA
    assert sub_region_of("FJ") is Region.MELANESIA
    assert (regions_of("AQ"), sub_region_of("AQ"), regions_of("ZZ")) == (frozenset(), None, frozenset())
    assert {"EUR", "USD", "KES", "XOF"} <= currencies()
    assert all(len(code) == 3 for code in currencies())


def test_a_rate_is_used_in_both_directions_and_named():
    assert RATES.find("EUR", "USD") == (Fraction(6, 5), "at 1.2 USD for 1 EUR (example 2026-01-05)")
    assert RATES.find("USD", "EUR") == (Fraction(5, 6), "at 1.2 USD for 1 EUR (example 2026-01-05)")
    assert RATES.find("KES", "KES") == (1, "")
    assert RATES.find("EUR", "KES") is None


def test_no_rate_is_made_of_two_others():
    rates = read_rates("from,to,rate,source\nEUR,USD,1.2,a\nUSD,KES,129,a\n")
    assert rates.find("EUR", "KES") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "from,to,rate\nEUR,USD,1\n",
        "from,to,rate,source\nEUR,USD,0,a\n",
        "from,to,rate,source\nEUR,USD,-1,a\n",
        "from,to,rate,source\nEUR,USD,1e3,a\n",
        "from,to,rate,source\nEUR,USD,1,\n",
        "from,to,rate,source\neur,USD,1,a\n",
        "from,to,rate,source\nEUR,EUR,1,a\n",
        "from,to,rate,source\nEUR,USD,1,a\nUSD,EUR,1,a\n",
        "from,to,rate,source\nEUR,USD,1,a,b\n",
        "from,to,rate,source\nEUR,USD\n",
    ],
)
def test_what_is_no_table_of_rates_is_refused(text):
    with pytest.raises(MalformedError) as caught:
        read_rates(text)
    assert caught.value.code == "bad_rates"


# --- ranking -----------------------------------------------------------------------------------------


def test_the_parts_of_a_fit_computed_by_hand():
    # 240,000 USD are 200,000 EUR; the State bears 10 %, so 180,000 are to be covered, and 180,000 are offered: 90 %.
    # Two of two areas; EQUIPMENT and FUNDING of three forms; 18 months from 2026-03-01 fit into the offer's term.
    found = fit(request(), offer(), ON, rates=RATES)
    points = {part.criterion: part.points for part in found.parts}
    assert points == {
        "area": 1000,
        "amount": 900,
        "region": 1000,
        "time": 1000,
        "form": 666,
        "language": 1000,
    }
    assert (found.covers, found.percent, found.obstacles) == (180_000, 90, ())
    assert (
        found.score.total
        == (300 * 1000 + 200 * 900 + 150 * 1000 + 150 * 1000 + 100 * 666 + 100 * 1000) // 1000
    )
    reasons = {part.criterion: part.reason for part in found.parts}
    assert reasons["amount"] == (
        "180,000 of 200,000 EUR are covered; at 1.2 USD for 1 EUR (example 2026-01-05); the State bears 10 %"
    )
    assert reasons["region"] == "KE belongs to SUB_SAHARAN_AFRICA, which is eligible"
    assert reasons["form"].endswith("not TRAINING")
    assert sum(WEIGHTS.values()) == 1000


def test_sums_in_two_currencies_are_not_compared_without_a_rate():
    found = fit(request(), offer(), ON)
    assert found.points("amount") == 0
    assert (found.covers, found.percent) == (None, None)
    assert (
        "no rate is given for USD and EUR" in {part.criterion: part.reason for part in found.parts}["amount"]
    )


@pytest.mark.parametrize(
    ("changes", "points", "covers"),
    [
        ({"amount": {"currency": "USD", "max": 60_000}, "conditions": None}, 250, 60_000),
        ({"amount": {"currency": "USD", "max": 999_000}, "conditions": None}, 1000, 240_000),
        ({"amount": {"currency": "USD", "min": 250_000, "max": 999_000}}, 0, 0),
        ({"amount": None}, 0, None),
    ],
)
def test_amounts_in_one_currency(changes, points, covers):
    found = fit(request(), offer(**changes), ON)
    assert (found.points("amount"), found.covers) == (points, covers)


def test_what_others_have_taken_is_not_offered_again():
    one = offer(amount={"currency": "USD", "max": 60_000}, conditions=None)
    assert fit(request(), one, ON, committed=30_000).covers == 30_000
    assert fit(request(), one, ON, committed=99_000).covers == 0


def test_things_in_kind_fit_who_asks_for_nothing_else():
    document = {n: v for n, v in example("assistance-request").items() if n != "budget"}
    asked = validate_content("assistance-request", 1, document | {"noBudgetReason": "IN_KIND_ONLY"})
    assert fit(asked, offer(), ON).points("amount") == 1000
    assert fit(asked, offer(inKind=None), ON).points("amount") == 0


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"areas": ["DDR"]}, "none of the themes"),
        ({"eligibility": {"anyState": False, "regions": ["NORTHERN_AFRICA"]}}, "KE is not eligible"),
        ({"availableFrom": "2020-01-01", "availableUntil": "2026-01-09"}, "stood until 2026-01-09"),
    ],
)
def test_what_cannot_fit_is_left_out_with_its_reason(changes, why):
    ranking = rank_offers(request(), {"a": offer(), "b": offer(**changes)}, ON)
    assert [key for key, _ in ranking.fits] == ["a"]
    assert [each.key for each in ranking.left_out] == ["b"]
    assert why in " ".join(ranking.left_out[0].reasons)


def test_the_best_stands_first_and_equal_ones_by_key():
    offers = {
        "b": offer(),
        "a": offer(),
        "c": offer(languages=["fr"]),
        "d": offer(areas=["MARKING_EQUIPMENT"]),
    }
    ranking = rank_offers(request(), offers, ON, rates=RATES)
    assert [key for key, _ in ranking.fits] == ["a", "b", "c", "d"]
    assert ranking == rank_offers(request(), dict(reversed(offers.items())), ON, rates=RATES)
    seen = rank_requests(offer(), {"x": request()}, ON, rates=RATES)
    assert seen.fits[0][1] == dict(ranking.fits)["a"]


@pytest.mark.parametrize(
    ("start", "end", "months"),
    [
        ("2026-01-01", "2026-12-31", 12), ("2026-01-01", "2026-12-30", 11), ("2026-01-31", "2026-02-27", 0),
        ("2026-01-15", "2026-02-14", 1), ("2026-01-15", "2025-12-01", -2), ("2026-01-01", "9999-12-31", 95688 - 1),
    ],
)  # fmt: skip
def test_months_are_whole(start, end, months):
    assert months_between(dt.date.fromisoformat(start), dt.date.fromisoformat(end)) == months


def test_a_proposal_says_what_is_covered_and_what_is_open():
    found = fit(request(), offer(), ON, rates=RATES)
    made = propose(
        request(), KENYA, offer(), BELGIUM, found,
        match_ref="M-1", by=MatchProposer.SECRETARIAT, answer_until=dt.date(2026, 3, 1), overview_consent=True,
    )  # fmt: skip
    assert content_document(
        validate_content("assistance-match", 1, content_document(made))
    ) == content_document(made)
    assert (made.proposal.coverage.money.amount, made.proposal.coverage.percent) == (180_000, 90)
    assert made.proposal.gaps[0].text == "TRAINING is not offered"
    assert made.proposal.score == found.score
    away = offer(eligibility={"anyState": False, "states": ["TD"]})
    with pytest.raises(PolicyError) as caught:
        propose(
            request(), KENYA, away, BELGIUM, fit(request(), away, ON),
            match_ref="M-1", by=MatchProposer.DONOR, answer_until=ON, overview_consent=True,
        )  # fmt: skip
    assert caught.value.code == "no_match"


# --- needs -------------------------------------------------------------------------------------------

ASSESSMENT = """area,score,gap,need,forms,months,currency,amount,priority
MARKING,1,No import mark on State stock,Marking machines for eight armouries,EQUIPMENT;TRAINING,18,USD,240000,
RECORD_KEEPING,3,Paper ledgers,,,,,,1
STOCKPILE,4,,,,,,,
TRACING,2,,,,,,,
"""


def common():
    document = example("assistance-request")
    kept = ("requestingState", "submittedBy", "languages", "contact", "validUntil", "publicLevel", "overviewConsent",
            "nationalContribution", "beneficiaries", "sustainabilityPlan", "activities")  # fmt: skip
    return {name: document[name] for name in kept} | {"requestRef": "KE-2026"}


def test_gaps_become_drafts_and_what_a_person_must_write_is_listed():
    drafts = draft_requests(read_assessment(ASSESSMENT), common())
    complete, partial, best, silent = drafts
    assert complete.missing == ()
    made = validate_content("assistance-request", 1, complete.document)
    assert (made.title, made.areas, made.priority) == (
        "Marking machines for eight armouries",
        ("MARKING_EQUIPMENT",),
        1,
    )
    assert (made.budget.total, made.request_ref, made.self_assessment[0].score) == (240_000, "KE-2026-1", 1)
    assert {field for field, _ in partial.missing} == {"/title", "/objective", "/forms", "/durationMonths"}
    assert partial.document["noBudgetReason"] == "NOT_ESTIMATED"
    assert (best.document, best.why_not) == (None, "the best score: nothing is needed")
    assert (silent.document, silent.why_not) == (None, "neither gap nor need is stated")


def test_a_self_assessment_in_json_is_the_same():
    rows = [{"area": "MARKING", "score": 1, "gap": "No import mark on State stock",
             "need": "Marking machines for eight armouries", "forms": ["EQUIPMENT", "TRAINING"], "months": 18,
             "currency": "USD", "amount": 240000}]  # fmt: skip
    assert read_assessment(json.dumps(rows)) == read_assessment(ASSESSMENT)[:1]


@pytest.mark.parametrize(
    "text",
    [
        "[1]", "[", '[{"area": "MARKING"}]', "area,score\nMARKING,5\n", "area,score\nMARKING,one\n", "area,score\nX,1\n",
        "area,score,mood\nMARKING,1,good\n", "area,score\nMARKING,1,2\n", "area,score\nMARKING\n", "score\n1\n",
        "area,score\nMARKING,\u0661\n",
    ],
)  # fmt: skip
def test_what_is_no_self_assessment_is_refused(text):
    with pytest.raises(MalformedError) as caught:
        read_assessment(text)
    assert caught.value.code == "bad_assessment"


# --- a match -----------------------------------------------------------------------------------------


class Talk:
    """The messages of one match."""

    def __init__(self, **first):
        self.messages = []
        self.document = example("assistance-match")
        self.first = first

    def say(self, speaker, step, reply_to=None, day=dt.date(2026, 4, 10), **changes):
        document = {n: v for n, v in self.document.items() if n not in {"proposal", "note", "step"}} | {
            "step": step
        }
        if step == "PROPOSED":
            document["proposal"] = self.document["proposal"]
        if step == "DECLINED":
            document["declineReason"] = "FUNDS"
        if step == "CONSULTING":
            document["note"] = "When could it begin?"
        if step == "CLOSED":
            document["evaluationNote"] = "Done"
        index = len(self.messages) + 1
        content = validate_content("assistance-match", 1, document | changes)
        message = MatchMessage(f"m{index}", speaker, reply_to, index, day, content)
        self.messages.append(message)
        return message.message

    def state(self, on=dt.date(2026, 4, 20)):
        return fold_match(self.messages, on)


@pytest.fixture
def talk():
    return Talk()


def test_a_match_goes_its_way(talk):
    first = talk.say(UN, "PROPOSED")
    assert talk.state().standing is Standing.PROPOSED
    talk.say(BELGIUM, "CONSULTING", first)
    assert talk.state().standing is Standing.CONSULTING
    talk.say(BELGIUM, "ACCEPTED", first)
    assert talk.state().standing is Standing.CONSULTING
    talk.say(KENYA, "ACCEPTED", first)
    state = talk.state()
    assert (state.standing, state.agreed_by) == (Standing.AGREED, {BELGIUM: "m3", KENYA: "m4"})
    assert state.terms.coverage.money.amount == 150_000
    talk.say(BELGIUM, "DELIVERED", first, deliveredValue={"currency": "EUR", "amount": 149_000})
    assert talk.state().standing is Standing.DELIVERED
    talk.say(KENYA, "CLOSED", first)
    state = talk.state()
    assert (state.standing, state.delivered.amount, state.ignored) == (Standing.CLOSED, 149_000, ())
    assert committed([state]) == {(BELGIUM, "BE-MFA-2026-11"): 150_000}


def test_nobody_agrees_for_another(talk):
    first = talk.say(UN, "PROPOSED")
    talk.say(UN, "ACCEPTED", first)
    talk.say("be.contact.brussels", "ACCEPTED", first)
    talk.say(BELGIUM, "ACCEPTED", first)
    talk.say(BELGIUM, "ACCEPTED", first)
    state = talk.state()
    assert state.standing is Standing.PROPOSED
    assert state.ignored == (("m2", "not_a_party"), ("m3", "not_a_party"))
    assert (state.agreed_by, state.terms, committed([state])) == ({}, None, {})


def test_who_proposes_accepts_its_own_terms_and_a_counter_proposal_is_another(talk):
    first = talk.say(BELGIUM, "PROPOSED")
    second = talk.say(KENYA, "PROPOSED", first)
    assert talk.state().standing is Standing.PROPOSED
    talk.say(BELGIUM, "ACCEPTED", second)
    state = talk.state()
    assert (state.standing, state.agreed_by) == (Standing.AGREED, {KENYA: "m2", BELGIUM: "m3"})
    talk.say(KENYA, "ACCEPTED", first)
    assert talk.state().ignored == (("m4", "accepts_another_proposal"),)


@pytest.mark.parametrize(
    ("speaker", "step", "why"),
    [
        (BELGIUM, "DELIVERED", "not_agreed"),
        (KENYA, "CLOSED", "not_agreed"),
        (UN, "DECLINED", "not_a_party"),
        (KENYA, "ACCEPTED", "accepts_no_proposal"),
    ],
)
def test_steps_that_count_for_nothing_before_it_is_agreed(talk, speaker, step, why):
    talk.say(UN, "PROPOSED")
    talk.say(speaker, step, "m9")
    assert talk.state().ignored == (("m2", why),)
    assert talk.state().standing is Standing.PROPOSED


def test_steps_that_count_for_nothing_once_it_is_agreed(talk):
    first = talk.say(BELGIUM, "PROPOSED")
    talk.say(KENYA, "ACCEPTED", first)
    talk.say(KENYA, "DELIVERED", first)
    talk.say(KENYA, "CLOSED", first)
    talk.say(BELGIUM, "DELIVERED", first)
    talk.say(BELGIUM, "CLOSED", first)
    talk.say(KENYA, "DECLINED", first)
    talk.say(KENYA, "CLOSED", first)
    talk.say(KENYA, "DECLINED", first)
    assert dict(talk.state().ignored) == {
        "m3": "not_the_offeror", "m4": "not_delivered", "m6": "not_the_requester", "m7": "already_delivered",
        "m9": "after_the_end",
    }  # fmt: skip
    assert talk.state().standing is Standing.CLOSED


def test_either_party_declines_and_that_is_the_end(talk):
    first = talk.say(BELGIUM, "PROPOSED")
    talk.say(KENYA, "ACCEPTED", first)
    talk.say(BELGIUM, "DECLINED", first)
    talk.say(KENYA, "ACCEPTED", first)
    state = talk.state()
    assert (state.standing, state.decline_reason) == (Standing.DECLINED, DeclineReason.FUNDS)
    assert state.ignored == (("m4", "after_the_end"),)
    assert committed([state]) == {}


def test_a_proposal_expires_on_the_day_it_says(talk):
    first = talk.say(BELGIUM, "PROPOSED")
    assert talk.state(dt.date(2026, 6, 1)).standing is Standing.PROPOSED
    assert talk.state(dt.date(2026, 6, 2)).standing is Standing.EXPIRED
    talk.say(KENYA, "ACCEPTED", first, day=dt.date(2026, 6, 2))
    assert talk.state(dt.date(2026, 6, 3)).ignored == (("m2", "accepted_too_late"),)


def test_what_names_another_match_counts_for_nothing(talk):
    first = talk.say(BELGIUM, "PROPOSED")
    for changes in ({"requester": "ug.contact.kampala"}, {"offerRef": "another"}, {"matchRef": "another"}):
        talk.say(KENYA, "ACCEPTED", first, **changes)
    assert {why for _, why in talk.state().ignored} == {"another_match"}
    assert Talk().state().standing is Standing.NONE
    silent = Talk()
    silent.say(KENYA, "ACCEPTED", "m0")
    assert silent.state().ignored == (("m1", "no_proposal_yet"),)


def test_a_step_is_drafted_only_if_it_would_count(talk):
    first = talk.say(BELGIUM, "PROPOSED")
    accepted = step_content(talk.state(), KENYA, MatchStep.ACCEPTED, overview_consent=False)
    assert (accepted.step, accepted.match_ref, accepted.overview_consent) == (
        "ACCEPTED",
        "UN-MATCH-2026-0041",
        False,
    )
    for speaker, step in ((UN, MatchStep.ACCEPTED), (BELGIUM, MatchStep.DELIVERED)):
        with pytest.raises(PolicyError) as caught:
            step_content(talk.state(), speaker, step, overview_consent=True)
        assert caught.value.code == "step_counts_for_nothing"
    talk.say(KENYA, "ACCEPTED", first)
    assert step_content(talk.state(), BELGIUM, MatchStep.DELIVERED, overview_consent=True).step == "DELIVERED"


# --- from messages, and the overview -----------------------------------------------------------------


def test_requests_offers_and_matches_are_read_as_they_stand():
    store = Store()
    old = store.add(KENYA, "assistance-request", example("assistance-request"))
    new = store.add(
        KENYA, "assistance-request", example("assistance-request") | {"priority": 2}, supersedes=old
    )
    given = store.add(BELGIUM, "assistance-offer", example("assistance-offer"))
    match = store.add(UN, "assistance-match", example("assistance-match"))
    accepted = {n: v for n, v in example("assistance-match").items() if n not in {"proposal", "note"}}
    store.add("be.contact.brussels", "assistance-match", accepted | {"step": "ACCEPTED"}, reply_to=match,
              on_behalf_of=BELGIUM)  # fmt: skip
    assert list(known_requests(store.items)) == [new.message.hex()]
    assert known_requests(store.items)[new.message.hex()].content.priority == 2
    assert known_offers(store.items)[given.message.hex()].speaker == BELGIUM
    (messages,) = known_matches(store.items).values()
    assert [m.speaker for m in messages] == [UN, BELGIUM]
    assert messages[1].in_reply_to == messages[0].message


def agreed(number, *, consents=(True, True), request_ref="R"):
    talk = Talk()
    talk.document |= {"requestRef": f"{request_ref}{number}", "matchRef": f"M{number}"}
    first = talk.say(BELGIUM, "PROPOSED", overviewConsent=consents[0])
    talk.say(KENYA, "ACCEPTED", first, overviewConsent=consents[1])
    return talk.state()


def test_the_overview_holds_those_who_consent_and_no_small_number():
    store = Store()
    for number in range(5):
        document = example("assistance-request") | {
            "requestRef": f"R{number}",
            "overviewConsent": number != 4,
        }
        store.add(KENYA, "assistance-request", document)
    small = example("assistance-request") | {"requestRef": "S", "areas": ["DDR"], "selfAssessment": None}
    store.add(KENYA, "assistance-request", {n: v for n, v in small.items() if v is not None})
    store.add(KENYA, "assistance-request", example("assistance-request"), exercise=True)
    store.add(BELGIUM, "assistance-offer", example("assistance-offer"))
    matches = [agreed(n) for n in range(4)] + [agreed(9, consents=(True, False))]
    made = make_overview(known_requests(store.items).values(), known_offers(store.items).values(), matches)
    requests, offers, agreements = made.tables
    assert requests.columns == ("area", "SUB_SAHARAN_AFRICA", "total")
    # One row would be computed from the total if it alone were not shown.
    assert dict(row[:2] for row in requests.rows) == {"MARKING_EQUIPMENT": None, "DDR": None, "total": 4 + 1}
    assert (offers.rows, "fewer than 3" in offers.note) == ((), True)
    assert agreements.rows[0] == ("MARKING_EQUIPMENT", 4, 4)
    assert (made.requests_left_out, made.offers_left_out, made.matches_left_out) == (1, 0, 1)
    for table in made.tables:
        assert all(cell is None or cell == 0 or cell >= 3 for row in table.rows for cell in row[1:])
    published = b"".join(made.files().values()).decode()
    assert all(name not in published for name in ("Kenya", "nairobi", "brussels", "KE-NFP", "BE-MFA"))
    assert set(made.files()) == {"overview.json", "overview.md", "requests.csv", "offers.csv", "matches.csv"}


def test_a_match_whose_request_is_not_to_be_published_is_not():
    store = Store()
    store.add(
        KENYA,
        "assistance-request",
        example("assistance-request") | {"requestRef": "R0", "overviewConsent": False},
    )
    made = make_overview(known_requests(store.items).values(), [], [agreed(0)])
    assert made.matches_left_out == 1
    assert all(cell == 0 for row in made.tables[2].rows for cell in row[1:])
