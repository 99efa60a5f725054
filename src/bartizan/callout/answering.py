"""What Envoy is answered: whose a token is, as its issuer says, and whether a proof is one for the request. It decides nothing else."""

import re
import time
from collections.abc import Awaitable, Callable

from bartizan.callout.asking import Askers
from bartizan.callout.once import Full, Once
from bartizan.callout.proof import ALGORITHMS, Asked, BadProof, checked
from bartizan.callout.verdict import Refused, Verdict
from bartizan.callout.wire import Request, answer
from bartizan.envoy import names

_SCHEME = "Bearer "
_ALGS = " ".join(ALGORITHMS)
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{1,8192}=*")


class Answering:
    """Answers requests of Envoy's."""

    def __init__(self, once: Once, askers: Askers, clock: Callable[[], float] = time.time) -> None:
        self._once, self._askers, self._clock = once, askers, clock

    def __call__(self, request: Request) -> bytes | Awaitable[bytes]:
        """At once, if nobody has to be asked."""
        issuer, token = request.headers.get(names.H_ASKS), request.headers.get("authorization", "").removeprefix(_SCHEME)
        if issuer is None:
            return self._proven(request, token, request.headers.get(names.H_JKT, ""), b"")
        known = self._askers.known(issuer, token)
        if known is None:
            known = None if len(token) <= 8192 and _TOKEN.fullmatch(token) else Refused.INACTIVE
        return self._said(request, token, known) if known is not None else self._later(request, issuer, token)

    async def _later(self, request: Request, issuer: str, token: str) -> bytes:
        return self._said(request, token, await self._askers.verdict(issuer, token))

    def _said(self, request: Request, token: str, verdict: Verdict) -> bytes:
        """What the issuer says, as headers; with a proof, if it is sent as one that needs it."""
        if isinstance(verdict, Refused):
            return answer(200, _line(names.H_VERDICT, verdict.value))
        binding = request.headers.get(names.H_BINDING, "").split(",")
        lines, jkt = verdict.lines, verdict.jkt if "dpop" in binding else ""
        if verdict.x5t and "certificate" in binding:
            lines += _line(names.H_CONFIRMATION, verdict.x5t)
        if jkt:
            lines += _line(names.H_JKT, jkt)
        if request.headers.get(names.H_SCHEME) == "dpop":
            return self._proven(request, token, jkt, lines)
        return answer(200, lines)

    def _proven(self, request: Request, token: str, jkt: str, lines: bytes) -> bytes:
        """Whether the proof is one for this request, and for this token, which is bound to a key with the thumbprint `jkt`."""
        headers, now = request.headers, self._clock()
        try:
            url = f"{headers.get('x-forwarded-proto', 'http')}://{headers.get('host', '')}{request.path}"
            proof = checked(headers.get("dpop", ""), Asked(request.method, url, token, jkt, now))
        except BadProof as error:
            return _refused(f'error="invalid_dpop_proof", error_description="The proof doesn\'t count: {error}"')
        if self._once.needs_nonce(proof, now):
            return _refused('error="use_dpop_nonce"', self._once.nonce(now))
        try:
            if not self._once.is_first(proof, now):
                return _refused('error="invalid_dpop_proof", error_description="The proof was used already"')
        except Full:
            return _refused('error="use_dpop_nonce"', self._once.nonce(now))
        return answer(200, lines + _line(names.H_PROOF, "dpop"))


def _refused(why: str, nonce: str = "") -> bytes:
    told = _line("www-authenticate", f'DPoP {why}, algs="{_ALGS}"')
    return answer(401, told + (_line("dpop-nonce", nonce) if nonce else b""))


def _line(name: str, value: str) -> bytes:
    return f"{name}: {value}\r\n".encode()
