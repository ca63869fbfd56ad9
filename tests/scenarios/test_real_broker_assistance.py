"""A match over two endpoints at the real broker: proposed, talked about, accepted by each for itself, delivered, closed."""

import datetime as dt
from unittest import mock

import pytest

from countermark_client.assistance import (
    Standing,
    committed,
    fit,
    fold_match,
    known_matches,
    known_offers,
    known_requests,
    propose,
    step_content,
)
from countermark_protocol.codes.assistance import MatchProposer, MatchStep
from countermark_protocol.errors import PolicyError
from countermark_protocol.messages.money import Money
from message_examples import example
from support.demo import demo_world, governed, serving

KENYA, BELGIUM, UGANDA = "ke.contact.national", "be.donor.brussels", "ug.contact.kampala"
CAST = {
    "ke": ("Kenya", {KENYA: "Contact point"}),
    "be": ("Belgium", {BELGIUM: "Donor"}),
    "ug": ("Uganda", {UGANDA: "Contact point"}),
}
TODAY = dt.datetime.now(dt.UTC).date()
LATER = (TODAY + dt.timedelta(days=1500)).isoformat()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("assistance") / "world"
    with (
        mock.patch.object(demo_world, "GROUP", "ke/all"),
        governed(root, "", CAST) as world,
        serving(world),
    ):
        yield world


def take_in(world, address):
    client = world.clients[address]
    client.accept_many(list(client.inbox()))


def state(world, address):
    (messages,) = known_matches(world.clients[address].messages()).values()
    return fold_match(messages, TODAY)


def say(world, speaker, other, step, **more):
    """Take a step for oneself, as a reply to the proposal."""
    client = world.clients[speaker]
    now = state(world, speaker)
    content = step_content(now, speaker, step, overview_consent=True, **more)
    client.send(
        "assistance-match", content, [other], in_reply_to=now.first.message, exercise=True, visible=True
    )
    take_in(world, other)


def test_a_match_is_agreed_by_each_side_and_neither_can_do_it_alone(world):
    asked = example("assistance-request") | {"validUntil": LATER}
    asked["budget"] = {"currency": "EUR", "total": 200_000}
    del asked["startNotBefore"]
    offered = example("assistance-offer") | {"availableFrom": TODAY.isoformat(), "availableUntil": LATER}
    world.clients[KENYA].send("assistance-request", asked, [BELGIUM], exercise=True)
    world.clients[BELGIUM].send("assistance-offer", offered, [KENYA], exercise=True)
    take_in(world, KENYA)
    take_in(world, BELGIUM)

    donor = world.clients[BELGIUM]
    (request,) = known_requests(donor.messages()).values()
    (offer,) = known_offers(donor.messages()).values()
    assert (request.speaker, offer.speaker) == (KENYA, BELGIUM)
    found = fit(request.content, offer.content, TODAY)
    proposal = propose(
        request.content, request.speaker, offer.content, offer.speaker, found,
        match_ref="M-1", by=MatchProposer.DONOR, answer_until=TODAY + dt.timedelta(days=30), overview_consent=True,
    )  # fmt: skip
    donor.send("assistance-match", proposal, [KENYA], exercise=True, visible=True)
    take_in(world, KENYA)

    # The donor has accepted its own terms; that is not agreement, however often it says so.
    assert state(world, KENYA).standing is Standing.PROPOSED
    say(world, BELGIUM, KENYA, MatchStep.ACCEPTED)
    for address in (KENYA, BELGIUM):
        assert (state(world, address).standing, state(world, address).terms) == (Standing.PROPOSED, None)
    with pytest.raises(PolicyError):
        step_content(state(world, BELGIUM), BELGIUM, MatchStep.DELIVERED, overview_consent=True)

    say(world, KENYA, BELGIUM, MatchStep.CONSULTING, note="May it begin in March?")
    say(world, KENYA, BELGIUM, MatchStep.ACCEPTED)
    for address in (KENYA, BELGIUM):
        agreed = state(world, address)
        assert (agreed.standing, set(agreed.agreed_by)) == (Standing.AGREED, {KENYA, BELGIUM})
        assert committed([agreed]) == {(BELGIUM, "BE-MFA-2026-11"): 180_000}

    say(world, BELGIUM, KENYA, MatchStep.DELIVERED, delivered_value=Money(currency="EUR", amount=180_000))
    say(world, KENYA, BELGIUM, MatchStep.CLOSED, evaluation_note="Machines in use")
    for address in (KENYA, BELGIUM):
        closed = state(world, address)
        assert (closed.standing, closed.ignored, closed.publishable) == (Standing.CLOSED, (), True)


def test_what_a_stranger_says_in_anothers_name_counts_for_nothing(world):
    said = {
        n: v for n, v in example("assistance-match").items() if n not in {"requestMessage", "offerMessage"}
    }
    said |= {"matchRef": "M-2", "requester": KENYA, "offeror": BELGIUM}
    said["proposal"] = said["proposal"] | {"answerUntil": LATER}
    first = world.clients[BELGIUM].send(
        "assistance-match", said, [KENYA, UGANDA], exercise=True, visible=True
    )
    take_in(world, UGANDA)
    accepted = {n: v for n, v in said.items() if n not in {"proposal", "note"}} | {"step": "ACCEPTED"}
    world.clients[UGANDA].send(
        "assistance-match", accepted, [BELGIUM, KENYA], in_reply_to=first.message, exercise=True, visible=True
    )
    take_in(world, KENYA)
    take_in(world, BELGIUM)
    for address in (KENYA, BELGIUM):
        now = fold_match(known_matches(world.clients[address].messages())[first.hash], TODAY)
        assert (now.standing, now.agreed_by) == (Standing.PROPOSED, {})
        assert [why for _, why in now.ignored] == ["not_a_party"]
