"""Cut connections and crashes: the same bytes again, once in effect, nothing lost."""

import pytest

from countermark_client import Client, OutboxState, Profile, Settings, testing
from countermark_protocol.errors import SignatureError, TransportError, UncheckableError

KENYA, BELGIUM = "ke.police.nairobi", "be.contact.federal"


@pytest.fixture
def world():
    return testing.world(KENYA, BELGIUM)


def _posted(world, path="/v1/messages"):
    return [r.body for r in world.broker.requests if r.path == path and r.method == "POST"]


@pytest.mark.parametrize("cuts", [["before"], ["after"], ["before", "after", "after", "before"]])
def test_a_retry_sends_the_very_same_bytes(world, cuts):
    kenya = world.client(KENYA)
    kenya.sync()
    size = world.broker.state.size
    world.transport.cut = list(cuts)
    sent = kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM])
    assert world.broker.state.size == size + 1
    assert sent.index == size
    bodies = _posted(world)
    assert len(bodies) == len([c for c in cuts if c == "after"]) + 1
    assert len(set(bodies)) == 1


async def test_a_retry_sends_the_very_same_bytes_async(world):
    async with world.async_client(KENYA) as kenya:
        await kenya.sync()
        world.transport.cut = ["after", "before", "after"]
        await kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM])
    assert len(_posted(world)) == 3
    assert len(set(_posted(world))) == 1


def test_a_receipt_is_repeated_with_the_same_bytes_and_gives_its_stanzas(world):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM])
    belgium.sync()

    def lose_receipts(request, answer):
        if request.path == "/v1/receipts" and len(_posted(world, "/v1/receipts")) < 3:
            return 503, {}, b'{"status":503,"code":"x","detail":"y"}'
        return answer

    world.broker.intercept = lose_receipts
    assert len(list(belgium.inbox())) == 1
    bodies = _posted(world, "/v1/receipts")
    assert len(bodies) == 3
    assert len(set(bodies)) == 1


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_crash_between_outbox_and_answer_loses_nothing(world, tmp_path, cut):
    profile = world.profile(KENYA, folder=tmp_path / "ke")
    kenya = world.client(profile)
    kenya.sync()

    class PowerCutError(BaseException):
        pass

    def power_cut(_request, _answer):
        raise PowerCutError

    size = world.broker.state.size
    if cut == "after":
        world.broker.intercept = power_cut
    else:
        handle = world.broker.handle
        world.broker.handle = lambda _exchange: power_cut(None, None)
    with pytest.raises(PowerCutError):
        kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM])
    profile.close()
    world.broker.intercept = None
    if cut == "before":
        world.broker.handle = handle

    profile = Profile.open(tmp_path / "ke", testing.PASSPHRASE)
    kenya = world.client(profile)
    [waiting] = kenya.outbox()
    assert waiting.state is OutboxState.WAITING
    report = kenya.flush()
    assert [i.payload for i in report.logged] == [waiting.payload]
    assert world.broker.state.size == size + 1
    assert _posted(world)[-1] == waiting.body
    assert [r.message for r in world.client(BELGIUM).inbox()] == [waiting.payload]
    assert kenya.flush().logged == ()
    profile.close()


def test_what_waits_is_sent_in_order_when_the_broker_is_back(world):
    kenya = world.client(KENYA)
    kenya.sync()
    world.broker.offline = True
    for number in range(3):
        with pytest.raises(TransportError):
            kenya.send("tracing-request", testing.sample_request(f"C-{number}"), to=[BELGIUM])
    assert [i.state for i in kenya.outbox()] == [OutboxState.WAITING] * 3
    world.broker.offline = False
    kenya.send("tracing-request", testing.sample_request("C-3"), to=[BELGIUM])
    cases = [r.content.national_case_ref for r in world.client(BELGIUM).inbox()]
    assert cases == ["C-0", "C-1", "C-2", "C-3"]


def test_an_accept_that_was_cut_off_is_finished_at_the_next_start(world):
    kenya = world.client(KENYA)
    belgium = world.client(BELGIUM, settings=Settings(attempts=1))
    kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM])
    [received] = belgium.inbox()
    world.transport.cut = ["after"]
    with pytest.raises(TransportError):
        received.accept()
    assert list(belgium.inbox()) == []
    kenya.notices()
    assert [d.stage for d in kenya.status(kenya.outbox()[0].payload).recipients] == ["accepted"]


def test_an_own_entry_whose_answer_was_lost_is_no_stranger(world):
    kenya = world.client(KENYA, settings=Settings(attempts=1))
    kenya.sync()
    world.transport.cut = ["after"]
    with pytest.raises(TransportError):
        kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM])
    assert kenya.sync_sent() == 0
    assert kenya.outbox()[0].state is OutboxState.LOGGED
    assert kenya.halted is None


def test_nothing_is_sent_on_an_old_checkpoint(world):
    kenya = world.client(KENYA)
    kenya.sync()
    world.broker.offline = True
    world.clock.advance(minutes=10)
    with pytest.raises(TransportError):  # still fresh enough to seal on; it waits in the outbox
        kenya.send("tracing-request", testing.sample_request("A"), to=[BELGIUM])
    world.clock.advance(minutes=10)
    with pytest.raises(UncheckableError) as caught:
        kenya.send("tracing-request", testing.sample_request("B"), to=[BELGIUM])
    assert caught.value.code == "stale_checkpoint"
    assert len(kenya.outbox()) == 1
    patient = world.client(kenya.profile, settings=Settings(max_checkpoint_age=3_600_000, attempts=1))
    with pytest.raises(TransportError):
        patient.send("tracing-request", testing.sample_request("C"), to=[BELGIUM])
    world.broker.offline = False
    patient.flush()
    assert len(list(world.client(BELGIUM).inbox())) == 2


def test_a_revoked_instance_stops_by_itself(world):
    kenya = world.client(KENYA)
    kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM])
    world.revoke_instance(KENYA)
    with pytest.raises(SignatureError) as caught:  # a plain problem: the same payload may be signed again
        kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM])
    assert caught.value.code == "revoked_key"
    assert kenya.outbox()[-1].state is OutboxState.FAILED
    assert [i.payload for i in kenya.flush().failed] == [kenya.outbox()[-1].payload]
    with pytest.raises(SignatureError):
        list(kenya.inbox())


def test_a_client_opened_from_its_folder_closes_it(world, tmp_path):
    world.profile(KENYA, folder=tmp_path / "ke").close()
    with Client.open(tmp_path / "ke", testing.PASSPHRASE) as client:
        assert client.profile.address == KENYA
        profile = client.profile
    with pytest.raises(Exception, match="closed"):
        profile.store.meta("x")
