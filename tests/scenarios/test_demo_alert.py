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
from demo.inventions import Inventions  # noqa: E402
from demo.photographs import exif_of, photographs  # noqa: E402

from countermark_client import Standing  # noqa: E402
from countermark_client.attaching import Attach, PreparedAttachment  # noqa: E402
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
