"""A log founded, and an endpoint enrolled, by files that pass from person to person; then a message accepted."""

import pytest

from countermark_client import testing
from support.cli import PASSPHRASE
from support.founded import KAMPALA, POLICE, URL, Founded


@pytest.fixture
def founded(tmp_path):
    return Founded(tmp_path)


def test_from_three_governors_to_an_accepted_message(founded):
    cli = founded.cli
    founded.decide("policy", "--default")
    founded.admit("ke", "kenya")
    founded.admit("ug", "uganda")
    founded.enrol(POLICE, "kenya")
    founded.enrol(KAMPALA, "uganda")
    group = founded.folder / "group.draft"
    cli.run(
        "draft",
        "group",
        "ke/neighbours",
        "--title",
        "Neighbours",
        "--add",
        KAMPALA,
        "-o",
        group,
        home="kenya",
    )
    cli.run("document", "sign", group, "--yes", home="kenya")
    cli.run("document", "publish", group, home="kenya")
    notice = cli.file("notice.json", testing.sample_notice("KE-1"))
    sent = cli.json(
        "send", "lost-or-stolen-notice", "--to", "group:ke/neighbours", "--file", notice, home=POLICE
    )
    digest = sent["messages"][0]["message"]
    [received] = cli.json("inbox", "--accept", home=KAMPALA)["messages"]
    assert received["content"]["nationalCaseRef"] == "KE-1"
    [recipient] = cli.json("status", digest, home=POLICE)["recipients"]
    assert (recipient["recipient"], recipient["stage"]) == (KAMPALA, "accepted")
    for home in (POLICE, KAMPALA, "g1", "kenya"):
        assert cli.json("verify", home=home)["size"] == founded.broker.state.size
    assert cli.json("whoami", home="g1")["address"] is None
    assert "a governor or an authority" in cli.run("whoami", home="g1").stdout


def test_one_governor_of_two_is_not_enough(founded):
    file = founded.folder / "p.draft"
    founded.cli.run("draft", "policy", "--default", "-o", file, home="g1")
    founded.cli.run("document", "sign", file, "--yes", home="g1")
    error = founded.cli.json("document", "publish", file, home="g1", code=1)["error"]
    assert error["code"] == "too_few_signatures"
    assert "pass the file on" in error["hint"]
    for name in ("g2", "g3"):
        founded.cli.run("document", "sign", file, "--yes", home=name)
    error = founded.cli.json("document", "publish", file, home="g1", code=1)["error"]
    assert error["code"] == "too_many_signatures"


def test_the_trust_files_fingerprint_decides_before_anything_is_made(founded):
    args = ("init", "--address", POLICE, "--broker", URL, "--trust", founded.trust)
    error = founded.cli.json(*args, "--fingerprint", "0000 " * 8, home="p", code=1)["error"]
    assert error["code"] == "other_fingerprint"
    assert not (founded.folder / "p").exists()
    told = founded.cli.json("whoami", "--offline", home="g1")["trust_fingerprint"]
    made = founded.cli.json(*args, "--fingerprint", told.upper().replace(" ", ""), home="p")
    assert made["trust_fingerprint"] == told
    assert (founded.folder / "p").stat().st_mode & 0o777 == 0o700
    again = founded.cli.json(*args, home="p", code=1)["error"]
    assert again["code"] == "profile_exists"
    text = founded.cli.run(*args, home="q").stdout
    assert "compare this fingerprint by voice" in text
    assert "countermark enrol" in text


def test_making_a_profile_sends_nothing_and_shows_no_secret(founded):
    size, calls = founded.broker.state.size, len(founded.broker.requests)
    result = founded.cli.run(
        "init", "--address", POLICE, "--broker", URL, "--trust", founded.trust, home="p", stdin=""
    )
    assert (founded.broker.state.size, len(founded.broker.requests)) == (size, calls)
    assert PASSPHRASE not in result.stdout + result.stderr
    for file in ("keys.json", "trust.countermark", "profile.json", "endpoint.request"):
        assert (founded.folder / "p" / file).stat().st_mode & 0o777 == 0o600


def test_approval_asks_and_compares(founded):
    founded.admit("ke", "kenya")
    made = founded.init(POLICE)
    request = made["request"]
    cli = founded.cli
    told = cli.run("approve", request, home="kenya", stdin="n\n", code=2).stderr
    assert made["request_fingerprint"] in told
    assert POLICE in told
    cli.run("approve", request, home="kenya", stdin="", code=2)
    wrong = cli.json("approve", request, "--fingerprint", "00", home="kenya", code=1)["error"]
    assert wrong["code"] == "other_fingerprint"
    assert founded.broker.state.directory.endpoint(POLICE) is None
    early = cli.json("enrol", home=POLICE, code=1)["error"]
    assert early["code"] == "not_enrolled"
    assert "authority 'ke' has not approved" in early["message"]
    unready = cli.run("whoami", home=POLICE)
    assert "not enrolled" in unready.stderr
    assert "can send    no" in unready.stdout
    cli.run("approve", request, home="kenya", stdin="y\n")
    assert cli.json("enrol", home=POLICE)["index"] is not None
    assert cli.json("enrol", home=POLICE)["index"] is None
    assert cli.json("whoami", home=POLICE)["enrolled"] is True


def test_approval_of_what_is_no_request_or_not_ones_own(founded):
    founded.admit("ke", "kenya")
    cli = founded.cli
    cli.run("draft", "group", "ke/g", "--title", "G", "-o", founded.folder / "g", home="kenya")
    error = cli.json("approve", founded.folder / "g", "--yes", home="kenya", code=1)["error"]
    assert error["code"] == "not_a_request"
    foreign = founded.init(KAMPALA)
    error = cli.json("approve", foreign["request"], "--yes", home="kenya", code=1)["error"]
    assert error["code"] == "principal_not_standing"
    outside = founded.init("ke.customs.mombasa")
    error = cli.json("approve", outside["request"], "--yes", home="kenya", code=1)["error"]
    assert error["code"] == "outside_mandate"
    made = founded.init(POLICE)
    error = cli.json("approve", made["request"], "--yes", home="g1", code=1)["error"]
    assert error["code"] == "no_such_key"
    spoilt = founded.folder / "spoilt.request"
    data = bytearray((founded.folder / POLICE / "endpoint.request").read_bytes())
    data[-1] ^= 1
    spoilt.write_bytes(bytes(data))
    error = cli.json("approve", spoilt, "--yes", home="kenya", code=1)["error"]
    assert error["code"] == "bad_signature"


def test_two_keys_of_an_authority_sign_one_after_the_other(founded):
    founded.admit("ke", "one", "two", threshold=2)
    made = founded.init(POLICE)
    half = founded.folder / "half.request"
    first = founded.cli.json("approve", made["request"], "--yes", "-o", half, home="one")
    assert (first["published"], first["file"]) == (False, str(half))
    second = founded.cli.json("approve", half, "--yes", home="two")
    assert second["published"] is True
    assert founded.broker.state.directory.endpoint(POLICE) is not None


def test_an_authoritys_key_file_may_stay_outside_its_profile(founded):
    founded.admit("ke", "kenya")
    made = founded.init(POLICE)
    founded.cli.run("approve", made["request"], "--key", founded.folder / "kenya.key", "--yes", home="g1")
    assert founded.broker.state.directory.endpoint(POLICE) is not None


def test_a_further_instance_shares_the_sealing_key(founded):
    founded.decide("policy", "--default")
    founded.admit("ke", "kenya")
    founded.admit("ug", "uganda")
    founded.enrol(POLICE, "kenya")
    founded.enrol(KAMPALA, "uganda")
    cli = founded.cli
    args = ("init", "--address", KAMPALA, "--broker", URL, "--trust", founded.trust, "--further-instance")
    assert "key export --use sealing" in cli.run(*args, home="desk", code=2).stderr
    cli.run("key", "export", "--use", "sealing", "--out", founded.folder / "sealing.key", home=KAMPALA)
    made = cli.json(*args, "--with-key", founded.folder / "sealing.key", "--holder", "desk-2", home="desk")
    assert {k["use"] for k in made["keys"]} == {"instance", "sealing"}
    draft = founded.folder / "keys.draft"
    cli.run(
        "draft", "keys", KAMPALA, "--add-instance", made["public_file"], "--holder", "desk-2", "-o", draft,
        home=KAMPALA,
    )  # fmt: skip
    cli.run("document", "sign", draft, "--use", "administrator", "--yes", home=KAMPALA)
    cli.run("document", "sign", draft, "--possession", "--yes", home="desk")
    cli.run("document", "publish", draft, home=KAMPALA)
    notice = cli.file("n.json", testing.sample_notice())
    cli.run("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", notice, home=POLICE)
    assert len(cli.json("inbox", "--accept", home="desk")["messages"]) == 1
    assert cli.json("inbox", home=KAMPALA)["messages"] == []


def test_a_sealing_key_is_rotated_with_overlap(founded):
    founded.decide("policy", "--default")
    founded.admit("ke", "kenya")
    founded.admit("ug", "uganda")
    founded.enrol(POLICE, "kenya")
    founded.enrol(KAMPALA, "uganda")
    cli, new, draft = founded.cli, founded.folder / "new.key", founded.folder / "keys.draft"
    notice = cli.file("n.json", testing.sample_notice())
    to_kampala = ("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", notice)
    cli.run(*to_kampala, home=POLICE)
    cli.run("key", "new", "--use", "sealing", "--out", new)
    cli.run("key", "add", new, home=KAMPALA)
    cli.run(
        "draft", "keys", KAMPALA, "--sealing", f"{new}.pub", "--overlap-days", "30", "-o", draft, home=KAMPALA
    )
    cli.run("document", "sign", draft, "--use", "administrator", "--yes", home=KAMPALA)
    cli.run("document", "publish", draft, home=KAMPALA)
    standing = {k["use"]: k["standing"] for k in cli.json("whoami", home=KAMPALA)["keys"]}
    assert standing["sealing"] == "in force"
    assert standing["sealing-old"].startswith("accepted until 2026-")
    founded.clock.advance(minutes=2)
    cli.run(*to_kampala, home=POLICE)
    read = cli.json("inbox", home=KAMPALA)
    assert (len(read["messages"]), read["rejected"]) == (2, [])


@pytest.mark.parametrize(
    ("option", "value"), [("--address", "nairobi"), ("--broker", "broker.test"), ("--broker", "ftp://x")]
)
def test_a_profile_with_wrong_arguments_is_not_made(founded, option, value):
    arguments = {"--address": POLICE, "--broker": URL, "--trust": str(founded.trust)} | {option: value}
    founded.cli.run("init", *(a for pair in arguments.items() for a in pair), home="p", code=1)
    assert not (founded.folder / "p").exists()


def test_a_trust_file_that_is_none(founded):
    for data in (b"", b"junk", (founded.folder / "founding.draft").read_bytes()):
        path = founded.folder / "x.trust"
        path.write_bytes(data)
        founded.cli.run("init", "--address", POLICE, "--broker", URL, "--trust", path, home="p", code=1)
    assert not (founded.folder / "p").exists()
