"""What is measured: each function takes a world and gives figures by their keys."""

import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bartizan.identity.keys import KeyStore
from bartizan.secrets.keyring import load_or_create
from bench.load import Target, burst, command, compare, script, told
from bench.programs import Gateway, bare_envoy, cpu_s, first_answer, free_port, gateway, nginx, peak_mb
from bench.world import Keys, Size, Tokens, api_file, authorize, forged_tokens, write_files, write_keys, wrong_keys, zipf

Figures = dict[str, float]
_DRAWS = 20_000


@dataclass(frozen=True, slots=True)
class Effort:
    """How long things are measured."""

    rounds: int
    seconds: int
    edits: int
    load_s: int
    keys: int = 100_000


FULL = Effort(rounds=7, seconds=3, edits=100, load_s=30)
QUICK = Effort(rounds=3, seconds=1, edits=20, load_s=8, keys=20_000)


@dataclass(slots=True)
class World:
    """A running gateway with what was declared, its upstream, and credentials that count."""

    gateway: Gateway
    size: Size
    tokens: Tokens
    keys: Keys
    upstream: int
    folder: Path
    boot_s: float

    def headers(self) -> dict[str, str]:
        """A good credential."""
        return {"x-api-key": self.keys.texts[0]}

    def paths(self) -> list[str]:
        """Requests' paths, spread over the APIs by a Zipf law."""
        return [self.size.path(api) + "/items/1" for api in zipf(self.size.apis, _DRAWS)]

    def good(self) -> Path:
        """wrk's script of good requests: half by 10,000 keys, half by tokens of the users."""
        path = self.folder / "good.lua"
        if not path.exists():
            tokens = [self.tokens.of(user) for user in range(self.size.users)]
            script(path, self.paths(), self.keys.texts[: self.size.consumers], tokens)
        return path

    def bad(self) -> Path:
        """wrk's script of a flood: keys that nobody has, and forged tokens."""
        path = self.folder / "bad.lua"
        if not path.exists():
            script(path, self.paths(), wrong_keys(5_000), forged_tokens(1_000, self.tokens))
        return path


@contextmanager
def world(folder: Path, size: Size) -> Iterator[World]:
    """Writes everything, starts it, and waits until it serves. `boot_s` is from the start to the first answer."""
    folder.mkdir(parents=True, exist_ok=True)
    port, upstream, tokens = free_port(), free_port(), Tokens()
    write_files(folder / "files", size, port, upstream, tokens)
    keys = write_keys(folder / "state", size, folder)
    with nginx(folder / "upstream", upstream):
        began = time.perf_counter()
        with gateway(folder, port) as made:
            first_answer(made, size.path(0), {"x-api-key": keys.texts[0]}, scheme="https" if size.tls else "http")
            boot_s = time.perf_counter() - began
            made.until(lambda now: all(node["acknowledged"] for node in now["nodes"]))
            yield World(made, size, tokens, keys, upstream, folder, boot_s)


def boot(one: World) -> Figures:
    """Start to first served request, and the memory of the control plane."""
    return {"boot_s": one.boot_s, "boot_rss_mb": peak_mb(one.gateway.pids()["control"])}


def full_chain(one: World, effort: Effort) -> Figures:
    """Envoy's CPU per request over the same Envoy, and nginx, proxying bare in the same run; and for a flood of wrong credentials."""
    bare, proxy = free_port(), free_port()
    envoy = one.gateway.pids()["envoy"]
    with bare_envoy(one.folder / "bare", bare, one.upstream) as bare_pid, nginx(one.folder / "proxy", proxy, one.upstream) as nginx_pid:
        child = Path(f"/proc/{nginx_pid}/task/{nginx_pid}/children").read_text().split()
        targets = {
            "bare": Target(bare_pid, bare, one.good()),
            "full": Target(envoy, one.gateway.port, one.good()),
            "invalid": Target(envoy, one.gateway.port, one.bad(), good=False),
            "nginx": Target(int(child[0]) if child else nginx_pid, proxy, one.good()),
        }
        seen = compare("bare", targets, effort.rounds, effort.seconds)
    return {
        "full_chain_cpu_ratio": seen.ratio["full"],
        "full_chain_us": seen.us["full"],
        "bare_us": seen.us["bare"],
        "full_chain_vs_nginx_ratio": seen.ratio["full"] / seen.ratio["nginx"],
        "invalid_credential_cpu_ratio": seen.ratio["invalid"] / seen.ratio["full"],
    }


def python_share(one: World, effort: Effort, rate: int = 10_000) -> Figures:
    """CPU of our own processes, of one core, while requests are served for a while."""
    connections = 64
    paced = script(one.folder / "paced.lua", one.paths(), one.keys.texts[: one.size.consumers], delay_ms=max(1, connections * 1000 // rate))
    own = [pid for name, pid in one.gateway.pids().items() if name != "envoy"]
    before = sum(map(cpu_s, own))
    seen = burst(one.gateway.port, paced, effort.load_s, connections)
    used = sum(map(cpu_s, own)) - before
    share = used / seen.seconds
    return {"python_cpu_share": share, "python_cpu_share_at_rate": seen.rate, "python_cpu_share_per_10000": share * rate / seen.rate}


def percentile(values: list[float], share: float) -> float:
    """The value that this share of them doesn't exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def edits(one: World, effort: Effort, suffix: str = "") -> Figures:
    """One policy edited among all: from the settled file until a probe sees it.

    Settled is 200 ms after the write, as `rollout.folder.QUIET_MS` says; the probe asks all the time.
    """
    quiet = 0.2
    took: list[float] = []
    with httpx.Client(base_url=f"http://127.0.0.1:{one.gateway.port}", headers=one.headers()) as client:
        for i in range(effort.edits):
            api = (i * 37) % one.size.apis
            closed = i % 2 == 0
            allowed = ("nobody",) if closed else ("finance", "sales", "support", "research")
            text = api_file(api, one.size, one.upstream, authorize(api, one.size, departments=allowed))
            api = api if closed else ((i - 1) * 37) % one.size.apis
            text = api_file(api, one.size, one.upstream, authorize(api, one.size, departments=allowed))
            (one.gateway.files / "apis" / f"api-{api:04}.yaml").write_text(text)
            written = time.perf_counter()
            while client.get(one.size.path(api)).status_code != (403 if closed else 200):
                if time.perf_counter() - written > 10:
                    raise RuntimeError("an edit isn't enforced after 10 s")
            took.append((time.perf_counter() - written - quiet) * 1000)
    return {f"edit_to_enforced_ms_p50{suffix}": statistics.median(took), f"edit_to_enforced_ms_p99{suffix}": percentile(took, 0.99)}


def revocations(one: World, effort: Effort) -> Figures:
    """From the order to the first refusal, for keys among all."""
    store = KeyStore(one.folder / "state" / "keys.journal", load_or_create(one.folder / "state" / "control.key"))
    took: list[float] = []
    with httpx.Client(base_url=f"http://127.0.0.1:{one.gateway.port}") as client:
        for i in range(1, effort.edits + 1):
            number = -i * 13
            headers = {"x-api-key": one.keys.texts[number]}
            if client.get(one.size.path(1), headers=headers).status_code != httpx.codes.OK:
                raise RuntimeError("a key that should count doesn't")
            store.revoke(one.keys.ids[number])
            ordered = time.perf_counter()
            while client.get(one.size.path(1), headers=headers).status_code != httpx.codes.UNAUTHORIZED:
                if time.perf_counter() - ordered > 10:
                    raise RuntimeError("a revoked key still counts after 10 s")
            took.append((time.perf_counter() - ordered) * 1000)
    store.close()
    return {"key_revoked_ms_p50": statistics.median(took), "key_revoked_ms_p99": percentile(took, 0.99)}


def edits_under_load(one: World, effort: Effort, count: int) -> Figures:
    """Edits one after the other while requests come: how many of those fail or get a wrong answer."""
    seconds = max(5, int(count * 0.3))
    paced = script(one.folder / "edited.lua", one.paths(), one.keys.texts[: one.size.consumers], delay_ms=12)
    load = subprocess.Popen(command(one.gateway.port, paced, seconds, 64), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    finished = threading.Event()
    made = 0
    deadline = time.monotonic() + seconds - 1
    before = one.gateway.status()["revision"]
    while made < count and time.monotonic() < deadline:
        api = made % one.size.apis
        text = authorize(api, one.size).replace("kind: Authorize\n", f"kind: Authorize\ndescription: edit {made}\n")
        (one.gateway.files / "apis" / f"api-{api:04}.yaml").write_text(api_file(api, one.size, one.upstream, text))
        seen: dict[str, Any] = one.gateway.until(lambda now, before=before: now["revision"] != before)  # type: ignore[misc]
        before = seen["revision"]
        made += 1
    finished.set()
    output, _ = load.communicate(timeout=seconds + 30)
    said = told(output)
    return {"failed_requests_during_edits": said.failed + said.refused, "edits_under_load": made, "requests_during_edits": said.requests}


def policies_100(folder: Path, effort: Effort) -> Figures:
    """What 100 Authorize policies on other routes and 20 on this one add to a request."""
    results: dict[str, Target] = {}
    size = Size(apis=101, consumers=100, keys=100, users=10, networks=10)
    with world(folder / "few", size) as few, world(folder / "many", size) as many:
        for path in (many.gateway.files / "apis").glob("*.yaml"):
            api = int(path.stem.removeprefix("api-"))
            copies = 20 if api == 0 else 1
            extra = [
                authorize(api, size, time_too=False).replace(f"name: staff-{api:04}", f"name: extra-{api:04}-{n}") for n in range(copies)
            ]
            path.write_text("---\n".join([path.read_text(), *extra]))
        many.gateway.until(lambda now: now["reads"] > 1 and not now["pending"])
        time.sleep(1)
        for name, one in (("few", few), ("many", many)):
            requests = script(one.folder / "one.lua", [size.path(0)], one.keys.texts)
            results[name] = Target(one.gateway.pids()["envoy"], one.gateway.port, requests)
        seen = compare("few", results, effort.rounds, effort.seconds)
    return {"policies_100_extra_us": seen.extra_us["many"]}


_TO_TLS = {
    "transport_socket": {
        "name": "tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": {"alpn_protocols": ["h2"]},
        },
    },
    "typed_extension_protocol_options": {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {"max_concurrent_streams": 64}},
        }
    },
}


def tls(folder: Path, effort: Effort) -> Figures:
    """HTTPS and HTTP/2 at four fifths of what one core holds; each hundredth request brings a token never seen before.

    wrk speaks neither, so a bare Envoy stands before the gateway and speaks both; its share is in the latencies.
    """
    connections, front = 128, free_port()
    with world(folder / "tls", Size(keys=10_000, tls=True)) as one:
        tokens = [one.tokens.of(user) for user in range(one.size.users)]
        paths = one.paths() * 3
        fresh = [one.tokens.of(serial, serial + 1) for serial in range(len(paths) // 100)]
        free = script(one.folder / "free.lua", paths, one.keys.texts, tokens, fresh=fresh)
        with bare_envoy(one.folder / "front", front, one.gateway.port, _TO_TLS):
            burst(front, free, 2, connections)
            held = burst(front, free, effort.load_s // 2, connections)
            pause_ms = round(connections * 1000 / (0.8 * held.rate) - held.p50_ms / 2)
            fresh = [one.tokens.of(serial, -serial - 1) for serial in range(len(paths) // 100)]
            paced = script(one.folder / "paced.lua", paths, one.keys.texts, tokens, fresh=fresh, delay_ms=max(1, pause_ms))
            seen = burst(front, paced, effort.load_s, connections)
    if seen.failed or seen.refused:
        raise RuntimeError(f"{seen.failed} requests failed and {seen.refused} were refused over TLS")
    return {
        "tls_full_chain_p99_ms": seen.p99_ms,
        "tls_full_chain_p50_ms": seen.p50_ms,
        "tls_full_chain_rate": seen.rate,
        "tls_full_chain_rate_held": held.rate,
    }
