"""A broker that breaks its own rules towards a client that can tell: each is found, with the evidence."""

import dataclasses

import pytest

from countermark_client import _compose, default_handling, testing
from countermark_client._rules import check_received
from countermark_protocol import appending, decision
from countermark_protocol.accounts import Verdict, parse_account
from countermark_protocol.boxes import Box
from countermark_protocol.claims import Seen
from countermark_protocol.decision import Decision
from countermark_protocol.documents import parse_document
from countermark_protocol.encoding import parse_object
from countermark_protocol.errors import InconsistentLogError, NotFoundError, PolicyError, ProofError
from countermark_protocol.handling import Classification
from countermark_protocol.httpsig import request_digest
from countermark_protocol.identifiers import parse_address
from countermark_protocol.policy import Policy
from countermark_protocol.statements import UndeliveredStatement

KENYA, BELGIUM, TANZANIA = "ke.police.nairobi", "be.contact.federal", "tz.police.dar"


@pytest.fixture
def world():
    return testing.world(KENYA, BELGIUM, TANZANIA)


def _send(client, **more):
    return client.send("tracing-request", testing.sample_request(), to=[BELGIUM], **more)


def _lenient(monkeypatch, kind, make):
    """Let the broker decide otherwise about statements of one kind."""
    real = appending.decide
    monkeypatch.setattr(
        appending,
        "decide",
        lambda state, statement, time: (
            make(state, statement) if isinstance(statement, kind) else real(state, statement, time)
        ),
    )


# --- undelivered notices -----------------------------------------------------------------------------


def _false_notice(world, monkeypatch, message):
    """Let the broker log an undelivered notice, whatever its decision says."""

    def anyhow(_state, statement):
        notice = statement.notice
        return Decision(((notice.sender, Box.NOTICES), (notice.author, Box.SENT)))

    with monkeypatch.context() as patch:
        _lenient(patch, UndeliveredStatement, anyhow)
        for one in world.broker.state.messages.values():
            if one is not None and one.payload_hash != message:
                patch.setitem(world.broker.state.messages, one.payload_hash, None)
        state = world.broker.state.messages[message]
        forgotten = dataclasses.replace(
            state,
            expires_at=0,
            deliveries={
                r: dataclasses.replace(d, stage=type(d.stage).OPEN, undelivered_index=None)
                for r, d in state.deliveries.items()
            },
        )
        patch.setitem(world.broker.state.messages, message, forgotten)
        assert world.broker.tick() == 1
    return world.broker.entries[-1]


def test_an_undelivered_notice_before_its_time(world, monkeypatch):
    kenya = world.client(KENYA)
    sent = _send(kenya)
    notice = _false_notice(world, monkeypatch, sent.message)
    with pytest.raises(InconsistentLogError) as caught:
        kenya.notices()
    assert caught.value.code == "false_undelivered"
    manifest, document, _ = caught.value.evidence
    assert parse_document(manifest).payload_hash == sent.message
    assert document == notice.document.data
    assert kenya.halted is not None
    assert not kenya.status(sent).recipients[0].undelivered


def test_an_undelivered_notice_within_the_grace(world, monkeypatch):
    kenya = world.client(KENYA)
    sent = _send(kenya)
    expires_at = world.broker.manifest(sent.message).expires_at
    world.clock.now = expires_at + 59_999
    _false_notice(world, monkeypatch, sent.message)
    with pytest.raises(InconsistentLogError) as caught:
        kenya.notices()
    assert "1 ms too early" in caught.value.message


def test_an_undelivered_notice_in_time_is_right(world):
    kenya = world.client(KENYA)
    sent = _send(kenya)
    world.clock.now = world.broker.manifest(sent.message).expires_at + 60_000
    assert world.broker.tick() == 1
    assert len(kenya.notices()) == 1
    assert kenya.status(sent).recipients[0].undelivered


@pytest.mark.parametrize("accepted", [False, True])
@pytest.mark.parametrize("one_page", [False, True])
def test_an_undelivered_notice_after_a_receipt(world, monkeypatch, accepted, one_page):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    sent = _send(kenya)
    [received] = belgium.inbox()
    if accepted:
        received.accept()
    receipt = world.broker.entries[-1].document.data
    if not one_page:
        kenya.notices()
    world.clock.advance(days=40)
    notice = _false_notice(world, monkeypatch, sent.message)
    with pytest.raises(InconsistentLogError) as caught:
        kenya.notices()
    assert caught.value.code == "false_undelivered"
    assert caught.value.evidence[:3] == (receipt, notice.document.data, notice.leaf.encode())


def test_a_second_undelivered_notice(world, monkeypatch):
    kenya = world.client(KENYA)
    sent = _send(kenya)
    world.clock.advance(days=40)
    world.broker.tick()
    first = world.broker.entries[-1].document.data
    world.clock.advance(days=1)
    kenya.sync()
    monkeypatch.setattr(world.broker, "_seen", lambda: Seen(3, world.broker.state.roots[3]))
    second = _false_notice(world, monkeypatch, sent.message)
    with pytest.raises(InconsistentLogError) as caught:
        kenya.notices()
    assert caught.value.evidence[:2] == (first, second.document.data)


def test_a_receipt_after_the_notice_is_late_and_right(world):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    sent = _send(kenya)
    world.clock.advance(days=40)
    world.broker.tick()
    list(belgium.inbox())
    assert len(kenya.notices()) == 2
    [recipient] = kenya.status(sent).recipients
    assert (recipient.stage, recipient.undelivered, recipient.late) == ("delivered", True, True)


def test_a_notice_about_another_instances_message_is_judged_once_that_is_read(world, monkeypatch):
    kenya = world.client(KENYA)
    two = world.client(world.profile(KENYA, keystore=world.add_instance(KENYA)))
    sent = _send(two)
    _false_notice(world, monkeypatch, sent.message)
    assert len(kenya.notices()) == 1  # it does not know the message yet
    with pytest.raises(InconsistentLogError) as caught:
        kenya.sync_sent()
    assert caught.value.code == "false_undelivered"
    assert kenya.messages("out") == []


# --- "not held" --------------------------------------------------------------------------------------


def _deny(world, verdict=Verdict.NOT_HELD, account=True, what="/content"):
    broker = world.broker

    def intercept(request, answer):
        if not request.path.endswith(what):
            return answer
        caller, digest = broker._any_instance(request)
        signed = broker._account(caller, digest, verdict, None) if account else None
        return broker._problem(404, NotFoundError("not_held", "no such message"), account=signed)

    broker.intercept = intercept


def test_content_denied_that_is_proven_to_be_logged(world):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    sent = _send(kenya)
    _deny(world)
    with pytest.raises(InconsistentLogError) as caught:
        list(belgium.inbox())
    assert caught.value.code == "not_held_contradicted"
    account, base, document, proof = caught.value.evidence
    stated = parse_account(parse_document(account).claims)
    assert stated.verdict is Verdict.NOT_HELD
    assert stated.request == request_digest(base)
    assert f"/v1/messages/{sent.hash}/content".encode() in base
    assert parse_document(document).payload_hash == sent.message
    assert parse_object(proof)["inclusion"]["index"] == sent.index
    assert stated.seen.size > sent.index
    assert belgium.halted is not None


def test_a_stanza_denied_that_is_proven_to_be_logged(world):
    kenya = world.client(KENYA)
    one = world.client(BELGIUM)
    two = world.client(world.profile(BELGIUM, keystore=world.add_instance(BELGIUM)))
    _send(kenya)
    list(one.inbox())
    two.sync_sent()
    _deny(world, what="/stanza")
    with pytest.raises(InconsistentLogError) as caught:
        list(two.inbox())
    assert caught.value.code == "not_held_contradicted"


def test_a_denial_without_account_or_about_an_older_log_convicts_nobody(world):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    _send(kenya)
    _deny(world, account=False)
    with pytest.raises(ProofError) as caught:
        list(belgium.inbox())
    assert caught.value.code == "refusal_unproven"
    real = world.broker._seen
    world.broker._seen = lambda: Seen(12, world.broker.state.roots[12])
    _deny(world)
    # Box states below that size: nothing is in Belgium's boxes there.
    boxes = dict(world.broker.state.boxes)
    for box in Box:
        world.broker.state.boxes.pop((BELGIUM, box), None)
    with pytest.raises(ProofError) as caught:
        list(belgium.inbox())
    assert caught.value.code == "refusal_unproven"
    assert belgium.halted is None
    world.broker._seen = real
    world.broker.state.boxes.update(boxes)
    world.broker.intercept = None
    assert len(list(belgium.inbox())) == 1


# --- the rules of the decision -----------------------------------------------------------------------


def _anyhow(monkeypatch, *checks):
    """A broker (and a sender) that leave out some checks; the reader's own are looked up elsewhere."""
    for check in checks:
        monkeypatch.setattr(decision, check, lambda *_, **__: None)


def _caught(client, rule):
    with pytest.raises(InconsistentLogError) as caught:
        list(client.inbox())
    assert caught.value.code == "decision_against_rules"
    assert caught.value.facts["rule"] == rule
    assert client.halted is not None
    return caught.value.evidence


def _composes_anything(monkeypatch, client):
    monkeypatch.setattr(client._core.sender._composer._checks, "_policy_problems", lambda *_: [])


def test_a_message_that_the_policy_forbids(world, monkeypatch):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    kenya.sync()
    world.set_policy(Policy(()))
    _composes_anything(monkeypatch, kenya)
    _anyhow(monkeypatch, "check_policy")
    sent = _send(kenya)
    leaf, document, _, _ = _caught(belgium, "policy_denied")
    assert leaf == world.broker.entries[sent.index].leaf.encode()
    assert document == world.broker.entries[sent.index].document.data


def test_a_policy_of_later_does_not_count(world):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    _send(kenya)
    world.set_policy(Policy(()))
    assert len(list(belgium.inbox())) == 1


def test_a_message_classified_above_the_ceiling(world, monkeypatch):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    kenya.sync()
    _composes_anything(monkeypatch, kenya)
    _anyhow(monkeypatch, "check_policy")
    handling = dataclasses.replace(default_handling(world.clock()), classification=Classification.SECRET)
    _send(kenya, handling=handling)
    _caught(belgium, "policy_denied")


def test_a_message_that_had_expired(world, monkeypatch):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    kenya.sync()
    belgium.sync()
    world.transport.cut.extend(["before"] * 20)
    with pytest.raises(Exception, match="could not be reached"):
        _send(kenya)
    world.transport.cut.clear()
    world.clock.advance(days=31)
    with monkeypatch.context() as patch:
        _anyhow(patch, "check_times")
        kenya.flush()
    _caught(belgium, "expired")


def test_a_message_from_the_future(world, monkeypatch):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    kenya.sync()
    belgium.sync()
    session = kenya._core.session
    real = session.clock
    monkeypatch.setattr(kenya._core.sender._composer._session, "clock", lambda: real() + 300_001)
    monkeypatch.setattr(kenya._core.sender._log, "refresh", lambda: iter(()))
    with monkeypatch.context() as patch:
        _anyhow(patch, "check_times")
        _send(kenya)
    _caught(belgium, "sent_in_future")


def test_a_type_that_the_recipient_does_not_read(world, monkeypatch):
    world.enrol("fr.contact.national", reads={"tracing-response": (1,)})
    kenya, france = world.client(KENYA), world.client("fr.contact.national")
    kenya.sync()
    composer = kenya._core.sender._composer._checks
    real = composer._content
    monkeypatch.setattr(composer, "_content", lambda draft, to: (real(draft, to)[0], []))
    _anyhow(monkeypatch, "check_recipient")
    kenya.send("tracing-request", testing.sample_request(), to=["fr.contact.national"])
    _caught(france, "version_not_read")


def test_a_row_to_a_sealing_key_that_is_no_longer_accepted(world, monkeypatch):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    kenya.sync()
    world.rotate_sealing_key(BELGIUM)
    _anyhow(monkeypatch, "check_recipient")
    _send(kenya)
    _caught(belgium, "sealing_key_not_accepted")


def test_a_group_of_which_the_recipient_is_no_member(world, monkeypatch):
    world.group("be/all", [TANZANIA])
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    kenya.sync()
    real = _compose.resolve_names

    def another(*args, **more):
        return dataclasses.replace(real(*args, **more), chosen={parse_address(BELGIUM): "group:be/all"})

    monkeypatch.setattr(_compose, "resolve_names", another)
    _anyhow(monkeypatch, "check_group")
    kenya.send("lost-or-stolen-notice", testing.sample_notice(), to=["group:be/all"])
    _caught(belgium, "not_in_group")


def test_an_answer_to_a_message_that_its_sender_never_got(world, monkeypatch):
    kenya, belgium, tanzania = (world.client(a) for a in (KENYA, BELGIUM, "tz.contact.national"))
    sent = _send(kenya)
    [received] = belgium.inbox()
    # Tanzania learnt of it by another path than the log, and the broker does not ask.
    tanzania.sync()
    stored = belgium.profile.store.message(received.message)
    tanzania.profile.store.add_message(stored)
    monkeypatch.setattr(decision, "_check_conversation", lambda state, m: state.parties[m.conversation])
    answer = testing.sample_acknowledgement(received.manifest.id)
    tanzania.send("tracing-acknowledgement", answer, to=[KENYA], in_reply_to=sent.message)
    _caught(kenya, "unknown_reply_target")


def test_a_drill_that_turns_real(world, monkeypatch):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    _send(kenya, exercise=True)
    [received] = belgium.inbox()
    composer = belgium._core.sender._composer
    real = composer._target

    def no_drill(ref):
        target = real(ref)
        return dataclasses.replace(target, manifest=dataclasses.replace(target.manifest, exercise=False))

    monkeypatch.setattr(composer, "_target", no_drill)
    monkeypatch.setattr(decision, "_check_conversation", lambda state, m: state.parties[m.conversation])
    belgium.reply(received, "tracing-acknowledgement", testing.sample_acknowledgement(received.manifest.id))
    _caught(kenya, "exercise_mismatch")


def test_what_is_not_held_here_is_not_held_against_the_broker(world):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    _send(kenya)
    [received] = belgium.inbox()
    belgium.reply(received, "tracing-acknowledgement", testing.sample_acknowledgement(received.manifest.id))
    # A new instance of Kenya never read `sent`: it does not know what is answered.
    fresh = world.client(world.profile(KENYA, keystore=world.add_instance(KENYA)))
    assert [r.type for r in fresh.inbox()] == ["tracing-acknowledgement"]


def test_every_rule_of_the_decision_is_the_same_function():
    for name in ("check_times", "check_type", "check_group", "check_recipient", "check_policy"):
        assert check_received.__globals__[name] is getattr(decision, name)


# --- the sender's review of answers ------------------------------------------------------------------


def _answer(request_id, *refs):
    response = testing.sample_response(request_id)
    [result] = response["itemResults"]
    return {**response, "itemResults": [{**result, "itemRef": ref} for ref in refs]}


@pytest.mark.parametrize(
    ("refs", "rule"), [(("2",), "item_not_requested"), (("1", "2"), "item_not_requested")]
)
def test_an_answer_to_what_was_not_asked_is_not_sealed(world, refs, rule):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    _send(kenya)
    [received] = belgium.inbox()
    with pytest.raises(PolicyError) as caught:
        belgium.reply(received, "tracing-response", _answer(received.manifest.id, *refs))
    assert caught.value.code == "review_refused"
    assert rule in {f["rule"] for f in caught.value.facts["findings"]}
    assert [i.kind for i in belgium.outbox()] == ["receipt"]


def test_a_final_answer_is_reviewed_against_the_request_of_its_conversation(world):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    request = {**testing.sample_request(), "items": [testing.sample_item("1"), testing.sample_item("2")]}
    kenya.send("tracing-request", request, to=[BELGIUM])
    [received] = belgium.inbox()
    belgium.reply(received, "tracing-acknowledgement", testing.sample_acknowledgement(received.manifest.id))
    [acknowledged] = kenya.inbox()
    kenya.reply(acknowledged, "lost-or-stolen-notice", testing.sample_notice())
    [_, notice] = belgium.inbox()
    for replied_to in (received, notice):
        with pytest.raises(PolicyError) as caught:
            belgium.reply(replied_to, "tracing-response", _answer(received.manifest.id, "1"))
        assert [f["rule"] for f in caught.value.facts["findings"]] == ["item_not_answered"]
    belgium.reply(notice, "tracing-response", _answer(received.manifest.id, "1", "2"))
    assert [r.type for r in kenya.inbox()] == ["tracing-acknowledgement", "tracing-response"]


def test_an_answer_whose_request_is_not_held_is_not_reviewed_against_it(world):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    _send(kenya)
    [received] = belgium.inbox()
    two = world.client(world.profile(BELGIUM, keystore=world.add_instance(BELGIUM)))
    two._run(two._core.boxes.read_all(Box.ROUTINE))  # read, and not signed for by this instance
    two.send("tracing-response", _answer(received.manifest.id, "7"), to=[KENYA], in_reply_to=received.message)
    assert [r.type for r in kenya.inbox()] == ["tracing-response"]
