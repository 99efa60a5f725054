"""`python -m bench [--quick] [KEY ...]`: measures, prints a table, and writes bench/results/latest.json."""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from collections import ChainMap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bartizan import __version__
from bartizan.envoy import binary
from bartizan.envoy.program import checked_version
from bench import fleet, identities, measures, proofs, releases, replays, rollouts, tokens
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
    "attribute_change_ms_p99": 1000,
    "wrong_answers_during_rollouts": 0,
    "shadow_active_latency_ratio": 1.10,
    "revocation_ms_p99": 1000,
    "key_creation_ms_p99": 1000,
    "jwt_rs256_cached_extra_us": 12,
}
AT_LEAST: dict[str, float] = {
    "replay_per_s": 5000,
    "replay_self_agreement": 1,
    "dpop_per_core_s": 1500,
    "introspection_cached_per_core_s": 3000,
}
_ON_BIG: dict[str, Callable[[World, Effort, bool], Figures]] = {
    "boot": lambda one, effort, quick: measures.boot(one),
    "replay": lambda one, effort, quick: replays.replays(one, effort),
    "full_chain": lambda one, effort, quick: measures.full_chain(one, effort),
    "python": lambda one, effort, quick: measures.python_share(one, effort),
    "edit": lambda one, effort, quick: measures.edits(one, effort),
    "key_revoked": lambda one, effort, quick: measures.revocations(one, effort),
    "failed_requests": lambda one, effort, quick: measures.edits_under_load(one, effort, 30 if quick else 1000),
}

_ITSELF = frozenset({"policies_100", "tls_full_chain", *_ON_BIG} - {"replay"})
"""The gateway itself: what is measured quickly, unless something is named."""


def _wanted(key: str, chosen: list[str]) -> bool:
    return not chosen or any(one.startswith(key) or key.startswith(one) for one in chosen)


@dataclass(slots=True)
class _Run:
    """What is measured, and what came of it. What fails is told, and the rest is measured nevertheless."""

    folder: Path
    quick: bool
    chosen: list[str]
    figures: Figures = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    @property
    def effort(self) -> Effort:
        return QUICK if self.quick else FULL

    def wants(self, *keys: str) -> bool:
        """Whether one of these is to be measured."""
        if self.quick and not self.chosen:
            return not _ITSELF.isdisjoint(keys)
        return any(_wanted(key, self.chosen) for key in keys)

    def measure(self, what: str, measured: Callable[[], Figures]) -> None:
        """Takes the figures of one thing."""
        _say(f"measuring {what} ...")
        try:
            self.figures |= measured()
        except Exception as error:  # noqa: BLE001 - a quarter of an hour of figures isn't lost for one of them
            traceback.print_exception(error)
            self.failed.append(what)


def _measured(run: _Run) -> None:
    folder, effort = run.folder, run.effort
    if run.wants(*_ON_BIG):
        with measures.world(folder / "big", Size(keys=20_000 if run.quick else 100_000)) as one:
            for key, measure in _ON_BIG.items():
                if run.wants(key):
                    run.measure(key, lambda measure=measure: measure(one, effort, run.quick))  # type: ignore[misc]
    if run.wants("edit"):
        with measures.world(folder / "v1", Size(keys=1_000, below="/v1", networks=10)) as one:
            run.measure("edits below /v1", lambda: measures.edits(one, effort, "_v1"))
    if run.wants("policies_100"):
        run.measure("policies_100", lambda: measures.policies_100(folder, effort))
    if run.wants("tls_full_chain"):
        run.measure("tls_full_chain", lambda: measures.tls(folder, effort))
    _of_identities(run)
    _of_releases(run)


def _of_identities(run: _Run) -> None:
    """Who is asking: what credentials cost that aren't keys, and how fast one counts, or doesn't any more."""
    folder, effort = run.folder, run.effort
    if run.wants("dpop"):
        run.measure("dpop", lambda: proofs.proofs(folder / "proofs", effort))
    if run.wants("introspection"):
        run.measure("introspection", lambda: tokens.introspection(folder / "introspection", effort))
    if run.wants("jwt_rs256"):
        run.measure("jwt_rs256_cached_extra_us", lambda: tokens.signed(folder / "signed", effort))
    if run.wants("revocation", "key_creation", "attribute_change"):
        keys = 20_000 if run.quick else 100_000
        run.measure("revocation, key_creation and attribute_change", lambda: identities.identities(folder / "identities", effort, keys))


def _of_releases(run: _Run) -> None:
    """What comes before a change runs, and while it does."""
    folder, effort = run.folder, run.effort
    if run.wants("semantic_diff", "diff_wrong"):
        run.measure("semantic_diff and diff_wrong", lambda: dict(ChainMap(*releases.measured(folder, run.quick))))
    if run.wants("propagation"):
        run.measure("propagation", lambda: fleet.propagation(folder / "fleet", effort))
    if run.wants("rollback", "brake"):
        run.measure("rollback and brake", lambda: rollouts.ways_back(folder / "back", effort))
    if run.wants("wrong_answers_during_rollouts"):
        count = 10 if run.quick else 100
        run.measure("wrong_answers_during_rollouts", lambda: rollouts.rollouts_under_load(folder / "rollouts", count))
    if run.wants("shadow"):
        run.measure("shadow_active_latency_ratio", lambda: rollouts.shadow_cost(folder / "shadow", effort))


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
    parser.add_argument("--quick", action="store_true", help="fewer and shorter, under two minutes: the gateway itself, or what you name")
    known = ", ".join([*_ON_BIG, "policies_100", "tls_full_chain", "dpop", "introspection", "jwt_rs256", "semantic_diff"])
    parser.add_argument("keys", nargs="*", metavar="KEY", help=f"only these: {known}")
    read = parser.parse_args()
    try:
        about = _about(read.quick)
        found("nginx")
    except Missing as missing:
        _say(str(missing))
        return 1
    with tempfile.TemporaryDirectory(prefix="bartizan-bench-") as folder:
        run = _Run(Path(folder), read.quick, read.keys)
        _measured(run)
        figures = run.figures
    bounds = {"must_be_at_most": MUST, "must_be_at_least": AT_LEAST}
    if not (read.keys or read.quick):  # what stands there is of one whole run
        RESULTS.parent.mkdir(exist_ok=True)
        whole = {"about": about, "figures": figures, **bounds, **({"failed": run.failed} if run.failed else {})}
        RESULTS.write_text(json.dumps(whole, indent=2) + "\n")
    for key, value in figures.items():
        bound = f"<= {MUST[key]:g} {'yes' if value <= MUST[key] else 'NO'}" if key in MUST else ""
        if key in AT_LEAST:
            bound = f">= {AT_LEAST[key]:g} {'yes' if value >= AT_LEAST[key] else 'NO'}"
        print(f"{key:<40} {value:>12.3f}  {bound}")
    for what in run.failed:
        _say(f"{what} couldn't be measured")
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main())
