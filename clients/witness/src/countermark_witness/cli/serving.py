"""`serve`: runs the witness until it is told to stop."""

from __future__ import annotations

import contextlib
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
from countermark_witness.home import (
    KEYS_FILE,
    MIRROR_KEYS_FILE,
    MIRROR_STORE_FILE,
    STORE_FILE,
    read_passphrase,
)
from countermark_witness.keys import load_keys
from countermark_witness.mirror_store import Kept, MirrorStore
from countermark_witness.mirroring import Mirror, Mirroring, Reader
from countermark_witness.service import Witness
from countermark_witness.store import Store

#: Requests at a time; more are answered 503. Each holds at most 131,072 bytes.
MAX_CONCURRENT: Final = 64
#: s that a connection may idle: longer than the minute after which an unchanged head is cosigned again.
KEEP_ALIVE_S: Final = 75
#: MiB of disk that stay free beside a mirror, unless told otherwise.
KEEP_FREE_MIB: Final = 256


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


def server(witness: Witness, host: str, port: int, mirror: MirrorStore | None = None) -> uvicorn.Server:
    """A server of a witness, not yet started; it prints a JSON line once it listens.

    Args:
        witness: that answers.
        host: address to listen on.
        port: likewise; 0 lets the system choose.
        mirror: what it serves beside, if it is a mirror.
    """
    config = uvicorn.Config(
        build_app(witness, mirror),
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
@click.option(
    "--mirror-keep-free",
    "keep_free",
    type=click.IntRange(0),
    default=KEEP_FREE_MIB,
    show_default=True,
    metavar="MIB",
    help="MiB that a mirror leaves free on its disk, so that the witness can go on.",
)
@command
def serve(home: Path, passphrase_file: Path | None, host: str, port: int, keep_free: int) -> None:
    """Answer logs and monitors until SIGTERM; mirror logs too, once there was `mirror init`."""
    settings: dict[str, Any] = {"format": "%(asctime)s %(levelname)s %(message)s", "level": logging.INFO}
    logging.basicConfig(**settings, stream=sys.stderr)
    passphrase = read_passphrase(passphrase_file, os.environ)
    cosigners = load_keys(home / KEYS_FILE, passphrase)
    store = Store(home / STORE_FILE)
    # uvicorn raises the signal again once it has stopped; by then there is the store to be closed.
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)
    with contextlib.ExitStack() as stack:
        stack.callback(store.close)
        if not (home / MIRROR_KEYS_FILE).exists():
            server(Witness(store, cosigners), host, port).run()
            return
        kept = MirrorStore(home / MIRROR_STORE_FILE, keep_free << 20)
        stack.callback(kept.close)
        mirror = Mirror(store, kept, load_keys(home / MIRROR_KEYS_FILE, passphrase))
        mirroring = Mirroring(mirror, kept, _connect)
        mirroring.start()
        stack.callback(mirroring.stop)
        server(Witness(store, cosigners, durable=mirroring.wake), host, port, kept).run()


def _connect(kept: Kept) -> Reader:
    try:
        from countermark_witness.log_reader import LogReader  # noqa: PLC0415  httpx is for mirrors alone
    except ImportError:
        raise WitnessError(
            "no_http_client", "a mirror fetches by httpx: `pip install 'countermark-witness[mirror]'`"
        ) from None
    return LogReader(kept.url, kept.ca_file)
