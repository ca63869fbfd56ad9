"""`countermark`: the command line of agencies, authorities and governors.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 broker unreachable (what was sealed is kept in the
outbox), 4 evidence of misbehaviour found.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

import click

from countermark_client.cli.documents import document
from countermark_client.cli.drafting import draft
from countermark_client.cli.enrolment import enrol, init, principal
from countermark_client.cli.exporting import export
from countermark_client.cli.keys import key
from countermark_client.cli.looking import directory, group, type_, types, whoami
from countermark_client.cli.output import EXIT_CODES, REFUSED, USAGE, print_line, safe
from countermark_client.cli.receiving import (
    accept,
    conversation,
    inbox,
    list_messages,
    notices,
    reject,
    show_message,
    status,
)
from countermark_client.cli.sending import answer, flush, outbox, send
from countermark_client.cli.verifying import evidence, verify

_SECTIONS: Final[tuple[tuple[str, tuple[click.Command, ...]], ...]] = (
    ("Begin", (init, enrol, whoami)),
    ("Send", (send, answer, status, notices, flush, outbox)),
    ("Receive", (inbox, show_message, accept, reject, list_messages, conversation)),
    ("Look", (directory, group, types, type_, verify, evidence, export)),
    ("Govern", (key, principal, draft, document)),
)


class _Sectioned(click.Group):
    """A group whose help lists commands by what they are for, and whose usage errors have a hint."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the sections."""
        for title, commands in _SECTIONS:
            with formatter.section(title):
                formatter.write_dl([(c.name or "", c.get_short_help_str(200)) for c in commands])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the exit codes as they stand."""
        formatter.write_paragraph()
        formatter.write(EXIT_CODES + "\n")

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run, and end with the exit code; errors of usage are told like all others."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        prog_name = prog_name or "countermark"
        wanted = list(args) if args is not None else sys.argv[1:]
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.ClickException as error:
            _tell_usage(error, in_json="--json" in wanted)
            sys.exit(USAGE if isinstance(error, click.UsageError) else REFUSED)
        except click.Abort:
            click.echo("error: interrupted [interrupted]", err=True)
            sys.exit(REFUSED)
        sys.exit(code if isinstance(code, int) else 0)


def _tell_usage(error: click.ClickException, *, in_json: bool) -> None:
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context is not None else "countermark"
    hint = f"see `{path} --help`"
    if in_json:
        print_line({"error": {"code": "usage", "message": error.format_message(), "hint": hint, "facts": {}}})
        return
    click.echo(f"error: {safe(error.format_message())} [usage]", err=True)
    click.echo(f"hint: {hint}", err=True)


@click.group(
    "countermark",
    cls=_Sectioned,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="countermark-client", prog_name="countermark")
def main() -> None:
    """Exchange typed, signed, sealed messages with other agencies, and check the log that proves them.

    A profile (--home, COUNTERMARK_HOME) holds the keys of one instance of one endpoint and everything that
    it has verified. Passphrases come from COUNTERMARK_PASSPHRASE, --passphrase-file, or a prompt; never
    from an argument.
    """


for _, _commands in _SECTIONS:
    for _command in _commands:
        main.add_command(_command)
