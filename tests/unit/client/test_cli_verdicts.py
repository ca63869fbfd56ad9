"""Verdicts on signatures wherever a message is shown: `verify`, `show`, `export`, `evidence`; of all who signed it."""

import importlib.util
import json
from pathlib import Path

import pytest

from countermark_client import Draft, testing
from countermark_client.testing import sample_acknowledgement, sample_notice, sample_request
from countermark_protocol.documents import Purpose, parse_document
from support.cli import cli_for

POLICE, KAMPALA = "ke.police.nairobi", "ug.police.kampala"
CONTACT, OFFICE = "be.contact.federal", "be.licensing.federal"
DAY = 86_400_000
SCRIPT = Path(__file__).parents[2] / "vectors" / "verify_independently.py"


def check(bundle):
    """Run the independent script over a received message's bundle."""
    spec = importlib.util.spec_from_file_location("verify_independently", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.check_bundle(bundle)


@pytest.fixture
def world():
    return testing.world(POLICE, KAMPALA)


@pytest.fixture
def cli(world, tmp_path):
    for address in (POLICE, KAMPALA):
        world.profile(address, folder=tmp_path / address).close()
    return cli_for(world, tmp_path)


@pytest.fixture
def message(cli):
    path = cli.file("n.json", sample_notice("KE-7"))
    sent = cli.json("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", path, home=POLICE)
    cli.run("inbox", "--accept", home=KAMPALA)
    return sent["messages"][0]["message"]


def test_verify_counts_verdicts_and_tells_of_each_that_needs_a_word(cli, world, message):
    told = cli.json("verify", home=KAMPALA)
    assert (told["verdicts"], told["messages"]) == ({"valid": 1}, [])
    logged = world.clock()
    world.clock.advance(days=5)
    world.revoke_instance(POLICE)
    told = cli.json("verify", home=KAMPALA)
    assert told["verdicts"] == {"valid-revoked-later": 1}
    text = cli.run("verify", home=KAMPALA).stdout
    assert "that it was revoked later undoes nothing" in text
    assert "no date of compromise is stated" in text
    # A later statement with an earlier date is visible as such: both dates, and how far they lie apart.
    world.revoke_instance(POLICE, compromised_at=logged - DAY)
    [one] = cli.json("verify", home=KAMPALA)["messages"]
    assert (one["message"], one["verdict"]["class"]) == (message, "signed-after-compromise")
    assert one["verdict"]["revoked"]["reaches_back"] == world.clock() - logged + DAY
    text = cli.run("verify", home=KAMPALA).stdout
    assert "SIGNED-AFTER-COMPROMISE" in text
    assert "that date lies 6 days before the revocation was logged" in text
    assert "SIGNED-AFTER-COMPROMISE" in cli.run("show", message, home=KAMPALA).stdout


def test_evidence_and_bundle_show_the_verdict_and_a_later_revocation(cli, world, message):
    world.clock.advance(days=5)
    world.revoke_instance(POLICE)
    out = cli.folder / "e.json"
    cli.run("evidence", "export", message, "-o", out, home=KAMPALA)
    told = cli.json("evidence", "verify", out, home="a court", passphrase="")
    assert (told["signed"]["verdict"], told["signed"]["revoked"]["reaches_back"]) == (
        "valid-revoked-later",
        0,
    )
    assert {entry["verdict"] for entry in told["entries"]} == {"valid"}
    text = cli.run("evidence", "verify", out, home="a court", passphrase="").stdout
    assert "VERDICTS ON SIGNATURES" in text
    assert "valid-revoked-later: the key counted when it was logged" in text
    bundle_file = cli.folder / "b.json"
    assert (
        cli.json("export", message, "-o", bundle_file, home=KAMPALA)["verdict"]["class"]
        == "valid-revoked-later"
    )
    bundle = json.loads(bundle_file.read_text())
    assert check(bundle) == bundle["expected"]
    assert (bundle["verdict"]["size"], len(bundle["revocations"])) == (world.broker.state.size, 1)


@pytest.fixture
def two_signed(cli, world):
    """A message that a second person released; its hash."""
    alice = world.client(POLICE)
    bob = world.client(world.profile(POLICE, keystore=world.add_instance(POLICE, "two")))
    data = alice.draft_message(Draft(type="lost-or-stolen-notice", content=sample_notice(), to=[KAMPALA]))
    sent = bob.send_message_draft(bob.sign_message_draft(data))
    cli.run("inbox", "--accept", home=KAMPALA)
    return sent.message.hex()


def proven(cli, digest):
    """By the recipient's bundle and its evidence; the latter, as told."""
    out = cli.folder / f"{digest[:8]}.json"
    cli.run("export", digest, "-o", out, home=KAMPALA)
    bundle = json.loads(out.read_text())
    assert check(bundle) == bundle["expected"]
    evidence = cli.folder / f"{digest[:8]}.evidence.json"
    cli.json("evidence", "export", digest, "-o", evidence, home=KAMPALA)
    return cli.json("evidence", "verify", evidence, home="a court", passphrase="")


def test_a_message_of_two_persons_is_exported_and_proven_with_both_names(cli, two_signed):
    told = proven(cli, two_signed)
    assert (told["signed"]["holder"], told["released"]["holder"]) == ("one", "two")
    assert any("A second person of ke.police.nairobi released it" in line for line in told["proven"])


def test_a_compromised_release_is_as_grave_as_a_compromised_sender(cli, world, two_signed):
    document = bytes.fromhex(two_signed)
    entry = next(e for e in world.broker.entries if e.document.payload_hash == document)
    [released] = [
        s.key_id for s in parse_document(entry.document.data).signatures if s.purpose is Purpose.RELEASE
    ]
    world.clock.advance(days=1)
    by = world.keystore(POLICE).signer("administrator")
    world.broker.post_statement(world.revoke(released, by, compromised_at=entry.leaf.time - 1))
    [one] = cli.json("verify", home=KAMPALA)["messages"]
    assert (one["verdict"]["class"], one["verdict"]["holder"]) == ("signed-after-compromise", "two")


def test_a_message_on_behalf_of_another_is_exported_and_proven_with_both_names(cli, world):
    world.enrol(CONTACT)
    world.enrol(OFFICE)
    asked = sample_request()
    asked["recovery"]["place"]["country"] = "UG"
    path = cli.file("r.json", asked)
    cli.run("send", "tracing-request", "--to", CONTACT, "--file", path, home=KAMPALA)
    office, point = world.client(OFFICE), world.client(CONTACT)
    [request] = point.inbox()
    answer = Draft(
        type="tracing-acknowledgement",
        content=sample_acknowledgement(request.manifest.id),
        to=[KAMPALA],
        on_behalf_of=CONTACT,
        reply_to_document=request.document,
    )
    sent = office.send_message_draft(point.sign_message_draft(office.draft_message(answer)))
    cli.run("inbox", "--accept", home=KAMPALA)
    told = proven(cli, sent.message.hex())
    assert (told["signed"]["author"], told["on_behalf_of"]["author"]) == (OFFICE, CONTACT)
    # Without the records of who lent its name the bundle proves nothing.
    bundle = json.loads((cli.folder / f"{sent.message.hex()[:8]}.json").read_text())
    bundle["directory"] = [d for d in bundle["directory"] if d["subject"] != f"keys/{CONTACT}"]
    with pytest.raises(KeyError):
        check(bundle)
