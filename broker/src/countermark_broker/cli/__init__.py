"""`countermark-broker`: the command line of who runs a broker.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 fatal state (a person must look).
"""

from __future__ import annotations

import importlib
import os
from typing import Final

import click

#: Where each command stands. Only the module of the one that runs is loaded: `serve` alone needs a web framework.
_COMMANDS: Final = {
    "init": "founding:init",
    "found": "founding:found",
    "migrate": "maintenance:migrate",
    "serve": "serving:serve",
    "doctor": "maintenance:doctor",
    "rebuild": "maintenance:rebuild",
    "fingerprint": "founding:show_fingerprint",
    "token-key": "founding:token_key",
    "backup": "keeping:backup",
    "fsck": "keeping:fsck",
    "purge": "purging:purge",
    "recover": "recovering:recover",
    "export": "moving:export",
    "import": "moving:import_",
    "log-key": "moving:log_key_group",
    "entry-key": "recovering:entry_key",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's own signature
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        return command


@click.group(
    cls=_Commands,
    epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 fatal state: a person must look.",
)
def main() -> None:
    """Run a Countermark broker: found its log, serve it, look after it."""
    # The database holds who wrote to whom: nothing this command makes is for others on the machine.
    os.umask(0o077)
