"""`countermark-witness`: the command line of who runs a witness.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
"""

from __future__ import annotations

import os

import click

from countermark_witness.cli.looking import show, vkey
from countermark_witness.cli.making import add_log, init
from countermark_witness.cli.mirroring import mirror
from countermark_witness.cli.serving import serve


@click.group(epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage.")
def main() -> None:
    """Run a witness: cosign checkpoints of logs, and keep what contradicts itself."""
    os.umask(0o077)


main.add_command(init)
main.add_command(add_log)
main.add_command(mirror)
main.add_command(serve)
main.add_command(show)
main.add_command(vkey)
