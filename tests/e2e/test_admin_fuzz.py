"""The admin API against a fuzzer that reads its OpenAPI document: it finds no 500, and no answer that isn't in the document."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure
from schemathesis.engine import events, from_schema

from tests.e2e.test_admin import Admin, administered

EACH = {"admin": 12, "editor": 4, "approver": 3, "viewer": 3, "none": 3}
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


def fuzzed(url: str, token: str | None, examples: int) -> Found:
    """Asks everything in the document."""
    found = Found()
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config(token, examples))
    for event in from_schema(schema).execute():
        found.take(event)
    return found


async def test_a_fuzzer_finds_no_500_and_no_undocumented_answer(tmp_path: Path) -> None:
    async with administered(tmp_path) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        tokens = {"admin": ann, "none": None}
        for role in ("editor", "approver", "viewer"):
            tokens[role] = await admin.token(ann, role, role)
        for who, examples in EACH.items():
            found = await asyncio.to_thread(fuzzed, admin.url, tokens[who], examples)
            print(who, found.requests, found.statuses)
            for k, v in found.failures.items(): print('>>>', k, '\n', v)
        assert not found.failures
        await _serves_on(admin, ann)


async def _serves_on(admin: Admin, token: str) -> None:
    assert (await admin.call("GET", "/v1/status", token)).status_code == 200
    assert "a bug in answering" not in admin.gw.log()
