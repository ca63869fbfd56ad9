"""The one decision, attacked: every refusal by its code, and nothing whatever changed by any of them."""

from dataclasses import replace

import pytest

from countermark_protocol.authors import signer_of
from countermark_protocol.boxes import Box
from countermark_protocol.claims import Kind, Seen
from countermark_protocol.decision import box_for, decide
from countermark_protocol.documents import (
    Purpose,
    encode_document,
    make_signature,
    parse_document,
    sign_document,
)
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import (
    ConflictError,
    MalformedError,
    NotFoundError,
    PolicyError,
    SignatureError,
    VerificationError,
)
from countermark_protocol.handling import Classification, Tlp
from countermark_protocol.identifiers import Role
from countermark_protocol.judging import CLOCK_TOLERANCE
from countermark_protocol.manifest import Outcome, ResolvedGroup, Stage, Urgency
from countermark_protocol.merkle import EMPTY_ROOT
from countermark_protocol.policy import Enforcer, Policy, Relation, Rule, Side, Traffic
from countermark_protocol.receipts import ReceiptItem, ReceiptStage, RejectionReason
from countermark_protocol.records import Ground, GroupRecord, KeysRecord, RevocationRecord, State
from countermark_protocol.sealing import SealingKey
from countermark_protocol.state import Delivery, DeliveryStage
from support.protocol_world import NOW, make_world, message_id, snapshot
from support.world import (
    ALL_TYPES,
    BROKER,
    BRUSSELS,
    DAY,
    KAMPALA,
    LYON,
    MOMBASA,
    NAIROBI,
    handling,
    hash_of,
    seed,
    signer,
)

ANSWER = {"type": "tracing-response", "stage": Stage.FINAL, "outcome": Outcome(success=1)}
GRACE = 15 * 60 * 1000


@pytest.fixture
def world():
    return make_world()


# --- what is accepted ---


def test_deciding_changes_nothing(world):
    message = world.compose()
    before = snapshot(world.state)
    decision = decide(world.state, world.statement(message.document, message.rows), NOW)
    assert snapshot(world.state) == before
    assert decision.directory is None
    assert set(decision.deliveries) == {(KAMPALA, Box.ROUTINE), (NAIROBI, Box.SENT)}
    assert [m.payload_hash for m in decision.messages] == [message.payload_hash]


@pytest.mark.parametrize(
    ("urgency", "box"),
    [
        (Urgency.ROUTINE, Box.ROUTINE),
        (Urgency.PRIORITY, Box.ROUTINE),
        (Urgency.URGENT, Box.URGENT),
        (Urgency.FLASH, Box.URGENT),
    ],
)
def test_urgency_chooses_the_box(world, urgency, box):
    assert box_for(urgency) is box
    message = world.send(NAIROBI, [KAMPALA, LYON], urgency=urgency)
    deliveries = {(p.row.endpoint, p.row.box) for p in world.entries[-1].placed}
    assert deliveries == {(KAMPALA, box), (LYON, box), (NAIROBI, Box.SENT)}
    state = world.state.messages[message.payload_hash]
    assert set(state.deliveries.values()) == {Delivery(DeliveryStage.OPEN, world.state.size - 1)}


def test_an_endpoint_may_write_to_itself_and_its_neighbour(world):
    message = world.send(NAIROBI, [NAIROBI, MOMBASA])
    assert {(p.row.endpoint, p.row.box) for p in world.entries[-1].placed} == {
        (NAIROBI, Box.ROUTINE),
        (MOMBASA, Box.ROUTINE),
        (NAIROBI, Box.SENT),
    }
    world.accept(NAIROBI, message)


def test_directory_statements_are_delivered_to_nobody(world):
    world.put(world.authority_statement("ke"))
    assert world.entries[-1].placed == ()
    assert world.entries[-1].decision.messages == ()


# --- which log, which signer ---


def test_a_statement_of_another_log(world):
    other = "log.example.net/1"
    world.refuse(world.compose(origin=other), VerificationError, "wrong_log")
    world.refuse(world.authority_statement("ke") and world.record_statement(
        Kind.AUTHORITY, "ke", world.held("authority/ke"), world.governors[:2], origin=other
    ), VerificationError, "wrong_log")  # fmt: skip
    world.refuse(world.undelivered(bytes(32), KAMPALA, origin=other), VerificationError, "wrong_log")


@pytest.mark.parametrize(
    "who",
    [
        lambda w: w.agencies[MOMBASA].instance,  # its neighbour
        lambda w: w.agencies[KAMPALA].instance,  # the recipient
        lambda w: w.agencies[NAIROBI].administrator,
        lambda w: w.authority("ke"),
        lambda w: w.governors[0],
        lambda w: w.node_key,
        lambda w: w.log_key,
    ],
)
def test_a_message_is_signed_by_an_instance_of_its_sender(world, who):
    world.refuse(world.compose(signer=who(world)), SignatureError, "wrong_signer")


def test_exactly_one_signature(world):
    message = world.compose()
    mine, other = world.agencies[NAIROBI].instance, world.agencies[MOMBASA].instance
    world.refuse(world.resigned(message, mine, other), SignatureError, "too_many_signatures")
    world.refuse(world.resigned(message, mine, possession=[other]), SignatureError, "too_many_signatures")
    world.refuse(world.resigned(message, possession=[mine]), SignatureError, "wrong_signer")
    receipt_payload = parse_document(world.receipt(KAMPALA, [message])).payload
    both = sign_document(receipt_payload, [world.agencies[KAMPALA].instance, other])
    world.refuse(both, SignatureError, "too_many_signatures")


@pytest.mark.parametrize(
    ("purpose", "code"), [(Purpose.RELEASE, "reserved_release"), (Purpose.BEHALF, "reserved_behalf")]
)
def test_reserved_purposes(world, purpose, code):
    base = parse_document(world.receipt(KAMPALA, [world.compose()]))
    for signatures in ([*base.signatures], []):
        extra = make_signature(base.payload, world.agencies[MOMBASA].instance, purpose)
        world.refuse(encode_document(base.payload, [*signatures, extra]), PolicyError, code)


def test_signer_of_takes_no_countersignature(world):
    base = parse_document(world.receipt(KAMPALA, [world.compose()]))
    extra = make_signature(base.payload, world.agencies[KAMPALA].instance, Purpose.COUNTERSIGN)
    world.refuse(encode_document(base.payload, [extra]), SignatureError, "wrong_signer")
    assert signer_of(world.verify(base.data)) == world.agencies[KAMPALA].instance.public_key.key_id


def test_a_revoked_key_signs_nothing_more(world):
    key = world.agencies[NAIROBI].instance
    early = world.send()
    record = RevocationRecord(key.public_key.key_id, Ground.COMPROMISE, 0)
    world.put(world.revocation(key, record, [key]))
    world.refuse(world.compose(), SignatureError, "revoked_key")
    # What it signed before stays: verdicts are as of their own leaf.
    world.accept(KAMPALA, early)


@pytest.mark.parametrize("subject", ["authority", "endpoint"])
def test_the_suspended_neither_send_nor_receive(world, subject):
    inbound = world.send(KAMPALA, [NAIROBI])
    if subject == "authority":
        world.put(world.authority_statement("ke", state=State.SUSPENDED))
    else:
        world.put(world.endpoint_statement(NAIROBI, State.SUSPENDED))
    world.refuse(world.compose(), SignatureError, "wrong_signer")
    world.refuse(world.receipt(NAIROBI, [inbound]), SignatureError, "wrong_signer")
    world.refuse(world.compose(KAMPALA, [NAIROBI]), NotFoundError, "unknown_recipient")
    world.refuse(world.compose(KAMPALA, [LYON, NAIROBI]), NotFoundError, "unknown_recipient")


@pytest.mark.parametrize(("offset", "accepted"), [(0, False), (1, True)])
def test_what_a_compromised_administrator_certified(world, offset, accepted):
    world.now = NOW + 10_000
    admin = world.agencies[NAIROBI].administrator
    record = RevocationRecord(admin.public_key.key_id, Ground.COMPROMISE, NOW + offset)
    world.put(world.revocation(admin, record, [world.authority("ke")]))
    if accepted:
        world.put(world.compose())
    else:
        world.refuse(world.compose(), SignatureError, "wrong_signer")
        world.refuse(world.compose(KAMPALA, [NAIROBI]), NotFoundError, "unknown_recipient")


def test_an_unknown_sender(world):
    agency = world.agency("ke.police.unknown")
    world.agencies[agency.address] = agency
    world.refuse(world.compose(agency.address), SignatureError, "unknown_key")
    world.refuse(
        world.compose(agency.address, signer=world.agencies[NAIROBI].instance), SignatureError, "wrong_signer"
    )


# --- seen ---


def test_what_the_signer_has_seen(world):
    size = world.state.size
    for seen in (world.seen(), world.seen(5), Seen(0, EMPTY_ROOT)):
        world.fork().put(world.compose(seen=seen))
    world.refuse(world.compose(seen=Seen(size + 1, seed("x"))), ConflictError, "seen_ahead")
    world.refuse(world.compose(seen=Seen(size, seed("x"))), ConflictError, "seen_other_root")
    world.refuse(world.compose(seen=Seen(5, world.root(6))), ConflictError, "seen_other_root")
    world.refuse(world.compose(seen=Seen(0, bytes(32))), ConflictError, "seen_other_root")


def test_every_kind_states_what_it_has_seen(world):
    ahead = Seen(10_000, seed("x"))
    message = world.send()
    world.now = NOW + 40 * DAY
    world.refuse(world.receipt(KAMPALA, [message], seen=ahead), ConflictError, "seen_ahead")
    world.refuse(world.undelivered(message, KAMPALA, seen=ahead), ConflictError, "seen_ahead")
    data = world.directory_statement(
        Kind.AUTHORITY, "ke", world.held("authority/ke"), world.governors[:2], seen=ahead
    )
    world.refuse(data, ConflictError, "seen_ahead")


# --- messages: identity and time ---


def test_an_id_is_used_once_by_its_sender(world):
    first = world.send(id=message_id(1))
    world.refuse(world.compose(id=message_id(1)), ConflictError, "id_reused")
    # The same payload again, under another signature, is the same message: still the same id.
    world.refuse(world.resigned(first, world.agencies[NAIROBI].instance), ConflictError, "id_reused")
    # Another sender has ids of its own.
    world.put(world.compose(MOMBASA, [KAMPALA], id=message_id(1)))


def test_clocks(world):
    late = world.compose(sent_at=NOW + CLOCK_TOLERANCE + 1)
    world.refuse(late, PolicyError, "sent_in_future")
    world.fork().put(world.compose(sent_at=NOW + CLOCK_TOLERANCE))
    # An old one is not refused, as long as it has not expired.
    world.put(world.compose(sent_at=NOW - 29 * DAY, expires_at=NOW + 1))


def test_expiry(world):
    for expires_at in (NOW, NOW - 1):
        message = world.compose(sent_at=NOW - DAY, expires_at=expires_at)
        world.refuse(message, PolicyError, "expired")
    message = world.compose(sent_at=NOW - DAY, expires_at=NOW + 1)
    world.refuse(message, PolicyError, "expired", time=NOW + 1)
    world.put(message)


# --- messages: type ---


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("unknown_type", {"type": "gossip"}),
        ("unknown_type", {"type": "tracing-request2"}),
        ("unknown_version", {"version": 3}),
        ("answer_incomplete", {"type": "tracing-response"}),
        ("answer_incomplete", {"type": "tracing-acknowledgement"}),
        ("amends_nothing", {"type": "correction"}),
        ("amends_nothing", {"type": "withdrawal"}),
        ("not_in_conversation", {"type": "free-text"}),
        ("not_in_conversation", {"type": "tracing-clarification"}),
        ("not_in_conversation", {"type": "release-consent-request"}),
    ],
)
def test_types(world, code, changes):
    world.refuse(world.compose(**changes), PolicyError, code)


def test_answers_and_other_types(world):
    request = world.send(type="tracing-request")
    world.refuse(
        world.compose_reply(KAMPALA, request, type="tracing-response"), PolicyError, "answer_incomplete"
    )
    odd = world.compose_reply(KAMPALA, request, stage=Stage.FINAL, outcome=Outcome())
    world.refuse(odd, PolicyError, "not_an_answer")
    world.put(world.compose_reply(KAMPALA, request, **ANSWER))


@pytest.mark.parametrize("name", ["correction", "withdrawal"])
def test_what_amends_a_message_is_its_senders_and_replies_to_that_very_message(world, name):
    request = world.send(type="tracing-request")
    answer = world.compose_reply(KAMPALA, request, **ANSWER)
    world.put(answer)
    own = {"type": name, "supersedes": request.payload_hash}
    world.refuse(world.compose_reply(NAIROBI, answer, **own), PolicyError, "amends_nothing")
    world.refuse(world.compose(**own), PolicyError, "amends_nothing")
    foreign = {"type": name, "supersedes": answer.payload_hash}
    world.refuse(world.compose_reply(NAIROBI, answer, **foreign), PolicyError, "supersedes_not_own")
    world.put(world.compose_reply(NAIROBI, request, recipients=(KAMPALA,), **own))


# --- messages: conversations ---


def test_a_conversation_runs_between_its_parties(world):
    request = world.send(type="tracing-request")
    answer = world.compose_reply(KAMPALA, request, **ANSWER)
    world.put(answer)
    assert world.state.parties[request.payload_hash] == {NAIROBI, KAMPALA}
    followup = world.compose_reply(NAIROBI, answer, type="tracing-request")
    world.put(followup)
    state = world.state.messages[followup.payload_hash]
    assert state.conversation == request.payload_hash


def test_nobody_else_joins(world):
    request = world.send(type="tracing-request")
    intruder = world.compose_reply(LYON, request, **ANSWER)
    missing = world.compose_reply(LYON, request, in_reply_to=bytes(32), **ANSWER)
    a = world.refuse(intruder, NotFoundError, "unknown_reply_target")
    b = world.refuse(missing, NotFoundError, "unknown_reply_target")
    assert a.message == b.message  # whether it exists is not told


def test_a_reply_names_its_own_conversation(world):
    first, second = world.send(type="tracing-request"), world.send(type="tracing-request")
    crossed = world.compose_reply(KAMPALA, first, conversation=second.payload_hash, **ANSWER)
    world.refuse(crossed, ConflictError, "conversation_mismatch")
    invented = world.compose_reply(KAMPALA, first, conversation=bytes(32), **ANSWER)
    world.refuse(invented, ConflictError, "conversation_mismatch")


def test_an_answer_goes_to_the_requester_alone(world):
    request = world.send(type="tracing-request")
    world.refuse(
        world.compose_reply(KAMPALA, request, recipients=[MOMBASA], **ANSWER), PolicyError, "policy_denied"
    )
    world.refuse(
        world.compose_reply(KAMPALA, request, recipients=[NAIROBI, MOMBASA], **ANSWER),
        PolicyError,
        "policy_denied",
    )
    # Who asked does not answer itself.
    world.refuse(
        world.compose_reply(NAIROBI, request, recipients=[KAMPALA], **ANSWER), PolicyError, "policy_denied"
    )


def test_a_reply_carries_on_the_exercise(world):
    for exercise in (True, False):
        request = world.send(type="tracing-request", exercise=exercise)
        wrong = world.compose_reply(KAMPALA, request, exercise=not exercise, **ANSWER)
        world.refuse(wrong, PolicyError, "exercise_mismatch")
        world.put(world.compose_reply(KAMPALA, request, exercise=exercise, **ANSWER))


def test_one_supersedes_only_ones_own(world):
    mine, other = world.send(), world.send(MOMBASA, [KAMPALA])
    for target in (other.payload_hash, bytes(32)):
        world.refuse(world.compose(supersedes=target), PolicyError, "supersedes_not_own")
    # Not even one that one received.
    received = world.send(KAMPALA, [NAIROBI])
    world.refuse(world.compose(supersedes=received.payload_hash), PolicyError, "supersedes_not_own")
    world.put(world.compose(supersedes=mine.payload_hash))


# --- messages: groups ---

ALERT = "trade-route-alert"


def group(world, state=State.ACTIVE, members=(KAMPALA, LYON)):
    record = GroupRecord("ug/all", "All", members, state)
    data = world.directory_statement(Kind.GROUP, "ug/all", record, [world.authority("ug")])
    entry = world.put(data)
    return ResolvedGroup("ug/all", entry.document.statement_hash)


def test_a_group_message_goes_to_members(world):
    resolved = group(world)
    world.put(world.compose(NAIROBI, [KAMPALA, LYON], type=ALERT, group=resolved))
    world.put(world.compose(NAIROBI, [LYON], type=ALERT, group=resolved))
    stranger = world.compose(NAIROBI, [KAMPALA, BRUSSELS], type=ALERT, group=resolved)
    world.refuse(stranger, PolicyError, "not_in_group")
    # A statement once resolved stays good: the sender read it, and its successor came after.
    group(world, members=(BRUSSELS,))
    world.put(world.compose(NAIROBI, [KAMPALA], type=ALERT, group=resolved))


def test_groups_that_are_none(world):
    resolved = group(world)
    for name, statement in (
        ("ug/all", bytes(32)),
        ("ug/none", resolved.statement),
        ("ke/all", resolved.statement),
        ("ug/all", world.state.directory.held("authority/ug").statement),
    ):
        message = world.compose(NAIROBI, [KAMPALA], type=ALERT, group=ResolvedGroup(name, statement))
        world.refuse(message, NotFoundError, "unknown_group")


def test_a_suspended_group_is_not_resolved(world):
    resolved = group(world, State.SUSPENDED)
    world.refuse(
        world.compose(NAIROBI, [KAMPALA], type=ALERT, group=resolved), PolicyError, "group_suspended"
    )


def test_red_is_never_sent_to_a_group(world):
    resolved = group(world)
    red = handling(tlp=Tlp.RED, retention_until=NOW)
    message = world.compose(NAIROBI, [KAMPALA], type=ALERT, group=resolved, handling=red)
    world.refuse(message, PolicyError, "red_to_group")
    world.put(world.compose(NAIROBI, [KAMPALA], type=ALERT, handling=red))


# --- messages: recipients ---


def test_unknown_recipients(world):
    world.refuse(world.compose(NAIROBI, ["fr.contact.paris"]), NotFoundError, "unknown_recipient")
    world.refuse(world.compose(NAIROBI, [KAMPALA, "ug.contact.other"]), NotFoundError, "unknown_recipient")
    # The broker has no sealing key: it is no recipient, whatever the policy says.
    error = world.refuse(world.compose(NAIROBI, [BROKER]), NotFoundError, "unknown_recipient")
    assert error.facts == {"recipient": BROKER}


def test_a_sealing_key_that_is_not_current(world):
    agency = world.agencies[KAMPALA]
    world.agencies[KAMPALA] = replace(agency, sealing=SealingKey(seed("another")))
    world.refuse(world.compose(), ConflictError, "sealing_key_not_accepted")
    # Nor another endpoint's.
    world.agencies[KAMPALA] = replace(agency, sealing=world.agencies[LYON].sealing)
    world.refuse(world.compose(), ConflictError, "sealing_key_not_accepted")


def test_rotation_with_overlap(world):
    agency, until = world.agencies[KAMPALA], NOW + 1000
    new = SealingKey(seed("rotated"))
    record = replace(
        world.held(f"keys/{KAMPALA}"),
        sealing=new.public_key,
        previous_sealing=agency.sealing.public_key,
        previous_until=until,
    )
    world.put(world.directory_statement(Kind.KEYS, KAMPALA, record, [agency.administrator]))
    to_old = world.compose()
    world.fork().put(to_old, time=until - 1)
    world.refuse(to_old, ConflictError, "sealing_key_not_accepted", time=until)
    world.agencies[KAMPALA] = replace(agency, sealing=new)
    world.put(world.compose(), time=until)


def test_a_predecessor_is_a_key_of_the_record_before(world):
    agency, stranger = world.agencies[KAMPALA], SealingKey(seed("never rotated"))
    record = replace(
        world.held(f"keys/{KAMPALA}"), previous_sealing=stranger.public_key, previous_until=NOW + 1000
    )
    statement = world.directory_statement(Kind.KEYS, KAMPALA, record, [agency.administrator])
    world.refuse(statement, PolicyError, "not_a_predecessor")


def test_a_revoked_sealing_key(world):
    agency = world.agencies[KAMPALA]
    key = agency.sealing.public_key.key_id
    record = RevocationRecord(key, Ground.COMPROMISE, None)
    world.put(world.directory_statement(Kind.REVOCATION, key.hex(), record, [agency.administrator]))
    world.refuse(world.compose(), ConflictError, "sealing_key_not_accepted")


def test_versions_that_are_not_read(world):
    for reads in ({}, {"tracing-request": (1,)}, {"confiscation-notice": (2,)}):
        fork = world.fork()
        fork.put(fork.keys_statement(KAMPALA, reads=reads))
        error = fork.refuse(fork.compose(NAIROBI, [LYON, KAMPALA]), PolicyError, "version_not_read")
        assert error.message.endswith(f"it reads {list(reads.get('confiscation-notice', ())) or 'none'}")
    assert ALL_TYPES["confiscation-notice"] == (1, 2)


def test_releasable_to(world):
    limited = handling(releasable_to=("ug", "be"), retention_until=NOW)
    world.put(world.compose(NAIROBI, [KAMPALA, BRUSSELS], handling=limited))
    world.refuse(world.compose(NAIROBI, [KAMPALA, LYON], handling=limited), PolicyError, "not_releasable")
    # Not even to one's own authority, unless named.
    world.refuse(world.compose(NAIROBI, [MOMBASA], handling=limited), PolicyError, "not_releasable")


# --- messages: policy ---


def test_policy_denies_by_default(world):
    world.refuse(world.compose(NAIROBI, [MOMBASA], type="tracing-request"), PolicyError, "policy_denied")
    # One recipient that no rule allows is enough.
    world.refuse(
        world.compose(NAIROBI, [KAMPALA, MOMBASA], type="tracing-request"), PolicyError, "policy_denied"
    )
    secret = handling(classification=Classification.SECRET, retention_until=NOW)
    world.refuse(world.compose(handling=secret), PolicyError, "policy_denied")
    world.put(world.policy_statement(Policy(())))
    world.refuse(world.compose(), PolicyError, "policy_denied")


def test_the_table_that_stands_decides(world):
    # LYON may not send notices; governors may let it, for drills, inside a conversation.
    world.refuse(world.compose(LYON, [NAIROBI]), PolicyError, "policy_denied")
    rule = Rule(
        "drill",
        Side(frozenset({Role.ORGANISATION}), frozenset({"xo-interpol"})),
        frozenset({"confiscation-notice"}),
        Side(frozenset(set(Role)), frozenset()),
        Relation.PARTY_TO_CONVERSATION,
        1,
        Classification.RESTRICTED,
        frozenset({Traffic.EXERCISE}),
    )
    rule = replace(rule, enforced_by=(Enforcer.BROKER,))
    table = world.held("policy")
    world.put(world.policy_statement(replace(table, rules=(*table.rules, rule))))
    world.refuse(world.compose(LYON, [NAIROBI]), PolicyError, "policy_denied")
    notice = world.send(NAIROBI, [LYON, KAMPALA])
    world.put(world.compose_reply(LYON, notice))
    world.put(world.compose_reply(LYON, notice, recipients=[KAMPALA]))
    world.refuse(world.compose_reply(LYON, notice, recipients=[BRUSSELS]), PolicyError, "policy_denied")
    real = world.send(NAIROBI, [LYON], exercise=False)
    world.refuse(world.compose_reply(LYON, real, exercise=False), PolicyError, "policy_denied")


# --- receipts ---


def test_the_way_of_a_receipt(world):
    message = world.send()
    posted = world.put(world.receipt(KAMPALA, [message]))
    assert {(p.row.endpoint, p.row.box) for p in posted.placed} == {
        (NAIROBI, Box.NOTICES),
        (KAMPALA, Box.SENT),
    }
    stage = world.state.messages[message.payload_hash].deliveries[KAMPALA]
    assert stage == Delivery(DeliveryStage.DELIVERED, posted.index)
    world.put(world.receipt(KAMPALA, [message], ReceiptStage.ACCEPTED))
    assert world.state.messages[message.payload_hash].deliveries[KAMPALA].stage is DeliveryStage.ACCEPTED


def rejected(world, author, message):
    item = ReceiptItem(message.payload_hash, True, RejectionReason.INVALID_CONTENT)
    return world.receipt(author, [message], ReceiptStage.REJECTED, items=(item,))


def test_receipts_out_of_order(world):
    message = world.send()
    accepted = world.receipt(KAMPALA, [message], ReceiptStage.ACCEPTED)
    error = world.refuse(accepted, ConflictError, "receipt_stands")
    assert error.facts["stage"] == "open"
    assert "not delivered yet" in error.message
    world.refuse(rejected(world, KAMPALA, message), ConflictError, "receipt_stands")
    delivered = world.put(world.receipt(KAMPALA, [message]))
    error = world.refuse(
        world.receipt(KAMPALA, [message], seen=world.seen()), ConflictError, "receipt_stands"
    )
    assert error.facts == {
        "payload_hash": message.payload_hash.hex(), "stage": "delivered", "standing": delivered.index,
    }  # fmt: skip
    world.put(rejected(world, KAMPALA, message))
    for again in (accepted, rejected(world, KAMPALA, message), world.receipt(KAMPALA, [message])):
        world.refuse(again, ConflictError, "receipt_stands")


def test_only_recipients_make_receipts(world):
    message = world.send(NAIROBI, [KAMPALA])
    for author in (LYON, NAIROBI):
        a = world.refuse(world.receipt(author, [message]), NotFoundError, "unknown_message")
        b = world.refuse(
            world.receipt(author, [message.payload_hash[::-1]]), NotFoundError, "unknown_message"
        )
        assert a.message.replace(a.facts["payload_hash"], "") == b.message.replace(
            b.facts["payload_hash"], ""
        )
    world.refuse(
        world.receipt(KAMPALA, [message], signer=world.agencies[LYON].instance),
        SignatureError,
        "wrong_signer",
    )


def test_a_receipt_is_about_one_sender(world):
    mine, other = world.send(), world.send(MOMBASA, [KAMPALA])
    world.refuse(world.receipt(KAMPALA, [mine, other]), ConflictError, "wrong_sender")
    world.refuse(world.receipt(KAMPALA, [mine], sender=MOMBASA), ConflictError, "wrong_sender")


def test_a_receipt_moves_all_its_items_or_none(world):
    messages = [world.send() for _ in range(4)]
    world.put(world.receipt(KAMPALA, messages[:1]))
    world.refuse(world.receipt(KAMPALA, messages), ConflictError, "receipt_stands")
    world.refuse(world.receipt(KAMPALA, [*messages[1:], bytes(32)]), NotFoundError, "unknown_message")
    world.put(world.receipt(KAMPALA, messages[1:]))
    assert {world.state.messages[m.payload_hash].deliveries[KAMPALA].stage for m in messages} == {
        DeliveryStage.DELIVERED
    }


def test_recipients_go_each_its_own_way(world):
    message = world.send(NAIROBI, [KAMPALA, LYON])
    world.accept(KAMPALA, message)
    state = world.state.messages[message.payload_hash]
    assert {a: d.stage for a, d in state.deliveries.items()} == {
        KAMPALA: DeliveryStage.ACCEPTED,
        LYON: DeliveryStage.OPEN,
    }
    world.put(world.receipt(LYON, [message]))


def test_a_late_receipt_still_counts(world):
    message = world.send()
    world.now = NOW + 100 * DAY
    world.put(world.receipt(KAMPALA, [message]))
    world.refuse(world.undelivered(message, KAMPALA), ConflictError, "not_undelivered")


# --- undelivered notices ---


def test_undelivered_after_expiry_and_grace(world):
    message = world.send(NAIROBI, [KAMPALA, LYON])
    due = message.manifest.expires_at + GRACE
    notice = world.undelivered(message, KAMPALA)
    world.refuse(notice, PolicyError, "grace_running")
    world.refuse(notice, PolicyError, "grace_running", time=message.manifest.expires_at)
    world.refuse(notice, PolicyError, "grace_running", time=due - 1)
    world.now = due
    entry = world.put(notice)
    assert {(p.row.endpoint, p.row.box) for p in entry.placed} == {(NAIROBI, Box.NOTICES), (BROKER, Box.SENT)}
    delivery = world.state.messages[message.payload_hash].deliveries[KAMPALA]
    assert delivery.undelivered_index == entry.index
    assert delivery.stage is DeliveryStage.OPEN
    again = world.undelivered(message, KAMPALA, seen=world.seen())
    world.refuse(again, ConflictError, "not_undelivered")
    world.put(world.undelivered(message, LYON))
    # The message is still there to be collected; the notice stays on record.
    world.put(world.receipt(KAMPALA, [message]))
    delivery = world.state.messages[message.payload_hash].deliveries[KAMPALA]
    assert (delivery.stage, delivery.undelivered_index) == (DeliveryStage.DELIVERED, entry.index)


def test_no_notice_of_what_was_collected(world):
    message = world.send()
    world.put(world.receipt(KAMPALA, [message]))
    world.now = NOW + 40 * DAY
    world.refuse(world.undelivered(message, KAMPALA), ConflictError, "not_undelivered")


def test_notices_about_nothing(world):
    message = world.send()
    world.now = NOW + 40 * DAY
    world.refuse(world.undelivered(message, LYON), NotFoundError, "unknown_message")
    world.refuse(world.undelivered(bytes(32), KAMPALA), NotFoundError, "unknown_message")
    world.refuse(world.undelivered(message, KAMPALA, sender=MOMBASA), ConflictError, "wrong_sender")


def test_only_the_broker_makes_notices(world):
    message = world.send()
    world.now = NOW + 40 * DAY
    for by in (world.administrator, world.log_key, world.agencies[NAIROBI].instance):
        world.refuse(world.undelivered(message, KAMPALA, by=by), SignatureError, "wrong_signer")
    own = world.undelivered(message, KAMPALA, author=NAIROBI, by=world.agencies[NAIROBI].instance)
    world.refuse(own, SignatureError, "wrong_signer")
    # Nor does the broker in another's name: the notice would stand in that one's box.
    other = world.undelivered(message, KAMPALA, author=NAIROBI)
    world.refuse(other, SignatureError, "wrong_signer")


def test_a_revoked_node_key_makes_none(world):
    message = world.send()
    world.now = NOW + 40 * DAY
    record = RevocationRecord(world.node_key.public_key.key_id, Ground.COMPROMISE, None)
    world.put(world.revocation(world.node_key, record, world.governors[:2]))
    world.refuse(world.undelivered(message, KAMPALA), SignatureError, "revoked_key")


def test_the_broker_sends_no_messages(world):
    assert isinstance(world.held(f"keys/{BROKER}"), KeysRecord)
    world.refuse(world.compose(BROKER, [KAMPALA], signer=world.node_key), PolicyError, "policy_denied")


# --- things that are no statements ---


def test_garbage(world):
    world.refuse(b"", MalformedError, "truncated")
    claims = parse_document(world.compose().document).claims
    data = sign_document(encode_json(claims | {"kind": "account"}), [world.agencies[NAIROBI].instance])
    world.refuse(data, MalformedError, "unknown_kind")
    assert hash_of(data) != bytes(32)
    assert signer("x").public_key.is_signing
