"""`countermark holdings` and `compare`: what two parties hold of the log, put together.

Comparing asks for nothing: no profile, no passphrase, no network. It ends with code 4 if anything contradicts itself,
and writes a file for each contradiction, which `countermark evidence verify` checks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from countermark_client.cli.common import FILE, FOLDER, NEW_FILE, Access, parse_time, with_home, write_new
from countermark_client.cli.evidencing import read_file
from countermark_client.cli.output import MISBEHAVIOUR, Result, command, safe
from countermark_protocol.boxes import Box
from countermark_protocol.checkpoint import parse_checkpoint
from countermark_protocol.comparing import Comparison, Side, compare
from countermark_protocol.contradictions import Proven, encode_contradiction
from countermark_protocol.errors import MalformedError
from countermark_protocol.holdings import MAX_BYTES, Holdings, encode_holdings, parse_holdings

if TYPE_CHECKING:
    from countermark_client._holdings import MadeHoldings, Narrowing

F = TypeVar("F", bound=Callable[..., Any])

_narrowing_options: Any = (
    click.option(
        "--box",
        "boxes",
        type=click.Choice([box.value for box in Box]),
        multiple=True,
        help="Only this box. [default: all]",
    ),
    click.option("--from", "begin", metavar="TIME", help="Only entries from this day or time on, UTC."),
    click.option("--to", "end", metavar="TIME", help="Only entries before this day or time."),
    click.option(
        "--statements",
        "documents",
        is_flag=True,
        help="The signed statements too: who wrote to whom, of which type, how it is to be handled.",
    ),
)
out_option = click.option("-o", "--out", type=NEW_FILE, required=True, metavar="FILE", help="File to write.")


def with_narrowing(function: F) -> F:
    """Give a command the options that narrow holdings."""
    for option in reversed(_narrowing_options):
        function = option(function)
    return function


def narrowing_of(
    boxes: Sequence[str], begin: str | None, end: str | None, parties: Sequence[str], *, documents: bool
) -> Narrowing:
    """What the options say."""
    from countermark_client._holdings import Narrowing  # noqa: PLC0415  not for who compares

    return Narrowing(
        boxes=frozenset(Box(box) for box in boxes) or None,
        since=_ms(begin, "--from"),
        until=_ms(end, "--to"),
        parties=tuple(parties) or None,
        documents=documents,
    )


def _ms(text: str | None, what: str) -> int | None:
    return None if text is None else int(parse_time(text, what).timestamp() * 1000)


def written(made: MadeHoldings, out: Path) -> Result:
    """Write holdings, and say what they disclose."""
    from countermark_client._holdings import discloses  # noqa: PLC0415  not for who compares

    holdings = made.holdings
    write_new(out, encode_holdings(holdings))
    told = discloses(holdings)
    lines = [f"written: {out}. Whoever gets it learns:", *(f"  {safe(line)}" for line in told)]
    if holdings.narrowed:
        lines.append(f"left out: {safe(holdings.narrowed)}")
    if made.dropped:
        lines.append(f"left out: {made.dropped} more, which nobody else could verify any more")
    return Result(
        lines,
        file=str(out),
        discloses=told,
        narrowed=holdings.narrowed,
        dropped=made.dropped,
        entries=len(holdings.entries),
        accounts=len(holdings.accounts),
    )


@click.command("holdings")
@out_option
@with_narrowing
@click.option(
    "--with",
    "parties",
    multiple=True,
    metavar="ADDRESS",
    help="Only deliveries to this address, or to endpoints of this authority. [default: all]",
)
@click.option(
    "--against",
    "files",
    type=FILE,
    multiple=True,
    metavar="FILE",
    help="Holdings or a checkpoint of the other party: asks the log how it looked at its sizes.",
)
@with_home
@command
def holdings(
    out: Path,
    boxes: tuple[str, ...],
    begin: str | None,
    end: str | None,
    documents: bool,
    parties: tuple[str, ...],
    files: tuple[Path, ...],
    access: Access,
) -> Result:
    """Write what this profile holds of the log, to be compared with what another party holds.

    Accounts, proofs with the rows that were opened, checkpoints, and how the boxes chain: no content, no key, and no
    signed statement unless --statements is given. It says what whoever gets the file learns. Works while halted.

    Examples:
      countermark holdings -o nairobi.holdings
      countermark holdings -o nairobi.holdings --box sent --from 2026-11-01 --with be.contact.federal
      countermark holdings -o nairobi.holdings --against federal.holdings
    """
    wanted = narrowing_of(boxes, begin, end, parties, documents=documents)
    sizes = [size for path in files for size in _sizes(path)]
    with access.client() as client:
        made = client.holdings(wanted, sizes=sizes)
    return written(made, out)


def _sizes(path: Path) -> list[int]:
    """The sizes of the trees that a file of another party names, whatever they are worth."""
    data = read_file(path, MAX_BYTES)
    notes = parse_holdings(data).checkpoints if data.startswith(b"{") else [data]
    return [parse_checkpoint(note).size for note in notes]


@click.command("compare")
@click.argument("files", type=FILE, nargs=-1, required=True, metavar="FILE...")
@click.option(
    "-o", "--out", type=FOLDER, metavar="DIR", help="Folder for a file of each contradiction. [default: here]"
)
@click.option("--fingerprint", help="Of the log's founding, as you know it from elsewhere: it is compared.")
@command
def compare_files(files: tuple[Path, ...], out: Path | None, fingerprint: str | None) -> Result:
    """Compare what two parties or more hold of one log, and write what contradicts itself, a file each.

    Each FILE is written by `countermark holdings` or `countermark audit holdings`; or it is a checkpoint, as a
    witness or anybody keeps it. Offline, without a profile. `countermark evidence verify` checks what is written,
    for whoever has the log's fingerprint.

    Examples:
      countermark compare nairobi.holdings federal.holdings --fingerprint '9e32 47d4 1a8d 950b 47af 7717 fdca d349'
      countermark compare nairobi.holdings checkpoint.txt -o found
    """
    given = _read(files)
    done = compare(given, fingerprint)
    names = [path.name for path in files]
    folder = out or Path()
    found = []
    for number, one in enumerate(done.found, 1):
        target = folder / f"contradiction-{number}-{one.contradiction.claim}.json"
        folder.mkdir(parents=True, exist_ok=True)
        write_new(target, encode_contradiction(one.contradiction, given[0].log))
        found.append({"claim": one.contradiction.claim, "says": one.says, "file": str(target)})
    lines = [line for name, side in zip(names, done.sides, strict=True) for line in _side(name, side)]
    lines += _agreed(done, names)
    lines += [f"CONTRADICTION  {f['says']} [{f['claim']}]\n               {f['file']}" for f in found]
    lines.append(
        "nothing contradicts itself, in what these files show"
        if not found
        else "keep these files, and show them"
    )
    if fingerprint is None:
        lines.append(f"fingerprint  {done.fingerprint}: compare it with the one that you know")
    return Result(
        lines,
        MISBEHAVIOUR if found else 0,
        fingerprint=done.fingerprint,
        compared=fingerprint is not None,
        found=found,
        agreed=[
            {"files": [str(files[one]), str(files[other])], "size": size} for one, other, size in done.agreed
        ],
        sides=[_side_json(path, side) for path, side in zip(files, done.sides, strict=True)],
    )


def _read(files: Sequence[Path]) -> list[Holdings]:
    data = [read_file(path, MAX_BYTES) for path in files]
    parsed = [parse_holdings(one) if one.startswith(b"{") else None for one in data]
    first = next((one for one in parsed if one is not None), None)
    if first is None:
        raise MalformedError(
            "not_evidence", "expected at least one file of holdings: it says whose keys are whose"
        )
    return [
        one if one is not None else replace(_empty(first), checkpoints=(note,))
        for one, note in zip(parsed, data, strict=True)
    ]


def _empty(other: Holdings) -> Holdings:
    """Holdings of nothing, with another's directory."""
    return Holdings(other.log, None, 0, "", other.statements)


def _side(name: str, side: Side) -> list[str]:
    whose = f", of {side.holder}" if side.holder is not None else ""
    lines = [
        f"{safe(name)}{whose}",
        f"  {side.checkpoints} signed trees up to size {side.size}, {side.entries} entries, {side.accounts} accounts",
    ]
    lines += [
        f"  box {box} of {endpoint} up to position {count}" for endpoint, box, count in side.boxes if count
    ]
    if side.narrowed:
        lines.append(f"  left out, it says: {safe(side.narrowed)}")
    return lines


def _side_json(path: Path, side: Side) -> dict[str, Any]:
    return {
        "file": str(path),
        "holder": side.holder,
        "size": side.size,
        "checkpoints": side.checkpoints,
        "entries": side.entries,
        "accounts": side.accounts,
        "boxes": [{"endpoint": e, "box": box, "count": count} for e, box, count in side.boxes],
        "narrowed": side.narrowed,
    }


def _agreed(done: Comparison, names: Sequence[str]) -> list[str]:
    lines = []
    for one, other, size in done.agreed:
        both = f"{safe(names[one])} and {safe(names[other])}"
        lines.append(
            f"one log        {both} show the same {size} entries"
            if size
            else f"NOT COMPARED   the trees of {both}: no size is shown by both; `countermark holdings --against` asks "
            "the log for it"
        )
    return lines


def shown_contradiction(proven: Proven) -> Result:
    """What a file of a contradiction proves, for people and programs."""
    lines = [
        "PROVEN",
        f"  {safe(proven.says)} [{proven.claim}]",
        f"  by the keys of log '{proven.log}' itself",
    ]
    if not proven.compared:
        lines += [
            "",
            "NOT PROVEN",
            f"  that this is the log you mean: compare its fingerprint {proven.fingerprint}",
        ]
    return Result(
        lines,
        claim=proven.claim,
        says=proven.says,
        log=proven.log,
        fingerprint=proven.fingerprint,
        compared=proven.compared,
    )
