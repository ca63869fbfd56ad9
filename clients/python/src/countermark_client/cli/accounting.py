"""`countermark accounts`: the broker's signed negative answers, and whether they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from countermark_client.cli.common import Access, with_home
from countermark_client.cli.output import Result, command, short, table, utc
from countermark_protocol.accounts import parse_account
from countermark_protocol.documents import parse_document

if TYPE_CHECKING:
    from countermark_client import SelfCheck


@click.group("accounts")
def accounts() -> None:
    """Look at what the broker signed that it does not hold, or refuses, and whether that is true.

    All that it denied is compared by itself, once a day, with all that was proven since.
    """


def _told(check: SelfCheck | None) -> list[str]:
    if check is None:
        return ["last check   never"]
    counts = (
        f"{check.accounts} accounts compared, {check.replayed} of {check.refusals} refusals decided again"
    )
    lines = [f"last check   {utc(check.at)}: {counts}"]
    return [*lines, f"FOUND        {check.finding}" if check.finding else "found        no contradiction"]


def _json(check: SelfCheck | None) -> dict[str, Any] | None:
    if check is None:
        return None
    return {
        "at": check.at,
        "accounts": check.accounts,
        "refusals": check.refusals,
        "replayed": check.replayed,
        "finding": check.finding,
    }


@accounts.command("show")
@with_home
@command
def show(access: Access) -> Result:
    """Show the last check, how many accounts are kept, and every refusal.

    Example:
      countermark accounts show
    """
    with access.client() as client:
        check, kept = client.self_check, client.profile.store.accounts()
    refusals = [parse_account(parse_document(one.document).claims) for one in kept if one.refusal]
    rows = [
        (utc(a.made_at), a.refusal.rule, short(a.request), a.refusal.decided_size)
        for a in refusals
        if a.refusal is not None
    ]
    lines: list[Any] = [*_told(check), f"kept         {len(kept)} accounts, {len(refusals)} of them refusals"]
    if rows:
        lines.append(table(("MADE", "RULE", "OF", "LOG SIZE"), rows))
    return Result(
        lines,
        check=_json(check),
        kept=len(kept),
        refusals=[account.to_json() for account in refusals],
    )


@accounts.command("check")
@with_home
@command
def check_now(access: Access) -> Result:
    """Compare all accounts kept with all that was proven since, now.

    A contradiction is kept as evidence, with both documents, and nothing is sent any more until a person has decided.

    Example:
      countermark accounts check
    """
    with access.client() as client:
        done = client.check_accounts()
    return Result(_told(done), check=_json(done))
