"""A round of every kind of fault on every database it applies to; four of each in `make test-long`."""

import json

import pytest

from fault import runner
from fault.findings import Violation, Wrong
from fault.ground import Ground
from fault.kinds import KINDS
from fault.machine import Missing
from fault.rounds import LEAST, Result, run_round

EVERY = [
    pytest.param(kind, database, id=f"{kind.name}-{database}")
    for kind in KINDS
    for database in kind.databases
]
#: Kinds that stop no process are much the same to both databases: bounded on one of them, long on both.
_ON_BOTH = {"sigkill_node", "sigkill_broker", "sigkill_database", "cut_database"}
BOUNDED_ROUNDS = [
    pytest.param(kind, database, id=f"{kind.name}-{database}")
    for kind in KINDS
    for database in (kind.databases if kind.name in _ON_BOTH else kind.databases[:1])
]


@pytest.fixture(scope="module")
def ground():
    made = Ground()
    yield made
    made.close()


#: Messages of each route in a bounded round, and how many must be acknowledged in all.
BOUNDED, BOUNDED_LEAST = 10, 32


def run(ground, kind, database, seed, **bounds):
    try:
        result = run_round(ground, kind, database, seed, **bounds)
    except Missing as missing:
        pytest.skip(f"NOT RUN: {missing}")
    assert result.sound, result.explain()


@pytest.mark.parametrize(("kind", "database"), BOUNDED_ROUNDS)
def test_a_round_of_each_kind(ground, kind, database):
    run(ground, kind, database, "bounded", each=BOUNDED, least=BOUNDED_LEAST)


@pytest.mark.long
@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize(("kind", "database"), EVERY)
def test_many_rounds_of_each_kind(ground, kind, database, number):
    run(ground, kind, database, f"long {number}")


def result(**changes):
    values = {
        "kind": "full_disk",
        "database": "sqlite",
        "seed": "1",
        "acknowledged": 120,
        "calls": 500,
        "unanswered": 3,
        "entries": 250,
        "notices": 9,
        "violations": (),
        "rebuild": "",
    }
    return Result(**(values | changes))


def test_the_report_counts_what_was_found_and_nothing_else():
    lost, doubled = Violation(Wrong.LOST, "a"), Violation(Wrong.DOUBLED, "b")
    report = runner.make_report(
        [
            result(),
            result(violations=(lost, lost, doubled)),
            result(acknowledged=LEAST - 1),
            result(kind="clock_of_node", rebuild="a row differs"),
        ],
        [{"kind": "sigkill_node", "database": "sqlite", "seed": "2", "error": "TimeoutError()"}],
    )
    assert report["rounds"] == 3
    assert report["faults"] == {"full_disk_sqlite": 2, "clock_of_node_sqlite": 1}
    assert report["acknowledged"] == 360
    assert (report["lost"], report["doubled"]) == (2, 1)
    # Three findings, a rebuild that complained, a round that did not come to its end.
    assert report["violations"] == 5
    json.dumps(report)


def test_a_round_with_too_few_messages_is_not_sound():
    assert result().sound
    assert not result(acknowledged=LEAST - 1).sound
    assert not result(violations=(Violation(Wrong.TIME, "x"),)).sound
    assert not result(rebuild="x").sound
