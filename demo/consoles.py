"""`make demo-console`: two agencies' consoles side by side on two ports, with the demo's data, until stopped.

One agency has sent notices, an alert and tracing requests; the other has them before it, unread, and the desks of
other States have answered theirs. Everything lies in the folder ``.demo-console`` of the checkout and is made anew at
each run. Broker and consoles are processes of their own, on loopback.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console as Screen
from rich.table import Table

from countermark_client import Draft
from countermark_console.config import load_settings
from countermark_console.console import Console
from countermark_console.people.roles import Role
from countermark_console.people.second_factor import code_now, fresh_secret, shown_secret
from demo.exchange import Exchange
from demo.inventions import Inventions
from demo.ports import free_port
from demo.watching import watched
from demo.world import World, found, govern, serving

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".demo-console"
#: Whose consoles they are, and the port of each if it is free.
AGENCIES = (("us.police.delaware", 8441), ("br.contact.national", 8442))
#: Who works at each: name, full name, roles.
STAFF = (
    ("officer", "Officer of the desk", {Role.DRAFTS}),
    ("head", "Head of the desk", {Role.RELEASES, Role.DRAFTS}),
    ("admin", "Administrator", {Role.ADMINISTRATOR, Role.AUDITOR}),
)


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the demo: all that is needed to sign in."""

    name: str
    roles: str
    password: str
    key: str
    recovery: str


def main(arguments: list[str] | None = None) -> int:
    """Run until stopped; exit code 0 then."""
    parser = argparse.ArgumentParser(prog="make demo-console")
    parser.add_argument("--most", type=int, default=60, help="notices of each kind")
    options = parser.parse_args(arguments)
    screen = Screen(width=None if sys.stdout.isatty() else 112)
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    screen.rule("A log is founded, agencies are enrolled")
    world = found(FOLDER)
    with serving(world), ExitStack() as stack:
        stack.callback(world.close)
        govern(world)
        stack.enter_context(watched(world))
        screen.rule("Messages are exchanged")
        play(world, options.most)
        screen.rule("Two consoles are opened")
        for address, port in AGENCIES:
            url, accounts = stack.enter_context(console_of(world, address, port))
            show(screen, address, url, world.passphrase, accounts)
        screen.print("Stop with Ctrl-C. The next run makes everything anew.")
        stop.wait()
    return 0


def play(world: World, most: int) -> None:
    """Notices, an alert, tracing requests; everybody but the two reads and answers."""

    def track(drafts: Iterable[Draft], _label: str, _total: int) -> Iterator[Draft]:
        yield from drafts

    exchange = Exchange(world, Inventions(), track, most=most)
    exchange.notices()
    exchange.trace_requests()
    exchange.alert_and_others()
    shown = {address: world.clients.pop(address) for address, _ in AGENCIES}
    exchange.read_everything(lambda _address, _count: None)
    for client in shown.values():
        client.close()
        client.profile.close()


def make_accounts(console: Console) -> list[Account]:
    """Accounts with passwords of their own, second factors and recovery codes."""
    made = []
    for name, full_name, roles in STAFF:
        password = "-".join(secrets.token_hex(2) for _ in range(4))
        person = console.people.add("demo", name, full_name, roles, password=password)
        secret = fresh_secret()
        codes = console.people.set_totp(person, secret, code_now(secret, console.clock()))
        made.append(
            Account(name, ", ".join(sorted(roles)), password, shown_secret(secret), " ".join(codes[:2]))
        )
    return made


@contextmanager
def console_of(world: World, address: str, wanted: int) -> Iterator[tuple[str, list[Account]]]:
    """A console over an agency's profile, in a process of its own; its URL and accounts."""
    home = world.root / "consoles" / address
    home.mkdir(parents=True, mode=0o700)
    (home / "console.toml").write_text(f'profile = "{world.root / "agencies" / address}"\n', encoding="utf-8")
    console = Console.open(load_settings(home, {}))
    try:
        accounts = make_accounts(console)
    finally:
        console.close()
    port = wanted if is_free(wanted) else free_port()
    command = [
        sys.executable,
        "-m",
        "countermark_console.cli",
        "serve",
        "--home",
        str(home),
        "--port",
        str(port),
    ]
    environment = {name: v for name, v in os.environ.items() if not name.startswith("COUNTERMARK_CONSOLE_")}
    with (home / "console.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                msg = f"the console of {address} did not start; see {log.name}"
                raise RuntimeError(msg)
            yield line.split()[-1], accounts
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()


def is_free(port: int) -> bool:
    """Whether nobody listens on a loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def show(screen: Screen, address: str, url: str, passphrase: str, accounts: list[Account]) -> None:
    """Say how to sign in."""
    table = Table(title=f"{address}   {url}")
    for heading in ("name", "roles", "password", "key for an authenticator", "or once each"):
        table.add_column(heading, overflow="fold")
    for account in accounts:
        table.add_row(account.name, account.roles, account.password, account.key, account.recovery)
    screen.print(table)
    screen.print(f"passphrase of its keys: {passphrase}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
