"""What commands print, and how they end.

Rules: results on standard output, all else on standard error; ``error:`` says what is wrong, ``hint:`` what to do;
with ``--json`` one JSON object stands on standard output whatever happens. Exit codes: 0 done, 1 refused or failed,
2 wrong usage.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from countermark_protocol.errors import CountermarkError
from countermark_witness.home import check_environment

FAILED: Final = 1

F = TypeVar("F", bound=Callable[..., Any])


class Result(dict[str, Any]):
    """What a command found: JSON-able members, and the lines for people.

    Args:
        lines: for people.
        exit_code: how the command ends.
        members: for ``--json``.
    """

    def __init__(self, lines: list[str], exit_code: int = 0, **members: Any) -> None:
        super().__init__(members)
        self.lines = lines
        self.exit_code = exit_code


def command(function: F) -> F:
    """Give a command ``--json``, and print its `Result` or its error."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
    @functools.wraps(function)
    def wrapped(*args: Any, as_json: bool, **kwargs: Any) -> None:
        try:
            check_environment(os.environ)
            result = function(*args, **kwargs)
        except CountermarkError as error:
            fail(as_json, error.code, error.message, error.hint)
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            fail(as_json, "file", f"{name}{error.strerror}", "check the path and its permissions")
        if isinstance(result, Result):
            click.echo(json.dumps(result) if as_json else "\n".join(result.lines))
            if result.exit_code:
                raise SystemExit(result.exit_code)

    return wrapped  # type: ignore[return-value]


def fail(as_json: bool, code: str, message: str, hint: str) -> None:
    """End with an error."""
    if as_json:
        click.echo(json.dumps({"error": {"code": code, "message": message, "hint": hint}}))
    else:
        click.echo(f"error: {message} [{code}]", err=True)
        click.echo(f"hint: {hint}", err=True)
    raise SystemExit(FAILED)
