"""`serve`: runs a node until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import resource
import signal
import sys
from pathlib import Path
from socket import socket
from types import FrameType
from typing import Final

import click
import uvicorn
import uvloop

from countermark_broker.api.connections import BoundedServer, Connections, server_config
from countermark_broker.app import Broker
from countermark_broker.cli.common import home_option, load_parts
from countermark_broker.cli.output import FATAL, Result, command
from countermark_broker.cli.workers import AWAY, cannot_listen, serve_by_workers
from countermark_broker.config import TEST_HOOKS_VARIABLE, Settings, load_settings
from countermark_broker.errors import UnavailableError
from countermark_broker.log.faults import NoFaults
from countermark_broker.logs import configure_logs, node_name

_log = logging.getLogger("countermark_broker")

#: Files that are no clients' connections: database, checkpoint store, logs.
_OWN_FILES: Final = 256
#: New objects until the youngest are looked at for cycles, and how many such looks until the older ones are.
_GARBAGE: Final = (100_000, 50, 100)
#: s after which a thread that computes lets another have the interpreter.
_SWITCH_S: Final = 0.0005


class _Server(BoundedServer):
    """Tells the broker of the signal, so that long-polls end and nothing new is taken."""

    def __init__(
        self, config: uvicorn.Config, connections: Connections, broker: Broker, as_json: bool
    ) -> None:
        super().__init__(config, connections)
        self._broker = broker
        self._as_json = as_json

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """On SIGTERM and SIGINT."""
        self._broker.begin_stop()
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Listen, then say where."""
        try:
            await super().startup(sockets)
        except SystemExit as ended:
            # uvicorn ends the process itself, with the code that means a fatal state here.
            if not isinstance(ended.__context__, OSError):
                raise
            raise cannot_listen(self.config.host, self.config.port, ended.__context__) from None
        if self.started and sockets is None:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            place = {"listening": f"http://{host}:{port}", "host": host, "port": port}
            click.echo(json.dumps(place) if self._as_json else f"listening on {place['listening']}")
            sys.stdout.flush()


@click.command("serve")
@home_option
@click.option("--host", help="Address to listen on, instead of the setting.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on, instead of the setting; 0: any."
)
@click.option("--json-lines", is_flag=True, help="Say where it listens as a JSON line.")
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Processes behind the port, each a whole node; as many as processors.",
)
@click.option("--listening-on", type=int, hidden=True, help="File descriptor of a port that is open.")
@command
def serve(
    home: Path,
    host: str | None,
    port: int | None,
    json_lines: bool,
    workers: int,
    listening_on: int | None,
) -> Result | None:
    """Run a node until SIGTERM; what was accepted is finished."""
    if workers > 1:
        settings = load_settings(home)
        configure_logs(settings.log_format, "workers")
        raise SystemExit(serve_by_workers(settings, workers, host, port, as_json=json_lines))
    settings, parts = load_parts(home)
    configure_logs(settings.log_format, node_name(parts.node.node_key.public_key.key_id))
    if not isinstance(parts.node.faults, NoFaults):
        _log.critical("TEST HOOKS ARE ON: this process harms itself (%s)", TEST_HOOKS_VARIABLE)
    broker = Broker(parts)
    changed = {"host": host, "port": port}
    place = {name: value for name, value in changed.items() if value is not None}
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, broker, place, json_lines, listening_on))
    except UnavailableError as error:
        if listening_on is None:
            raise
        _log.error("%s", error.message)
        raise SystemExit(AWAY) from None
    if parts.node.health.fatal is not None:
        raise SystemExit(FATAL)
    return None


async def _serve(
    settings: Settings,
    broker: Broker,
    changed: dict[str, str | int],
    as_json: bool,
    listening_on: int | None,
) -> None:
    try:
        await broker.start()
        connections = Connections(settings, broker.node.metrics, _connections_possible(settings))
        host, port = str(changed.get("host", settings.host)), int(changed.get("port", settings.port))
        server = _Server(server_config(broker.api, connections, host, port), connections, broker, as_json)
        if listening_on is not None:
            # The parent writes nothing: what can be read is that it is gone.
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _orphaned, server)
        _tune_interpreter()
        # uvicorn raises the signal again once it has stopped; by then there is more to finish here.
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, signal.SIG_IGN)
        opened = None if listening_on is None else [socket(fileno=listening_on)]
        await server.serve(opened)
    finally:
        await broker.stop()


def _orphaned(server: _Server) -> None:
    asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    _log.error("the process that started this worker is gone: stopping")
    server.handle_exit(signal.SIGTERM, None)


def _tune_interpreter() -> None:
    """Look for garbage less often, and change threads more often.

    Python looks for cycles after every 700 new objects, and a group of messages makes tens of thousands. What a
    node makes is nearly all freed without that. Measured: half of what parsing costs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    # While a group is committed all nodes wait, and each of its calls into the database gives up the interpreter.
    sys.setswitchinterval(_SWITCH_S)


def _connections_possible(settings: Settings) -> int:
    """Let this process have as many files as its connections need; how many connections that allows."""
    wanted = settings.max_connections + _OWN_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    possible = max(1, wanted - _OWN_FILES)
    if possible < settings.max_connections:
        _log.warning(
            "this system allows %d files a process: %d connections instead of max_connections = %d",
            hard,
            possible,
            settings.max_connections,
        )
    return possible
