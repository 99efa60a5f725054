"""Questions out of records: what is asked, who asks, and what of it the record doesn't tell."""

from typing import Any

import pytest

from bartizan.compile import compile
from bartizan.compile.read import assemble, read
from bartizan.model.snapshot import Snapshot
from bartizan.replay.asking import Asker, Asking
from bartizan.replay.outcome import Recorded, outcome
from bartizan.replay.then import Then
from bartizan.scratch import Identified, Unaskable, UnknownKey
from bartizan.scratch.request import setting_of

TEXT = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}, {name: safe, address: "127.0.0.1:8443"}]
attributes: {plan: string, level: number, regions: list, job: string}
---
{kind: Api, name: orders, paths: [/orders], upstream: "http://127.0.0.1:1"}
---
{kind: Api, name: old, paths: [/old], strip_path: true, upstream: "http://127.0.0.1:1"}
---
{kind: Consumer, name: acme, attributes: {plan: silver, job: clerk}}
---
{kind: Authenticate, name: callers, any: [api_key]}
---
{kind: Authorize, name: gold, target: {api: orders}, allow: 'principal.plan == "gold" && principal.level > 1 && "eu" in principal.regions'}
---
{kind: Tls, name: safe, target: {listener: safe}, certificate: a.pem, private_key: {file: a.key}}
"""
PLACE = 'source.country == "DE" && !source.tor && principal.level > 1'
FOUND = assemble([read(TEXT, "gateway.yaml")], {})
assert isinstance(FOUND, Snapshot), FOUND
MADE = compile(FOUND)
RECORD: dict[str, Any] = {
    **{"time": "2026-11-22T08:00:00.123Z", "request_id": "r", "revision": FOUND.revision, "api": "orders", "route": "/orders"},
    **{"principal": "acme", "auth_method": "api_key", "attributes": {"plan": "gold", "level": 7, "regions": '["eu"]', "job": ""}},
    **{"groups": "", "http_method": "GET", "host": "localhost", "path": "/orders/1", "status": 200, "details": "via_upstream"},
    **{"policies": "Authenticate/callers Authorize/gold", "source": "192.0.2.1", "user_agent": "curl/8", "protocol": "HTTP/1.1"},
}


def asking(then: Then | None = None, **fields: Any) -> Asking:
    record = {**RECORD, **fields}
    recorded = outcome(record)
    assert isinstance(recorded, Recorded)
    asker = Asker(setting_of(FOUND), ("web", "safe"), MADE.asked(), 1000, FOUND.apis, then or (lambda record: frozenset()))  # type: ignore[arg-type]
    return asker.asking(record, recorded)


def test_the_request_is_as_it_was() -> None:
    question = asking(ja4="t13").question
    assert (question.method, question.path, question.host, question.source) == ("GET", "/orders/1", "localhost", "192.0.2.1")
    assert question.at is not None and question.at.isoformat() == "2026-11-22T08:00:00.123000+00:00"
    assert (question.headers, question.ja4, question.listener, question.size) == ((("user-agent", "curl/8"),), "t13", "web", 0)
    assert asking(tls="TLSv1.3").question.listener == "safe"
    assert [asking(bytes_in=size).question.size for size in (0, 1000, 1001)] == [0, 0, 1001]


def test_the_caller_is_as_it_was_known_then_whatever_is_declared_now() -> None:
    found = asking()
    # A plan of silver and a job are declared now; the job nobody asks for.
    noted = (("plan", "gold"), ("level", "7"), ("regions", '["eu"]'))
    assert found.question.principal == Identified("api_key", "acme", "", noted)
    assert found.who == "acme"
    assert all(found.evidence.tells(f"principal.{name}") for name in ("plan", "level", "regions", "id", "method", "issuer"))
    small = asking(attributes={"level": 0.0000001}).question.principal
    assert isinstance(small, Identified) and small.noted == (("level", "0.0000001"),)


def test_an_attribute_that_is_missing_was_missing_only_if_it_was_asked_for() -> None:
    bare = {"plan": "gold", "level": None, "regions": "", "job": ""}
    assert not asking(attributes=bare).evidence.tells("principal.level")
    then = Then(MADE)
    assert asking(then, attributes=bare).evidence.tells("principal.level")
    assert asking(then, attributes=bare).evidence.tells("principal.regions")
    assert not asking(then, attributes=bare).evidence.tells("principal.job")
    assert not asking(then, attributes=bare, revision="another").evidence.tells("principal.level")
    stamped = Then(MADE, lambda api, route, method: frozenset({"another"}))
    assert asking(stamped, attributes=bare, revision="another").evidence.tells("principal.level")
    assert not asking(stamped, attributes=bare, revision="a third").evidence.tells("principal.level")


def test_what_was_cut_is_not_told() -> None:
    cut = asking(attributes={**RECORD["attributes"], "plan": "x" * 256}, user_agent="x" * 256, path="/orders/" + "x" * 1016)
    for need in ("principal.plan", "device.type", "request.path"):
        assert not cut.evidence.tells(need) and asking().evidence.tells(need)
    then = Then(MADE)
    assert not asking(then, attributes={"plan": "x" * 256}).evidence.tells("principal.plan")  # it was there


def test_what_records_never_hold_is_not_told() -> None:
    for need in ('request.headers["x-tenant"]', "request.query", "request.size", "something new"):
        assert not asking().evidence.tells(need)
    assert not asking(source="192.0.2.0/24").evidence.tells("source.ip")
    assert asking(source="192.0.2.0/24").question.source == "192.0.2.0"
    assert not asking(protocol="HTTP/2").evidence.tells("request.scheme")
    assert asking().evidence.tells("device.certificate") and not asking(tls="TLSv1.3").evidence.tells("device.certificate")


def nobody(details: str, policies: str = "", **fields: Any) -> Asking:
    blank = {"principal": "", "auth_method": "", "attributes": {}, "details": details, "policies": policies}
    return asking(**{**blank, **fields})


def test_wrong_credentials_stay_wrong() -> None:
    key = nobody("unknown_api_key")
    assert (key.question.principal, key.who) == (UnknownKey(), "a wrong credential") and key.evidence.tells("principal.id")
    expired = nobody("jwt_authn_access_denied{Jwt_is_expired}")
    assert expired.question.principal is None and ("authorization", "Bearer -") in expired.question.headers
    malformed = nobody("rbac_access_denied_matched_policy[malformed-credential]")
    assert ("authorization", "Basic -") in malformed.question.headers
    several = nobody("rbac_access_denied_matched_policy[ambiguous-credential]")
    assert {("authorization", "Bearer -"), ("x-api-key", "-")} <= set(several.question.headers)


@pytest.mark.parametrize(
    ("details", "policies", "who"),
    [
        ("rbac_access_denied_matched_policy[Authenticate/callers]", "Authenticate/callers Authorize/gold", "nobody"),
        ("via_upstream", "", "someone"),  # a public route: what was sent was stripped unseen
        ("rbac_access_denied_matched_policy[Authorize/gold]", "Authorize/gold", "someone"),
        ("rbac_access_denied_matched_policy[no-api]", "", "someone"),
        ("cors_response", "Authenticate/callers", "nobody"),
    ],
)
def test_whether_anybody_asked_is_known_where_credentials_are_looked_at(details: str, policies: str, who: str) -> None:
    found = nobody(details, policies)
    assert (found.who, found.evidence.tells("principal.id"), found.question.principal) == (who, who == "nobody", None)


def test_preflights_and_upgrades_are_asked_as_such() -> None:
    assert dict(nobody("cors_response").question.headers)["access-control-request-method"] == "GET"
    for found in (asking(status=101), nobody("rbac_access_denied_matched_policy[upgrade-not-enabled]")):
        assert dict(found.question.headers)["upgrade"] == "websocket"


def test_a_prefix_that_was_taken_off_is_put_back() -> None:
    assert asking(api="old", route="/old", path="/1").question.path == "/old/1"
    assert asking(api="old", route="/old/deep", path="/deep/1").question.path == "/old/deep/1"
    assert asking(api="old", route="/old", path="/old/1").question.path == "/old/old/1"
    refused = {"details": "rbac_access_denied_matched_policy[Authorize/gold]"}
    assert asking(api="old", route="/old", path="/old/1", **refused).question.path == "/old/1"
    top = asking(api="old", route="/old", path="/")
    assert top.question.path == "/old/" and not top.evidence.tells("request.path")
    with pytest.raises(Unaskable):
        asking(api="gone", route="/gone", path="/1")


def test_a_record_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(ValueError, match="Invalid isoformat"):
        asking(time="yesterday")


def test_what_nobody_asked_for_then_is_what_the_consumer_has_now() -> None:
    record = {**RECORD, "attributes": {"plan": "gold"}}
    recorded = outcome(record)
    assert isinstance(recorded, Recorded)
    known = {"acme": FOUND.consumers["acme"].model_copy(update={"attributes": {"plan": "silver", "level": 9, "regions": ["us"]}})}
    asker = Asker(setting_of(FOUND), ("web", "safe"), MADE.asked(), 1000, FOUND.apis, lambda record: frozenset(), known)
    made = asker.asking(record, recorded)
    assert made.now
    assert isinstance(made.question.principal, Identified)
    # What was noted then stays as it was.
    assert dict(made.question.principal.noted) == {"plan": "gold", "level": "9", "regions": '["us"]'}
    assert made.evidence.tells("principal.level")
    for other in ({**record, "principal": "unknown"}, {**record, "auth_method": "jwt"}):
        recorded = outcome(other)
        assert isinstance(recorded, Recorded)
        made = asker.asking(other, recorded)
        assert not made.now and not made.evidence.tells("principal.level")


def test_what_a_context_source_said_then_isn_t_what_holds_now() -> None:
    source = "\n---\n{kind: ContextSource, name: hr, attributes: [level], push: true}\n"
    found = assemble([read(TEXT + source, "gateway.yaml")], {})
    assert isinstance(found, Snapshot), found
    record = {**RECORD, "attributes": {"plan": "gold"}}
    recorded = outcome(record)
    assert isinstance(recorded, Recorded)
    known = {"acme": found.consumers["acme"].model_copy(update={"attributes": {"plan": "silver", "regions": ["us"]}})}
    asker = Asker(setting_of(found), ("web", "safe"), compile(found).asked(), 1000, found.apis, lambda record: frozenset(), known)
    made = asker.asking(record, recorded)
    assert isinstance(made.question.principal, Identified)
    assert dict(made.question.principal.noted) == {"plan": "gold", "regions": '["us"]'} and made.now
    assert made.evidence.tells("principal.regions") and not made.evidence.tells("principal.level")


PLACED = assemble(
    [read(TEXT.replace("---", "places: {city: a.mmdb, anonymous: b.mmdb}\n---", 1).replace("principal.level > 1", PLACE), "gateway.yaml")],
    {},
)


def placed(then: Then | None = None, **fields: Any) -> Asking:
    assert isinstance(PLACED, Snapshot), PLACED
    made = compile(PLACED)
    record = {**RECORD, "revision": PLACED.revision, **fields}
    recorded = outcome(record)
    assert isinstance(recorded, Recorded)
    return Asker(setting_of(PLACED), ("web",), made.asked(), 1000, PLACED.apis, then or (lambda one: frozenset())).asking(record, recorded)


def test_the_place_is_what_was_known_then() -> None:
    found = placed(place={"country": "DE", "tor": "false", "city": "Munich"})
    assert found.question.place == (("country", "DE"), ("tor", "false"))  # of the city nobody asks
    assert found.evidence.tells("source.country") and found.evidence.tells("source.tor") and not found.evidence.tells("source.city")


def test_a_place_that_is_missing_was_unknown_only_if_it_was_asked_for() -> None:
    assert isinstance(PLACED, Snapshot)
    then = Then(compile(PLACED))
    for place in ({"country": "", "tor": ""}, {}, None):
        asked, perhaps = placed(then, place=place), placed(place=place)
        # That a truth isn't known is said, because what isn't said isn't so.
        assert asked.question.place == (("tor", "unknown"),) and asked.evidence.tells("source.country")
        assert perhaps.question.place == () and not perhaps.evidence.tells("source.country") and not perhaps.evidence.tells("source.tor")
    assert not placed(then, place={"country": "x" * 256}).evidence.tells("source.country")


def test_places_arent_taken_for_attributes_that_a_consumer_lacks() -> None:
    assert not placed(place={}).now
