"""Acts against who accepts one endpoint's keys by a path in the trie, without reading the directory."""

from __future__ import annotations

import pytest

from countermark_client.testing._witnesses import cosign, make_cosigner
from countermark_protocol.encoding import parse_object
from countermark_protocol.errors import CountermarkError
from malicious_broker.kit import BELGIUM, KENYA, MOMBASA, TANZANIA, malicious_world, send
from malicious_broker.verdicts import Act, silent

NAMES = ("north", "south", "east")
PROOF = "/proof"


@pytest.fixture
def scene():
    world, broker = malicious_world(KENYA, MOMBASA, BELGIUM)
    return world, broker, world.client(KENYA)


def sealing_key(world, address):
    return world.broker.state.directory.keys(address).sealing


def test_a_path_of_another_address(scene):
    world, broker, kenya = scene
    act = Act("proving the keys of another address", world)
    assert kenya.accept_keys(BELGIUM).keys.sealing == sealing_key(world, BELGIUM)  # the honest twin
    silent(kenya)
    other = kenya.prove_keys(MOMBASA)
    broker.tamper(PROOF, lambda value: (value.clear(), value.update(parse_object(other, "proof"))))
    act.raises(lambda: kenya.accept_keys(BELGIUM), "other_address")
    # Under the right name it shows nothing of that name.
    broker.tamper(
        PROOF,
        lambda value: (value.clear(), value.update({**parse_object(other, "proof"), "address": BELGIUM})),
    )
    act.raises(lambda: kenya.accept_keys(BELGIUM), "evidence_incomplete")
    act.convinces_nobody(kenya)


def test_absent_though_present(scene):
    world, broker, kenya = scene
    act = Act("proving that an endpoint has no keys, which has", world)
    assert kenya.accept_keys(TANZANIA).keys is None  # the honest twin: nobody has enrolled it
    subject = f"keys/{BELGIUM}"

    def deny(value):
        for fact in value["facts"]:
            if fact["subject"] == subject:
                fact["record"] = None

    broker.tamper(PROOF, deny)
    act.raises(lambda: kenya.accept_keys(BELGIUM), "bad_trie_path")
    absent = parse_object(kenya.prove_keys(TANZANIA), "proof")
    [way] = [f for f in absent["facts"] if f["subject"] == f"keys/{TANZANIA}"]

    def lead_elsewhere(value):
        value["facts"] = [
            way | {"subject": subject} if f["subject"] == subject else f for f in value["facts"]
        ]

    broker.tamper(PROOF, lead_elsewhere)
    act.raises(lambda: kenya.accept_keys(BELGIUM), "bad_trie_path")

    def hide(value):
        value["facts"] = [f for f in value["facts"] if f["subject"] != subject]

    broker.tamper(PROOF, hide)
    act.raises(lambda: kenya.accept_keys(BELGIUM), "evidence_incomplete")
    act.convinces_nobody(kenya)


def test_a_hidden_revocation(scene):
    world, broker, kenya = scene
    act = Act("proving a key without its revocation", world)
    world.revoke_instance(BELGIUM)
    [gone] = kenya.accept_keys(BELGIUM).revoked
    subject = f"revoked/{gone.hex()}"

    def deny(value):
        for fact in value["facts"]:
            if fact["subject"] == subject:
                fact["record"] = None

    broker.tamper(PROOF, deny)
    act.raises(lambda: kenya.accept_keys(BELGIUM), "bad_trie_path")

    def hide(value):
        value["facts"] = [f for f in value["facts"] if f["subject"] != subject]

    broker.tamper(PROOF, hide)
    act.raises(lambda: kenya.accept_keys(BELGIUM), "evidence_incomplete")
    act.convinces_nobody(kenya)


def test_a_stale_head(scene):
    world, broker, kenya = scene
    act = Act("proving keys under a stale head", world)
    frozen = broker.fork()
    world.revoke_instance(BELGIUM)
    assert kenya.accept_keys(BELGIUM).revoked
    world.transport.broker = frozen
    act.raises(lambda: kenya.accept_keys(BELGIUM), "stale_checkpoint")
    act.convinces_nobody(kenya)
    # Another past, as long as what was seen: two signed trees, and no way from one to the other.
    world.broker = frozen
    send(world.client(MOMBASA))
    send(world.client(MOMBASA))
    with pytest.raises(CountermarkError, match="checkpoint_fork"):
        kenya.accept_keys(BELGIUM)
    assert kenya.halted is not None


def test_a_stale_head_where_witnesses_are_named(scene):
    world, broker, _ = scene
    act = Act("proving keys under a stale head, where witnesses are named", world)
    world.appoint_witnesses(*NAMES, quorum=2)
    raw = broker._log_key.public_key.raw
    cosigners = [make_cosigner(name) for name in NAMES[:2]]
    fresh = world.client(MOMBASA)
    act.raises(lambda: fresh.accept_keys(BELGIUM), "stale_checkpoint")  # nobody has cosigned it
    broker.cosigned = cosign(broker.checkpoint, broker.origin, raw, cosigners, world.clock())
    assert fresh.accept_keys(BELGIUM).witnessing.existed_by
    frozen = broker.fork()
    world.revoke_instance(BELGIUM)
    world.clock.advance(minutes=16)
    world.transport.broker = frozen
    other = world.client(KENYA)  # it has seen nothing: the witnesses tell it
    act.raises(lambda: other.accept_keys(BELGIUM), "stale_checkpoint")
    world.transport.broker = broker
    broker.cosigned = cosign(broker.checkpoint, broker.origin, raw, cosigners, world.clock())
    assert other.accept_keys(BELGIUM).revoked
    act.convinces_nobody(other, fresh)
