"""`countermark document import`: a revocation that came by another path is honoured at once."""

import json

import pytest

from countermark_client import testing
from countermark_client.statements import finish_gathering, sign_gathering
from countermark_protocol.records import Ground
from support.cli import cli_for

POLICE, KAMPALA = "ke.police.nairobi", "ug.police.kampala"


@pytest.fixture
def world():
    return testing.world(POLICE, KAMPALA)


@pytest.fixture
def cli(world, tmp_path):
    world.profile(POLICE, folder=tmp_path / POLICE).close()
    return cli_for(world, tmp_path)


def test_nothing_is_sent_to_a_key_revoked_by_another_path(cli, world):
    notice = cli.file("n.json", testing.sample_notice("KE-1"))
    send = ("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", notice)
    cli.run(*send, home=POLICE)
    keys = world.keystore(KAMPALA)
    draft = world.drafts.revocation(keys.sealing_key().public_key.key_id, ground=Ground.LOSS)
    path = cli.folder / "revoked.draft"
    path.write_bytes(finish_gathering(sign_gathering(draft, [keys.signer("administrator")])))
    answer = cli.json("document", "import", path, home=POLICE)
    assert answer["subject"].startswith("revoked/")
    refused = cli.run(*send, "--json", home=POLICE, code=1)
    assert "recipients_refused" in refused.stdout + refused.stderr


def test_what_is_no_revocation_is_refused(cli, world):
    path = cli.folder / "other.draft"
    draft = world.drafts.group("ke/desk", title="Desk", members=[POLICE])
    path.write_bytes(sign_gathering(draft, [world.authority("ke")]))
    refused = cli.run("document", "import", path, "--json", home=POLICE, code=1)
    error = json.loads(refused.stdout or refused.stderr)["error"]
    assert error["code"] == "not_a_revocation"
