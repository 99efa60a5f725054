"""A question as it travels: what is added, what is taken out, and what can't be asked."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from bartizan.compile.read import assemble, read
from bartizan.identity.table import ConsumerView, order_mark
from bartizan.model.snapshot import Snapshot
from bartizan.scratch.question import Certificate, Identified, Principal, Question, Token, UnknownKey
from bartizan.scratch.request import Setting, Unaskable, sent, setting_of
from tests.certificates import authority

FILES = """
kind: Gateway
name: edge
listeners:
  - {name: web, address: "127.0.0.1:8080"}
  - {name: own, address: "127.0.0.1:8443"}
  - {name: behind, address: "127.0.0.1:8081", trusted_proxies: [10.0.0.0/8]}
attributes: {plan: string, level: number, staff: bool, regions: list}
---
kind: Consumer
name: acme
attributes: {plan: gold}
credentials: [{certificate: {ca: partners, san: spiffe://acme}}, {fingerprint: FINGERPRINT}]
---
kind: Consumer
name: gone
disabled: true
credentials: [{certificate: {ca: partners, san: spiffe://gone}}]
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [a]
jwks: {keys: []}
attributes: {plan: tier, level: lvl, staff: staff, regions: regions}
groups: roles
---
kind: Tls
name: own
target: {listener: own}
certificate: own.pem
private_key: {file: own.key}
client_cas: {partners: partners.pem}
"""
PRINT = "ab" * 32


def setting() -> Setting:
    snapshot = assemble([read(FILES.replace("FINGERPRINT", PRINT), "a.yaml")], {"partners.pem": authority("Partners").pem})
    assert isinstance(snapshot, Snapshot), snapshot
    return setting_of(snapshot)


SETTING = setting()
MARK = order_mark(SETTING.attributes)


def lines(question: Question, listener: str = "web", of: Setting = SETTING) -> list[str]:
    data = sent(question, of, listener).data
    assert data.endswith(b"\r\n\r\n")
    return data.decode("utf-8", "surrogateescape").split("\r\n")[:-2]


def headers(question: Question, listener: str = "web", of: Setting = SETTING) -> dict[str, str]:
    found = [line.split(": ", 1) for line in lines(question, listener, of)[1:]]
    assert len({name for name, _ in found}) == len(found)
    return dict(found)  # type: ignore[arg-type]


def given(principal: Principal | None) -> dict[str, str]:
    """The headers that tell who asks."""
    nobody = headers(Question("GET", "/"))
    now = {"x-bartizan-now"}
    return {name: value for name, value in headers(Question("GET", "/", principal=principal)).items() if name not in nobody.keys() | now}


def test_the_request_itself_stands_as_it_is() -> None:
    found = lines(Question("PATCH", "/a/%2e?b=ü;c", "Host:8", (("X-Thing", "1"), ("x-thing", "2"))))
    assert found[:4] == ["PATCH /a/%2e?b=ü;c HTTP/1.1", "host: Host:8", "X-Thing: 1", "x-thing: 2"]


def test_time_and_source_are_told() -> None:
    at = datetime(2026, 11, 23, 9, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=1)))
    found = headers(Question("GET", "/", at=at, source="::ffff:198.51.100.7"))
    assert found["x-bartizan-now"] == "2026-11-23T08:00:00.250000Z"
    assert found["x-bartizan-source"] == found["x-forwarded-for"] == found["x-envoy-external-address"] == "198.51.100.7"
    assert headers(Question("GET", "/", source="2001:DB8:0::1"))["x-bartizan-source"] == "2001:db8::1"


def test_without_a_time_it_is_now() -> None:
    told = datetime.fromisoformat(headers(Question("GET", "/"))["x-bartizan-now"])
    assert abs(datetime.now(UTC) - told) < timedelta(seconds=5)


def test_no_header_of_ours_or_of_envoys_comes_from_a_caller() -> None:
    spoofed = ("x-bartizan-principal", "X-Bartizan-Given", "x-bartizan-now", "X-BARTIZAN-SOURCE", "x-envoy-external-address")
    question = Question("GET", "/", headers=tuple((name, "spoofed") for name in spoofed))
    assert "spoofed" not in "\n".join(lines(question))


def test_forwarding_headers_are_what_the_gateway_makes_of_them() -> None:
    claimed = (("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Proto", "https"))
    question = Question("GET", "/", headers=claimed, source="198.51.100.7")
    direct, proxied = headers(question, "web"), headers(question, "behind")
    assert (direct["x-forwarded-for"], direct["x-forwarded-proto"]) == ("1.2.3.4,198.51.100.7", "http")
    assert (proxied["x-forwarded-for"], proxied["x-forwarded-proto"]) == ("1.2.3.4,198.51.100.7", "https")
    assert "x-envoy-external-address" not in proxied
    assert headers(replace(question, headers=()), "own")["x-forwarded-proto"] == "https"


def test_nobody_shows_nothing() -> None:
    assert given(None) == {}


def test_a_consumer_is_told_as_the_table_of_keys_tells_it() -> None:
    view = ConsumerView("acme", ("ops",), {"level": 3, "plan": "gold", "unknown": "x"})
    told = {"x-bartizan-principal": MARK + 'acme;-;["ops"];gold;3;;', "x-bartizan-given": "x-bartizan-principal"}
    assert given(view) == told


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({}, {}),
        ({"tier": "gold", "unknown": "x", "plan": "x"}, {"plan": "gold"}),
        ({"lvl": 3}, {"level": "3"}),
        ({"lvl": 3.0}, {"level": "3"}),
        ({"lvl": 2.5}, {"level": "2.500000"}),
        ({"staff": True}, {"staff": "true"}),
        ({"staff": False}, {"staff": "false"}),
        ({"regions": ["eu"], "roles": []}, {"regions": "WyJldSJd", "groups": "W10="}),
        ({"tier": None, "lvl": ""}, {}),
    ],
)
def test_a_token_is_told_as_the_token_filter_tells_it(claims: dict[str, object], told: dict[str, str]) -> None:
    found = given(Token("corp", "ines", claims))  # type: ignore[arg-type]
    assert found.pop("x-bartizan-sub-corp") == "ines"
    assert set(found.pop("x-bartizan-given").split(",")) == {"x-bartizan-sub-corp", *found}
    assert found == {f"x-bartizan-claim-{name}": value for name, value in told.items()}


def test_a_certificate_means_the_consumer_that_lists_it() -> None:
    acme = {"x-bartizan-ca": "partners", "x-bartizan-principal": MARK + "acme;-;[];gold;;;"}
    names = {"x-bartizan-given": "x-bartizan-ca,x-bartizan-principal"}
    assert given(Certificate("partners", "spiffe://acme")) == {**acme, **names}
    assert given(Certificate("partners", fingerprint=PRINT)) == {**acme, **names}


def test_a_certificate_that_nobody_lists_is_its_ca_and_its_name() -> None:
    told = {"x-bartizan-ca": "others", "x-bartizan-cert": "others|spiffe://acme", "x-bartizan-given": "x-bartizan-ca,x-bartizan-cert"}
    assert given(Certificate("others", "spiffe://acme")) == told


@pytest.mark.parametrize("who", [UnknownKey(), Certificate("partners", "spiffe://gone")])
def test_a_credential_that_does_not_count_is_a_key_that_nobody_has(who: Principal) -> None:
    assert given(who) == {"x-api-key": "-"}
    question = Question("GET", "/", principal=who)
    assert headers(question, of=replace(SETTING, key_header="", key_cookie="key"))["cookie"] == "key=-"
    assert not {"cookie", "x-api-key"} & headers(question, of=replace(SETTING, key_header="")).keys()


def test_a_body_is_announced_and_never_sent() -> None:
    whole, cut = sent(Question("POST", "/"), SETTING, "web"), sent(Question("POST", "/", size=7), SETTING, "web")
    assert whole.whole and not cut.whole
    assert b"content-length: 7\r\n" in cut.data and b"content-length" not in whole.data
    assert sent(Question("HEAD", "/"), SETTING, "web").bodiless and not whole.bodiless


@pytest.mark.parametrize(
    ("question", "why"),
    [
        (Question("GE T", "/"), "method"),
        (Question("GET\r\nx: y", "/"), "method"),
        (Question("CONNECT", "/"), "method"),
        (Question("GET", ""), "has a path"),
        (Question("GET", "/", size=-1), "size"),
        (Question("GET", "/ HTTP/1.1\r\nx-bartizan-principal: acme;"), "line break"),
        (Question("GET", "/", "h\nx: y"), "line break"),
        (Question("GET", "/", headers=(("a", "b\r\n\r\nGET / HTTP/1.1"),)), "line break"),
        (Question("GET", "/", headers=(("a", "b\0"),)), "NUL"),
        (Question("GET", "/", headers=(("a b", "c"),)), "isn't the name of a header"),
        (Question("GET", "/", headers=((":path", "/"),)), "isn't the name of a header"),
        (Question("GET", "/", headers=(("Content-Length", "3"),)), "can't be given"),
        (Question("GET", "/", headers=(("transfer-encoding", "chunked"),)), "can't be given"),
        (Question("GET", "/", headers=(("Host", "x"),)), "can't be given"),
        (Question("GET", "/", source="somewhere"), "isn't an IP address"),
        (Question("GET", "/", at=datetime(2026, 11, 23)), "time zone"),
        (Question("GET", "/", principal=Token("nobody", "ines")), "no Issuer"),
        (Question("GET", "/", principal=Token("corp", "")), "subject"),
        (Question("GET", "/", principal=Token("corp", "ines\r\nx-bartizan-now: 1")), "line break"),
        (Question("GET", "/", principal=Certificate("partners")), "fingerprint"),
        (Question("GET", "/", principal=ConsumerView("acme", (), {"plan": "gold;level=9"})), "plan"),
    ],
)
def test_what_cannot_be_asked_is_told(question: Question, why: str) -> None:
    with pytest.raises(Unaskable, match=why):
        sent(question, SETTING, "web")


def identified(*which: object) -> dict[str, str]:
    text = sent(Question("GET", "/", principal=Identified(*which)), SETTING, "web").data.decode()  # type: ignore[arg-type]
    return dict(line.split(": ", 1) for line in text.split("\r\n")[1:] if line)


def test_someone_identified_is_told_as_noted_whatever_is_declared() -> None:
    noted = (("plan", "free"), ("level", "7"), ("regions", '["eu","us"]'), ("groups", '["ops"]'), ("gone", "x"))
    assert identified("api_key", "acme", "", noted)["x-bartizan-principal"] == f'{MARK}acme;-;["ops"];free;7;;["eu","us"]'
    token = identified("jwt", "https://idp.example.com|a|b", "corp", noted)
    assert (token["x-bartizan-sub-corp"], token["x-bartizan-claim-plan"], token["x-bartizan-claim-level"]) == ("a|b", "free", "7")
    assert token["x-bartizan-claim-regions"] == base64.b64encode(b'["eu","us"]').decode()
    assert "x-bartizan-claim-gone" not in token and "x-bartizan-principal" not in token
    machine = identified("mtls", "acme", "partners", noted)
    assert (machine["x-bartizan-ca"], machine["x-bartizan-principal"][8:13]) == ("partners", "acme;")
    stranger = identified("mtls", "partners|spiffe://x", "partners")
    assert (stranger["x-bartizan-cert"], "x-bartizan-principal" in stranger) == ("partners|spiffe://x", False)
    assert stranger["x-bartizan-given"] == "x-bartizan-ca,x-bartizan-cert"


def test_someone_identified_who_cannot_be_told_is_not_asked_about() -> None:
    for which in (
        ("jwt", "https://idp.example.com|a", "none"),
        ("jwt", "https://other|a", "corp"),
        ("api_key", "a", "", (("plan", "x;y"),)),
    ):
        with pytest.raises(Unaskable):
            identified(*which)
