"""`countermark hand-back`: what a sender has kept from an entry on, and nothing that it has not."""

import pytest

from countermark_client import Attach, Profile, testing
from countermark_client._hand_back import hand_back
from countermark_client.audit import Mirror, hand_back_tail
from countermark_protocol.claims import Kind
from countermark_protocol.errors import NotFoundError
from countermark_protocol.hand_back import (
    HandBackFrame,
    parse_hand_back_header,
    parse_held_statement,
    parse_kept_entry,
    read_hand_back,
)
from countermark_protocol.recipients import stanza_hash
from countermark_protocol.submission import parse_submission
from support.cli import PASSPHRASE, cli_for

KENYA, BELGIUM = "ke.police.nairobi", "be.contact.federal"


@pytest.fixture
def world():
    return testing.world(KENYA, BELGIUM)


@pytest.fixture
def cli(world, tmp_path):
    for address in (KENYA, BELGIUM):
        world.profile(address, folder=tmp_path / address).close()
    return cli_for(world, tmp_path)


@pytest.fixture
def sent(cli):
    """Two messages, both accepted: what `send` told of each."""
    out = []
    for case in ("1", "2"):
        path = cli.file("request.json", testing.sample_request(case))
        out.append(cli.json("send", "tracing-request", "--to", BELGIUM, "--file", path, home=KENYA))
        cli.run("inbox", "--accept", home=BELGIUM)
    return [one["messages"][0] if "messages" in one else one for one in out]


def frames(path):
    with path.open("rb") as file:
        return list(read_hand_back(file.read))


def test_everything_from_an_entry_on_is_written_with_its_proof(world, cli, sent, tmp_path):
    first = sent[1]["index"]
    told = cli.json("hand-back", "--since", first, "-o", tmp_path / "out", home=KENYA)
    assert (told["statements"], told["pruned"], told["copies"]) == (1, 0, 0)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600
    (kind, header), (other, held) = frames(tmp_path / "out")
    assert (kind, other) == (HandBackFrame.HEADER, HandBackFrame.HELD)
    assert parse_hand_back_header(header).holder == KENYA
    statement = parse_held_statement(held)
    assert statement.index == first
    assert parse_submission(statement.body).document.payload_hash.hex() == sent[1]["message"]
    assert statement.proof.inclusion.leaf == world.broker.entries[first].leaf.encode()
    # Receipts of the recipient, by index.
    told = cli.json("hand-back", "--since", 0, "-o", tmp_path / "receipts", home=BELGIUM)
    written = frames(tmp_path / "receipts")[1:]
    indexes = [parse_held_statement(data).index for kind, data in written if kind is HandBackFrame.HELD]
    assert indexes == sorted(indexes)
    assert told["statements"] == len(indexes) == 4
    # What it received, with stanza and content, and the whole directory.
    copies = {
        c.index: c for kind, data in written if kind is HandBackFrame.KEPT for c in [parse_kept_entry(data)]
    }
    directory = {e.index for e in world.broker.entries if e.leaf.delivery == bytes(32)}
    assert set(copies) == directory | {one["index"] for one in sent}
    assert told["copies"] == len(copies)
    for copy in copies.values():
        entry = world.broker.entries[copy.index]
        assert (copy.leaf, copy.document) == (entry.leaf.encode(), entry.document.data)
    received = copies[first]
    assert [row.endpoint for row in received.rows] == [BELGIUM]
    assert stanza_hash(received.stanzas[0]) == received.rows[0].stanza
    assert received.content == parse_submission(statement.body).content
    assert received.proof.inclusion.leaf == received.leaf


def test_lists_of_pieces_are_handed_back_by_who_has_fetched_them(world, tmp_path):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    attached = [Attach(b"left", name="left"), Attach(b"right", name="right")]
    kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM], attachments=attached)
    [received] = belgium.inbox()
    belgium.hold_attachment(received, 1)
    hand_back(belgium.profile, received.index, tmp_path / "out", world.clock())
    [copy] = [
        c
        for kind, data in frames(tmp_path / "out")
        if kind is HandBackFrame.KEPT and (c := parse_kept_entry(data)).index == received.index
    ]
    lists = world.broker._submissions[received.message].pieces
    assert copy.pieces == ((), lists[1])


def test_notices_are_handed_back_with_their_proofs(world, cli, sent, tmp_path):
    cli.run("notices", home=KENYA)
    cli.json("hand-back", "--since", sent[0]["index"], "-o", tmp_path / "out", home=KENYA)
    copies = [parse_kept_entry(d) for kind, d in frames(tmp_path / "out") if kind is HandBackFrame.KEPT]
    assert [c.index for c in copies] == [
        e.index for e in world.broker.entries if e.leaf.kind == Kind.RECEIPT and e.index > sent[0]["index"]
    ]
    assert all(c.proof is not None and not c.rows for c in copies)


def test_what_is_not_kept_any_more_is_counted(world, cli, sent, tmp_path):
    world.clock.advance(days=31)
    client = world.client(Profile.open(tmp_path / KENYA, PASSPHRASE))
    client._core.sender.outbox.prune()
    client.profile.close()
    told = cli.json("hand-back", "--since", sent[0]["index"], "-o", tmp_path / "out", home=KENYA)
    assert (told["statements"], told["pruned"], told["copies"]) == (0, 2, 2)
    # Its stanzas are gone; manifest, rows, content and proof are not.
    copies = [parse_kept_entry(data) for _, data in frames(tmp_path / "out")[1:]]
    assert [c.index for c in copies] == [one["index"] for one in sent]
    for copy in copies:
        assert copy.document == world.broker.entries[copy.index].document.data
        assert ([r.endpoint for r in copy.rows], copy.stanzas) == ([BELGIUM], (b"",))
        assert copy.content is not None


def test_a_file_is_never_overwritten(cli, sent, tmp_path):
    (tmp_path / "out").write_bytes(b"mine")
    ended = cli.run("hand-back", "--since", 0, "-o", tmp_path / "out", home=KENYA, code=1)
    assert "[file_exists]" in ended.stderr
    assert (tmp_path / "out").read_bytes() == b"mine"


def test_a_national_mirror_has_no_secrets(tmp_path):
    mirror = Mirror(None)
    mirror.belongs_to("log.example.org/one", b"", "ke.auditor.national", "national")
    with pytest.raises(NotFoundError) as refused:
        hand_back_tail(mirror, 0, tmp_path / "out", 0)
    mirror.close()
    assert refused.value.code == "no_secrets"
    assert not (tmp_path / "out").exists()
