"""Asks an issuer about tokens (RFC 7662): each token once at a time, few at once, so many a second, and not longer than it may take."""

import asyncio
import base64
import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from urllib.parse import quote_plus

import httpx

from bartizan.callout.issuer import Issuer
from bartizan.callout.known import Known
from bartizan.callout.verdict import Garbage, Refused, Verdict, judged

_log = logging.getLogger(__name__)
_LONGEST = 64 * 1024
"""Bytes of an answer."""
_AT_ONCE = 32
WAITING = 256
"""So many requests wait for one issuer at once, whatever their tokens: more would hold up those of others."""
_TOLD_EVERY_S = 10.0
_CONFIG_S = 1.0
"""How long a request waits for its issuer to be known, as just after a start."""


class Bucket:
    """So many a second, with as many at once. Time is that of a clock which only runs on."""

    def __init__(self, per_second: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._clock = per_second, clock
        self._left, self._at = float(per_second), clock()

    def take(self) -> bool:
        """Whether there is one more."""
        now = self._clock()
        self._left = min(float(self._per_second), self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Asker:
    """Asks one issuer."""

    def __init__(self, issuer: Issuer, clock: Callable[[], float] = time.time) -> None:
        self.issuer = issuer
        self._clock = clock
        self._known = Known(issuer.cache_s)
        self._bucket = Bucket(issuer.per_second)
        self._asked: dict[bytes, asyncio.Task[Verdict]] = {}
        self._waiting = 0
        self._told = -_TOLD_EVERY_S
        limits = httpx.Limits(max_connections=_AT_ONCE, max_keepalive_connections=_AT_ONCE)
        self._client = httpx.AsyncClient(timeout=issuer.timeout_s, limits=limits, follow_redirects=False, headers=_headers(issuer))

    def known(self, token: str) -> Verdict | None:
        """What is known of a token without asking."""
        return self._known.get(_digest(token), self._clock())

    async def verdict(self, token: str) -> Verdict:
        """What the issuer says of a token. Whoever else asks meanwhile waits for the same answer."""
        digest = _digest(token)
        if (known := self._known.get(digest, self._clock())) is not None:
            return known
        task = self._asked.get(digest)
        if self._waiting >= WAITING or (task is None and (self.issuer.client_secret is None or not self._bucket.take())):
            return Refused.UNASKED
        if task is None:
            task = self._asked[digest] = asyncio.create_task(self._ask(token))
            task.add_done_callback(lambda _: self._asked.pop(digest, None))
        self._waiting += 1
        try:
            return await asyncio.shield(task)  # whoever goes away leaves it to the others
        finally:
            self._waiting -= 1

    async def end(self) -> None:
        """Asks no more."""
        for task in list(self._asked.values()):
            task.cancel()
        await self._client.aclose()

    async def _ask(self, token: str) -> Verdict:
        try:
            async with asyncio.timeout(self.issuer.timeout_s):
                body = await self._answer(token)
            verdict = judged(body, self.issuer, self._clock())
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, Garbage, ValueError, OSError) as error:
            self._tell(error)
            return Refused.UNASKED
        self._known.put(_digest(token), verdict, self._clock())
        return verdict

    async def _answer(self, token: str) -> bytes:
        form = {"token": token, "token_type_hint": "access_token"}
        if self.issuer.post:
            form |= {"client_id": self.issuer.client_id, "client_secret": self.issuer.client_secret or ""}
        async with self._client.stream("POST", self.issuer.url, data=form) as answer:
            kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
            if answer.status_code != httpx.codes.OK:
                raise Garbage(f"its status is {answer.status_code}")
            if kind != "application/json" or answer.headers.get("content-encoding", "identity") != "identity":
                raise Garbage("it isn't of the type application/json")
            body = b""
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) > _LONGEST:
                    raise Garbage("it is too long")
            return body

    def _tell(self, error: Exception) -> None:
        """Says in the log why it couldn't be asked, now and then."""
        if (now := time.monotonic()) - self._told >= _TOLD_EVERY_S:
            self._told = now
            why = str(error) if isinstance(error, Garbage) else type(error).__name__
            _log.warning("the issuer %s can't be asked about tokens at %s: %s", self.issuer.name, self.issuer.url, why)


class Askers:
    """Those of all issuers, as the node tells them."""

    def __init__(self) -> None:
        self._askers: dict[str, Asker] = {}
        self._changed = asyncio.Event()

    async def take(self, issuers: Mapping[str, Issuer]) -> None:
        """These are the issuers now. What is known of tokens of one that stays the same is kept."""
        before, self._askers = self._askers, {name: self._same(one) or Asker(one) for name, one in issuers.items()}
        self._changed.set()
        self._changed = asyncio.Event()
        for old in before.values():
            if self._askers.get(old.issuer.name) is not old:
                await old.end()

    def _same(self, issuer: Issuer) -> Asker | None:
        known = self._askers.get(issuer.name)
        return known if known is not None and known.issuer == issuer else None

    def known(self, issuer: str, token: str) -> Verdict | None:
        """What is known of a token without asking."""
        asker = self._askers.get(issuer)
        return asker.known(token) if asker is not None else None

    async def verdict(self, issuer: str, token: str) -> Verdict:
        """What the issuer says of a token."""
        if issuer not in self._askers:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CONFIG_S):
                    while issuer not in self._askers:
                        await self._changed.wait()
        asker = self._askers.get(issuer)
        try:
            return await asker.verdict(token) if asker is not None else Refused.UNASKED
        except asyncio.CancelledError:
            if asker is None or self._askers.get(issuer) is asker:
                raise
            return Refused.UNASKED  # the issuer was declared anew meanwhile


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _headers(issuer: Issuer) -> dict[str, str]:
    found = {"accept": "application/json", "accept-encoding": "identity"}
    if not issuer.post:
        both = f"{quote_plus(issuer.client_id)}:{quote_plus(issuer.client_secret or '')}"
        found["authorization"] = "Basic " + base64.b64encode(both.encode()).decode()
    return found
