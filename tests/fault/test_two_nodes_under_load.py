"""Several nodes over one PostgreSQL under load, some of them killed: nothing lost, nothing twice, one history.

Of two nodes one is killed by the rounds of `sigkill_node` (test_rounds.py); here are three, of which two are, and what
those rounds must be.
"""

import pytest

from fault.ground import DATABASES, POSTGRESQL, Ground
from fault.kinds import BY_NAME, Fault, KindOfFault
from fault.rounds import LEAST, run_round
from fault.test_rounds import EVERY


class SigkillTwoOfThree(Fault):
    """Three nodes; one dies, then another; the third goes on alone until one is started beside it."""

    nodes = 3

    def strike(self, stage, load):
        load.wait_for(int(load.total * 0.2))
        self.moment()
        stage.kill(self.dice.randrange(3))
        load.urls = stage.urls = [f"http://127.0.0.1:{node.port}" for node in stage.nodes]
        load.wait_for(int(load.total * 0.45))
        self.moment()
        stage.kill(self.dice.randrange(2))
        stage.start()
        load.urls = stage.urls


@pytest.fixture(scope="module")
def ground():
    made = Ground()
    yield made
    made.close()


def test_one_of_two_nodes_is_killed_in_every_run_of_the_tests():
    kind = BY_NAME["sigkill_node"]
    assert kind.make.nodes == 2
    assert set(kind.databases) == set(DATABASES)
    # Not among those marked `long`.
    assert {one.values[1] for one in EVERY if one.values[0] is kind} == set(DATABASES)


def test_two_of_three_nodes_are_killed(ground):
    result = run_round(ground, KindOfFault("sigkill_two_of_three", SigkillTwoOfThree), POSTGRESQL, "bounded")
    assert result.sound, result.explain()
    assert result.acknowledged >= LEAST
    # The checker holds every notice against what it was about: exactly one each, whichever node made it.
    assert result.notices > 0
