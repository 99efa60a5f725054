"""What a scratch instance answered, in the words of production's record."""

from datetime import UTC, datetime

import orjson
import pytest

from bartizan.policies.rate_limit import RateLimit
from bartizan.scratch.question import Question
from bartizan.scratch.record import counted, record_of
from bartizan.scratch.wire import Answer

AT = datetime(2026, 11, 23, 9, tzinfo=UTC)
QUESTION = Question("GET", "/a/./b?c=d", "h:1", (("User-Agent", "curl"), ("x-t", "1"), ("X-T", "2")), at=AT, source="2001:db8:1:2:3::4")


def told(**headers: object) -> dict[bytes, bytes]:
    found = {name: value.encode() if isinstance(value, str) else orjson.dumps(value) for name, value in headers.items()}
    return {f"x-bartizan-told-{name}".encode(): value for name, value in found.items()}


def test_the_fields_are_those_of_the_record() -> None:
    principal = {"id": "acme", "method": "api_key", "key": "-", "groups": "[]", "plan": "gold"}
    route = {"api": "a", "route": "/a", "revision": "r", "policies": "Authorize/b Authorize/c"}
    answer = Answer(
        200, {b"x-request-id": b"i", **told(details="lua_response", path="/a/b", route=route, principal=principal, shadows={"v": "w"})}
    )
    assert record_of(QUESTION, answer, ("plan", "level")) == {
        "time": "2026-11-23T09:00:00+00:00",
        "request_id": "i",
        "revision": "r",
        "api": "a",
        "route": "/a",
        "principal": "acme",
        "auth_method": "api_key",
        "issuer": None,
        "key": "-",
        "attributes": {"plan": "gold", "level": None},
        "groups": "[]",
        "http_method": "GET",
        "host": "h:1",
        "path": "/a/b",
        "status": 200,
        "details": "via_upstream",
        "policies": "Authorize/b Authorize/c",
        "shadows": {"v": "w"},
        "source": "2001:db8:1:2:3::4",
        "user_agent": "curl",
        "ja4": None,
        "device_id": None,
        "device_trusted": None,
        "bound": None,
    }


@pytest.mark.parametrize("absent", ["", "-", "null"])
def test_what_no_filter_found_is_missing(absent: str) -> None:
    found = record_of(QUESTION, Answer(400, told(details="http1.codec_error", route=absent, principal=absent, shadows=absent)), ())
    assert (found["api"], found["principal"], found["policies"], found["shadows"]) == (None, None, None, {})
    assert found["details"] == "http1.codec_error"
    assert found["path"] == "/a/./b"
    assert record_of(QUESTION, Answer(400, {}), ())["details"] is None


TIERS = [{"when": 'principal.plan == "gold"', "windows": ["9/second"]}, {"windows": ["1/second", "5/day"]}]


def limit(*per: str) -> RateLimit:
    return RateLimit.model_validate({"name": "x", "per": list(per), "tiers": TIERS})


LIMIT = limit("principal.id")


def record(details: str, tier: str | None) -> dict[str, object]:
    notes = {} if tier is None else {"RateLimit/x.shadow_effective_policy_id": tier, "RateLimit/x.shadow_engine_result": "allowed"}
    fields = {"principal": "acme", "auth_method": "api_key", "key": "-", "route": "/a", "attributes": {"plan": None}}
    return {"details": details, "shadows": {"Authorize/a.shadow_engine_result": "allowed", **notes}, **fields}


def test_the_bucket_is_told_by_its_tier() -> None:
    found = record("via_upstream", "1")
    (bucket,) = counted(QUESTION, found, [LIMIT])
    told = {"policy": "RateLimit/x", "tier": 1, "when": None, "windows": ["1/second", "5/day"], "per": {"principal.id": "acme"}}
    assert bucket == told
    assert found["shadows"] == {"Authorize/a.shadow_engine_result": "allowed"}


@pytest.mark.parametrize(
    ("part", "share"),
    [
        ("principal.plan", None),
        ("principal.key", "-"),
        ("principal.method", "api_key"),
        ("source.ip", "2001:db8:1:2::/64"),
        ("request.method", "GET"),
        ('request.headers["X-T"]', "1, 2"),
        ("request.headers['x-none']", None),
        ("route", "/a"),
    ],
)
def test_the_bucket_is_told_by_who_shares_it(part: str, share: str | None) -> None:
    (bucket,) = counted(QUESTION, record("via_upstream", "0"), [limit(part)])
    assert bucket["per"] == {part: share}


def test_a_limit_with_one_tier_has_no_note() -> None:
    (bucket,) = counted(QUESTION, record("via_upstream", None), [LIMIT])
    assert bucket["tier"] == 0


def test_what_is_refused_counts_nowhere_and_leaves_no_note() -> None:
    found = record("rbac_access_denied_matched_policy[Protect/x]", "0")
    assert counted(QUESTION, found, [LIMIT]) == []
    assert found["shadows"] == {"Authorize/a.shadow_engine_result": "allowed"}
