"""The admin API against a fuzzer that reads its OpenAPI document: it finds no 500, and no answer that isn't in the document."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure
from schemathesis.engine import events, from_schema

from tests.e2e.test_admin import Admin, administered

EACH = {"admin": 6, "editor": 2, "approver": 2, "viewer": 2, "none": 2}
"""How many made-up requests each operation gets from whom, beside the systematic ones."""
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
    "allow_header_conformance",
)


@dataclass
class Found:
    """What the fuzzer has found."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)

    def take(self, event: Any) -> None:
        """Takes what one step has found."""
        if isinstance(event, events.NonFatalError | events.FatalError):
            self.failures[f"error {getattr(event, 'label', '')}"] = str(getattr(event, "value", None) or getattr(event, "exception", event))
        if not isinstance(event, events.ScenarioFinished):
            return
        for interaction in event.recorder.interactions.values():
            self.requests += 1
            self.statuses[interaction.response.status_code if interaction.response else 0] += 1
        for checks in event.recorder.checks.values():
            for check in checks:
                if check.failure_info is not None:
                    failure: Failure = check.failure_info.failure
                    told = f"{failure.title}: {failure.message}\n{check.failure_info.code_sample}"
                    self.failures.setdefault(f"{check.name} {event.recorder.label} {failure.title}", told[:1500])


def config(token: str | None, examples: int) -> SchemathesisConfig:
    """How it asks: always the same requests."""
    generation = {"deterministic": True, "max-examples": examples, "database": "none", "no-shrink": True}
    return SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "headers": {"authorization": f"Bearer {token}"} if token else {},
            "generation": {**generation, "with-security-parameters": False},
            "checks": {"enabled": False, **{name: {"enabled": True} for name in CHECKS}},
            "phases": {
                "coverage": {"enabled": examples > 5, "generate-duplicate-query-parameters": True},
                "stateful": {"enabled": False},
            },
            "reports": {},
            "cache": {"enabled": False},
        }
    )


LOGINS = r"^/v1/log(in|out)"
"""Whoever asks there at random is locked out soon."""


def fuzzed(url: str, token: str | None, examples: int, *, logins: bool = False) -> Found:
    """Asks everything in the document but the logins; or those alone."""
    found = Found()
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config(token, examples))
    chosen = schema.include(path_regex=LOGINS) if logins else schema.exclude(path_regex=LOGINS)
    for event in from_schema(chosen).execute():
        found.take(event)
    return found


async def test_a_fuzzer_finds_no_500_and_no_undocumented_answer(tmp_path: Path) -> None:
    async with administered(tmp_path) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        tokens = {role: await admin.token(ann, role, role) for role in ("editor", "approver", "viewer")}
        seen: Counter[int] = Counter()
        for who, examples in EACH.items():
            found = await asyncio.to_thread(fuzzed, admin.url, {"admin": ann, **tokens}.get(who), examples)
            assert not found.failures, f"as {who}:\n" + "\n\n".join(f"{name}\n{told}" for name, told in found.failures.items())
            assert found.requests >= 21 * min(examples, 2), who
            seen += found.statuses
            if who == "none":
                assert set(found.statuses) == {401}
        assert {200, 400, 401, 403, 404, 405, 409, 415, 422} <= set(seen), seen
        await _serves_on(admin, ann)
        found = await asyncio.to_thread(fuzzed, admin.url, None, 3, logins=True)
        assert not found.failures, found.failures
        assert found.requests >= 9 and set(found.statuses) <= {200, 400, 401, 404, 405, 415, 422, 429}, found.statuses


def _bytes(path: bytes, *headers: bytes, method: bytes = b"GET", body: bytes = b"") -> bytes:
    lines = [method + b" " + path + b" HTTP/1.1", b"host: x", b"connection: close", *headers]
    if body:
        lines.append(b"content-length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


JSON = b"content-type: application/json"
AT = b"/v1/resources/Public/odd"
ODD = {
    "NUL in the path": (_bytes(b"/v1/resources/Public/%00"), {404, 422}),
    "no UTF-8 in the path": (_bytes(b"/v1/resources/%ff%fe/x"), {404, 422}),
    "half of a surrogate pair in the path": (_bytes(b"/v1/resources/%ed%a0%80/x"), {404, 422}),
    "a slash in a name": (_bytes(b"/v1/resources/Public/a%2fb"), {404}),
    "up and away": (_bytes(b"/v1/resources/../../etc/passwd"), {404}),
    "NUL in a query": (_bytes(b"/v1/audit?actor=a%00b"), {422}),
    "no UTF-8 in a query": (_bytes(b"/v1/audit?actor=%ff"), {200, 422}),
    "a parameter twice": (_bytes(b"/v1/audit?limit=1&limit=x"), {422}),
    "a huge number": (_bytes(b"/v1/audit?limit=" + b"9" * 5000), {422}),
    "no number": (_bytes(b"/v1/audit?limit=NaN"), {422}),
    "a header twice": (_bytes(AT, b"if-match: a", b"if-match: b", JSON, method=b"PUT", body=b"{}"), {412, 422}),
    "no ASCII in a header": (_bytes(AT, b"x-message: \xff\xfe", JSON, method=b"PUT", body=b"{}"), {422}),
    "NaN": (_bytes(AT, JSON, method=b"PUT", body=b'{"description": NaN}'), {400}),
    "an infinite number": (
        _bytes(b"/v1/tokens", JSON, method=b"POST", body=b'{"name":"x","role":"viewer","seconds":1e999}'),
        {400, 422},
    ),
    "a number of 5,000 digits": (_bytes(AT, JSON, method=b"PUT", body=b'{"description": ' + b"9" * 5000 + b"}"), {400, 422}),
    "half of a surrogate pair": (_bytes(AT, JSON, method=b"PUT", body=b'{"\\ud800": 1}'), {400, 422}),
    "NUL in a text": (_bytes(AT, JSON, method=b"PUT", body=b'{"description": "\\u0000"}'), {422}),
    "no UTF-8": (_bytes(AT, JSON, method=b"PUT", body=b'{"description": "\xff"}'), {400}),
    "100,000 brackets": (_bytes(AT, JSON, method=b"PUT", body=b"[" * 100_000), {400}),
    "300 objects in one another": (_bytes(AT, JSON, method=b"PUT", body=b'{"a":' * 300 + b"1" + b"}" * 300), {400, 422}),
    "a list": (_bytes(AT, JSON, method=b"PUT", body=b"[]"), {422}),
    "nothing": (_bytes(AT, JSON, method=b"PUT"), {422}),
    "cut off JSON": (_bytes(AT, JSON, method=b"PUT", body=b'{"a'), {400}),
    "a form": (_bytes(AT, b"content-type: application/x-www-form-urlencoded", method=b"PUT", body=b"a=b"), {415}),
    "no type": (_bytes(AT, method=b"PUT", body=b"{}"), {415}),
    "too large": (_bytes(AT, JSON, b"content-length: 99999999999", method=b"PUT"), {413}),
    "HEAD": (_bytes(b"/v1/status", method=b"HEAD"), {405}),
    "OPTIONS": (_bytes(b"/v1/status", method=b"OPTIONS"), {405}),
    "a method that nobody knows": (_bytes(b"/v1/status", method=b"BREW"), {405}),
    "nowhere": (_bytes(b"/v2/status"), {404}),
}
"""What a fuzzer that speaks proper HTTP doesn't send, and the statuses that may be the answer."""


async def test_odd_requests_are_answered_as_documented(tmp_path: Path) -> None:
    async with administered(tmp_path) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        for name, (text, statuses) in ODD.items():
            status, headers, body = await _sent(admin, text.replace(b"host: x", b"host: x\r\nauthorization: Bearer " + ann.encode(), 1))
            assert status in statuses, (name, status, body)
            if status >= 400:
                assert b"application/problem+json" in headers, (name, headers)
            if status >= 400 and name != "HEAD":
                told = json.loads(body)
                assert told["status"] == status, name
                assert told["type"].startswith("urn:bartizan:problem:"), name
        await _serves_on(admin, ann)


async def test_a_body_that_is_too_large_is_refused_though_it_comes_in_parts(tmp_path: Path) -> None:
    async with administered(tmp_path) as admin:
        ann = await admin.token(admin.first, "ann", "admin")

        async def parts() -> AsyncIterator[bytes]:
            yield b'{"a": "'
            for _ in range(33):
                yield b"x" * (1 << 20)

        answer = await admin.call("PUT", "/v1/resources/Public/x", ann, content=parts(), headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["type"]) == (413, "urn:bartizan:problem:body-too-large")
        await _serves_on(admin, ann)


async def test_nothing_of_a_strangers_body_is_read(tmp_path: Path) -> None:
    async with administered(tmp_path) as admin:
        head = b"PUT /v1/resources/Public/x HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n"
        status, _, _ = await _sent(admin, head)  # not a byte of the body is sent, and still there is an answer
        assert status == 401


async def _sent(admin: Admin, text: bytes) -> tuple[int, bytes, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(admin.url).port)
    writer.write(text)
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        body = b"" if text.startswith(b"HEAD") else await reader.readexactly(int(length[1]) if length else 0)
    writer.close()
    return int(head.split(b" ", 2)[1]), head.lower(), body


async def _serves_on(admin: Admin, token: str) -> None:
    assert (await admin.call("GET", "/v1/status", token)).status_code == 200
    assert "a bug in answering" not in admin.gw.log()
