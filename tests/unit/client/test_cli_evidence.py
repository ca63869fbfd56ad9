"""`countermark disclose`, `disclosure verify` and `evidence`: made by a party, checked by somebody with only the file."""

import json

import pytest

from countermark_client import testing
from countermark_protocol.evidence import parse_evidence
from countermark_protocol.records import Ground
from support.cli import cli_for

POLICE, KAMPALA, MOMBASA = "ke.police.nairobi", "ug.police.kampala", "ke.customs.mombasa"
COURT = ("--to", "High Court, Nairobi", "--ground", "case 12 of 2026")


@pytest.fixture
def world():
    return testing.world(POLICE, KAMPALA, MOMBASA)


@pytest.fixture
def cli(world, tmp_path):
    for address in (POLICE, KAMPALA, MOMBASA):
        world.profile(address, folder=tmp_path / address).close()
    return cli_for(world, tmp_path)


@pytest.fixture
def message(cli):
    """A message to two, taken in by one of them."""
    path = cli.file("n.json", testing.sample_notice("KE-7"))
    sent = cli.json(
        "send", "lost-or-stolen-notice", "--to", KAMPALA, "--to", MOMBASA, "--file", path, home=POLICE
    )
    cli.run("inbox", "--accept", home=KAMPALA)
    return sent["messages"][0]["message"]


def exported(cli, message, *more, who=POLICE, **kwargs):
    out = cli.folder / f"{who}-{len(more)}.evidence.json"
    told = cli.json("evidence", "export", message[:12], "-o", out, *more, home=who, **kwargs)
    return out, told


def verified(cli, path, *more, code=0):
    """As somebody who has nothing but the file: there is no profile in that folder."""
    return cli.json("evidence", "verify", path, *more, home="a court", code=code, passphrase="")


def test_a_senders_evidence_is_checked_by_somebody_without_anything(cli, message):
    out, told = exported(cli, message)
    assert out.stat().st_mode & 0o777 == 0o600
    checked = verified(cli, out)
    assert checked["message"] == message
    assert checked["signed"]["author"] == POLICE
    assert checked["recipients"] == sorted([KAMPALA, MOMBASA])
    assert [(e["author"], e["stage"]) for e in checked["entries"]] == [
        (KAMPALA, "delivered"),
        (KAMPALA, "accepted"),
    ]
    assert checked["fingerprint_compared"] is False
    assert checked["fingerprint"] == told["fingerprint"]
    again = verified(cli, out, "--fingerprint", checked["fingerprint"])
    assert again["fingerprint_compared"] is True
    text = cli.run("evidence", "verify", out, home="a court", passphrase="").stdout
    for expected in (
        f"{KAMPALA} signed that it was delivered",
        f"{KAMPALA} signed that it took the message in",
        "NOT PROVEN",
        "compare the fingerprint",
        "read the message or understood it",
        "needs witnesses, and the log names none",
        "What the message says: no part of its content is in this file.",
    ):
        assert expected in text, expected
    assert "KE-7" not in out.read_text()
    other = verified(cli, out, "--fingerprint", "0000 " * 8, code=1)
    assert other["error"]["code"] == "other_fingerprint"


def test_a_recipients_evidence_shows_its_own_receipts_and_nobody_else(cli, message):
    out, _ = exported(cli, message, who=KAMPALA)
    checked = verified(cli, out)
    assert checked["recipients"] == [KAMPALA]
    assert checked["all_recipients_shown"] is False
    assert [(e["author"], e["stage"]) for e in checked["entries"]] == [
        (KAMPALA, "delivered"),
        (KAMPALA, "accepted"),
    ]
    assert [row.endpoint for row in [parse_evidence(out.read_bytes()).recipient.row]] == [KAMPALA]


def test_parts_are_disclosed_to_a_court_and_the_rest_is_named(cli, world, message):
    out = cli.folder / "d.bin"
    size = world.broker.state.size
    told = cli.json("disclose", message, *COURT, "--part", "/nationalCaseRef", "-o", out, home=POLICE)
    assert told["index"] == size
    assert told["opened"] == ["/nationalCaseRef"]
    act = world.broker.entries[-1].document.claims
    assert (act["kind"], act["digest"], act["to"]) == ("disclosure", told["digest"], "High Court, Nairobi")
    checked = cli.json("disclosure", "verify", out, home="a court", passphrase="")
    assert checked["opened"] == {"/nationalCaseRef": "KE-7"}
    assert checked["closed"] == told["closed"] != []
    text = cli.run("disclosure", "verify", out, home="a court", passphrase="").stdout
    assert "/items/0: kept closed" in text
    assert "That the log holds the statement that this was disclosed" in text
    cli.run("disclosure", "verify", out, "--fingerprint", "00", home="a court", code=2, passphrase="")
    # Again, the same bytes and the same entry.
    again = cli.json(
        "disclose", message, *COURT, "--part", "/nationalCaseRef", "-o", cli.folder / "e.bin", home=POLICE
    )
    assert again["index"] == size
    assert (cli.folder / "e.bin").read_bytes() == out.read_bytes()

    evidence, told = exported(cli, message, "--disclosure", out)
    for command in (("evidence", "verify"), ("disclosure", "verify")):
        checked = cli.json(*command, evidence, home="a court", passphrase="")
        [shown] = checked["disclosures"]
        assert shown["opened"] == {"/nationalCaseRef": "KE-7"}
        assert (shown["to"], shown["index"]) == ("High Court, Nairobi", size)
    text = cli.run("evidence", "verify", evidence, home="a court", passphrase="").stdout
    assert "SHOWN TO High Court, Nairobi" in text
    assert "What the parts that are kept closed say." in text


def test_a_recipient_discloses_all_in_one_step_with_its_evidence(cli, message):
    out, _ = exported(cli, message, *COURT, "--all", who=KAMPALA)
    [shown] = verified(cli, out)["disclosures"]
    assert shown["closed"] == []
    assert shown["author"] == KAMPALA
    assert shown["opened"]["/nationalCaseRef"] == "KE-7"


def test_what_no_longer_is_what_was_handed_over_is_refused(cli, message):
    out = cli.folder / "d.bin"
    cli.run("disclose", message, *COURT, "--part", "/nationalCaseRef", "-o", out, home=POLICE)
    spoilt = cli.folder / "spoilt.bin"
    spoilt.write_bytes(out.read_bytes().replace(b"KE-7", b"KE-8"))
    told = cli.json("disclosure", "verify", spoilt, home="a court", code=1, passphrase="")
    assert told["error"]["code"] == "disclosure_mismatch"
    refused = cli.json(
        "evidence", "export", message, "-o", cli.folder / "x", "--disclosure", spoilt, home=POLICE, code=1
    )
    assert refused["error"]["code"] == "disclosure_not_logged"
    evidence, _ = exported(cli, message, "--disclosure", out)
    changed = cli.folder / "changed.json"
    bundle = json.loads(evidence.read_text())
    for member in ("facts", "statements", "entries"):
        changed.write_text(json.dumps(bundle | {member: bundle[member][1:]}))
        assert verified(cli, changed, code=1)["error"]["code"] in {"evidence_incomplete", "unknown_key"}, (
            member
        )
    changed.write_text(json.dumps(bundle | {"log": "log.test/other"}))
    assert verified(cli, changed, code=1)["error"]["code"] == "wrong_log"


def test_a_date_of_compromise_ends_with_an_error_and_says_why(cli, world, message):
    world.clock.advance(minutes=1)
    world.revoke_instance(POLICE, compromised_at=world.broker.entries[-3].leaf.time - 1)
    out, told = exported(cli, message, who=KAMPALA, code=1)
    assert told["signed"]["revoked"]["ground"] == Ground.COMPROMISE.value
    [doubt] = verified(cli, out, code=1)["doubts"]
    assert "declared compromised" in doubt
    text = cli.run("evidence", "verify", out, home="a court", code=1, passphrase="").stdout
    assert "IN DOUBT: do not rely on this" in text


def test_a_later_revocation_without_such_a_date_is_told(cli, world, message):
    world.revoke_instance(POLICE)
    out, _ = exported(cli, message, who=KAMPALA)
    checked = verified(cli, out)
    assert checked["doubts"] == []
    assert any("was revoked later" in line for line in checked["proven"])


def test_what_is_asked_wrongly_is_told_before_anything_is_logged(cli, world, message):
    size = world.broker.state.size
    out = cli.folder / "d.bin"
    for wrong in (
        ("--to", "x", "--part", "/items/0"),
        COURT,
        (*COURT, "--part", "/items/0", "--all"),
    ):
        cli.run("disclose", message, *wrong, "-o", out, home=POLICE, code=2)
    cli.run("evidence", "export", message, "-o", out, "--all", home=POLICE, code=2)
    told = cli.json("disclose", message, *COURT, "--part", "/items/7", "-o", out, home=POLICE, code=1)[
        "error"
    ]
    assert told["code"] == "unknown_part"
    assert "/items/0" in told["message"]
    told = cli.json("disclose", message, *COURT, "--all", "-o", out, home=MOMBASA, code=1)["error"]
    assert told["code"] in {"not_opened", "unknown_message"}
    out.write_text("mine")
    cli.run("disclose", message, *COURT, "--all", "-o", out, home=POLICE, code=2)
    cli.run("evidence", "export", message, "-o", out, home=POLICE, code=2)
    assert out.read_text() == "mine"
    assert world.broker.state.size == size


def test_evidence_of_what_is_not_in_the_log_is_not_made(cli, world, message):
    cli.run("whoami", home=POLICE)
    world.transport.cut = ["before"]
    path = cli.file("n.json", testing.sample_notice())
    args = ("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", path)
    [waiting] = cli.json(*args, home=POLICE, code=3)["kept_in_outbox"]
    out = cli.folder / "x.json"
    told = cli.json("evidence", "export", waiting, "-o", out, home=POLICE, code=1)["error"]
    assert told["code"] == "not_logged"
    told = cli.json("disclose", waiting, *COURT, "--all", "-o", out, home=POLICE, code=1)["error"]
    assert told["code"] == "not_logged"
    assert not out.exists()


def test_evidence_of_misbehaviour_is_still_listed(cli):
    assert cli.json("evidence", home=POLICE)["evidence"] == []


def test_what_is_no_evidence_is_refused(cli):
    path = cli.file("x.json", {"format": "something else"})
    assert verified(cli, path, code=1)["error"]["code"] == "not_evidence"


def test_evidence_names_no_key_of_a_profile(cli, world, message):
    out, _ = exported(cli, message, *COURT, "--all")
    text = out.read_text()
    for address in (POLICE, KAMPALA):
        for stored in world.keystore(address).stored:
            assert stored.private.hex() not in text
    assert parse_evidence(out.read_bytes()).log == "log.test/countermark"
