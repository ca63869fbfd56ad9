"""A broker loses its database and has only yesterday's backup: the tail comes back from a mirror and from senders.

Real processes on both databases, by the commands that people run. What one word or one file less than the whole would do
is refused, in words that say whom to ask.
"""

import asyncio
import json
import re
import shutil
from dataclasses import replace

import pytest

from countermark_client import INSTANCE, SEALING, Client, Profile, testing
from countermark_client._keystore import StoredKey
from countermark_client.cli.common import Environment
from countermark_protocol.answers import parse_accepted, parse_directory_page
from countermark_protocol.checkpoint import parse_checkpoint, verify_checkpoint
from countermark_protocol.hand_back import (
    HandBackFrame,
    HandBackHeader,
    HandBackWriter,
    HeldStatement,
    parse_hand_back_header,
    parse_held_statement,
    parse_kept_entry,
    parse_tail_record,
    read_hand_back,
)
from countermark_protocol.keys import Algorithm
from countermark_protocol.leaf import LEAF_BYTES
from countermark_protocol.mandates import Oversight
from countermark_protocol.merkle import Frontier, leaf_hash
from support.broker_fixtures import AUTHORITY, found, write_home
from support.broker_process import BrokerProcess, run_cli
from support.cli import PASSPHRASE, Cli
from support.database import is_sqlite, restore, save, sql
from support.forwarding import Forwarding
from support.world import ALWAYS, BRUSSELS, KAMPALA, NAIROBI, OVERSEER, USUAL, World, seed

PARTIES = (NAIROBI, KAMPALA, BRUSSELS)


class Story:
    """A log, its broker's home, the profiles of three parties and of an overseer, and what was kept of the tail.

    Attributes:
        yesterday: entries in the backup.
        published: entries when the database was lost.
        open: a message that nobody had collected yet when the database was lost.
        withdrawn: messages that were withdrawn in the tail: one of before the backup, one of the tail.
        files: what was handed back, by holder.
    """

    def __init__(self, folder, database_url):
        self.folder = folder
        self.world = World(endpoints=(*USUAL, OVERSEER), oversight=(Oversight(OVERSEER, ALWAYS),))
        settings = {"database_url": database_url} if database_url else {}
        self.home = write_home(self.world, folder / "home", key_files=True, **settings)
        asyncio.run(found(self.world, self.home))
        self.backup = folder / "yesterday.countermark"
        self.transport = Forwarding()
        self.cli = Cli(folder, Environment(transport=self.transport))
        self.process = None
        self.files = {}

    def start(self, home=None):
        self.process = BrokerProcess(self.world, home or self.home).wait_until_listening()
        self.transport.port = self.process.port

    def stop(self):
        self.transport.port = 0
        assert self.process.stop() == 0
        self.process = None

    def client(self, address):
        return Client(Profile.open(self.folder / address, PASSPHRASE), transport=self.transport)

    def make_profiles(self):
        api = self.process.client()
        answer = api.request("GET", "/v1/directory?from=0&limit=1", by=NAIROBI)
        self.trust = parse_directory_page(answer.content).statements[0].document
        api.close()
        for address in (*PARTIES, OVERSEER):
            keys = [
                StoredKey(INSTANCE, Algorithm.ED25519, seed(f"instance {address}")),
                StoredKey(SEALING, Algorithm.XWING, seed(f"sealing {address}")),
            ]
            url = f"https://{AUTHORITY}"
            Profile.create(
                self.folder / address,
                address=address,
                broker_url=url,
                trust=self.trust,
                passphrase=PASSPHRASE,
                keys=keys,
            ).close()

    def send(self, sender, case, *recipients):
        with self.client(sender) as client:
            sent = client.send("lost-or-stolen-notice", testing.sample_notice(case), to=list(recipients))
            client.profile.close()
        return sent

    def take(self, address):
        """Read and accept all that waits; the contents."""
        with self.client(address) as client:
            messages = list(client.inbox())
            client.accept_many(messages)
            contents = [m.content for m in messages]
            client.profile.close()
        return contents

    def audit(self, mirror="mirror"):
        self.cli.run(
            *("audit", "look-up", "--scope", "oversight", "--ground", "review"),
            *("--mirror", self.folder / mirror),
            home=OVERSEER,
        )
        done = self.cli.json(
            "audit", "sync", "--processes", 0, "--mirror", self.folder / mirror, home=OVERSEER
        )
        assert done["open"] == []
        return done["size"]

    def published_now(self, home=None):
        return parse_checkpoint(((home or self.home) / "checkpoint" / "checkpoint").read_bytes())

    def hand_back(self):
        """Everybody hands back what they kept since yesterday; offline."""
        out = self.folder / "overseer.hand-back"
        told = self.cli.json(
            *("audit", "hand-back", "--from", self.yesterday, "-o", out),
            *("--mirror", self.folder / "mirror"),
            home=OVERSEER,
        )
        assert told["entries"] == self.published - self.yesterday
        self.files[OVERSEER] = out
        for party in PARTIES:
            out = self.folder / f"{party}.hand-back"
            told = self.cli.json("hand-back", "--since", self.yesterday, "-o", out, home=party)
            assert told["pruned"] == 0
            assert told["statements"] > 0
            self.files[party] = out

    def recover(self, *files, options=()):
        tails = [part for one in files for part in ("--tail", one)]
        done = run_cli("recover", "--home", self.home, *tails, *options)
        return done.returncode, done.stdout + done.stderr

    def leaves(self):
        api = self.process.client()
        data = api.http.get("/v1/log/leaves").content
        api.close()
        return [data[i : i + LEAF_BYTES] for i in range(0, len(data), LEAF_BYTES)]


def begin(story):
    """Yesterday: some traffic, a backup; then more traffic and receipts, a mirror; then the database is lost."""
    story.start()
    story.make_profiles()
    story.send(NAIROBI, "before the backup", KAMPALA)
    story.withdrawn = [story.send(NAIROBI, "withdrawn, before the backup", BRUSSELS)]
    story.audit()
    assert run_cli("backup", "create", "--home", story.home, "--to", story.backup).returncode == 0
    shutil.copytree(story.home / "checkpoint", story.folder / "checkpoint of yesterday")
    story.yesterday = story.published_now().size

    story.send(NAIROBI, "after the backup", KAMPALA, BRUSSELS)
    story.send(KAMPALA, "from Kampala", NAIROBI)
    assert len(story.take(KAMPALA)) == 2
    assert len(story.take(NAIROBI)) == 1
    assert len(story.take(BRUSSELS)) == 2
    story.withdrawn.append(story.send(NAIROBI, "withdrawn, after the backup", KAMPALA))
    with story.client(NAIROBI) as client:
        for sent in story.withdrawn:
            client.withdraw(sent)
        client.profile.close()
    story.open = story.send(KAMPALA, "not collected yet", BRUSSELS)
    story.published = story.audit()
    story.stop()
    assert story.published == story.published_now().size
    shutil.copytree(story.home / "checkpoint", story.folder / "checkpoint of today")

    # The database is lost; what is restored is yesterday's.
    if is_sqlite(story.home):
        for path in story.home.glob("broker.sqlite3*"):
            path.unlink()
    else:
        sql(story.home, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    assert run_cli("migrate", "--home", story.home).returncode == 0
    done = run_cli("backup", "restore", "--home", story.home, story.backup, "--json")
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout)["missing"] == story.published - story.yesterday
    story.hand_back()
    save(story.home, story.folder / "restored")


@pytest.fixture(scope="module")
def told(real_database, tmp_path_factory):
    story = Story(tmp_path_factory.mktemp("lost"), real_database)
    try:
        begin(story)
        yield story
    finally:
        if story.process is not None:
            story.process.kill()
        story.transport.end()


@pytest.fixture
def story(told):
    """The story as it stands when yesterday's backup is restored."""
    restore(told.home, told.folder / "restored")
    shutil.rmtree(told.home / "checkpoint")
    shutil.copytree(told.folder / "checkpoint of today", told.home / "checkpoint")
    return told


def everything(story):
    return [story.files[OVERSEER], *(story.files[party] for party in PARTIES)]


def head(story):
    """Size of the database's log, and the store's bytes: what a refusal must not change."""
    return sql(story.home, "SELECT size FROM head"), (story.home / "checkpoint" / "checkpoint").read_bytes()


def refused(story, *files, says, code=3, options=()):
    """Recovery must be refused in these words, and change nothing."""
    before = head(story)
    ended, words = story.recover(*files, options=options)
    assert ended == code, words
    assert head(story) == before
    for each in says:
        assert each in words
    return words


def flipped(data, at=-1):
    """Bytes, one bit of which is another."""
    spoilt = bytearray(data)
    spoilt[at] ^= 1
    return bytes(spoilt)


def rewritten(story, holder, name, change=lambda piece: piece, note=lambda note: note):
    """A hand-back of which each record or statement is what `change` makes of it, each checkpoint what `note` does."""
    path = story.folder / name
    with story.files[holder].open("rb") as file, path.open("wb") as out:
        frames = list(read_hand_back(file.read))
        writer = HandBackWriter(out.write, parse_hand_back_header(frames[0][1]))
        for kind, payload in frames[1:]:
            if kind is HandBackFrame.RECORD:
                writer.record(change(parse_tail_record(payload)))
            elif kind is HandBackFrame.HELD:
                writer.held(change(parse_held_statement(payload)))
            elif kind is HandBackFrame.KEPT:
                writer.kept(parse_kept_entry(payload))
            else:
                writer.checkpoint(note(payload))
        writer.end()
    return path


def test_the_tail_comes_back_byte_for_byte_and_the_log_goes_on(story):
    stopped = run_cli("serve", "--home", story.home, "--port", "0")
    assert stopped.returncode == 3
    assert "[database_behind_store]" in stopped.stderr
    asked = refused(story, says=[f"audit hand-back --from {story.yesterday}"])
    assert f"entry {story.published - 1} is missing" in asked

    code, words = story.recover(*everything(story), options=("--check",))
    assert code == 0, words
    assert "nothing was written: this was a check" in words
    assert head(story)[0] == [(story.yesterday,)]
    before = story.published_now().raw
    code, words = story.recover(*everything(story))
    assert code == 0, words
    assert f"all {story.published} entries that were published are proven" in words
    for command in ("fsck", ("rebuild", "--check"), "doctor"):
        line = (command,) if isinstance(command, str) else command
        done = run_cli(*line, "--home", story.home)
        assert "FAIL" not in done.stdout, done.stdout
        assert done.returncode == 0, done.stdout + done.stderr
    # Senders handed back what they had withdrawn as well.
    for sent in story.withdrawn:
        for table in ("stanzas", "contents"):
            assert sql(story.home, f"SELECT count(*) FROM {table} WHERE message = {sent.index}") == [(0,)]
    # Once more changes nothing.
    again = story.recover(*everything(story))
    assert again[0] == 0
    assert ", 0 of them from the files" in again[1]

    story.start()
    try:
        assert story.published_now().raw == before
        goes_on(story)
    finally:
        story.stop()


def goes_on(story):
    # Who saw the larger tree goes on without alarm, and reads what it had not collected.
    [content] = story.take(BRUSSELS)
    assert content.items
    for address in PARTIES:
        with story.client(address) as client:
            client.sync()
            client.sync_sent()
            client.notices()
            assert client.profile.evidence == ()
            client.verify_log()
            client.profile.close()
    with story.client(KAMPALA) as client:
        assert [r.stage for r in client.status(story.open).recipients] == ["accepted"]
        client.profile.close()
    story.send(NAIROBI, "after the recovery", BRUSSELS)
    assert len(story.take(BRUSSELS)) == 1
    assert story.audit() > story.published

    # Every proof that was ever returned holds in the log that continues.
    leaves = story.leaves()
    proofs = 0
    for address in PARTIES:
        with story.client(address) as client:
            for item in client.outbox():
                proof = parse_accepted(item.proof)
                checkpoint = verify_checkpoint(
                    parse_checkpoint(proof.checkpoint), story.world.origin, story.world.log_key.public_key.raw
                )
                assert leaves[item.index] == proof.inclusion.leaf
                tree = Frontier().extend([leaf_hash(leaf) for leaf in leaves[: checkpoint.size]])
                assert tree.root() == checkpoint.root
                proofs += 1
            client.profile.close()
    assert proofs >= 10


def test_a_store_that_was_restored_with_the_database_does_not_hide_the_tail(story):
    """Nothing here knows more than yesterday's backup; the mirror and the proofs do, by the log key's signatures."""
    today = story.published_now().raw
    shutil.rmtree(story.home / "checkpoint")
    shutil.copytree(story.folder / "checkpoint of yesterday", story.home / "checkpoint")
    refused(story, story.files[NAIROBI], says=[f"{story.yesterday} entries", "entry"])
    code, words = story.recover(*everything(story))
    assert code == 0, words
    story.start()
    try:
        # The very checkpoint that was published before.
        assert story.published_now().raw == today
    finally:
        story.stop()


def test_an_altered_record_is_refused(story):
    parties = [story.files[party] for party in PARTIES]
    # A message of one of the parties.
    index = story.open.index

    def altered(name, **changes):
        return rewritten(
            story,
            OVERSEER,
            name,
            lambda r: replace(r, **{k: f(r) for k, f in changes.items()}) if r.index == index else r,
        )

    leaf = altered("leaf", leaf=lambda r: flipped(r.leaf))
    words = refused(
        story,
        leaf,
        *parties,
        says=[f"leaf: entry {index} has another leaf than the one that was proven to", "[tail_differs]"],
    )
    refused(
        story,
        leaf,
        says=[
            f"the entries do not give the root that was published for size {story.published}: a leaf was altered",
            "[tail_differs]",
        ],
    )
    refused(
        story, leaf, story.files[OVERSEER], says=[f"entry {index}", "hold different leaves", "[tails_differ]"]
    )
    refused(
        story,
        altered("secret", secret=lambda r: flipped(r.secret)),
        *parties,
        says=[f"entry {index} replays to another leaf", "[entry_differs]"],
    )
    refused(
        story,
        altered("document", document=lambda r: flipped(r.document)),
        *parties,
        says=[f"entry {index}: leaf and document do not belong together", "[tail_differs]"],
    )
    assert "nothing was written" in words


def test_an_altered_proof_or_checkpoint_is_refused(story):
    def altered(held):
        leaf = flipped(held.proof.inclusion.leaf)
        path = (bytes(32), *held.proof.inclusion.path[1:])
        inclusion = replace(held.proof.inclusion, leaf=leaf, path=path)
        return replace(held, proof=replace(held.proof, inclusion=inclusion))

    proof = rewritten(story, KAMPALA, "proof", altered)
    files = [story.files[OVERSEER], story.files[NAIROBI], story.files[BRUSSELS]]
    refused(story, *files, proof, says=["is not one of the published leaf", "[tail_differs]"])

    def larger(note):
        return note.replace(f"\n{story.published}\n".encode(), f"\n{story.published + 9}\n".encode())

    says = [f"the log key did not sign its checkpoint of size {story.published + 9}", "[tail_differs]"]
    refused(story, rewritten(story, OVERSEER, "note", note=larger), *everything(story)[1:], says=says)


def test_a_missing_sender_is_named_and_may_be_given_up(story):
    without = [story.files[OVERSEER], story.files[NAIROBI], story.files[BRUSSELS]]
    words = refused(
        story,
        *without,
        says=[
            "nothing was written: something is missing beside entries",
            f"{KAMPALA} keeps them until 30 days after it was proven",
            f"countermark hand-back --since {story.yesterday}",
        ],
    )
    assert f"entry {story.open.index}: the stanzas and the content of this message of {KAMPALA}" in words
    assert f"message of {NAIROBI} are missing" not in words

    code, words = story.recover(*without, options=("--without-contents",))
    assert code == 1, words
    assert sql(story.home, "SELECT size FROM head") == [(story.published,)]
    missing = run_cli("fsck", "--home", story.home)
    assert f"content_missing: entry {story.open.index}" in missing.stdout
    # What turns up later is brought back.
    code, words = story.recover(story.files[KAMPALA])
    assert code == 0, words
    # Of the other one its recipient had kept its stanza and the content.
    assert "stanzas or contents of 1 messages are brought back" in words
    assert run_cli("fsck", "--home", story.home).returncode == 0


def test_parties_alone_cannot_give_an_entry_back(story):
    words = refused(
        story,
        *(story.files[party] for party in PARTIES),
        says=[
            f"entry {story.open.index}, message of ",
            f"was handed back in {story.files[KAMPALA].name} ({KAMPALA}), but not the entry's secret",
            "this broker has no entry key",
        ],
    )
    assert len(re.findall(r"^entry \d+", words, re.MULTILINE)) == story.published - story.yesterday


def test_contents_of_another_message_are_refused(story):
    bodies = {}

    def swapped(held):
        if held.is_message:
            bodies.setdefault("first", held.body)
            return replace(held, body=bodies["first"])
        return held

    spoilt = rewritten(story, KAMPALA, "swapped", swapped)
    refused(
        story,
        story.files[OVERSEER],
        story.files[NAIROBI],
        spoilt,
        says=["it holds another message than was logged there", "[tail_differs]"],
    )


def test_a_mirror_of_a_fork_is_refused(story):
    """The operator's key also signed another history, which begins like this one."""
    other = write_home(story.world, story.folder / "fork", key_files=True)
    if not (story.folder / "fork.hand-back").exists():
        assert run_cli("migrate", "--home", other).returncode == 0
        shutil.copytree(story.folder / "checkpoint of yesterday", other / "checkpoint")
        assert run_cli("backup", "restore", "--home", other, story.backup).returncode == 0
        story.start(other)
        try:
            api = story.process.client()
            api.refresh()
            while story.published_now(other).size < story.published + 2:
                sealed = story.world.message(NAIROBI, [KAMPALA])
                answer = api.post_message(sealed)
                assert answer.status_code == 201
                if not (story.folder / "sender of the fork").exists():
                    sender_of_fork(story, sealed, parse_accepted(answer.content))
            api.close()
            mirror_of_fork(story)
        finally:
            story.stop()
    refused(
        story,
        story.folder / "fork.hand-back",
        says=[
            "fork.hand-back is of another history",
            "which the log key signed",
            "[tail_of_fork]",
            "keep both",
        ],
    )
    refused(story, story.files[OVERSEER], story.folder / "fork.hand-back", says=["[tails_differ]"])
    refused(
        story,
        *everything(story),
        story.folder / "sender of the fork",
        says=["sender of the fork is of another history: its checkpoint of size", "[tail_of_fork]"],
    )


def sender_of_fork(story, sealed, proof):
    """What a sender was answered in the other history."""
    with (story.folder / "sender of the fork").open("wb") as out:
        writer = HandBackWriter(out.write, HandBackHeader(story.world.origin, NAIROBI, 0, 0))
        writer.held(HeldStatement(proof.inclusion.index, sealed.data, is_message=True, proof=proof))
        writer.end()


def mirror_of_fork(story):
    """Another overseer's profile, which has seen nothing of the published history."""
    folder = story.folder / "elsewhere"
    folder.mkdir()
    keys = [
        StoredKey(INSTANCE, Algorithm.ED25519, seed(f"instance {OVERSEER}")),
        StoredKey(SEALING, Algorithm.XWING, seed(f"sealing {OVERSEER}")),
    ]
    Profile.create(
        folder / OVERSEER,
        address=OVERSEER,
        broker_url=f"https://{AUTHORITY}",
        trust=story.trust,
        passphrase=PASSPHRASE,
        keys=keys,
    ).close()
    cli = Cli(folder, story.cli.environment)
    cli.run("audit", "look-up", "--scope", "oversight", "--ground", "review", home=OVERSEER)
    assert cli.json("audit", "sync", "--processes", 0, home=OVERSEER)["open"] == []
    out = story.folder / "fork.hand-back"
    cli.run("audit", "hand-back", "--from", story.yesterday, "-o", out, home=OVERSEER)


def test_files_of_another_log_are_refused(story):
    path = story.folder / "another log"
    with story.files[NAIROBI].open("rb") as file, path.open("wb") as out:
        header = parse_hand_back_header(next(read_hand_back(file.read))[1])
        HandBackWriter(out.write, replace(header, log="log.example.org/another")).end()
    refused(story, path, code=1, says=["is of log 'log.example.org/another'", "[tail_of_other_log]"])
    path.write_bytes(b"nothing of the sort")
    refused(story, path, code=1, says=["[bad_hand_back]"])
