"""`countermark`: the command line of agencies, authorities and governors.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 broker unreachable (what was sealed is kept in the
outbox), 4 evidence of misbehaviour found.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import click

from countermark_client.cli.listed import SECTIONS
from countermark_client.cli.output import EXIT_CODES, REFUSED, USAGE, print_line, safe


class _Commands(MutableMapping[str, click.Command]):
    """The commands by name; the module of one is loaded when it is looked up.

    Help and most commands need little of what others need.
    """

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


class _Sectioned(click.Group):
    """A group whose help lists commands by what they are for, and whose usage errors have a hint."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the sections."""
        for title, listed in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(each.name, each.purpose) for each in listed])

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
    commands=_Commands({each.name: each.home for listed in SECTIONS.values() for each in listed}),
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
