"""`countermark webhook`: being told that a box moved, instead of asking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import click

from countermark_client._flows_webhooks import DEFAULT_BOXES
from countermark_client.cli import _late
from countermark_client.cli.common import Access, now, pause, with_home
from countermark_client.cli.output import Result, command, safe, say, table, utc
from countermark_protocol.boxes import Box
from countermark_protocol.errors import NotFoundError, UncheckableError
from countermark_protocol.webhooks import Webhook

if TYPE_CHECKING:
    from countermark_client import Client

_LOOK_MS: Final = 500


@click.group("webhook")
def webhook() -> None:
    """Be told by a signed HTTPS call that a box of this endpoint moved. Reading it remains your part."""


def _state(one: Webhook, at: int) -> str:
    if not one.on:
        return f"OFF since {utc(one.off_at)}: {safe(one.error or '')}"
    if one.failures:
        return f"FAILING since {utc(one.failing_since)} ({one.failures} tries): {safe(one.error or '')}"
    if one.succeeded_at is None:
        return "waiting for its first call" if at - one.registered_at < 60_000 else "NEVER CALLED YET"
    return f"works, last told {utc(one.succeeded_at)}"


def _shown(found: Sequence[Webhook], keys: Sequence[str]) -> Result:
    at = now()
    for one in found:
        if not one.on:
            say(
                f"warning: {safe(one.url)} is switched off: mend it, then run `countermark webhook set` again"
            )
    lines: list[str | _late.Table] = [
        table(
            ("URL", "BOXES", "STATE", "NEXT TRY"),
            (
                (
                    one.url,
                    ", ".join(one.boxes),
                    _state(one, at),
                    utc(one.next_try) if one.failures and one.on else "",
                )
                for one in found
            ),
        )
        if found
        else "no webhooks: boxes are read by polling",
        "keys that sign the calls (give them to the receiver):",
        *(f"  {key}" for key in keys),
    ]
    return Result(lines, webhooks=[one.to_json() for one in found], keys=list(keys))


def _keys(client: Client) -> tuple[str, ...]:
    client.sync()
    return client.webhook_keys


@webhook.command("set")
@click.argument("url")
@click.option(
    "--box",
    "boxes",
    multiple=True,
    type=click.Choice([box.value for box in Box]),
    help="Box to be told of; repeat for more. [default: urgent, routine, notices]",
)
@with_home
@command
def set_(url: str, boxes: tuple[str, ...], access: Access) -> Result:
    """Have URL called when a box moves; it is called once now, too. Switches it on again, if it was off.

    Examples:
      countermark webhook set https://hooks.police.example/countermark
      countermark webhook set https://hooks.police.example/urgent --box urgent
    """
    with access.client() as client:
        keys = _keys(client)
        return _shown(client.set_webhook(url, boxes or DEFAULT_BOXES), keys)


@webhook.command("show")
@with_home
@command
def show(access: Access) -> Result:
    """Show the webhooks of this endpoint, how they fare, and the keys that sign their calls."""
    with access.client() as client:
        keys = _keys(client)
        return _shown(client.webhooks(), keys)


@webhook.command("remove")
@click.argument("url", required=False)
@click.option("--all", "everything", is_flag=True, help="Remove all webhooks of this endpoint.")
@with_home
@command
def remove(url: str | None, everything: bool, access: Access) -> Result:
    """Have URL called no more.

    Examples:
      countermark webhook remove https://hooks.police.example/countermark
      countermark webhook remove --all
    """
    if (url is None) is not everything:
        raise click.UsageError("give the URL to remove, or --all")
    with access.client() as client:
        keys = _keys(client)
        if url is not None:
            _one(client.webhooks(), url)
        return _shown(client.remove_webhook(url), keys)


@webhook.command("test")
@click.argument("url", required=False)
@click.option(
    "--wait",
    type=click.IntRange(1, 300),
    default=30,
    show_default=True,
    help="Seconds to wait for the outcome.",
)
@with_home
@command
def test(url: str | None, wait: int, access: Access) -> Result:
    """Have URL called now, and tell how that went; the only one there is, if no URL is given.

    Examples:
      countermark webhook test
    """
    with access.client() as client:
        keys = _keys(client)
        found = client.webhooks()
        if url is None and len(found) == 1:
            url = found[0].url
        if url is None:
            raise click.UsageError("give the URL to test: see `countermark webhook show`")
        # Setting it anew owes it a look at each of its boxes: the test takes the way that every look takes.
        found = client.set_webhook(url, _one(found, url).boxes)
        found = _await_outcome(client.webhooks, found, url, wait * 1000)
        one = _one(found, url)
        if one.failures or one.succeeded_at is None:
            raise UncheckableError(
                "webhook_not_answered",
                f"{safe(url)} was called and did not take it: {safe(one.error or 'no call yet')}",
                webhook=one.to_json(),
            )
        return _shown(found, keys)


def _one(found: Sequence[Webhook], url: str) -> Webhook:
    for one in found:
        if one.url == url:
            return one
    raise NotFoundError("unknown_webhook", f"this endpoint has no webhook {safe(url)}")


def _await_outcome(
    read: Callable[[], tuple[Webhook, ...]], found: tuple[Webhook, ...], url: str, left: int
) -> tuple[Webhook, ...]:
    while left > 0 and not _one(found, url).failures and _one(found, url).succeeded_at is None:
        pause(_LOOK_MS / 1000)
        left -= _LOOK_MS
        found = read()
    return found
