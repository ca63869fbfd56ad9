"""The two ten-line programs, as they stand in the README, run against a broker in memory."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from countermark_client import Client, Profile, testing

_EXAMPLES = Path(__file__).parents[2] / "clients" / "python" / "examples"
KENYA, UGANDA = "ke.customs.mombasa", "ug.customs.kampala"
POLICE = "ke.police.nairobi"


@pytest.fixture
def world(monkeypatch, tmp_path):
    world = testing.world(KENYA, UGANDA, POLICE)
    world.group("xo-eac/customs", [KENYA, UGANDA])

    def open_here(folder, passphrase, **_kwargs):
        return world.client(Profile.open(folder, passphrase))

    monkeypatch.setattr(Client, "open", open_here)
    monkeypatch.setattr("getpass.getpass", lambda: testing.PASSPHRASE)
    for address in (POLICE, KENYA):
        world.profile(address, folder=tmp_path / address).close()
    return world


def _run(monkeypatch, name, *args):
    monkeypatch.setattr(sys, "argv", [name, *map(str, args)])
    runpy.run_path(str(_EXAMPLES / name), run_name="__main__")


def test_send_a_notice_and_take_in_an_inbox(world, monkeypatch, tmp_path, capsys):
    notice = tmp_path / "notice.json"
    notice.write_text(json.dumps(testing.sample_notice("KE-7")))
    _run(monkeypatch, "send_notice.py", tmp_path / POLICE, notice)
    assert "to 2 recipients" in capsys.readouterr().out
    _run(monkeypatch, "consume_inbox.py", tmp_path / KENYA)
    out = capsys.readouterr().out
    assert f"{POLICE} lost-or-stolen-notice" in out
    assert "rejected" not in out
    stages = {m.deliveries[KENYA].stage.value for m in world.broker.state.messages.values() if m is not None}
    assert stages == {"accepted"}


@pytest.mark.parametrize("name", ["send_notice.py", "consume_inbox.py"])
def test_each_has_about_ten_lines(name):
    text = (_EXAMPLES / name).read_text()
    code = [line for line in text.split('"""', 2)[2].splitlines() if line.strip() and "import" not in line]
    assert len(code) <= 10
