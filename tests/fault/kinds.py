"""Kinds of faults: what is done to a round's processes, disk, clock or connections while the load goes on.

A fault may do whatever it likes in `strike`; in the end at least one node must be there again, on the same files. When it strikes goes by how many messages are acknowledged, so that a round is the same by its seed,
apart from the machine's own timing.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from countermark_broker.log.faults import LOST_WRITES, POINTS, UNREPORTED_WRITES
from fault.ground import DATABASES, GAP_MS, POSTGRESQL, SQLITE, Ground, Stage, pause, set_url
from fault.load import Load
from fault.machine import FakeClock, SmallDisk
from fault.proxy import CuttingProxy
from fault.world import GRACE_MS
from support.postgresql import PostgresServer

#: The grace of rounds in which the broker is away, and how many messages must be about to expire by then.
LONG_GRACE_MS = 3_000
_BRIEFLY = 3


class Fault:
    """One fault of one round; each kind overrides what it needs.

    Args:
        ground: where templates come from.
        database: which kind.
        place: an empty directory of the round's own.
        dice: of the round.
    """

    #: So many nodes serve at once.
    nodes = 1
    #: Of the log: after expiry, until an undelivered notice.
    grace_ms = GRACE_MS
    #: The clock of something jumps.
    clock_moves = False
    #: All nodes are stopped and one is started anew before the log is looked at.
    restarts = False

    def __init__(self, ground: Ground, database: str, place: Path, dice: random.Random) -> None:
        self.ground, self.database, self.place, self.dice = ground, database, place, dice

    def home(self) -> Path:
        """A founded home."""
        return self.ground.home(self.database, self.place, self.grace_ms)

    def loader(self) -> Mapping[str, str]:
        """Further variables of the first node's environment."""
        return {}

    def first(self) -> Mapping[str, str]:
        """Further settings of the first node."""
        return {}

    def urls(self, stage: Stage) -> list[str]:
        """Where clients call."""
        return stage.urls

    def strike(self, stage: Stage, load: Load) -> None:
        """Do it, while the load goes on."""

    def end(self, load: Load) -> None:
        """Everything is sent. Demand that there was a fault at all, where that can be told."""

    def clean(self) -> None:
        """Give back what the machine lent; called whatever happened."""

    def sometime(self, load: Load, share: float = 0.75) -> None:
        """Wait until some share of the messages is acknowledged."""
        load.wait_for(self.dice.randint(5, int(load.total * share)))

    def moment(self) -> None:
        """Wait for less than the time between two commits."""
        pause(self.dice.uniform(0, 0.05))


# --- SIGKILL -----------------------------------------------------------------------------------------


class SigkillBroker(Fault):
    """The only node dies at a step of the commit order, or at any moment, and is started again.

    In every other round it is away for longer than the heartbeat's gap: then receivers get their grace anew.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._away = self.dice.random() < 0.5
        self._point = None if self._away else self.dice.choice((None, *POINTS))
        if self._away:
            # Longer than a start: what is told within it was told too early.
            self.grace_ms = LONG_GRACE_MS

    def first(self) -> Mapping[str, str]:
        if self._point is None:
            return {}
        # Every step is passed by every group; groups are few.
        return {"test_hooks": "1", "test_kill_at": f"{self._point}:{self.dice.randint(2, 20)}"}

    def strike(self, stage: Stage, load: Load) -> None:
        if self._point is None:
            if self._away:
                load.wait_until(lambda: load.briefly >= _BRIEFLY)
            else:
                self.sometime(load)
            self.moment()
            stage.kill()
            if self._away:
                pause(self.dice.uniform(1.3, 2))
        else:
            while stage.nodes[0].alive and load.sending():
                pause(0.01)
            if stage.nodes[0].alive:
                stage.kill()
            else:
                stage.bury()
        stage.start()
        load.urls = stage.urls
        if self._away:
            longest = max(absence.end - absence.begin for absence in stage.absences)
            assert longest > GAP_MS, f"the broker was away for {longest} ms only"


class SigkillNode(Fault):
    """One of two nodes dies; the other goes on alone."""

    nodes = 2

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._point = self.dice.choice((None, *POINTS))

    first = SigkillBroker.first

    def strike(self, stage: Stage, load: Load) -> None:
        if self._point is None:
            self.sometime(load)
            self.moment()
            stage.kill(self.dice.randrange(2))
            return
        while stage.nodes[0].alive and load.sending():
            pause(0.01)
        if stage.nodes[0].alive:
            stage.kill(0)
        else:
            stage.bury(0)


class SigstopNode(Fault):
    """One of two nodes is frozen for a moment, again and again; test_frozen_node.py has what ends a longer freeze."""

    nodes = 2

    def strike(self, stage: Stage, load: Load) -> None:
        for share in (0.2, 0.4, 0.6, 0.8):
            load.wait_for(int(load.total * share))
            self.moment()
            with stage.nodes[0].frozen():
                pause(self.dice.uniform(0.1, 0.5))


class SigkillDatabase(Fault):
    """PostgreSQL and all its processes die at once, and recover from their log."""

    nodes = 2

    def strike(self, stage: Stage, load: Load) -> None:
        self.sometime(load)
        self.moment()
        self.ground.server.kill()
        pause(self.dice.uniform(0, 0.3))
        self.ground.server.start()


# --- connections -------------------------------------------------------------------------------------


class CutConnections(Fault):
    """Connections between clients and broker end in the midst of requests and answers."""

    nodes = 2

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._proxies: list[CuttingProxy] = []

    def urls(self, stage: Stage) -> list[str]:
        self._proxies = [
            CuttingProxy(node.port, None, self.dice, least=200, most=30_000) for node in stage.nodes
        ]
        return [f"http://127.0.0.1:{proxy.port}" for proxy in self._proxies]

    def strike(self, stage: Stage, load: Load) -> None:
        for proxy in self._proxies:
            proxy.cut(True)
        load.wait_for(int(load.total * 0.9))
        for proxy in self._proxies:
            proxy.cut(False)

    def end(self, load: Load) -> None:
        assert sum(sum(proxy.cuts.values()) for proxy in self._proxies) > 0, "nothing was cut"

    def clean(self) -> None:
        for proxy in self._proxies:
            proxy.close()


class CutDatabase(Fault):
    """Connections between broker and PostgreSQL end in the midst of statements: commits of unknown outcome."""

    nodes = 2

    def home(self) -> Path:
        home = super().home()
        server = self.ground.server
        sockets = self.place / "s"
        sockets.mkdir()
        name = ".s.PGSQL.5432"
        self._proxy = CuttingProxy(
            server.directory / name, sockets / name, self.dice, least=4_000, most=150_000
        )
        path = home / "broker.toml"
        path.write_text(path.read_text().replace(f"host={server.directory}", f"host={sockets}"))
        return home

    def strike(self, stage: Stage, load: Load) -> None:
        load.wait_for(5)
        self._proxy.cut(True)
        load.wait_for(int(load.total * 0.8))
        self._proxy.cut(False)

    def end(self, load: Load) -> None:
        assert sum(self._proxy.cuts.values()) > 0, "nothing was cut"

    def clean(self) -> None:
        if hasattr(self, "_proxy"):
            self._proxy.close()


# --- writes ------------------------------------------------------------------------------------------


@dataclass
class FailingWrites:
    """Makes the faults of one write: again and again it is reported to have failed.

    Attributes:
        point: where, see `countermark_broker.log.faults`.
    """

    point: str

    def __call__(self, ground: Ground, database: str, place: Path, dice: random.Random) -> Fault:
        return _FailingWrite(ground, database, place, dice, self.point)


class _FailingWrite(Fault):
    restarts = True

    def __init__(self, ground: Ground, database: str, place: Path, dice: random.Random, point: str) -> None:
        super().__init__(ground, database, place, dice)
        self._point = point

    def first(self) -> Mapping[str, str]:
        # A commit is tried twice before its callers are told: two in a row must fail now and then.
        every, run = self.dice.randint(5, 9), self.dice.randint(1, 3)
        return {"test_hooks": "1", "test_fail_at": f"{self._point}:{every}:{run}"}


# --- disk --------------------------------------------------------------------------------------------


class FullDisk(Fault):
    """Database and checkpoint store lie on a small disk, which is full for a while."""

    restarts = True

    def home(self) -> Path:
        root = self.place / "disk"
        root.mkdir(mode=0o755)
        self._disk = SmallDisk(root, 24 if self.database == SQLITE else 96)
        self._server: PostgresServer | None = None
        if self.database == SQLITE:
            return self.ground.home(SQLITE, root)
        self._server = self.ground.own_server(root / "pg", small_segments=True)
        home = root / "home"
        shutil.copytree(self.ground.template(POSTGRESQL), home)
        set_url(home, self._server.url("founded"))
        return home

    def strike(self, stage: Stage, load: Load) -> None:
        self.sometime(load, 0.5)
        self._disk.fill()
        pause(self.dice.uniform(0.3, 0.8))
        self._disk.empty()
        if self._server is not None and not self._server.answers():
            self._server.kill()
            self._server.start()

    def end(self, load: Load) -> None:
        assert any(call.status in {None, 503} for call in load.recorder.calls), "the full disk hurt nobody"

    def clean(self) -> None:
        if getattr(self, "_server", None) is not None:
            self._server.stop()
        if hasattr(self, "_disk"):
            self._disk.remove()


# --- clocks ------------------------------------------------------------------------------------------

#: Seconds: within the tolerance, beyond it, beyond every time-out; forward and backward.
_JUMPS = (2.0, 20.0, 3_600.0, -2.0, -20.0, -3_600.0)


class ClockOfNode(Fault):
    """The clock of one of two nodes jumps; on SQLite a node's clock is its database's too."""

    nodes = 2
    clock_moves = True

    def loader(self) -> Mapping[str, str]:
        self._clock = FakeClock(self.place / "clock")
        return self._clock.environment

    def strike(self, stage: Stage, load: Load) -> None:
        for _ in range(2):
            self.sometime(load, 0.5)
            self._clock.move(self.dice.choice(_JUMPS))
            pause(self.dice.uniform(0.2, 0.5))
            # While no node may append nothing is acknowledged: the next moment would never come.
            self._clock.move(0)


class ClockOfDatabase(Fault):
    """The clock of the PostgreSQL server jumps; those of the nodes do not."""

    nodes = 2
    clock_moves = True

    def home(self) -> Path:
        self._clock = FakeClock(self.place / "clock")
        self._server = self.ground.own_server(self.place / "pg", environment=self._clock.environment)
        home = self.place / "home"
        shutil.copytree(self.ground.template(POSTGRESQL), home)
        set_url(home, self._server.url("founded"))
        return home

    strike = ClockOfNode.strike

    def clean(self) -> None:
        if hasattr(self, "_server"):
            self._server.stop()


# --- all ---------------------------------------------------------------------------------------------

MakeFault = Callable[[Ground, str, Path, random.Random], Fault]


@dataclass(frozen=True, slots=True)
class KindOfFault:
    """A kind with its name.

    Attributes:
        name: as in bench/results/faults.json.
        make: makes the fault of one round.
        databases: to which it applies.
    """

    name: str
    make: MakeFault
    databases: tuple[str, ...] = field(default=DATABASES)


KINDS: tuple[KindOfFault, ...] = (
    KindOfFault("sigkill_broker", SigkillBroker),
    KindOfFault("sigkill_node", SigkillNode),
    KindOfFault("sigstop_node", SigstopNode),
    KindOfFault("sigkill_database", SigkillDatabase, (POSTGRESQL,)),
    KindOfFault("cut_connections", CutConnections),
    KindOfFault("cut_database", CutDatabase, (POSTGRESQL,)),
    *(
        KindOfFault(f"{write}_{outcome}", FailingWrites(point))
        for outcome, points in (("lost", LOST_WRITES), ("unreported", UNREPORTED_WRITES))
        for write, point in points.items()
    ),
    KindOfFault("full_disk", FullDisk),
    KindOfFault("clock_of_node", ClockOfNode),
    KindOfFault("clock_of_database", ClockOfDatabase, (POSTGRESQL,)),
)
BY_NAME: Mapping[str, KindOfFault] = {kind.name: kind for kind in KINDS}
