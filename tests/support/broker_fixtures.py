"""A real broker in a directory of its own: founded, migrated by Alembic, served over ASGI or real HTTP."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock
from uuid import uuid4

import pytest
from uvicorn import Config

from countermark_broker.api.connections import BoundedServer, Connections, server_config
from countermark_broker.app import Broker
from countermark_broker.config import load_settings
from countermark_broker.log.faults import FaultPoints
from countermark_broker.parts import build_parts
from countermark_broker.services.accept import accept_directory
from countermark_broker.services.founding import complete_founding, found_log
from countermark_broker.services.keyring import Keyring, write_keys
from countermark_broker.services.node import Node
from countermark_broker.store import postgresql
from countermark_broker.store.migrate import find_migrations
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.keys import Algorithm
from support.api_client import ApiClient
from support.postgresql import PostgresServer, memory_directory
from support.world import World, seed

T = TypeVar("T")

AUTHORITY = "broker.example.org"
PASSPHRASE = "correct horse battery staple"


def enrolled_world() -> World:
    """The usual world as it stands once it is founded: its directory statements are made."""
    world = World()
    world.founding(), world.broker_keys(), world.setup()
    return world


def keyring(world: World) -> Keyring:
    """The broker's keys of a world."""
    return Keyring((world.log_key,), world.node_key, (world.administrator,))


def write_home(
    world: World, home: Path, *, key_files: bool = False, entry_key: bool = False, **settings: Any
) -> Path:
    """A home directory with broker.toml, and key files where a real process will need them."""
    home.mkdir(parents=True, exist_ok=True)
    lines = [f'origin = "{world.origin}"', f'authorities = ["{AUTHORITY}"]', "port = 0"]
    values: dict[str, Any] = {"store_poll_ms": 200, "heartbeat_ms": 200, "verify_threads": 2} | settings
    lines += [
        f"{name} = {f'{chr(34)}{v}{chr(34)}' if isinstance(v, str) else v}" for name, v in values.items()
    ]
    (home / "broker.toml").write_text("\n".join(lines) + "\n")
    if key_files:
        keys = (
            StoredKey("log", Algorithm.ED25519, seed("log")),
            StoredKey("node", Algorithm.ED25519, seed("node")),
        )
        if entry_key:
            keys = (*keys, StoredKey("entries", Algorithm.ED25519, seed("entries")))
        write_keys(home / "keys" / "broker.keys", keys, PASSPHRASE)
    return home


async def found(world: World, home: Path) -> None:
    """Found the log of a world in its home, and enrol everybody."""
    parts = build_parts(load_settings(home, {}), keyring(world))
    document = complete_founding(world.founding(), keyring(world))
    try:
        await found_log(parts.node, parts.appender, find_migrations(None), document, keyring(world), "node-1")
        parts.node.sequencer.start()
        for data in world.setup():
            await accept_directory(parts.node, data)
    finally:
        await parts.node.sequencer.stop()
        parts.node.verifier.close()
        await parts.node.database.close()
        await asyncio.to_thread(parts.node.store.close)


@asynccontextmanager
async def running(
    world: World, home: Path, faults: FaultPoints | None = None, clock: Any = None
) -> AsyncIterator[Broker]:
    """A started broker in this event loop."""
    broker = Broker(build_parts(load_settings(home, {}), keyring(world), clock, faults))
    try:
        await broker.start()
        yield broker
    finally:
        await broker.stop()


async def with_node(world: World, home: Path, use: Callable[[Node], Awaitable[T]]) -> T:
    """What `use` gives for the parts of a node of which nothing is started."""
    node = build_parts(load_settings(home, {}), keyring(world)).node
    try:
        return await use(node)
    finally:
        node.verifier.close()
        await node.database.close()


class _Server(BoundedServer):
    """Stops when it is told to, instead of at its next look."""

    def __init__(self, config: Config, connections: Connections) -> None:
        super().__init__(config, connections)
        self._told = asyncio.Event()

    def tell(self) -> None:
        self.should_exit = True
        self._told.set()

    async def main_loop(self) -> None:
        ticking = asyncio.create_task(super().main_loop())
        told = asyncio.create_task(self._told.wait())
        await asyncio.wait((ticking, told), return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if not ticking.cancel():
            ticking.result()


class HttpBroker:
    """A broker that serves real HTTP on a port of its own, in a thread with its own event loop."""

    def __init__(
        self, world: World, home: Path, faults: FaultPoints | None = None, clock: Any = None
    ) -> None:
        self.world, self.home = world, home
        self._faults, self._clock = faults, clock
        self._started = threading.Event()
        self._error: BaseException | None = None
        self.port = 0
        self._thread = threading.Thread(target=self._main, daemon=True)

    def start(self) -> HttpBroker:
        self._thread.start()
        self._started.wait(60)
        if self._error is not None:
            raise self._error
        return self

    def stop(self) -> None:
        self.broker.begin_stop()
        self._loop.call_soon_threadsafe(self._server.tell)
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._error = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        async with running(self.world, self.home, self._faults, self._clock) as broker:
            self.broker, self._loop = broker, asyncio.get_running_loop()
            connections = Connections(broker.node.settings, broker.node.metrics)
            config = server_config(broker.api, connections, "127.0.0.1", 0)
            self._server = _Server(config, connections)
            task = asyncio.create_task(self._server.serve())
            while not self._server.started and not task.done():
                await asyncio.sleep(0.005)
            self.port = self._server.servers[0].sockets[0].getsockname()[1]
            self._started.set()
            await task

    def client(self) -> ApiClient:
        return ApiClient(self.world, f"http://127.0.0.1:{self.port}", AUTHORITY)


@pytest.fixture(scope="session", autouse=True)
def _listening_ends_soon() -> Iterator[None]:
    """A node looks twice a second whether it is to listen to PostgreSQL no more; each test would wait for that."""
    with mock.patch.object(postgresql, "_LISTEN_S", 0.05):
        yield


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server for the tests of this process; each test has a database of its own on it."""
    server = PostgresServer(memory_directory()).start()
    yield server
    server.remove()


def _real_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database in which nothing is, empty for SQLite in the broker's home."""
    if request.param == "sqlite":
        yield ""
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = f"w{uuid4().hex}"
    yield server.create_database(name)
    server.drop_database(name)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def real_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """For worlds that a whole module shares."""
    yield from _real_database(request)


@pytest.fixture(params=["sqlite", "postgresql"])
def own_real_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """For worlds that are founded by one test alone."""
    yield from _real_database(request)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """Every test that needs a broker runs on both; one may choose by parametrising this, ``indirect=True``."""
    return str(request.param)


@pytest.fixture
def world() -> World:
    """The usual world, its directory statements already made."""
    return enrolled_world()


@pytest.fixture
def empty_database(database_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database in which nothing is."""
    if database_kind == "sqlite":
        yield f"sqlite:///{tmp_path}/new.sqlite3"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = f"t{uuid4().hex}"
    yield server.create_database(name)
    server.drop_database(name)


@pytest.fixture
async def broker(world: World, home: Path) -> AsyncIterator[Broker]:
    """A started broker in the test's event loop."""
    async with running(world, home) as started:
        yield started


@pytest.fixture
def http_broker(world: World, home: Path) -> Iterator[HttpBroker]:
    """A broker over real HTTP."""
    started = HttpBroker(world, home).start()
    yield started
    started.stop()


@pytest.fixture
def api(http_broker: HttpBroker) -> Iterator[ApiClient]:
    """A client of the broker over real HTTP."""
    client = http_broker.client()
    yield client
    client.close()


@pytest.fixture(scope="session")
def key_file_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The broker's key file, made once: Argon2id is slow on purpose."""
    path = tmp_path_factory.mktemp("keys") / "broker.keys"
    keys = (
        StoredKey("log", Algorithm.ED25519, seed("log")),
        StoredKey("node", Algorithm.ED25519, seed("node")),
    )
    write_keys(path, keys, PASSPHRASE)
    return path


@pytest.fixture
def process_home(home: Path, key_file_template: Path) -> Path:
    """A founded home that a process of its own can serve."""
    (home / "keys").mkdir(mode=0o700)
    shutil.copy(key_file_template, home / "keys" / "broker.keys")
    return home
