"""`countermark-broker`: the command line of who runs a broker.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 fatal state (a person must look).
"""

from __future__ import annotations

import os

import click

from countermark_broker.cli.founding import found, init, show_fingerprint
from countermark_broker.cli.maintenance import doctor, migrate, rebuild
from countermark_broker.cli.serving import serve


@click.group(
    epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 fatal state: a person must look."
)
def main() -> None:
    """Run a Countermark broker: found its log, serve it, look after it."""
    # The database holds who wrote to whom: nothing this command makes is for others on the machine.
    os.umask(0o077)


for _command in (init, found, migrate, serve, doctor, rebuild, show_fingerprint):
    main.add_command(_command)
