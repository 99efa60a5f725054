"""What a scratch instance answered, as the record that production would have written: the same fields, the same words."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import Any

import orjson

from bartizan.model.places import is_place
from bartizan.policies.rate_limit import RateLimit
from bartizan.scratch.frame import ANSWERED, DETAILS, TOLD
from bartizan.scratch.question import Question
from bartizan.scratch.wire import Answer

_ABSENT = (b"", b"-", b"null")


def record_of(question: Question, answer: Answer, attributes: Sequence[str]) -> dict[str, Any]:
    """The record of a question."""
    route, principal = _held(answer, "route"), _held(answer, "principal")
    details, path = _text(answer, DETAILS), _text(answer, TOLD + "path")
    at = question.at or datetime.now(UTC)
    return {
        "time": at.isoformat(),
        "request_id": answer.headers.get(b"x-request-id", b"").decode(),
        "revision": route.get("revision"),
        "api": route.get("api"),
        "route": route.get("route"),
        "principal": principal.get("id"),
        "auth_method": principal.get("method"),
        "issuer": principal.get("issuer"),
        "key": principal.get("key"),
        "attributes": {name: principal.get(name) for name in attributes},
        "groups": principal.get("groups"),
        "http_method": question.method,
        "host": question.host,
        "path": path or question.path.partition("?")[0],
        "status": answer.status,
        "details": "via_upstream" if details == ANSWERED else details or None,
        "policies": route.get("policies"),
        "shadows": _held(answer, "shadows"),
        "source": question.source,
        **_place(principal),
        "user_agent": next((value for name, value in question.headers if name.lower() == "user-agent"), None),
        "ja4": question.ja4 or None,
        "device_id": principal.get("device_id"),
        "device_trusted": principal.get("device_trusted"),
        "bound": principal.get("bound"),
    }


def _place(principal: Mapping[str, Any]) -> dict[str, Any]:
    found = {name.removeprefix("source."): value for name, value in principal.items() if is_place(name)}
    return {"place": found} if found else {}


def counted(question: Question, record: dict[str, Any], limits: Sequence[RateLimit], paths: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The buckets that a request which is let through counts against: of each limit its tier, as Envoy found it. Takes the notes on
    tiers out of the record's shadows. `paths` are those of the API."""
    shadows, found = record["shadows"], []
    for limit in limits:
        shadows.pop(f"{limit.id}.shadow_engine_result", None)
        place = int(shadows.pop(f"{limit.id}.shadow_effective_policy_id", "0"))
        if record["details"] == "via_upstream":
            tier = limit.tiers[place]
            seen = {**record, "route": limit.route(paths, record["route"])}
            per = {part: _share(part, question, seen) for part in limit.per}
            found.append({"policy": limit.id, "tier": place, "when": tier.when, "windows": list(tier.windows), "per": per})
    return found


def _share(part: str, question: Question, record: Mapping[str, Any]) -> Any:
    """Whose bucket it is, as far as this part of the limit's `per` tells."""
    if part == "source.ip":
        source = ip_address(question.source)
        return str(source) if source.version == 4 else str(ip_network((source, 64), strict=False))
    if part in {"request.method", "route"}:
        return question.method if part == "request.method" else record["route"]
    if part.startswith("principal."):
        name = part.removeprefix("principal.")
        return {"id": record["principal"], "method": record["auth_method"], **record}.get(name) or record["attributes"].get(name)
    wanted = part.partition("[")[2].strip("\"'[]").lower()
    return ", ".join(value for name, value in question.headers if name.lower() == wanted) or None


def _text(answer: Answer, name: str) -> str:
    return answer.headers.get(name.encode(), b"").decode(errors="replace")


def _held(answer: Answer, what: str) -> dict[str, Any]:
    text = answer.headers.get((TOLD + what).encode(), b"")
    return {} if text in _ABSENT else dict(orjson.loads(text))
