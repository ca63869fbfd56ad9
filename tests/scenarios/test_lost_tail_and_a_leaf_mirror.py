"""Database and checkpoint store come back from yesterday's backup: a witness knows more, and mirrors every leaf.

No oversight auditor: the entries come back from the endpoints alone, by the broker's entry key, each proven against the
mirrored leaves. Real processes on both databases, by the commands that people run.
"""

import asyncio
import json
import shutil
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

import pytest

from countermark_broker.log.archive import open_archive
from countermark_client import INSTANCE, SEALING, Client, Profile, testing
from countermark_client._keystore import StoredKey
from countermark_client.cli.common import Environment
from countermark_protocol.answers import parse_directory_page
from countermark_protocol.checkpoint import parse_checkpoint
from countermark_protocol.claims import KIND_NAMES, Kind
from countermark_protocol.documents import parse_document
from countermark_protocol.hand_back import (
    HandBackFrame,
    HandBackWriter,
    parse_hand_back_header,
    parse_held_statement,
    parse_kept_entry,
    read_hand_back,
)
from countermark_protocol.identifiers import Address
from countermark_protocol.keys import Algorithm
from countermark_protocol.leaf import parse_leaf
from countermark_protocol.mandates import Witness
from countermark_protocol.note import NoteKey, encode_vkey
from countermark_protocol.tlog_witness import origin_hash
from support.broker_fixtures import AUTHORITY, found, write_home
from support.broker_process import BrokerProcess, run_cli
from support.cli import PASSPHRASE, Cli
from support.database import is_sqlite, restore, save, sql
from support.forwarding import Forwarding
from support.witness_process import WitnessProcess
from support.witness_process import run_cli as witness_cli
from support.world import BRUSSELS, KAMPALA, NAIROBI, ORIGIN, World, seed, signer

PARTIES = (NAIROBI, KAMPALA, BRUSSELS)
NEWCOMER = Address("ke.border.malaba")


def until(look):
    deadline = time.monotonic() + 60
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


class Story:
    """A log with one witness that mirrors it, its broker's home, and the profiles of three parties.

    Attributes:
        yesterday: entries in the backup.
        published: entries when everything of the operator's was lost.
        entries: archive records of the whole log before that, by index.
    """

    def __init__(self, folder, database_url):
        self.folder = folder
        self.watcher = folder / "witness"
        for words in (
            ("init", "--home", self.watcher, "--name", "east.example/w"),
            (
                "add-log",
                "--home",
                self.watcher,
                ORIGIN,
                encode_vkey(NoteKey(ORIGIN, signer("log").public_key)),
            ),
            ("mirror", "init", "--home", self.watcher, "--name", "east.example/m"),
        ):
            self.told(witness_cli(*words))
        # Where the log is served is told once its broker runs.
        self.told(witness_cli("mirror", "add-log", "--home", self.watcher, ORIGIN, "http://127.0.0.1:9/none"))
        self.stack = ExitStack()
        self.witness = self.stack.enter_context(WitnessProcess(self.watcher))
        named = Witness("east", tuple((self.watcher / "witness.vkeys").read_text().split()), self.witness.url)
        self.leaves_url = f"{self.witness.url}/mirror/{origin_hash(ORIGIN)}"
        self.world = World(witnesses=(named,), grace_ms=0)
        settings = {"database_url": database_url} if database_url else {}
        self.home = write_home(
            self.world, folder / "home", key_files=True, entry_key=True, witness_ms=50, **settings
        )
        asyncio.run(found(self.world, self.home))
        self.transport = Forwarding()
        self.cli = Cli(folder, Environment(transport=self.transport))
        self.process = None
        self.files = {}

    @staticmethod
    def told(done):
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self):
        self.process = BrokerProcess(self.world, self.home).wait_until_listening()
        self.transport.port = self.process.port
        url = f"http://127.0.0.1:{self.process.port}/v1/log"
        self.told(witness_cli("mirror", "add-log", "--home", self.watcher, ORIGIN, url))

    def stop(self):
        self.transport.port = 0
        assert self.process.stop() == 0
        self.process = None

    def end(self):
        if self.process is not None:
            self.process.kill()
        self.stack.close()
        self.transport.end()

    def mirrored(self):
        """Wait until the witness mirrors all that is published; how much that is."""
        size = parse_checkpoint((self.home / "checkpoint" / "checkpoint").read_bytes()).size

        def look():
            answer = self.witness.get(f"/mirror/{origin_hash(ORIGIN)}/checkpoint")
            return answer.status_code == 200 and parse_checkpoint(answer.content).size >= size

        until(look)
        return size

    def client(self, address):
        return Client(Profile.open(self.folder / address, PASSPHRASE), transport=self.transport)

    def make_profiles(self):
        api = self.process.client()
        answer = api.request("GET", "/v1/directory?from=0&limit=1", by=NAIROBI)
        trust = parse_directory_page(answer.content).statements[0].document
        api.close()
        for address in PARTIES:
            keys = [
                StoredKey(INSTANCE, Algorithm.ED25519, seed(f"instance {address}")),
                StoredKey(SEALING, Algorithm.XWING, seed(f"sealing {address}")),
            ]
            Profile.create(
                self.folder / address,
                address=address,
                broker_url=f"https://{AUTHORITY}",
                trust=trust,
                passphrase=PASSPHRASE,
                keys=keys,
            ).close()

    def notices(self, address, kind):
        """How many of a kind an endpoint has received."""
        with self.client(address) as client:
            client.notices()
            documents = [parse_document(n[3]) for n in client.profile.store.notices()]
            client.profile.close()
        return sum(document.claims["kind"] == kind for document in documents)

    def send(self, sender, case, *recipients, **more):
        with self.client(sender) as client:
            content = testing.sample_notice(case)
            sent = client.send("lost-or-stolen-notice", content, to=list(recipients), **more)
            client.profile.close()
        return sent

    def take(self, address):
        with self.client(address) as client:
            messages = list(client.inbox())
            client.accept_many(messages)
            client.notices()
            client.sync_sent()
            client.profile.close()
        return len(messages)

    def archive(self, name):
        path = self.folder / name
        self.told(run_cli("backup", "create", "--home", self.home, "--to", path))
        with open_archive(path) as archive:
            return [one.record for one in archive.entries()]

    def recover(self, *files, options=()):
        tails = [part for one in files for part in ("--tail", one)]
        done = run_cli("recover", "--home", self.home, *tails, *options, "--json")
        return done.returncode, json.loads(done.stdout), done.stdout + done.stderr

    def size(self):
        return sql(self.home, "SELECT size FROM head")[0][0]

    def kind(self, index):
        return KIND_NAMES[Kind(parse_leaf(self.entries[index].leaf).kind)]


def begin(story):
    story.start()
    story.make_profiles()
    story.mirrored()
    story.send(NAIROBI, "before the backup", KAMPALA)
    assert story.take(KAMPALA) == 1
    story.yesterday = len(story.archive("yesterday"))
    shutil.copytree(story.home / "checkpoint", story.folder / "store of yesterday")

    story.both = story.send(NAIROBI, "to both", KAMPALA, BRUSSELS)
    story.send(KAMPALA, "from Kampala", NAIROBI)
    api = story.process.client()
    # A directory statement in the tail, and by it a new endpoint.
    for data in (story.world.endpoint_statement(NEWCOMER), story.world.keys_statement(NEWCOMER)):
        assert api.post_statement(data).status_code == 201
    api.close()
    assert [story.take(a) for a in (KAMPALA, BRUSSELS, NAIROBI)] == [1, 1, 1]
    story.withdrawn = story.send(NAIROBI, "withdrawn", KAMPALA)
    with story.client(NAIROBI) as client:
        client.withdraw(story.withdrawn)
        client.profile.close()
    # The broker's own statement, that one endpoint has received.
    story.send(NAIROBI, "never collected", KAMPALA, expires_in=timedelta(seconds=1))
    until(lambda: story.notices(NAIROBI, "undelivered"))
    story.open = story.send(KAMPALA, "not collected yet", BRUSSELS)
    for address in PARTIES:
        with story.client(address) as client:
            client.sync()
            client.notices()
            client.profile.close()
    story.entries = story.archive("today")
    story.published = len(story.entries)
    assert story.mirrored() == story.published
    story.stop()

    # Database and store are lost; what is restored is yesterday's, both of them.
    if is_sqlite(story.home):
        for path in story.home.glob("broker.sqlite3*"):
            path.unlink()
    else:
        sql(story.home, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    shutil.rmtree(story.home / "checkpoint")
    shutil.copytree(story.folder / "store of yesterday", story.home / "checkpoint")
    story.told(run_cli("migrate", "--home", story.home))
    story.told(run_cli("backup", "restore", "--home", story.home, story.folder / "yesterday"))
    for party in PARTIES:
        out = story.folder / f"{party}.hand-back"
        told = story.cli.json("hand-back", "--since", story.yesterday, "-o", out, home=party)
        assert told["statements"] > 0
        assert told["copies"] > 0
        story.files[party] = out
    save(story.home, story.folder / "restored")


@pytest.fixture(scope="module")
def told(real_database, tmp_path_factory):
    story = Story(tmp_path_factory.mktemp("mirrored"), real_database)
    try:
        begin(story)
        yield story
    finally:
        story.end()


@pytest.fixture
def story(told):
    """The story as it stands when yesterday's backup is restored."""
    restore(told.home, told.folder / "restored")
    return told


def files(story, *but):
    return [story.files[party] for party in PARTIES if party not in but]


def leaves(story):
    return ("--leaves", story.leaves_url)


def test_a_witness_knows_more_and_the_mirror_tells_what_is_missing(story):
    tail = range(story.yesterday, story.published)
    # Nothing here knows that anything is lost: the store came back with the database.
    done = run_cli("doctor", "--home", story.home)
    assert done.returncode == 3, done.stdout
    assert (
        f"{story.yesterday} entries are logged here, others hold more that the log key signed" in done.stdout
    )
    assert f"(witness east: {story.published} entries) [behind_others]" in done.stdout
    code, told, words = story.recover()
    assert code == 3, words
    assert [(h["source"], h["size"]) for h in told["heard"]] == [("witness east", story.published)]
    assert (told["published"], told["lacking"], told["proven"]) == (story.published, list(tail), 0)
    assert {m["kind"] for m in told["missing"]} == {None}
    # By the leaves: which, of what kind, of what time.
    code, told, words = story.recover(options=leaves(story))
    assert code == 3, words
    assert (told["lacking"], told["proven"]) == (list(tail), len(tail))
    assert [(m["index"], m["kind"], m["time"]) for m in told["missing"]] == [
        (i, story.kind(i), parse_leaf(story.entries[i].leaf).time) for i in tail
    ]
    kinds = {"message", "receipt", "endpoint", "keys", "purge", "undelivered"}
    assert {m["kind"] for m in told["missing"]} == kinds
    done = run_cli("recover", "--home", story.home, *leaves(story))
    assert f"missing entries: {tail[0]}-{tail[-1]} ({len(tail)} in all)" in done.stdout
    assert story.size() == story.yesterday


def test_what_only_one_endpoint_has_is_named_when_it_is_away(story):
    """Of Nairobi's message to both, its recipients together have everything; of its others, nobody."""
    code, told, words = story.recover(*files(story, NAIROBI), options=leaves(story))
    assert code == 3, words
    with story.files[NAIROBI].open("rb") as file:
        frames = [p for kind, p in read_hand_back(file.read) if kind is HandBackFrame.HELD]
    held = {parse_held_statement(payload).index for payload in frames}
    # Receipts lie with those whose messages they are about, too.
    only = {i for i in held - {story.both.index} if story.kind(i) != "receipt"}
    assert {story.kind(i) for i in only} == {"message", "purge"}
    # Of the broker's own notice that it had not been collected, too, nobody else was told.
    [notice] = [i for i in range(story.yesterday, story.published) if story.kind(i) == "undelivered"]
    assert set(told["lacking"]) == only | {notice}
    assert story.withdrawn.index in only
    assert story.size() == story.yesterday


def rewritten(story, holder, name, held=lambda piece: piece, kept=lambda piece: piece):
    path = story.folder / name
    with story.files[holder].open("rb") as file, path.open("wb") as out:
        frames = list(read_hand_back(file.read))
        writer = HandBackWriter(out.write, parse_hand_back_header(frames[0][1]))
        for kind, payload in frames[1:]:
            if kind is HandBackFrame.HELD:
                writer.held(held(parse_held_statement(payload)))
            else:
                writer.kept(kept(parse_kept_entry(payload)))
        writer.end()
    return path


def flipped(data, at=-1):
    spoilt = bytearray(data)
    spoilt[at] ^= 1
    return bytes(spoilt)


def test_what_is_not_under_the_mirrored_leaves_does_not_come_back(story):
    # Another document than was logged belongs to no leaf: its entry is missing.
    spoilt = rewritten(
        story, NAIROBI, "documents", held=lambda h: h if h.is_message else replace(h, body=flipped(h.body))
    )
    code, told, words = story.recover(*files(story, NAIROBI), spoilt, options=leaves(story))
    assert code == 3, words
    assert "purge" in {story.kind(i) for i in told["lacking"]}
    # Another stanza or content than was signed is told by the name of its file.
    for change in (
        lambda k: replace(k, content=flipped(k.content)) if k.content else k,
        lambda k: replace(k, stanzas=tuple(flipped(s) for s in k.stanzas if s)) if all(k.stanzas) else k,
    ):
        spoilt = rewritten(story, BRUSSELS, "enclosed", kept=change)
        done = run_cli(
            *(
                "recover",
                "--home",
                story.home,
                *leaves(story),
                "--tail",
                spoilt,
                "--tail",
                story.files[KAMPALA],
            )
        )
        assert done.returncode == 3
        assert "enclosed: entry" in done.stdout + done.stderr
        assert "[tail_differs]" in done.stdout + done.stderr
    assert story.size() == story.yesterday


def test_another_entry_key_gives_no_secret_and_is_told(story):
    keys = story.home / "keys" / "broker.keys"
    kept = keys.read_bytes()
    try:
        keys.unlink()
        write_home(story.world, story.folder / "other", key_files=True)
        shutil.copy(story.folder / "other" / "keys" / "broker.keys", keys)
        code, told, words = story.recover(*files(story), options=leaves(story))
        assert code == 3, words
        assert "this broker has no entry key" in words
        # What no row comes of needs no secret.
        assert {story.kind(i) for i in told["lacking"]} == {"message", "receipt", "purge", "undelivered"}
        told = story.told(run_cli("entry-key", "new", "--home", story.home))
        assert "entry key " in told
        code, told, words = story.recover(*files(story), options=leaves(story))
        assert code == 3, words
        assert "its secret was not made with this broker's entry key" in words
        assert {story.kind(i) for i in told["lacking"]} == {"message", "receipt", "purge", "undelivered"}
        again = run_cli("entry-key", "new", "--home", story.home)
        assert (again.returncode, "[entry_key_there]" in again.stderr) == (1, True)
    finally:
        keys.unlink(missing_ok=True)
        keys.write_bytes(kept)
        keys.chmod(0o600)
    assert story.size() == story.yesterday


def test_witness_and_mirror_that_are_away_are_told_and_nothing_else(story):
    code, told, words = story.recover(
        *files(story), options=("--leaves", "http://127.0.0.1:9/none", "--check")
    )
    # The proofs that the endpoints were given prove the leaves as well.
    assert code == 0, words
    assert {h["source"] for h in told["heard"] if h["problem"]} == {"mirror http://127.0.0.1:9/none"}


def test_everything_comes_back_from_the_endpoints_byte_for_byte_and_the_log_goes_on(story):
    """The last one of the story: afterwards the witness has cosigned more."""
    code, told, words = story.recover(*files(story), options=(*leaves(story), "--check"))
    assert code == 0, words
    assert (told["lacking"], told["missing"], told["written"]) == ([], [], False)
    assert story.size() == story.yesterday
    code, told, words = story.recover(*files(story), options=leaves(story))
    assert code == 0, words
    assert (told["added"], told["written"]) == (story.published - story.yesterday, True)
    for command in (("fsck",), ("rebuild", "--check"), ("doctor",)):
        done = run_cli(*command, "--home", story.home)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "all nodes must show the same" in done.stdout
    story.start()
    try:
        # The very entries, with their secrets.
        assert story.archive(f"again {time.monotonic_ns()}") == story.entries
        # Participants that had seen all of it go on without alarm; so does the witness.
        assert story.take(BRUSSELS) == 1
        for address in PARTIES:
            with story.client(address) as client:
                client.sync()
                client.sync_sent()
                client.notices()
                assert client.profile.evidence == ()
                client.verify_log()
                client.profile.close()
        after = story.send(NAIROBI, "after the recovery", BRUSSELS)
        assert after.index >= story.published
        assert story.mirrored() > story.published
    finally:
        story.stop()
