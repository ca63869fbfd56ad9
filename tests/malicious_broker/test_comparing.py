"""Two parties put together what each holds: `countermark holdings`, `compare`, and `evidence verify` of what is found."""

from __future__ import annotations

import contextlib
import copy
import json
from dataclasses import replace

import pytest

from countermark_client import Narrowing, testing
from countermark_protocol.accounts import Verdict, parse_account
from countermark_protocol.boxes import Box
from countermark_protocol.comparing import compare
from countermark_protocol.contradictions import (
    CLAIMS,
    Contradiction,
    encode_contradiction,
    parse_contradiction,
    verify_contradiction,
)
from countermark_protocol.documents import parse_document
from countermark_protocol.encoding import encode_base64url, encode_json, parse_base64url
from countermark_protocol.errors import CountermarkError
from countermark_protocol.holdings import HeldAccount, Holdings, encode_holdings, parse_holdings
from countermark_protocol.statements import kind_of
from malicious_broker.evidence import held_by
from malicious_broker.kit import BELGIUM, KENYA, MOMBASA, TANZANIA, malicious_world, send
from malicious_broker.verdicts import Act, silent
from support.cli import cli_for

STATEMENTS = Narrowing(documents=True)


@pytest.fixture
def scene():
    world, broker = malicious_world(KENYA, MOMBASA, BELGIUM, TANZANIA)
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    kenya.sync()
    belgium.sync()
    return world, broker, kenya, belgium


def received(client):
    return [r.message for r in client.inbox()]


def test_nothing_between_honest_parties(scene):
    world, _, kenya, belgium = scene
    act = Act("rewriting an entry", world)
    for _ in range(3):
        send(kenya)
        received(belgium)
    kenya.notices()
    kenya.sync_sent()
    sides = [held_by(kenya, STATEMENTS), held_by(belgium, STATEMENTS)]
    assert act.nothing_between(*sides) == belgium.checkpoint.size
    assert act.nothing_between(*reversed(sides)) == belgium.checkpoint.size


def test_two_logs(scene):
    """Neither notices anything; their checkpoints are of different sizes, and proofs show where they part."""
    world, broker, kenya, _ = scene
    act = Act("forking the log to two parties that compare what they hold", world)
    other = broker.fork()
    mombasa = other.serve(world, MOMBASA)
    for _ in range(2):
        send(kenya)
        send(mombasa, TANZANIA)
    send(mombasa, TANZANIA)
    act.nobody_notices(kenya.sync_sent, kenya.notices, mombasa.sync_sent, mombasa.notices)
    silent(kenya, mombasa)
    assert kenya.checkpoint.size != mombasa.checkpoint.size
    act.convince_together(held_by(kenya), held_by(mombasa), codes={"checkpoint_fork", "account_other_root"})


def test_two_logs_of_which_one_shows_its_tree_at_the_size_of_the_other(scene):
    """Two checkpoints alone cannot be compared; the log is asked for the leaf below the smaller one."""
    world, broker, kenya, belgium = scene
    act = Act("forking the log to two parties that compare what they hold", world)
    bare = Narrowing(boxes=frozenset({Box.NOTICES}), until=0)
    other = broker.fork()
    mombasa = other.serve(world, MOMBASA)
    send(kenya)
    world.enrol("tz.police.one")
    world.enrol("tz.police.two")
    kenya.sync()
    mombasa.sync()
    belgium.sync()
    send(mombasa, TANZANIA)
    mombasa.sync()
    small, large = held_by(mombasa, bare), held_by(kenya, bare)
    done = compare([small, large])
    assert (done.found, done.agreed) == ((), ((0, 1, 0),))
    sizes = [mombasa.checkpoint.size]
    asked = kenya.holdings(bare, sizes=sizes).holdings
    assert len(asked.entries) == 1
    act.convince_together(small, asked, codes={"checkpoint_fork"})
    # The honest twin: two sizes of one log, shown to be one.
    honest = belgium.holdings(bare, sizes=[large.entries[0].inclusion.index + 1] if large.entries else sizes)
    assert act.nothing_between(honest.holdings, asked) >= sizes[0]


def test_denied_to_one_worker_and_proven_to_another(scene):
    world, broker, kenya, _ = scene
    act = Act('saying "not held" of what another party has the proof of', world)
    sent = send(kenya)
    # Another worker of the endpoint asks what became of it.
    two = world.client(world.profile(KENYA, keystore=world.add_instance(KENYA)))
    two.sync()
    broker.denied = frozenset({sent.message})
    found = look_up(two, sent.message)
    assert found is None
    act.nobody_notices(kenya.notices, two.notices)
    silent(kenya, two)
    theirs, ours = held_by(two), held_by(kenya, STATEMENTS)
    assert [a.request is not None for a in theirs.accounts if verdict(a) is Verdict.NOT_HELD] == [True]
    act.convince_together(theirs, ours, codes={"not_held_contradicted"})
    assert compare([theirs, held_by(kenya)]).found == ()  # it takes the statement


def look_up(client, payload):
    """Ask for the proof of a statement of this endpoint, as a client does for what it does not know."""
    accounts = client._core.boxes._accounts
    return client._run(accounts.look_up(payload, client.profile.keystore.signer("instance")))


def verdict(held: HeldAccount):
    return parse_account(parse_document(held.document).claims).verdict


def test_denied_before_it_was_logged(scene):
    """The honest twin: a denial of what was logged after it."""
    world, _, kenya, _ = scene
    act = Act('saying "not held" of what another party has the proof of', world)
    two = world.client(world.profile(KENYA, keystore=world.add_instance(KENYA)))
    two.sync()
    draft = [item.payload for item in kenya.outbox()]
    assert draft == []
    assert look_up(two, b"\x07" * 32) is None
    send(kenya)
    assert act.nothing_between(held_by(two), held_by(kenya, STATEMENTS)) > 0


def test_undelivered_after_a_receipt_that_is_hidden(scene):
    """The sender is not shown the receipt, and told that its message was not delivered; the recipient has proof."""
    world, broker, kenya, belgium = scene
    act = Act("a false `undelivered`", world)
    sent = send(kenya)
    assert received(belgium)
    broker.withhold(KENYA, Box.NOTICES, 0)
    broker.state.boxes[KENYA, Box.NOTICES] = type(broker.state.boxes[KENYA, Box.NOTICES])()
    world.clock.advance(days=31)
    notice = undelivered(broker, sent)
    broker.append_without_deciding(notice)
    act.nobody_notices(kenya.notices)
    silent(kenya, belgium)
    belgium.sync()
    kenya.sync()
    # The receipt was put into the sender's box, and the account of that box omits it.
    beside = frozenset({"account_omits"})
    sides = held_by(kenya, STATEMENTS), held_by(belgium, STATEMENTS)
    act.convince_together(*sides, codes={"false_undelivered"}, beside=beside)


def undelivered(broker, sent):
    message = broker.state.messages[sent.message]
    return broker.sign_as_node(
        {
            "kind": "undelivered",
            "log": broker.origin,
            "seen": broker._seen().to_json(),
            "from": broker.state.directory.log().broker,
            "to": message.sender,
            "message": sent.message.hex(),
            "recipient": BELGIUM,
        }
    )


# --- files ---------------------------------------------------------------------------------------------


def test_holdings_hold_no_content_and_survive_a_file(scene):
    _, _, kenya, belgium = scene
    send(kenya)
    received(belgium)
    kenya.notices()
    for narrowing in (Narrowing(), STATEMENTS):
        for client in (kenya, belgium):
            held = held_by(client, narrowing)
            data = encode_holdings(held)
            read = parse_holdings(data)
            assert replace(read, checkpoints=()) == replace(held, checkpoints=())
            assert set(read.checkpoints) >= set(held.checkpoints)
            shown = [e.document for e in held.entries if e.document is not None]
            assert bool(shown) is narrowing.documents
            stored = client.profile.store.messages()[0]
            for secret in (stored.content, stored.stanza):
                assert secret is None or secret not in b"".join(shown)
    assert "no signed statements" in held_by(kenya).narrowed
    assert {str(kind_of(parse_document(d).claims)) for d in shown}


def test_a_file_that_does_not_hold_is_not_compared(scene):
    _, _, kenya, belgium = scene
    send(kenya)
    received(belgium)
    held = held_by(kenya)
    entry = held.entries[0]
    other = testing.world(KENYA)
    spoilt = {
        "bad_holdings": [
            replace(held, entries=(replace(entry, checkpoint=held_by(belgium).checkpoints[0]),)),
            replace(held, entries=(replace(entry, document=b"\x00"),)),
            replace(held, accounts=(HeldAccount(held.statements[0].document),)),
            replace(held, statements=held.statements[1:]),
            replace(held, statements=()),
        ],
        "not_evidence": [replace(held, log="other.test/log")],
        "other_founding": [held_by(other_client(other))],
    }
    for code, files in spoilt.items():
        for one in files:
            with pytest.raises(CountermarkError) as caught:
                compare([held_by(belgium), one])
            assert caught.value.code == code
    with pytest.raises(CountermarkError) as caught:
        compare([held], "0000 " * 8)
    assert caught.value.code == "other_fingerprint"


def other_client(world):
    client = world.client(KENYA)
    client.sync()
    return client


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ((b'"countermark-holdings-1"', b'"countermark-holdings-9"'), "unknown_version"),
        ((b'"countermark-holdings-1"', b'"something"'), "not_evidence"),
        ((b'"made_at"', b'"made"'), "missing_member"),
        ((b'"checkpoint":0', b'"checkpoint":99'), "bad_member"),
        ((b'"start":0', b'"start":1'), "bad_member"),
    ],
)
def test_a_file_that_is_none(scene, change, code):
    _, _, kenya, _ = scene
    send(kenya)
    data = encode_holdings(held_by(kenya))
    assert change[0] in data
    with pytest.raises(CountermarkError) as caught:
        parse_holdings(data.replace(*change, 1))
    assert caught.value.code == code


# --- commands ------------------------------------------------------------------------------------------


@pytest.fixture
def cli(tmp_path):
    world, broker = malicious_world(KENYA, BELGIUM)
    for address in (KENYA, BELGIUM):
        world.profile(address, folder=tmp_path / address).close()
    return world, broker, cli_for(world, tmp_path)


def posted(cli):
    path = cli.file("r.json", testing.sample_request())
    return cli.json("send", "tracing-request", "--to", BELGIUM, "--file", path, home=KENYA)["messages"][0]


def written(cli, address, *more):
    out = cli.folder / f"{address}-{len(more)}.holdings"
    return out, cli.json("holdings", "-o", out, *more, home=address)


def test_a_comparison_by_commands(cli):
    _, broker, cli = cli
    posted(cli)
    cli.run("inbox", home=BELGIUM)
    posted(cli)
    broker.withhold(BELGIUM, Box.ROUTINE, 1)
    broker.understate(BELGIUM, Box.ROUTINE, 1)
    cli.run("inbox", home=BELGIUM)
    ours, told = written(cli, KENYA)
    theirs, _ = written(cli, BELGIUM, "--box", "routine")
    assert ours.stat().st_mode & 0o777 == 0o600
    assert any(f"2 to {BELGIUM}" in line for line in told["discloses"])
    assert "no content, no stanza, no key" in told["discloses"]
    # Whoever compares has the files and nothing else.
    done = cli.json("compare", ours, theirs, "-o", cli.folder / "found", home="nobody", code=4, passphrase="")
    assert [one["claim"] for one in done["found"]] == ["account_omits"]
    assert done["compared"] is False
    assert [side["holder"] for side in done["sides"]] == [KENYA, BELGIUM]
    [file] = [one["file"] for one in done["found"]]
    proven = cli.json(
        "evidence", "verify", file, "--fingerprint", done["fingerprint"], home="a court", passphrase=""
    )
    assert proven["claim"] == "account_omits"
    assert BELGIUM in proven["says"]
    text = cli.run("evidence", "verify", file, home="a court", passphrase="").stdout
    assert "compare its fingerprint" in text
    other = cli.json(
        "evidence", "verify", file, "--fingerprint", "0" * 32, home="a court", code=1, passphrase=""
    )
    assert other["error"]["code"] == "other_fingerprint"


def test_nothing_found_says_what_was_compared(cli):
    world, broker, cli = cli
    posted(cli)
    cli.run("inbox", "--accept", home=BELGIUM)
    ours, _ = written(cli, KENYA, "--with", "be", "--statements")
    theirs, _ = written(cli, BELGIUM, "--against", ours)
    note = cli.file("checkpoint.txt", world.broker.checkpoint.decode())
    done = cli.json("compare", ours, theirs, note, home="nobody", passphrase="")
    assert done["found"] == []
    sizes = {(one["files"][0], one["files"][1]): one["size"] for one in done["agreed"]}
    assert sizes[str(ours), str(theirs)] > 0
    assert sizes[str(theirs), str(note)] == broker.state.size
    text = cli.run("compare", ours, theirs, home="nobody", passphrase="").stdout
    assert "nothing contradicts itself, in what these files show" in text
    assert "left out, it says: deliveries to be only" in text
    alone = cli.json("compare", note, home="nobody", code=1, passphrase="")
    assert alone["error"]["code"] == "not_evidence"


def test_what_a_profile_has_kept_is_the_file_that_convinces(cli):
    _, broker, cli = cli
    posted(cli)
    cli.run("inbox", home=BELGIUM)
    broker.understate(BELGIUM, Box.ROUTINE, 0)
    cli.run("inbox", home=BELGIUM, code=4)
    [kept] = cli.json("evidence", home=BELGIUM, code=4)["evidence"]
    assert kept["convinces"] is True
    text = cli.run("evidence", home=BELGIUM, code=4).stdout
    assert "convinces a third party: hand over" in text
    file = f"{kept['folder']}/contradiction.json"
    assert (
        cli.json("evidence", "verify", file, home="a court", passphrase="")["claim"] == "account_contradicted"
    )
    cli.run("evidence", "verify", file, "--pdf", cli.folder / "x.pdf", home="a court", code=2, passphrase="")


def test_what_convinces_nobody_is_an_alarm(cli):
    _, broker, cli = cli
    posted(cli)
    broker.withhold(BELGIUM, Box.ROUTINE, 0)
    cli.run("inbox", home=BELGIUM, code=4)
    [kept] = cli.json("evidence", home=BELGIUM, code=4)["evidence"]
    assert kept["convinces"] is False
    assert "an alarm" in cli.run("evidence", home=BELGIUM, code=4).stdout


def test_a_profile_that_has_read_nothing_holds_nothing(tmp_path):
    world, _ = malicious_world(KENYA, BELGIUM)
    client = world.client(KENYA)
    with pytest.raises(CountermarkError) as caught:
        client.holdings()
    assert caught.value.code == "nothing_held"


async def test_an_async_client_holds_the_same(scene):
    world, _, kenya, _ = scene
    send(kenya)
    profile = kenya.profile
    async with world.async_client(profile) as other:
        made = await other.holdings(sizes=[2])
    assert isinstance(made.holdings, Holdings)
    assert set(held_by(kenya).entries) <= set(made.holdings.entries)


# --- whatever comes in -----------------------------------------------------------------------------------

#: In the place of anything in a file.
WRONG = (None, True, -1, 2**53, "", "A", "AAAA", "00" * 32, [], {}, [[]], {"size": 1})


def places(value, path=()):
    """Every place in a value."""
    yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from places(inner, (*path, name))
    elif isinstance(value, list):
        for number, inner in list(enumerate(value))[:3]:
            yield from places(inner, (*path, number))


def mutations(value):
    """The value with one place changed to something else, or left out."""
    for number, path in enumerate(places(value)):
        for turn in range(3 if path else 0):
            changed = copy.deepcopy(value)
            inner = changed
            for step in path[:-1]:
                inner = inner[step]
            if (number + turn) % 7 == 0:
                del inner[path[-1]]
            else:
                inner[path[-1]] = WRONG[(number + 4 * turn) % len(WRONG)]
            if changed != value:
                yield changed


def only_ours(call):
    """Whatever is wrong, one of our errors says so, or nothing does."""
    with contextlib.suppress(CountermarkError):
        call()


@pytest.fixture(scope="module")
def found_files():
    """What two honest parties hold of a log that lies, and a file of each contradiction between them."""
    world, broker = malicious_world(KENYA, BELGIUM)
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    belgium.sync()
    send(kenya)
    received(belgium)
    send(kenya)
    broker.withhold(BELGIUM, Box.ROUTINE, 1)
    broker.understate(BELGIUM, Box.ROUTINE, 1)
    received(belgium)
    held = [held_by(one, STATEMENTS) for one in (kenya, belgium)]
    found = [encode_contradiction(f.contradiction, broker.origin) for f in compare(held).found]
    return held, found


def test_holdings_in_any_form(found_files):
    [ours, theirs], _ = found_files
    value = json.loads(encode_holdings(theirs))
    tried = 0
    for changed in mutations(value):
        tried += 1
        only_ours(lambda changed=changed: compare([ours, parse_holdings(encode_json(changed))]))
    assert tried > 200


def test_contradictions_in_any_form(found_files):
    _, found = found_files
    assert found
    value = json.loads(found[0])
    pieces = [json.loads(parse_base64url(p, "piece")) for p in value["pieces"][1:]]
    tried = 0
    for changed in mutations(value):
        tried += 1
        only_ours(lambda changed=changed: verify_contradiction(encode_json(changed)))
    for number, piece in enumerate(pieces, 1):
        for changed in mutations(piece):
            tried += 1
            spoilt = {**value, "pieces": list(value["pieces"])}
            spoilt["pieces"][number] = encode_base64url(encode_json(changed))
            with pytest.raises(CountermarkError):
                verify_contradiction(encode_json(spoilt))
    assert tried > 80


@pytest.mark.parametrize("claim", CLAIMS)
def test_pieces_of_one_claim_handed_in_for_another(found_files, claim):
    """Nothing but what is claimed is proven, and nothing breaks, whatever pieces a claim is made with."""
    held, found = found_files
    statements = held[0].statements
    pool = [
        *(p for f in found for p in parse_contradiction(f)[0].pieces),
        *(e.document for e in held[0].entries if e.document is not None),
        *(e.inclusion.leaf for e in held[0].entries),
        held[0].checkpoints[0],
        b"",
        b"{}",
        b"\x00",
    ]
    least, most = CLAIMS[claim].least, CLAIMS[claim].most
    for count in range(least, min(most, 5) + 1):
        for start in range(len(pool)):
            for step in (1, 2, 3):
                pieces = tuple(pool[(start + step * i) % len(pool)] for i in range(count))
                made = encode_contradiction(Contradiction(claim, pieces, statements), held[0].log)
                only_ours(lambda made=made: verify_contradiction(made))
    for count in (least - 1, most + 1):
        if 0 < count <= 10_000:
            made = encode_contradiction(Contradiction(claim, (b"x",) * count, statements), held[0].log)
            with pytest.raises(CountermarkError) as caught:
                verify_contradiction(made)
            assert caught.value.code == "not_contradictory"
