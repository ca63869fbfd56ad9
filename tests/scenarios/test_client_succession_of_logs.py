"""The log gets its next name: who had seen less follows, who is shown a false successor stays where it is."""

from dataclasses import replace

import pytest

from countermark_client import testing
from countermark_client.statements import sign_gathering
from countermark_protocol.checkpoint import sign_checkpoint
from countermark_protocol.claims import Header, Kind, Seen
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import CountermarkError, InconsistentLogError, SignatureError
from countermark_protocol.gathering import start_gathering
from countermark_protocol.records import DirectoryStatement
from countermark_protocol.succession import Predecessor, next_origin

KENYA, BELGIUM = "ke.contact.nairobi", "be.licensing.brussels"


@pytest.fixture
def world():
    return testing.world(KENYA, BELGIUM)


def succeed(world, **changes):
    """The governors give the log its next name, from where it is."""
    state = world.broker.state
    root, directory = state.frontier.root(), state.directory
    predecessor = replace(Predecessor(state.origin, state.size, root), **changes)
    header = Header(Kind.GOVERNANCE, next_origin(state.origin), Seen(state.size, root))
    record = replace(directory.log(), predecessor=predecessor)
    statement = DirectoryStatement(header, "log", directory.held("log").statement, record)
    draft = start_gathering(encode_json(statement.to_json()))
    return world.broker.post_statement(sign_gathering(draft, [world._governor]))


def sign_anew(world):
    """The newest checkpoint, under the name that the broker gives itself."""
    broker, state = world.broker, world.broker.state
    key = broker._log_key
    broker.checkpoint = sign_checkpoint(
        state.origin, state.size, state.frontier.root(), key.sign, key.public_key.raw
    )


def send(client, to=BELGIUM):
    return client.send("lost-or-stolen-notice", testing.sample_notice("one"), to=[to])


def test_who_saw_less_follows_and_goes_on(world):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    before = send(kenya)
    succeed(world)
    assert kenya.sync().origin == kenya.profile.log == next_origin(kenya.profile.trust.origin)
    after = send(kenya)
    belgium.sync()
    assert [m.message for m in belgium.inbox()] == [before.message, after.message]
    assert [c.halted for c in (kenya, belgium)] == [None, None]
    assert kenya.profile.evidence == belgium.profile.evidence == ()
    kenya.verify_log()


def test_what_waited_for_the_old_name_is_never_sent_and_can_be_made_anew(world):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    kenya.sync()
    succeed(world)
    # Its directory is young enough to send on: the broker refuses what was made for the name before.
    with pytest.raises(CountermarkError) as caught:
        send(kenya)
    assert caught.value.code == "wrong_log"
    [item] = kenya.outbox()
    assert (item.state, item.code) == ("given_up", "lost_with_log")
    kenya.renew(item.payload)
    [message] = belgium.inbox()
    assert message.content.items


def test_a_name_that_no_governor_gave(world):
    kenya = world.client(KENYA)
    kenya.sync()
    before = kenya.checkpoint
    state = world.broker.state
    true, state.origin = state.origin, next_origin(state.origin)
    sign_anew(world)
    with pytest.raises(SignatureError) as caught:
        kenya.sync()
    assert caught.value.code == "checkpoint_origin"
    assert kenya.checkpoint == before
    state.origin = true
    sign_anew(world)
    assert kenya.sync().root == before.root


def test_a_successor_of_another_history(world):
    """The governors and the broker together: leaves that this client knows are not those that the log goes on with."""
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    send(kenya)
    kenya.sync()
    succeed(world)
    # As if another leaf had stood there all the time, for this one client.
    size, root = kenya.checkpoint.size, bytes(32)
    kenya.profile.store.set_meta("checkpoint", None)
    kenya._core.log.checkpoint = replace(kenya.checkpoint, root=root)
    kenya.profile.store._db.execute("UPDATE known_roots SET root = ? WHERE size = ?", (root, size))
    with pytest.raises(InconsistentLogError) as caught:
        kenya.sync()
    assert caught.value.code == "checkpoint_fork"
    assert belgium.sync().size > size
