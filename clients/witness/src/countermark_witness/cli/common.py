"""Options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from countermark_witness.home import HOME_VARIABLE, PASSPHRASE_VARIABLE

_DIRECTORY: Any = click.Path(path_type=Path, file_okay=False)
_FILE: Any = click.Path(path_type=Path, exists=True, dir_okay=False)

home_option = click.option(
    "--home",
    type=_DIRECTORY,
    envvar=HOME_VARIABLE,
    required=True,
    help=f"The witness's home directory. [env: {HOME_VARIABLE}]",
)
passphrase_option = click.option(
    "--passphrase-file",
    type=_FILE,
    help=f"Holds the passphrase of the key file; else the variable {PASSPHRASE_VARIABLE} does.",
)
