"""What Envoy is answered about tokens."""

import base64
import hashlib
import math
import time
import uuid
from collections.abc import Awaitable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bartizan.callout.answering import Answering
from bartizan.callout.asking import Askers
from bartizan.callout.once import Once
from bartizan.callout.proof import thumbprint_of
from bartizan.callout.verdict import Refused, Told, Verdict
from bartizan.callout.wire import Request
from tests.unit.callout.issuers import CORP

KEY = ec.generate_private_key(ec.SECP256R1())
JWK = {name: value for name, value in jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True).items() if name != "key_ops"}
TOLD = Told(b"x-bartizan-sub-corp: ines\r\n", math.inf, thumbprint_of(JWK), "x5t")


async def answering(verdict: Verdict | None) -> Answering:
    askers = Askers()
    await askers.take({"corp": CORP})
    if verdict is not None:
        askers._askers["corp"]._known.put(hashlib.sha256(b"opaque").digest(), verdict, time.time())
    return Answering(Once(time.time() - 60), askers)


def request(**headers: str) -> Request:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("GET", "/orders", {"host": "edge", "authorization": "Bearer opaque", "x-bartizan-asks": "corp", **told})


async def said(verdict: Verdict | None, asked: Request) -> tuple[int, dict[str, str]]:
    found = (await answering(verdict))(asked)
    body = await found if isinstance(found, Awaitable) else found
    first, *lines = body.decode().split("\r\n")[:-2]
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines[1:])


def proof(**more: Any) -> str:
    ath = base64.urlsafe_b64encode(hashlib.sha256(b"opaque").digest()).rstrip(b"=").decode()
    claims = {"htm": "GET", "htu": "http://edge/orders", "iat": int(time.time()), "jti": str(uuid.uuid4()), "ath": ath, **more}
    return jwt.encode(claims, KEY, "ES256", headers={"typ": "dpop+jwt", "jwk": JWK})


async def test_what_is_known_is_told() -> None:
    assert await said(TOLD, request(x_bartizan_binding="-")) == (200, {"x-bartizan-sub-corp": "ines"})
    assert await said(Refused.INACTIVE, request()) == (200, {"x-bartizan-verdict": "inactive"})


async def test_what_it_is_bound_to_is_told_where_that_is_wanted() -> None:
    bound = {"x-bartizan-sub-corp": "ines", "x-bartizan-jkt": TOLD.jkt, "x-bartizan-cnf": "x5t"}
    assert await said(TOLD, request(x_bartizan_binding="certificate,dpop")) == (200, bound)
    del bound["x-bartizan-jkt"]
    assert await said(TOLD, request(x_bartizan_binding="certificate")) == (200, bound)


async def test_a_proof_has_to_be_of_the_key_that_the_issuer_names() -> None:
    dpop = {"x_bartizan_scheme": "dpop", "x_bartizan_binding": "dpop"}
    status, told = await said(TOLD, request(**dpop, dpop=proof()))
    assert (status, told["x-bartizan-proof"], told["x-bartizan-sub-corp"]) == (200, "dpop", "ines")
    forged = {**dpop, "x_bartizan_jkt": TOLD.jkt}
    unbound = Told(TOLD.lines, math.inf, "", "")
    for verdict, headers in (
        (unbound, forged),
        (TOLD, {**dpop, "x_bartizan_binding": "-"}),
        (TOLD, {**forged, "x_forwarded_proto": "https"}),
    ):
        status, told = await said(verdict, request(**headers, dpop=proof()))
        assert status == 401 and told["www-authenticate"].startswith('DPoP error="invalid_dpop_proof"')
        assert "x-bartizan-proof" not in told
    assert (await said(Refused.INACTIVE, request(**dpop, dpop=proof())))[1] == {"x-bartizan-verdict": "inactive"}


async def test_who_cant_be_asked_is_told_so() -> None:
    """Nobody listens where the issuer is said to be."""
    assert await said(None, request()) == (200, {"x-bartizan-verdict": "unasked"})
    assert await said(None, request(x_bartizan_asks="nobody")) == (200, {"x-bartizan-verdict": "unasked"})


@pytest.mark.parametrize("token", ["", "=", "a b", "a=b", "é", '"', "a,b", "x" * 9000, "a\x00"])
async def test_what_cant_be_a_token_isnt_asked_about(token: str) -> None:
    assert await said(None, request(authorization=f"Bearer {token}")) == (200, {"x-bartizan-verdict": "inactive"})
