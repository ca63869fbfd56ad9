"""Acts against auditors, and what auditors make of the others."""

from __future__ import annotations

import pytest

from countermark_protocol.acts import Scope
from countermark_protocol.boxes import Box
from countermark_protocol.encoding import encode_json
from countermark_protocol.policy import Policy
from countermark_protocol.proof import recipient_to_json
from countermark_protocol.submission import parse_submission
from malicious_broker.auditing import Auditor
from malicious_broker.evidence import held_by
from malicious_broker.kit import BELGIUM, KENYA, MOMBASA, malicious_world, send, unposted
from malicious_broker.verdicts import Act, silent

SENT = (KENYA, Box.SENT)


@pytest.fixture
def scene():
    world, broker = malicious_world(KENYA, MOMBASA, BELGIUM)
    kenya = world.client(KENYA)
    kenya.sync()
    return world, broker, kenya, Auditor(world, broker, Scope.NATIONAL)


def _proven(client, number):
    """Document and proof of a message that a client has sent, as it has kept them."""
    store = client.profile.store
    index, _, _ = store.box_entry(Box.SENT, number)
    return client._core.boxes._accounts._proven(Box.SENT, number, index)


def _found(auditor):
    auditor.sync()
    return list(auditor.found)


@pytest.mark.parametrize("scope", Scope)
def test_the_honest_twin(scene, scope):
    world, broker, kenya, _ = scene
    auditor = Auditor(world, broker, scope)
    for _ in range(2):
        send(kenya)
        list(world.client(BELGIUM).inbox())
        assert _found(auditor) == []
    kenya.sync_sent()
    kenya.notices()
    silent(kenya)


def test_omitting_an_entry_and_showing_what_follows(scene):
    world, _, kenya, auditor = scene
    act = Act("omitting an entry from a national auditor's mandate and showing what follows", world)
    first, _ = send(kenya), send(kenya)
    auditor.hidden = {first.index}
    assert _found(auditor) == ["box_broken"]
    act.found(["box_broken"])
    act.convinces_nobody(kenya, other=[auditor.evidence("box_broken", *auditor.found["box_broken"].values())])


def test_omitting_the_newest_entry(scene):
    """Account and box agree with each other; it takes the owner to see that the entry is missing."""
    world, broker, kenya, auditor = scene
    act = Act("omitting the newest entry from a national auditor's mandate", world)
    send(kenya)
    newest = send(kenya)
    auditor.hidden = {newest.index}
    broker.understate(*SENT, 1)
    assert _found(auditor) == []
    broker.claimed.clear()
    act.nobody_notices(kenya.sync_sent, kenya.notices)
    silent(kenya)
    act.convince_together(auditor.held, held_by(kenya), codes={"account_contradicted", "accounts_differ"})


def test_omitting_an_entry_from_an_overseer(scene):
    world, broker, kenya, _ = scene
    act = Act("omitting an entry from an oversight auditor's mandate", world)
    overseer = Auditor(world, broker, Scope.OVERSIGHT)
    overseer.hidden = {send(kenya).index}
    assert _found(overseer) == ["entry_missing"]
    act.found(["entry_missing"])
    act.convinces_nobody(
        kenya, other=[overseer.evidence("entry_missing", *overseer.found["entry_missing"].values())]
    )


def test_understating_an_account_to_an_auditor(scene):
    world, broker, kenya, auditor = scene
    act = Act("understating an account to an auditor", world)
    sent = send(kenya)
    broker.understate(*SENT, 0)
    assert _found(auditor) == ["account_contradicted"]
    act.found(["account_contradicted"])
    shown = (auditor.document(sent.index), auditor.proof(sent.index, place=SENT))
    honest = Auditor(world, broker, Scope.NATIONAL)
    broker.claimed.clear()
    honest.sync()
    twin = honest.evidence("account_contradicted", honest.account, *shown)
    account = auditor.found["account_contradicted"]["account"]
    act.convinces(auditor.evidence("account_contradicted", account, *shown), twin)


def test_an_owner_and_its_auditor_at_one_position(scene):
    world, broker, kenya, auditor = scene
    act = Act("showing an owner and its auditor different entries at one position", world)
    before = broker.state.boxes[SENT]
    body = unposted(broker, kenya)
    other = broker.append_without_deciding(parse_submission(body).document.data, submission=body)
    told = broker.state.boxes[SENT]
    broker.withhold(*SENT, 0)
    broker.state.boxes[SENT] = before
    # The owner's second worker is shown another one at that place; the auditor the first.
    two = world.client(world.profile(KENYA, keystore=world.add_instance(KENYA)))
    sent = send(two)
    act.nobody_notices(two.sync_sent, two.notices)
    broker._boxes[SENT], broker.claimed[SENT] = [other.index], told
    assert _found(auditor) == []
    silent(two)
    assert sent.index != other.index
    codes = {"box_forked", "accounts_differ", "account_contradicted"}
    act.convince_together(auditor.held, held_by(two), codes=codes)


def test_what_an_overseer_replays(scene):
    world, broker, kenya, _ = scene
    act = Act("delivering against the rules", world)
    overseer = Auditor(world, broker, Scope.OVERSIGHT)
    body = unposted(broker, kenya)
    world.set_policy(Policy(()))
    entry = broker.append_without_deciding(parse_submission(body).document.data, submission=body)
    assert _found(overseer) == ["decision_against_rules"]
    act.found(["decision_against_rules"])
    found = overseer.found["decision_against_rules"]
    row = parse_submission(body).rows[0]
    shown = _recipient(row)
    pieces = (found["leaf"], found["document"], overseer.proof(entry.index), shown)
    act.convinces(overseer.evidence("decision_against_rules", *pieces))


def _recipient(row):
    """The row of an only recipient, as an overseer is shown it."""
    at = {"number": 0, "count": 1, "path": []}
    return encode_json({"row": recipient_to_json(row), "at": at})
