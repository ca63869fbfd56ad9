"""A node that is frozen, its connections open, holds what it has locked only so long: PostgreSQL's time-outs end it.

The server cannot tell a frozen node from a slow one. What is sent within a statement, and what is half sent, are
bounded too, so nothing is sent by COPY.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from countermark_broker.errors import UnavailableError
from countermark_broker.store.checkpoints import PostgresqlCheckpointStore
from countermark_broker.store.engine import Database
from countermark_broker.store.head import EMPTY_HEAD, lock_head, write_head
from countermark_broker.store.migrate import find_migrations, migrate
from countermark_broker.store.postgresql import BACKEND
from countermark_broker.store.tables import contents
from countermark_protocol.answers import parse_accepted
from countermark_protocol.bulk import encode_frames
from support.broker_process import BrokerProcess
from support.postgresql import PostgresServer, memory_directory
from support.world import KAMPALA, NAIROBI

pytestmark = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)

LOCK_MS, STATEMENT_MS = 300, 700
#: s until the lock must be free: the server's time-outs and what a busy machine adds.
BOUND_S = 15
FREEZES = 8


def connect(url):
    return Database(url, busy_timeout_ms=LOCK_MS, statement_timeout_ms=STATEMENT_MS)


class Freezing(list):
    """Rows in the midst of which the process that hands them to the database is frozen."""

    def __iter__(self):
        for number, row in enumerate(super().__iter__()):
            if number == len(self) // 2:
                os.kill(os.getpid(), signal.SIGSTOP)
            yield row


def write_rows(database, first, make=list):
    rows = make((first + i, bytes(20_000)) for i in range(64))
    with database.writing() as connection:
        lock_head(connection)
        BACKEND.insert(connection, contents, rows)


def main(url, mode):
    """The node that will be frozen, as a process of its own."""
    database, first = connect(url), 0
    if mode == "once":
        print("begun", flush=True)
        write_rows(database, first, Freezing)
    while True:
        try:
            write_rows(database, first)
            print("begun", flush=True)
        except UnavailableError:
            continue
        first += 64


def wait_for_lock(database):
    """Seconds until the head's lock was got."""
    began = time.monotonic()
    while True:
        try:
            with database.writing() as connection:
                lock_head(connection)
            return time.monotonic() - began
        except UnavailableError:
            assert time.monotonic() - began < BOUND_S, "a frozen node holds the lock"


@pytest.fixture
async def database(empty_database):
    made = connect(empty_database)
    migrate(made, find_migrations(None))
    with made.writing() as connection:
        write_head(connection, EMPTY_HEAD)
    yield made
    await made.close()


@contextmanager
def process(url, mode):
    started = subprocess.Popen(
        [sys.executable, "-c", f"from integration.test_frozen_node import main; main({url!r}, {mode!r})"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert started.stdout.readline() == b"begun\n"
        yield started
    finally:
        started.kill()
        started.wait()
        started.stdout.close()


def stopped(pid):
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


def test_frozen_while_it_hands_over_rows(database, empty_database):
    with process(empty_database, "once") as node:
        while not stopped(node.pid):
            time.sleep(0.01)
        wait_for_lock(database)


def test_frozen_at_any_moment(database, empty_database):
    dice = random.Random(1)
    with process(empty_database, "always") as node:
        for _ in range(FREEZES):
            time.sleep(dice.uniform(0, 0.1))
            node.send_signal(signal.SIGSTOP)
            wait_for_lock(database)
            node.send_signal(signal.SIGCONT)
            # It goes on, on a new connection where it was cut off.
            assert node.stdout.readline() == b"begun\n"


def test_frozen_within_a_message(database, empty_database):
    frozen = connect(empty_database)
    with frozen._writers.connect() as connection:
        lock_head(connection)
        raw = connection.connection.driver_connection.pgconn
        # A whole Parse, then the beginning of a Bind of a thousand bytes: no statement is running, none is awaited.
        os.write(raw.socket, b"P\0\0\0\x10\0SELECT 1\0\0\0" + b"B" + (1000).to_bytes(4, "big") + b"\0")
        try:
            wait_for_lock(database)
        finally:
            connection.invalidate()
    frozen.close_now()


@pytest.fixture
def second_server():
    server = PostgresServer(memory_directory()).start()
    yield server
    server.remove()


#: `serve` with the short time-outs of above: a statement's is no setting.
SERVE = (
    "from countermark_broker.store.engine import Database; from countermark_broker.cli import main; "
    f"Database.__init__.__kwdefaults__['statement_timeout_ms'] = {STATEMENT_MS}; main()"
)


def post_bulk(node, body):
    client = node.client()
    client.http.post(
        "/v1/messages/bulk", content=body, headers={"Content-Type": "application/octet-stream"}
    ).raise_for_status()
    client.close()


def test_another_node_appends_while_one_is_frozen(world, process_home, second_server):
    """The whole: a node under load is frozen again and again, and nothing is lost or doubled."""
    url = second_server.create_database("store")
    store = PostgresqlCheckpointStore(url)
    store.create((process_home / "checkpoint" / "checkpoint").read_bytes())
    store.close()
    settings = {"checkpoint_store": url, "busy_timeout_ms": str(LOCK_MS)}
    one = BrokerProcess(world, process_home, program=("-c", SERVE), **settings).wait_until_listening()
    two = BrokerProcess(world, process_home, program=("-c", SERVE), **settings).wait_until_listening()
    client, dice, indexes = two.client(), random.Random(2), []
    try:
        for _ in range(FREEZES):
            body = encode_frames(world.message(NAIROBI, [KAMPALA]).data for _ in range(60))
            load = threading.Thread(target=post_bulk, args=(one, body))
            load.start()
            time.sleep(dice.uniform(0.02, 0.2))
            with one.frozen():
                message, began = world.message(NAIROBI, [KAMPALA]), time.monotonic()
                while (answer := client.post_message(message)).status_code not in {200, 201}:
                    assert answer.status_code == 503
                    assert time.monotonic() - began < BOUND_S, answer.text
                    time.sleep(0.05)
            indexes.append(parse_accepted(answer.content).inclusion.index)
            load.join()
        assert len(set(indexes)) == FREEZES
        assert client.request("GET", "/v1/ready").status_code == 200
    finally:
        client.close()
        codes = [node.stop() for node in (one, two)]
    assert codes == [0, 0]
