"""`countermark-broker`: the command line of who runs a broker.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 fatal state (a person must look).
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping, MutableMapping
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
    "content": "content:content",
    "purge": "purging:purge",
    "recover": "recovering:recover",
    "export": "moving:export",
    "import": "moving:import_",
    "log-key": "moving:log_key_group",
    "entry-key": "recovering:entry_key",
    "succession": "succeeding:succession_group",
}


class _Commands(MutableMapping[str, click.Command]):
    """The commands by name, as click looks them up and suggests them; the module of one is loaded when it is."""

    def __init__(self, homes: Mapping[str, str]) -> None:
        self._found: dict[str, str | click.Command] = dict(homes)

    def __getitem__(self, name: str) -> click.Command:
        found = self._found[name]
        if isinstance(found, str):
            module, _, attribute = found.partition(":")
            found = self._found[name] = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
        assert isinstance(found, click.Command)
        return found

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._found[name] = command

    def __delitem__(self, name: str) -> None:
        del self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


@click.group(
    commands=_Commands(_COMMANDS),
    epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 fatal state: a person must look.",
)
def main() -> None:
    """Run a Countermark broker: found its log, serve it, look after it."""
    # The database holds who wrote to whom: nothing this command makes is for others on the machine.
    os.umask(0o077)
