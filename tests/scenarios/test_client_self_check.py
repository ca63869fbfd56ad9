"""The daily self-check: what the broker denied, compared with what was proven since, and refusals decided again."""

import pytest

from countermark_client import Settings, testing
from countermark_client.statements import sign_gathering
from countermark_protocol.accounts import Account, StatedBox, Verdict
from countermark_protocol.boxes import Box, BoxState
from countermark_protocol.claims import Seen
from countermark_protocol.default_policy import DEFAULT_POLICY
from countermark_protocol.documents import parse_document, sign_document
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import InconsistentLogError, PolicyError
from countermark_protocol.policy import Policy

POLICE, KAMPALA, OFFICE = "ke.police.nairobi", "ug.police.kampala", "ke.auditor.office"
DAY = 86_400


@pytest.fixture
def world():
    return testing.world(POLICE, KAMPALA, OFFICE)


def send(client, case="KE-1", to=KAMPALA):
    return client.send("lost-or-stolen-notice", testing.sample_notice(case), [to])


def refuse(world, error):
    """Let the broker refuse the next statement by a rule of its choice."""
    real = world.broker._append

    def append(statement):
        if "message" not in str(statement.document.claims["kind"]):
            return real(statement)
        world.broker._append = real
        raise error

    world.broker._append = append


def test_accounts_are_kept_the_newest_of_each_state(world):
    police, kampala = world.client(POLICE), world.client(KAMPALA)
    for _ in range(3):
        list(kampala.inbox())
    assert len(kampala.profile.store.accounts()) == 1
    send(police)
    list(kampala.inbox())
    list(kampala.inbox())
    assert len(kampala.profile.store.accounts()) in {2, 3}
    done = kampala.check_accounts()
    assert (done.finding, done.refusals) == (None, 0)
    assert done.accounts >= 1
    assert kampala.self_check == done


def test_it_runs_by_itself_once_a_day(world):
    kampala = world.client(KAMPALA)
    kampala.sync()
    first = kampala.self_check.at
    world.clock.sleep(DAY / 2)
    list(kampala.inbox())
    assert kampala.self_check.at == first
    world.clock.sleep(DAY)
    list(kampala.inbox())
    second = kampala.self_check.at
    assert second > first
    world.clock.sleep(DAY)
    list(kampala.work())
    assert kampala.self_check.at > second


def test_an_account_that_was_passed_over_is_contradicted_by_what_was_read_since(world):
    """A false account that came while nothing of the box was known: only the later comparison finds it."""
    police, kampala = world.client(POLICE), world.client(KAMPALA)
    kampala.sync()
    send(police)
    # The broker signs that all boxes are empty, about a log that holds the message.
    seen = Seen(world.broker.state.size, world.broker.state.frontier.root())
    boxes = tuple(StatedBox(KAMPALA, box, BoxState()) for box in Box)
    broker = world.broker.state.directory.log().broker
    stated = Account(
        world.broker.origin, seen, broker, KAMPALA, bytes(32), world.clock(), Verdict.NOT_HELD, boxes, None
    )
    account = sign_document(encode_json(stated.to_json()), [world.broker._node_key])
    kampala.profile.store.add_account(stated, account)
    assert kampala.check_accounts().finding is None  # nothing of the box is read yet
    [received] = kampala.inbox()
    with pytest.raises(InconsistentLogError) as found:
        kampala.check_accounts()
    assert found.value.code == "account_contradicted"
    assert account in found.value.evidence
    assert received.document in found.value.evidence
    assert kampala.halted is not None
    assert "account_contradicted" in kampala.self_check.finding
    assert kampala.profile.evidence
    kampala.clear_halt()
    assert kampala.check_accounts().finding is None  # raised once


# --- refusals ---


def test_a_refusal_by_a_rule_that_was_broken_stands(world):
    police = world.client(POLICE)
    none = world.drafts.policy(Policy(()))
    with pytest.raises(PolicyError):
        _refused_by_policy(world, police, none)
    done = police.check_accounts()
    assert (done.refusals, done.replayed, done.finding) == (1, 1, None)
    # Allowed again later: it was refused by the policy as of then.
    world.broker.post_statement(sign_gathering(world.drafts.policy(DEFAULT_POLICY), [world._governor]))
    assert police.check_accounts().finding is None


def _refused_by_policy(world, client, policy):
    """The policy changes between the client's own look and the broker's decision."""
    real = world.broker._append

    def append(statement):
        world.broker._append = real
        world.broker.post_statement(sign_gathering(policy, [world._governor]))
        return real(statement)

    client.sync()
    world.broker._append = append
    return send(client)


@pytest.mark.parametrize("rule", ["policy_denied", "not_releasable", "expired", "unknown_group"])
def test_a_refusal_against_the_rules_is_a_finding_with_account_document_and_directory(world, rule):
    police = world.client(POLICE)
    refuse(world, PolicyError(rule, "because I say so"))
    with pytest.raises(PolicyError):
        send(police)
    assert police.halted is None
    with pytest.raises(InconsistentLogError) as found:
        police.check_accounts()
    assert found.value.code == "refusal_against_rules"
    kinds = [
        parse_document(d).claims["kind"]
        for d in found.value.evidence
        if d.startswith(b"{") is False and len(d) > 115
    ][:2]
    assert "account" in kinds
    assert police.halted is not None
    police.clear_halt()
    assert police.check_accounts().finding is None


def test_it_is_found_by_itself_the_next_day(world):
    police = world.client(POLICE)
    police.sync()
    refuse(world, PolicyError("policy_denied", "because I say so"))
    with pytest.raises(PolicyError):
        send(police)
    world.clock.sleep(DAY + 1)
    with pytest.raises(InconsistentLogError) as found:
        list(police.inbox())
    assert found.value.code == "refusal_against_rules"


def test_a_rule_that_depends_on_other_statements_is_not_judged(world):
    police = world.client(POLICE)
    refuse(world, PolicyError("supersedes_not_own", "because I say so"))
    with pytest.raises(PolicyError):
        send(police)
    done = police.check_accounts()
    assert (done.refusals, done.replayed, done.finding) == (1, 0, None)


def test_without_a_line_nothing_runs_by_itself(world):
    police = world.client(POLICE, settings=Settings(cut_off=True))
    assert list(police.inbox()) == []
    assert police.self_check is None
