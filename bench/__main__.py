"""`python -m bench [--quick] [KEY ...]`: measures, prints a table, and writes bench/results/latest.json."""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bartizan import __version__
from bartizan.envoy import binary
from bartizan.node.envoy_process import checked_version
from bench import fleet, measures, releases, replays, rollouts
from bench.measures import FULL, QUICK, Effort, Figures, World
from bench.programs import Missing, found
from bench.world import Size, chain_kinds

RESULTS = Path(__file__).parent / "results" / "latest.json"
MUST: dict[str, float] = {
    "full_chain_cpu_ratio": 1.9,
    "python_cpu_share": 0.10,
    "policies_100_extra_us": 10,
    "edit_to_enforced_ms_p50": 50,
    "edit_to_enforced_ms_p99": 250,
    "edit_to_enforced_ms_p50_v1": 50,
    "edit_to_enforced_ms_p99_v1": 250,
    "key_revoked_ms_p99": 250,
    "boot_s": 8,
    "boot_rss_mb": 500,
    "failed_requests_during_edits": 0,
    "invalid_credential_cpu_ratio": 2,
    "propagation_ms_p50": 200,
    "propagation_ms_p99": 1000,
    "semantic_diff_s": 10,
    "diff_wrong": 0,
    "rollback_ms_p99": 1000,
    "brake_ms_p99": 250,
    "wrong_answers_during_rollouts": 0,
    "shadow_active_latency_ratio": 1.10,
}
AT_LEAST: dict[str, float] = {"replay_per_s": 5000, "replay_self_agreement": 1}
_ON_BIG: dict[str, Callable[[World, Effort, bool], Figures]] = {
    "boot": lambda one, effort, quick: measures.boot(one),
    "replay": lambda one, effort, quick: replays.replays(one, effort),
    "full_chain": lambda one, effort, quick: measures.full_chain(one, effort),
    "python": lambda one, effort, quick: measures.python_share(one, effort),
    "edit": lambda one, effort, quick: measures.edits(one, effort),
    "key_revoked": lambda one, effort, quick: measures.revocations(one, effort),
    "failed_requests": lambda one, effort, quick: measures.edits_under_load(one, effort, 30 if quick else 1000),
}


def _wanted(key: str, chosen: list[str]) -> bool:
    return not chosen or any(one.startswith(key) or key.startswith(one) for one in chosen)


def _measured(folder: Path, quick: bool, chosen: list[str]) -> Figures:
    effort = QUICK if quick else FULL
    figures: Figures = {}
    if any(_wanted(key, chosen) for key in _ON_BIG):
        with measures.world(folder / "big", Size(keys=20_000 if quick else 100_000)) as one:
            for key, measure in _ON_BIG.items():
                if _wanted(key, chosen):
                    _say(f"measuring {key} ...")
                    figures |= measure(one, effort, quick)
    if _wanted("edit", chosen):
        _say("measuring edits below /v1 ...")
        with measures.world(folder / "v1", Size(keys=1_000, below="/v1", networks=10)) as one:
            figures |= measures.edits(one, effort, "_v1")
    if _wanted("policies_100", chosen):
        _say("measuring policies_100 ...")
        figures |= measures.policies_100(folder, effort)
    if _wanted("tls_full_chain", chosen):
        _say("measuring tls_full_chain ...")
        figures |= measures.tls(folder, effort)
    return figures | _of_releases(folder, quick, chosen)


def _of_releases(folder: Path, quick: bool, chosen: list[str]) -> Figures:
    """What comes before a change runs."""
    figures: Figures = {}
    if _wanted("semantic_diff", chosen) or _wanted("diff_wrong", chosen):
        _say("measuring semantic_diff and diff_wrong ...")
        for found in releases.measured(folder, quick):
            figures |= found
    if _wanted("propagation", chosen):
        _say("measuring propagation ...")
        figures |= fleet.propagation(folder / "fleet", QUICK if quick else FULL)
    if _wanted("rollback", chosen) or _wanted("brake", chosen):
        _say("measuring rollback and brake ...")
        figures |= rollouts.ways_back(folder / "back", QUICK if quick else FULL)
    if _wanted("wrong_answers_during_rollouts", chosen):
        _say("measuring wrong_answers_during_rollouts ...")
        figures |= rollouts.rollouts_under_load(folder / "rollouts", 10 if quick else 100)
    if _wanted("shadow", chosen):
        _say("measuring shadow_active_latency_ratio ...")
        figures |= rollouts.shadow_cost(folder / "shadow", QUICK if quick else FULL)
    return figures


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _about(quick: bool) -> dict[str, object]:
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?"
    )
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    return {
        "machine": f"{model}, {platform.machine()}",
        "cores": len(Path("/proc/cpuinfo").read_text().split("processor\t")) - 1,
        "versions": {"bartizan": __version__, "envoy": checked_version(binary()), "python": platform.python_version(), "wrk": found("wrk")},
        "commit": commit,
        "quick": quick,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "chain": chain_kinds(),
        "requests": "half by keys, half by RS256 tokens; over the APIs by a Zipf law, s = 1.0; 64 connections; Envoy with one worker",
    }


def main() -> int:
    """Measures."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures speed and size. Needs wrk and nginx.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter: under two minutes")
    known = ", ".join([*_ON_BIG, "policies_100", "tls_full_chain", "semantic_diff"])
    parser.add_argument("keys", nargs="*", metavar="KEY", help=f"only these: {known}")
    read = parser.parse_args()
    try:
        about = _about(read.quick)
        found("nginx")
    except Missing as missing:
        _say(str(missing))
        return 1
    with tempfile.TemporaryDirectory(prefix="bartizan-bench-") as folder:
        figures = _measured(Path(folder), read.quick, read.keys)
    bounds = {"must_be_at_most": MUST, "must_be_at_least": AT_LEAST}
    if not read.keys:  # what stands there is of one run
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps({"about": about, "figures": figures, **bounds}, indent=2) + "\n")
    for key, value in figures.items():
        bound = f"<= {MUST[key]:g} {'yes' if value <= MUST[key] else 'NO'}" if key in MUST else ""
        if key in AT_LEAST:
            bound = f">= {AT_LEAST[key]:g} {'yes' if value >= AT_LEAST[key] else 'NO'}"
        print(f"{key:<40} {value:>12.3f}  {bound}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
