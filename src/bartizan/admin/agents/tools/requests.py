"""Recorded requests: why one was let through or refused, and what else its caller did. Only what has happened is explained."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from bartizan.admin.agents.sight import HIDDEN, Sight
from bartizan.admin.agents.tools._kind import Agent, Answer, Takes, Tool
from bartizan.admin.agents.untrusted import LONGEST, plain, untrusted
from bartizan.errors import NotFound
from bartizan.telemetry.decision import REFUSERS

_MOST = 64
_WHOLE = ("status", "bytes_in", "bytes_out", "duration_ms", "upstream_ms")
_FACTS = {
    "time": r"[0-9T:.+Z-]{1,40}",
    "request_id": r"[0-9A-Za-z_-]{1,64}",
    "revision": r"[0-9a-f]{1,64}",
    "generation": r"[0-9]{1,20}",
    "api": r"[a-z0-9-]{1,63}",
    "auth_method": r"[a-z0-9_]{1,20}",
    "protocol": r"HTTP/[0-9.]{1,4}",
    "tls": r"TLSv[0-9.]{1,4}",
    "node": r"[a-z0-9-]{1,63}",
}
"""What the gateway says itself, and what it may look like. All else of a record hangs on what the caller sent."""
_POLICIES = frozenset({"policies", "shadows", "limits"})
_ID = re.compile(r"[A-Z][A-Za-z0-9]{0,40}/[a-z0-9-]{1,63}")
_SAID = frozenset({"upstream", "caller", "Cors", "default deny"} | REFUSERS)


class OfRequest(Takes):
    """Which recorded request."""

    request_id: str = Field(pattern=r"^[0-9A-Za-z_-]{1,64}$", description="From the answer's x-request-id, or its problem+json.")


def facts(record: Mapping[str, Any]) -> Answer:
    """What the gateway itself says of a request. A record may come from a node of another machine, so each is held against its form."""
    told = {name: record[name] for name in _WHOLE if isinstance(record.get(name), int)}
    texts = {name: str(record[name]) for name in _FACTS if isinstance(record.get(name), str | int)}
    return {name: text for name, text in texts.items() if re.fullmatch(_FACTS[name], text)} | told


def sent(record: Mapping[str, Any], sight: Sight) -> Answer:
    """All else of a record, in its envelope: what the caller sent, and what was made of it. Which policies there are is told apart."""
    own = facts(record)
    told = {name: value for name, value in record.items() if name not in own and name not in _POLICIES}
    if isinstance(details := told.get("details"), str):
        told["details"] = sight.told(details)
    return untrusted(told)


async def _found(agent: Agent, ident: str) -> tuple[Answer, Sight]:
    """What is known of it. NotFound if there is no record, or it is another team's: both look alike."""
    sight = await agent.sight()
    missing = NotFound(
        f"There is no record of {ident} that you may see: it is too old, another's, or another gateway's.", code="record-missing"
    )
    try:
        told = await agent.plane.explained(ident)
    except NotFound:
        raise missing from None
    if not await asyncio.to_thread(sight.record, told["record"]):
        raise missing
    return told, sight


async def _explained(agent: Agent, wanted: OfRequest) -> Answer:
    told, sight = await _found(agent, wanted.request_id)
    record = told["record"]
    return {
        "request": facts(record),
        "sent": sent(record, sight),
        "decision": _decision(told["decision"], record, sight),
        "remedy": [one for one in told["remedy"] if sight.policy(one.partition(" ")[0])],
        "notes": told["notes"],
        "policies": [one for one in told["policies"] if sight.policy(one["policy"])],
        "revision": told["revision"],
    }


def _decision(told: Mapping[str, Any], record: Mapping[str, Any], sight: Sight) -> Answer:
    """What was decided, without the names of what isn't seen."""
    why = sight.told(plain(str(told["why"]), LONGEST))
    return {
        "refused": told["refused"],
        "by": _name(str(told["by"]), sight),
        "why": untrusted(why) if "node" in record else why,  # what a node of another machine wrote is what it says
        "verdicts": [_verdict(one, sight) for one in told["verdicts"][:_MOST]],
    }


def _verdict(told: Mapping[str, Any], sight: Sight) -> Answer:
    said = {"policy": _name(str(told["policy"]), sight), "said": told["said"], "shadow": told["shadow"]}
    return said | ({"note": untrusted(told["note"])} if told["note"] and sight.policy(str(told["policy"])) else {})


def _name(ident: str, sight: Sight) -> str:
    if ident in _SAID:
        return ident
    return ident if _ID.fullmatch(ident) and sight.policy(ident) else HIDDEN


async def _context(agent: Agent, wanted: OfRequest) -> Answer:
    told, sight = await _found(agent, wanted.request_id)
    record = told["record"]
    met = await agent.plane.met_again(record, sight.record)
    latest = [
        {"request": facts(one), "sent": untrusted({name: one.get(name) for name in ("http_method", "path", "user_agent")})}
        for one in met.latest
    ]
    return {
        "request": facts(record),
        "sent": sent(record, sight),
        "decision": {"refused": told["decision"]["refused"], "by": _name(str(told["decision"]["by"]), sight)},
        "caller": {
            "told_by": met.by,
            "requests": met.requests,
            "refused": met.refused,
            "statuses": {str(status): count for status, count in met.statuses.items()},
            "since": plain(met.since, 40),
            "latest": latest,
        },
    }


TOOLS = (
    Tool(
        "explain_request",
        "Explains the decision on a request that has happened: who decided, what each policy said, what would have let it through. It "
        "answers nothing about requests that haven't happened. What the caller sent is marked as untrusted.",
        OfRequest,
        _explained,
        costs="look",
    ),
    Tool(
        "request_context",
        "The context of a request that has happened: who called, with what, from where, from which device, as far as the record tells; and "
        "what the same caller did of late, as the newest records have it. What the caller sent is marked as untrusted.",
        OfRequest,
        _context,
        costs="look",
    ),
)
