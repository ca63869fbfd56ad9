"""The checker can fail: a broker with one planted defect is found out, by a violation of the right name."""

import sqlite3
from pathlib import Path

import pytest

from countermark_protocol.checkpoint import sign_checkpoint
from countermark_protocol.merkle import leaf_hash, root_of
from fault import planted
from fault.checker import check
from fault.findings import Wrong
from fault.ground import GAP_MS, SQLITE, Ground, Stage, make_world
from fault.history import History
from fault.load import Load
from fault.rounds import first_entries, look

PROGRAM = str(Path(planted.__file__))
EACH = 8


@pytest.fixture(scope="module")
def ground():
    made = Ground()
    yield made
    made.close()


@pytest.fixture
def stage_of(ground):
    """Makes the stage of a broker with a defect."""
    stages = []

    def make(defect):
        stages.append(Stage(make_world(), ground.home(SQLITE, ground.place()), (PROGRAM, defect)))
        return stages[-1]

    yield make
    for stage in stages:
        stage.abandon()


def found_in(stage, load, before, *, wait=False):
    load.urls = stage.urls
    load.look_again()
    final = look(stage, load, wait=wait)
    history = History(
        tuple(load.recorder.calls), before, tuple(stage.absences), GAP_MS, signers=stage.world.signers()
    )
    return {violation.kind for violation in check(history, final)}


@pytest.mark.parametrize(
    ("defect", "expected"),
    [
        ("without_deduplication", Wrong.DOUBLED),
        ("positions_with_gaps", Wrong.ORDER),
        ("positions_twice", Wrong.ORDER),
        ("notices_too_early", Wrong.PREMATURE_NOTICE),
        ("notices_twice", Wrong.DOUBLED),
        ("expired_accepted", Wrong.WRONGLY_ACCEPTED),
        ("answered_before_published", Wrong.CHECKPOINT),
        ("released_unsigned", Wrong.RECEIPT),
        ("signed_by_anybody", Wrong.PHANTOM),
        ("refusals_take_ids", Wrong.WRONGLY_REFUSED),
        ("others_rows", Wrong.PROOF),
    ],
)
def test_a_planted_defect_is_found(stage_of, defect, expected):
    stage = stage_of(defect)
    stage.start()
    before = first_entries(stage.client())
    load = Load(stage.world, "planted", EACH, stage.store)
    load.start(stage.urls)
    load.finish()
    assert expected in found_in(stage, load, before, wait=defect == "notices_twice")


def test_the_same_load_without_a_defect_is_sound(ground):
    stage = Stage(make_world(), ground.home(SQLITE, ground.place()))
    stage.start()
    before = first_entries(stage.client())
    load = Load(stage.world, "planted", EACH, stage.store)
    load.start(stage.urls)
    load.finish()
    assert found_in(stage, load, before, wait=True) == set()
    stage.stop()


def test_answering_before_the_commit_is_durable_is_found(stage_of, ground):
    stage = stage_of("answered_before_durable")
    stage.start()
    before = first_entries(stage.client())
    load = Load(stage.world, "planted", EACH, stage.store)
    load.start(stage.urls)
    load.wait_for(load.total // 2)
    stage.kill()
    # The product itself finds it first: the checkpoint store knows more than the database.
    sound = Stage(stage.world, stage.home)
    with pytest.raises(RuntimeError, match="ended with 3"):
        sound.start()
    assert "database_behind_store" in sound.log()
    # Overrule it, as no operator may, to see that the checker finds it alone.
    sound = Stage(stage.world, stage.home)
    rewrite_store(sound)
    sound.start()
    load.urls = sound.urls
    load.finish()
    assert {Wrong.LOST, Wrong.CHECKPOINT} <= found_in(sound, load, before)
    sound.stop()


def rewrite_store(stage):
    """Let the checkpoint store say that the log ends where the database does."""
    with sqlite3.connect(stage.home / "broker.sqlite3") as connection:
        leaves = [leaf for (leaf,) in connection.execute("SELECT leaf FROM entries ORDER BY entry")]
    root, key = root_of([leaf_hash(leaf) for leaf in leaves]), stage.world.log_key
    note = sign_checkpoint(stage.world.origin, len(leaves), root, key.sign, key.public_key.raw)
    (stage.home / "checkpoint" / "checkpoint").write_bytes(note)
