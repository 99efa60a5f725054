"""Makes whole gateways at random: APIs, policies that decide, consumers, issuers and certificates; and questions about them."""

import json
from datetime import datetime
from typing import Any

import yaml

from bartizan.compile import Compiled, compile
from bartizan.compile.read import assemble, read
from bartizan.meaning.access import Access, Point
from bartizan.meaning.people import KEY, Person
from bartizan.model.attributes import attribute_problem
from bartizan.model.snapshot import Snapshot
from bartizan.scratch import Certificate, Principal, Question, Scratch, Token, UnknownKey
from bartizan.scratch.question import Claim
from tests.certificates import ca
from tests.e2e import aws_maker, condition_maker

SEGMENTS = ("/", "/v1", "/orders", "/orders/refunds", "/v1/users", "/shop", "/shop/x", "/gold")
HOSTS = ("*", "a.example.com", "*.example.com", "b.example.com")
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "PURGE")
TEXTS = tuple(text for text in condition_maker.VALUES if attribute_problem(text) is None)
IDS = ("acme", "globex", "initech", "gold", "a", "go", "finance", "silver")
ATTRIBUTES = {"plan": "string", "department": "string", "level": "number", "score": "number", "admin": "bool", "regions": "list"}
LISTENER = {"name": "web", "address": "127.0.0.1:0"}
CLAIMS = {"plan": "plan", "department": "dept", "level": "lvl", "admin": "adm", "regions": "regs"}


class Maker(condition_maker.Maker):
    """Gateways from one seed. Their conditions ask for the principal more often than for the rest."""

    def test(self) -> str:
        return self.pick((self.about, self.about, self.about, super().test))()

    def about(self) -> str:
        """A question about the principal, or the method."""
        text, number = f"principal.{self.pick(condition_maker.STRINGS)}", f"principal.{self.pick(['level', 'score'])}"
        return self.pick(
            [
                f"{text} {self.pick(['==', '!=', '<', '>='])} {self.quoted()}",
                f"{text} in {self.listed()}",
                f"{text}.{self.pick(['startsWith', 'endsWith', 'contains'])}({self.quoted([*condition_maker.VALUES, ''])})",
                f"{text}.matches({self.quoted(condition_maker.PATTERNS)})",
                f"{text} == principal.{self.pick(condition_maker.STRINGS)}",
                f"principal.id {self.pick(['==', '!='])} {self.quoted(IDS)}",
                f"{number} {self.pick(['==', '!=', '<', '<=', '>', '>='])} {self.pick(condition_maker.NUMBERS)}",
                f"size({text}) {self.pick(['<', '>='])} {self.pick([3, 4, 5])}",
                f"principal.level {self.pick(['<', '>='])} principal.score",
                f"has(principal.{self.pick(list(ATTRIBUTES))})",
                f'principal.method == "{self.pick(["api_key", "jwt", "mtls"])}"',
                self.pick(["principal.admin", "!principal.admin"]),
                f'request.method {self.pick(["==", "!="])} "{self.pick(METHODS)}"',
                f'request.method in ["GET", "{self.pick(METHODS)}"]',
                self.lists(),
            ]
        )

    def some(self, values: Any, most: int) -> list[Any]:
        return self.random.sample(list(values), self.random.randint(1, most))

    def target(self, apis: list[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.sometimes(0.6):
            found["api"] = self.pick(apis)
        if self.sometimes(0.5):
            found["paths"] = self.some(SEGMENTS, 2)
        if self.sometimes(0.3):
            found["methods"] = self.some(METHODS, 2)
        if self.sometimes(0.2):
            found["except"] = self.some(SEGMENTS[2:], 1)
        return found

    def policy(self, apis: list[str]) -> dict[str, Any]:
        kind = self.pick(["Authorize"] * 5 + ["Authenticate", "Public", "Public", "IpAccess", "ResourcePolicy", "RateLimit"])
        fields: dict[str, Any] = {
            "Authorize": lambda: {"allow": self.text(self.random.randint(0, 3))},
            "Authenticate": lambda: {"any": self.some(["api_key", {"jwt": "corp"}, {"jwt": "partner"}, {"mtls": "staff"}], 3)},
            "Public": lambda: {"reason": "generated for the test"},
            "IpAccess": lambda: {self.pick(["allow", "deny"]): self.some(["10.0.0.0/8", "192.168.4.0/22", "2001:db8::/32"], 2)},
            "ResourcePolicy": lambda: {"document": self.document()},
            "RateLimit": lambda: {
                "per": "principal.id",
                "tiers": [{"when": self.about(), "windows": ["9/second"]}, {"windows": ["5/second"]}],
            },
        }[kind]()
        mode = self.pick(["enforce"] * 6 + ["shadow", "disabled"])
        return {"kind": kind, "target": self.target(apis), "mode": mode, **fields}

    def document(self) -> dict[str, Any]:
        maker = aws_maker.Maker(self.random.randint(0, 1 << 30))
        return maker.document()

    def consumer(self, name: str) -> dict[str, Any]:
        values = {
            "plan": lambda: self.pick(TEXTS),
            "department": lambda: self.pick(TEXTS),
            "level": lambda: self.pick(condition_maker.NUMBERS),
            "score": lambda: self.pick(condition_maker.NUMBERS),
            "admin": lambda: self.sometimes(0.5),
            "regions": lambda: self.random.sample(TEXTS, self.random.randint(0, 3)),
        }
        found: dict[str, Any] = {"kind": "Consumer", "name": name, "groups": self.random.sample(TEXTS, self.random.randint(0, 2))}
        found["attributes"] = {name: make() for name, make in values.items() if self.sometimes(0.75)}
        if self.sometimes(0.3):
            found["credentials"] = [{"certificate": {"ca": "staff", "san": f"spiffe://{name}"}}]
        if self.sometimes(0.1):
            found["disabled"] = True
        return found

    def api(self, name: str) -> dict[str, Any]:
        found = {
            "kind": "Api",
            "name": name,
            "hosts": self.some(HOSTS, 2),
            "paths": self.some(SEGMENTS, 3),
            "upstream": "http://127.0.0.1:9",
        }
        return {**found, "methods": self.some(METHODS[:5], 3)} if self.sometimes(0.4) else found

    def documents(self) -> str:
        """Declares a gateway, which may or may not be good."""
        apis = ["orders", "pets", "users"][: self.random.randint(1, 3)]
        found: list[dict[str, Any]] = [
            {"kind": "Gateway", "name": "edge", "listeners": [{"name": "web", "address": "127.0.0.1:0"}], "attributes": ATTRIBUTES},
            {
                "kind": "Tls",
                "name": "web",
                "certificate": "tls.pem",
                "private_key": {"file": "tls.key"},
                "client_cas": {"staff": "staff.pem"},
            },
            {
                "kind": "Issuer",
                "name": "corp",
                "issuer": "https://idp.example.com",
                "audiences": ["x"],
                "jwks": {"keys": []},
                "attributes": CLAIMS,
                "groups": "roles",
            },
            {"kind": "Issuer", "name": "partner", "issuer": "https://partner.example.com", "audiences": ["x"], "jwks": {"keys": []}},
            {
                "kind": "Authenticate",
                "name": "everyone",
                "any": ["api_key", {"jwt": "corp"}],
                "target": self.pick([{}, {"except": ["/shop"]}]),
            },
            {"kind": "Public", "name": "shop", "target": {"paths": ["/shop"]}, "reason": "generated for the test"},
        ]
        found += [self.api(name) for name in apis]
        found += [{"name": f"p{i}", **self.policy(apis)} for i in range(self.random.randint(1, 8))]
        found += [self.consumer(name) for name in IDS]
        return "\n---\n".join(yaml.safe_dump(one, allow_unicode=True) for one in found)

    def compiled(self) -> Compiled:
        """A good one."""
        while True:
            snapshot = assemble([read(self.documents(), "generated.yaml")], {"staff.pem": ca("staff"), "tls.pem": b""})
            made = compile(snapshot) if isinstance(snapshot, Snapshot) else None
            if made is not None and not made.problems:
                return made


def asks(maker: condition_maker.Maker, point: Point, method: str | None, principal: Principal | None) -> Question:
    """A request there, with anything in it that isn't known beforehand."""
    path = point.path + maker.pick(["", "/zz9", "/zz9/x?y=z", "?a=b"]) if point.path != "/" else maker.pick(["/", "/zz9", "/?x=y"])
    host = {"*": "localhost"}.get(point.host, point.host.replace("*", "zz9"))
    headers = [(name, maker.quoted()) for name in ("x-a", "x-b") if maker.sometimes(0.4)]
    headers += [("user-agent", maker.pick(condition_maker.AGENTS))] if maker.sometimes(0.7) else []
    moment = datetime.fromisoformat(maker.pick(condition_maker.MOMENTS))
    source, ja4 = maker.pick(condition_maker.ADDRESSES), maker.pick(["", "gold"])
    return Question(method or "PROPFIND", path, host, tuple(headers), principal=principal, at=moment, source=source, ja4=ja4)


def principal_of(person: Person, scratch: Scratch, maker: condition_maker.Maker) -> Principal | None:
    """The credential that someone shows."""
    match person.sort:
        case "anonymous":
            return None
        case "certificate":
            return Certificate(person.name, "spiffe://nobody")
        case "token":
            return Token(person.name, maker.pick(["ines", "acme", "gold"]), claims(maker))
    if person.by == KEY:
        return scratch.consumer(person.name)
    if scratch.snapshot.consumers[person.name].disabled:
        return UnknownKey()
    return Certificate(person.by, f"spiffe://{person.name}")


def claims(maker: condition_maker.Maker) -> dict[str, Claim]:
    """What a token may claim."""
    values: dict[str, Claim] = {
        "plan": maker.pick(TEXTS),
        "dept": maker.pick([*TEXTS, 7, True]),
        "lvl": maker.pick([*condition_maker.NUMBERS, "x"]),
        "adm": maker.pick([True, False, "yes"]),
        "regs": json.loads(json.dumps(maker.random.sample(TEXTS, 2))),
        "roles": [maker.pick(TEXTS)],
    }
    return {name: value for name, value in values.items() if maker.sometimes(0.6)}


def spots(access: Access) -> list[tuple[Point, str | None]]:
    """Every point with every method."""
    return [(point, method) for point in access.points() for method in (*METHODS, *sorted(access.methods() - set(METHODS)), None)]
