"""A stolen instance key at a real broker, on both databases: from its revocation on it is refused everywhere.

"Within one poll" is one reading of the directory: clients here read it before whatever they do, not every 60 s.
"""

import time
from contextlib import closing, contextmanager

import pytest

from countermark_client import INSTANCE, SEALING, Client, Profile, Settings, make_key, testing
from countermark_client.statements import sign_gathering
from countermark_protocol.errors import CountermarkError, InconsistentLogError, SignatureError
from countermark_protocol.evidence_checks import verify_evidence
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.records import Ground
from countermark_protocol.signers import load_signer
from countermark_protocol.verdicts import VerdictClass
from support.demo import governed, serving

KENYA, BELGIUM = "ke.ncb.nairobi", "be.contact.national"
CAST = {"ke": ("Kenya", {KENYA: "Bureau"}), "be": ("Belgium", {BELGIUM: "Contact point"})}
NOTICE = "lost-or-stolen-notice"
EACH_TIME = Settings(sync_interval=0, attempts=1)
CUT_OFF = Settings(cut_off=True, max_checkpoint_age=86_400_000, attempts=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory, real_database):
    with governed(tmp_path_factory.mktemp("stolen") / "world", real_database, CAST) as world, serving(world):
        yield world


@contextmanager
def holding(world, name, settings, *keys):
    """A client of Kenya's endpoint in somebody's hands, with some of its keys."""
    profile = Profile.create(
        world.root / name,
        address=KENYA,
        broker_url=world.url,
        trust=world.trust,
        passphrase=world.passphrase,
        holder=name,
        keys=list(keys),
    )
    with closing(profile), Client(profile, settings=settings) as client:
        yield client


def stored(client, use):
    key = next(k for k in client.profile.keystore.stored if k.use == use)
    return StoredKey(use, key.algorithm, key.private)


def say(client, text):
    return client.send(NOTICE, testing.sample_notice(text), [BELGIUM], exercise=True)


def test_a_stolen_keys_use_is_refused_everywhere_within_one_poll(world):
    kenya = world.clients[KENYA]
    administrator, stolen = kenya.profile.keystore.signer("administrator"), stored(kenya, INSTANCE)
    key_id = load_signer(stolen.algorithm, stolen.private).public_key.key_id
    # Kenya makes itself a second key, to go on with; a hill post without a line and a thief have the first.
    fresh = make_key(INSTANCE)
    signer = load_signer(fresh.algorithm, fresh.private)
    kenya.sync()
    record = kenya.directory.keys(KENYA)
    signing = [*((k.key, k.holder) for k in record.signing), (signer.public_key, "second")]
    draft = kenya.drafts.keys(KENYA, signing=signing, sealing=record.sealing, reads=record.reads)
    kenya.publish_statement(sign_gathering(draft, [administrator], [signer]))

    sealing = stored(kenya, SEALING)
    with (
        Client(world.clients[BELGIUM].profile, settings=EACH_TIME) as belgium,
        holding(world, "thief", EACH_TIME, stolen, sealing) as thief,
        holding(world, "hill", CUT_OFF, stolen, sealing) as hill,
        holding(world, "second", EACH_TIME, fresh, sealing) as second,
    ):
        assert hill.import_bundle(second.carry_bundle(hill.export_bundle().data).data).complete
        honest = say(kenya, "before the theft")
        theft = max(int(time.time() * 1000), kenya.sent(honest).time + 1)
        forged = say(thief, "by the thief")
        for received in belgium.inbox():
            received.accept()
        with pytest.raises(CountermarkError):
            say(hill, "by the thief, without a line")  # sealed and signed, and waits to be carried
        waiting = hill.export_bundle().data
        # Whose key it is notices at its next look at what it has sent.
        with pytest.raises(InconsistentLogError, match="unknown_sent_entry"):
            kenya.sync_sent()

        revocation = kenya.drafts.revocation(key_id, ground=Ground.COMPROMISE, compromised_at=theft)
        second.publish_statement(sign_gathering(revocation, [administrator]))

        # Broker: neither messages nor readings by that key, from that leaf on.
        size = second.sync().size
        with pytest.raises(SignatureError):
            say(thief, "after the revocation")
        with pytest.raises(SignatureError):
            thief.read_boxes()
        # Carrier: it brings nothing that the key signed, not even what it signed before.
        with pytest.raises(SignatureError, match="bundle_signer"):
            second.carry_bundle(waiting)
        assert second.sync().size == size
        # Recipient and other senders: one reading.
        assert list(belgium.inbox()) == []
        assert belgium.directory.revocation(key_id) is not None
        assert belgium.accept_keys(KENYA).revoked == {key_id}
        judged = {one.message: one.verdict for one in belgium.verdicts()}
        assert judged[honest.message].kind is VerdictClass.REVOKED_LATER
        assert judged[forged.message].kind is VerdictClass.AFTER_COMPROMISE
        assert judged[forged.message].revoked.compromised_at == theft
        # Evidence of either says so.
        fingerprint = belgium.profile.trust.fingerprint
        for message, in_doubt in ((honest, False), (forged, True)):
            proven = verify_evidence(belgium.evidence(message.message).data, fingerprint)
            assert proven.message.signed.in_doubt is in_doubt
            assert proven.message.signed.revoked.compromised_at == theft
        # The honest one goes on with its second key, and is heard.
        later = say(second, "after the revocation")
        [received] = belgium.inbox()
        assert (received.message, received.verdict.kind) == (later.message, VerdictClass.VALID)
