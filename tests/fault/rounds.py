"""One round: load, fault, recovery on the same files, everything unanswered sent again, checker, rebuild."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from countermark_protocol.answers import parse_box_page
from countermark_protocol.boxes import Box
from countermark_protocol.documents import parse_document
from fault.checker import check
from fault.client import PATIENCE_S
from fault.final import Final, observe, read_contents, read_directory
from fault.findings import Violation, Wrong
from fault.ground import GAP_MS, Ground, Stage, make_world, rebuild_check
from fault.history import History
from fault.kinds import KindOfFault
from fault.load import EACH, Load
from fault.world import IGNORED
from support.api_client import ApiClient
from support.world import now_ms

#: Fewer acknowledged messages than this, and the round does not count.
LEAST = 100


@dataclass(frozen=True, slots=True)
class Result:
    """What a round came to.

    Attributes:
        kind: of fault.
        database: which.
        seed: of the round.
        acknowledged: messages whose acceptance was proven to their senders.
        calls: recorded.
        unanswered: of these.
        entries: in the log at the end.
        notices: undelivered ones among them.
        violations: that the checker found.
        rebuild: what `rebuild --check` complained of.
        least: acknowledged messages that the round must have had.
    """

    kind: str
    database: str
    seed: str
    acknowledged: int
    calls: int
    unanswered: int
    entries: int
    notices: int
    violations: tuple[Violation, ...]
    rebuild: str
    least: int = LEAST

    @property
    def sound(self) -> bool:
        """Nothing was found, and there was enough to find something in."""
        return not self.violations and not self.rebuild and self.acknowledged >= self.least

    def explain(self) -> str:
        """For people."""
        lines = [f"{self.kind} on {self.database}, seed {self.seed}: {self.acknowledged} acknowledged"]
        lines += [f"  {violation}" for violation in self.violations[:20]]
        return "\n".join(lines + ([f"  rebuild: {self.rebuild}"] if self.rebuild else []))


def run_round(
    ground: Ground, kind: KindOfFault, database: str, seed: str, *, each: int = EACH, least: int = LEAST
) -> Result:
    """Run one round.

    Args:
        ground: that it stands on.
        kind: of fault.
        database: which.
        seed: of load and dice.
        each: messages of each route.
        least: acknowledged messages that it must have.

    Raises:
        Missing: this machine does not allow the fault.
        TimeoutError: a client was never answered, although the broker was there again.
        AssertionError: a node did not end as it should.
    """
    place = ground.place()
    dice = random.Random(f"{seed} {kind.name} {database}")
    fault = kind.make(ground, database, place, dice)
    stage = None
    try:
        stage = Stage(make_world(fault.grace_ms), fault.home())
        stage.launch(fault.nodes, loader=fault.loader(), first=fault.first())
        load = Load(stage.world, seed, each, store=stage.store)
        stage.wait()
        before = first_entries(stage.client())
        load.start(fault.urls(stage))
        try:
            fault.strike(stage, load)
        except BaseException:
            load.given_up = True
            # That clients give up follows from what has failed, and must not hide it.
            with suppress(TimeoutError):
                load.finish()
            raise
        load.finish()
        fault.end(load)
        if fault.restarts:
            stage.stop()
            stage.start()
        load.urls = stage.urls
        load.look_again()
        history = History(
            tuple(load.recorder.calls),
            before,
            () if fault.clock_moves else tuple(stage.absences),
            GAP_MS,
            clock_moved=fault.clock_moves,
            signers=stage.world.signers(),
        )
        final = look(stage, load, wait=not fault.clock_moves)
        violations = check(history, final)
        stage.stop()
        rebuilt = rebuild_check(stage.home)
    except BaseException as error:
        if stage is not None:
            stage.abandon()
            error.add_note(
                f"round {kind.name} on {database}, seed {seed}; the nodes' log ends:\n{stage.log()[-3000:]}"
            )
        raise
    finally:
        fault.clean()
        ground.release(place)
        shutil.rmtree(place, ignore_errors=True)
    notices = sum(
        parse_document(one.entry.document).claims["kind"] == "undelivered"
        for (_, box), shown in final.boxes.items()
        if box is Box.NOTICES
        for one in shown
    )
    return Result(
        kind.name,
        database,
        seed,
        load.acknowledged,
        len(history.calls),
        sum(call.status is None for call in history.calls),
        len(final.leaves),
        notices,
        tuple(violations),
        rebuilt,
        least,
    )


def first_entries(client: ApiClient) -> tuple[bytes, ...]:
    """The documents of the log before the load: directory statements, all of them."""
    documents = tuple(logged.document for logged in read_directory(client))
    client.close()
    return documents


def look(stage: Stage, load: Load, *, wait: bool) -> Final:
    """Read the final log; first wait for the notices that are due."""
    client = stage.client()
    senders = {sealed.payload_hash: sealed.manifest.sender for sealed in load.sent}
    try:
        contents = read_contents(client, senders)
        if wait:
            wait_for_notices(client, load)
        final = observe(client, contents, now_ms() if wait else 0)
    finally:
        client.close()
    return final


def wait_for_notices(client: ApiClient, load: Load) -> None:
    """Wait until every message that was not collected in time has its notice, or none comes any more."""
    sender = IGNORED[1]
    expected = {
        (one.payload_hash.hex(), row.endpoint)
        for one in load.sent
        if one.manifest.sender == sender and one.manifest.expires_at < now_ms() + 60_000
        for row in one.rows
    }
    deadline = time.monotonic() + PATIENCE_S / 3
    while time.monotonic() < deadline:
        page = parse_box_page(
            client.request("GET", f"/v1/boxes/{sender}/notices?from=0&limit=500&wait=0", by=sender).content
        )
        for entry in page.entries:
            claims = parse_document(entry.document).claims
            if claims["kind"] == "undelivered":
                expected.discard((claims["message"], claims["recipient"]))
            else:
                expected -= {(item["message"], claims["from"]) for item in claims["items"]}
        if not expected:
            return
        time.sleep(0.1)


def counted(results: Sequence[Result], kind: Wrong) -> int:
    """How often a kind of violation was found."""
    return sum(violation.kind is kind for result in results for violation in result.violations)
