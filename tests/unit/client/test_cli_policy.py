"""`countermark policy` and `release`: what would happen, what another table would change, and drafts carried by file."""

import pytest

from countermark_client import testing
from support.cli import cli_for

POLICE, CONTACT, OFFICE = "ke.police.nairobi", "be.contact.federal", "be.licensing.federal"
EXPLAIN = ("policy", "explain", "--from", POLICE, "--type", "tracing-request")


@pytest.fixture
def world():
    return testing.world(POLICE, CONTACT, OFFICE)


@pytest.fixture
def cli(world, tmp_path):
    for address in (POLICE, CONTACT, OFFICE):
        world.profile(address, folder=tmp_path / address).close()
    world.profile(POLICE, folder=tmp_path / "two", keystore=world.add_instance(POLICE, "two")).close()
    return cli_for(world, tmp_path)


# --- explain and try ---


def test_what_would_be_allowed_is_told_with_its_rule_and_duties(cli):
    told = cli.json(*EXPLAIN, "--to", CONTACT, home=POLICE)
    [answer] = told["answers"]
    assert (told["allowed"], answer["rule"]["id"], answer["two_persons"]) == (True, "trace-request", None)
    assert {duty["id"] for duty in answer["duties"]} >= {"trace-of-own-recovery"}
    shown = cli.run(*EXPLAIN, "--to", CONTACT, home=POLICE).stdout
    assert "ALLOWED" in shown
    assert "enforced by  broker, sender, recipient" in shown


def test_a_denial_tells_what_came_closest_and_reads_as_the_refusal_before_sealing(cli):
    told = cli.json(*EXPLAIN, "--to", OFFICE, home=POLICE, code=1)
    [answer] = told["answers"]
    assert (answer["allowed"], answer["code"]) == (False, "policy_denied")
    assert answer["near"] == [{"rule": "trace-request", "but": [f"it does not reach {OFFICE}"]}]
    request = cli.file("r.json", testing.sample_request())
    refused = cli.run("send", "tracing-request", "--to", OFFICE, "--file", request, home=POLICE, code=1)
    assert answer["text"] in refused.stdout + refused.stderr
    six = cli.json(*EXPLAIN, "--to", CONTACT, "--recipients", 6, home=POLICE, code=1)
    assert "at most 5 recipients, not 6" in six["answers"][0]["near"][0]["but"][0]


def test_two_persons_are_told_of(cli):
    secret = cli.json(*EXPLAIN, "--to", CONTACT, "--classification", "CONFIDENTIAL", home=POLICE, code=1)
    assert secret["answers"][0]["code"] == "release_required"
    assert cli.json(*EXPLAIN, "--to", CONTACT, "--classification", "CONFIDENTIAL", "--released", home=POLICE)[
        "allowed"
    ]


def test_a_change_is_tried_against_what_was_sent(cli, world):
    notice = cli.file("n.json", testing.sample_notice())
    cli.run("send", "lost-or-stolen-notice", "--to", OFFICE, "--to", CONTACT, "--file", notice, home=POLICE)
    table = cli.json("policy", "show", home=POLICE)
    same = cli.file("same.json", table)
    assert cli.json("policy", "try", same, "--days", 30, home=POLICE)["changes"] == []
    for rule in table["rules"]:
        if rule["id"] == "lost-or-stolen":
            rule["to"]["roles"] = ["contact", "ncb"]
    tried = cli.json("policy", "try", cli.file("t.json", table), "--days", 30, home=POLICE, code=1)
    assert (tried["messages"], tried["recipients"]) == (1, 2)
    assert [(c["to"], c["before"], c["after"]) for c in tried["changes"]] == [(OFFICE, None, "policy_denied")]
    world.clock.advance(days=40)
    assert cli.json("policy", "try", cli.file("t.json", table), "--days", 30, home=POLICE)["messages"] == 0


# --- drafts ---


def test_a_draft_is_released_by_another_person(cli):
    notice = cli.file("n.json", testing.sample_notice())
    draft, end = (
        cli.folder / "n.draft",
        ("--to", CONTACT, "--file", notice, "--classification", "CONFIDENTIAL"),
    )
    cli.run("send", "lost-or-stolen-notice", *end, home=POLICE, code=1)
    made = cli.json("send", "lost-or-stolen-notice", *end, "--draft", draft, home=POLICE)
    assert made["missing"] == ["release"]
    cli.run("release", draft, home=POLICE, code=1)  # not by the same
    seen = cli.json("release", draft, "--show", home="two")
    assert seen["content"] == testing.sample_notice()
    sent = cli.json("release", draft, home="two")
    assert [one["holder"] for one in sent["signed_by"]] == ["one", "two"]
    [received] = cli.json("inbox", home=CONTACT)["messages"]
    assert received["message"] == sent["message"]
    assert [one["purpose"] for one in received["signed_by"]] == ["sign", "release"]


def test_files_are_carried_beside_a_draft(cli):
    (cli.folder / "left.txt").write_bytes(b"left side")
    request = cli.file("r.json", testing.sample_request())
    draft, look = cli.folder / "t.draft", cli.folder / "look"
    look.mkdir()
    ask = ("send", "tracing-request", "--to", CONTACT, "--file", request, "--classification", "CONFIDENTIAL")
    attach = ("--attach", f"{cli.folder}/left.txt,caption=a side")
    made = cli.json(*ask, *attach, "--draft", draft, home=POLICE)
    beside = cli.folder / "t.draft.files"
    assert made["files"] == str(beside)
    elsewhere = beside.rename(cli.folder / "stick")
    assert "NOT IN THE FOLDER" in cli.run("release", draft, "--show", home="two").stdout
    refused = cli.json("release", draft, home="two", code=1)
    assert refused["error"]["code"] == "draft_piece_missing"
    files = ("--files", elsewhere)
    shown = cli.run("release", draft, "--show", *files, home="two").stdout
    assert "attachment   0  left.txt (text/plain, 9 bytes): a side  SHA-256 " in shown
    seen = cli.json("release", draft, "--to", look, *files, home="two")
    assert seen["fetched"][0]["file"] == str(look / "left.txt")
    assert (look / "left.txt").read_bytes() == b"left side"
    assert seen["missing"] == ["release"]
    sent = cli.json("release", draft, *files, home="two")
    [received] = cli.json("inbox", home=CONTACT)["messages"]
    assert (received["message"], received["attachments"][0]["name"]) == (sent["message"], "left.txt")


def test_an_answer_in_the_name_of_the_point_of_contact(cli):
    request = cli.file("r.json", testing.sample_request())
    cli.run("send", "tracing-request", "--to", CONTACT, "--file", request, home=POLICE)
    [asked] = cli.json("inbox", "--accept", home=CONTACT)["messages"]
    bundle, draft, signed = (cli.folder / name for name in ("asked.json", "a.draft", "a.signed"))
    cli.run("export", asked["message"], "-o", bundle, home=CONTACT)
    answer = cli.file("a.json", testing.sample_acknowledgement(asked["manifest"]["id"]))
    cli.run(
        "send", "tracing-acknowledgement", "--to", POLICE, "--file", answer, "--draft", draft,
        "--on-behalf-of", CONTACT, "--reply-to-file", bundle, home=OFFICE,
    )  # fmt: skip
    cli.run("release", draft, "-o", signed, home=CONTACT)
    cli.run("release", signed, home=OFFICE)
    shown = cli.run("inbox", home=POLICE).stdout
    assert "ON BEHALF OF" in shown
    assert "SENT IN YOUR NAME" in cli.run("notices", home=CONTACT).stdout
