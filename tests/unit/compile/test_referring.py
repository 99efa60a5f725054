"""References to named secrets: every place where one may stand is known, and none leads where it wasn't granted."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from bartizan.compile.read import TYPES, assemble, read
from bartizan.compile.referring import references, secret_problems
from bartizan.model.fields import SecretRef
from bartizan.model.named import Grant
from bartizan.model.snapshot import Snapshot

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
teams: {orders: {paths: [/orders]}, billing: {paths: [/bills]}}
---
kind: Tls
name: web
target: {listener: web}
certificate: web.pem
private_key: {secret: web}
---
kind: Api
name: orders
team: TEAM
paths: [/orders]
upstream: {endpoints: [{url: "https://a.example"}, {url: "https://B.example:8443"}], tls: {private_key: {secret: partner}}}
---
kind: Consumer
name: acme
credentials: [{fingerprint: "0000000000000000000000000000000000000000000000000000000000000000"}, {api_key: {secret: acme}}]
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [orders]
jwks: {secret: corp}
introspection: {url: "https://idp.example.com:8443/i", client_id: gw, client_secret: {secret: asks}}
---
kind: Login
name: app
issuer: corp
client_id: app
client_secret: {secret: login}
authorization_endpoint: https://idp.example.com/authorize
token_endpoint: https://idp.example.com/token
callback: https://localhost/orders/login/callback
---
kind: Public
name: all
reason: nobody's identity is tested here
""".replace("TEAM", "orders")
OWN = {(None, name): Grant(None, ()) for name in ("web", "acme", "corp")} | {(None, "asks"): Grant(None, ("idp.example.com:8443",))}
OWN[None, "login"] = Grant(None, ("idp.example.com:443",))
BOTH = Grant("orders", ("a.example", "b.example:8443"))


def declared(text: str = FILES) -> Snapshot:
    found = assemble([read(text, "x.yaml")], {})
    assert isinstance(found, Snapshot), found
    return found


def wrong(grants: dict[Any, Grant], before: Snapshot | None = None) -> list[tuple[str, str]]:
    return sorted((one.at.path, one.code) for one in secret_problems(declared(), grants, before))


def test_each_reference_is_found_with_what_it_is_for() -> None:
    found = {(one.kind, one.key): [str(to) for to in one.use.to] for one in references(declared())}
    assert found == {
        ("Api", ("orders", "partner")): ["a.example:443", "b.example:8443"],
        ("Consumer", (None, "acme")): [],
        ("Issuer", (None, "corp")): [],
        ("Login", (None, "login")): ["idp.example.com:443"],
        ("Issuer", (None, "asks")): ["idp.example.com:8443"],
        ("Tls", (None, "web")): [],
    }


SOURCE = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
attributes: {plan: string}
---
kind: ContextSource
name: hr
attributes: [plan]
pull: {url: "https://HR.example/context", authorization: {secret: hr}}
"""


def test_what_a_source_is_asked_with_goes_there_alone() -> None:
    found = declared(SOURCE)
    assert [(one.kind, one.key, list(map(str, one.use.to))) for one in references(found)] == [
        ("ContextSource", (None, "hr"), ["hr.example:443"])
    ]
    for grant, good in ((("hr.example",), True), (("hr.example:443",), True), (("hr.example:8443",), False), ((), False)):
        assert list(secret_problems(found, {(None, "hr"): Grant(None, grant)})) is not good


def test_there_is_no_other_place_for_one() -> None:
    """A kind that takes a secret has to say here, and in `references`, what it does with it."""
    known = {("Api", "upstream.tls.private_key"), ("Consumer", "credentials.api_key"), ("Issuer", "jwks"), ("Tls", "private_key")}
    known |= {
        ("Tls", "crls"),
        ("Issuer", "introspection.client_secret"),
        ("Login", "client_secret"),
        ("ContextSource", "pull.authorization"),
        ("Gateway", "authorization_server.clients.secret"),
        ("Gateway", "authorization_server.outside.client_secret"),
    }
    assert {(kind, path) for kind, model in TYPES.items() for path in _places(model, "")} == known


def _places(model: type[BaseModel], at: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        for one in _models(field.annotation):
            if one is SecretRef:
                yield f"{at}{name}"
            else:
                yield from _places(one, f"{at}{name}.")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models(inner)


def test_granted_ones_are_good() -> None:
    assert wrong({**OWN, ("orders", "partner"): BOTH}) == []


@pytest.mark.parametrize(
    ("grants", "code"),
    [
        ({}, "secret-unknown"),
        ({(None, "partner"): Grant(None, ("a.example", "b.example"))}, "secret-unknown"),
        ({("billing", "partner"): Grant("billing", ("a.example", "b.example"))}, "secret-unknown"),
        ({("orders", "partner"): Grant("orders", ("a.example",))}, "secret-not-granted"),
        ({("orders", "partner"): Grant("orders", ())}, "secret-not-granted"),
    ],
)
def test_a_secret_of_nobody_or_others_or_for_elsewhere_is_a_problem_at_its_place(grants: dict[Any, Grant], code: str) -> None:
    assert wrong({**OWN, **grants}) == [("Api/orders: upstream.tls.private_key.secret", code)]


def test_what_goes_nowhere_takes_no_secret_with_destinations() -> None:
    grants = {key: Grant(None, ("a.example",)) for key in OWN}
    assert [code for _, code in wrong({**grants, ("orders", "partner"): BOTH})] == ["secret-not-granted"] * len(OWN)


def test_another_teams_secret_isnt_told_from_one_that_isnt_there() -> None:
    told = [
        [(str(one), one.hint) for one in secret_problems(declared(), {**OWN, **grants})]
        for grants in ({}, {("billing", "partner"): Grant("billing", ("a.example", "b.example"))}, {(None, "partner"): BOTH})
    ]
    assert told[0] == told[1] == told[2]
    assert "--team orders --to a.example:443 --to b.example:8443" in told[0][0][1]


def test_what_was_there_before_isnt_told_again_but_a_new_use_of_it_is() -> None:
    assert wrong({}, declared()) == []
    elsewhere = declared(FILES.replace("https://a.example", "https://c.example"))
    assert wrong(OWN, elsewhere) == [("Api/orders: upstream.tls.private_key.secret", "secret-unknown")]


@pytest.mark.parametrize("to", [(), ("idp.example.com:443",), ("other.example.com",)])
def test_a_secret_is_sent_to_no_other_introspection_endpoint(to: tuple[str, ...]) -> None:
    grants = {**OWN, ("orders", "partner"): BOTH, (None, "asks"): Grant(None, to)}
    assert wrong(grants) == [("Issuer/corp: introspection.client_secret.secret", "secret-not-granted")]
