"""A revocation from any path: honoured at once, and missed aloud when the log does not show it."""

import pytest

from countermark_client import testing
from countermark_client.statements import finish_gathering, sign_gathering
from countermark_protocol.errors import (
    MalformedError,
    NotFoundError,
    PolicyError,
    SignatureError,
    UncheckableError,
    VerificationError,
)
from countermark_protocol.records import Ground

KENYA, BELGIUM = "ke.police.nairobi", "be.contact.federal"


@pytest.fixture
def world():
    return testing.world(KENYA, BELGIUM)


@pytest.fixture
def kenya(world):
    client = world.client(KENYA)
    client.sync()
    return client


def _send(client, to=BELGIUM):
    return client.send("tracing-request", testing.sample_request(), to=[to])


def _revocation(world, address, use, *, by="administrator", compromised_at=None):
    """A signed revocation of an endpoint's key, which nobody has posted."""
    keys = world.keystore(address)
    key = keys.sealing_key() if use == "sealing" else keys.signer(use)
    signer = world.authority("be") if by == "authority" else keys.signer(by)
    draft = world.drafts.revocation(
        key.public_key.key_id, ground=Ground.COMPROMISE, compromised_at=compromised_at
    )
    return finish_gathering(sign_gathering(draft, [signer]))


@pytest.mark.parametrize("by", ["administrator", "authority"])
def test_nothing_is_sealed_to_a_key_that_is_revoked(world, kenya, by):
    kenya.import_revocation(_revocation(world, BELGIUM, "sealing", by=by))
    with pytest.raises(PolicyError) as caught:
        _send(kenya)
    assert caught.value.code == "recipients_refused"
    assert [p["code"] for p in caught.value.facts["problems"]] == ["sealing_key_not_accepted"]
    assert kenya.outbox() == []
    # The directory stays as the log has it, and what the log accepts is no finding.
    assert kenya.directory.head == world.broker.state.directory.head
    assert kenya.halted is None
    # Known to the next client over the profile too; and over once there is a new key.
    with pytest.raises(PolicyError):
        _send(world.client(kenya.profile))
    world.rotate_sealing_key(BELGIUM)
    _send(kenya)


def test_an_endpoint_whose_administrator_was_compromised_before_it_certified_keys(world, kenya):
    kenya.import_revocation(
        _revocation(world, BELGIUM, "administrator", by="authority", compromised_at=world.clock() - 1)
    )
    with pytest.raises(PolicyError) as caught:
        _send(kenya)
    assert caught.value.facts["problems"][0]["code"] == "unknown_recipient"


def test_a_revocation_can_be_imported_without_a_broker(world, kenya):
    world.broker.offline = True
    kenya.import_revocation(_revocation(world, BELGIUM, "sealing"))
    world.broker.offline = False
    with pytest.raises(PolicyError):
        _send(kenya)


def test_what_a_revoked_key_signs_afterwards_is_doubtful(world):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    before = _send(kenya)
    belgium.sync()
    belgium.import_revocation(_revocation(world, KENYA, "instance", by="instance"))
    after = _send(kenya)  # a broker that does not know, or does not want to
    received = {r.message: r for r in belgium.inbox()}
    assert {m: r.doubtful for m, r in received.items()} == {before.message: False, after.message: True}
    assert belgium.open_message(after).doubtful
    received[before.message].accept()
    with pytest.raises(PolicyError) as caught:
        received[after.message].accept()
    assert caught.value.code == "signer_revoked"
    received[after.message].reject("handling_unacceptable", "signed by a key that is revoked")
    assert belgium.halted is None


def test_an_alarm_once_the_log_should_have_shown_it(world, kenya):
    document = _revocation(world, BELGIUM, "instance")
    kenya.import_revocation(document)
    world.clock.advance(seconds=59)
    kenya.sync()
    assert kenya.alarms == ()
    world.clock.advance(seconds=2)
    with pytest.raises(UncheckableError) as caught:
        kenya.sync()
    assert caught.value.code == "revocation_not_logged"
    key_id = world.keystore(BELGIUM).signer("instance").public_key.key_id
    assert caught.value.facts == {"key_id": key_id.hex()}
    kenya.sync()  # raised once, and still standing
    [alarm] = kenya.alarms
    assert key_id.hex() in alarm
    assert world.client(kenya.profile).alarms == kenya.alarms
    _send(kenya)
    kenya.publish_statement(document)
    kenya.sync()
    assert kenya.alarms == ()


def test_an_alarm_comes_before_anything_is_sent(world, kenya):
    kenya.import_revocation(_revocation(world, BELGIUM, "instance"))
    world.clock.advance(seconds=120)
    _send(kenya)  # reads the directory on its way
    with pytest.raises(UncheckableError):
        _send(kenya)
    assert len(kenya.outbox()) == 1
    _send(kenya)
    assert len(kenya.outbox()) == 2


def test_a_revocation_that_the_log_shows_is_nothing_new(world, kenya):
    document = _revocation(world, BELGIUM, "sealing")
    world.broker.post_statement(document)
    kenya.sync()
    kenya.import_revocation(document)
    assert kenya.profile.store.revocations() == []


def test_a_revocation_that_comes_by_both_paths_raises_no_alarm(world, kenya):
    document = _revocation(world, BELGIUM, "sealing")
    kenya.import_revocation(document)
    kenya.import_revocation(document)
    world.broker.post_statement(document)
    world.clock.advance(minutes=5)
    kenya.sync()
    assert kenya.alarms == ()
    assert len(kenya.profile.store.revocations()) == 1


def test_an_imported_revocation_outlives_the_key_that_signed_it(world, kenya):
    keys = world.keystore(BELGIUM)
    kenya.import_revocation(_revocation(world, BELGIUM, "sealing"))
    draft = world.drafts.revocation(keys.signer("administrator").public_key.key_id, ground=Ground.COMPROMISE)
    world.broker.post_statement(sign_gathering(draft, [world.authority("be")]))
    kenya.sync()
    with pytest.raises(PolicyError):
        _send(kenya)


def test_what_is_no_revocation(world, kenya):
    policy = world.broker.entries[0].document.data
    with pytest.raises(MalformedError) as caught:
        kenya.import_revocation(policy)
    assert caught.value.code == "not_a_revocation"
    with pytest.raises(MalformedError):
        kenya.import_revocation(b"nonsense")
    _send(kenya)


def test_a_revocation_by_somebody_else(world, kenya):
    draft = world.drafts.revocation(
        world.keystore(BELGIUM).sealing_key().public_key.key_id, ground=Ground.COMPROMISE
    )
    forged = finish_gathering(sign_gathering(draft, [world.keystore(KENYA).signer("administrator")]))
    with pytest.raises(SignatureError) as caught:
        kenya.import_revocation(forged)
    assert caught.value.code == "wrong_signer"
    _send(kenya)


def test_a_revocation_whose_signature_is_spoilt(world, kenya):
    document = bytearray(_revocation(world, BELGIUM, "sealing"))
    document[-1] ^= 1
    with pytest.raises(VerificationError):
        kenya.import_revocation(bytes(document))
    _send(kenya)


def test_a_revocation_made_for_another_log(world, kenya, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(world.broker.state, "origin", "log.test/another")
        document = _revocation(world, BELGIUM, "sealing")
    with pytest.raises(VerificationError) as caught:
        kenya.import_revocation(document)
    assert caught.value.code == "wrong_log"


def test_a_key_enrolled_a_moment_ago_is_looked_up(world, kenya):
    world.enrol("be.police.brussels")
    document = _revocation(world, "be.police.brussels", "sealing")
    kenya.import_revocation(document)
    assert len(kenya.profile.store.revocations()) == 1
    unknown = world.drafts.revocation(b"\x01" * 32, ground=Ground.COMPROMISE)
    forged = finish_gathering(sign_gathering(unknown, [world.keystore(BELGIUM).signer("administrator")]))
    with pytest.raises(NotFoundError) as caught:
        kenya.import_revocation(forged)
    assert caught.value.code == "unknown_key"


async def test_both_clients_do(world):
    kenya = world.async_client(KENYA)
    await kenya.sync()
    await kenya.import_revocation(_revocation(world, BELGIUM, "sealing"))
    with pytest.raises(PolicyError):
        await kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM])
    assert kenya.alarms == ()
