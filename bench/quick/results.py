"""From samples to the results file: medians, ratios, aims, and why one is missed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

#: Ratio → (figure, figure it is held against).
RATIOS = {
    "bulk_vs_verify": ("bulk_sqlite", "ed25519_verify"),
    "bulk_vs_verify_postgresql": ("bulk_postgresql", "ed25519_verify"),
    "bulk_vs_commit_256": ("bulk_sqlite", "commit_sqlite_256"),
    "bulk_vs_commit_256_postgresql": ("bulk_postgresql", "commit_postgresql_256"),
    "single_vs_bare_post": ("single", "bare_post"),
    "single_one_process_vs_bare_post": ("single_one_process", "bare_post"),
    "single_vs_verify": ("single", "ed25519_verify"),
    "single_vs_bulk": ("single", "bulk_sqlite"),
    "end_to_end_vs_single": ("end_to_end_one_by_one", "single_one_process"),
    "end_to_end_bulk_vs_single": ("end_to_end_bulk", "single_one_process"),
    "end_to_end_vs_verify": ("end_to_end_one_by_one", "ed25519_verify"),
    "attachment_seal_vs_aes_gcm": ("attachment_seal_mb_s", "aes_gcm_mb_s"),
    "attachment_seal_vs_sha256": ("attachment_seal_mb_s", "sha256_mb_s"),
    "attachment_seal_vs_aes_gcm_and_two_sha256": ("attachment_seal_mb_s", "aes_gcm_and_two_sha256_mb_s"),
    "attachment_open_vs_aes_gcm": ("attachment_open_mb_s", "aes_gcm_mb_s"),
    "attachment_open_vs_sha256": ("attachment_open_mb_s", "sha256_mb_s"),
    "attachment_open_vs_aes_gcm_and_two_sha256": ("attachment_open_mb_s", "aes_gcm_and_two_sha256_mb_s"),
    "content_seal_vs_aes_gcm": ("content_seal_mb_s", "content_aes_gcm_mb_s"),
    "content_seal_vs_sha256": ("content_seal_mb_s", "content_sha256_mb_s"),
    "content_open_vs_aes_gcm": ("content_open_mb_s", "content_aes_gcm_mb_s"),
    "content_open_vs_sha256": ("content_open_mb_s", "content_sha256_mb_s"),
    "seal_to_many_vs_hpke": ("seal_to_many", "hpke_to_many"),
}
#: Ratio → (aim of this version, aim of a later one, profile that explains it).
AIMS = {
    "bulk_vs_verify": (0.30, 0.45, "bulk_sqlite"),
    "bulk_vs_verify_postgresql": (0.30, 0.45, "bulk_postgresql"),
    "single_vs_bare_post": (0.30, 0.40, "single"),
}


def figure(samples: Sequence[float], unit: str = "1/s") -> dict[str, Any]:
    """A figure: the median of its samples, which stand beside it in the order they were taken."""
    return {"value": round(median(samples), 1), "unit": unit, "samples": [round(s, 1) for s in samples]}


def _value(figures: Mapping[str, Any], name: str) -> float:
    value: float = figures[name]["value"]
    return value


def ratios_of(figures: Mapping[str, Any]) -> dict[str, float]:
    """Every ratio, from the medians as they stand in the file."""
    return {
        name: round(_value(figures, over) / _value(figures, under), 3)
        for name, (over, under) in RATIOS.items()
    }


def aims_of(ratios: Mapping[str, float], profiles: Mapping[str, Any]) -> dict[str, Any]:
    """Which aims are met; a missed one has its reason and the profile taken in the same run."""
    out: dict[str, Any] = {}
    for name, (aim, later, profile) in AIMS.items():
        got = ratios[name]
        out[name] = {"aim": aim, "later": later, "got": got, "met": got >= aim}
        if got < aim:
            out[name]["reason"] = _reason(profiles[profile])
            out[name]["profile"] = profiles[profile]
    return out


def _reason(profile: Mapping[str, Any]) -> str:
    steps: Mapping[str, float] = profile["cpu_us_by_step"]
    dearest = sorted(steps, key=lambda step: -steps[step])[:4]
    return (
        f"the broker's processes need {profile['broker_cpu_us']:.0f} µs of processor time a message, while Ed25519 "
        f"alone needs {profile['ed25519_us']:.0f}; the dearest steps: "
        + ", ".join(f"{step} {steps[step]:.0f}" for step in dearest)
        + f"; database server {profile['database_cpu_us']:.0f}, load generator {profile['generator_cpu_us']:.0f}; "
        f"the busiest process did {profile['busiest_process_percent']:.0f} % of the broker's work; processors were "
        f"idle {profile['idle_percent']:.0f} % of the time, and at work for others {profile['elsewhere_percent']:.0f} %"
    )


def profile_of(
    figures: Mapping[str, Any], load: str, steps: Mapping[str, float], cores: int
) -> dict[str, Any]:
    """Where the processor time of a message goes: the steps one by one, the rest from the real load.

    Args:
        figures: all of them.
        load: whose profile it is.
        steps: µs a message, by step.
        cores: of the machine.
    """
    broker = _value(figures, f"{load}_broker_cpu_us")
    rest = {"http_loop_threads_garbage": round(broker - sum(steps.values()), 1)}
    names = (
        "database_cpu_us",
        "generator_cpu_us",
        "busiest_process_percent",
        "idle_percent",
        "elsewhere_percent",
    )
    return {
        "broker_cpu_us": broker,
        "ed25519_us": round(cores * 1_000_000 / _value(figures, "ed25519_verify"), 1),
        "cpu_us_by_step": {**steps, **rest},
        **{name: _value(figures, f"{load}_{name}") for name in names},
    }


def make_results(
    machine: Mapping[str, Any],
    sizes: Mapping[str, Any],
    figures: Mapping[str, Any],
    profiles: Mapping[str, Any],
    seconds: float,
) -> dict[str, Any]:
    """The whole file. The two ratios that are read most stand at the top as well."""
    ratios = ratios_of(figures)
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "bulk_vs_verify": ratios["bulk_vs_verify"],
        "single_vs_bare_post": ratios["single_vs_bare_post"],
        "ratios": ratios,
        "aims": aims_of(ratios, profiles),
        "figures": figures,
        "sizes": sizes,
        "profiles": profiles,
        "seconds": round(seconds),
    }
