"""A real broker in a directory of its own: founded, migrated by Alembic, served over ASGI or real HTTP."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from countermark_broker.app import Broker, build_parts
from countermark_broker.config import load_settings
from countermark_broker.log.faults import FaultPoints
from countermark_broker.services.accept import accept_directory
from countermark_broker.services.founding import complete_founding, found_log
from countermark_broker.services.keyring import Keyring, write_keys
from countermark_broker.store.migrate import find_migrations
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.keys import Algorithm
from support.api_client import ApiClient
from support.world import World, seed

AUTHORITY = "broker.example.org"
PASSPHRASE = "correct horse battery staple"


def keyring(world: World) -> Keyring:
    """The broker's keys of a world."""
    return Keyring((world.log_key,), world.node_key, (world.administrator,))


def write_home(world: World, home: Path, *, key_files: bool = False, **settings: Any) -> Path:
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
        write_keys(home / "keys" / "broker.keys", keys, PASSPHRASE)
    return home


async def found(world: World, home: Path) -> None:
    """Found the log of a world in its home, and enrol everybody."""
    parts = build_parts(load_settings(home, {}), keyring(world))
    document = complete_founding(world.founding(), keyring(world))
    await found_log(parts.node, parts.appender, find_migrations(None), document, keyring(world), "node-1")
    parts.node.sequencer.start()
    for data in world.setup():
        await accept_directory(parts.node, data)
    await parts.node.sequencer.stop()
    parts.node.verifier.close()
    await parts.node.database.close()


@asynccontextmanager
async def running(
    world: World, home: Path, faults: FaultPoints | None = None, clock: Any = None
) -> AsyncIterator[Broker]:
    """A started broker in this event loop."""
    broker = Broker(build_parts(load_settings(home, {}), keyring(world), clock, faults))
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


class HttpBroker:
    """A broker that serves real HTTP on a port of its own, in a thread with its own event loop."""

    def __init__(self, world: World, home: Path, faults: FaultPoints | None = None) -> None:
        self.world, self.home = world, home
        self._faults = faults
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
        self._server.should_exit = True
        self.broker.begin_stop()
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
        async with running(self.world, self.home, self._faults) as broker:
            self.broker = broker
            config = uvicorn.Config(broker.api, port=0, log_level="warning", access_log=False, lifespan="off")
            self._server = uvicorn.Server(config)
            self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
            task = asyncio.create_task(self._server.serve())
            while not self._server.started and not task.done():
                await asyncio.sleep(0.005)
            self.port = self._server.servers[0].sockets[0].getsockname()[1]
            self._started.set()
            await task

    def client(self) -> ApiClient:
        return ApiClient(self.world, f"http://127.0.0.1:{self.port}", AUTHORITY)


@pytest.fixture(scope="session")
def founded_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the usual world is founded; tests copy it, since founding takes a second."""
    world = World()
    home = write_home(world, tmp_path_factory.mktemp("founded") / "home")
    asyncio.run(found(world, home))
    return home


@pytest.fixture
def world() -> World:
    """The usual world, its directory statements already made."""
    world = World()
    world.founding(), world.broker_keys(), world.setup()
    return world


@pytest.fixture
def home(founded_template: Path, tmp_path: Path) -> Path:
    """A founded home of one's own."""
    target = tmp_path / "home"
    shutil.copytree(founded_template, target)
    return target


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
