"""Fetches what context sources say: by HTTP again and again, or from a file when it changes. What can't be had, or isn't good, leaves what
was had last, which grows older."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from bartizan.errors import Invalid
from bartizan.identity.context import Context
from bartizan.identity.context_read import MOST_BYTES, read
from bartizan.identity.named import NamedSecrets
from bartizan.identity.referred import UNREADABLE, secret_text
from bartizan.model.context import ContextSource, Pull
from bartizan.model.named import sent_to

_log = logging.getLogger("bartizan")
FILE_S = 0.25
"""How often a file is looked at."""
_FETCH_S = 10.0
_FIRST_S = 1.0
"""How long after a first failure a source is asked again; then twice as long each time, and never longer than it says itself."""
_SPREAD = 0.1
Taken = Callable[[str, frozenset[str]], None]
"""Is told of the subjects of whom a source says something else than before."""


@dataclass(slots=True)
class Source:
    """How it stands with fetching one source."""

    declared: ContextSource
    due: float = 0.0
    """By the monotonic clock."""
    failures: int = 0
    error: str = ""
    tag: str = ""
    """The ETag of what was had last."""
    stamp: tuple[int, ...] = ()
    """Of the file that was read last."""
    fetching: bool = False


class Pulling:
    """Fetches for `context`. Files are looked for in `folder`."""

    def __init__(self, context: Context, folder: Path, named: NamedSecrets, taken: Taken) -> None:
        self._context, self._folder, self._named, self._taken = context, folder, named, taken
        self._types: Mapping[str, str] = {}
        self.sources: dict[str, Source] = {}
        self._wake = asyncio.Event()

    def declare(self, sources: Mapping[str, ContextSource], types: Mapping[str, str]) -> None:
        """The sources there are now, and the attributes with their types."""
        same, self._types = self._types == types, types
        before, self.sources = self.sources, {}
        for name, declared in sources.items():
            known = before.get(name)
            self.sources[name] = known if same and known is not None and known.declared == declared else Source(declared)
        self._wake.set()

    async def run(self) -> None:
        """For ever. Each fetch is a task of its own, so that a source that is slow holds up no other."""
        async with httpx.AsyncClient(timeout=_FETCH_S, follow_redirects=False) as client, asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                for one in tuple(self.sources.values()):
                    if one.declared.file is not None:
                        await self._look(one)
                    elif one.declared.pull is not None and not one.fetching and time.monotonic() >= one.due:
                        one.fetching = True
                        group.create_task(self._fetch(client, one, one.declared.pull))
                with suppress(TimeoutError):
                    async with asyncio.timeout(FILE_S):
                        await self._wake.wait()

    async def _look(self, one: Source) -> None:
        path, declared = self._folder / str(one.declared.file), one.declared
        try:
            found = path.stat()
            if (stamp := (found.st_mtime_ns, found.st_size, found.st_ino)) == one.stamp:
                return
            one.stamp = stamp
            body = await asyncio.to_thread(_content, path)
            said = await asyncio.to_thread(read, body, declared, self._types)
        except (OSError, Invalid) as error:
            told = error.message if isinstance(error, Invalid) else f"{declared.file} can't be read: {error.strerror or error}"
            self._failed(one, told)
            return
        if self._is_current(one):
            # It is as old as the file is; one from the future is of now.
            self._took(one, self._context.take_all(declared.name, said, max(0.0, time.time() - found.st_mtime)))

    async def _fetch(self, client: httpx.AsyncClient, one: Source, pull: Pull) -> None:
        began = time.monotonic()
        try:
            async with asyncio.timeout(_FETCH_S):
                body, tag = await self._asked(client, one, pull)
            said = None if body is None else await asyncio.to_thread(read, body, one.declared, self._types)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, TimeoutError, Invalid, *UNREADABLE) as error:
            self._failed(one, _why(error, pull))
            pause = min(pull.every.total_seconds(), _FIRST_S * 2 ** min(one.failures - 1, 16))
        else:
            pause, ago = pull.every.total_seconds(), time.monotonic() - began
            if self._is_current(one):
                name = one.declared.name
                self._took(one, self._context.renew(name, ago) if said is None else self._context.take_all(name, said, ago))
                one.tag = tag
        finally:
            one.fetching = False
        one.due = time.monotonic() + pause * random.uniform(1 - _SPREAD, 1)  # noqa: S311 - so that gateways don't ask all at once

    async def _asked(self, client: httpx.AsyncClient, one: Source, pull: Pull) -> tuple[bytes | None, str]:
        """The body with its ETag; None if it is what was had last."""
        headers = {"accept": "application/json", **self._authorization(pull)}
        if one.tag and self._context.heard[one.declared.name].whole is not None:
            headers["if-none-match"] = one.tag
        async with client.stream("GET", pull.url, headers=headers) as answer:
            if answer.status_code == httpx.codes.NOT_MODIFIED and "if-none-match" in headers:
                return None, one.tag
            if answer.status_code != httpx.codes.OK:
                elsewhere = "; redirects aren't followed" if answer.is_redirect else ""
                raise ValueError(f"it answers {answer.status_code}{elsewhere}")
            body = bytearray()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise ValueError(f"what it answers is larger than {MOST_BYTES >> 20} MiB")
            return bytes(body), answer.headers.get("etag", "")

    def _authorization(self, pull: Pull) -> dict[str, str]:
        if pull.authorization is None:
            return {}
        text = secret_text(pull.authorization, self._folder, self._named, sent_to(pull.url))
        if not text.isascii() or not text.isprintable():
            raise ValueError("its secret can't stand in a header")
        return {"authorization": text if " " in text else f"Bearer {text}"}

    def _is_current(self, one: Source) -> bool:
        """Whether it is still declared so."""
        return self.sources.get(one.declared.name) is one

    def _took(self, one: Source, subjects: frozenset[str]) -> None:
        if one.error:
            _log.info("ContextSource/%s: it answers again", one.declared.name)
        one.error, one.failures = "", 0
        self._taken(one.declared.name, subjects)

    def _failed(self, one: Source, why: str) -> None:
        one.failures += 1
        if why != one.error:
            _log.warning("ContextSource/%s: %s; what it said last counts until it is %s old", one.declared.name, why, _max_age(one))
        one.error = why


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        body = file.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        raise OSError(f"it is larger than {MOST_BYTES >> 20} MiB")
    return body


def _max_age(one: Source) -> str:
    return f"{one.declared.max_age.total_seconds():g} s"


def _why(error: BaseException, pull: Pull) -> str:
    """Without a secret: errors of secrets name where they are."""
    if isinstance(error, Invalid):
        return error.message
    if isinstance(error, UNREADABLE) and not isinstance(error, httpx.HTTPError | TimeoutError):
        told = pull.authorization.told if pull.authorization is not None else "secret"
        return f"there is no {told} that may be sent there"
    text = "it takes too long" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    return f"{pull.url} can't be had: {text}"
