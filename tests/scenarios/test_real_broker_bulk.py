"""Bulk and outbox of the client library against the real broker, which is killed in the middle."""

import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from demo import records  # noqa: E402
from demo.exchange import agency_of, handling  # noqa: E402
from demo.inventions import Inventions  # noqa: E402

from countermark_client import AsyncClient, Client, Draft, OutboxState, Profile, Settings  # noqa: E402
from countermark_protocol.errors import TransportError  # noqa: E402
from support.demo import governed, serving  # noqa: E402

POLICE, REGISTRY = "us.police.delaware", "xo-interpol.organisation.firearms"
CAST = {"us": ("United States", {POLICE: "Desk"}), "xo-interpol": ("Organisation", {REGISTRY: "Registry"})}
COUNT = 30


@pytest.fixture(scope="module")
def world(tmp_path_factory, real_database):
    with governed(tmp_path_factory.mktemp("bulk") / "world", real_database, CAST) as world:
        yield world


def reopened(world, address, **settings):
    """The client of an endpoint with other settings."""
    old = world.clients[address]
    old.close()
    old.profile.close()
    profile = Profile.open(world.root / "agencies" / address, world.passphrase)
    world.clients[address] = Client(profile, settings=Settings(**settings))
    return world.clients[address]


def drafts(run, count):
    rows = records.load_rows("delaware_trace_pairs")[:count]
    return [
        Draft(
            type="confiscation-notice",
            content=records.confiscation_notice(row, agency_of(POLICE), Inventions()),
            to=[REGISTRY],
            handling=handling(),
            exercise=True,
            reference=f"{run} {number}",
        )
        for number, row in enumerate(rows)
    ]


def check(world, made, count):
    police, registry = world.clients[POLICE], world.clients[REGISTRY]
    assert {i.state for i in police.outbox() if i.kind == "message"} == {OutboxState.LOGGED}
    assert police.sync_sent() == 0
    sent = [police.profile.store.reference(d.reference)[1] for d in made]
    received = list(registry.inbox())
    assert [m.message for m in received] == sent
    assert len(set(sent)) == count
    registry.accept_many(received)
    police.verify_log()


def test_many_by_one_request_against_the_real_broker(world):
    made = drafts("one", COUNT)
    with serving(world):
        police = reopened(world, POLICE, bulk_count=16)
        assert [o.error for o in police.send_bulk(made)] == [None] * COUNT
        assert [o.error for o in police.send_bulk(made)] == [None] * COUNT
        check(world, made, COUNT)


async def test_the_asynchronous_client_against_the_real_broker(world):
    made = drafts("async", 8)
    with serving(world):
        async with AsyncClient(reopened(world, POLICE).profile) as police:
            assert [o.error async for o in police.send_bulk(made)] == [None] * 8
        check(world, made, 8)


@pytest.mark.parametrize(
    "after", [pytest.param(0, marks=pytest.mark.long), 8, pytest.param(16, marks=pytest.mark.long)]
)
def test_a_broker_that_is_killed_in_between_has_each_message_once(world, after):
    made = drafts(f"killed after {after}", COUNT)
    police = reopened(world, POLICE, bulk_count=8, attempts=1)
    with serving(world) as broker:
        police.sync()
        told = []

        def kill():
            broker.send_signal(signal.SIGKILL)
            assert broker.wait(60) == -signal.SIGKILL

        def outcomes():
            for outcome in police.send_bulk(made):
                told.append(outcome)
                if len(told) == after:
                    kill()

        if not after:
            kill()
        with pytest.raises(TransportError):
            outcomes()
    assert [o.sent is not None for o in told] == [True] * after + [False] * 8
    with serving(world):
        assert [o.error for o in police.send_bulk(made)] == [None] * COUNT
        check(world, made, COUNT)
