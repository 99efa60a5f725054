"""Conditions give one verdict however they are judged: by Envoy's matchers, as CEL in Envoy, and by cel-cpp as they are written."""

import contextlib
import ipaddress
import json
import os
import random
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest
from cel_expr_python import cel
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bartizan.condition import Condition, Schema, Sources, parse
from bartizan.condition.expression import expression
from bartizan.condition.patterns import DEVICES
from bartizan.condition.syntax import emitted
from bartizan.envoy import binary, extension, message, pack

SCHEMA = Schema({"plan": "string", "department": "string", "level": "number", "score": "number", "admin": "bool", "regions": "list"})
SCRATCH = Sources(time="header", address="header")
STRINGS = ("id", "issuer", "plan", "department")
LISTS = ("groups", "regions")
TZDATA = Path(__import__("tzdata").__file__).parent / "zoneinfo"

# An Envoy that answers each request with the verdicts of many predicates on it.


def _shadow(number: int, predicate: Message) -> dict[str, object]:
    def verdict(action: str) -> dict[str, object]:
        return {"action": extension("action", message("envoy.config.rbac.v3.Action", name="p", action=action))}

    matchers = {"matcher_list": {"matchers": [{"predicate": predicate, "on_match": verdict("ALLOW")}]}, "on_no_match": verdict("DENY")}
    rbac = message("envoy.extensions.filters.http.rbac.v3.RBAC", shadow_matcher=matchers, shadow_rules_stat_prefix=f"{number}.")
    return extension(f"rbac{number}", rbac)


def _principal() -> dict[str, object]:
    rules = [
        {"header": f"test-{kind}-{name}", "on_header_present": {"metadata_namespace": "bartizan.principal", "key": name, "type": kind.upper()}}
        for kind in ("string", "number")
        for name in SCHEMA.names()
    ]
    return extension("principal", message("envoy.extensions.filters.http.header_to_metadata.v3.Config", request_rules=rules))


def _bootstrap(predicates: Sequence[Message], tls: Message | None) -> Message:
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
        static_resources={"listeners": [{"name": "l", "address": listening, "filter_chains": [chain]}]},
    )


@contextlib.contextmanager
def judging(folder: Path, predicates: Sequence[Message], tls: Message | None = None) -> Iterator[str]:
    """The address, host and port, of an Envoy with these predicates."""
    config, admin, log = folder / "envoy.pb", folder / "admin", folder / "log"
    config.write_bytes(_bootstrap(predicates, tls).SerializeToString())
    admin.unlink(missing_ok=True)
    command = [str(binary()), "-c", str(config), "--disable-hot-restart", "--concurrency", "1", "--admin-address-path", str(admin)]
    with log.open("w") as stderr:
        process = subprocess.Popen([*command, "-l", "error"], stderr=stderr, env={**os.environ, "TZDIR": str(TZDATA)})
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
        request = httpx.Request(self.method, f"http://{address}", headers=sent, content=self.body or None, extensions={"target": self.target.encode()})
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


# Generated conditions and worlds, from one pool of values so that they often meet.

VALUES = ("gold", "silver", "finance", "a", 'a"b', "a,b", "ops", "é", "漢字", "go", "ld", "gold ", "a\\b", "x/y", "<b>", "😀", "u0041", "[a]", "GOLD")
NUMBERS = (-1, 0, 1, 2, 2.5, 3, 5, 5.0, 7, 1e10, -3.5)
NETWORKS = ("10.0.0.0/8", "10.1.2.3", "10.128.0.0/9", "192.168.4.0/22", "2001:db8::/32", "2001:db8:0:1::/64", "2001:db8::1", "0.0.0.0/0", "::/0")
NETWORKS += ("172.16.0.0/12", "fe80::/10", "2001:db8:0:1230::/60")
ADDRESSES = ("10.1.2.3", "10.200.0.1", "192.168.7.255", "192.168.8.0", "::ffff:10.1.2.3", "2001:db8::1", "2001:db8:0:1::5", "2001:db8:0:1:0:0:1:0", "fe80::1")
ADDRESSES += ("172.31.9.9", "172.32.0.1", "2001:db8:0:1234::", "2001:db9::1", "::1", "64:ff9b::1", "::ffff:172.16.0.9")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland")
MOMENTS = ("2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z", "2026-07-01T08:00:00Z", "2026-12-31T23:30:00Z", "2026-07-04T17:59:00+02:00", "2024-02-29T12:00:00Z")
AGENTS = ("curl/8.1", "Mozilla/5.0 (iPad; Mobile)", "Mozilla/5.0 (Linux; Android 14) Mobile", "Mozilla/5.0 (Linux; Android 14; X)", "Googlebot/2.1", "Mozilla/5.0 (X11)", "x")
HOSTS = ("api.example.com", "API.example.COM:8080", "example.org", "[::1]:443", "a:b:c", "www.example.com:")
TARGETS = ("/", "/orders", "/orders?x=/y", "/orders/1?", "/a/b.png", "/orders/a?b=gold", "/gold")
PATTERNS = ("^a", "o.d", "(?i)gold$", "^$", "[a-f]+", "\\.png", "é", "^/orders(/|$)", "b\\b", "^(gold|silver)$")


class Maker:
    """Conditions and worlds from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.pick = self.random.choice

    def quoted(self, values: Sequence[str] = VALUES) -> str:
        return json.dumps(self.pick(values), ensure_ascii=False)

    def listed(self, values: Sequence[str] = VALUES) -> str:
        return f"[{', '.join(self.quoted(values) for _ in range(self.random.randint(1, 4)))}]"

    def string(self) -> str:
        names = [f"principal.{self.pick(STRINGS)}", f'request.headers["{self.pick(["x-a", "x-b"])}"]', "request.path", "request.query", "device.ja4"]
        return self.pick([*names, names[0], names[0], names[1]])

    def number(self) -> str:
        names = ["principal.level", "principal.score", "request.size", f"size({self.string()})", f'now.hour("{self.pick(ZONES)}")']
        return self.pick([*names, "principal.level", "principal.score"])

    def text(self, depth: int) -> str:
        if depth <= 0 or self.random.random() < 0.2:
            return self.test()
        parts = [self.text(depth - self.random.randint(1, 2)) for _ in range(self.random.randint(2, 3))]
        shape = self.random.random()
        if shape < 0.15:
            return f"!({parts[0]})"
        if shape < 0.22:
            return f"(({parts[0]}) ? ({parts[1]}) : ({parts[-1]}))"
        if shape < 0.28:
            return f"(({parts[0]}) {self.pick(['==', '!='])} ({parts[1]}))"
        return f"({self.pick([' && ', ' || ']).join(parts)})"

    def test(self) -> str:
        kinds = (self.strings, self.strings, self.numbers, self.places, self.times, self.others, self.lists)
        return self.pick(kinds)()

    def strings(self) -> str:
        of = self.string()
        return self.pick(
            [
                f"{of} {self.pick(['==', '!=', '==', '<', '>=', '<=', '>'])} {self.quoted()}",
                f"{self.quoted()} {self.pick(['==', '!=', '<'])} {of}",
                f"{of} in {self.listed()}",
                f"{of}.{self.pick(['startsWith', 'endsWith', 'contains'])}({self.quoted([*VALUES, ''])})",
                f"{of}.matches({self.quoted(PATTERNS)})",
                f"{of} {self.pick(['==', '!=', '<'])} {self.string()}",
                f"{self.pick([of, self.quoted()])}.{self.pick(['startsWith', 'endsWith', 'contains'])}({self.string()})",
            ]
        )

    def numbers(self) -> str:
        order = self.pick(["==", "!=", "<", "<=", ">", ">="])
        left = self.number()
        values = ", ".join(str(self.pick(NUMBERS)) for _ in range(2))
        return self.pick([f"{left} {order} {self.pick(NUMBERS)}", f"{self.pick(NUMBERS)} {order} {left}", f"{left} {order} {self.number()}", f"{left} in [{values}]"])

    def places(self) -> str:
        paths = [target.split("?")[0] for target in TARGETS]
        hosts = ("api.example.com", "example.org", "[::1]", "www.example.com")
        how = self.pick(["startsWith", "endsWith", "contains"])
        addresses = [str(ipaddress.ip_address(each)) for each in ADDRESSES if not each.startswith(":") and not each.startswith("64")]
        return self.pick(
            [
                f"source.ip.within({self.pick([self.quoted(NETWORKS), self.listed(NETWORKS)])})",
                f"source.ip.within({self.listed(NETWORKS[:8])})",
                f"source.ip {self.pick(['==', '!='])} {self.quoted(addresses)}",
                f"request.path {self.pick(['==', '!='])} {self.quoted(paths)}",
                f"request.path in {self.listed(paths)}",
                f"request.path.{how}({self.quoted(['/', '/orders', '.png', 'o', ''])})",
                f"request.host {self.pick(['==', '!='])} {self.quoted(hosts)}",
                f"request.host in {self.listed(hosts)}",
                f"request.host.{how}({self.quoted(['.example.com', 'api', 'e', '1', ''])})",
                f'request.method {self.pick(["==", "!="])} "{self.pick(["GET", "POST", "PUT"])}"',
                f'request.scheme == "{self.pick(["http", "https"])}"',
            ]
        )

    def times(self) -> str:
        zone = self.quoted(ZONES)
        hours = self.random.sample(["00:00", "02:30", "08:00", "13:30", "18:00", "23:59"], 2)
        days = self.listed(["mon", "tue", "wed", "thu", "fri", "sat", "sun"])
        return self.pick(
            [
                f'now.between("{hours[0]}", "{hours[1]}", {zone})',
                f"now.weekday({zone}) in {days}",
                f'now.weekday({zone}) {self.pick(["==", "!="])} "{self.pick(["sun", "sat", "wed"])}"',
                f"now.date({zone}) {self.pick(['==', '<', '>=', '!=', '<=', '>'])} {self.quoted(['2026-03-29', '2026-12-31', '2027-01-01', '2024-02-29'])}",
                f"now.{self.pick(['after', 'before'])}({self.quoted(MOMENTS)})",
                f"now.hour({zone}) {self.pick(['<', '>=', '=='])} {self.pick([0, 8, 12, 2])}",
            ]
        )

    def others(self) -> str:
        types = ("bot", "tablet", "mobile", "desktop", "unknown")
        names = ("id", "plan", "level", "admin", "groups", "regions", "issuer", "method")
        return self.pick(
            [
                f"device.type {self.pick(['==', '!='])} {self.quoted(types)}",
                f"device.type in {self.listed(types)}",
                f"has(principal.{self.pick(names)})",
                f'"{self.pick(["x-a", "x-b"])}" in request.headers',
                "has(device.ja4)",
                "principal.admin",
                "!principal.admin",
                f"principal.admin == {self.pick(['true', 'false'])}",
                f'principal.method {self.pick(["==", "!="])} "{self.pick(["api_key", "jwt"])}"',
            ]
        )

    def lists(self) -> str:
        return f"{self.quoted()} in principal.{self.pick(LISTS)}"

    def sometimes(self, chance: float) -> bool:
        return self.random.random() < chance

    def world(self) -> World:
        headers = [(name, self.pick(VALUES).strip().encode()) for name in ("x-a", "x-b", "x-a") if self.sometimes(0.4)]
        headers += [("user-agent", self.pick(AGENTS).encode())] if self.sometimes(0.8) else []
        headers += [("x-bartizan-ja4", self.pick(VALUES).strip().encode())] if self.sometimes(0.5) else []
        body = b"x" * self.pick([1, 2, 5, 7]) if self.sometimes(0.4) else b""
        now = self.pick(MOMENTS) if self.sometimes(0.9) else None
        source = self.pick(ADDRESSES) if self.sometimes(0.9) else None
        world = World(self.pick(["GET", "POST"]), self.pick(TARGETS), self.pick(HOSTS), headers, body, now, source)
        for name, kind in SCHEMA.names().items():
            if self.sometimes(0.75):
                self.give(world, name, kind if self.sometimes(0.85) else self.pick(["string", "number", "bool", "list"]))
        return world

    def give(self, world: World, name: str, kind: str) -> None:
        if kind == "number":
            world.numbers[name] = float(self.pick([*NUMBERS, float("inf"), float("nan"), float("-inf")]))
        elif kind == "list":
            world.strings[name] = self.json_list()
        elif kind == "bool":
            world.strings[name] = self.pick(["true", "false", "true", "false", "True"])
        else:
            world.strings[name] = self.pick(["api_key", "jwt", "mtls"] if name == "method" else VALUES).strip()

    def json_list(self) -> str:
        if self.sometimes(0.1):
            return self.pick(["gold", '["gold"', '{"a": "gold"}', '["a", ["gold"]]', '"gold"', "gold,a", '["gold"]]'])
        values: list[object] = [*self.random.sample(VALUES, self.random.randint(0, 4)), *([7] if self.sometimes(0.2) else [])]
        separators = self.pick([(",", ":"), (", ", ": "), (" , ", ":")])
        text = json.dumps(values, ensure_ascii=self.sometimes(0.5), separators=separators)
        return text.replace("/", "\\/") if self.sometimes(0.3) else text


CONDITIONS, WORLDS = 150, 60


@settings(max_examples=3, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_one_verdict(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    maker = Maker(seed)
    conditions = [parse(maker.text(3), SCHEMA, whole_in_cel=True) for _ in range(CONDITIONS)]
    compiled = [ORACLE.compile(condition.text, disable_check=True) for condition in conditions]
    worlds = [World(), *(maker.world() for _ in range(WORLDS))]
    predicates = [form for condition in conditions for form in forms(condition, SCRATCH)]
    differ: list[tuple[str, World, bool | None, list[bool]]] = []
    with judging(tmp_path_factory.mktemp("envoy"), predicates) as address, httpx.Client() as client:
        for world in worlds:
            found, variables = verdicts(world.ask(client, address)), world.variables()
            for place, condition in enumerate(conditions):
                want, got = verdict(compiled[place], variables), found[4 * place : 4 * place + 4]
                if got != [want is True, want is False] * 2:
                    differ.append((condition.text, world, want, got))
    assert not differ, min(differ, key=lambda each: len(each[0]))
