"""Keys of every algorithm against the real broker: enrolled, sent to, signed with, shown to a court, renewed."""

from itertools import cycle
from unittest import mock

import pytest

from countermark_client import Client, Profile, make_key, testing
from countermark_client._recovery import set_recovery_key
from countermark_client.drafts import change_keys
from countermark_client.statements import sign_gathering
from countermark_protocol.errors import SignatureError
from countermark_protocol.evidence_checks import verify_evidence
from countermark_protocol.keys import Algorithm
from countermark_protocol.sealing import SealingKey
from countermark_protocol.signers import MlDsa65Signer, PairSigner
from support.demo import demo_world, governed, serving

NOTICE = "lost-or-stolen-notice"
PLAIN, TOKEN, LARGE = "ke.contact.national", "br.contact.national", "ke.ncb.nairobi"
PAIRED = "br.ncb.brasilia"
GROUP = "br/firearms-desks"
CAST = {
    "ke": ("Kenya", {PLAIN: "Focal point", LARGE: "Central bureau"}),
    "br": ("Brazil", {TOKEN: "Contact point", PAIRED: "Central bureau"}),
}
#: What each endpoint is enrolled with: the algorithm of its signing keys, whether they are pairs, and of its sealing key.
KEYS = {
    PLAIN: (Algorithm.ED25519, False, Algorithm.XWING),
    LARGE: (Algorithm.ED25519, False, Algorithm.MLKEM1024_P384),
    TOKEN: (Algorithm.ES256, False, Algorithm.MLKEM1024_P384),
    PAIRED: (Algorithm.ED25519, True, Algorithm.XWING),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    # The demo makes three keys for each endpoint, in the order of CAST; its authorities' are made before.
    endpoints = cycle(KEYS.values())
    current = []

    def chosen(use):
        if use == "administrator":
            current[:] = next(endpoints)
        if use in {"administrator", "instance"}:
            return make_key(use, current[0], second=current[1])
        return make_key(use, current[2] if use == "sealing" else None)

    root = tmp_path_factory.mktemp("real") / "world"
    with (
        mock.patch.multiple(demo_world, make_key=chosen, GROUP=GROUP),
        governed(root, "", CAST) as world,
        serving(world),
    ):
        yield world


def make_second():
    return MlDsa65Signer(make_key("instance").private)


def send(world, sender, recipients, case):
    return world.clients[sender].send(NOTICE, testing.sample_notice(case), recipients, exercise=True)


def received(world, address, sent):
    client = world.clients[address]
    found = [m for m in client.inbox() if m.message == sent.message]
    assert client.accept_many(found) == len(found)
    return [m.content.national_case_ref for m in found]


def test_endpoints_are_enrolled_with_the_keys_they_chose(world):
    for address, (signing, paired, sealing) in KEYS.items():
        directory = world.clients[PLAIN].directory
        record = directory.keys(address)
        for key in (record.signing[0].key, directory.endpoint(address).administrator.keys[0]):
            assert (key.algorithm, key.second is not None) == (signing, paired)
        assert record.sealing.algorithm is sealing


def test_each_sends_to_all_others_whatever_their_keys(world):
    for sender in KEYS:
        others = [address for address in KEYS if address != sender]
        sent = send(world, sender, others, f"from {sender}")
        assert [received(world, address, sent) for address in others] == [[f"from {sender}"]] * 3
        world.clients[sender].notices()
        assert {r.stage for r in world.clients[sender].status(sent).recipients} == {"accepted"}


def test_a_group_of_mixed_keys_takes_one_message(world):
    sent = send(world, PLAIN, [f"group:{GROUP}"], "to the group")
    assert set(sent.recipients) == {LARGE, TOKEN, PAIRED}
    assert [received(world, address, sent) for address in sent.recipients] == [["to the group"]] * 3


@pytest.mark.parametrize("sender", [TOKEN, PAIRED])
def test_what_a_p256_key_or_a_pair_signed_convinces_a_court(world, sender):
    sent = send(world, sender, [PLAIN], "court")
    received(world, PLAIN, sent)
    fingerprint = world.clients[sender].profile.trust.fingerprint
    [instance] = world.clients[sender].directory.keys(sender).signing
    for party in (sender, PLAIN):
        world.clients[party].notices()
        proven = verify_evidence(world.clients[party].evidence(sent.message).data, fingerprint)
        assert proven.message.signed.key_id == instance.key.key_id
        assert [e.receipt.stage.value for e in proven.entries] == ["delivered", "accepted"]


def test_a_sealing_key_is_renewed_into_the_other_algorithm_and_back_and_nothing_in_flight_is_lost(world):
    sender, client = world.clients[TOKEN], world.clients[PLAIN]
    for algorithm in (Algorithm.MLKEM1024_P384, Algorithm.XWING):
        before = client.directory.keys(PLAIN).sealing
        flying = send(world, TOKEN, [PLAIN], "in flight")
        client.renew_keys(instance=False, sealing=True, sealing_algorithm=algorithm)
        record = client.directory.keys(PLAIN)
        assert (record.sealing.algorithm, record.previous_sealing) == (algorithm, before)
        assert received(world, PLAIN, flying) == ["in flight"]
        sender.sync()
        later = send(world, TOKEN, [PLAIN], "sealed anew")
        assert received(world, PLAIN, later) == ["sealed anew"]
    # As now, unless told otherwise.
    client.renew_keys(instance=False, sealing=True)
    assert client.directory.keys(PLAIN).sealing.algorithm is Algorithm.XWING


def test_the_broker_takes_no_half_of_a_pair(world):
    client = world.clients[PAIRED]
    pair = client.profile.keystore.signer("administrator")
    draft = change_keys(client.drafts, client.directory, PAIRED, now=0, reads={"confiscation-notice": (1,)})
    for halves in ([pair.first], [pair.second], [PairSigner(pair.first, make_second())]):
        with pytest.raises(SignatureError) as refused:
            client.publish_statement(sign_gathering(draft, halves))
        assert refused.value.code in {"half_a_pair", "second_unasked"}


def test_a_pair_is_renewed_as_a_pair_and_another_key_into_one(world):
    client = world.clients[PAIRED]
    assert client.renew_keys().instance.second is not None
    assert received(world, PLAIN, send(world, PAIRED, [PLAIN], "renewed")) == ["renewed"]
    assert world.clients[TOKEN].renew_keys(second=True).instance.second is not None
    assert received(world, PAIRED, send(world, TOKEN, [PAIRED], "paired")) == ["paired"]


def test_an_instance_key_is_renewed_into_p256_and_signs(world):
    client = world.clients[LARGE]
    renewed = client.renew_keys(algorithm=Algorithm.ES256)
    assert renewed.instance.algorithm is Algorithm.ES256
    sent = send(world, LARGE, [PLAIN], "by the new key")
    assert received(world, PLAIN, sent) == ["by the new key"]


def test_a_lost_sealing_key_comes_back_by_its_recovery_copy(world):
    lost, safe = world.clients[LARGE], SealingKey(make_key("sealing").private)
    folder = lost.profile.folder
    set_recovery_key(folder, safe.public_key, lost.profile.log, LARGE, lost.profile.keystore.stored)
    lost.renew_keys(instance=False, sealing=True)
    copies = [path.read_bytes() for path in (folder / "recovery").iterdir()]
    world.clients[PLAIN].sync()
    sent = send(world, PLAIN, [LARGE], "before the disk was lost")
    administrator = [k for k in lost.profile.keystore.stored if k.use == "administrator"]
    lost.close(), lost.profile.close()
    fresh = Profile.create(
        world.root / "fresh", address=LARGE, broker_url=world.url, trust=world.trust,
        passphrase=world.passphrase, keys=[*administrator, make_key("instance"), make_key("sealing")],
    )  # fmt: skip
    world.clients[LARGE] = client = Client(fresh)
    client.renew_keys(sealing=True)
    recovered = client.recover_keys(copies, safe)
    assert len(recovered) == 2
    assert {use for use, _ in recovered} == {"sealing-old"}
    assert received(world, LARGE, sent) == ["before the disk was lost"]


def test_everything_holds_when_looked_at_from_outside(world):
    for client in world.clients.values():
        client.sync()
        client.sync_sent()
        client.verify_log()
