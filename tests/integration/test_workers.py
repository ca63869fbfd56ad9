"""`serve --workers N` as a real process: one port, one history; what becomes of it when something dies."""

import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from functools import partial

import httpx
import psutil
import pytest
from prometheus_client.mmap_dict import MmapedDict

from countermark_protocol.boxes import Box
from support.api_client import ApiClient
from support.broker_fixtures import AUTHORITY
from support.broker_process import environment, run_cli
from support.database import is_sqlite, sql
from support.world import KAMPALA, NAIROBI

WORKERS = 3
#: Of those that only start and end.
FEW = 2
#: What a worker says before it ends.
PARENT_GONE = "the process that started this worker is gone"
_PATIENCE_S = 60


def wait_until(what, condition):
    """Wait for something that must come; the bound only ends a test that has failed."""
    deadline = time.monotonic() + _PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)
    return found


class Served:
    """The parent of some workers."""

    def __init__(self, world, home, workers=WORKERS, **variables):
        self.world, self.home, self.count = world, home, workers
        self.log = home / "serve.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "countermark_broker.cli", "serve", "--home", str(home)),
                    *("--port", "0", "--json-lines", "--workers", str(workers)),
                ],
                env=environment(**variables),
                stdout=subprocess.PIPE,
                stderr=log,
                # Its own group, so that a test's Ctrl-C reaches it as a terminal's would.
                start_new_session=True,
            )
        self.port = 0

    def listening(self):
        line = self.process.stdout.readline()
        assert line, self.text()
        self.port = json.loads(line)["port"]
        self.url = f"http://127.0.0.1:{self.port}"
        wait_until("all workers serve", lambda: len(self.serving()) == self.count)
        return self

    def text(self):
        return self.log.read_text(errors="replace")

    def workers(self):
        """The workers that live."""
        try:
            children = psutil.Process(self.process.pid).children()
        except psutil.NoSuchProcess:
            return []
        return [p for p in children if p.status() != psutil.STATUS_ZOMBIE]

    def serving(self):
        """Which of them are past their start, by the published size that they write down for one another."""
        out = []
        for worker in self.workers():
            try:
                directory = worker.environ()["PROMETHEUS_MULTIPROC_DIR"]
                values = MmapedDict.read_all_values_from_file(f"{directory}/gauge_livemin_{worker.pid}.db")
                if any(value for key, value, _, _ in values if "published_size" in key):
                    out.append(worker)
            except (psutil.Error, OSError, KeyError, RuntimeError, struct.error):
                continue
        return out

    def client(self):
        return ApiClient(self.world, self.url, AUTHORITY)

    def send(self, message):
        """Send by a connection of its own until it is answered, as an outbox does; the answer."""
        while True:
            client = self.client()
            try:
                answer = client.post_message(message)
            except httpx.TransportError:
                time.sleep(0.02)
                continue
            finally:
                client.close()
            if answer.status_code in {200, 201}:
                return answer
            assert answer.status_code in {429, 503}, answer.text
            time.sleep(0.02)

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.end()

    def end(self):
        code = self.process.wait(_PATIENCE_S)
        self.process.stdout.close()
        return code


class Lives:
    """Starts workers for one home after another; whatever still lives in the end is killed."""

    def __init__(self, home):
        self.home = home
        self._started, self._seen = [], []

    def start(self, world, **options):
        self._note()
        self._started.append(Served(world, self.home, **options))
        return self._started[-1]

    def living(self, world):
        """Those that serve; new ones where the test before has ended them, or left them in disorder."""
        last = self._started[-1] if self._started else None
        if last is None or len(last.serving()) != WORKERS:
            self.end()
            last = self.start(world).listening()
        last.world = world
        return last

    def _note(self):
        self._seen += [worker for served in self._started for worker in served.workers()]

    def end(self):
        self._note()
        for served in self._started:
            if served.process.poll() is None:
                served.process.kill()
                served.end()
        for worker in self._seen:
            if worker.is_running():
                worker.kill()
        self._started, self._seen = [], []


@pytest.fixture
def serve(world, process_home):
    """Starts workers for a home of one's own."""
    lives = Lives(process_home)
    yield partial(lives.start, world)
    lives.end()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def lives(request, founded_templates, key_file_template, tmp_path_factory):
    """Workers that several tests use: starting them takes most of a test."""
    copied = founded_templates.copy(
        founded_templates.template(request.param), tmp_path_factory.mktemp("workers") / "home"
    )
    (copied.home / "keys").mkdir(mode=0o700)
    shutil.copy(key_file_template, copied.home / "keys" / "broker.keys")
    made = Lives(copied.home)
    yield made
    made.end()
    founded_templates.drop(copied)


@pytest.fixture
def served(lives, world):
    return lives.living(world)


def figures(text, name):
    """The samples of a metric by their labels."""
    return {m[1] or "": float(m[2]) for m in re.finditer(rf"^{name}(\{{.*\}})? (\S+)$", text, re.MULTILINE)}


def grown(before, after, name):
    """By how much each sample has grown."""
    was = figures(before, name)
    return {labels: value - was.get(labels, 0) for labels, value in figures(after, name).items()}


def check_one_history(home):
    done = run_cli("rebuild", "--check", "--home", home)
    assert done.returncode == 0, done.stdout + done.stderr


def test_workers_whose_parent_is_killed_end_too(world, lives, served):
    workers = served.workers()
    message = world.message(NAIROBI, [KAMPALA])
    assert served.send(message).status_code == 201
    told = served.text().count(PARENT_GONE)
    assert served.stop(signal.SIGKILL) == -signal.SIGKILL
    _gone, alive = psutil.wait_procs(workers, _PATIENCE_S)
    assert alive == []
    assert served.text().count(PARENT_GONE) == told + WORKERS
    again = lives.living(world)
    assert again.send(message).status_code == 200
    check_one_history(served.home)


def test_workers_are_one_broker(world, served):
    client = served.client()
    counted = client.http.get("/metrics").text
    messages = [world.message(NAIROBI, [KAMPALA]) for _ in range(24)]
    answers = [served.send(m) for m in messages]
    client.refresh()
    indexes = {
        client.verify_accepted(a, m.document)[0].inclusion.index
        for a, m in zip(answers, messages, strict=True)
    }
    assert len(indexes) == 24
    assert {served.send(m).status_code for m in messages} == {200}
    entries, _, _ = client.verified_box(KAMPALA, Box.ROUTINE)
    assert len([e for e in entries if e.inclusion.index in indexes]) == 24
    # One answer shows the figures of all: what each counted, together, and no worker by itself.
    text = client.http.get("/metrics").text
    assert grown(counted, text, "countermark_accepted_total") == {'{kind="message"}': 24.0}
    assert grown(counted, text, "countermark_repeated_total") == {"": 24.0}
    assert figures(text, "countermark_fatal") == {"": 0.0}
    assert "pid=" not in text
    client.close()
    check_one_history(served.home)


def test_every_worker_answers(served):
    """Ask each one alone, the others being stopped."""
    workers = served.workers()
    for one in workers:
        others = [other for other in workers if other != one]
        for other in others:
            other.suspend()
        try:
            # A connection that a stopped worker took waits in it for ever: one of several is this worker's.
            answered = wait_until(f"worker {one.pid} answers", lambda: ask_at_once(served.port, 8))
            assert answered.startswith(b"HTTP/1.1 200 ")
        finally:
            for other in others:
                other.resume()


def ask_at_once(port, count):
    """What is answered first on so many connections."""
    with ExitStack() as stack:
        connections = []
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(b"GET /v1/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            connections.append(connection)
        answered, _, _ = select.select(connections, [], [], 2)
        return answered[0].recv(4096) if answered else None


def test_a_killed_worker_is_started_again_and_nothing_is_lost(world, served):
    messages = [[world.message(NAIROBI, [KAMPALA]) for _ in range(15)] for _ in range(3)]
    done = []

    def send(mine):
        for message in mine:
            done.append((message, served.send(message)))

    threads = [threading.Thread(target=send, args=(mine,)) for mine in messages]
    for thread in threads:
        thread.start()
    before = served.workers()
    wait_until("some are accepted", lambda: len(done) > 5)
    before[0].kill()
    wait_until("some more are accepted", lambda: len(done) > 15)
    before[1].kill()
    for thread in threads:
        thread.join()
    after = wait_until("all workers are there again", lambda: len(s := served.serving()) == WORKERS and s)
    assert len({worker.pid for worker in (*before, *after)}) == WORKERS + 2
    client = served.client()
    client.refresh()
    indexes = [client.verify_accepted(a, m.document)[0].inclusion.index for m, a in done]
    assert len(set(indexes)) == len(indexes) == 45
    entries, _, _ = client.verified_box(KAMPALA, Box.ROUTINE)
    mine = {m.document for m, _ in done}
    assert sorted(e.inclusion.index for e in entries if e.document in mine) == sorted(indexes)
    # What the dead have counted stays counted; what they showed of themselves is gone.
    text = client.http.get("/metrics").text
    assert figures(text, "countermark_connections").keys() == {""}
    client.close()
    check_one_history(served.home)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_stop_finishes_what_was_accepted(world, served, how):
    messages = [world.message(NAIROBI, [KAMPALA]) for _ in range(40)]
    accepted, began = [], threading.Event()

    def send(mine):
        client = served.client()
        for message in mine:
            try:
                answer = client.post_message(message)
            except httpx.TransportError:
                break
            if answer.status_code == 503:
                break
            assert answer.status_code == 201, answer.text
            accepted.append(message.payload_hash)
            began.set()
        client.close()

    threads = [threading.Thread(target=send, args=(messages[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    assert began.wait(_PATIENCE_S)
    pids = [worker.pid for worker in served.workers()]
    if how is signal.SIGINT:
        # A terminal sends it to the whole group in its foreground.
        os.killpg(served.process.pid, how)
        assert served.end() == 0
    else:
        assert served.stop(how) == 0
    for thread in threads:
        thread.join()
    assert not any(map(psutil.pid_exists, pids))
    logged = {bytes(row[0]) for row in sql(served.home, "SELECT payload_hash FROM entries")}
    assert set(accepted) <= logged
    check_one_history(served.home)


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_stop_while_workers_are_just_starting_ends_all(serve):
    served = serve(workers=FEW)
    assert served.process.stdout.readline()
    assert served.stop() == 0
    assert "Traceback" not in served.text()


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_wrong_configuration_ends_all(serve):
    served = serve(workers=FEW, node_key="pkcs11:token=none")
    assert served.end() == 1
    assert "stopping all" in served.text()


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_fatal_state_at_the_start_ends_all(serve, process_home):
    (process_home / "checkpoint" / "checkpoint").unlink()
    served = serve(workers=FEW)
    assert served.end() == 3
    assert "store_missing" in served.text()


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_fatal_state_found_while_serving_shows_in_the_exit_code(world, serve, process_home):
    served = serve(workers=FEW, store_poll_ms="50").listening()
    (process_home / "checkpoint" / "checkpoint").rename(process_home / "away")
    client = served.client()
    wait_until(
        "the finding shows in the figures of all",
        lambda: figures(client.http.get("/metrics").text, "countermark_fatal") == {"": 1.0},
    )
    client.problem(client.post_message(world.message(NAIROBI, [KAMPALA])), "fatal_state")
    client.close()
    assert served.stop() == 3


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_worker_that_finds_the_database_away_is_started_again(world, serve, process_home, postgres_server):
    """It must not end the others, which wait for the database as well."""
    assert not is_sqlite(process_home)
    served = serve(workers=FEW).listening()
    name = re.search(r"@/(t[0-9a-f]+)", (process_home / "broker.toml").read_text())[1]
    # Nobody may connect, and nobody is: to its users the database is away.
    postgres_server._admin(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    postgres_server._admin(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    try:
        served.workers()[0].kill()
        wait_until("it has tried and failed", lambda: "(-75)" in served.text())
        assert served.process.poll() is None
    finally:
        postgres_server._admin(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    wait_until("all workers are there again", lambda: len(served.serving()) == FEW)
    assert served.send(world.message(NAIROBI, [KAMPALA])).status_code == 201
    assert served.stop() == 0
    check_one_history(process_home)
