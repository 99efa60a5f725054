"""Makes conditions and worlds at random, from one pool of values so that they often meet."""

import ipaddress
import json
import random
from collections.abc import Sequence

from tests.e2e.condition_lab import SCHEMA, World

STRINGS = ("id", "issuer", "plan", "department")
LISTS = ("groups", "regions")
# fmt: off
VALUES = (
    "gold", "silver", "finance", "a", 'a"b', "a,b", "ops", "é", "漢字", "go", "ld", "gold ", "a\\b", "x/y", "<b>", "😀", "u0041",
    "[a]", "GOLD",
)
NUMBERS = (-1, 0, 1, 2, 2.5, 3, 5, 5.0, 7, 10000000000.0, -3.5)
NETWORKS = (
    "10.0.0.0/8", "10.1.2.3", "10.128.0.0/9", "192.168.4.0/22", "2001:db8::/32", "2001:db8:0:1::/64", "2001:db8::1", "0.0.0.0/0",
    "::/0", "172.16.0.0/12", "fe80::/10", "2001:db8:0:1230::/60",
)
ADDRESSES = (
    "10.1.2.3", "10.200.0.1", "192.168.7.255", "192.168.8.0", "::ffff:10.1.2.3", "2001:db8::1", "2001:db8:0:1::5",
    "2001:db8:0:1:0:0:1:0", "fe80::1", "172.31.9.9", "172.32.0.1", "2001:db8:0:1234::", "2001:db9::1", "::1", "64:ff9b::1",
    "::ffff:172.16.0.9",
)
ZONES = ('UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Pacific/Auckland')
MOMENTS = (
    "2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z", "2026-07-01T08:00:00Z", "2026-12-31T23:30:00Z", "2026-07-04T17:59:00+02:00",
    "2024-02-29T12:00:00Z",
)
AGENTS = (
    "curl/8.1", "Mozilla/5.0 (iPad; Mobile)", "Mozilla/5.0 (Linux; Android 14) Mobile", "Mozilla/5.0 (Linux; Android 14; X)",
    "Googlebot/2.1", "Mozilla/5.0 (X11)", "x",
)
# fmt: on
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
        names = [
            f"principal.{self.pick(STRINGS)}",
            f'request.headers["{self.pick(["x-a", "x-b"])}"]',
            "request.path",
            "request.query",
            "device.ja4",
        ]
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
        return self.pick(
            [
                f"{left} {order} {self.pick(NUMBERS)}",
                f"{self.pick(NUMBERS)} {order} {left}",
                f"{left} {order} {self.number()}",
                f"{left} in [{values}]",
            ]
        )

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
        zone, orders = self.quoted(ZONES), ["==", "!=", "<", "<=", ">", ">="]
        dates = self.quoted(["2026-03-29", "2026-12-31", "2027-01-01", "2024-02-29"])
        hours = self.random.sample(["00:00", "02:30", "08:00", "13:30", "18:00", "23:59"], 2)
        days = self.listed(["mon", "tue", "wed", "thu", "fri", "sat", "sun"])
        return self.pick(
            [
                f'now.between("{hours[0]}", "{hours[1]}", {zone})',
                f"now.weekday({zone}) in {days}",
                f'now.weekday({zone}) {self.pick(["==", "!="])} "{self.pick(["sun", "sat", "wed"])}"',
                f"now.date({zone}) {self.pick(orders)} {dates}",
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
