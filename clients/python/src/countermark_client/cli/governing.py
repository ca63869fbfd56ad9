"""`countermark draft governance`: the log's own record, with the witnesses and auditors that governors appoint."""

from __future__ import annotations

from pathlib import Path

import click

from countermark_client.cli.common import FILE, Access, key_id_of, load_public_key, with_home
from countermark_client.cli.drafted import drafts_of, out_option, synced, written
from countermark_client.cli.output import Result, command
from countermark_client.drafts import change_governance
from countermark_protocol.appointing import (
    WITNESS_FORM,
    make_oversight,
    parse_appointed_witness,
    parse_term_of,
)


@click.command("governance")
@click.option("--add-governor", "add", type=FILE, multiple=True, help=".pub file; may be repeated.")
@click.option("--remove-governor", "remove", multiple=True, help="Key id or .pub file; may be repeated.")
@click.option("--quorum", type=click.IntRange(1, 32), help="How many governors must sign.")
@click.option("--log-key", type=FILE, help=".pub file of a new log key (Ed25519).")
@click.option("--add-administrator", "add_admin", type=FILE, multiple=True, help="Of the broker: .pub file.")
@click.option("--remove-administrator", "remove_admin", multiple=True, help="Key id or .pub file.")
@click.option("--grace-minutes", type=click.IntRange(0, 10_080), help="Until an undelivered notice.")
@click.option("--reset-hours", type=click.IntRange(0, 720), help="Until a reset sealing key is used.")
@click.option(
    "--witness", "witnesses", metavar=WITNESS_FORM, multiple=True, help="Name a witness; may be repeated."
)
@click.option("--remove-witness", "removed_witnesses", metavar="NAME", multiple=True, help="Name it no more.")
@click.option(
    "--witness-quorum", type=click.IntRange(0, 32), help="How many witnesses make a checkpoint witnessed."
)
@click.option("--auditor", "auditors", metavar="ADDRESS", multiple=True, help="Appoint an oversight auditor.")
@click.option("--since", metavar="TIME", help="When the term of each --auditor begins, e.g. 2026-12-01.")
@click.option("--until", metavar="TIME", help="… and ends, e.g. 2027-12-01.")
@click.option(
    "--remove-auditor", "removed_auditors", metavar="ADDRESS", multiple=True, help="Withdraw a mandate."
)
@out_option
@with_home
@command
def governance(
    add: tuple[Path, ...],
    remove: tuple[str, ...],
    quorum: int | None,
    log_key: Path | None,
    add_admin: tuple[Path, ...],
    remove_admin: tuple[str, ...],
    grace_minutes: int | None,
    reset_hours: int | None,
    witnesses: tuple[str, ...],
    removed_witnesses: tuple[str, ...],
    witness_quorum: int | None,
    auditors: tuple[str, ...],
    since: str | None,
    until: str | None,
    removed_auditors: tuple[str, ...],
    out: Path,
    access: Access,
) -> Result:
    """Change the log's own record: governors and quorum, log key, the broker's administrator, periods, appointments.

    Naming a witness or an auditor that is there already gives it other keys, or another term. VKEY is a verifier key
    as `countermark-witness vkey` prints it, URL where the broker asks for cosignatures.

    Examples:
      countermark draft governance --add-governor tz.key.pub --quorum 3 -o governance.draft
      countermark draft governance --witness 'w1=w1.example+…+…@https://w1.example' --witness-quorum 1 -o w.draft
      countermark draft governance --auditor xo-eac.auditor.panel --since 2026-12-01 --until 2027-12-01 -o a.draft
    """
    if not (bool(auditors) == (since is not None) == (until is not None)):
        raise click.UsageError("--auditor, --since and --until go together")
    term = parse_term_of(since, until) if since and until else None
    with synced(access) as client:
        data = change_governance(
            drafts_of(client),
            client.directory,
            add_governors=[load_public_key(k) for k in add],
            remove_governors=[key_id_of(k) for k in remove],
            quorum=quorum,
            log_key=load_public_key(log_key) if log_key else None,
            add_administrators=[load_public_key(k) for k in add_admin],
            remove_administrators=[key_id_of(k) for k in remove_admin],
            undelivered_grace=grace_minutes * 60_000 if grace_minutes is not None else None,
            reset_delay=reset_hours * 3_600_000 if reset_hours is not None else None,
            add_witnesses=[parse_appointed_witness(w) for w in witnesses],
            remove_witnesses=removed_witnesses,
            witness_quorum=witness_quorum,
            add_auditors=[make_oversight(a, term) for a in auditors] if term else (),
            remove_auditors=removed_auditors,
        )
        return written(data, out, client)
