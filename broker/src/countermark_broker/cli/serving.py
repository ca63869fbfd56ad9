"""`serve`: runs a node until it is told to stop."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from pathlib import Path
from socket import socket
from types import FrameType
from typing import Final

import click
import uvicorn
import uvloop

from countermark_broker.app import Broker
from countermark_broker.cli.common import home_option, load_parts
from countermark_broker.cli.output import FATAL, Result, command
from countermark_broker.config import TEST_KILL_VARIABLE, Settings
from countermark_broker.log.faults import NoFaults

_log = logging.getLogger("countermark_broker")

#: s that an idle connection stays open: longer than a long-poll, so that clients can keep one.
_KEEP_ALIVE_S: Final = 75
#: Bytes of a request before its body; a signed one has less than 1 kB of ours.
_MAX_HEADER_BYTES: Final = 32 * 1024


class _Server(uvicorn.Server):
    """Tells the broker of the signal, so that long-polls end and nothing new is taken."""

    def __init__(self, config: uvicorn.Config, broker: Broker, as_json: bool) -> None:
        super().__init__(config)
        self._broker = broker
        self._as_json = as_json

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """On SIGTERM and SIGINT."""
        self._broker.begin_stop()
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Listen, then say where."""
        await super().startup(sockets)
        if self.started:
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
@command
def serve(home: Path, host: str | None, port: int | None, json_lines: bool) -> Result | None:
    """Run a node until SIGTERM; what was accepted is finished."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)
    settings, parts = load_parts(home)
    if not isinstance(parts.node.faults, NoFaults):
        _log.critical("TEST HOOKS ARE ON: this process will kill itself (%s)", TEST_KILL_VARIABLE)
    broker = Broker(parts)
    changed = {"host": host, "port": port}
    place = {name: value for name, value in changed.items() if value is not None}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, broker, place, json_lines))
    if parts.node.health.fatal is not None:
        raise SystemExit(FATAL)
    return None


async def _serve(settings: Settings, broker: Broker, changed: dict[str, str | int], as_json: bool) -> None:
    try:
        await broker.start()
        config = uvicorn.Config(
            broker.api,
            host=str(changed.get("host", settings.host)),
            port=int(changed.get("port", settings.port)),
            lifespan="off",
            # The other parser, which uvicorn prefers where it is installed, keeps headers of any size.
            http="h11",
            h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=settings.stop_grace_s,
        )
        server = _Server(config, broker, as_json)
        # uvicorn raises the signal again once it has stopped; by then there is more to finish here.
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, signal.SIG_IGN)
        await server.serve()
    finally:
        await broker.stop()
