"""What the benchmark declares: a gateway with a thousand APIs, their policies, consumers with keys, an issuer with tokens."""

import datetime
import ipaddress
import json
import random
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bartizan.identity.journal import Journal
from bartizan.identity.key_text import key_id, key_text
from bartizan.policies import KINDS
from bartizan.secrets.keyring import load_or_create

ISSUER = "https://idp.bench.invalid"
PER_FILE = 100
DEPARTMENTS = ("finance", "sales", "support", "research")
_HOUR = 3600
_NOW = 'now.hour("Europe/Berlin") >= 0 && now.weekday("Europe/Berlin") in ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]'


@dataclass(frozen=True, slots=True)
class Size:
    """How much is declared."""

    apis: int = 1000
    consumers: int = 10_000
    keys: int = 100_000
    users: int = 1000
    networks: int = 50_000
    below: str = ""
    """A first path segment that all APIs share, such as `/v1`; by default each has its own."""
    tls: bool = False
    """Whether it is served over TLS."""

    def path(self, api: int) -> str:
        """Where an API is."""
        return f"{self.below}/api-{api:04}"


@dataclass(slots=True)
class Tokens:
    """An issuer's key, and tokens of its users."""

    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048))

    def jwks(self) -> str:
        """The JWK Set, as JSON."""
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return json.dumps({"keys": [{**public, "kid": "bench", "use": "sig", "alg": "RS256"}]})

    def of(self, user: int, serial: int = 0, **more: Any) -> str:
        """A token of this user; another `serial` gives another token. `more`: other claims."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": "bench", "sub": f"user-{user}", "iat": now, "exp": now + 4 * _HOUR, "jti": f"{serial}"}
        claims |= {"department": DEPARTMENTS[user % len(DEPARTMENTS)], "plan": "gold", **more}
        return jwt.encode(claims, self.key, "RS256", headers={"kid": "bench"})


def registered(kind: str) -> bool:
    """Whether this version has the policy kind."""
    return kind in {one.model_fields["kind"].default for one in KINDS}


def chain_kinds() -> list[str]:
    """The kinds of policies that the whole chain holds."""
    return [kind for kind in ("Authenticate", "Authorize", "IpAccess", "Cors", "RateLimit") if registered(kind)]


def authorize(api: int, size: Size, *, departments: Sequence[str] = DEPARTMENTS, time_too: bool = True) -> str:
    """The API's own policy: who may call, and when."""
    allow = f"principal.department in {json.dumps(list(departments))}" + (f" && {_NOW}" if time_too else "")
    return f"kind: Authorize\nname: staff-{api:04}\ntarget: {{api: api-{api:04}}}\nallow: '{allow}'\n"


def api_file(api: int, size: Size, upstream: int, policy: str | None = None) -> str:
    """One API with its policy."""
    text = f"kind: Api\nname: api-{api:04}\npaths: [{size.path(api)}]\nupstream: http://127.0.0.1:{upstream}\n"
    return f"{text}---\n{policy or authorize(api, size)}"


def _gateway(port: int) -> str:
    return f"""kind: Gateway
name: edge
listeners: [{{name: web, address: "127.0.0.1:{port}"}}]
attributes: {{plan: string, department: string, job: string}}
blocking: {{exempt: [127.0.0.0/8]}}   # else the flood of wrong credentials would block the load generator
records: {{rotate: 64MiB, keep: 512MiB}}
---
kind: Issuer
name: corp
issuer: {ISSUER}
audiences: [bench]
jwks: {{file: jwks.json}}
attributes: {{department: department, plan: plan}}
"""


_SHARED = {
    "Authenticate": "kind: Authenticate\nname: callers\nany: [api_key, {jwt: corp}]\n",
    "IpAccess": "kind: IpAccess\nname: blocklist\ndeny: {file: networks.txt}\n",
    "Cors": 'kind: Cors\nname: web-apps\norigins: ["https://*.example.com"]\nmethods: [GET, POST]\n',
    "RateLimit": 'kind: RateLimit\nname: per-principal\nper: principal.id\ntiers: [{windows: ["1000000/second"]}]\n',
}


_TLS = "kind: Tls\nname: web\ncertificate: tls.crt\nprivate_key: {file: tls.key}\n"


def networks(count: int) -> str:
    """Networks, one a line, that hold no address of this machine."""
    chosen = random.Random(7).sample(range(1 << 16), min(count, 1 << 16))
    return "".join(f"{ipaddress.ip_address((203 << 24) + (one << 8))}/{random.Random(one).choice((24, 25, 28))}\n" for one in chosen)


def _write_certificate(folder: Path) -> None:
    """A certificate of its own making, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    now = datetime.datetime.now(datetime.UTC)
    draft = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(days=1))
    form = serialization.Encoding.PEM
    (folder / "tls.crt").write_bytes(draft.sign(key, hashes.SHA256()).public_bytes(form))
    bare = serialization.NoEncryption()
    (folder / "tls.key").write_bytes(key.private_bytes(form, serialization.PrivateFormat.PKCS8, bare))
    (folder / "tls.key").chmod(0o600)


def write_files(folder: Path, size: Size, port: int, upstream: int, tokens: Tokens, *, leave_out: Sequence[str] = ()) -> None:
    """The whole declaration: one file for each API with its policy, and one for each hundred consumers."""
    (folder / "apis").mkdir(parents=True, exist_ok=True)
    (folder / "consumers").mkdir(exist_ok=True)
    (folder / "jwks.json").write_text(tokens.jwks())
    (folder / "networks.txt").write_text(networks(size.networks))
    shared = [text for kind, text in _SHARED.items() if registered(kind) and kind not in leave_out]
    if size.tls:
        _write_certificate(folder)
        shared.append(_TLS)
    (folder / "gateway.yaml").write_text("---\n".join([_gateway(port), *shared]))
    for api in range(size.apis):
        policy = "" if "Authorize" in leave_out else None
        (folder / "apis" / f"api-{api:04}.yaml").write_text(api_file(api, size, upstream, policy))
    for first in range(0, size.consumers, PER_FILE):
        documents = [_consumer(one) for one in range(first, min(first + PER_FILE, size.consumers))]
        (folder / "consumers" / f"{first:06}.yaml").write_text("---\n".join(documents))


def _consumer(number: int) -> str:
    department = DEPARTMENTS[number % len(DEPARTMENTS)]
    return (
        f"kind: Consumer\nname: consumer-{number:05}\nattributes: {{plan: gold, department: {department}, job: analyst}}\ngroups: [staff]\n"
    )


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys in a journal: ids and texts, in the order of consumers."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]


def write_keys(state: Path, size: Size, work: Path) -> Keys:
    """Puts the keys of all consumers into the state's journal, as `bartizan key new` would, but without waiting for the disk each time."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    envelope = load_or_create(state / "control.key")
    fast = work / "keys.journal"
    fast.unlink(missing_ok=True)
    journal = Journal(fast, envelope, "keys")
    ids, texts = [], []
    with journal.locked():
        for number in range(size.keys):
            ids.append(key_id())
            texts.append(key_text())
            record = ["add", ids[-1], f"consumer-{number % size.consumers:05}", "", texts[-1], time.time(), None]
            journal.append(orjson.dumps(record))
    journal.close()
    shutil.copyfile(fast, state / "keys.journal")
    (state / "keys.journal").chmod(0o600)
    fast.unlink()
    return Keys(tuple(ids), tuple(texts))


def wrong_keys(count: int) -> list[str]:
    """Keys of the right form that nobody has."""
    return [key_text() for _ in range(count)]


def forged_tokens(count: int, tokens: Tokens) -> list[str]:
    """Tokens that name the issuer's key and are signed by another: the dearest kind of wrong."""
    forger = Tokens()
    return [forger.of(1_000_000 + number, secrets.randbits(32)) for number in range(count)]


def zipf(count: int, draws: int, seed: int = 1) -> list[int]:
    """Draws among `count` things by a Zipf law with s = 1.0, the same for the same seed."""
    weights = [1 / rank for rank in range(1, count + 1)]
    order = list(range(count))
    chooser = random.Random(seed)
    chooser.shuffle(order)
    return [order[one] for one in chooser.choices(range(count), weights, k=draws)]
