"""Authority and endpoint with their keys in tokens, at a real broker in a process of its own, by the command line."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from demo.world import ORIGIN, found, serving  # noqa: E402

from countermark_client import AsyncClient, Client, Profile, testing  # noqa: E402
from countermark_client.cli import main  # noqa: E402
from countermark_client.statements import Drafts, sign_gathering  # noqa: E402
from countermark_protocol.default_policy import DEFAULT_POLICY  # noqa: E402
from countermark_protocol.keys import parse_key_json  # noqa: E402
from support.softhsm import PIN  # noqa: E402

pytestmark = pytest.mark.long

POLICE, BORDER = "ke.police.nairobi", "ke.police.mombasa"


class Shell:
    """Runs commands as two agencies and their authority do, each in a home of its own."""

    def __init__(self, folder, url):
        self.folder, self.url = folder, url

    def json(self, *args, home, code=0):
        env = {
            "COUNTERMARK_HOME": str(self.folder / home),
            "COUNTERMARK_PASSPHRASE": testing.PASSPHRASE,
            "COUNTERMARK_BACKUP_PASSPHRASE": "another one",
            "COUNTERMARK_PIN": PIN,
        }
        done = CliRunner().invoke(main, [*map(str, args), "--json"], env=env)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, f"{args}\n{done.output}"
        assert PIN not in done.output
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def shell(tmp_path_factory, softhsm):
    """A broker with one authority, whose key is in a token of its own."""
    pytest.importorskip("pkcs11", reason="NOT RUN: needs the extra countermark-client[pkcs11]")
    for label in ("authority", "police"):
        softhsm.make(label)
    folder = tmp_path_factory.mktemp("tokens")
    world = found(folder / "world")
    with serving(world):
        shell = Shell(folder, world.url)
        key = softhsm.uri("authority", "authority-1")
        public = folder / "authority.pub"
        shell.json("key", "new", "--use", "authority", "--token", key, "--out", public, home="ke")
        trust = folder / "founding.trust"
        trust.write_bytes(world.trust)
        shell.json("principal", "init", "--broker", world.url, "--trust", trust, "--key", key, home="ke")
        drafts = Drafts(ORIGIN)
        admitted = drafts.authority(
            "ke", name="Kenya", keys=[parse_key_json(json.loads(public.read_text()))], roles=["police"]
        )
        draft = folder / "ke.draft"
        draft.write_bytes(sign_gathering(admitted, world.governors[:2]))
        # The authority proves that it holds the key; the draft names it, so its URI tells which.
        shell.json("document", "sign", draft, "--key", key, "--possession", "--yes", home="ke")
        with Client(Profile.open(folder / "ke", PIN)) as authority:
            authority.publish_statement(draft.read_bytes())
            authority.publish_statement(sign_gathering(drafts.policy(DEFAULT_POLICY), world.governors[:2]))
            authority.profile.close()
        yield shell


def enrol(shell, address, *options):
    code = shell.json("invite", address, "--no-qr", home="ke")["code"]
    asked = shell.json("enrol", code, "--broker", shell.url, *options, home=address)
    shell.json("approve", "--fingerprint", asked["fingerprint"], home="ke")
    assert shell.json("whoami", home=address)["enrolled"] is True


def send(shell, sender, recipient, number):
    content = shell.folder / f"{number}.json"
    content.write_text(json.dumps(testing.sample_notice(str(number))))
    made = shell.json(
        *("send", "lost-or-stolen-notice", "--to", recipient, "--file", content, "--exercise"), home=sender
    )
    [message] = made["messages"]
    return message["message"]


def inbox(shell, home):
    return [m["message"] for m in shell.json("inbox", home=home)["messages"]]


async def test_an_endpoint_with_its_keys_in_a_token(shell, softhsm):
    # Enrolled in three steps by an authority whose own key is in a token.
    enrol(shell, POLICE, "--token", softhsm.uri("police"))
    enrol(shell, BORDER)
    assert not (shell.folder / POLICE / "keys.json").exists()

    # It sends, receives and acknowledges.
    first = send(shell, POLICE, BORDER, 1)
    assert inbox(shell, BORDER) == [first]
    shell.json("accept", first, home=BORDER)
    asked = send(shell, BORDER, POLICE, 2)
    assert inbox(shell, POLICE) == [asked]
    shell.json("accept", asked, home=POLICE)
    [row] = shell.json("status", first, home=POLICE)["recipients"]
    assert row["stage"] == "accepted"

    # A worker takes messages in; the asynchronous client does the same by the same keys.
    third = send(shell, BORDER, POLICE, 3)
    worked = shell.json("work", home=POLICE)
    assert ([m["message"] for m in worked["messages"]], worked["accepted"]) == ([third], 1)
    fourth = send(shell, BORDER, POLICE, 4)
    profile = Profile.open(shell.folder / POLICE, PIN)
    async with AsyncClient(profile) as client:
        [received] = [message async for message in client.inbox()]
        assert received.message.hex() == fourth
        await received.accept()
        await client.send("lost-or-stolen-notice", testing.sample_notice("5"), [BORDER], exercise=True)
    profile.close()
    [fifth] = inbox(shell, BORDER)
    shell.json("accept", fifth, home=BORDER)

    # Both keys are renewed with overlap: what was sealed to the key before, and is in flight, still opens.
    flying = send(shell, BORDER, POLICE, 6)
    renewed = shell.json("key", "renew", "--sealing", home=POLICE)
    assert {k["use"]: k["alg"] for k in renewed["keys"]} == {
        "instance": "ES256",
        "sealing": "ML-KEM-768+X25519",
    }
    assert inbox(shell, POLICE) == [flying]
    shell.json("accept", flying, home=POLICE)
    after = send(shell, POLICE, BORDER, 7)
    assert inbox(shell, BORDER) == [after]
    shell.json("accept", after, home=BORDER)
    sealed_anew = send(shell, BORDER, POLICE, 8)
    assert inbox(shell, POLICE) == [sealed_anew]
    shell.json("accept", sealed_anew, home=POLICE)
    checked = shell.json("key", "check", home=POLICE)
    assert [k["use"] for k in checked["keys"]] == [
        *("administrator", "instance", "instance", "wrapping", "sealing-old", "sealing")
    ]
    assert all(k["error"] is None for k in checked["keys"])

    # Sealing keys can be given to another instance; signing keys cannot.
    shell.json(*("key", "export", "--use", "sealing", "--out", shell.folder / "sealing.key"), home=POLICE)
    refused = shell.json(
        "key", "export", "--use", "instance", "--out", shell.folder / "x.key", home=POLICE, code=1
    )
    assert refused["error"]["code"] == "no_such_key"

    # A backup of the profile is used on with the same token, and says that it needs it.
    backup = shell.folder / "police.backup"
    assert "token=police" in shell.json("backup", "create", backup, home=POLICE)["token"]
    shell.json("backup", "restore", backup, home="restored")
    compared = shell.json("backup", "compare", home="restored")
    assert compared["adopted"] == []
    last = send(shell, "restored", BORDER, 9)
    assert inbox(shell, BORDER) == [last]
