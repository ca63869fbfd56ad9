"""`make demo`: found a log, enrol authorities and endpoints, run the main job on real records, alert two hundred.

Everything lies in the folder ``.demo`` of the checkout and is made anew at each run. The broker runs in a
process of its own on loopback and is stopped at the end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from countermark_client import ConversationItem, Draft
from countermark_protocol.errors import CountermarkError
from countermark_protocol.keys import fingerprint
from countermark_protocol.messages.tracing_request import TracingAcknowledgement
from countermark_protocol.messages.tracing_response import TracingResponse
from demo.alert import play_alert
from demo.auditing import mirror_log, report_on_the_year, show_to_a_court
from demo.case import play_case
from demo.exchange import Exchange
from demo.inventions import Inventions
from demo.watching import QUORUM, WITNESSES, watched
from demo.world import AUDITOR, CAST, World, found, govern, run_broker, serving

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".demo"
#: Whose traces are shown.
REQUESTER = "us.police.delaware"


def main() -> int:
    """Run the demo; exit code 1 if anything was not as promised."""
    console = Console(width=None if sys.stdout.isatty() else 112)
    try:
        return _run(console)
    except CountermarkError as error:
        console.print(f"[red]error:[/red] {error}\nhint: {error.hint}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("stopped; the next run starts anew")
        return 1


def _run(console: Console) -> int:
    began = time.monotonic()
    inventions = Inventions()
    console.rule("1  A log is founded")
    world = found(FOLDER)
    console.print(run_broker("fingerprint", str(world.broker_home / "founding.trust")).strip())
    with serving(world), ExitStack() as stack:
        try:
            console.rule("2  Governors admit authorities, authorities enrol endpoints")
            govern(world)
            _show_cast(console, world)
            code, told = world.enrolled[REQUESTER]
            console.print(
                f"each in three steps: invited, keys made by itself, fingerprint compared and approved; for "
                f"{REQUESTER} the code was {code}, and the fingerprint read out was {told}",
                highlight=False,
            )
            stack.enter_context(watched(world))
            console.print(
                f"{len(WITNESSES)} witnesses cosign every checkpoint, {QUORUM} of them make it witnessed; "
                f"the governors have appointed {AUDITOR} as oversight auditor"
            )
            console.rule("3  The main job, on 955 real records (all sent as exercise)")
            exchange = _play(console, world, inventions)
            console.rule("4  The log, verified from outside")
            _verify(console, world)
            console.rule("5  What was exchanged")
            complete = _show_tally(console, exchange)
            _show_traces(console, exchange)
            console.rule("6  One case over four States, from the seizure to the figures of a national report")
            _play_case(console, world, inventions)
            console.rule("7  One alert to two hundred")
            reached = _play_alert(console, world, inventions)
            console.rule("8  One message, checked by a script that shares no code with this software")
            _check_independently(console, world, exchange)
            console.rule("9  An auditor mirrors the log, and verifies every signature and decision in it")
            console.print(mirror_log(world), highlight=False, soft_wrap=True)
            console.rule("10  What the auditor reports, from manifests and receipts alone")
            console.print(report_on_the_year(world), highlight=False, soft_wrap=True)
            console.rule("11  What a court gets: one file, checked without network or account")
            shown = show_to_a_court(world, REQUESTER, exchange.requests[1])
            console.print(shown, highlight=False, soft_wrap=True)
        finally:
            world.close()
    _show_inventions(console, inventions)
    _say_how_to_go_on(console, world)
    console.print(f"\ndone in {time.monotonic() - began:.0f} s")
    if not complete:
        console.print("[red]error:[/red] not every delivery was accepted")
    if not reached:
        console.print("[red]error:[/red] the alert did not reach two hundred")
    return 0 if complete and reached else 1


def _show_cast(console: Console, world: World) -> None:
    table = Table(
        "authority", "endpoint", "plays", title=f"{len(CAST)} authorities, {len(world.clients)} endpoints"
    )
    for code, (name, endpoints) in CAST.items():
        for address, role in endpoints.items():
            table.add_row(f"{code}  {name}", address, role)
    console.print(table)


def _play(console: Console, world: World, inventions: Inventions) -> Exchange:
    columns = TextColumn("{task.description:32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:

        def track(drafts: Iterable[Draft], label: str, total: int) -> Iterator[Draft]:
            yield from progress.track(drafts, total=total, description=f"send {label}")

        reading: dict[str, object] = {}

        def read(address: str, count: int) -> None:
            if address not in reading:
                reading[address] = progress.add_task(f"read {address}", total=None)
            progress.update(reading[address], completed=count)  # type: ignore[arg-type]

        exchange = Exchange(world, inventions, track)
        exchange.notices()
        exchange.trace_requests()
        exchange.alert_and_others()
        exchange.read_everything(read)
        for task in progress.tasks:
            progress.update(task.id, total=task.completed)
    return exchange


def _verify(console: Console, world: World) -> None:
    outsider = world.clients["be.auditor.national"]
    outsider.sync()
    report = outsider.verify_log()
    console.print(
        f"{report.size} leaves read and re-hashed; root {report.root.hex()[:16]}… is that of the signed checkpoint; "
        f"{report.directory_statements} directory statements give the head of the last leaf"
    )
    for client in world.clients.values():
        client.sync_sent()
    console.print(f"the boxes 'sent' of {len(world.clients)} endpoints hold exactly what they sent")
    console.print(run_broker("rebuild", "--check", "--home", str(world.broker_home)).strip())


def _show_tally(console: Console, exchange: Exchange) -> bool:
    tally, confirmed = exchange.tally, exchange.confirmed()
    table = Table("type", *("sent", "delivered", "accepted", "rejected"))
    for column in table.columns[1:]:
        column.justify = "right"
    for kind in sorted(tally.sent):
        counts = (c[kind] for c in (tally.sent, tally.delivered, tally.accepted, tally.rejected))
        table.add_row(kind, *(str(n) for n in counts))
    totals = [sum(c.values()) for c in (tally.sent, tally.delivered, tally.accepted, tally.rejected)]
    table.add_section()
    table.add_row("all", *(str(n) for n in totals))
    console.print(table)
    console.print(
        f"sent and proven: {totals[0] / tally.send_seconds:.0f} messages/s one after the other; "
        f"opened, validated, accepted (and traces answered): {totals[2] / tally.read_seconds:.0f} deliveries/s"
    )
    console.print(
        "as the senders know it from receipts: "
        + ", ".join(f"{count} {stage}" for stage, count in sorted(confirmed.items()))
    )
    return totals[1] == totals[2] == confirmed["accepted"] == confirmed.total() and not totals[3]


def _play_case(console: Console, world: World, inventions: Inventions) -> None:
    def tell(line: str) -> None:
        console.print(line, highlight=False, soft_wrap=True)

    case = play_case(world, inventions, tell)
    tell("the seized, traced and destroyed parts of Kenya's national report, each number with its messages:")
    for line in case.figures():
        tell(f"  {line}")


def _play_alert(console: Console, world: World, inventions: Inventions) -> bool:
    def tell(line: str) -> None:
        console.print(line, highlight=False, soft_wrap=True)

    return len(play_alert(world, inventions, tell).recipients) >= 200


def _show_traces(console: Console, exchange: Exchange) -> None:
    found_out = list(exchange.traces())
    table = Table("what became of it", "traces", "answered by", "for example, as its requester reads it")
    for outcome, count in Counter(outcome for outcome, _, _ in found_out).most_common():
        _, _, answer = next(each for each in found_out if each[0] == outcome)
        table.add_row(outcome, str(count), answer.manifest.sender, _in_words(answer))
    console.print(table)


def _in_words(answer: ConversationItem) -> str:
    content = answer.content
    if isinstance(content, TracingAcknowledgement):
        return "; ".join(f"{m.path}: {m.why}" for m in content.missing)
    assert isinstance(content, TracingResponse)
    result = content.item_results[0]
    if result.refusal is not None:
        return f"{', '.join(result.refusal.reasons)}: {result.refusal.text}"
    if result.inability is not None:
        return result.inability.text
    sale = result.chain[0]
    place = sale.from_.place if sale.from_ is not None else None
    where = f" by a dealer in {place.name}, {place.subdivision}" if place is not None else ""
    return f"{sale.event.value.lower()} sale on {sale.date}{where}; time to crime {result.time_to_crime_days} days"


def _show_inventions(console: Console, inventions: Inventions) -> None:
    table = Table("made up", "how often", "for example", title="What no record holds, and the demo made up")
    table.add_row("the cast", "1", "which State plays which part; all agencies of section 2")
    for each in inventions.summary():
        table.add_row(each.kind, str(each.count), each.first.value[:70])
    console.print(table)


def _check_independently(console: Console, world: World, exchange: Exchange) -> None:
    message = exchange.requests[1]
    (reader,) = world.clients[REQUESTER].status(message).recipients
    recipient = world.clients.pop(reader.recipient)
    home = recipient.profile.folder
    recipient.close()
    recipient.profile.close()
    bundle = FOLDER / "one-trace.json"
    environment = {**os.environ, "COUNTERMARK_PASSPHRASE": world.passphrase, "COUNTERMARK_HOME": str(home)}
    export = [sys.executable, "-m", "countermark_client.cli", "export", message.hex(), "-o", str(bundle)]
    verify = [
        sys.executable,
        "-I",
        str(ROOT / "tests/vectors/verify_independently.py"),
        "--bundle",
        str(bundle),
    ]
    for command in (export, verify):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            msg = f"{command[1:4]} failed:\n{done.stdout}{done.stderr}"
            raise RuntimeError(msg)
        console.print(done.stdout.strip().replace(f"{ROOT}/", ""), highlight=False, soft_wrap=True)


def _say_how_to_go_on(console: Console, world: World) -> None:
    mark = fingerprint(world.clients["us.contact.national"].profile.trust.document.payload_hash)
    lines = [
        f"Everything lies in {FOLDER.relative_to(ROOT)}/ (trust file fingerprint {mark}). To look around:",
        "  . .venv/bin/activate",
        "  export COUNTERMARK_PASSPHRASE=$(cat .demo/passphrase.txt)",
        "  export COUNTERMARK_HOME=.demo/agencies/br.contact.national",
        "  countermark-broker serve --home .demo/broker &",
        "  countermark list; countermark show HASH; countermark conversation HASH; countermark verify",
        "  countermark-broker doctor --home .demo/broker; kill %1",
        "  countermark audit timeline HASH --home .demo/agencies/xo-interpol.auditor.panel; ls .demo/reports/*",
    ]
    console.print("\n".join(lines), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
