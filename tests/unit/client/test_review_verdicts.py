"""Verdicts in an auditor's report and timeline: by what was logged up to the period's end, both dates shown."""

import json

import pytest

from countermark_client.audit._mirror import Mirror
from countermark_client.cli.common import Environment
from countermark_client.review import Traffic, make_report, period_between
from countermark_client.review._scope import everything
from countermark_client.review._tables import iso
from countermark_protocol.records import Ground, RevocationRecord
from support.audited import MemoryLog, audited_world
from support.cli import Cli
from support.mirrors import at
from support.protocol_world import NOW
from support.world import DAY, KAMPALA, MOMBASA, NAIROBI


@pytest.fixture
def world():
    return audited_world()


def revoke(world, address, compromised_at=None):
    key = world.agencies[address].instance
    record = RevocationRecord(key.public_key.key_id, Ground.COMPROMISE, compromised_at)
    world.put(world.revocation(key, record, [world.authority("ke")]))
    return key.public_key.key_id


def mirrored(world, path=None):
    mirror = Mirror(path)
    MemoryLog(world).sync(mirror)
    return mirror


def tables(mirror, **more):
    report = make_report(mirror, more.pop("period", everything()), Traffic.BOTH, **more)
    return {table.name: table for table in report.tables}


def test_a_report_counts_verdicts_as_at_its_end_and_lists_what_was_revoked(world):
    world.send(NAIROBI, [KAMPALA])
    world.send(MOMBASA, [KAMPALA])
    world.now += DAY
    key = revoke(world, NAIROBI)
    ends = world.now + 1
    world.now += 9 * DAY
    revoke(world, NAIROBI, compromised_at=NOW - 1)
    mirror = mirrored(world)
    found = tables(mirror)
    assert [c for c in found["signatures"].columns if c != "country"][:3] == [
        "valid",
        "valid-revoked-later",
        "signed-after-compromise",
    ]
    assert found["signatures"].rows[0] == ("ke", 1, 0, 1, 0, 0, 2)
    [row] = found["revoked_keys"].rows
    assert row == (
        key.hex(),
        f"keys/{NAIROBI}",
        "compromise",
        iso(NOW + 10 * DAY),
        iso(NOW - 1),
        row[5],
        10 * 24 * 60,
        1,
        1,
    )
    # The same question about a past period has the same answer for ever: what was said later shows later.
    before = period_between(None, None)
    before = type(before)(0, ends, "before")
    found = tables(mirror, period=before)
    assert found["signatures"].rows[0] == ("ke", 1, 1, 0, 0, 0, 2)
    assert found["revoked_keys"].rows[0][4:] == ("", found["revoked_keys"].rows[0][5], 0, 1, 0)
    mirror.close()


def test_third_parties_see_no_single_keys_and_no_small_numbers(world):
    world.send(NAIROBI, [KAMPALA])
    revoke(world, NAIROBI)
    mirror = mirrored(world)
    found = tables(mirror, audience="public")
    assert "revoked_keys" not in found
    assert found["signatures"].rows == ()
    mirror.close()


def test_a_timeline_shows_the_verdict_on_each_message(world, tmp_path):
    first = world.send(NAIROBI, [KAMPALA])
    world.now += DAY
    revoke(world, NAIROBI, compromised_at=NOW - DAY)
    (tmp_path / "m").mkdir()
    mirrored(world, tmp_path / "m" / "mirror.db").close()
    cli = Cli(tmp_path, Environment(clock=lambda: at("2026-06-15")))
    ask = ("audit", "timeline", first.payload_hash.hex(), "--mirror", tmp_path / "m")
    event = cli.json(*ask)["events"][0]
    assert event["verdict"]["class"] == "signed-after-compromise"
    assert event["verdict"]["revoked"]["reaches_back"] == 2 * DAY
    shown = cli.run(*ask).stdout
    assert "signature SIGNED-AFTER-COMPROMISE" in shown
    assert "that date lies 2 days before the revocation was logged" in shown
    report = json.loads(
        cli.run("audit", "report", "--exercise", "both", "--json", "--mirror", tmp_path / "m").stdout
    )
    [table] = [t for t in report["tables"] if t["name"] == "signatures"]
    assert table["rows"][0] == ["ke", 0, 0, 1, 0, 0, 1]
