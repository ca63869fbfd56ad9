"""`countermark key`, `document`, `draft`: files that pass from hand to hand."""

import json

import pytest

from countermark_client import MemoryKeystore, Profile, testing
from countermark_client._keystore import load_key_file
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.keys import Algorithm
from support.cli import PASSPHRASE, cli_for

NAIROBI, MOMBASA = "ke.police.nairobi", "ke.customs.mombasa"


@pytest.fixture
def world():
    return testing.world(NAIROBI)


@pytest.fixture
def cli(world, tmp_path):
    return cli_for(world, tmp_path)


def principal_home(world, cli, name, use, signer):
    """A home whose key is one that the world made, so that it stands in the directory."""
    private = signer._private.private_bytes_raw()
    Profile.create(
        cli.folder / name,
        address=None,
        broker_url=world.url,
        trust=world.trust,
        passphrase=PASSPHRASE,
        keys=[StoredKey(use, Algorithm.ED25519, private)],
    ).close()


@pytest.fixture
def governor(world, cli):
    principal_home(world, cli, "governor", "governor", world._governor)
    return "governor"


@pytest.fixture
def authority(world, cli):
    principal_home(world, cli, "authority", "authority", world.authority("ke"))
    return "authority"


# --- keys ---


@pytest.mark.parametrize(
    ("use", "alg"),
    [("governor", "Ed25519"), ("authority", "ES256"), ("sealing", None), ("sealing", "ML-KEM-1024+P-384")],
)
def test_new_key_is_encrypted_and_its_public_half_stands_beside_it(cli, use, alg):
    path = cli.folder / "a.key"
    made = cli.json("key", "new", "--use", use, "--out", path, *(["--alg", alg] if alg else []))
    assert path.stat().st_mode & 0o777 == 0o600
    public = json.loads((cli.folder / "a.key.pub").read_text())
    assert public == {"alg": made["alg"], "pub": made["pub"]}
    assert made["alg"] == (alg or "ML-KEM-768+X25519")
    [stored] = load_key_file(path, PASSPHRASE).stored
    assert stored.use == use
    assert stored.private not in path.read_bytes()
    shown = cli.json("key", "show", path)
    assert [k["key_id"] for k in shown["keys"]] == [made["key_id"]]
    assert made["key_id"] in cli.run("key", "show", path).stdout


def test_a_key_file_is_never_written_over(cli):
    cli.run("key", "new", "--use", "governor", "--out", cli.folder / "a.key")
    before = (cli.folder / "a.key").read_bytes()
    result = cli.run("key", "new", "--use", "governor", "--out", cli.folder / "a.key", code=2)
    assert "exists" in result.stderr
    assert (cli.folder / "a.key").read_bytes() == before


def test_a_wrong_passphrase_is_told_with_what_to_do(cli):
    cli.run("key", "new", "--use", "governor", "--out", cli.folder / "a.key")
    result = cli.run("key", "show", cli.folder / "a.key", passphrase="other", code=1)
    assert result.stderr.startswith("error: the key file does not open")
    assert "hint: type it again" in result.stderr
    assert result.stdout == ""


def test_a_passphrase_comes_from_a_file_or_a_prompt_and_an_empty_one_is_refused(cli, monkeypatch):
    secret = cli.file("secret", "hush hush\n")
    cli.run("key", "new", "--use", "governor", "--out", cli.folder / "a.key", "--passphrase-file", secret)
    assert load_key_file(cli.folder / "a.key", "hush hush").stored
    cli.run("key", "new", "--use", "governor", "--out", cli.folder / "b.key", passphrase="", code=1)
    assert not (cli.folder / "b.key").exists()


def test_without_a_passphrase_and_nobody_to_ask_it_is_a_usage_error(cli):
    result = cli.run(
        "key", "new", "--use", "governor", "--out", cli.folder / "a.key", passphrase=None, code=2
    )
    assert "COUNTERMARK_PASSPHRASE" in result.stderr
    assert not (cli.folder / "a.key").exists()


def test_a_prompt_asks_twice_for_a_new_passphrase_and_shows_nothing(cli):
    path = cli.folder / "a.key"
    result = cli.run("key", "new", "--use", "governor", "--out", path, passphrase=None, stdin="a1b2\na1b2\n")
    assert "a1b2" not in result.stdout + result.stderr
    assert load_key_file(path, "a1b2").stored


@pytest.mark.parametrize(("use", "alg"), [("sealing", "ES256"), ("instance", "ML-KEM-1024+P-384")])
def test_sealing_keys_and_signing_keys_have_algorithms_of_their_own(cli, use, alg):
    result = cli.run("key", "new", "--use", use, "--alg", alg, "--out", cli.folder / "a.key", code=2)
    assert f"got --alg {alg}" in result.stderr
    assert not (cli.folder / "a.key").exists()


def test_keys_are_added_to_a_profile_and_exported_from_it(world, cli):
    world.profile(NAIROBI, folder=cli.folder / "home").close()
    cli.run("key", "new", "--use", "sealing", "--out", cli.folder / "new.key")
    [new] = cli.json("key", "show", cli.folder / "new.key")["keys"]
    assert [k["key_id"] for k in cli.json("key", "add", cli.folder / "new.key")["added"]] == [new["key_id"]]
    assert cli.json("key", "add", cli.folder / "new.key")["added"] == []
    with_old = cli.json("whoami")["keys"]
    assert {k["use"] for k in with_old} == {"administrator", "instance", "sealing", "sealing-old"}
    # The key that the directory names is still the one before.
    standing = {k["use"]: k["standing"] for k in with_old}
    assert (standing["sealing"], standing["sealing-old"]) == ("not in the directory", "in force")
    cli.run("key", "export", "--use", "sealing", "--out", cli.folder / "out.key")
    assert isinstance(load_key_file(cli.folder / "out.key", PASSPHRASE), MemoryKeystore)
    assert [k["key_id"] for k in cli.json("key", "show", cli.folder / "out.key")["keys"]] == [new["key_id"]]
    cli.run("key", "export", "--use", "governor", "--out", cli.folder / "none.key", code=1)


# --- drafting, signing, publishing ---


def test_a_governor_suspends_an_authority_and_takes_it_back(world, cli, governor):
    world.authority("be")
    draft = cli.folder / "be.draft"
    told = cli.json("draft", "authority", "be", "--suspend", "-o", draft, home=governor)
    assert (told["kind"], told["subject"], told["complete"]) == ("authority", "authority/be", False)
    assert told["principal"] == {
        "threshold": 1,
        "signed": 0,
        "may_sign": [world._governor.public_key.key_id.hex()],
    }
    cli.run("document", "sign", draft, "--yes", home=governor)
    shown = cli.json("document", "show", draft, home=governor)
    assert shown["complete"] is True
    assert [s["verdict"] for s in shown["signatures"]] == ["verified"]
    assert shown["signatures"][0]["key_of"] == "log"
    published = cli.json("document", "publish", draft, home=governor)
    assert published == {"subject": "authority/be", "index": world.broker.state.size - 1}
    assert world.broker.state.directory.authority("be") is None
    back = cli.folder / "back.draft"
    cli.run("draft", "authority", "be", "--resume", "-o", back, home=governor)
    cli.run("document", "sign", back, "--yes", home=governor)
    cli.run("document", "publish", back, home=governor)
    assert world.broker.state.directory.authority("be") is not None


def test_signing_shows_the_document_and_asks(world, cli, governor):
    draft = cli.folder / "p.draft"
    cli.run("draft", "policy", "--default", "-o", draft, home=governor)
    before = draft.read_bytes()
    result = cli.run("document", "sign", draft, home=governor, stdin="n\n", code=2)
    assert "kind         policy" in result.stderr
    assert "trace-request" in result.stderr
    assert draft.read_bytes() == before
    cli.run("document", "sign", draft, home=governor, stdin="", code=2)
    assert draft.read_bytes() == before
    cli.run("document", "sign", draft, home=governor, stdin="y\n")
    assert draft.read_bytes() != before
    again = cli.run("document", "sign", draft, "--yes", home=governor, code=1)
    assert "has signed this document already" in again.stderr


def test_a_policy_of_ones_own(world, cli, governor):
    table = {"semantics": 1, "rules": []}
    cli.run("draft", "policy", "--file", cli.file("t.json", table), "-o", cli.folder / "p", home=governor)
    cli.run("document", "sign", cli.folder / "p", "--yes", home=governor)
    cli.run("document", "publish", cli.folder / "p", home=governor)
    assert world.broker.state.directory.policy().rules == ()
    bad = cli.file("bad.json", {"semantics": 3, "rules": []})
    refused = cli.run("draft", "policy", "--file", bad, "-o", cli.folder / "q", home=governor, code=1)
    assert "semantics 1" in refused.stderr
    cli.run("draft", "policy", "-o", cli.folder / "q", home=governor, code=2)


def test_signatures_gathered_apart_are_merged(world, cli, governor, authority):
    cli.run("key", "new", "--use", "authority", "--out", cli.folder / "second.key")
    draft = cli.folder / "ke.draft"
    cli.run(
        "draft", "authority", "ke", "--key", cli.folder / "second.key.pub", "--threshold", "2",
        "-o", draft, home=governor,
    )  # fmt: skip
    one, two, whole = (cli.folder / n for n in ("one", "two", "whole"))
    cli.run("document", "sign", draft, "--yes", "-o", one, home=governor)
    refused = cli.run("document", "publish", one, home=governor, code=1)
    assert "prove its possession" in refused.stderr
    assert "hint: let the holder of that key run" in refused.stderr
    cli.run("document", "sign", draft, "--key", cli.folder / "second.key", "--possession", "--yes", "-o", two)
    merged = cli.json("document", "merge", one, two, "-o", whole)
    assert len(merged["signed_by"]) == 2
    cli.run("document", "publish", whole, home=governor)
    assert world.broker.state.directory.authority("ke").keys.threshold == 2
    cli.run("document", "merge", one, "-o", cli.folder / "x", code=2)
    cli.run("draft", "group", "ke/g", "--title", "G", "-o", cli.folder / "g", home=authority)
    other = cli.run("document", "merge", one, cli.folder / "g", "-o", cli.folder / "x", code=1)
    assert "different documents" in other.stderr


def test_possession_is_proven_only_by_keys_that_the_document_names(cli, governor):
    cli.run("key", "new", "--use", "authority", "--out", cli.folder / "stranger.key")
    cli.run("draft", "policy", "--default", "-o", cli.folder / "p", home=governor)
    result = cli.run(
        "document",
        "sign",
        cli.folder / "p",
        "--key",
        cli.folder / "stranger.key",
        "--possession",
        "--yes",
        code=1,
    )
    assert "is not named in this document" in result.stderr


def test_publishing_with_the_trust_file_alone(world, cli, governor):
    draft = cli.folder / "p"
    cli.run("draft", "policy", "--default", "-o", draft, home=governor)
    trust = cli.folder / "founding.trust"
    trust.write_bytes(world.trust)
    somewhere = ("--broker", world.url, "--trust", trust)
    unsigned = cli.run("document", "publish", draft, *somewhere, home="nobody", code=1)
    assert "signature" in unsigned.stderr
    cli.run("document", "sign", draft, "--yes", home=governor)
    told = cli.json("document", "publish", draft, *somewhere, home="nobody")
    assert told["index"] == world.broker.state.size - 1
    # Again: the same entry.
    assert cli.json("document", "publish", draft, *somewhere, home="nobody") == told
    cli.run("document", "publish", draft, "--broker", world.url, home="nobody", code=2)
    world.transport.cut = ["before"]
    cli.run("document", "publish", draft, *somewhere, home="nobody", code=3)


def test_a_broker_that_proves_another_entry_is_not_believed(world, cli, governor):
    draft = cli.folder / "p"
    cli.run("draft", "policy", "--default", "-o", draft, home=governor)
    cli.run("document", "sign", draft, "--yes", home=governor)
    trust = cli.folder / "founding.trust"
    trust.write_bytes(world.trust)
    world.broker.intercept = lambda _exchange, answer: (
        answer[0],
        answer[1],
        answer[2].replace(b'"index":', b'"index":1'),
    )
    result = cli.run(
        "document", "publish", draft, "--broker", world.url, "--trust", trust, home="nobody", code=1
    )
    assert "error:" in result.stderr


def test_a_draft_that_something_else_overtook_is_refused_with_what_to_do(world, cli, governor):
    empty = cli.file("empty.json", {"semantics": 1, "rules": []})
    first, stale = cli.folder / "first", cli.folder / "stale"
    cli.run("draft", "policy", "--file", empty, "-o", first, home=governor)
    cli.run("draft", "policy", "--default", "-o", stale, home=governor)
    for draft in (first, stale):
        cli.run("document", "sign", draft, "--yes", home=governor)
    cli.run("document", "publish", first, home=governor)
    result = cli.run("document", "publish", stale, home=governor, code=1)
    assert "hint: draft it again" in result.stderr
    error = cli.json("document", "publish", stale, home=governor, code=1)["error"]
    assert error["code"] == "stale_statement"
    shown = cli.json("document", "show", stale, home=governor)
    assert shown["wanting"]["code"] == "stale_statement"


def test_an_authority_makes_a_group_and_an_administrator_changes_keys(world, cli, authority):
    group = cli.folder / "g.draft"
    cli.run("draft", "group", "ke/all", "--title", "All", "--add", NAIROBI, "-o", group, home=authority)
    cli.run("document", "sign", group, "--yes", home=authority)
    cli.run("document", "publish", group, home=authority)
    world.profile(NAIROBI, folder=cli.folder / "home").close()
    cli.run("key", "new", "--use", "instance", "--out", cli.folder / "desk.key")
    keys = cli.folder / "keys.draft"
    cli.run(
        "draft",
        "keys",
        NAIROBI,
        "--add-instance",
        cli.folder / "desk.key.pub",
        "--holder",
        "desk-2",
        "-o",
        keys,
    )
    ambiguous = cli.run("document", "sign", keys, "--yes", code=2)
    assert "--use administrator|instance" in ambiguous.stderr
    cli.run("document", "sign", keys, "--use", "administrator", "--yes")
    cli.run("document", "sign", keys, "--key", cli.folder / "desk.key", "--possession", "--yes")
    cli.run("document", "publish", keys)
    assert {k.holder for k in world.broker.state.directory.keys(NAIROBI).signing} == {"one", "desk-2"}
    revocation = cli.folder / "r.draft"
    cli.run(
        "draft", "revocation", cli.folder / "desk.key.pub", "--ground", "loss",
        "--compromised-at", "2026-03-01", "-o", revocation,
    )  # fmt: skip
    cli.run("document", "sign", revocation, "--use", "administrator", "--yes")
    cli.run("document", "publish", revocation)
    [record] = cli.json("directory", "revoked/")["records"]
    assert record["record"] == {"ground": "loss", "compromised_at": 1_772_323_200_000}
    for wrong in (["--sealing", cli.folder / "desk.key.pub"], ["--overlap-days", "3"], []):
        cli.run("draft", "keys", NAIROBI, *wrong, "-o", cli.folder / "k", code=2)


def test_governance_and_endpoint_drafts(world, cli, governor, authority):
    cli.run("key", "new", "--use", "governor", "--out", cli.folder / "g2.key")
    draft = cli.folder / "gov.draft"
    cli.run(
        "draft", "governance", "--add-governor", cli.folder / "g2.key.pub", "--quorum", "2",
        "--grace-minutes", "3", "-o", draft, home=governor,
    )  # fmt: skip
    cli.run("document", "sign", draft, "--yes", home=governor)
    cli.run("document", "sign", draft, "--key", cli.folder / "g2.key", "--possession", "--yes")
    cli.run("document", "publish", draft, home=governor)
    log = world.broker.state.directory.log()
    assert (log.governors.threshold, log.undelivered_grace) == (2, 180_000)
    ep = cli.folder / "ep.draft"
    cli.run("draft", "endpoint", NAIROBI, "--suspend", "-o", ep, home=authority)
    both = cli.run(
        "draft", "endpoint", NAIROBI, "--suspend", "--resume", "-o", cli.folder / "x", home=authority, code=2
    )
    assert "exclude each other" in both.stderr
    cli.run("document", "sign", ep, "--yes", home=authority)
    cli.run("document", "publish", ep, home=authority)
    assert world.broker.state.directory.endpoint(NAIROBI) is None
    lacking = cli.run("draft", "endpoint", MOMBASA, "-o", cli.folder / "y", home=authority, code=1)
    assert "its first one needs a key" in lacking.stderr


def test_showing_a_document_without_a_profile(world, cli):
    trust = cli.folder / "founding.trust"
    trust.write_bytes(world.trust)
    shown = cli.json("document", "show", trust)
    assert (shown["kind"], shown["subject"], shown["complete"]) == ("founding", "log", True)
    assert {s["verdict"] for s in shown["signatures"]} == {"verified"}
    assert cli.run("document", "show", trust).stdout.count("verified") == 3
    spoilt = bytearray(world.trust)
    spoilt[-1] ^= 1
    trust.write_bytes(bytes(spoilt))
    shown = cli.json("document", "show", trust)
    assert shown["complete"] is False
    assert any(s["verdict"].startswith("DOES NOT VERIFY") for s in shown["signatures"])


@pytest.mark.parametrize("data", [b"", b"x" * 40, b"\x01\x00\x00\x00\x02{}\x00"])
def test_a_file_that_is_no_document(cli, data):
    path = cli.folder / "x"
    path.write_bytes(data)
    result = cli.run("document", "show", path, code=1)
    assert result.stderr.startswith("error: ")
    assert "hint: " in result.stderr


# --- pairs ---


def test_a_pair_is_one_key_in_its_file_and_its_public_half_names_both(cli):
    made = cli.json(
        "key", "new", "--use", "governor", "--second", "--alg", "ES256", "--out", cli.folder / "a.key"
    )
    public = json.loads((cli.folder / "a.key.pub").read_text())
    assert public == {name: made[name] for name in ("alg", "pub", "second")}
    assert public["second"]["alg"] == "ML-DSA-65"
    assert "ES256 and ML-DSA-65" in cli.run("key", "show", cli.folder / "a.key").stdout
    [stored] = load_key_file(cli.folder / "a.key", PASSPHRASE).stored
    assert stored.private != stored.second
    cli.run("key", "new", "--use", "sealing", "--second", "--out", cli.folder / "b.key", code=2)


def test_a_pair_signs_and_every_signature_of_it_is_shown_as_verified(world, cli, authority):
    home = cli.folder / "ke.police.kisumu"
    trust = cli.folder / "founding.trust"
    trust.write_bytes(world.trust)
    made = cli.json(
        "init",
        "--address",
        "ke.police.kisumu",
        "--broker",
        world.url,
        "--trust",
        trust,
        "--second",
        home=home.name,
    )
    assert [("second" in k) for k in made["keys"]] == [k["use"] != "sealing" for k in made["keys"]]
    cli.run("approve", made["request"], "--fingerprint", made["request_fingerprint"], home="authority")
    cli.run("enrol", home=home.name)
    keys = {k["use"]: k["standing"] for k in cli.json("whoami", home=home.name)["keys"]}
    assert keys["instance"] == keys["administrator"] == "in force"
    renewed = cli.json("key", "renew", home=home.name)
    assert "second" in renewed["keys"][0]
    single = cli.json("key", "renew", "--no-second", "--request", cli.folder / "r.draft", home=home.name)
    assert "second" not in single["keys"][0]
    cli.run("document", "sign", cli.folder / "r.draft", "--use", "administrator", "--yes", home=home.name)
    shown = cli.json("document", "show", cli.folder / "r.draft", home=home.name)
    assert [s["verdict"] for s in shown["signatures"]] == ["verified"] * 3
    assert (shown["principal"]["signed"], shown["complete"]) == (1, True)
    cli.run("document", "publish", cli.folder / "r.draft", home=home.name)
