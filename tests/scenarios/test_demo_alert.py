"""The demo's alert and photographs, with fewer desks: enrolled step by step, one named as unreachable, the rest counted."""

import hashlib
import io
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from demo import alert  # noqa: E402
from demo.exchange import handling  # noqa: E402
from demo.inventions import Inventions  # noqa: E402
from demo.photographs import exif_of, photographs  # noqa: E402

from countermark_client import Standing  # noqa: E402
from countermark_client.attaching import Attach, PreparedAttachment  # noqa: E402
from countermark_protocol.errors import PolicyError  # noqa: E402
from support.demo import governed, serving  # noqa: E402

CAST = {
    "ke": ("Kenya", {alert.SENDER: "Border post"}),
    "xo-interpol": ("Organisation", {"xo-interpol.organisation.firearms": "Registry"}),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with governed(tmp_path_factory.mktemp("alert") / "world", "", CAST) as world:
        yield world


def test_the_alert_is_told_from_the_problem_to_the_count(world, monkeypatch):
    monkeypatch.setattr(alert, "STATES", {"ug": "Uganda", "tz": "Tanzania"})
    monkeypatch.setattr(alert, "DESKS_EACH", 13)
    told = []
    with serving(world):
        found = alert.play_alert(world, Inventions(), told.append)
    assert len(found.recipients) == 25
    assert found.counts[Standing.REJECTED] == found.counts[Standing.COLLECTED] == 1
    assert found.counts[Standing.ACCEPTED] == 3
    assert [one.address for one in found.left_out] == ["tz.customs.desk-13"]
    assert "tz.customs.desk-13: its sealing key is revoked" in told[1]
    assert "not collected yet, since entry" in told[4]


def test_the_photographs_are_the_same_each_time_and_what_is_sent_of_them_tells_nothing(world):
    first, second = photographs("ACL586811", "Taurus", "Made in Brazil")
    assert [one.data for one in photographs("ACL586811", "Taurus", "Made in Brazil")] == [
        first.data,
        second.data,
    ]
    client = world.clients[alert.SENDER]
    for one in (first, second):
        assert {"Artist", "Model", "GPSLatitude"} <= set(exif_of(one.data))
        prepared = client.prepare_attachment(Attach(one.data, name=one.name, caption=one.caption))
        assert isinstance(prepared, PreparedAttachment)
        sent = b"".join(prepared.blocks())
        assert hashlib.sha256(sent).hexdigest() == prepared.sha256
        assert exif_of(sent) == {}
        with Image.open(io.BytesIO(sent)) as picture:
            assert picture.size == (1280, 800)


def test_a_quota_of_the_real_broker_that_does_not_suffice_is_named_before(world):
    """After the alert: its desks stand in the log. Drills have quotas of their own."""
    with (world.broker_home / "broker.toml").open("a", encoding="utf-8") as settings:
        settings.write("quota_recipients = 20\n")
    sender = world.clients[alert.SENDER]
    content = alert.alert_content(alert.SENDER, Inventions())
    how = {"handling": handling(), "exercise": True, "leave_out": ["tz.customs.desk-13"]}
    with serving(world):
        sent = sender.send(
            "trade-route-alert", content, [alert.WHOM], **how
        )  # more than a whole quota: taken once
        before = sender.outbox()
        with pytest.raises(PolicyError) as caught:
            sender.send("trade-route-alert", content, [alert.WHOM], **how)
        [problem] = caught.value.facts["problems"]
        assert (problem["code"], problem["quota"]) == ("quota_exceeded", "exercise-recipients")
        assert problem["per_minute"] == 20
        assert problem["retry_after"] > 1
        assert sender.outbox() == before
        # Few are not asked about; what real messages may is not spent by drills.
        few = [a for a in sent.recipients if a.startswith("ug.")][:9]
        sender.send("trade-route-alert", content, few, handling=handling())
