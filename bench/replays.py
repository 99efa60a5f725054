"""Replays: recorded requests judged again by the revision that judged them, which must agree with itself."""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime

from bench.load import burst
from bench.measures import Effort, Figures, World

_FLUSHED_S = 3.0
_SHARE_OF_BAD = 10


def replays(one: World, effort: Effort) -> Figures:
    """Requests by keys and tokens, good ones and a tenth of wrong ones, replayed as people do it.

    `replay_per_s` counts requests; `replay_questions_per_s` those that were really put to Envoy, because none like it was before.
    """
    since = datetime.now(UTC)
    good = burst(one.gateway.port, one.good(), effort.seconds)
    burst(one.gateway.port, one.bad(), max(1, effort.seconds // _SHARE_OF_BAD))
    time.sleep(_FLUSHED_S)  # Envoy writes records down each second
    arguments = ["--candidate", str(one.gateway.files), "--state", str(one.folder / "state"), "--from", since.isoformat(), "--json"]
    began = time.perf_counter()
    ran = subprocess.run(
        [sys.executable, "-m", "bartizan.cli.main", "replay", *arguments], capture_output=True, text=True, timeout=600, check=False
    )
    whole = time.perf_counter() - began
    if ran.returncode not in {0, 2}:
        raise RuntimeError(f"the replay failed: {ran.stderr[-500:]}")
    told = json.loads(ran.stdout)
    if told["requests"] < good.requests:
        raise RuntimeError(f"{good.requests} requests were sent, and {told['requests']} records replayed")
    return {
        "replay_per_s": told["judged"] / told["seconds"],
        "replay_questions_per_s": told["questions"] / told["seconds"],
        "replay_self_agreement": told["same"] / told["judged"],
        "replay_untold": told["untold"],
        "replay_requests": told["requests"],
        "replay_start_s": whole - told["seconds"],
    }
