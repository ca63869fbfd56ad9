"""`countermark-console`: serve the pages; accounts and the agency's log by command line.

``serve`` is what runs if nothing is said.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import click
import uvicorn

from countermark_console import __version__
from countermark_console.agency_log import actions
from countermark_console.agency_log.chain import parse_head
from countermark_console.agency_log.log import CONSOLE
from countermark_console.app import create_app
from countermark_console.config import Settings, load_settings
from countermark_console.console import Console
from countermark_console.people.roles import parse_roles
from countermark_protocol.errors import CountermarkError

_HOME = click.option(
    "--home", type=click.Path(path_type=Path, file_okay=False), help="Directory of the console."
)


def _open(settings: Settings) -> Console:
    try:
        return Console.open(settings)
    except CountermarkError as error:
        raise click.ClickException(str(error)) from None


def _settings(home: Path | None, **given: Any) -> Settings:
    try:
        return load_settings(home, **given)
    except CountermarkError as error:
        raise click.ClickException(str(error)) from None


@click.group(invoke_without_command=True)
@click.version_option(__version__, prog_name="countermark-console")
@_HOME
@click.pass_context
def main(context: click.Context, home: Path | None) -> None:
    """The console of an agency: officials compose, read and answer in a browser."""
    context.obj = home
    if context.invoked_subcommand is None:
        context.invoke(serve, home=home)


@main.command()
@_HOME
@click.option("--host", help="Address to listen on. [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on. [default: 8440]")
@click.pass_obj
def serve(inherited: Path | None, home: Path | None, host: str | None, port: int | None) -> None:
    """Serve the pages until stopped. On a fresh machine it says where the set-up goes on.

    Example:
      countermark-console serve --home /var/lib/countermark-console --port 8440
    """
    settings = _settings(home or inherited, host=host, port=port)
    console = _open(settings)
    listener = socket.create_server((settings.host, settings.port), family=_family(settings.host))
    bound = listener.getsockname()[1]
    console.log.write(CONSOLE, actions.STARTED, detail=__version__)
    click.echo(f"console  {_address(settings, bound)}/")
    if not console.people.any():
        click.echo(f"set-up   {_address(settings, bound)}/setup?code={console.setup_code.text}")
    console.start()
    config = uvicorn.Config(create_app(console), log_level="warning", access_log=False, server_header=False)
    try:
        uvicorn.Server(config).run([listener])
    finally:
        console.close()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _address(settings: Settings, port: int) -> str:
    if settings.public_url:
        return settings.public_url.rstrip("/")
    return f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{port}"


@main.group()
def people() -> None:
    """Accounts, by whoever has the machine."""


@people.command("add")
@click.argument("name")
@click.option("--full-name", required=True, help="Of the person.")
@click.option(
    "--role", "roles", multiple=True, required=True, help="drafts, releases, auditor, administrator."
)
@click.option("--email", default="", help="For notices without content.")
@click.option("--external", help="Name at the OpenID Connect provider, in place of a password.")
@click.option("--password-file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_HOME
@click.pass_obj
def add(
    inherited: Path | None,
    name: str,
    full_name: str,
    roles: tuple[str, ...],
    email: str,
    external: str | None,
    password_file: Path | None,
    home: Path | None,
) -> None:
    """Add the account NAME. Its person sets up the second factor at the first sign-in.

    Example:
      countermark-console people add j.mwangi --full-name "Jane Mwangi" --role drafts
    """
    password: str | None = None
    if external is None:
        password = (
            password_file.read_text().rstrip("\n")
            if password_file is not None
            else click.prompt("Password", hide_input=True, confirmation_prompt=True)
        )
    console = _open(_settings(home or inherited))
    try:
        person = console.people.add(
            CONSOLE,
            name,
            full_name,
            parse_roles(roles),
            password=password,
            external=external,
            email=email,
        )
    except CountermarkError as error:
        raise click.ClickException(str(error)) from None
    finally:
        console.close()
    click.echo(f"added: {person.name}, {', '.join(sorted(person.roles))}")


@main.command("verify-log")
@click.option("--expect", help="A head that was written down, such as 17:5f…: the log must pass through it.")
@_HOME
@click.pass_obj
def verify_log(inherited: Path | None, expect: str | None, home: Path | None) -> None:
    """Check the agency's log, entry by entry; show its head, to be written down.

    Example:
      countermark-console verify-log --expect 17:5f…
    """
    console = _open(_settings(home or inherited))
    try:
        head = console.log.verify(parse_head(expect) if expect is not None else None)
    except CountermarkError as error:
        raise click.ClickException(str(error)) from None
    finally:
        console.close()
    click.echo(f"whole: {head.number} entries\nhead   {head}")


if __name__ == "__main__":
    main()
