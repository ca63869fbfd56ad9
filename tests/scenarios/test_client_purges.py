"""Content that is deleted on a ground in the log: withdrawn by its sender, or kept as long as that asked for."""

import asyncio
import json
from dataclasses import replace

import pytest

from countermark_client import Settings, testing
from countermark_client._compose import default_handling
from countermark_protocol.acts import PurgeGround
from countermark_protocol.encoding import parse_object
from countermark_protocol.errors import InconsistentLogError, NotFoundError, ProofError, TransportError
from countermark_protocol.receipts import RejectionReason

POLICE, KAMPALA, MOMBASA = "ke.police.nairobi", "ug.police.kampala", "ke.customs.mombasa"
DAYS = 86_400_000


@pytest.fixture
def world():
    return testing.world(POLICE, KAMPALA, MOMBASA)


def send(client, case="KE-1", to=(KAMPALA,), **kwargs):
    return client.send("lost-or-stolen-notice", testing.sample_notice(case), list(to), **kwargs)


def short_lived(world):
    """Handling that asks to keep a message for ten days."""
    return {"handling": replace(default_handling(world.clock()), retention_until=world.clock() + 10 * DAYS)}


def stage(client, message):
    [item] = [i for i in client.messages() if i.message == message]
    return item.stage, item.purged


def test_an_inbox_goes_on_past_what_was_withdrawn_before_it_was_opened(world):
    police, kampala = world.client(POLICE), world.client(KAMPALA)
    gone, kept = send(police, "KE-1"), send(police, "KE-2")
    withdrawn = police.withdraw(gone)
    assert (withdrawn.ground, withdrawn.author) == (PurgeGround.WITHDRAWN, POLICE)
    read = list(kampala.inbox())
    assert [r.message for r in read] == [kept.message]
    assert kampala.purged == (gone.message,)
    assert stage(kampala, gone.message) == ("purged", withdrawn)
    read[0].accept()
    # Nothing is asked or stated of it again, and the client is not halted.
    world.broker.requests.clear()
    assert list(kampala.inbox()) == []
    assert not [e for e in world.broker.requests if "/messages/" in e.path or e.path.endswith("receipts")]
    send(kampala, "UG-1", to=[POLICE])


def test_an_inbox_that_meets_nothing_but_withdrawn_messages_waits_for_the_next(world):
    police, kampala = world.client(POLICE), world.client(KAMPALA)
    for number in range(3):
        police.withdraw(send(police, f"KE-{number}"))
    kampala_reads = world.client(
        world.profile(KAMPALA, keystore=world.add_instance(KAMPALA)), settings=Settings(page_size=1)
    )
    later = send(police, "KE-9")
    assert [r.message for r in kampala_reads.inbox()] == [later.message]
    assert [r.message for r in kampala.inbox()] == [later.message]
    assert len(kampala.purged) == 3


def test_several_workers_are_done_with_it_each_by_itself(world):
    police, one = world.client(POLICE), world.client(KAMPALA)
    two = world.client(world.profile(KAMPALA, keystore=world.add_instance(KAMPALA)))
    gone, kept = send(police, "KE-1"), send(police, "KE-2")
    police.withdraw(gone)
    for received in one.work():
        assert received.message == kept.message
        received.accept()
    assert list(two.work()) == []
    assert one.backlog() == two.backlog() == []


def test_purged_between_its_receipt_and_its_content(world):
    police, kampala = world.client(POLICE), world.client(KAMPALA)
    sent = send(police)

    def withdraw_first(exchange, answer):
        if exchange.path.endswith("/content"):
            world.broker.intercept = None
            police.withdraw(sent)
            return world.broker.handle(exchange)
        return answer

    world.broker.intercept = withdraw_first
    assert list(kampala.inbox()) == []
    assert stage(kampala, sent.message)[0] == "purged"


def test_what_was_opened_before_stays_and_is_answered(world):
    police, kampala = world.client(POLICE), world.client(KAMPALA)
    sent = send(police)
    [received] = kampala.inbox()
    police.withdraw(sent)
    received.accept()
    assert kampala.open_message(sent.message).content == received.content
    police.notices()
    status = police.status(sent)
    assert (status.recipients[0].stage, status.purged.ground) == ("accepted", PurgeGround.WITHDRAWN)


def test_nothing_is_stated_of_what_was_never_opened(world):
    police, kampala = world.client(POLICE), world.client(KAMPALA)
    sent = send(police)
    police.withdraw(sent)
    assert list(kampala.inbox()) == []
    for state in (
        lambda: kampala.accept_many([sent]),
        lambda: kampala.reject(sent, RejectionReason.UNOPENABLE),
    ):
        with pytest.raises(NotFoundError) as refused:
            state()
        assert refused.value.code == "purged_unopened"


def test_withdrawing_twice_is_withdrawing_once(world):
    police = world.client(POLICE)
    sent = send(police)
    first = police.withdraw(sent)
    size = world.broker.state.size
    assert police.withdraw(sent) == first
    other = world.client(world.profile(POLICE, keystore=world.add_instance(POLICE)))
    other.sync_sent()
    size = world.broker.state.size
    assert other.withdraw(sent.message) == first
    assert world.broker.state.size == size
    with pytest.raises(NotFoundError, match="sent no message"):
        police.withdraw(bytes(32))


def test_a_withdrawal_waits_where_the_broker_is_away_and_is_made_once(world):
    police = world.client(POLICE, settings=Settings(attempts=1))
    sent = send(police)
    world.transport.cut = ["after"]
    with pytest.raises(TransportError):
        police.withdraw(sent)
    assert police.status(sent).purged is None
    assert police.withdraw(sent).ground is PurgeGround.WITHDRAWN
    assert [i.kind for i in police.outbox()] == ["message", "act"]


def test_the_async_client_withdraws(world):
    async def run():
        async with world.async_client(POLICE) as client:
            sent = await client.send("lost-or-stolen-notice", testing.sample_notice(), [KAMPALA])
            return await client.withdraw(sent)

    assert asyncio.run(run()).ground is PurgeGround.WITHDRAWN


# --- by the broker ---


def test_a_sender_learns_in_its_notices_that_the_time_has_ended(world):
    police, kampala = world.client(POLICE), world.client(KAMPALA)
    sent = send(police, **short_lived(world))
    world.clock.sleep(11 * 86_400)
    assert world.broker.purge_ended() == 1
    [told] = [n for n in police.notices() if n.statement.to_json()["kind"] == "purge"]
    purged = police.status(sent).purged
    assert (purged.index, purged.ground) == (told.index, PurgeGround.RETENTION_ENDED)
    assert list(kampala.inbox()) == []
    assert stage(kampala, sent.message) == ("purged", purged)
    # Its sender comes too late, and is told what stands.
    assert police.withdraw(sent) == purged


def test_withdrawing_what_the_broker_has_purged_meanwhile_tells_that(world):
    police = world.client(POLICE)
    sent = send(police, **short_lived(world))
    world.clock.sleep(11 * 86_400)
    world.broker.purge_ended()
    assert police.withdraw(sent).ground is PurgeGround.RETENTION_ENDED


# --- a broker that lies ---


def test_content_that_is_called_purged_without_a_purge_is_no_purge(world):
    police, kampala = world.client(POLICE), world.client(KAMPALA)
    sent, other = send(police), send(police, "KE-2")
    police.withdraw(other)
    purges = world.broker.state.purges
    taken = purges[other.message]
    purges[sent.message], purges[other.message] = taken, None
    with pytest.raises(ProofError) as shown:
        list(kampala.inbox())
    assert shown.value.code == "purge_unproven"  # the purge of another message
    purges[sent.message] = None


def test_a_purge_before_its_time_is_a_finding(world, monkeypatch):
    police, kampala = world.client(POLICE), world.client(KAMPALA)
    send(police, **short_lived(world))
    monkeypatch.setattr(
        "countermark_protocol.decision.check_purge", lambda state, s, _t: state.messages[s.purge.message]
    )
    with monkeypatch.context() as hurried:
        hurried.setattr(world.broker, "_clock", lambda: world.clock() + 11 * DAYS)
        append = world.broker._append
        hurried.setattr(world.broker, "_append", lambda s: _at(world, append, s))
        assert world.broker.purge_ended() == 1
    for client, read in ((police, police.notices), (kampala, lambda: list(kampala.inbox()))):
        with pytest.raises(InconsistentLogError) as found:
            read()
        assert found.value.code == "decision_against_rules"
        assert client.halted is not None


def _at(world, append, statement):
    """Append with the world's time, whatever the broker's clock says."""
    clock = world.broker.__dict__.pop("_clock")
    world.broker._clock = world.clock
    try:
        return append(statement)
    finally:
        world.broker._clock = clock


def test_a_stanza_withheld_without_a_purge_stays_an_error(world):
    police, kampala = world.client(POLICE), world.client(KAMPALA)
    send(police)

    def withhold(exchange, answer):
        if exchange.path.endswith("/receipts"):
            accepted = parse_object(answer[2], "answer")
            accepted.pop("releases", None)
            return answer[0], answer[1], json.dumps(accepted).encode()
        return answer

    world.broker.intercept = withhold
    [received] = kampala.inbox()  # asked for again, it is released
    assert received.sender == POLICE
