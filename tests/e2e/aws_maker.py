"""Makes resource policies and requests at random, from one pool of values so that they often meet."""

import json
import random
from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from math import floor, isfinite
from typing import Any

from tests.e2e.aws_reference import Request, Value, known_of
from tests.e2e.condition_lab import World

GATEWAY, API = "edge", "orders"
TOKEN = "https://idp.example.com|ines"
# fmt: off
TEXTS = (
    "gold", "GOLD", "silver", "finance", "a", 'a"b', "a,b", "é", "É", "漢字", "gold ", "a\\b", "x/y", "<b>", "😀", "a*b", "$5", "k", "",
)
REFERERS = ("gold", "GOLD", "a", "x/y", "k", "https://example.com/gold?a=b", "")
"""Envoy takes away a Referer that can't be a URL."""
PATTERNS = ("*", "g*", "*ld", "?old", "*o*", "g??d", "?", "a?b", "*\"*", "??", "a${*}b", "${$}5", "*a*", "G*", "?*?", "", "x/*", "*\\*")
NUMBERS = (-1, 0, 1, 2, 2.5, 3, 5, 7, -3.5, 10000000000, 0.1)
NETWORKS = (
    "10.0.0.0/8", "10.1.2.3", "10.128.0.0/9", "2001:db8::/32", "2001:db8::1", "0.0.0.0/0", "::/0", "172.16.0.0/12", "2001:DB8:0:1::/64",
)
ADDRESSES = ("10.1.2.3", "10.200.0.1", "192.168.8.0", "2001:db8::1", "2001:db8:0:1::5", "172.31.9.9", "::1", "2001:db9::1")
MOMENTS = ("2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z", "2026-03-29T01:00:00.5Z", "2026-07-01T08:00:00Z", "2024-02-29T12:00:00Z")
DATES = (
    "2026-03-29T01:00:00Z", "2026-03-29T02:00+01:00", "2026-03-29T01:00:00.5Z", "2026-07", "2026-07-01", "2024-02-29", "1774746000",
    1774746000, 1782892800, "2026-07-01T08:00:00Z", "2026-07-01T08:00:00.25Z",
)
TARGETS = (
    "/orders", "/orders/", "/orders/1", "/orders/1?x=/orders/refunds", "/orders/refunds", "/orders/refunds/", "/orders/refunds?", "/",
    "/orders/a@b", "/orders/a%40b", "/orders/a%20b", "/orders/%C3%A9", "/orders/%c3%a9?a", "/orders/a*b", "/orders/a%2ab", "/pets",
    "/ordersX", "/orders/refunds/1/2", "/orders/GET/x", "/orders/%F0%9F%98%80",
)
PATHS = (
    "/orders", "/orders/*", "/orders*", "/orders/refunds", "/orders/refunds/", "/orders/re?unds", "/*", "*", "*/refunds", "/orders/a@b",
    "/orders/a%40?", "/orders/a b", "/orders/é", "/orders/?", "/orders/a${*}b", "/orders/%2A*", "/orders/*/2", "/", "?orders/1",
    "/orders/??", "/orders/*s", "/orders/a?b", "/orders/refunds*/",
)
PRINCIPALS = (
    "edge", "arn:aws:iam::edge:root", "arn:aws:iam::edge:user/acme", "arn:aws:iam::edge:user/globex", "arn:aws:iam::edge:role/ops",
    'arn:aws:iam::edge:role/a"b', f"arn:aws:sts::edge:federated-user/{TOKEN}", "arn:aws:sts::edge:federated-user/partners|spiffe://x",
)
ARNS = (
    "arn:aws:iam::edge:user/acme", "arn:aws:iam::edge:user/*", "arn:aws:*::edge:*", "arn:aws:iam::*:user/?cme", "arn:*:*:*:*:*/glob*",
    f"arn:aws:sts::edge:federated-user/{TOKEN}", "arn:aws:sts::edge:federated-user/https:*", "arn:aws:sts::*:*|ines", "*:*:*:*:*:*",
)
WHO = ("acme", "globex", "ACME", TOKEN, "edge", "User", "FederatedUser", "ines", "federateduser")
WHO_PATTERNS = ("*", "a*", "?cme", "*|*", "https*", "e*", "*User", "glob*", "*ines", "????")
# fmt: on
WHO_KEYS = ("aws:userid", "aws:username", "aws:PrincipalAccount", "aws:PrincipalType", "AWS:UserID")
STRINGS = ("aws:PrincipalTag/plan", "aws:PrincipalTag/department", "aws:UserAgent", "aws:Referer", "aws:principaltag/Plan")
LISTS = ("aws:PrincipalTag/regions", "aws:PrincipalTag/groups")


class Maker:
    """Documents and requests from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.pick = self.random.choice

    def sometimes(self, chance: float) -> bool:
        return self.random.random() < chance

    def some(self, values: Sequence[Any], most: int = 3) -> Any:
        """One value, or a list of them."""
        found = [self.pick(values) for _ in range(self.random.randint(1, most))]
        return found if len(found) > 1 or self.sometimes(0.3) else found[0]

    def document(self) -> dict[str, Any]:
        statements = [self.statement("Allow")] + [self.statement() for _ in range(self.random.randint(0, 3))]
        self.random.shuffle(statements)
        return {"Version": "2012-10-17", "Statement": statements if len(statements) > 1 or self.sometimes(0.5) else statements[0]}

    def statement(self, effect: str = "") -> dict[str, Any]:
        made: dict[str, Any] = {"Effect": effect or self.pick(["Allow", "Deny", "Deny"])}
        made.update(self.principal(made["Effect"]))
        made.update(
            self.pick(
                [{"Action": "execute-api:Invoke"}, {"Action": ["execute-api:*", "*"]}, {"NotAction": "execute-api:ManageConnections"}]
            )
        )
        made["Resource" if self.sometimes(0.8) else "NotResource"] = self.some([self.resource() for _ in range(4)], 2)
        if self.sometimes(0.75):
            made["Condition"] = self.condition()
        return made

    def principal(self, effect: str) -> dict[str, Any]:
        if self.sometimes(0.4):
            return {"Principal": self.pick(["*", {"AWS": "*"}, {"AWS": ["*", PRINCIPALS[2]]}])}
        if effect == "Deny" and self.sometimes(0.3):
            account = self.pick(PRINCIPALS[:2])
            return {"NotPrincipal": {"AWS": [self.pick(PRINCIPALS[2:4] + PRINCIPALS[6:]), account]}}
        if self.sometimes(0.15):
            return {
                "Principal": {
                    "Federated": "arn:aws:iam::edge:oidc-provider/corp",
                    **({"AWS": PRINCIPALS[2]} if self.sometimes(0.5) else {}),
                }
            }
        return {"Principal": {"AWS": self.some(PRINCIPALS)}}

    def resource(self) -> str:
        if self.sometimes(0.2):
            return self.pick(["*", "execute-api:/*", "arn:aws:execute-api:*:*:*", "arn:aws:execute-api:*:edge:orders/*"])
        path = self.pick(PATHS) if self.sometimes(0.7) else self.pick(["/orders", "/*"]) + self.pick(["/*", "*", "?", "/refunds", "s"])
        part = f"/{self.pick(['$default', '*', '$d*', '$default'])}/{self.pick(['GET', 'POST', '*', '*', 'P*', '?ET', '*E*', 'G*T'])}{path}"
        if self.sometimes(0.3):
            return f"execute-api:{part}"
        return f"arn:aws:execute-api:*:{self.pick(['edge', '*'])}:{self.pick(['orders', 'orders', '*', 'users', 'ord*'])}{part}"

    def condition(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for _ in range(self.random.randint(1, 3)):
            operator, key, values = self.test()
            block = made.setdefault(operator, {})
            if key.lower() not in {name.lower() for name in block}:
                block[key] = values
        return made

    def test(self) -> tuple[str, str, Any]:
        made = self.pick(
            [self.strings, self.strings, self.lists, self.lists, self.who, self.arns, self.numbers, self.times, self.places, self.truths]
        )
        operator, key, values = made()
        if self.sometimes(0.08):
            return "Null", key, self.pick([True, "false", "TRUE", [False]])
        if operator.startswith("For"):
            return operator + ("IfExists" if operator.startswith("ForAll") and self.sometimes(0.2) else ""), key, values
        if self.sometimes(0.15):
            return f"{self.pick(['ForAnyValue', 'ForAllValues'])}:{operator}", key, values
        return operator + ("IfExists" if self.sometimes(0.25) else ""), key, values

    def string_operator(self, texts: Sequence[Any], patterns: Sequence[Any]) -> tuple[str, Any]:
        operator = self.pick(
            ["StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike"]
        )
        plain = [text.replace("$", "${$}") for text in texts]
        return operator, self.some(patterns if operator.endswith("Like") else plain)

    def strings(self) -> tuple[str, str, Any]:
        operator, values = self.string_operator(TEXTS, PATTERNS)
        return operator, self.pick(STRINGS), values

    def lists(self) -> tuple[str, str, Any]:
        operator, values = self.string_operator(TEXTS, PATTERNS)
        return f"{self.pick(['ForAnyValue', 'ForAllValues'])}:{operator}", self.pick(LISTS), values

    def who(self) -> tuple[str, str, Any]:
        operator, values = self.string_operator(WHO, WHO_PATTERNS)
        return operator, self.pick(WHO_KEYS), values

    def arns(self) -> tuple[str, str, Any]:
        if self.sometimes(0.7):
            return self.pick(["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"]), "aws:PrincipalArn", self.some(ARNS)
        operator, values = self.string_operator(ARNS, ARNS)
        return operator, "aws:PrincipalArn", values

    def order(self) -> str:
        return self.pick(["Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"])

    def numbers(self) -> tuple[str, str, Any]:
        if self.sometimes(0.2):
            return f"Numeric{self.order()}", "aws:EpochTime", self.some([1774746000, "1774746000", 1774746001, 1782892800.5, 5])
        return f"Numeric{self.order()}", f"aws:PrincipalTag/{self.pick(['level', 'score'])}", self.some([*NUMBERS, "5", "2.50"])

    def times(self) -> tuple[str, str, Any]:
        return f"Date{self.order()}", self.pick(["aws:CurrentTime", "aws:EpochTime"]), self.some(DATES, 2)

    def places(self) -> tuple[str, str, Any]:
        return self.pick(["IpAddress", "NotIpAddress"]), "aws:SourceIp", self.some(NETWORKS)

    def truths(self) -> tuple[str, str, Any]:
        if self.sometimes(0.3):
            return self.pick(["StringEquals", "StringNotEquals"]), "aws:PrincipalTag/admin", self.pick([True, "true", ["false"]])
        return "Bool", self.pick(["aws:SecureTransport", "aws:PrincipalTag/admin"]), self.some([True, "true", "False", False], 2)

    # Requests.

    def world(self) -> World:
        world = World(self.pick(["GET", "GET", "POST", "PUT", "DELETE"]), self.pick(TARGETS), "api.example.com")
        world.now = self.pick(MOMENTS) if self.sometimes(0.97) else None
        world.source = self.pick(ADDRESSES) if self.sometimes(0.97) else None
        if self.sometimes(0.7):
            world.headers.append(("user-agent", self.pick(TEXTS).strip().encode() if self.sometimes(0.9) else b"g\xffld"))
        if self.sometimes(0.7):
            world.headers.append(("referer", self.pick(REFERERS).encode()))
        if self.sometimes(0.4):
            world.headers.append(("x-bartizan-secure", b"true"))
        who = self.pick(
            [
                None,
                ("acme", "api_key", None),
                ("globex", "api_key", None),
                (TOKEN, "jwt", "corp"),
                ("partners|spiffe://x", "mtls", "partners"),
            ]
        )
        if who is not None:
            self.identify(world, who)
        return world

    def identify(self, world: World, who: tuple[str, str, str | None]) -> None:
        world.strings.update(id=who[0], method=who[1], **({"issuer": who[2]} if who[2] else {}))
        for name in ("plan", "department"):
            if self.sometimes(0.7):
                world.strings[name] = self.pick([text.strip() for text in TEXTS if text])
        if self.sometimes(0.7):
            world.strings["admin"] = self.pick(["true", "false"])
        for name in ("level", "score"):
            if self.sometimes(0.7):
                world.numbers[name] = float(self.pick(NUMBERS)) if self.sometimes(0.95) else float(self.pick(["inf", "nan"]))
        for name in ("groups", "regions"):
            if self.sometimes(0.8):
                world.strings[name] = self.json_list()

    def json_list(self) -> str:
        if self.sometimes(0.07):
            return self.pick(
                ["gold", '["gold"', '{"a": "gold"}', '["a", ["gold"]]', '"gold"', '["gold", 7]', '["gold"]]', '["\\u0067old"]']
            )
        values = self.random.sample([*TEXTS[:-1], "ops"], self.random.randint(0, 3))
        text = json.dumps(values, ensure_ascii=self.sometimes(0.5), separators=self.pick([(",", ":"), (", ", ": ")]))
        return text.replace("/", "\\/") if self.sometimes(0.3) else text


def request_of(world: World) -> Request:
    """A world as the reference sees it."""
    strings = world.strings
    request = Request(GATEWAY, API, world.method, world.target.partition("?")[0])
    request.id, request.credential, request.issuer = strings.get("id"), strings.get("method"), strings.get("issuer")
    secure = ("x-bartizan-secure", b"true") in world.headers
    request.keys = {"aws:securetransport": secure, **known_of(request)}
    for name in ("plan", "department"):
        if name in strings:
            request.keys[f"aws:principaltag/{name}"] = strings[name]
    if "admin" in strings:
        request.keys["aws:principaltag/admin"] = strings["admin"]
    for name, number in world.numbers.items():
        key = f"aws:principaltag/{name}"
        if isfinite(number):
            request.keys[key] = number
        else:
            request.unreadable.add(key)
    _add_lists(request, world)
    _add_circumstances(request, world)
    return request


def _add_lists(request: Request, world: World) -> None:
    for name in ("groups", "regions"):
        found = _texts(world.strings[name]) if name in world.strings else []
        if found is None:
            request.unreadable |= {f"aws:principaltag/{name}", name}
        elif found:
            request.keys[f"aws:principaltag/{name}"] = found
    groups: Value | None = request.keys.get("aws:principaltag/groups")
    request.groups = groups if isinstance(groups, list) else []


def _texts(text: str) -> list[str] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    plain = isinstance(found, list) and all(isinstance(each, str) for each in found) and "\\u0067" not in text
    return found if plain else None


def _add_circumstances(request: Request, world: World) -> None:
    for name, header in (("aws:useragent", "user-agent"), ("aws:referer", "referer")):
        values = [value for key, value in world.headers if key == header]
        if values:
            request.keys[name] = values[0].decode("utf-8", "surrogateescape")
            if b"\xff" in values[0]:
                request.unreadable_characters.add(name)
    if world.source is None:
        request.unreadable.add("aws:sourceip")
    else:
        request.keys["aws:sourceip"] = world.source
    if world.now is None:
        request.unreadable |= {"aws:currenttime", "aws:epochtime"}
    else:
        second = floor(Fraction(datetime.fromisoformat(world.now).timestamp()))
        request.keys.update({"aws:currenttime": second, "aws:epochtime": second})
