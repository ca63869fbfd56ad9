"""What commands on an auditor's mirror share: where it is, and which traffic and period they are asked about."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from countermark_client.audit._mirror import Mirror
from countermark_client.cli.common import FOLDER, Access, now, parse_time
from countermark_client.review._scope import RELATIVE, Period, Traffic, parse_period, period_between
from countermark_protocol.errors import MalformedError, NotFoundError

FILE_NAME: Final = "mirror.db"

F = TypeVar("F", bound=Callable[..., Any])

mirror_option = click.option(
    "--mirror",
    "folder",
    type=FOLDER,
    metavar="DIR",
    help="Folder of the mirror. [default: `mirror` in the profile's folder]",
)
traffic_option = click.option(
    "--exercise",
    "traffic",
    type=click.Choice([t.value for t in Traffic]),
    default=Traffic.REAL.value,
    show_default=True,
    help="Real traffic, drills, or both.",
)


def path_of(folder: Path | None, access: Access) -> Path:
    """The file of the mirror that a command is given."""
    return (folder or access.home / "mirror") / FILE_NAME


@contextlib.contextmanager
def opened(path: Path, *, make: bool = False) -> Iterator[Mirror]:
    """The opened mirror.

    Raises:
        NotFoundError: ``no_mirror``.
    """
    if make:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    elif not path.exists():
        raise NotFoundError("no_mirror", f"there is no mirror in {path.parent}")
    mirror = Mirror(path)
    try:
        yield mirror
    finally:
        mirror.close()


def with_period(function: F) -> F:
    """Give a command ``--from``, ``--to`` and ``--period``, as one argument `period`."""

    @click.option("--from", "begin", metavar="TIME", help="From this day or time on, UTC.")
    @click.option("--to", "end", metavar="TIME", help="Until this day or time, which is not included.")
    @click.option(
        "--period",
        "name",
        metavar="NAME",
        help=f"Instead of both: 2026, 2026-Q2, 2026-05, {', '.join(RELATIVE)}.",
    )
    @functools.wraps(function)
    def wrapped(*args: Any, begin: str | None, end: str | None, name: str | None, **kwargs: Any) -> Any:
        return function(*args, period=_period(begin, end, name), **kwargs)

    return wrapped  # type: ignore[return-value]


def _period(begin: str | None, end: str | None, name: str | None) -> Period:
    if name is not None and (begin is not None or end is not None):
        raise click.UsageError("give --period, or --from and --to")
    first = parse_time(begin, "--from") if begin is not None else None
    last = parse_time(end, "--to") if end is not None else None
    try:
        if name is not None:
            return parse_period(name, datetime.fromtimestamp(now() // 1000, UTC))
        return period_between(first, last)
    except MalformedError as error:
        raise click.UsageError(error.message) from None
