"""`countermark audit`: an auditor's look-ups, its mirror, and what is wrong with the log."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from countermark_client._witnessing import read_own_policy
from countermark_client.audit._findings import Finding, evidence_of, list_findings, settle
from countermark_client.audit._hand_back import hand_back_tail
from countermark_client.audit._holdings import holdings_of_mirror
from countermark_client.audit._look_ups import look_up as log_look_up
from countermark_client.audit._look_ups import mandate_of, running_look_up
from countermark_client.audit._signatures import Signatures
from countermark_client.audit._source import BrokerSource
from countermark_client.audit._sync import synchronise
from countermark_client.audit._verify import verify_file
from countermark_client.cli import _late as late
from countermark_client.cli.common import FOLDER, HOUR_MS, NEW_FILE, Access, environment, now, with_home
from countermark_client.cli.comparing import narrowing_of, out_option, with_narrowing, written
from countermark_client.cli.mirrors import mirror_option, opened, path_of
from countermark_client.cli.output import REFUSED, Result, command, progress, safe, say, table, utc
from countermark_client.cli.reporting import report
from countermark_client.cli.reviewing import search, timeline
from countermark_protocol.acts import Scope
from countermark_protocol.errors import NotFoundError
from countermark_protocol.timestamps import TsaRoots, parse_tsa_roots
from countermark_protocol.tlog_policy import TlogPolicy, parse_policy

if TYPE_CHECKING:
    from countermark_client.audit._source import Progress
    from countermark_protocol.tile_reader import Fetch

#: How `sync` and `verify` end where there are findings.
FOUND: Final = REFUSED
_UNITS: Final = {"m": HOUR_MS // 60, "h": HOUR_MS}
#: Seconds between two lines about one step, where nobody looks at a bar.
_LINE_SECONDS: Final = 5.0
_SHOWN: Final = 50

_processes_option = click.option(
    "--processes",
    type=click.IntRange(0, 256),
    metavar="N",
    help="Processes that verify signatures; 0 for none beside this one. [default: one a processor]",
)
_policy_option = click.option(
    "--policy",
    "policy_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Witnesses that you believe beside those the log names, as C2SP tlog-policy. "
    "[default: `witnesses.policy` in the mirror's folder, if it is there]",
)
_roots_option = click.option(
    "--tsa-roots",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Certificates (PEM) of authorities of time stamps that you believe: without any, no time stamp bounds a time.",
)


@click.group("audit")
def audit() -> None:
    """Audit the log under a mandate: look up, mirror, verify, search, report, and list what is wrong."""


for one in (search, timeline, report):
    audit.add_command(one)


def _policy(file: Path | None, mirror: Path) -> TlogPolicy | None:
    """The auditor's own policy, if there is one."""
    return read_own_policy(mirror.parent) if file is None else parse_policy(file.read_bytes())


def _roots(file: Path | None) -> TsaRoots:
    """The authorities of time stamps that are believed."""
    return () if file is None else parse_tsa_roots(file.read_bytes())


def _untold(_done: int, _total: int) -> None:
    """Before the first step."""


class _Steps:
    """A progress bar for each step; where nobody looks, a line at its end and now and then."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._what = ""
        self._advance: Callable[[int, int], None] = _untold
        self._told = 0.0

    def __enter__(self) -> Progress:
        return self._step

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _step(self, what: str, done: int, total: int) -> None:
        if what != self._what:
            self._stack.close()
            self._what = what
            self._advance = self._stack.enter_context(progress(what))
            self._told = time.monotonic()
        self._advance(done, total)
        if sys.stderr.isatty():
            return
        if done == total or time.monotonic() - self._told >= _LINE_SECONDS:
            self._told = time.monotonic()
            say(f"{what}: {done} of {total}")


def _duration(_context: click.Context, _parameter: click.Parameter, text: str) -> int:
    match = re.fullmatch(r"([1-9][0-9]{0,3})([mh])", text)
    lasts = int(match[1]) * _UNITS[match[2]] if match is not None else 0
    if not 0 < lasts <= 24 * HOUR_MS:
        raise click.BadParameter("expected minutes or hours up to a day, such as 30m or 8h")
    return lasts


@audit.command("look-up")
@click.option(
    "--scope",
    type=click.Choice([scope.value for scope in Scope]),
    required=True,
    help="The mandate to look under.",
)
@click.option("--ground", required=True, metavar="TEXT", help="Why: it stands in the log.")
@click.option(
    "--for", "lasts", default="1h", show_default=True, callback=_duration, help="How long, up to 24h."
)
@mirror_option
@with_home
@command
def look_up(scope: str, ground: str, lasts: int, folder: Path | None, access: Access) -> Result:
    """State in the log that this auditor looks, under which mandate and why; `sync` reads under it.

    Examples:
      countermark audit look-up --scope oversight --ground 'quarterly review, panel decision 7'
      countermark audit look-up --scope national --ground 'inquiry 12 of 2026' --for 8h
    """
    with access.client() as client, opened(path_of(folder, access), make=True) as mirror:
        made = log_look_up(client, mirror, Scope(scope), ground, now() + lasts)
    return Result(
        [
            f"logged as entry {made.index}, {utc(made.time)}: scope {scope}, until {utc(made.look_up.until)}",
            f"ground: {safe(ground)}",
        ],
        index=made.index,
        time=made.time,
        look_up=made.payload.hex(),
        scope=scope,
        ground=ground,
        until=made.look_up.until,
    )


@audit.command("sync")
@mirror_option
@_processes_option
@_policy_option
@click.option(
    "--leaves",
    metavar="URL",
    help="Read leaves from a mirror of the log, such as a witness's; checked as the broker's own are.",
)
@_roots_option
@with_home
@command
def sync(
    folder: Path | None,
    processes: int | None,
    policy_file: Path | None,
    leaves: str | None,
    tsa_roots: Path | None,
    access: Access,
) -> Result:
    """Bring the mirror up to date, and judge everything that it takes in.

    Goes on where it was ended, whatever ended it. Ends with code 1 while there are findings that nobody has
    settled.

    Examples:
      countermark audit sync
      countermark audit sync --mirror /srv/audit/national
      countermark audit sync --leaves https://witness.example.org/mirror/5c0e…
    """
    path = path_of(folder, access)
    own, roots = _policy(policy_file, path), _roots(tsa_roots)
    with access.client() as client, opened(path) as mirror:
        scope = Scope(mirror.text("scope"))
        source = BrokerSource(client, running_look_up(mirror, now()))
        with (
            Signatures(processes) as signatures,
            _tiles(leaves, access) as fetch,
            _Steps() as steps,
        ):
            done = synchronise(
                mirror,
                source,
                mandate_of(client.profile, scope),
                clock=now,
                signatures=signatures,
                progress=steps,
                own=own,
                leaves=fetch,
                roots=roots,
            )
    standing = "" if done.verified == done.size else f"; it stands still at entry {done.verified}"
    return Result(
        [
            f"mirrored  {done.size} entries of the log",
            *([f"leaves    {done.from_mirror} bundles read from {leaves}"] if leaves is not None else []),
            f"judged    {done.new} new; all that the mandate covers below {done.verified}{standing}",
            *_told(done.open, f"{len(done.found)} of them new"),
            *(f"remark    {safe(remark)}" for remark in done.remarks),
        ],
        FOUND if done.open else 0,
        size=done.size,
        verified=done.verified,
        new=done.new,
        found=[f.to_json() for f in done.found],
        open=[f.to_json() for f in done.open],
        remarks=list(done.remarks),
        from_mirror=done.from_mirror,
    )


@contextlib.contextmanager
def _tiles(url: str | None, access: Access) -> Iterator[Fetch | None]:
    """What a mirror of the log serves; None where none was named."""
    if url is None:
        yield None
        return
    from countermark_client.audit._tiles import HttpTiles  # noqa: PLC0415  needed here alone, and slow to load

    verify = str(access.ca) if access.ca is not None else True
    with HttpTiles(url, transport=environment().transport, verify=verify) as tiles:
        yield tiles.fetch


@audit.command("verify")
@mirror_option
@_processes_option
@click.option(
    "--fingerprint",
    metavar="TEXT",
    help="Of the trust file, as compared by voice. [default: that of the profile's trust file]",
)
@_policy_option
@_roots_option
@with_home
@command
def verify(
    folder: Path | None,
    processes: int | None,
    fingerprint: str | None,
    policy_file: Path | None,
    tsa_roots: Path | None,
    access: Access,
) -> Result:
    """Verify the mirror again, from its own bytes alone: offline, without keys or passphrase.

    Trusts the founding's fingerprint and nothing else. Ends with code 1 if anything is wrong, with the log or
    with the mirror.

    Examples:
      countermark audit verify
      countermark audit verify --mirror copy --fingerprint '3f9a 01c2 77d0 5be1 0c2e 9981 aa40 6d13'
    """
    path = path_of(folder, access)
    if not path.exists():
        raise NotFoundError("no_mirror", f"there is no mirror in {path.parent}")
    own, roots = _policy(policy_file, path), _roots(tsa_roots)
    expected = " ".join(fingerprint.lower().split()) if fingerprint is not None else _own_fingerprint(access)
    begun = time.monotonic()
    with Signatures(processes) as signatures, _Steps() as steps:
        done = verify_file(
            path, expected, clock=now, signatures=signatures, progress=steps, own=own, roots=roots
        )
    seconds = max(time.monotonic() - begun, 0.001)
    return Result(
        [
            f"leaves    {done.size}, {done.proven} of them under a signed root",
            f"judged    everything below entry {done.entries}, {round(done.entries / seconds)} entries a second",
            *_told(done.found, ""),
            *(f"remark    {safe(remark)}" for remark in done.remarks),
        ],
        FOUND if done.found else 0,
        size=done.size,
        proven=done.proven,
        verified=done.entries,
        seconds=round(seconds, 3),
        found=[f.to_json() for f in done.found],
        remarks=list(done.remarks),
    )


def _own_fingerprint(access: Access) -> str:
    from countermark_client._profile_files import TRUST_FILE  # noqa: PLC0415  needed here alone, and slow to load
    from countermark_client._trust import read_trust_file  # noqa: PLC0415

    path = access.home / TRUST_FILE
    if not path.exists():
        raise click.UsageError(f"there is no profile in {access.home}: give --fingerprint")
    return read_trust_file(path.read_bytes()).fingerprint


@audit.command("holdings")
@out_option
@with_narrowing
@click.option(
    "--endpoint",
    "parties",
    multiple=True,
    metavar="ADDRESS",
    help="Only boxes of this endpoint, or of endpoints of this authority. [default: all]",
)
@mirror_option
@with_home
@command
def holdings(
    out: Path,
    boxes: tuple[str, ...],
    begin: str | None,
    end: str | None,
    documents: bool,
    parties: tuple[str, ...],
    folder: Path | None,
    access: Access,
) -> Result:
    """Write what the mirror holds of the log, to be compared with what an endpoint or another auditor holds.

    Positions of boxes as they were shown, accounts, and checkpoints: no content, and no signed statement unless
    --statements is given. It says what whoever gets the file learns. Offline, without keys or passphrase.

    Examples:
      countermark audit holdings -o auditor.holdings --endpoint ke.police.nairobi --from 2026-11-01
    """
    wanted = narrowing_of(boxes, begin, end, parties, documents=documents)
    with opened(path_of(folder, access)) as mirror:
        return written(holdings_of_mirror(mirror, now(), wanted), out)


@audit.command("hand-back")
@click.option(
    "--from",
    "first",
    type=click.IntRange(min=0),
    required=True,
    metavar="INDEX",
    help="The first entry that the operator lacks: `countermark-broker recover` tells it.",
)
@click.option("-o", "--out", type=NEW_FILE, required=True, metavar="FILE", help="File to write.")
@mirror_option
@with_home
@command
def hand_back(first: int, out: Path, folder: Path | None, access: Access) -> Result:
    """Write the entries of an oversight mirror from INDEX on, for an operator who has lost them.

    The file holds their secrets, as the mirror does: hand it to the operator and to nobody else. Offline, without keys
    or passphrase.

    Examples:
      countermark audit hand-back --from 1841 -o overseer.hand-back
    """
    with opened(path_of(folder, access)) as mirror:
        done = hand_back_tail(mirror, first, out, now())
    return Result(
        [
            f"handed back  {done.statements} entries from {first} on, in {out}",
            f"digest       {done.digest.hex()}",
        ],
        file=str(out),
        entries=done.statements,
        digest=done.digest.hex(),
    )


@audit.command("findings")
@click.option("--all", "everything", is_flag=True, help="Those too that were settled.")
@click.option(
    "--evidence", "out", type=FOLDER, metavar="DIR", help="Write the bytes that show each into a folder."
)
@click.option("--settle", "number", type=int, metavar="N", help="People have dealt with finding N.")
@click.option("--remark", metavar="TEXT", help="What became of it; with --settle.")
@mirror_option
@with_home
@command
def findings(
    everything: bool,
    out: Path | None,
    number: int | None,
    remark: str | None,
    folder: Path | None,
    access: Access,
) -> Result:
    """List what was not as it must be, in the log and in the mirror, with the bytes that show it.

    Ends with code 1 while there are findings that nobody has settled.

    Examples:
      countermark audit findings --evidence case-7
      countermark audit findings --settle 3 --remark 'operator restored a backup, see minutes of 3 May'
    """
    if (number is None) is not (remark is None):
        raise click.UsageError("give --settle and --remark together")
    with opened(path_of(folder, access)) as mirror:
        if number is not None and remark is not None:
            settle(mirror, number, remark)
        found = list_findings(mirror, settled=everything)
        evidence = {f.number: evidence_of(mirror, f.number) for f in found}
        still_open = len(list_findings(mirror))
    if out is not None:
        _write(out, evidence)
    members = [
        {**f.to_json(), "evidence": {name: data.hex() for name, data in evidence[f.number].items()}}
        for f in found
    ]
    return Result(
        [*_listed(found, len(found)), *([f"evidence written to {out}"] if out is not None and found else [])],
        FOUND if still_open else 0,
        findings=members,
    )


def _write(folder: Path, evidence: dict[int, dict[str, bytes]]) -> None:
    for number, pieces in evidence.items():
        place = folder / f"finding-{number}"
        place.mkdir(parents=True, exist_ok=True)
        for name, data in pieces.items():
            (place / f"{name}.bin").write_bytes(data)


def _told(found: Sequence[Finding], more: str) -> list[str | late.Table]:
    if not found:
        return ["findings  none"]
    head = (
        f"FINDINGS  {len(found)}{', ' + more if more else ''}; `countermark audit findings` tells all of them"
    )
    return [head, *_listed(found, _SHOWN)]


def _listed(found: Sequence[Finding], most: int) -> list[str | late.Table]:
    if not found:
        return ["no findings"]
    rows = [
        (f.number or "-", f.place, f.check.value, f.expected[:80], f.got[:80], f.settled or "")
        for f in found[:most]
    ]
    return [table(("NUMBER", "WHERE", "CHECK", "EXPECTED", "GOT", "SETTLED"), rows)]
