"""What a proof of possession costs: requests with fresh DPoP proofs, through Envoy and the process beside it."""

import base64
import hashlib
import json
import subprocess
import time
import uuid
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from bench.load import command, told
from bench.measures import Effort, Figures
from bench.programs import cpu_s, first_answer, free_port, gateway, nginx
from bench.world import ISSUER, Tokens

_FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:PORT"}]
---
{kind: Api, name: orders, paths: [/orders], upstream: "http://127.0.0.1:UPSTREAM"}
---
{kind: Issuer, name: corp, issuer: "ISSUER", audiences: [bench], jwks: {file: corp.json}}
---
{kind: Authenticate, name: bound, target: {except: [/orders/plain]}, any: [{jwt: corp, bound: dpop}]}
---
{kind: Authenticate, name: plain, target: {paths: [/orders/plain]}, any: [{jwt: corp}]}
"""
_SCRIPT = """-- made by the benchmark
local made, at = {}, 0
init = function()
  for line in io.lines("PROOFS") do
    made[#made + 1] = wrk.format("GET", "/orders/1", {authorization = "DPoP TOKEN", dpop = line})
  end
end
request = function()
  at = at + 1
  return made[at] or made[#made]
end
delay = function()
  if at >= #made then wrk.thread:stop() end
  return 0
end
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d %d %d %d %d\\n", summary.requests, summary.duration, e.connect, e.read, e.write,
    e.status, e.timeout, latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"""


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _proofs(key: ec.EllipticCurvePrivateKey, token: str, url: str, count: int) -> list[str]:
    public = {name: value for name, value in jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True).items() if name != "key_ops"}
    claims = {"htm": "GET", "htu": url, "iat": int(time.time()) + 1, "ath": _encoded(hashlib.sha256(token.encode()).digest())}
    headers = {"typ": "dpop+jwt", "jwk": public}
    return [jwt.encode({**claims, "jti": str(uuid.uuid4())}, key, "ES256", headers=headers) for _ in range(count)]


def _thumbprint(key: ec.EllipticCurvePrivateKey) -> str:
    public = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    members = {name: public[name] for name in ("crv", "kty", "x", "y")}
    return _encoded(hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest())


def proofs(folder: Path, effort: Effort) -> Figures:
    """`dpop_per_core_s`: requests in a second of a core through the process beside Envoy; what Envoy itself needs is told beside it."""
    port, upstream, tokens = free_port(), free_port(), Tokens()
    (folder / "files").mkdir(parents=True)
    text = _FILES.replace("PORT", str(port)).replace("UPSTREAM", str(upstream)).replace("ISSUER", ISSUER)
    (folder / "files" / "all.yaml").write_text(text)
    (folder / "files" / "corp.json").write_text(tokens.jwks())
    key = ec.generate_private_key(ec.SECP256R1())
    token = tokens.of(0, cnf={"jkt": _thumbprint(key)})
    with nginx(folder / "upstream", upstream), gateway(folder, port) as made:
        first_answer(made, "/orders/plain", {"authorization": f"Bearer {tokens.of(1)}"})
        time.sleep(3)  # until the process beside Envoy is there
        count = 500 * effort.load_s
        (folder / "proofs.txt").write_text("\n".join(_proofs(key, token, f"http://127.0.0.1:{port}/orders/1", count)))
        script = folder / "proofs.lua"
        script.write_text(_SCRIPT.replace("PROOFS", str(folder / "proofs.txt")).replace("TOKEN", token))
        pids = made.pids()
        before = {name: cpu_s(pids[name]) for name in ("callout", "envoy")}
        ran = subprocess.run(command(port, script, 50, 16), capture_output=True, text=True, timeout=120, check=False)
        used = {name: cpu_s(pids[name]) - before[name] for name in before}
        seen = told(ran.stdout + ran.stderr)
    good = seen.requests - seen.refused
    if seen.failed or good < count * 0.99:
        raise RuntimeError(f"{seen.refused} of {seen.requests} requests were refused, {seen.failed} failed: {count} proofs were made")
    return {
        "dpop_per_core_s": good / used["callout"],
        "dpop_callout_us": used["callout"] * 1e6 / good,
        "dpop_envoy_us": used["envoy"] * 1e6 / good,
        "dpop_p99_ms": seen.p99_ms,
    }
