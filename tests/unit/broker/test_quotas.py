"""Token buckets: what an endpoint may send in a minute."""

import pytest

from countermark_broker.errors import OverloadedError, QuotaExceededError
from countermark_broker.services.quotas import Quotas, lane_of, make_cost, payer_of
from countermark_protocol.identifiers import Address
from countermark_protocol.manifest import Urgency
from support.world import KAMPALA, NAIROBI, World


class Time:
    def __init__(self):
        self.at = 1000.0

    def __call__(self):
        return self.at


@pytest.fixture
def time():
    return Time()


def exceeded(quotas, endpoint, cost):
    with pytest.raises(QuotaExceededError) as caught:
        quotas.charge(endpoint, cost)
    assert isinstance(caught.value, OverloadedError)
    return caught.value


def test_a_minutes_worth_then_evenly(time):
    quotas = Quotas({"messages": 60}, time)
    for _ in range(60):
        quotas.charge(NAIROBI, make_cost(messages=1))
    error = exceeded(quotas, NAIROBI, make_cost(messages=1))
    assert (error.code, error.facts["quota"], error.facts["retry_after"]) == ("quota_exceeded", "messages", 1)
    assert exceeded(quotas, NAIROBI, make_cost(messages=30)).facts["retry_after"] == 30
    time.at += 30
    quotas.charge(NAIROBI, make_cost(messages=30))
    exceeded(quotas, NAIROBI, make_cost(messages=1))
    assert quotas.state_of(NAIROBI) == {"messages": {"per_minute": 60, "left": 0}}
    # Another's is another's.
    assert quotas.state_of(KAMPALA) == {"messages": {"per_minute": 60, "left": 60}}
    time.at += 1000
    assert quotas.state_of(NAIROBI) == {"messages": {"per_minute": 60, "left": 60}}


def test_waiting_as_told_is_enough(time):
    quotas = Quotas({"messages": 7, "bytes": 1000}, time)
    for _ in range(50):
        cost = make_cost(messages=3, size=170)
        try:
            quotas.charge(NAIROBI, cost)
        except QuotaExceededError as error:
            time.at += error.facts["retry_after"]
            quotas.charge(NAIROBI, cost)


def test_all_or_nothing(time):
    quotas = Quotas({"messages": 10, "recipients": 5}, time)
    assert exceeded_after(quotas, time) == "recipients"
    assert quotas.state_of(NAIROBI) == {
        "messages": {"per_minute": 10, "left": 9},
        "recipients": {"per_minute": 5, "left": 1},
    }


def exceeded_after(quotas, time):
    quotas.charge(NAIROBI, make_cost(messages=1, recipients=4))
    return exceeded(quotas, NAIROBI, make_cost(messages=1, recipients=4)).facts["quota"]


def test_what_is_larger_than_a_bucket_is_taken_from_a_full_one_and_owed(time):
    quotas = Quotas({"bytes": 100}, time)
    quotas.charge(NAIROBI, make_cost(size=300))
    assert quotas.state_of(NAIROBI)["bytes"]["left"] == 0
    assert exceeded(quotas, NAIROBI, make_cost(size=1)).facts["retry_after"] == 121
    time.at += 121
    quotas.charge(NAIROBI, make_cost(size=1))


def test_given_back(time):
    quotas = Quotas({"messages": 10}, time)
    cost = make_cost(messages=10)
    quotas.charge(NAIROBI, cost)
    quotas.refund(NAIROBI, cost)
    quotas.charge(NAIROBI, cost)
    for _ in range(3):
        quotas.refund(NAIROBI, cost)
    assert quotas.state_of(NAIROBI)["messages"]["left"] == 10


def test_messages_to_an_endpoint_do_not_spend_what_it_answers_with(time):
    quotas = Quotas({"messages": 1, "recipients": 1, "receipts": 256}, time)
    quotas.charge(NAIROBI, make_cost(receipts=256))
    quotas.charge(NAIROBI, make_cost(messages=1, recipients=1))
    assert exceeded(quotas, NAIROBI, make_cost(receipts=1)).facts["quota"] == "receipts"


@pytest.mark.parametrize(
    ("subject", "payer"),
    [
        (f"keys/{NAIROBI}", NAIROBI),
        (f"endpoint/{NAIROBI}", "authority/ke"),
        ("group/xo-eac/customs", "authority/xo-eac"),
        ("authority/ke", "log"),
        ("policy", "log"),
        ("log", "log"),
        ("revoked/" + 64 * "a", "revoked/" + 64 * "a"),
    ],
)
def test_directory_statements_are_charged_to_who_writes_the_subject(subject, payer):
    assert payer_of(subject) == payer


def test_none_is_none(time):
    quotas = Quotas({"messages": 0, "recipients": 0}, time)
    for _ in range(1000):
        quotas.charge(NAIROBI, make_cost(messages=10**6, recipients=10**6, size=10**12))
    assert quotas.kept == 0
    assert quotas.state_of(NAIROBI) == {}


def test_idle_endpoints_are_forgotten(time):
    quotas = Quotas({"messages": 60}, time)
    for n in range(3000):
        quotas.charge(Address(f"ke.police.n{n}"), make_cost(messages=1))
        time.at += 0.1
    assert quotas.kept <= 1100
    # Who still owes is not.
    quotas.charge(NAIROBI, make_cost(messages=60))
    for n in range(1500):
        quotas.charge(Address(f"ug.police.n{n}"), make_cost(messages=1))
    exceeded(quotas, NAIROBI, make_cost(messages=1))


# --- lanes ---


def manifest_like(urgency, *, exercise):
    world = World()
    return world.message(NAIROBI, [KAMPALA], urgency=urgency, exercise=exercise).manifest


@pytest.mark.parametrize(
    ("urgency", "exercise", "lane"),
    [
        (Urgency.ROUTINE, False, ""),
        (Urgency.PRIORITY, False, ""),
        (Urgency.URGENT, False, "urgent-"),
        (Urgency.FLASH, False, "urgent-"),
        (Urgency.ROUTINE, True, "exercise-"),
        (Urgency.FLASH, True, "exercise-urgent-"),
    ],
)
def test_the_lane_of_a_message(urgency, exercise, lane):
    assert lane_of(manifest_like(urgency, exercise=exercise)) == lane


def test_neither_bulk_nor_a_drill_spends_what_is_urgent_or_real(time):
    quotas = Quotas({lane + "messages": 5 for lane in ("", "urgent-", "exercise-")}, time)
    quotas.charge(NAIROBI, make_cost(messages=5))
    quotas.charge(NAIROBI, make_cost(messages=5, lane="exercise-"))
    for lane in ("", "exercise-"):
        assert exceeded(quotas, NAIROBI, make_cost(messages=1, lane=lane)).facts["quota"] == lane + "messages"
    quotas.charge(NAIROBI, make_cost(messages=5, lane="urgent-"))
    quotas.refund(NAIROBI, make_cost(messages=2, lane="urgent-"))
    assert quotas.state_of(NAIROBI)["urgent-messages"]["left"] == 2
    assert quotas.state_of(NAIROBI)["messages"]["left"] == 0


def test_a_new_payer_costs_a_look_at_few_however_many_there_are(time, monkeypatch):
    quotas = Quotas({"messages": 60}, time)
    for number in range(3000):
        quotas.charge(f"ke.police.n{number}", make_cost(messages=60))  # none is full again for a minute
    looked = []
    refill = quotas._refill
    monkeypatch.setattr(quotas, "_refill", lambda bucket: (looked.append(bucket), refill(bucket)))
    quotas.charge("ke.police.newest", make_cost(messages=1))
    assert len(looked) <= 5
    # Nobody's debt is forgotten by it.
    assert all(quotas.state_of(f"ke.police.n{n}")["messages"]["left"] == 0 for n in range(0, 3000, 100))
    time.at += 61
    for number in range(1500):
        quotas.charge(f"ug.police.n{number}", make_cost(messages=60))
    assert quotas.kept <= 2000
