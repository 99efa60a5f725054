"""Judges conditions three ways: an Envoy that answers with the verdicts of many predicates, and cel-cpp on the text as written."""

import contextlib
import ipaddress
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
from cel_expr_python import cel
from google.protobuf.message import Message

from bartizan.condition import Condition, Schema, Sources
from bartizan.condition.expression import expression
from bartizan.condition.patterns import DEVICES
from bartizan.condition.syntax import emitted
from bartizan.envoy import binary, extension, message

SCHEMA = Schema({"plan": "string", "department": "string", "level": "number", "score": "number", "admin": "bool", "regions": "list"})
SCRATCH = Sources(time="header", address="header")
TZDATA = str(resources.files("tzdata") / "zoneinfo")

# An Envoy that answers each request with the verdicts of many predicates on it.


def _shadow(number: int, predicate: Message) -> dict[str, object]:
    def verdict(action: str) -> dict[str, object]:
        return {"action": extension("action", message("envoy.config.rbac.v3.Action", name="p", action=action))}

    matchers = {"matcher_list": {"matchers": [{"predicate": predicate, "on_match": verdict("ALLOW")}]}, "on_no_match": verdict("DENY")}
    rbac = message("envoy.extensions.filters.http.rbac.v3.RBAC", shadow_matcher=matchers, shadow_rules_stat_prefix=f"{number}.")
    return extension(f"rbac{number}", rbac)


def _principal() -> dict[str, object]:
    rules = [
        {
            "header": f"test-{kind}-{name}",
            "on_header_present": {"metadata_namespace": "bartizan.principal", "key": name, "type": kind.upper()},
        }
        for kind in ("string", "number")
        for name in SCHEMA.names()
    ]
    return extension("principal", message("envoy.extensions.filters.http.header_to_metadata.v3.Config", request_rules=rules))


def _limits(action: dict[str, object], sizes: Mapping[str, int]) -> dict[str, object]:
    """A rate limit with one descriptor, and a bucket for each of its values."""

    def bucket(size: int) -> dict[str, object]:
        return {"max_tokens": size, "tokens_per_fill": {"value": size}, "fill_interval": {"seconds": 3600}}

    always = {"default_value": {"numerator": 100}}
    limit = message(
        "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix="l",
        token_bucket=bucket(1000),
        filter_enabled=always,
        filter_enforced=always,
        descriptors=[{"entries": [{"key": "tier", "value": value}], "token_bucket": bucket(size)} for value, size in sizes.items()],
        rate_limits=[{"actions": [{"extension": action}]}],
    )
    return extension("limit", limit)


def _bootstrap(predicates: Sequence[Message], tls: Message | None, more: Sequence[dict[str, object]]) -> Message:
    answer = {"status": 200, "body_format": {"text_format_source": {"inline_string": "%DYNAMIC_METADATA(envoy.filters.http.rbac)%"}}}
    route = {"match": {"prefix": "/"}, "direct_response": answer}
    star = {"match": {"path": "*"}, "direct_response": answer}
    hcm = message(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="test",
        use_remote_address={"value": True},
        normalize_path={"value": True},
        max_request_headers_kb={"value": 96},
        http_filters=[
            _principal(),
            *more,
            *(_shadow(number, predicate) for number, predicate in enumerate(predicates)),
            extension("router", message("envoy.extensions.filters.http.router.v3.Router")),
        ],
        route_config={"name": "r", "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [route, star]}]},
    )
    chain: dict[str, object] = {"filters": [extension("hcm", hcm)]}
    if tls is not None:
        chain["transport_socket"] = extension("tls", tls)
    listening = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    return message(
        "envoy.config.bootstrap.v3.Bootstrap",
        admin={"address": listening},
        layered_runtime={
            "layers": [{"name": "lab", "static_layer": {"re2": {"max_program_size": {"error_level": 20_000, "warn_level": 20_000}}}}]
        },
        static_resources={"listeners": [{"name": "l", "address": listening, "filter_chains": [chain]}]},
    )


@contextlib.contextmanager
def judging(
    folder: Path,
    predicates: Sequence[Message],
    tls: Message | None = None,
    zones: str = TZDATA,
    limits: tuple[dict[str, object], Mapping[str, int]] | None = None,
) -> Iterator[str]:
    """The address, host and port, of an Envoy with these predicates, and with a rate limit by a descriptor if one is given."""
    config, admin, log = folder / "envoy.pb", folder / "admin", folder / "log"
    config.write_bytes(_bootstrap(predicates, tls, [_limits(*limits)] if limits else []).SerializeToString())
    admin.unlink(missing_ok=True)
    command = [str(binary()), "-c", str(config), "--disable-hot-restart", "--concurrency", "1", "--admin-address-path", str(admin)]
    with log.open("w") as stderr:
        process = subprocess.Popen([*command, "-l", "error"], stderr=stderr, env={**os.environ, "TZDIR": zones})
    try:
        yield _address(process, admin, log)
    finally:
        process.terminate()
        process.wait()


def _address(process: subprocess.Popen[bytes], admin: Path, log: Path) -> str:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError, httpx.HTTPError):
            found = httpx.get(f"http://{admin.read_text()}/listeners?format=json").json().get("listener_statuses")
            if found:
                socket = found[0]["local_address"]["socket_address"]
                return f"{socket['address']}:{socket['port_value']}"
        time.sleep(0.02)
    raise AssertionError(log.read_text()[:2000])


def verdicts(answer: httpx.Response) -> list[bool]:
    """Of each predicate: whether it matched."""
    assert answer.status_code == 200, answer.text
    told = {key: value for key, value in answer.json().items() if key.endswith("shadow_engine_result")}
    return [told[f"{number}.shadow_engine_result"] == "allowed" for number in range(len(told))]


def as_cel(condition: Condition, want: bool, sources: Sources) -> Message:
    """The whole condition as one CEL matcher."""
    expr = condition.expr(sources).SerializeToString() if want else emitted(expression(condition.node, False, sources)).SerializeToString()
    parsed = message("cel.expr.ParsedExpr")
    parsed.expr.ParseFromString(expr)
    matcher = message("xds.type.matcher.v3.CelMatcher", expr_match={"cel_expr_parsed": parsed})
    source = extension("i", message("xds.type.matcher.v3.HttpAttributesCelMatchInput"))
    return message(
        "xds.type.matcher.v3.Matcher.MatcherList.Predicate", single_predicate={"input": source, "custom_match": extension("m", matcher)}
    )


def forms(condition: Condition, sources: Sources) -> list[Message]:
    return [condition.predicate(sources), condition.denial(sources), as_cel(condition, True, sources), as_cel(condition, False, sources)]


# What may happen: a principal and a request, as Envoy sees them and as CEL's variables.


@dataclass
class World:
    method: str = "GET"
    target: str = "/"
    host: str = "api.example.com"
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    body: bytes = b""
    now: str | None = None
    source: str | None = None
    strings: dict[str, str] = field(default_factory=dict)
    "Metadata of type string."
    numbers: dict[str, float] = field(default_factory=dict)
    "Metadata of type number."

    def ask(self, client: httpx.Client, address: str) -> httpx.Response:
        sent = [("host", self.host.encode()), *self.headers]
        sent += [(f"test-string-{name}", value.encode()) for name, value in self.strings.items()]
        sent += [(f"test-number-{name}", repr(value).encode()) for name, value in self.numbers.items()]
        if self.now:
            sent.append(("x-bartizan-now", self.now.encode()))
        if self.source:
            sent.append(("x-bartizan-source", self.source.encode()))
        if self.body:
            sent.append(("content-length", str(len(self.body)).encode()))
        request = httpx.Request(
            self.method, f"http://{address}", headers=sent, content=self.body or None, extensions={"target": self.target.encode()}
        )
        return client.send(request)

    def principal(self) -> dict[str, object]:
        """What is missing or of the wrong type isn't there."""
        found: dict[str, object] = {}
        for name, kind in SCHEMA.names().items():
            if kind == "number":
                value = self.numbers.get(name)
                found[name] = value if value is not None and abs(value) < float("inf") else None
            elif name not in self.numbers and name in self.strings:
                text = self.strings[name]
                found[name] = _as_list(text) if kind == "list" else {"true": True, "false": False}.get(text) if kind == "bool" else text
        return {name: value for name, value in found.items() if value is not None}

    def variables(self) -> dict[str, object]:
        joined: dict[str, str] = {}
        for name, value in self.headers:
            joined[name] = f"{joined[name]},{value.decode()}" if name in joined else value.decode()
        path, _, query = self.target.partition("?")
        request: dict[str, object] = {"method": self.method, "path": path, "query": query, "scheme": "http", "headers": joined}
        host = re.fullmatch(r"(\[[0-9a-f:.]+\]|[^\[\]:]+)(:[0-9]*)?", self.host.lower())
        if host:
            request["host"] = host[1]
        if self.body or self.method == "POST":
            request["size"] = len(self.body)
        device = {"type": _device(joined.get("user-agent"))}
        if "x-bartizan-ja4" in joined:
            device["ja4"] = joined["x-bartizan-ja4"]
        source = {"ip": str(_unmapped(self.source))} if self.source else {}
        known = {"principal": self.principal(), "request": request, "source": source, "device": device}
        return known | ({"now": self.now} if self.now else {})


def _as_list(text: str) -> list[object] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, list) and not any(isinstance(each, list | dict) for each in found) else None


def _device(agent: str | None) -> str:
    return next((name for name, pattern in DEVICES if agent is not None and re.search(pattern, agent)), "unknown")


def _unmapped(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    found = ipaddress.ip_address(text)
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found


# The oracle: cel-cpp, given the text as it is written.


def _local(now: str, zone: str) -> datetime:
    return datetime.fromisoformat(now).astimezone(ZoneInfo(zone))


def _between(now: str, first: str, last: str, zone: str) -> bool:
    minute = f"{_local(now, zone):%H:%M}"
    return first <= minute < last if first < last else minute >= first or minute < last


def _within(ip: str, networks: object) -> bool:
    texts = networks if isinstance(networks, list) else [networks]
    return any(ipaddress.ip_address(ip) in ipaddress.ip_network(text) for text in texts)


def _oracle() -> cel.Env:
    text = cel.Type.STRING

    def member(name: str, returns: cel.Type, takes: list[cel.Type], impl: object) -> cel.FunctionDecl:
        kinds = [takes, [*takes[:-1], cel.Type.LIST]] if name == "within" else [takes]
        overloads = [cel.Overload(f"{name}_{at}", returns, kind, is_member=True, impl=impl) for at, kind in enumerate(kinds)]
        return cel.FunctionDecl(name, overloads)

    functions = [
        member("between", cel.Type.BOOL, [text] * 4, _between),
        member("weekday", text, [text] * 2, lambda now, zone: f"{_local(now, zone):%a}".lower()),
        member("hour", cel.Type.INT, [text] * 2, lambda now, zone: _local(now, zone).hour),
        member("date", text, [text] * 2, lambda now, zone: f"{_local(now, zone):%Y-%m-%d}"),
        member("after", cel.Type.BOOL, [text] * 2, lambda now, then: datetime.fromisoformat(now) >= datetime.fromisoformat(then)),
        member("before", cel.Type.BOOL, [text] * 2, lambda now, then: datetime.fromisoformat(now) < datetime.fromisoformat(then)),
        member("within", cel.Type.BOOL, [text] * 2, _within),
    ]
    return cel.NewEnv(functions=functions)


ORACLE = _oracle()


def verdict(compiled: cel.Expression, variables: Mapping[str, object]) -> bool | None:
    """True, false, or neither."""
    found = compiled.eval(data=variables)
    if found.type() == cel.Type.ERROR:
        return None
    assert found.type() == cel.Type.BOOL, found.value()
    return bool(found.value())
