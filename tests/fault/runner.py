"""Run fault rounds and write what they came to: ``python -m tests.fault --rounds 10`` from the checkout's root.

Every round is checked from the outside (checker.py) and by `rebuild --check`. The file that is written is
bench/results/faults.json; docs/reliability.md says how to read it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import multiprocessing.util
import os
import platform
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fault.findings import Wrong
from fault.ground import DATABASES, Ground
from fault.kinds import BY_NAME, KINDS
from fault.machine import Missing
from fault.rounds import LEAST, Result, counted, run_round

Job = tuple[str, str, str]

_ground: Ground | None = None


def main(arguments: Sequence[str]) -> int:
    """Run the rounds that are asked for; 0 if nothing was found wrong."""
    options = _options(arguments)
    jobs = [
        (name, database, f"{options.seed}-{number}")
        for number in range(options.rounds)
        for name in options.kinds
        for database in options.database
        if database in BY_NAME[name].databases
    ]
    began = time.monotonic()
    results, failures, missing = [], [], {}
    for number, (job, outcome) in enumerate(_run(jobs, options.jobs), start=1):
        if isinstance(outcome, Result):
            results.append(outcome)
            text = "sound" if outcome.sound else outcome.explain()
        elif isinstance(outcome, Missing):
            missing[job[0]] = str(outcome)
            text = f"NOT RUN: {outcome}"
        else:
            failures.append({"kind": job[0], "database": job[1], "seed": job[2], "error": repr(outcome)})
            text = "\n".join([repr(outcome), *getattr(outcome, "__notes__", ())])
        print(f"{number}/{len(jobs)} {' '.join(job)}: {text}", flush=True)
    report = make_report(results, failures, missing) | {
        "seconds": round(time.monotonic() - began),
        "seed": options.seed,
    }
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=2) + "\n")
    print(
        json.dumps(
            {name: report[name] for name in ("rounds", "acknowledged", "lost", "doubled", "violations")}
        )
    )
    return 0 if not failures and all(result.sound for result in results) else 1


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fault", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--rounds", type=int, default=1, help="of each kind on each database")
    parser.add_argument("--kinds", nargs="+", choices=sorted(BY_NAME), default=[kind.name for kind in KINDS])
    parser.add_argument("--database", nargs="+", choices=DATABASES, default=list(DATABASES))
    parser.add_argument("--seed", default="1", help="dice fall by it; only the machine's own timing differs")
    parser.add_argument("--jobs", type=int, default=1, help="rounds at once, each with servers of its own")
    parser.add_argument("--out", type=Path, help="file to write, e.g. bench/results/faults.json")
    return parser.parse_args(arguments)


def make_report(
    results: Sequence[Result], failures: Sequence[dict[str, str]] = (), missing: dict[str, str] | None = None
) -> dict[str, Any]:
    """The figures; only rounds with enough acknowledged messages count as rounds of their kind.

    Args:
        results: of rounds that came to their end.
        failures: rounds that did not: a node that did not come back, a client that was never answered.
        missing: kinds that this machine does not allow, and why.
    """
    whole = [result for result in results if result.acknowledged >= LEAST]
    return {
        "rounds": len(whole),
        "faults": dict(sorted(Counter(f"{r.kind}_{r.database}" for r in whole).items())),
        "acknowledged": sum(r.acknowledged for r in whole),
        "lost": counted(results, Wrong.LOST),
        "doubled": counted(results, Wrong.DOUBLED),
        "violations": sum(len(r.violations) + bool(r.rebuild) for r in results) + len(failures),
        "by_violation": dict(Counter(str(v.kind) for r in results for v in r.violations)),
        "failed_rounds": list(failures),
        "too_few_acknowledged": len(results) - len(whole),
        "not_run": missing or {},
        "calls": sum(r.calls for r in whole),
        "unanswered": sum(r.unanswered for r in whole),
        "entries": sum(r.entries for r in whole),
        "undelivered_notices": sum(r.notices for r in whole),
        "fewest_acknowledged_in_a_round": min((r.acknowledged for r in whole), default=0),
        "machine": {
            "processors": os.cpu_count(),
            "architecture": platform.machine(),
            "system": f"{platform.system()} {platform.release().split('-')[0]}",
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
        },
        "date": datetime.now(UTC).date().isoformat(),
    }


def _run(jobs: Sequence[Job], at_once: int) -> Iterator[tuple[Job, Result | BaseException]]:
    # Threads of a load and forked children do not go together.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(at_once, mp_context=context, initializer=_prepare) as pool:
        futures = {pool.submit(_one, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.exception() or future.result()


def _prepare() -> None:
    global _ground  # noqa: PLW0603  one for each process, as the pool demands
    _ground = Ground()
    multiprocessing.util.Finalize(None, _ground.close, exitpriority=10)


def _one(job: Job) -> Result:
    name, database, seed = job
    assert _ground is not None
    return run_round(_ground, BY_NAME[name], database, seed)
