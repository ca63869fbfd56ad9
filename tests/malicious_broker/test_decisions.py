"""Acts of deciding: what should have been refused and was not, what should not and was, what was never answered."""

from __future__ import annotations

import pytest

from countermark_client._refusals import recipients_of
from countermark_client.statements import finish_gathering, sign_gathering
from countermark_protocol.accounts import parse_account
from countermark_protocol.claims import Header, Kind, Seen
from countermark_protocol.contradiction_rules import DECIDED_BY_DIRECTORY
from countermark_protocol.documents import parse_document, sign_document
from countermark_protocol.encoding import encode_json, parse_object
from countermark_protocol.errors import NotFoundError, PolicyError
from countermark_protocol.gathering import read_gathering
from countermark_protocol.identifiers import Origin
from countermark_protocol.policy import Policy
from countermark_protocol.receipts import Undelivered
from countermark_protocol.submission import parse_submission
from malicious_broker.evidence import pieced
from malicious_broker.kit import BELGIUM, KENYA, malicious_world, resigned, send, unposted
from malicious_broker.verdicts import Act, silent

OTHER = Origin("log.test/another")


@pytest.fixture
def scene():
    world, broker = malicious_world()
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    kenya.sync()
    belgium.sync()
    return world, broker, kenya, belgium


def _received(client):
    return [r.message for r in client.inbox()]


def _shape(client, broker, claim, index, *more):
    """What evidence of this claim would be about an entry that is as it must be."""
    entry = broker.entries[index]
    return pieced(client, claim, (entry.leaf.encode(), entry.document.data, broker.proof(index), *more))


def test_the_honest_twins(scene):
    world, broker, kenya, belgium = scene
    sent = send(kenya)
    assert _received(belgium) == [sent.message]
    world.rotate_sealing_key(BELGIUM)
    keys = broker.state.size - 1
    world.suspend(BELGIUM)
    refusal = _refused(world, kenya)
    silent(kenya, belgium)
    for claim in ("decided_wrongly", "signer_did_not_count", "decision_against_rules", "back_dated"):
        act = Act("logging a statement meant for another log", world)
        act.refuses(_shape(belgium, broker, claim, sent.index))
        act.refuses(_shape(belgium, broker, claim, keys, broker.proof(keys - 1)))
    account = kenya.outbox()[-1].account
    assert parse_account(parse_document(account).claims).refusal.rule == refusal.code
    _refusal_is_right(world, broker, kenya)


def _refused(world, client):
    """A message that is refused as it must be: the client has read the directory before the suspension."""
    with pytest.raises((NotFoundError, PolicyError)) as caught:
        send(client)
    return caught.value


def _refusal_is_right(world, broker, client):
    item = client.outbox()[-1]
    account = parse_account(parse_document(item.account).claims)
    before = account.refusal.decided_size - 1
    pieces = (
        item.account,
        parse_submission(item.body).document.data,
        broker.entries[before].leaf.encode(),
        broker.proof(before),
        recipients_of(item),
    )
    assert client.check_accounts().finding is None
    Act("a refusal against the rules", world).refuses(pieced(client, "refusal_against_rules", pieces))


def test_a_message_for_another_log(scene):
    world, broker, kenya, belgium = scene
    act = Act("logging a statement meant for another log", world)
    body = unposted(broker, kenya)
    header = Header(Kind.MESSAGE, OTHER, Seen(0, broker.state.roots[0]))
    document, submission = resigned(world, body, header=header)
    broker.append_without_deciding(document, submission=submission)
    act.raises(lambda: _received(belgium), "decided_wrongly")
    assert belgium.messages("in") == []
    act.kept_convinces(belgium)


def test_a_directory_statement_for_another_log(scene):
    world, broker, kenya, _ = scene
    act = Act("logging a statement meant for another log", world)
    keys = world.keystore(BELGIUM)
    draft = world.drafts.keys(
        BELGIUM,
        signing=[(keys.signer("instance").public_key, "another")],
        sealing=keys.sealing_key().public_key,
    )
    payload = parse_object(read_gathering(draft).document.payload)
    data = sign_document(encode_json(payload | {"log": OTHER}), [keys.signer("administrator")])
    broker.append_without_deciding(data)
    error = act.raises(kenya.sync, "decision_against_rules")
    assert error.facts["rule"] == "wrong_log"
    act.kept_convinces(kenya)


def test_a_stale_directory_statement(scene):
    world, broker, kenya, _ = scene
    act = Act("slipping in a stale directory statement", world)
    keys = world.keystore(BELGIUM)
    stale = world.drafts.keys(
        BELGIUM,
        signing=[(keys.signer("instance").public_key, "stale")],
        sealing=keys.sealing_key().public_key,
    )
    world.rotate_sealing_key(BELGIUM)
    broker.append_without_deciding(finish_gathering(sign_gathering(stale, [keys.signer("administrator")])))
    error = act.raises(kenya.sync, "decision_against_rules")
    assert error.facts["rule"] == "stale_statement"
    act.raises_halted(lambda: send(kenya))
    act.kept_convinces(kenya)


def test_a_stale_statement_whose_leaf_is_not_shown(scene):
    """Without the leaf it is an alarm: the broker can say that this page was never its own."""
    world, broker, kenya, _ = scene
    keys = world.keystore(BELGIUM)
    stale = world.drafts.keys(
        BELGIUM,
        signing=[(keys.signer("instance").public_key, "stale")],
        sealing=keys.sealing_key().public_key,
    )
    world.rotate_sealing_key(BELGIUM)
    broker.append_without_deciding(finish_gathering(sign_gathering(stale, [keys.signer("administrator")])))
    broker.dropped = ("/inclusion",)
    with pytest.raises(Exception, match="stale_statement"):
        kenya.sync()
    assert kenya.profile.evidence == ()


def test_what_a_revoked_key_signed(scene):
    world, broker, kenya, belgium = scene
    act = Act("logging what a revoked key signed", world)
    body = unposted(broker, kenya)
    world.revoke_instance(KENYA)
    broker.append_without_deciding(parse_submission(body).document.data, submission=body)
    act.raises(lambda: _received(belgium), "signer_did_not_count")
    assert belgium.messages("in") == []
    act.kept_convinces(belgium)


def test_delivering_against_the_policy(scene):
    world, broker, kenya, belgium = scene
    act = Act("delivering against the rules", world)
    body = unposted(broker, kenya)
    world.set_policy(Policy(()))
    broker.append_without_deciding(parse_submission(body).document.data, submission=body)
    error = act.raises(lambda: _received(belgium), "decision_against_rules")
    assert error.facts["rule"] == "policy_denied"
    assert belgium.messages("in") == []
    act.kept_convinces(belgium)


def test_delivering_what_has_expired(scene):
    world, broker, kenya, belgium = scene
    act = Act("delivering against the rules", world)
    body = unposted(broker, kenya)
    world.clock.advance(days=60)
    broker.append_without_deciding(parse_submission(body).document.data, submission=body)
    error = act.raises(lambda: _received(belgium), "decision_against_rules")
    assert error.facts["rule"] == "expired"
    act.kept_convinces(belgium)


def test_back_dating_below_what_the_author_states(scene):
    world, broker, kenya, belgium = scene
    act = Act("back-dating below what the author had seen or stated", world)
    before = broker.state.time
    world.clock.advance(minutes=10)
    body = unposted(broker, kenya)
    broker.append_without_deciding(parse_submission(body).document.data, submission=body, time=before)
    error = act.raises(lambda: _received(belgium), "decision_against_rules")
    assert error.facts["rule"] == "sent_in_future"
    act.kept_convinces(belgium)


def test_back_dating_below_what_the_author_had_seen(scene):
    world, broker, kenya, belgium = scene
    act = Act("back-dating below what the author had seen or stated", world)
    body = unposted(broker, kenya)
    seen = Seen(broker.state.size + 5, b"\x01" * 32)
    document, submission = resigned(world, body, header=Header(Kind.MESSAGE, broker.origin, seen))
    broker.append_without_deciding(document, submission=submission)
    act.raises(lambda: _received(belgium), "decided_wrongly")
    act.kept_convinces(belgium)


@pytest.mark.parametrize("rule", sorted(DECIDED_BY_DIRECTORY))
def test_a_refusal_against_the_rules(scene, rule):
    world, broker, kenya, _ = scene
    act = Act("a refusal against the rules", world)

    broker.refusing = NotFoundError(rule, "it breaks this rule")
    with pytest.raises(NotFoundError) as believed:
        send(kenya)
    assert believed.value.code == rule  # at first the client believes the account
    broker.refusing = None
    act.raises(kenya.check_accounts, "refusal_against_rules")
    act.kept_convinces(kenya)


def test_logging_what_was_refused(scene):
    world, broker, kenya, _ = scene
    act = Act("logging a submission it had refused", world)
    world.suspend(BELGIUM)
    _refused(world, kenya)
    body = kenya.outbox()[-1].body
    record = broker.state.directory.held(f"endpoint/{BELGIUM}").record
    draft = world.drafts.endpoint(BELGIUM, name=record.name, administrator=record.administrator.keys)
    broker.post_statement(sign_gathering(draft, [world.authority("be")]))
    broker.append_without_deciding(parse_submission(body).document.data, submission=body)
    act.raises(kenya.sync_sent, "refused_but_logged")
    assert kenya.halted is not None
    act.convinces_nobody(kenya)  # whoever had the bytes may have posted them again


def test_refusing_what_is_logged(scene):
    world, broker, kenya, _ = scene
    act = Act("logging a submission while signing that it is not in the log", world)
    body = unposted(broker, kenya)
    broker.append_without_deciding(parse_submission(body).document.data, submission=body)
    broker.refusing = NotFoundError("unknown_recipient", "not an active endpoint with keys")
    kenya.flush()
    broker.refusing = None
    act.raises(kenya.sync_sent, "refused_but_logged")
    act.kept_convinces(kenya)


def _notice(broker, sent):
    """The broker's notice that a message was not collected, by its own node key."""
    notice = Undelivered(
        header=Header(Kind.UNDELIVERED, broker.origin, broker._seen()),
        author=broker.state.directory.log().broker,
        sender=KENYA,
        message=sent.message,
        recipient=BELGIUM,
    )
    return broker.sign_as_node(notice.to_json())


def test_a_notice_before_its_time(scene):
    world, broker, kenya, _ = scene
    act = Act("a false `undelivered`", world)
    sent = send(kenya)
    broker.append_without_deciding(_notice(broker, sent))
    act.raises(kenya.notices, "false_undelivered")
    act.kept_convinces(kenya)


def test_a_notice_after_a_receipt(scene):
    world, broker, kenya, belgium = scene
    act = Act("a false `undelivered`", world)
    sent = send(kenya)
    _received(belgium)
    world.clock.advance(days=40)
    broker.append_without_deciding(_notice(broker, sent))
    act.raises(kenya.notices, "false_undelivered")
    act.kept_convinces(kenya)


def test_a_notice_that_is_true(scene):
    """The honest twin: in time, and then a receipt that is late."""
    world, broker, kenya, belgium = scene
    act = Act("a false `undelivered`", world)
    sent = send(kenya)
    manifest = broker.entries[sent.index].document.data
    world.clock.advance(days=40)
    assert broker.tick() == 1
    notice = broker.entries[-1]
    _received(belgium)
    receipt = broker.entries[-1]
    assert len(kenya.notices()) == 2
    silent(kenya, belgium)
    proof = broker.proof(notice.index)
    act.refuses(pieced(kenya, "false_undelivered", (manifest, notice.document.data, proof)))
    pieces = (
        receipt.document.data,
        notice.document.data,
        notice.leaf.encode(),
        proof,
        broker.proof(receipt.index),
    )
    act.refuses(pieced(kenya, "false_undelivered", pieces))


def test_dropping_a_submission(scene):
    world, broker, kenya, belgium = scene
    act = Act("dropping a submission without an answer", world)
    broker.dropped = ("/v1/messages",)
    act.raises(lambda: send(kenya), "broker_unreachable")
    assert [item.state.value for item in kenya.outbox()] == ["waiting"]
    assert [item.tries > 0 for item in kenya.outbox()] == [True]
    assert _received(belgium) == []
    act.convinces_nobody(kenya, belgium)
