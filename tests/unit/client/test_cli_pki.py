"""`countermark pki`, and certificates in drafts: who an existing PKI says holds a key of the directory."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from countermark_client import Profile, testing
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.keys import Algorithm
from support.cli import PASSPHRASE, cli_for
from support.tsa import certify, make_key, pem

NAIROBI = "ke.police.nairobi"


@pytest.fixture
def world():
    return testing.world(NAIROBI)


@pytest.fixture
def cli(world, tmp_path):
    cli = cli_for(world, tmp_path)
    for name, use, signer in (
        ("governor", "governor", world._governor),
        ("authority", "authority", world.authority("ke")),
    ):
        Profile.create(
            tmp_path / name,
            address=None,
            broker_url=world.url,
            trust=world.trust,
            passphrase=PASSPHRASE,
            keys=[StoredKey(use, Algorithm.ED25519, signer._private.private_bytes_raw())],
        ).close()
    world.profile(NAIROBI, folder=tmp_path / "home").close()
    return cli


class Pki:
    def __init__(self, folder, name):
        self.key = make_key()
        self.root = certify(name, self.key, authority=True)
        self.folder = folder
        self.roots = folder / f"{name}.pem"
        self.roots.write_bytes(pem(self.root))

    def certify(self, public, subject, **options):
        """A PEM file with the certificate of a key of the directory, and the root behind it."""
        key = Ed25519PublicKey.from_public_bytes(public.raw)
        leaf = certify(subject, key, (self.root, self.key), usages=None, **options)
        path = self.folder / f"{subject}.pem"
        path.write_bytes(pem(leaf, self.root))
        return path


def put(cli, who, *draft):
    out = cli.folder / f"draft-{len(list(cli.folder.glob('draft-*')))}"
    cli.run("draft", *draft, "-o", out, home=who)
    use = ("--use", "administrator") if who == "home" else ()
    cli.run("document", "sign", out, *use, "--yes", home=who)
    cli.run("document", "publish", out, home=who)


def test_authority_endpoint_and_instance(world, cli, tmp_path):
    pki = Pki(tmp_path, "Root of Kenya")
    directory = world.broker.state.directory
    focal = directory.authority("ke").keys.keys[0]
    administrator = directory.endpoint(NAIROBI).administrator.keys[0]
    instance = directory.keys(NAIROBI).signing[0].key
    put(cli, "governor", "authority", "ke", "--certificate", pki.certify(focal, "Focal Point"))
    put(cli, "authority", "endpoint", NAIROBI, "--certificate", pki.certify(administrator, "Nairobi"))
    put(cli, "home", "keys", NAIROBI, "--certificate", pki.certify(instance, "Desk"))
    # What is not said stays, whatever else changes.
    put(cli, "governor", "authority", "ke", "--name", "Republic of Kenya")

    assert "certificates for 1 keys" in cli.run("directory").stdout
    [record] = cli.json("directory", "authority/ke")["records"]
    assert len(record["record"]["certificates"][0]["chain"]) == 1

    assert cli.json("pki", "verify", code=1)["error"]["code"] == "no_roots"
    trusted = cli.run("pki", "trust", pki.roots, "--yes")
    assert "Root of Kenya" in trusted.stdout
    assert len(cli.json("pki", "trust", pki.roots, "--yes")["roots"]) == 1
    found = cli.json("pki", "verify")["certificates"]
    assert {(v["subject"], v["certified_as"], v["root"]) for v in found} == {
        ("authority/ke", "CN=Focal Point", "CN=Root of Kenya"),
        (f"endpoint/{NAIROBI}", "CN=Nairobi", "CN=Root of Kenya"),
        (f"keys/{NAIROBI}", "CN=Desk", "CN=Root of Kenya"),
    }
    assert [v["subject"] for v in cli.json("pki", "verify", "keys/")["certificates"]] == [f"keys/{NAIROBI}"]
    assert "no record there" in cli.run("pki", "verify", "group/").stdout
    assert "CN=Desk" in cli.run("pki", "verify", "--offline").stdout

    other = Pki(tmp_path, "Another root")
    told = cli.run("pki", "verify", "--roots", other.roots, code=1)
    assert "NOT CERTIFIED" in told.stdout
    [root] = cli.json("pki", "list")["roots"]
    cli.run("pki", "distrust", root["sha256"][:7], code=1)
    cli.run("pki", "distrust", root["sha256"][:8])
    assert cli.json("pki", "list")["roots"] == []


def test_it_is_judged_as_of_the_entry_that_brought_it(world, cli, tmp_path):
    pki = Pki(tmp_path, "Root of Kenya")
    focal = world.broker.state.directory.authority("ke").keys.keys[0]
    now = datetime.fromtimestamp(world.clock() / 1000, UTC)
    ending = pki.certify(focal, "Ending", begins=now - timedelta(days=1), ends=now + timedelta(days=1))
    put(cli, "governor", "authority", "ke", "--certificate", ending)
    world.clock.advance(days=3)
    assert cli.json("pki", "verify", "--roots", pki.roots)["certificates"][0]["error"] is None
    # Put on record again after it has ended, it certifies nothing.
    put(cli, "governor", "authority", "ke", "--name", "Kenya, again")
    [found] = cli.json("pki", "verify", "--roots", pki.roots, code=1)["certificates"]
    assert found["error"] == "certificate_untrusted"


def test_a_certificate_of_a_key_that_the_record_does_not_name(world, cli, tmp_path):
    pki = Pki(tmp_path, "Root of Kenya")
    administrator = world.broker.state.directory.endpoint(NAIROBI).administrator.keys[0]
    wrong = pki.certify(administrator, "Nairobi")
    out = cli.folder / "x"
    refused = cli.run("draft", "authority", "ke", "--certificate", wrong, "-o", out, home="governor", code=1)
    assert "bad_member" in refused.stderr or "certificates" in refused.stderr
    assert not out.exists()
    junk = cli.file("junk.pem", "junk")
    cli.run("draft", "authority", "ke", "--certificate", junk, "-o", out, home="governor", code=1)


def test_nothing_depends_on_a_certificate(world, cli, tmp_path):
    """A chain that certifies nothing is logged like any other, and its owner sends on."""
    pki = Pki(tmp_path, "Root of nobody")
    instance = world.broker.state.directory.keys(NAIROBI).signing[0].key
    past = datetime(2026, 1, 1, tzinfo=UTC)
    ended = pki.certify(instance, "Ended", begins=past - timedelta(days=9), ends=past)
    put(cli, "home", "keys", NAIROBI, "--certificate", ended)
    path = cli.file("n.json", testing.sample_notice("KE-7"))
    cli.json("send", "lost-or-stolen-notice", "--to", NAIROBI, "--file", path)
    assert cli.json("pki", "verify", "--roots", pki.roots, code=1)["certificates"][0]["certified_as"] is None
