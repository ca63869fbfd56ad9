"""Ten years of one endpoint's keys: renewed, lost, stolen, reset, run out, and of another algorithm.

Everybody's clock is the test's. After all of it every message of those years still has its verdict, by the client that
was there all the time, by one that reads the log for the first time, and by evidence.
"""

from dataclasses import dataclass, field

import pytest

from countermark_client import (
    ADMINISTRATOR,
    INSTANCE,
    SEALING,
    Draft,
    MemoryKeystore,
    Profile,
    Settings,
    make_key,
    testing,
)
from countermark_client.statements import sign_gathering
from countermark_client.testing import MovableClock
from countermark_protocol.errors import PolicyError, SignatureError
from countermark_protocol.evidence_checks import verify_evidence
from countermark_protocol.keys import Algorithm
from countermark_protocol.records import Ground, InstanceKey
from countermark_protocol.resets import beginning_for
from countermark_protocol.verdicts import VerdictClass

KENYA, BELGIUM = "ke.contact.office", "be.contact.federal"
DAY = 86_400_000


@dataclass
class Story:
    """What happens to the endpoint of Kenya; Belgium is there all the time."""

    world: testing.World
    kenya: object = None
    belgium: object = None
    expected: dict[bytes, VerdictClass] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    @property
    def clock(self) -> MovableClock:
        return self.world.clock

    def client_of(self, profile):
        client = self.world.client(profile)
        client.watch.alarmed = lambda text: self.told.append(f"alarm {text}")
        client.watch.reset = lambda reset: self.told.append(f"reset {reset.address}")
        client.watch.renewed = lambda renewed: self.told.append(f"renewed {renewed.index}")
        return client

    def say(self, sender, to, verdict=VerdictClass.VALID):
        sent = sender.send(
            "tracing-request", testing.sample_request(f"CASE-{len(self.expected)}"), to=[to], exercise=True
        )
        self.expected[sent.message] = verdict
        return sent

    def exchange(self):
        """A message each way, taken in by both."""
        self.say(self.kenya, BELGIUM)
        self.say(self.belgium, KENYA)
        for client in (self.kenya, self.belgium):
            for received in client.inbox():
                received.accept()

    def expect_of(self, key, verdict):
        """From now on, what this key signed has another verdict."""
        for message in self.signed_by(key):
            self.expected[message] = verdict

    def signed_by(self, key):
        return [
            e.document.payload_hash
            for e in self.world.broker.entries
            if e.document.payload_hash in self.expected and e.document.signers[0][1] == key.key_id
        ]


@pytest.fixture
def story():
    world = testing.world(KENYA, BELGIUM)
    out = Story(world)
    out.kenya, out.belgium = (out.client_of(world.profile(a)) for a in (KENYA, BELGIUM))
    return out


def test_ten_years(story):
    founded = story.clock()
    for year in (
        the_keys_are_given_an_end,
        a_running_client_renews_them,
        again_with_another_algorithm,
        everything_is_lost,
        an_orderly_change_of_administrator,
        an_instance_key_is_stolen,
        the_keys_run_out,
        a_message_is_in_flight_while_the_sealing_key_changes,
        somebody_puts_a_key_under_the_name,
        quiet,
    ):
        year(story)
        story.exchange()
    assert story.clock() - founded > 10 * 365 * DAY
    the_verdicts_stand(story)


def the_keys_are_given_an_end(story):
    story.exchange()
    renewed = story.kenya.renew_keys(instance=True, sealing=True)
    assert renewed.until == story.clock() + 365 * DAY
    assert {end.use for end in story.kenya.key_ends} == {INSTANCE, SEALING}
    assert story.kenya.warnings == ()
    story.clock.advance(days=320)


def a_running_client_renews_them(story):
    for _ in range(2):
        before = story.kenya.directory.keys(KENYA)
        story.clock.advance(days=20)
        story.exchange()
        after = story.kenya.directory.keys(KENYA)
        assert after.sealing != before.sealing
        assert after.previous_sealing == before.sealing
        assert story.told[-1].startswith("renewed")
        story.clock.advance(days=325)


def again_with_another_algorithm(story):
    renewed = story.kenya.renew_keys(sealing=True, algorithm=Algorithm.ES256)
    assert renewed.instance.algorithm is Algorithm.ES256
    story.exchange()
    assert story.signed_by(renewed.instance)
    story.clock.advance(days=100)


def everything_is_lost(story):
    """The office has burnt: no key is left. The authority resets the administrator; senders wait for a day."""
    lost = [one.key for one in story.kenya.directory.keys(KENYA).signing]
    authority = story.world.authority("ke")
    story.world.reset_administrator(KENYA)
    fresh = MemoryKeystore((make_key(INSTANCE), make_key(SEALING)))
    begins = beginning_for(story.world.broker.state.directory, KENYA, story.clock())
    assert begins > story.clock() + DAY
    for key in lost:
        story.world.broker.post_statement(story.world.revoke(key.key_id, authority, ground=Ground.LOSS))
        story.expect_of(key, VerdictClass.REVOKED_LATER)
    story.world.change_keys(
        KENYA,
        add=[InstanceKey(fresh.signer(INSTANCE).public_key, "desk")],
        remove=[key.key_id for key in lost],
        possession=[fresh.signer(INSTANCE)],
        sealing=fresh.sealing_key().public_key,
        sealing_from=begins,
    )
    administrator = story.world.keystore(KENYA).stored[-1]
    story.kenya = story.client_of(
        Profile.in_memory(
            address=KENYA,
            broker_url=story.world.url,
            trust=story.world.trust,
            keystore=fresh.with_key(administrator),
            holder="desk",
        )
    )
    story.clock.advance(minutes=2)
    with pytest.raises(PolicyError) as caught:
        story.belgium.send("tracing-request", testing.sample_request(), to=[KENYA], exercise=True)
    assert caught.value.facts["problems"][0]["sealing_from"] == begins
    assert story.told[-1] == f"reset {KENYA}"
    assert [r.address for r in story.belgium.resets] == [KENYA]
    story.say(story.kenya, BELGIUM)  # what it signs counts at once
    [received] = story.belgium.inbox()
    assert received.reset is not None
    received.accept()
    story.clock.advance(days=2)
    assert story.belgium.resets == ()


def an_orderly_change_of_administrator(story):
    """The authority names another administrator, and the one before stands behind it: nobody waits."""
    story.kenya.renew_keys(instance=True, sealing=True)
    before = story.kenya.profile.keystore.signer(ADMINISTRATOR)
    story.world.reset_administrator(KENYA)
    stored = story.world.keystore(KENYA).stored[-1]
    story.kenya.profile.add_key(stored)
    fresh = make_key(SEALING)
    story.kenya.profile.add_key(fresh)
    sealing = story.kenya.profile.keystore.sealing_key().public_key
    with pytest.raises(PolicyError, match="reset"):
        story.world.change_keys(KENYA, sealing=sealing)
    story.world.change_keys(
        KENYA, sealing=sealing, sealing_until=story.clock() + 365 * DAY, countersigners=[before]
    )
    story.clock.advance(minutes=2)
    story.say(story.belgium, KENYA)
    story.clock.advance(days=320)
    # A new administrator's key is nobody's here until it is in the keystore: no alarm was raised.
    story.kenya.sync()
    assert story.kenya.strangers == ()


def an_instance_key_is_stolen(story):
    """Used by a thief, revoked with the hour of the theft, and refused everywhere within one poll."""
    stolen = (
        story.kenya.session_signer() if hasattr(story.kenya, "session_signer") else signer_of(story.kenya)
    )
    thief = story.client_of(thiefs_profile(story, stolen))
    story.exchange()
    story.expect_of(stolen.public_key, VerdictClass.REVOKED_LATER)
    story.clock.advance(hours=1)
    theft = story.clock()
    story.say(thief, BELGIUM, VerdictClass.AFTER_COMPROMISE)
    [forged] = story.belgium.inbox()
    forged.accept()
    story.clock.advance(hours=1)
    administrator = story.kenya.profile.keystore.signer(ADMINISTRATOR)
    revocation = story.world.revoke(stolen.public_key.key_id, administrator, compromised_at=theft)
    # By telephone and memory stick, before the log has it.
    story.belgium.import_revocation(revocation)
    doubtful = story.say(thief, BELGIUM, VerdictClass.AFTER_COMPROMISE)
    [received] = story.belgium.inbox()
    assert received.message == doubtful.message
    assert received.doubtful
    assert received.verdict.kind is VerdictClass.AFTER_COMPROMISE
    with pytest.raises(PolicyError, match="signer_revoked"):
        received.accept()
    received.reject("not_for_us")
    # The log has it: the broker refuses what the thief signs, and whoever is connected knows within a minute.
    story.world.broker.post_statement(revocation)
    outcome = next(iter(thief.send_bulk([draft()])))
    assert outcome.error.code == "revoked_key"
    story.clock.advance(seconds=61)
    assert list(story.belgium.inbox("urgent")) == []
    assert story.belgium.directory.revocation(stolen.public_key.key_id) is not None
    # Kenya's own key is that one: it makes another.
    story.kenya.renew_keys(instance=True)
    with pytest.raises(SignatureError):
        thief.read_boxes()


def signer_of(client):
    directory = client.directory
    return next(
        s
        for s in client.profile.keystore.signers(INSTANCE)
        if directory.listed_instance(KENYA, s.public_key.key_id) is not None
    )


def thiefs_profile(story, stolen):
    taken = tuple(
        k
        for k in story.kenya.profile.keystore.stored
        if k.use == INSTANCE and MemoryKeystore((k,)).signer(INSTANCE).public_key == stolen.public_key
    )
    return Profile.in_memory(
        address=KENYA, broker_url=story.world.url, trust=story.world.trust, keystore=MemoryKeystore(taken)
    )


def draft():
    return Draft(type="tracing-request", content=testing.sample_request(), to=[BELGIUM], exercise=True)


def the_keys_run_out(story):
    """Nobody renewed: what is signed waits, nothing can be sealed to it; then the administrator comes back."""
    sleepy = story.world.client(story.kenya.profile, settings=Settings(renew_before=0))
    story.clock.advance(days=400)
    [outcome] = sleepy.send_bulk([draft()])
    assert outcome.error.code == "key_over"
    assert any("ended" in text for text in sleepy.warnings)
    with pytest.raises(PolicyError, match="ended"):
        story.belgium.send("tracing-request", testing.sample_request(), to=[KENYA], exercise=True)
    story.kenya = story.client_of(story.kenya.profile)
    story.kenya.renew_keys(instance=True, sealing=True)
    [logged] = story.kenya.flush().logged  # the same payload, signed again
    assert logged.payload == outcome.message
    story.expected[outcome.message] = VerdictClass.VALID
    for received in story.belgium.inbox():
        received.accept()
    story.clock.advance(minutes=2)
    story.belgium.sync()


def a_message_is_in_flight_while_the_sealing_key_changes(story):
    story.belgium.sync()
    story.kenya.renew_keys(instance=False, sealing=True)
    # Belgium has not read the directory for less than a minute: it seals to the key before.
    sent = story.say(story.belgium, KENYA)
    rows = story.world.broker._submissions[sent.message].rows
    assert rows[0].sealing_key == story.kenya.directory.keys(KENYA).previous_sealing.key_id
    [received] = story.kenya.inbox()
    received.accept()
    story.clock.advance(days=320)


def somebody_puts_a_key_under_the_name(story):
    """The authority was broken into. The endpoint is alarmed, senders are shown it, and it is undone in time."""
    story.kenya.sync()
    assert story.kenya.strangers == ()
    record = story.world.broker.state.directory.endpoint(KENYA)
    intruder = story.world.reset_administrator(KENYA)
    told = len(story.told)
    story.kenya.sync()
    [stranger] = story.kenya.strangers
    assert stranger.key_id == intruder.public_key.key_id
    assert stranger.subject == f"endpoint/{KENYA}"
    assert story.told[told].startswith(f"alarm key {intruder.public_key.key_id.hex()}")
    assert any(intruder.public_key.key_id.hex() in alarm for alarm in story.kenya.alarms)
    thiefs = MemoryKeystore((make_key(SEALING),)).sealing_key().public_key
    with pytest.raises(PolicyError, match="reset"):
        story.world.change_keys(KENYA, by=intruder, sealing=thiefs)
    story.world.change_keys(
        KENYA,
        by=intruder,
        sealing=thiefs,
        sealing_from=story.clock() + DAY,
        overlap_until=story.clock() + DAY,
    )
    story.clock.advance(minutes=2)
    story.say(story.belgium, KENYA)  # sealed to the key before: the endpoint reads it, and not the intruder
    assert story.told[-1] == f"reset {KENYA}"
    for received in story.kenya.inbox():
        received.accept()
    # Undone: the administrator as it was, and the intruder's key revoked.
    authority = story.world.authority("ke")
    administrator = story.kenya.profile.keystore.signer(ADMINISTRATOR)
    back = story.world.drafts.endpoint(KENYA, name=record.name, administrator=record.administrator.keys)
    story.world.broker.post_statement(sign_gathering(back, [authority], [administrator]))
    story.world.broker.post_statement(story.world.revoke(intruder.public_key.key_id, authority))
    story.kenya.renew_keys(instance=True, sealing=True)
    assert {s.key_id for s in story.kenya.strangers} == {intruder.public_key.key_id, thiefs.key_id}
    for key in story.kenya.strangers:
        story.kenya.acknowledge_key(key.key_id)
    assert story.kenya.alarms == ()
    story.clock.advance(minutes=2)
    assert story.belgium.sync() is not None
    assert story.belgium.resets == ()


def quiet(story):
    """Nothing happens for years, but that a running client goes on renewing."""
    for _ in range(5):
        story.clock.advance(days=340)
        story.exchange()
        story.clock.advance(days=1)
    assert story.kenya.warnings == ()


def the_verdicts_stand(story):
    story.belgium.sync()
    held = {item.message: item.verdict.kind for item in story.belgium.messages()}
    assert held == {m: v for m, v in story.expected.items() if m in held}
    assert set(story.expected) <= set(held)
    assert set(story.expected.values()) == {
        VerdictClass.VALID,
        VerdictClass.REVOKED_LATER,
        VerdictClass.AFTER_COMPROMISE,
    }
    newcomer = story.client_of(story.world.profile("ug.contact.kampala"))
    assert newcomer.verify_log().size == story.world.broker.state.size
    for verdict in VerdictClass:
        chosen = [m for m, v in story.expected.items() if v is verdict]
        for message in chosen[:1] + chosen[-1:]:
            shown = verify_evidence(story.belgium.evidence(message).data)
            assert shown.message.signed.verdict.kind is verdict
