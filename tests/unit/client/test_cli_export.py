"""`countermark export`: the bundle verifies under the independent script, and holds no private key."""

import copy
import importlib.util
import json
from pathlib import Path

import pytest

from countermark_client import testing
from countermark_protocol.encoding import encode_base64url
from support.cli import PASSPHRASE, cli_for

POLICE, KAMPALA, MOMBASA = "ke.police.nairobi", "ug.police.kampala", "ke.customs.mombasa"
SCRIPT = Path(__file__).parents[2] / "vectors" / "verify_independently.py"


@pytest.fixture
def world():
    world = testing.world(POLICE, KAMPALA, MOMBASA)
    world.revoke_instance(MOMBASA)  # something is revoked, so that absence is not the absence of everything
    return world


@pytest.fixture
def cli(world, tmp_path):
    for address in (POLICE, KAMPALA):
        world.profile(address, folder=tmp_path / address).close()
    return cli_for(world, tmp_path)


def script():
    """The independent script."""
    spec = importlib.util.spec_from_file_location("verify_independently", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def verify(bundle):
    """Run the script over a received message's bundle."""
    return script().check_bundle(copy.deepcopy(bundle))


def exchange(cli, count=3):
    """Several messages, so that neither box nor tree begins with the one exported; the last one's hash."""
    lines = "\n".join(json.dumps(testing.sample_notice(f"KE-{i}")) for i in range(count))
    path = cli.file("n.jsonl", lines)
    sent = cli.json("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", path, home=POLICE)
    cli.run("inbox", "--accept", home=KAMPALA)
    return sent["messages"][-1]["message"]


def export(cli, digest, who, **kwargs):
    out = cli.folder / f"{who}.json"
    cli.run("export", digest[:12], "-o", out, home=who, **kwargs)
    return json.loads(out.read_text())


def test_a_recipients_bundle_verifies_from_the_fingerprint_to_the_content(cli, world):
    bundle = export(cli, exchange(cli), KAMPALA)
    assert verify(bundle) == bundle["expected"] == testing.sample_notice("KE-2")
    assert bundle["recipient"]["box"]["count"] == 2
    # Later changes of the directory do not matter: it is shown as it was at the message's own leaf.
    world.suspend(POLICE)
    cli.run("verify", home=KAMPALA)
    (cli.folder / f"{KAMPALA}.json").unlink()
    again = export(cli, json_hash(bundle), KAMPALA)
    assert verify(again) == bundle["expected"]


def test_files_that_were_attached_are_compared_by_the_script(cli):
    exchange(cli, 1)
    report = cli.file("report.txt", "left side: A 123456\n")
    path = cli.file("n.json", testing.sample_notice("KE-9"))
    sent = cli.json(
        *("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", path), "--attach", report, home=POLICE
    )
    cli.run("inbox", "--accept", home=KAMPALA)
    bundle = export(cli, sent["messages"][0]["message"], KAMPALA)
    check = script()
    assert check.check_bundle(bundle, {0: report.read_bytes()}) == testing.sample_notice("KE-9")
    for files in ({0: b"left side: A 123457\n"}, {1: report.read_bytes()}):
        with pytest.raises(check.BROKEN):
            check.check_bundle(bundle, files)


def test_a_log_whose_governance_changed(cli, world):
    for names in (("east", "west"), ("east", "north")):
        world.appoint_witnesses(*names, quorum=1)
    world.cosign("east")
    bundle = export(cli, exchange(cli), KAMPALA)
    assert verify(bundle) == bundle["expected"]
    changed = copy.deepcopy(bundle)
    (shown,) = [d for d in changed["directory"] if d["subject"] == "log"]
    assert len(shown["before"]) == 2
    for before in ([], shown["before"][:1], shown["before"][::-1], [*shown["before"], shown["document"]]):
        shown["before"] = before
        check = script()
        with pytest.raises(check.BROKEN, match=r"founding|governance"):
            check.check_bundle(copy.deepcopy(changed))


def json_hash(bundle):
    """The message's hash, as the script computes it."""
    check = script()
    data = check.b64(bundle["message"]["document"])
    return check.H("payload", data[5 : 5 + int.from_bytes(data[1:5], "big")]).hex()


@pytest.mark.parametrize(
    "path",
    [
        ("message", "inclusion", "index"),
        ("message", "content"),
        ("message", "document"),
        ("recipient", "stanza"),
        ("recipient", "row", "salt"),
        ("recipient", "delivery", "tail", "position"),
        ("recipient", "box", "head"),
        ("secrets", "content_key"),
        ("secrets", "opener"),
        ("trust",),
        ("checkpoint",),
        ("absent", 0, "siblings", 0),
        ("directory", 3, "siblings", 0),
        ("directory", 2, "document"),
        ("expected", "nationalCaseRef"),
    ],
)
def test_a_bundle_with_one_thing_changed_does_not_verify(cli, path):
    bundle = export(cli, exchange(cli, 2), KAMPALA)
    verify(bundle)
    *way, last = path
    node = bundle
    for step in way:
        node = node[step]
    node[last] = changed(node[last])
    with pytest.raises(Exception) as caught:
        verify(bundle)
    assert type(caught.value).__name__ in {kind.__name__ for kind in script().BROKEN}


def changed(value):
    if isinstance(value, int):
        return value + 1
    middle = len(value) // 2
    return value[:middle] + ("1" if value[middle] != "1" else "2") + value[middle + 1 :]


@pytest.mark.parametrize("who", [POLICE, KAMPALA])
def test_no_private_key_of_anybody_is_in_it(cli, world, who):
    digest = exchange(cli)
    text = json.dumps(export(cli, digest, who))
    assert (cli.folder / f"{who}.json").stat().st_mode & 0o777 == 0o600
    assert PASSPHRASE not in text
    for address in (POLICE, KAMPALA):
        for stored in world.keystore(address).stored:
            assert stored.private.hex() not in text
            assert encode_base64url(stored.private) not in text
    cli.run("export", digest, "-o", cli.folder / f"{who}.json", home=who, code=2)


def test_a_senders_bundle_shows_all_recipients_and_deliveries(cli):
    digest = exchange(cli)
    bundle = export(cli, digest, POLICE)
    check = script()
    assert json_hash(bundle) == digest
    assert "recipient" not in bundle
    rows = bundle["message"]["deliveries"]["rows"]
    leaf = check.read_leaf(check.b64(bundle["message"]["inclusion"]["leaf"]))
    assert (
        check.tree_root([check.leaf_hash(d) for d in sorted(map(check.row_digest, rows))]) == leaf["delivery"]
    )
    assert [r["endpoint"] for r in bundle["message"]["recipients"]] == [KAMPALA]
    assert bundle["expected"] == testing.sample_notice("KE-2")


def test_what_is_not_in_the_log_or_not_read_is_not_exported(cli, world):
    cli.run("whoami", home=POLICE)
    world.transport.cut = ["before"]
    path = cli.file("n.json", testing.sample_notice())
    args = ("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", path)
    [waiting] = cli.json(*args, home=POLICE, code=3)["kept_in_outbox"]
    out = cli.folder / "b.json"
    assert cli.json("export", waiting, "-o", out, home=POLICE, code=1)["error"]["code"] == "not_logged"
    cli.run("flush", home=POLICE)
    cli.run("verify", home=KAMPALA)
    assert cli.json("export", waiting, "-o", out, home=KAMPALA, code=1)["error"]["code"] == "not_opened"
    unknown = cli.json("export", "0" * 64, "-o", out, home=POLICE, code=1)["error"]
    assert unknown["code"] == "unknown_message"
    assert not out.exists()


def test_a_broker_that_shows_another_entry_is_not_believed(cli, world):
    digest = exchange(cli)
    world.broker.intercept = lambda exchange, answer: (
        (answer[0], answer[1], b'{"checkpoint":"","entries":[]}') if "/boxes/" in exchange.path else answer
    )
    out = cli.folder / "b.json"
    assert "error" in cli.json("export", digest, "-o", out, home=KAMPALA, code=1)
    assert not out.exists()


def test_what_witnesses_say_of_it_is_shown_and_verified(cli, world):
    world.appoint_witnesses("east", "west", "north", quorum=2)
    world.cosign("east", "west")
    digest = exchange(cli)
    for who in (POLICE, KAMPALA):
        assert "witnessed" not in export(cli, digest, who)  # the tree that they saw has not got it
        (cli.folder / f"{who}.json").unlink()
    world.cosign("east", "north")
    bundle = export(cli, digest, KAMPALA)
    assert verify(bundle) == bundle["expected"]
    verifier = script()
    shown = bundle["witnessed"]
    other = [h[:-1] + ("0" if h[-1] != "0" else "1") for h in shown["path"][:1]]
    for spoilt in (
        {"checkpoint": bundle["checkpoint"]},
        {"path": [*other, *shown["path"][1:]]},
        {"path": shown["path"][:-1]},
        {"checkpoint": shown["checkpoint"].rpartition("\u2014")[0]},
    ):
        with pytest.raises(verifier.BROKEN):
            verifier.check_bundle({**bundle, "witnessed": {**shown, **spoilt}})


def test_witnesses_that_were_named_later_are_not_shown(cli, world):
    """The bundle shows the directory of the message's own leaf: it says nothing of them."""
    digest = exchange(cli)
    world.appoint_witnesses("east", quorum=1)
    world.cosign("east")
    bundle = export(cli, digest, KAMPALA)
    assert "witnessed" not in bundle
    assert verify(bundle) == bundle["expected"]


async def test_a_program_asks_what_witnesses_have_seen(world):
    world.appoint_witnesses("east", quorum=1)
    world.cosign("east")
    client = world.client(POLICE)
    sent = client.send("lost-or-stolen-notice", testing.sample_notice("KE-1"), to=[KAMPALA])
    assert client.witnessed_proof(sent.index) is None
    world.cosign("east")
    async with world.async_client(client.profile) as other:
        witnessed, inclusion = await other.witnessed_proof(sent.index)
    assert (inclusion.index, witnessed.witnesses) == (sent.index, ("east",))
    assert client.witnessed_proof(sent.index) == (witnessed, inclusion)
