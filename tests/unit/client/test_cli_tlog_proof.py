"""`countermark tlog-proof`: the file is exactly C2SP's, and verifies with a profile, with a key alone, and by hand."""

import base64
import hashlib
import json

import pytest

from countermark_client import Client, testing
from countermark_protocol.note import NoteKey, encode_vkey
from countermark_protocol.tlog_proof import encode_tlog_proof, parse_tlog_proof
from support.cli import PASSPHRASE, cli_for
from support.world import signer

POLICE, KAMPALA = "ke.police.nairobi", "ug.police.kampala"


@pytest.fixture
def world():
    return testing.world(POLICE, KAMPALA)


@pytest.fixture
def cli(world, tmp_path):
    for address in (POLICE, KAMPALA):
        world.profile(address, folder=tmp_path / address).close()
    return cli_for(world, tmp_path)


@pytest.fixture
def proof(cli):
    """A message of several, its proof and its document: (hash, path, path)."""
    lines = "\n".join(json.dumps(testing.sample_notice(f"KE-{i}")) for i in range(5))
    path = cli.file("n.jsonl", lines)
    sent = cli.json("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", path, home=POLICE)
    digest = sent["messages"][2]["message"]
    cli.run("inbox", "--accept", home=KAMPALA)
    out, document = cli.folder / "m.tlog-proof", cli.folder / "m.document"
    told = cli.json("tlog-proof", "make", digest, "-o", out, "--document", document, home=POLICE)
    assert (told["file"], told["message"]) == (str(out), digest)
    return digest, out, document


@pytest.fixture
def vkey(cli, proof):
    size = parse_tlog_proof(proof[1].read_bytes()).checkpoint.size
    with Client.open(cli.folder / POLICE, PASSPHRASE) as client:
        return encode_vkey(NoteKey(client.profile.log, client.directory.log_key_for(size)))


def test_by_hand_from_the_specification_alone(proof):
    """RFC 6962's path, step by step, over the lines of the file."""
    _, out, _ = proof
    head, checkpoint = out.read_bytes().split(b"\n\n", 1)
    first, extra, index, *path = head.decode().split("\n")
    assert first == "c2sp.org/tlog-proof@v1"
    leaf = base64.b64decode(extra.removeprefix("extra "), validate=True)
    at, (_, size, root, *_) = int(index.removeprefix("index ")), checkpoint.decode().split("\n")
    node, last = hashlib.sha256(b"\x00" + leaf).digest(), int(size) - 1
    assert len(leaf) == 115
    assert path
    for line in path:
        sibling = base64.b64decode(line, validate=True)
        if at % 2 or at == last:
            node = hashlib.sha256(b"\x01" + sibling + node).digest()
            while at % 2 == 0 and at:
                at, last = at >> 1, last >> 1
        else:
            node = hashlib.sha256(b"\x01" + node + sibling).digest()
        at, last = at >> 1, last >> 1
    assert last == 0
    assert node == base64.b64decode(root)


@pytest.mark.parametrize("who", [POLICE, KAMPALA])
def test_it_verifies_with_a_profile(cli, proof, who):
    _, out, document = proof
    told = cli.json("tlog-proof", "verify", out, "--document", document, home=who)
    assert (told["kind"], told["document_compared"]) == ("message", True)
    assert told["index"] < told["size"]
    shown = cli.run("tlog-proof", "verify", out, home=who).stdout
    assert "none given to compare" in shown
    assert told["statement"] in shown


def test_a_recipient_makes_one_too(cli, proof):
    digest, _, document = proof
    out, other = cli.folder / "k.tlog-proof", cli.folder / "k.document"
    cli.run("tlog-proof", "make", digest[:12], "-o", out, "--document", other, home=KAMPALA)
    assert other.read_bytes() == document.read_bytes()
    cli.run("tlog-proof", "verify", out, "--document", document, home=POLICE)


def test_it_verifies_with_a_key_and_no_profile(cli, proof, vkey):
    _, out, document = proof
    told = cli.json("tlog-proof", "verify", out, "--document", document, "--vkey", vkey, home="nowhere")
    assert told["document_compared"]
    name = vkey.split("+", maxsplit=1)[0]
    other = NoteKey(name, signer("nobody").public_key)
    other_name = NoteKey("log.example.net/2", other.public_key)
    for key, code in ((other, "signature_missing"), (other_name, "checkpoint_origin")):
        told = cli.json("tlog-proof", "verify", out, "--vkey", encode_vkey(key), home="nowhere", code=1)
        assert told["error"]["code"] == code


def test_what_does_not_prove_is_refused(cli, proof, vkey):
    _, out, document = proof
    good = parse_tlog_proof(out.read_bytes())

    def refused(code, data, *more):
        path = cli.folder / "bad.tlog-proof"
        path.write_bytes(data)
        told = cli.json("tlog-proof", "verify", path, *more, "--vkey", vkey, home="nowhere", code=1)
        assert told["error"]["code"] == code

    raw = good.checkpoint.raw
    leaf = bytearray(good.extra)
    leaf[-1] ^= 1
    refused("inclusion_mismatch", encode_tlog_proof(good.index, good.path, raw, bytes(leaf)))
    refused("inclusion_mismatch", encode_tlog_proof(good.index ^ 1, good.path, raw, good.extra))
    refused("no_leaf", encode_tlog_proof(good.index, good.path, raw))
    refused("truncated", encode_tlog_proof(good.index, good.path, raw, good.extra[:-1]))
    refused("bad_signature", encode_tlog_proof(good.index, good.path, flip_signature(raw), good.extra))
    refused("not_decimal", out.read_bytes().replace(b"index ", b"index  "), "--document", document)
    refused("bad_tlog_proof", out.read_bytes().replace(b"@v1", b"@v2"))
    refused("proof_too_large", bytes(5_000_000))
    path = cli.file("o.json", testing.sample_notice("KE-9"))
    sent = cli.json("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", path, home=POLICE)
    digest, other = sent["messages"][0]["message"], cli.folder / "other.document"
    cli.run("tlog-proof", "make", digest, "-o", cli.folder / "o", "--document", other, home=POLICE)
    refused("leaf_mismatch", out.read_bytes(), "--document", other)


def flip_signature(raw):
    head, _, line = raw.rstrip(b"\n").rpartition(b" ")
    data = bytearray(base64.b64decode(line))
    data[-1] ^= 1
    return head + b" " + base64.b64encode(data) + b"\n"


def test_what_is_not_there_is_told(cli, proof):
    told = cli.json("tlog-proof", "make", "ab" * 32, "-o", cli.folder / "x", home=POLICE, code=1)
    assert told["error"]["code"] == "unknown_message"
    _, out, _ = proof
    cli.run("tlog-proof", "make", proof[0], "-o", out, home=POLICE, code=2)
