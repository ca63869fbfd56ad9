"""What `make test` leaves to `make test-long`: the second and third of tests that prove nearly the same.

`make test` keeps one of each kind: a fault of each sort, a planted defect of each sort, each story on one of the two
databases where the database is not what it is about. Tests that are long by themselves bear the mark where they stand.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

import pytest

_LONG: Final = (
    # Faults: a killed broker and a killed database, a full disk and a commit that is not reported stay.
    "tests/fault/test_rounds.py::test_a_round_of_each_kind?sigkill_broker-sqlite?",
    "tests/fault/test_rounds.py::test_a_round_of_each_kind?sigkill_node-*",
    "tests/fault/test_rounds.py::test_a_round_of_each_kind?cut_*",
    "tests/fault/test_rounds.py::test_a_round_of_each_kind?clock_*",
    "tests/fault/test_rounds.py::test_a_round_of_each_kind?store_*",
    "tests/fault/test_rounds.py::test_a_round_of_each_kind?heartbeat_*",
    "tests/fault/test_rounds.py::test_a_round_of_each_kind?commit_lost-*",
    "tests/fault/test_rounds.py::test_a_round_of_each_kind?sigstop_node-*",
    # Planted defects: one of the order, one of doublings, one of what is answered too early stay.
    "tests/fault/test_planted.py::test_a_planted_defect_is_found?positions_with_gaps-*",
    "tests/fault/test_planted.py::test_a_planted_defect_is_found?notices_*",
    "tests/fault/test_planted.py::test_a_planted_defect_is_found?expired_accepted-*",
    "tests/fault/test_planted.py::test_a_planted_defect_is_found?refusals_take_ids-*",
    "tests/fault/test_planted.py::test_a_planted_defect_is_found?signed_by_anybody-*",
    "tests/fault/test_planted.py::test_a_planted_defect_is_found?others_rows-*",
    "tests/fault/test_two_nodes_under_load.py::*",
    "tests/fault/test_workers_sigkill.py::*",
    # Stories of whole processes, on one of the databases.
    "tests/scenarios/test_real_broker.py::*?postgresql?",
    "tests/scenarios/test_real_broker_offline.py::*?sqlite?",
    "tests/scenarios/test_real_broker_evidence.py::*?sqlite?",
    "tests/integration/test_content_check.py::test_every_finding_and_its_way_out?postgresql-*",
    "tests/integration/test_content_check.py::test_killed_between_a_write_and_its_row?postgresql-s3?",
    "tests/integration/test_content_check.py::test_sigkill?postgresql-*",
    "tests/integration/test_content_move.py::test_backup_and_restore_take_them_along?postgresql-[ds]*",
    "tests/scenarios/test_lost_tail.py::*?sqlite?",
    "tests/scenarios/test_lost_tail_and_a_leaf_mirror.py::*?sqlite?",
    "tests/scenarios/test_successor.py::*?postgresql?",
    "tests/scenarios/test_registers_pass_through.py::*?postgresql-*",
    "tests/scenarios/test_real_broker_attachments.py::*?postgresql?",
    "tests/scenarios/test_compose_as_processes.py::*",
    "tests/scenarios/test_rolling_upgrade.py::test_old_and_new_nodes_side_by_side_*",
    "tests/integration/test_workers.py::*?sqlite?",
    "tests/integration/test_workers.py::*?sqlite-*",
    "tests/integration/test_many_listeners.py::*?sqlite?",
    "tests/integration/test_take_over.py::*?sqlite?",
    "tests/integration/test_audit_mirror.py::*?sqlite-*",
    # On one of the databases, each for a reason of its own: the other's code differs in nothing that they are about.
    "tests/scenarios/test_real_broker_bulk.py::*?postgresql*",
    "tests/integration/test_bulk.py::test_one_verdict_each_in_order?sqlite?",
    "tests/integration/test_command_line.py::test_doctor_explains_a_restored_backup?sqlite?",
    "tests/integration/test_checkpoint_store_postgresql.py::test_yesterdays_database_is_refused?sqlite?",
    "tests/integration/test_checkpoint_store_postgresql.py::test_a_log_is_founded_and_served_with_it?sqlite?",
    "tests/integration/test_checkpoint_store_postgresql.py::test_while_its_server_is_away_*?sqlite?",
    "tests/integration/test_undelivered.py::test_who_could_take_no_receipt_does_not_beat?sqlite-*",
    "tests/integration/test_undelivered.py::test_grace_runs_*?sqlite-*",
    "tests/integration/test_backup.py::test_command_line?sqlite?",
    "tests/scenarios/test_real_broker_stolen_key.py::*?sqlite?",
    "tests/integration/test_webhooks.py::test_a_hundred_moves_become_one_look?sqlite?",
    "tests/integration/test_audit.py::test_a_term_ends?sqlite?",
    "tests/integration/test_audit.py::test_a_look_up_ends?sqlite?",
    "tests/scenarios/test_logs_hold_no_secrets.py::test_logs_of_a_whole_run?sqlite-*",
    "tests/integration/test_tiles.py::test_every_tile_and_bundle_of_the_log?sqlite?",
    # A tail brought back with a mirror of leaves: the story itself and the mirror that is away stay.
    "tests/scenarios/test_lost_tail_and_a_leaf_mirror.py::test_another_entry_key_gives_no_secret_*",
    "tests/scenarios/test_lost_tail_and_a_leaf_mirror.py::test_what_is_not_under_the_mirrored_leaves_*",
    "tests/scenarios/test_lost_tail_and_a_leaf_mirror.py::test_a_witness_knows_more_*",
    # Sizes and moments: fewer of each.
    "tests/integration/test_bulk.py::test_a_client_that_reads_nothing_*",
    "tests/integration/test_flood.py::test_forgeries_cost_the_victim_nothing*",
    "tests/scenarios/test_client_outbox.py::test_a_crash_*?lost?",
    "tests/unit/client/test_audit_mirror.py::*?ke.auditor.office?",
    "tests/unit/witness/test_mirror.py::*?sizes2?",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them, before those that are not asked for are left out."""
    for item in items:
        if any(fnmatchcase(item.nodeid, pattern) for pattern in _LONG):
            item.add_marker(pytest.mark.long)
