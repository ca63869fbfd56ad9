"""Acts of a client: kept before they are sent, proven in `sent`, and read there again."""

import pytest

from countermark_client import Settings, testing
from countermark_client._acting import Acts
from countermark_protocol.acts import Disclosure, Purge, PurgeGround
from countermark_protocol.boxes import Box
from countermark_protocol.claims import Header, Kind
from countermark_protocol.errors import NotFoundError, PolicyError, TransportError

POLICE, KAMPALA, MOMBASA = "ke.police.nairobi", "ug.police.kampala", "ke.customs.mombasa"


@pytest.fixture
def world():
    return testing.world(POLICE, KAMPALA, MOMBASA)


def disclosure(client, message):
    return lambda seen: Disclosure(
        Header(Kind.DISCLOSURE, client.profile.log, seen),
        client.profile.endpoint,
        message,
        "High Court, Nairobi",
        "case 12 of 2026",
        1,
        6,
        bytes(32),
    )


def post(client, make):
    core = client._core
    return client._run(Acts(core.session, core.log, core.sender).post(make))


def sent(world):
    with world.client(POLICE) as client:
        return client.send("lost-or-stolen-notice", testing.sample_notice(), [KAMPALA]).message


def test_a_disclosure_is_logged_proven_and_stands_in_sent(world):
    message = sent(world)
    with world.client(POLICE) as client:
        item = post(client, disclosure(client, message))
        assert (item.kind, item.state.value) == ("act", "logged")
        assert item.index == world.broker.state.size - 1
        assert client.profile.store.box_state(Box.SENT).count == 2
        assert world.broker.entries[item.index].document.claims["kind"] == "disclosure"
        assert client.sync_sent() == 0


def test_another_instance_reads_acts_in_sent(world):
    message = sent(world)
    with world.client(POLICE) as client:
        post(client, disclosure(client, message))
    other = world.profile(POLICE, keystore=world.add_instance(POLICE))
    with world.client(other) as client:
        assert client.sync_sent() == 2


def test_a_stranger_to_the_message_is_refused_with_an_account(world):
    message = sent(world)
    with world.client(MOMBASA) as client, pytest.raises(NotFoundError) as refused:
        post(client, disclosure(client, message))
    assert refused.value.code == "unknown_message"


def test_an_act_waits_where_the_broker_is_away_and_goes_out_with_the_rest(world):
    message = sent(world)
    with world.client(POLICE, settings=Settings(attempts=1)) as client:
        world.transport.cut = ["before"]
        with pytest.raises(TransportError):
            post(client, disclosure(client, message))
        assert [i.kind for i in client.flush().logged] == ["act"]
        # A lost answer: the same bytes again, the same entry.
        world.transport.cut = ["after"]
        with pytest.raises(TransportError):
            post(client, disclosure(client, message))
        size = world.broker.state.size
        assert [i.kind for i in client.flush().logged] == ["act"]
        assert world.broker.state.size == size


def test_a_post_without_a_line_signs_no_act(world):
    message = sent(world)
    with world.client(POLICE, settings=Settings(cut_off=True)) as client:
        with pytest.raises(TransportError) as cut:
            post(client, disclosure(client, message))
        assert cut.value.code == "cut_off"
        assert [i.kind for i in client.outbox()] == ["message"]


def test_what_waits_as_an_act_is_carried_by_no_bundle(world):
    message = sent(world)
    with world.client(POLICE, settings=Settings(attempts=1)) as client:
        world.transport.cut = ["before"]
        with pytest.raises(TransportError):
            post(client, disclosure(client, message))
        exported = client.export_bundle()
        assert (exported.messages, exported.receipts, exported.left) == (0, 0, 0)


def test_a_purge_by_its_sender_is_logged_once(world):
    message = sent(world)

    def make(seen):
        header = Header(Kind.PURGE, client.profile.log, seen)
        return Purge(header, client.profile.endpoint, message, PurgeGround.WITHDRAWN)

    with world.client(POLICE) as client:
        assert post(client, make).state.value == "logged"
    with world.client(KAMPALA) as client, pytest.raises(PolicyError) as refused:
        post(client, make)
    assert refused.value.code == "not_originator"
