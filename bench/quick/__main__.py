"""`python -m bench.quick`: under two minutes; see bench/README.md. Writes bench/results/quick.json."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from bench.quick.baselines import (
    GROUPS,
    BarePost,
    BarePostgresql,
    BareSqlite,
    Verifiers,
    commit_rate,
)
from bench.quick.ground import (
    CONTENT_BYTES,
    RECIPIENTS,
    ROOT,
    SENDERS,
    Prepared,
    Served,
    cpu_seconds,
    found_home,
    machine,
    prepare,
)
from bench.quick.load import Load, demand_accepted, demand_created, request, run_load
from bench.quick.pair import Pair
from bench.quick.results import figure, make_results, profile_of
from bench.quick.sealing import Sealing
from bench.quick.steps import STEPS, Steps

from countermark_protocol.bulk import encode_frames
from support.broker_fixtures import AUTHORITY
from support.postgresql import PostgresServer

RESULTS = ROOT / "bench" / "results" / "quick.json"
#: Processes of each broker: as many as processors, as an operator serves; and one, to see what it can do alone.
WORKERS = {"single": 2, "single_one_process": 1, "bulk": 2, "bulk_postgresql": 2}


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Counts of one round, and how many rounds."""
    parser = argparse.ArgumentParser(prog="python -m bench.quick", description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--rounds", type=int, default=5, help="each measures everything once, in turn")
    parser.add_argument("--bulk", type=int, default=4000, help="messages a round and database")
    parser.add_argument("--streams", type=int, default=8, help="bulk requests under way at once")
    parser.add_argument("--requests-each", type=int, default=2, help="bulk requests of a stream a round")
    parser.add_argument("--single", type=int, default=1000, help="single submissions a round")
    parser.add_argument("--bare", type=int, default=4000, help="bare requests a round")
    parser.add_argument("--connections", type=int, default=32, help="of single and bare requests")
    parser.add_argument("--commits", type=int, default=40, help="commits a round and size of group")
    parser.add_argument("--pair", type=int, default=20, help="messages of the pair a round")
    parser.add_argument(
        "--attachment-mib", type=int, default=64, help="size of the attachment that is sealed"
    )
    parser.add_argument("--to-many", type=int, default=200, help="recipients of the message to many")
    parser.add_argument("--steps", type=int, default=512, help="messages of the profile a round")
    return parser.parse_args(arguments)


class Bench:
    """Everything that is measured, started once; `round` measures each once, in turn."""

    def __init__(self, options: argparse.Namespace, stack: ExitStack) -> None:
        self.options = options
        self.samples: dict[str, list[float]] = defaultdict(list)
        self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cm-quick-")))
        # For every round, and for the small one to begin with.
        each = max(options.bulk, options.single, options.steps)
        self.messages = prepare(options.rounds * each + each // 20 + 1)
        self._rest = self.messages
        self.server = PostgresServer().start()
        stack.callback(self.server.remove)
        sqlite = found_home(self.directory / "sqlite")
        postgresql = found_home(self.directory / "postgresql", self.server.create_database("founded"))
        homes = {name: self.directory / name for name in ("single", "single_one_process", "bulk", "steps")}
        for home in homes.values():
            shutil.copytree(sqlite, home)
        for name in ("bulk", "steps"):
            home = homes[f"{name}_postgresql"] = self.directory / f"{name}-postgresql"
            shutil.copytree(postgresql, home)
            path, url = home / "broker.toml", self.server.create_database(name, "founded")
            path.write_text(path.read_text().replace(self.server.url("founded"), url))
        self.homes = homes
        self.steps = {"sqlite": Steps(homes["steps"]), "postgresql": Steps(homes["steps_postgresql"])}
        for one in self.steps.values():
            stack.callback(one.close)
        self.sealing = Sealing(options.attachment_mib, options.to_many)
        self.verifiers = Verifiers()
        stack.callback(self.verifiers.close)
        self.bare = BarePost()
        stack.callback(self.bare.stop)
        self.bare_sqlite = BareSqlite(self.directory)
        stack.callback(self.bare_sqlite.close)
        self.bare_postgresql = BarePostgresql(self.server.create_database("bare"))
        stack.callback(self.bare_postgresql.close)
        self.served = {}
        for name, workers in WORKERS.items():
            self.served[name] = Served(homes[name], workers)
            stack.callback(self.served[name].stop)
        for broker in self.served.values():
            broker.wait()
        self.pair = Pair(self.directory / "profiles", self.served["single_one_process"])
        stack.callback(self.pair.close)

    def warm(self) -> None:
        """Let every part meet its first request before a clock runs; nothing of it is kept."""
        options, kept = self.options, self.samples
        self.options, self.samples = argparse.Namespace(**vars(options)), defaultdict(list)
        for name in ("bulk", "single", "bare", "pair", "commits", "steps"):
            setattr(self.options, name, max(1, getattr(options, name) // 20))
        self.round()
        self.options, self.samples = options, kept

    def round(self) -> None:
        """Measure everything once; what is held against each other stands side by side."""
        options, take = self.options, self.samples
        # No message twice: a repeat is answered without being logged.
        messages = self._rest[: max(options.bulk, options.single, options.steps)]
        self._rest = self._rest[len(messages) :]
        take["ed25519_verify"].append(self.verifiers.rate(messages))
        self._bulk("bulk_sqlite", "bulk", messages[: options.bulk])
        take["ed25519_verify"].append(self.verifiers.rate(messages))
        self._bulk("bulk_postgresql", "bulk_postgresql", messages[: options.bulk])
        self._single(messages)
        for group in GROUPS:
            # One commit of 256 rows writes as much as many of one: fewer do.
            rows = [m.submission for m in messages[: max(1, options.commits // (1 + group // 16)) * group]]
            take[f"commit_sqlite_{group}"].append(commit_rate(self.bare_sqlite, group, rows))
            take[f"commit_postgresql_{group}"].append(commit_rate(self.bare_postgresql, group, rows))
        take["end_to_end_one_by_one"].append(self.pair.one_by_one(options.pair))
        take["end_to_end_bulk"].append(self.pair.many(options.pair * 3))
        for name, rate in self.sealing.measure().items():
            take[name].append(rate)
        for kind, steps in self.steps.items():
            for step, us in steps.measure(messages[: options.steps]).items():
                take[f"cpu_{kind}_{step}_us"].append(us)

    def _single(self, messages: Sequence[Prepared]) -> None:
        options = self.options
        bare = [request("/bare", AUTHORITY, m.submission) for m in messages]
        bare = (bare * -(-options.bare // len(bare)))[: options.bare]
        load = run_load(self.bare.port, bare, options.connections)
        demand_created(load, len(bare))
        self.samples["bare_post"].append(len(bare) / load.seconds)
        single = [request("/v1/messages", AUTHORITY, m.submission) for m in messages[: options.single]]
        for name in ("single", "single_one_process"):
            load = self._watched(name, name, len(single), single, options.connections)
            demand_created(load, len(single))

    def _bulk(self, figure_name: str, served: str, messages: Sequence[Prepared]) -> None:
        count = self.options.streams * self.options.requests_each
        # A stream is an agency's: messages of one sender follow one another.
        ordered = sorted(messages, key=lambda m: m.key)
        step = -(-len(ordered) // count)
        bodies = [
            request(
                "/v1/messages/bulk", AUTHORITY, encode_frames(m.submission for m in ordered[at : at + step])
            )
            for at in range(0, len(ordered), step)
        ]
        load = self._watched(figure_name, served, len(messages), bodies, self.options.streams)
        demand_accepted(load, len(messages))

    def _watched(self, name: str, served: str, count: int, requests: list[bytes], connections: int) -> Load:
        """Run a load; its rate, and the processor time of everybody in it for one message."""
        broker = self.served[served]
        before, database = broker.cpu_seconds(), sum(cpu_seconds(self.server.pid))
        idle = psutil.cpu_times().idle + psutil.cpu_times().iowait
        load = run_load(broker.port, requests, connections)
        used = [now - then for now, then in zip(broker.cpu_seconds(), before, strict=True)]
        database = sum(cpu_seconds(self.server.pid)) - database if "postgresql" in served else 0.0
        take, us = self.samples, 1_000_000 / count
        take[name].append(count / load.seconds)
        take[f"{name}_broker_cpu_us"].append(sum(used) * us)
        take[f"{name}_database_cpu_us"].append(database * us)
        take[f"{name}_generator_cpu_us"].append(load.cpu_seconds * us)
        take[f"{name}_busiest_process_percent"].append(100 * max(used) / max(sum(used), 1e-9))
        whole = load.seconds * (os.cpu_count() or 1)
        idle = psutil.cpu_times().idle + psutil.cpu_times().iowait - idle
        take[f"{name}_idle_percent"].append(100 * min(1.0, idle / whole))
        ours = sum(used) + database + load.cpu_seconds
        take[f"{name}_elsewhere_percent"].append(100 * max(0.0, 1 - (idle + ours) / whole))
        return load

    def profiles(self, figures: dict[str, Any]) -> dict[str, Any]:
        """Of every load that is held against an aim."""
        out: dict[str, Any] = {}
        for load in ("bulk_sqlite", "bulk_postgresql", "single", "single_one_process"):
            kind = "postgresql" if "postgresql" in load else "sqlite"
            own = {step: figures[f"cpu_{kind}_{step}_us"]["value"] for step in STEPS}
            out[load] = profile_of(figures, load, own, os.cpu_count() or 1)
        return out


def _unit(name: str) -> str:
    ends = {"_us": "µs", "_percent": "%", "_mb_s": "MB/s"}
    return next((unit for end, unit in ends.items() if name.endswith(end)), "1/s")


def run(options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """One run, from nothing to the results."""
    began = time.monotonic()
    with ExitStack() as stack:
        bench = Bench(options, stack)
        bench.warm()
        say(f"prepared {len(bench.messages)} messages in {time.monotonic() - began:.0f} s")
        for number in range(options.rounds):
            bench.round()
            say(
                f"round {number + 1}: "
                + ", ".join(f"{k} {v[-1]:.0f}" for k, v in bench.samples.items() if _unit(k) == "1/s")
            )
        figures = {name: figure(samples, _unit(name)) for name, samples in sorted(bench.samples.items())}
        profiles = bench.profiles(figures)
        sizes = {
            "content_json_bytes": CONTENT_BYTES,
            "submission_bytes": round(median(len(m.submission) for m in bench.messages)),
            "signed_bytes": round(median(len(m.signed) for m in bench.messages)),
            "recipients_each": 1,
            "senders": len(SENDERS),
            "recipients": len(RECIPIENTS),
            **{k: v for k, v in vars(options).items() if k != "out"},
            "workers": {**WORKERS, "bare_post": 1},
        }
        return make_results(machine(bench.directory), sizes, figures, profiles, time.monotonic() - began)


def main() -> None:
    """Measure, write, and show the ratios."""
    options = parse_arguments()
    results = run(options, lambda line: print(line, flush=True))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps({"ratios": results["ratios"], "aims": results["aims"]}, indent=2, ensure_ascii=False))
    print(f"written to {options.out} after {results['seconds']} s")


if __name__ == "__main__":
    main()
