"""The quick bench in small: it runs, its file has the shape that is read by program, its ratios are those of its figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench.quick.load import Load, demand_accepted, demand_created  # noqa: E402
from bench.quick.results import AIMS, RATIOS, aims_of, figure, ratios_of  # noqa: E402

TINY = {
    "rounds": 1,
    "bulk": 48,
    "streams": 4,
    "single": 12,
    "bare": 24,
    "connections": 4,
    "commits": 2,
    "pair": 2,
    "steps": 16,
    "attachment-mib": 5,
    "to-many": 3,
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    out = tmp_path_factory.mktemp("quick") / "quick.json"
    options = [part for name, count in TINY.items() for part in (f"--{name}", str(count))]
    done = subprocess.run(
        [sys.executable, "-m", "bench.quick", "--out", str(out), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(out.read_text())


@pytest.mark.long
def test_the_file_says_what_was_measured_on_what(results):
    assert set(results) == {
        *("date", "machine", "bulk_vs_verify", "single_vs_bare_post", "ratios", "aims"),
        *("figures", "sizes", "profiles", "seconds"),
    }
    assert results["machine"]["cores"] == os.cpu_count()
    assert {"cpu", "memory_gib", "os", "file_system", "python", "cryptography"} < set(results["machine"])
    assert results["sizes"]["submission_bytes"] > results["sizes"]["content_json_bytes"]
    assert results["sizes"]["signed_bytes"] > 500
    assert {name: results["sizes"][name.replace("-", "_")] for name in TINY} == TINY
    for name, one in results["figures"].items():
        assert one["unit"] in {"1/s", "µs", "%", "MB/s"}, name
        assert one["samples"], name
        assert one["unit"] not in {"1/s", "MB/s"} or one["value"] > 0, name


@pytest.mark.long
def test_ratios_are_those_of_the_figures(results):
    figures = results["figures"]
    assert set(results["ratios"]) == set(RATIOS)
    for name, (over, under) in RATIOS.items():
        expected = figures[over]["value"] / figures[under]["value"]
        assert results["ratios"][name] == pytest.approx(expected, abs=0.001), name
    for name in ("bulk_vs_verify", "single_vs_bare_post"):
        assert results[name] == results["ratios"][name]


@pytest.mark.long
def test_every_aim_is_met_or_explained(results):
    assert set(results["aims"]) == set(AIMS)
    for name, aim in results["aims"].items():
        assert aim["got"] == results["ratios"][name]
        assert aim["met"] == (aim["got"] >= aim["aim"])
        assert aim["met"] or (aim["reason"] and aim["profile"]["cpu_us_by_step"]["verify"] > 0)


@pytest.mark.long
def test_a_profile_adds_up_to_what_the_broker_used(results):
    for name, profile in results["profiles"].items():
        assert sum(profile["cpu_us_by_step"].values()) == pytest.approx(profile["broker_cpu_us"], abs=1), name


def test_a_figure_is_the_median_of_its_samples():
    assert figure([3.0, 1.0, 100.0]) == {"value": 3.0, "unit": "1/s", "samples": [3.0, 1.0, 100.0]}


def test_a_ratio_below_its_aim_is_told_as_such():
    figures = {name: {"value": 1000.0} for pair in RATIOS.values() for name in pair}
    figures["bulk_sqlite"] = {"value": 299.0}
    ratios = ratios_of(figures)
    numbers = dict.fromkeys(
        ("broker_cpu_us", "ed25519_us", "database_cpu_us", "generator_cpu_us", "busiest_process_percent"), 1.0
    )
    numbers |= {"idle_percent": 1.0, "elsewhere_percent": 1.0}
    profile = {**numbers, "cpu_us_by_step": {"parse": 7.0, "verify": 40.0}}
    aims = aims_of(ratios, dict.fromkeys(("bulk_sqlite", "bulk_postgresql", "single"), profile))
    assert aims["bulk_vs_verify"]["got"] == 0.299
    assert aims["bulk_vs_verify"]["met"] is False
    assert "verify 40, parse 7" in aims["bulk_vs_verify"]["reason"]
    assert aims["single_vs_bare_post"] == {"aim": 0.3, "later": 0.4, "got": 1.0, "met": True}


def test_an_answer_that_accepts_nothing_is_not_counted():
    good, bad = b'{"number":0,"status":201,"accepted":{}}\n', b'{"number":1,"status":429,"problem":{}}\n'
    demand_accepted(Load(1.0, 0.0, [good + good]), 2)
    with pytest.raises(SystemExit, match="expected 2 lines with status 201, got 1"):
        demand_accepted(Load(1.0, 0.0, [good + bad]), 2)
    demand_created(Load(1.0, 0.0, [b"HTTP/1.1 201 Created\r\n"]), 1)
    with pytest.raises(SystemExit, match="expected 1 answers 201, got 0"):
        demand_created(Load(1.0, 0.0, [b"HTTP/1.1 429 Too Many Requests\r\n"]), 1)
