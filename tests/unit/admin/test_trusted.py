"""What an editor can't ask for: every spelling of an address near the gateway, its files and its environment."""

import orjson
import pytest

from bartizan.admin import trusted
from bartizan.admin.access import Caller
from bartizan.admin.trusted import check_inside, check_trusted
from bartizan.compile.read import assemble, read
from bartizan.errors import Forbidden
from bartizan.identity.operators import Operator, Role
from bartizan.model.snapshot import Snapshot

THERE = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
attributes: {plan: string}
---
kind: Api
name: orders
paths: [/orders]
upstream: {endpoints: [{url: "https://203.0.113.7"}], tls: {certificate: own.pem, private_key: {file: own.key}}}
---
kind: Api
name: near
paths: [/near]
upstream: http://127.0.0.1:9000
---
kind: Issuer
name: corp
issuer: https://203.0.113.7
audiences: [orders]
introspection: {url: "https://203.0.113.7/i", client_id: gw, client_secret: {file: corp.secret}}
---
kind: Public
name: all
reason: for these tests alone
"""


@pytest.fixture(scope="module")
def there() -> Snapshot:
    found = assemble([read(THERE, "there.yaml")], {})
    assert isinstance(found, Snapshot), found
    return found


def caller(role: Role) -> Caller:
    return Caller("bob", "192.0.2.1", Operator("tok_1", "bob", role, 0.0, None))


async def why(there: Snapshot, document: dict[str, object], role: Role = "editor") -> str:
    """Why it is refused; empty if it isn't."""
    try:
        await check_trusted(caller(role), [orjson.dumps(document)], there)
    except Forbidden as error:
        return error.message
    return ""


def api(upstream: object, name: str = "new") -> dict[str, object]:
    return {"kind": "Api", "name": name, "paths": ["/new"], "upstream": upstream}


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1",
        "http://LocalHost:80",
        "http://[::1]:80",
        "http://2130706433/",
        "http://203.0.113.7@127.0.0.1/",
        "http://203.0.113.7#@127.0.0.1/",
        "http:\\\\127.0.0.1",
        "http://127.0.0.1\t/",
        "http://①②⑦.0.0.1",
        "https://[::1",
        "http://",
        "ftp://nowhere.invalid",
    ],
)
async def test_an_editor_sends_nothing_there(there: Snapshot, url: str) -> None:
    # Either it is refused here, or it leads to where it says, or the model takes it for no URL at all.
    told = await why(there, api(url))
    if not told:
        made = read(orjson.dumps(api(url)).decode(), "x")
        assert made.problems or made.resources[0].value.upstream.endpoints[0].host == "203.0.113.7", url


@pytest.mark.parametrize("form", ["text", "list", "whole"])
async def test_every_form_of_an_upstream_is_looked_at(there: Snapshot, form: str) -> None:
    url = "http://127.0.0.1:9180"
    upstream = {"text": url, "list": ["http://203.0.113.7", url], "whole": {"endpoints": [{"url": "http://203.0.113.7"}, {"url": url}]}}[
        form
    ]
    assert "only an admin may let it refer to the address '127.0.0.1:9180'" in await why(there, api(upstream))
    assert await why(there, api(upstream), "admin") == ""


async def test_a_name_counts_by_what_it_stands_for(there: Snapshot) -> None:
    assert "can't be resolved here" in await why(there, api("http://nowhere.invalid"))
    assert await why(there, api("http://203.0.113.7")) == ""


async def test_what_is_there_stays_but_for_another_port_or_another_resource(there: Snapshot) -> None:
    assert await why(there, api("http://127.0.0.1:9000", "near")) == ""
    assert await why(there, api("http://127.0.0.1:9001", "near")) != ""
    assert await why(there, api("http://127.0.0.1:9000", "far")) != ""


async def test_a_secret_is_bound_to_its_destination(there: Snapshot) -> None:
    tls = {"certificate": "own.pem", "private_key": {"file": "own.key"}}
    same = {"endpoints": [{"url": "https://203.0.113.7", "weight": 2}], "tls": tls}
    assert await why(there, api(same, "orders")) == ""
    other = {"endpoints": [{"url": "https://203.0.113.66"}], "tls": tls}
    assert "'own.key' towards 203.0.113.66:443" in await why(there, api(other, "orders"))
    assert "'own.key'" in await why(there, api(same, "new"))


async def test_a_login_sends_its_secret_to_its_token_endpoint_and_people_anywhere(there: Snapshot) -> None:
    login: dict[str, object] = {
        **{"kind": "Login", "name": "x", "issuer": "corp", "client_id": "x", "client_secret": {"secret": "x"}},
        **{"authorization_endpoint": "http://127.0.0.1/a", "callback": "http://localhost/new/cb"},
    }
    assert await why(there, {**login, "token_endpoint": "https://203.0.113.7/token"}) == ""
    assert "'127.0.0.1:9000'" in await why(there, {**login, "token_endpoint": "http://127.0.0.1:9000/token"})
    own = {**login, "client_secret": {"file": "/etc/shadow"}, "token_endpoint": "https://203.0.113.7/token"}
    assert "'/etc/shadow'" in await why(there, own)


@pytest.mark.parametrize(
    "reference", [{"private_key": {"file": "/etc/shadow"}}, {"private_key": {"env": "HOME"}}, {"ca": "/x"}, {"certificate": "/x"}]
)
async def test_no_file_and_no_variable_of_the_gateways_machine(there: Snapshot, reference: dict[str, object]) -> None:
    assert "only an admin may let it refer to the" in await why(
        there, api({"endpoints": [{"url": "https://203.0.113.7"}], "tls": reference})
    )


async def test_files_that_are_sent_along_and_networks_that_are_refused_are_no_addresses(there: Snapshot) -> None:
    assert await why(there, {"kind": "IpAccess", "name": "x", "deny": ["127.0.0.0/8"]}) == ""
    assert await why(there, {"kind": "IpAccess", "name": "x", "deny": {"file": "bad.txt"}}) == ""
    assert await why(there, {"kind": "Cors", "name": "x", "origins": ["http://localhost:3000"]}) == ""
    assert await why(there, {"kind": "Authorize", "name": "x", "allow": "request.path != 'http://localhost'"}) == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("releases", {"approvals": 0, "guards": {}}),
        ("listeners", [{"name": "web", "address": "0.0.0.0:8080"}]),
        ("otlp", "http://203.0.113.7:4317"),
        ("blocking", {"exempt": ["0.0.0.0/0"]}),
        ("records", {"pseudonymise": True}),
        ("api_keys", {"headers": ["x-other"]}),
    ],
)
async def test_what_is_the_owners_of_the_gateway(there: Snapshot, field: str, value: object) -> None:
    now = dict(there.resources["Gateway", "edge"].document.value)
    assert await why(there, now) == ""
    assert await why(there, {**now, "attributes": {"plan": "number"}}) == ""
    assert f"only an admin may change `{field}`" in await why(there, {**now, field: value})
    assert f"only an admin may change `{field}`" in await why(there, {**now, "name": "other", field: value})
    assert await why(there, {**now, field: value}, "admin") == ""


async def test_without_resolving_nobodys_name_server_is_asked(there: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def leads_near(host: str) -> bool:
        asked.append(host)
        return True

    monkeypatch.setattr(trusted, "leads_near", leads_near)
    await check_inside([orjson.dumps(api("http://told.example.com"))], there, resolve=False)
    assert not asked
    with pytest.raises(Forbidden):
        await check_inside([orjson.dumps(api("http://told.example.com"))], there)
    assert asked == ["told.example.com"]
    for upstream in ("http://127.0.0.1:1", "http://localhost", "http://2130706433"):
        with pytest.raises(Forbidden):
            await check_inside([orjson.dumps(api(upstream))], there, resolve=False)


async def test_the_gateways_secret_at_an_issuer_goes_nowhere_else(there: Snapshot) -> None:
    def issuer(url: str, name: str = "corp", **secret: str) -> dict[str, object]:
        told = {"kind": "Issuer", "name": name, "issuer": "https://203.0.113.7", "audiences": ["orders"]}
        return {**told, "introspection": {"url": url, "client_id": "gw", "client_secret": secret}}

    assert not await why(there, issuer("https://203.0.113.7/i", file="corp.secret"))
    assert "corp.secret" in await why(there, issuer("https://203.0.113.8/i", file="corp.secret"))
    assert "corp.secret" in await why(there, issuer("https://203.0.113.7/i", "other", file="corp.secret"))
    assert "another" in await why(there, issuer("https://203.0.113.7/i", file="another"))
    assert "HOME" in await why(there, issuer("https://203.0.113.7/i", env="HOME"))
    for near in ("http://127.0.0.1/i", "https://169.254.169.254/i", "https://[::1]:8443/i"):
        assert near.split("/")[2].strip("[]").split("]")[0] in await why(there, issuer(near, secret="asks"))
    assert not await why(there, issuer("https://203.0.113.9/i", secret="asks")), "where a named secret goes is for its grant"
