"""Ways back, brakes, rollouts under load and shadows: on three real nodes, seen by probes that ask each of them."""

import asyncio
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bench.load import burst, script
from bench.measures import Effort, Figures, percentile
from bench.programs import first_answer, free_port, gateway, nginx
from bench.trio import NODES, OK, Later, Trio, three_nodes
from bench.world import DEPARTMENTS, Size, Tokens, write_files, write_keys

_FORBIDDEN = 403
_WORKERS = 3
_SAMPLE = 0.1


def ways_back(folder: Path, effort: Effort) -> Figures:
    """From the order until three real nodes do as ordered: a rollback; and a block of a path, a consumer or a key."""
    size = Size(keys=1_000, consumers=1_000)
    with three_nodes(folder, size) as trio:
        back = [_rolled_back(trio, one) for one in range(effort.edits)]
        held = [_braked(trio, one) for one in range(effort.edits)]
    return {
        "rollback_ms_p50": statistics.median(back),
        "rollback_ms_p99": percentile(back, 0.99),
        "brake_ms_p50": statistics.median(held),
        "brake_ms_p99": percentile(held, 0.99),
    }


def _rolled_back(trio: Trio, number: int) -> float:
    api, key = (number * 37) % trio.size.apis, trio.keys.texts[0]
    trio.put(api, ("nobody",), f"edit {number}")
    trio.all_answer(trio.size.path(api), _FORBIDDEN, key)
    ordered = time.monotonic()
    waiting = Later(lambda: trio.all_answer(trio.size.path(api), OK, key))
    trio.call("POST", "/v1/rollback", {"reason": "measured"})
    return (waiting.result() - ordered) * 1000


def _braked(trio: Trio, number: int) -> float:
    which = number % len(trio.keys.texts[:900])
    what = ("path", "consumer", "key")[number % 3]
    api, key = (number * 41) % trio.size.apis, trio.keys.texts[which]
    value = {"path": trio.size.path(api), "consumer": f"consumer-{which:05}", "key": trio.keys.ids[which]}[what]
    trio.all_answer(trio.size.path(api), OK, key)
    body = {"what": what, "value": value, "seconds": 600, "reason": "measured", "emergency": True}
    ordered = time.monotonic()
    waiting = Later(lambda: trio.all_answer(trio.size.path(api), 401 if what == "key" else _FORBIDDEN, key))
    ident = trio.call("POST", "/v1/blocks", body)["block"]["id"]
    held = waiting.result()
    trio.call("DELETE", f"/v1/blocks/{ident}")
    return (held - ordered) * 1000


@dataclass(slots=True)
class _Seen:
    """What callers were answered: the department that called, the API, the status; by the request's id."""

    answers: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    failed: int = 0


def rollouts_under_load(folder: Path, count: int) -> Figures:
    """Rollouts, each with a canary; some are aborted on it, some taken back when they are everywhere. All the while callers of every
    department ask all nodes. Every answer is held against what the revision says that its record names."""
    size = Size(apis=5, keys=100, consumers=100, networks=100)
    with three_nodes(folder, size, "{stages: [{canary: {nodes: 1, for: 500ms}}]}") as trio:
        rules = {trio.gateway.status()["revision"]: {api: frozenset(DEPARTMENTS) for api in range(size.apis)}}
        seen, stop = _Seen(), threading.Event()
        load = threading.Thread(target=lambda: asyncio.run(_asking(trio, seen, stop)))
        load.start()
        try:
            ended = [_one_rollout(trio, number, rules) for number in range(count)]
        finally:
            stop.set()
            load.join()
        time.sleep(3)  # Envoy writes records down each second
        records = dict(_records(folder))
    return _judged(seen, records, rules, ended)


def _one_rollout(trio: Trio, number: int, rules: dict[str, dict[int, frozenset[str]]]) -> str:
    """A rollout and its end: done, aborted on the canary, or done and rolled back."""
    # A node that a canary has left connects anew, and only connected ones are chosen.
    now = trio.gateway.until(lambda now: sum(node["connected"] and node["acknowledged"] for node in now["nodes"]) == NODES, 30)
    api, before = number % trio.size.apis, now["revision"]
    departments = tuple(name for place, name in enumerate(DEPARTMENTS) if (number * 7 + 3) >> place & 1) or DEPARTMENTS[:1]
    revision = trio.put(api, departments, f"rollout {number}")
    rules[revision] = {**rules[before], api: frozenset(departments)}
    if number % 3 == 1:
        _until(trio, lambda now: now["stage"] == "canary" and now["status"] == "running")
        time.sleep(0.25)
        trio.call("POST", "/v1/rollout", {"what": "abort"})
        return "aborted"
    _until(trio, lambda now: now["status"] == "done")
    if number % 3 == 2:
        trio.call("POST", "/v1/rollback", {"reason": "measured"})
        return "rolled back"
    return "done"


def _until(trio: Trio, holds: Callable[[dict[str, Any]], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds(now := trio.call("GET", "/v1/rollout")):
        if now["status"] in {"failed", "paused"} or time.monotonic() > deadline:
            told = f"{now['status']} {now['stage']} {now['why']} {now['figures']} {now['history'][-3:]}"
            raise RuntimeError(f"the rollout stands still: {told}\nnodes: {trio.gateway.status()['nodes']}")
        time.sleep(0.02)


async def _asking(trio: Trio, seen: _Seen, stop: threading.Event) -> None:
    """Callers of every department, on every node, on every API, one after the other."""

    async def caller(port: int, first: int) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            number = first
            while not stop.is_set():
                number += 1
                api, who = number % trio.size.apis, (number // trio.size.apis) % len(DEPARTMENTS)
                try:
                    answer = await client.get(trio.size.path(api), headers={"x-api-key": trio.keys.texts[who]})
                except httpx.HTTPError:
                    seen.failed += 1
                    continue
                seen.answers[answer.headers["x-request-id"]] = (DEPARTMENTS[who], api, answer.status_code)

    await asyncio.gather(*(caller(port, worker * 11) for port in trio.ports for worker in range(_WORKERS)))


def _records(folder: Path) -> Iterator[tuple[str, tuple[str, int]]]:
    """The revision and the status of each request, by its id: what the three nodes wrote down themselves."""
    places = [folder / "state" / "records", *(folder / f"real-{one}" / "records" for one in range(NODES - 1))]
    for place in places:
        for file in sorted(place.glob("requests*.jsonl")):
            for line in file.read_text().splitlines():
                record = json.loads(line)
                yield record["request_id"], (record["revision"], record["status"])


def _judged(seen: _Seen, records: dict[str, tuple[str, int]], rules: dict[str, dict[int, frozenset[str]]], ended: list[str]) -> Figures:
    wrong = lost = 0
    revisions = set()
    for ident, (department, api, status) in seen.answers.items():
        if ident not in records:
            lost += 1
            continue
        revision, recorded = records[ident]
        revisions.add(revision)
        allowed = revision in rules and department in rules[revision][api]
        wrong += revision not in rules or recorded != status or status != (OK if allowed else _FORBIDDEN)
    return {
        "wrong_answers_during_rollouts": wrong + seen.failed,
        "rollouts": len(ended),
        "rollouts_aborted_on_canary": ended.count("aborted"),
        "rollouts_taken_back": ended.count("rolled back"),
        "rollouts_answers": len(seen.answers),
        "rollouts_answers_failed": seen.failed,
        "rollouts_answers_without_record": lost,
        "rollouts_revisions_seen": len(revisions),
    }


def shadow_cost(folder: Path, effort: Effort) -> Figures:
    """The 99th percentile of live traffic while a tenth of it is judged by a candidate too, over that of the same traffic without."""
    size = Size(apis=100, keys=1_000, consumers=1_000, networks=1_000)
    port, upstream, tokens = free_port(), free_port(), Tokens()
    folder.mkdir(parents=True, exist_ok=True)
    write_files(folder / "files", size, port, upstream, tokens)
    file = folder / "files" / "gateway.yaml"
    file.write_text(
        file.read_text().replace("name: edge\n", f"name: edge\nreleases: {{stages: [{{shadow: {{for: 1h, sample: {_SAMPLE}}}}}]}}\n", 1)
    )
    keys = write_keys(folder / "state", size, folder)
    with nginx(folder / "upstream", upstream), gateway(folder, port) as made:
        first_answer(made, size.path(0), {"x-api-key": keys.texts[0]})
        trio = Trio(made, size, keys, [port], folder, tokens)
        paths = [size.path(api) for api in range(size.apis)]
        paced = script(folder / "paced.lua", paths, keys.texts, delay_ms=32)
        burst(port, paced, 2)
        off, on, judged = [], [], 0
        for number in range(effort.rounds):
            off.append(burst(port, paced, effort.load_s // 2))
            trio.put(0, DEPARTMENTS, f"shadow {number}")
            burst(port, paced, 3)  # until its scratch instance is there
            _until(trio, lambda now: now["stage"] == "shadow" and "shadow" in now["figures"])
            on.append(burst(port, paced, effort.load_s // 2))
            now = trio.call("POST", "/v1/rollout", {"what": "abort"})
            judged += int(now["figures"]["shadow"]["judged"])
            time.sleep(0.5)
    ratios = [with_it.p99_ms / without.p99_ms for with_it, without in zip(on, off, strict=True)]
    return {
        "shadow_active_latency_ratio": statistics.median(ratios),
        "shadow_p99_ms_off": statistics.median(one.p99_ms for one in off),
        "shadow_p99_ms_on": statistics.median(one.p99_ms for one in on),
        "shadow_p50_ms_off": statistics.median(one.p50_ms for one in off),
        "shadow_p50_ms_on": statistics.median(one.p50_ms for one in on),
        "shadow_rate": statistics.median(one.rate for one in on),
        "shadow_judged": judged,
        "shadow_failed": sum(one.failed + one.refused for one in on),
    }
