"""`serve`: runs the witness until it is told to stop."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from pathlib import Path
from socket import socket
from typing import Any, Final

import click
import uvicorn

from countermark_witness.app import build_app
from countermark_witness.cli.common import home_option, passphrase_option
from countermark_witness.cli.output import command
from countermark_witness.errors import WitnessError
from countermark_witness.home import KEYS_FILE, STORE_FILE, read_passphrase
from countermark_witness.keys import load_keys
from countermark_witness.service import Witness
from countermark_witness.store import Store

#: Requests at a time; more are answered 503. Each holds at most 131,072 bytes.
MAX_CONCURRENT: Final = 64
#: s that a connection may idle: longer than the minute after which an unchanged head is cosigned again.
KEEP_ALIVE_S: Final = 75


class _Server(uvicorn.Server):
    """Says where it listens."""

    async def startup(self, sockets: list[socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as ended:
            # uvicorn has logged why, e.g. that the port is taken.
            place = f"{self.config.host}:{self.config.port}"
            raise WitnessError("cannot_listen", f"cannot listen on {place}") from ended
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            click.echo(json.dumps({"listening": f"http://{host}:{port}", "host": host, "port": port}))
            sys.stdout.flush()


def server(witness: Witness, host: str, port: int) -> uvicorn.Server:
    """A server of a witness, not yet started; it prints a JSON line once it listens.

    Args:
        witness: that answers.
        host: address to listen on.
        port: likewise; 0 lets the system choose.
    """
    config = uvicorn.Config(
        build_app(witness),
        host=host,
        port=port,
        lifespan="off",
        access_log=False,
        server_header=False,
        log_config=None,
        limit_concurrency=MAX_CONCURRENT,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    return _Server(config)


@click.command("serve")
@home_option
@passphrase_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8471,
    show_default=True,
    help="Port to listen on; 0: any.",
)
@command
def serve(home: Path, passphrase_file: Path | None, host: str, port: int) -> None:
    """Answer logs and monitors until SIGTERM."""
    settings: dict[str, Any] = {"format": "%(asctime)s %(levelname)s %(message)s", "level": logging.INFO}
    logging.basicConfig(**settings, stream=sys.stderr)
    cosigners = load_keys(home / KEYS_FILE, read_passphrase(passphrase_file, os.environ))
    store = Store(home / STORE_FILE)
    # uvicorn raises the signal again once it has stopped; by then there is the store to be closed.
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)
    try:
        server(Witness(store, cosigners), host, port).run()
    finally:
        store.close()
