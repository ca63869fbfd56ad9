"""Files handed over with a disclosure are compared with it, by somebody who has nothing else."""

import pytest

from countermark_client import testing
from countermark_client.cli.common import Environment
from countermark_protocol.disclosure import encode_disclosure
from countermark_protocol.parts import Part, disclose_parts, split_content
from countermark_protocol.sealing import open_content, seal_content
from support.cli import Cli, cli_for
from support.evidence import disclose, evidence_of
from support.protocol_world import make_world
from support.world import KAMPALA, NAIROBI

FILES = {"left.jpg": b"left side", "right.jpg": b"right side"}
SHOWN = {"attachment:0", "attachment:1"}


@pytest.fixture
def cli(tmp_path):
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    return Cli(tmp_path, Environment())


@pytest.fixture
def message():
    world = make_world()
    sealed = world.send(NAIROBI, [KAMPALA], files=FILES)
    return world, sealed, open_content(sealed.content, sealed.secrets, sealed.manifest.content)


def written(cli, data, name):
    path = cli.folder / name
    path.write_bytes(data)
    return path


def test_files_beside_a_disclosure(cli, message):
    world, sealed, parts = message
    data, _ = disclose(world, sealed, parts, {"attachment:0"})
    path, left, right = written(cli, data, "d.bin"), cli.folder / "left.jpg", cli.folder / "right.jpg"
    told = cli.json("disclosure", "verify", path, home="court")
    assert [(one["number"], one["name"], one["file"]) for one in told["attachments"]] == [
        (0, "left.jpg", None)
    ]
    told = cli.json("disclosure", "verify", path, "--file", "0", left, home="court")
    assert told["attachments"][0]["file"] == str(left)
    assert (
        "is this file, byte for byte"
        in cli.run("disclosure", "verify", path, "--file", "0", left, home="court").stdout
    )
    assert "NOT compared" in cli.run("disclosure", "verify", path, home="court").stdout
    for number, file, code in (("0", right, "file_mismatch"), ("1", right, "attachment_not_shown")):
        told = cli.json("disclosure", "verify", path, "--file", number, file, home="court", code=1)
        assert told["error"]["code"] == code


def test_files_beside_evidence(cli, message):
    world, sealed, parts = message
    disclosed = [disclose(world, sealed, parts, {name}) for name in sorted(SHOWN)]
    path = written(cli, evidence_of(world, sealed, disclosed=disclosed), "exhibit.evidence.json")
    given = [v for n, name in enumerate(FILES) for v in ("--file", str(n), cli.folder / name)]
    for command in ("evidence", "disclosure"):
        told = cli.json(command, "verify", path, *given, home="court")
        assert [one["file"] for one in told["attachments"]] == [str(cli.folder / name) for name in FILES]
        told = cli.json(command, "verify", path, "--file", "1", cli.folder / "left.jpg", home="court", code=1)
        assert told["error"]["code"] == "file_mismatch"
    assert any(
        "files described" in line for line in cli.json("evidence", "verify", path, home="court")["not_proven"]
    )


def test_a_spoilt_descriptor_is_shown_and_told(cli, message):
    world, sealed, _ = message
    spoilt = (*split_content({"note": "n"}), Part("attachment:0", b"{}"))
    _, content = seal_content(spoilt, sealed.secrets, bytes(24))
    json = sealed.manifest.to_json() | {
        "content": {
            "format": 1,
            "digest": content.digest.hex(),
            "size": content.size,
            "commitment": content.commitment.hex(),
        }
    }
    document = world.resigned(sealed, world.agencies[NAIROBI].instance, payload=json).document
    data = encode_disclosure(
        document, disclose_parts(spoilt, sealed.secrets.opener, frozenset({"attachment:0"}))
    )
    path = written(cli, data, "d.bin")
    told = cli.json("disclosure", "verify", path, home="court")
    assert told["attachments"] == [{"number": 0, "code": "missing_member", "file": None}]
    told = cli.json(
        "disclosure", "verify", path, "--file", "0", cli.folder / "left.jpg", home="court", code=1
    )
    assert told["error"]["code"] == "missing_member"


def test_from_sending_to_a_court(tmp_path):
    world = testing.world(NAIROBI, KAMPALA)
    for address in (NAIROBI, KAMPALA):
        world.profile(address, folder=tmp_path / address).close()
    cli = cli_for(world, tmp_path)
    notice, left = cli.file("n.json", testing.sample_notice("KE-1")), cli.file("left.txt", "left side")
    sent = cli.json(
        *("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", notice, "--attach", left), home=NAIROBI
    )["messages"][0]["message"]
    cli.run("inbox", "--accept", home=KAMPALA)
    out, evidence, fetched = tmp_path / "d.bin", tmp_path / "e.json", tmp_path / "fetched"
    court = ("--to", "High Court, Nairobi", "--ground", "case 12 of 2026")
    cli.run("disclose", sent[:12], *court, "--part", "attachment:0", "-o", out, home=KAMPALA)
    cli.run("evidence", "export", sent[:12], "--disclosure", out, "-o", evidence, home=KAMPALA)
    fetched.mkdir()
    cli.run("fetch", sent[:12], "--to", fetched, home=KAMPALA)
    [file] = fetched.iterdir()
    for command, path in (("disclosure", out), ("evidence", evidence)):
        told = cli.json(command, "verify", path, "--file", "0", file, home="court", passphrase="")
        assert [(one["name"], one["file"]) for one in told["attachments"]] == [("left.txt", str(file))]
