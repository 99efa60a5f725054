"""Runs the quickstart: makes keys and a token at the first start, then the orders API and the gateway, and says what to try."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bartizan.admin.options import ControlOptions
from bartizan.cli.commands.up import run_gateway
from bartizan.errors import BartizanError
from bartizan.identity.keys import KeyStore
from bartizan.lib.process import Child, Command
from bartizan.node.options import EnvoyOptions
from bartizan.secrets.keyring import load_or_create

HERE = Path(__file__).parent
STATE = HERE.parent.parent / ".bartizan" / "quickstart"
URL = "http://127.0.0.1:8080/orders"
ADMIN = "127.0.0.1:9180"


def issuer_key() -> rsa.RSAPrivateKey:
    """The demo issuer's key, made at the first start; the public half is what the gateway reads."""
    path = STATE / "issuer.pem"
    if path.exists():
        found = serialization.load_pem_private_key(path.read_bytes(), None)
        if isinstance(found, rsa.RSAPrivateKey):
            return found
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key.private_bytes(*form))
    public = {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": "demo", "use": "sig", "alg": "RS256"}
    (STATE / "jwks.json").write_text(json.dumps({"keys": [public]}))
    return key


def api_keys() -> dict[str, str]:
    """One key for each consumer, made at the first start."""
    store = KeyStore(STATE / "keys.journal", load_or_create(STATE / "control.key"))
    known = {record.consumer: record.key.reveal() for record in store.records()}
    for consumer in ("acme", "globex"):
        if consumer not in known:
            known[consumer] = store.new(consumer, name="quickstart").key.reveal()
    return known


def token(key: rsa.RSAPrivateKey) -> str:
    """A token that is good for a day."""
    now = int(time.time())
    claims = {
        "iss": "https://issuer.quickstart.invalid",
        "aud": "orders",
        "sub": "ines",
        "department": "finance",
        "iat": now,
        "exp": now + 86400,
    }
    return jwt.encode(claims, key, "RS256", headers={"kid": "demo"})


def say_what_to_try(signer: rsa.RSAPrivateKey, keys: dict[str, str]) -> None:
    """Where it listens, and six requests with the answer that each should give."""
    acme, globex = keys["acme"], keys["globex"]
    print(f"""Bartizan listens on http://127.0.0.1:8080 and protects /orders. Health and metrics: http://{ADMIN}/metrics

Try (the answer each should give):
  curl -i {URL}                                                            # 401, no credential
  curl -i {URL}/health                                                     # 200, public
  curl -i -H 'x-api-key: {acme}' {URL}     # 200, acme's key
  curl -i -X POST -H 'x-api-key: {acme}' {URL}/refunds   # 201, acme is in finance
  curl -i -X POST -H 'x-api-key: {globex}' {URL}/refunds   # 403, globex isn't
  curl -i -H 'authorization: Bearer {token(signer)}' {URL}   # 200, a token

Edit examples/quickstart/policies.yaml and call again. Ctrl-C ends everything.
What is active: {os.path.relpath(Path(sys.executable).parent)}/bartizan status --state {os.path.relpath(STATE)}
""", flush=True)  # fmt: skip


def main() -> int:
    """Starts everything, and ends everything on Ctrl-C."""
    STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
    signer, keys = issuer_key(), api_keys()
    orders = Child("The orders API", Command((sys.executable, os.fspath(HERE / "orders.py"))))
    gateway = run_gateway(ControlOptions(HERE, STATE, ADMIN), EnvoyOptions(), lambda _: say_what_to_try(signer, keys), (orders,))
    try:
        return asyncio.run(gateway)
    except BartizanError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
