"""Recovery copies by the command line: made with every sealing key, opened by a file or from paper."""

import json
from pathlib import Path

import pytest

from countermark_client import MemoryKeystore, Profile, make_key, testing
from countermark_client.testing import PASSPHRASE
from countermark_protocol.documents import parse_document
from countermark_protocol.encoding import encode_base64url
from countermark_protocol.keys import parse_key_json
from countermark_protocol.recovery import make_copy, parse_copy
from support.cli import cli_for

NAIROBI, KAMPALA = "ke.police.nairobi", "ug.police.kampala"


@pytest.fixture
def world():
    return testing.world(NAIROBI, KAMPALA)


@pytest.fixture
def cli(world, tmp_path):
    world.profile(NAIROBI, folder=tmp_path / "home").close()
    return cli_for(world, tmp_path)


@pytest.fixture
def safe(cli):
    """A recovery key, by its file and as it is printed."""
    made = cli.json("key", "recovery-key", "new", "--out", cli.folder / "recovery.key", "--paper")
    return cli.folder / "recovery.key", made["paper"]


def set_up(cli, safe):
    return cli.json("key", "recovery-key", "set", f"{safe[0]}.pub")["copies"]


def lose_the_disk(cli, world, address=NAIROBI):
    """A profile on a new disk: the administrator's key was kept elsewhere, the others are made anew."""
    administrator = [k for k in world.keystore(address).stored if k.use == "administrator"]
    profile = Profile.create(
        cli.folder / "new", address=address, broker_url=world.url, trust=world.trust, passphrase=PASSPHRASE,
        keys=[*administrator, make_key("instance"), make_key("sealing")],
    )  # fmt: skip
    profile.close()


def test_a_recovery_key_is_an_encrypted_file_and_is_shown_only_if_asked(cli):
    shown = cli.run("key", "recovery-key", "new", "--out", cli.folder / "a.key", "--paper").stdout
    [line] = [text for text in shown.splitlines() if text.count("-") == 13]
    quiet = cli.json("key", "recovery-key", "new", "--out", cli.folder / "b.key")
    assert quiet["paper"] is None
    assert line.replace("-", "") not in (cli.folder / "a.key").read_text()
    [stored] = cli.json("key", "show", cli.folder / "b.key")["keys"]
    assert (stored["use"], stored["key_id"]) == ("recovery", quiet["key_id"])
    cli.run("key", "recovery-key", "new", "--out", cli.folder / "b.key", code=2)
    assert "safe" in cli.run("key", "add", cli.folder / "b.key", code=2).stderr


def test_a_copy_is_made_of_every_sealing_key_before_it_is_published(cli, safe, world):
    assert len(set_up(cli, safe)) == 1
    renewed = cli.json("key", "renew", "--sealing", "--no-instance", "--sealing-alg", "ML-KEM-1024+P-384")
    copies = sorted(path.name for path in (cli.folder / "home" / "recovery").iterdir())
    assert f"{renewed['keys'][0]['key_id']}.json" in copies
    assert len(copies) == 2
    copy = parse_copy((cli.folder / "home" / "recovery" / copies[0]).read_bytes())
    assert (copy.log, copy.address) == (parse_document(world.trust).claims["log"], NAIROBI)


def test_a_recovery_key_that_is_a_signing_key_is_refused(cli):
    cli.run("key", "new", "--use", "instance", "--out", cli.folder / "a.key")
    assert "sealing key" in cli.run("key", "recovery-key", "set", cli.folder / "a.key.pub", code=1).stderr
    assert not (cli.folder / "home" / "recovery.pub").exists()


@pytest.mark.parametrize("by", ["file", "paper"])
def test_what_was_sealed_to_a_lost_key_opens_again(cli, safe, world, by):
    copies = set_up(cli, safe)
    sent = world.client(KAMPALA).send("lost-or-stolen-notice", testing.sample_notice("lost?"), [NAIROBI])
    lose_the_disk(cli, world)
    cli.run("key", "renew", "--sealing", home="new")
    how = ["--key", safe[0]] if by == "file" else ["--paper"]
    done = cli.json("key", "recover", *copies, *how, home="new", stdin=f"{safe[1].lower()}\n")
    assert [k["use"] for k in done["recovered"]] == ["sealing-old"]
    with_it = cli.json("inbox", home="new")
    assert [m["message"] for m in with_it["messages"]] == [sent.hash]
    again = cli.run("key", "recover", *copies, "--key", safe[0], home="new")
    assert "already" in again.stdout


def test_the_key_that_the_directory_names_becomes_the_current_one(cli, safe, world):
    copies = set_up(cli, safe)
    lose_the_disk(cli, world)
    [key] = cli.json("key", "recover", *copies, "--key", safe[0], home="new")["recovered"]
    assert key["use"] == "sealing"
    keys = {k["use"]: k["standing"] for k in cli.json("whoami", home="new")["keys"]}
    assert (keys["sealing"], keys["sealing-old"]) == ("in force", "former")


def test_wrong_copies_are_told_apart_and_nothing_is_kept(cli, safe, world):
    [good] = set_up(cli, safe)
    lose_the_disk(cli, world)
    before = cli.json("whoami", home="new")["keys"]
    file = json.loads(Path(good).read_text())
    cli.run("key", "recovery-key", "new", "--out", cli.folder / "other.key")
    recovery = parse_copy(json.dumps(file).encode())

    def told(change, key=safe[0]):
        path = cli.file("changed.json", file | change)
        done = cli.json("key", "recover", good, path, "--key", key, home="new", code=1)
        return done["error"]["code"]

    stranger = make_key("sealing")
    public = MemoryKeystore((stranger,)).sealing_key().public_key
    assert told({"log": "log.test/elsewhere"}) == "recovery_other_log"
    assert told({"address": KAMPALA}) == "recovery_other_address"
    assert told({"sealing": public.to_json()}) == "recovery_key_not_named"
    assert told({}, cli.folder / "other.key") == "other_recovery_key"
    flipped = recovery.wrapped[:-1] + bytes([recovery.wrapped[-1] ^ 1])
    assert told({"wrapped": encode_base64url(flipped)}) == "recovery_does_not_open"
    safe_key = json.loads((cli.folder / "recovery.key.pub").read_text())
    forged = make_copy(
        recovery.log, recovery.address, recovery.sealing, stranger.private, parse_key_json(safe_key)
    )
    assert told({"wrapped": encode_base64url(forged.wrapped)}) == "recovery_other_seed"
    assert cli.json("whoami", home="new")["keys"] == before
    mistyped = cli.json("key", "recover", good, "--paper", home="new", stdin="K7QF\n", code=1)
    assert mistyped["error"]["code"] == "recovery_paper"
    cli.run("key", "recover", good, home="new", code=2)


def test_a_profile_can_be_made_with_a_recovery_key_and_its_backup_holds_the_copies(cli, safe, world):
    trust = cli.folder / "founding.trust"
    trust.write_bytes(world.trust)
    cli.run(
        "init", "--address", "ke.police.kisumu", "--broker", world.url, "--trust", trust,
        "--recovery-key", f"{safe[0]}.pub", home="kisumu",
    )  # fmt: skip
    [copy] = (cli.folder / "kisumu" / "recovery").iterdir()
    secret = cli.file("secret", "of the backup\n")
    cli.run("backup", "create", cli.folder / "b", "--backup-passphrase-file", secret, home="kisumu")
    cli.run("backup", "restore", cli.folder / "b", "--backup-passphrase-file", secret, home="restored")
    assert (cli.folder / "restored" / "recovery" / copy.name).read_bytes() == copy.read_bytes()
