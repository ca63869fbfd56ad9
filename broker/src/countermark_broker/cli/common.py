"""Options and steps that commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from countermark_broker.config import HOME_VARIABLE, Settings, load_settings
from countermark_broker.log.faults import fault_points
from countermark_broker.parts import Parts, build_parts
from countermark_broker.services.keyring import load_keyring

_DIRECTORY: Any = click.Path(path_type=Path, file_okay=False)

home_option = click.option(
    "--home",
    type=_DIRECTORY,
    envvar=HOME_VARIABLE,
    required=True,
    help=f"The broker's home directory. [env: {HOME_VARIABLE}]",
)


def load_parts(home: Path) -> tuple[Settings, Parts]:
    """Settings and an unstarted node of a home directory."""
    settings = load_settings(home)
    return settings, build_parts(settings, load_keyring(settings), faults=fault_points(os.environ))
