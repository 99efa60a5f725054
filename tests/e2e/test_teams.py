"""What someone with a token of a team tries at the admin API: her own team's things go, nothing else does, however it is asked for."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.certificates import ca
from tests.e2e.test_admin import Admin, administered
from tests.e2e.test_rollouts import rollout

GATEWAY = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
attributes: {plan: string}
teams: {orders: {paths: [/orders]}, billing: {paths: [/bills]}}
releases: RELEASES
"""
REST = """
kind: Api
name: orders
team: orders
paths: [/orders]
upstream: http://203.0.113.7
---
kind: Api
name: bills
team: billing
paths: [/bills]
upstream: http://203.0.113.8
---
kind: Api
name: own
paths: [/own]
upstream: http://203.0.113.9
---
kind: Consumer
name: acme
attributes: {plan: gold}
---
kind: Authenticate
name: orders
target: {api: orders}
any: [api_key]
---
kind: Authenticate
name: bills
target: {api: bills}
any: [api_key]
---
kind: Authenticate
name: own
target: {api: own}
any: [api_key]
---
kind: Authorize
name: floor
target: {api: orders, paths: [/orders/admin]}
floor: true
allow: principal.plan == "gold"
---
kind: IpAccess
name: lists
target: {api: bills}
allow: {file: partners.txt}
"""
LIST = "192.0.2.0/24\n"
AT = "/v1/resources/"
ORDERS = {"team": "orders", "paths": ["/orders"], "upstream": "http://203.0.113.7"}
GOLD = {"target": {"api": "orders"}, "allow": 'principal.plan == "gold"'}
OURS = "urn:bartizan:problem:not-your-teams"


def files(releases: str = "{}") -> dict[str, str]:
    return {"gateway.yaml": GATEWAY.replace("RELEASES", releases), "rest.yaml": REST, "partners.txt": LIST}


class Team:
    """A gateway and what each of its people holds."""

    def __init__(self, admin: Admin, ann: str, bob: str, eve: str) -> None:
        self.admin, self.ann, self.bob, self.eve = admin, ann, bob, eve

    async def put(self, what: str, document: dict[str, Any], token: str = "", **more: Any) -> httpx.Response:
        return await self.admin.call("PUT", AT + what, token or self.bob, json=document, **more)

    async def change(self, **wanted: Any) -> httpx.Response:
        return await self.admin.call("POST", "/v1/changes", self.bob, json=wanted)

    async def refused(self, answer: httpx.Response) -> None:
        assert (answer.status_code, answer.json()["type"]) == (403, OURS), answer.text


async def _team(admin: Admin) -> Team:
    ann = await admin.token(admin.first, "ann", "admin")
    return Team(admin, ann, await admin.token(ann, "bob", "editor", team="orders"), await admin.token(ann, "eve", "editor", team="billing"))


@pytest.fixture
async def team(tmp_path: Path) -> AsyncIterator[Team]:
    async with administered(tmp_path, files()) as admin:
        yield await _team(admin)


async def test_its_own_things_go(team: Team) -> None:
    assert (await team.put("Api/orders", {**ORDERS, "timeout": "10s"})).status_code == 200
    assert (await team.put("Api/more", {**ORDERS, "paths": ["/orders/more"]})).status_code == 422  # nobody may call it yet
    two = [{"kind": "Api", "name": "more", **ORDERS, "paths": ["/orders/more"]}, {"kind": "Authorize", "name": "gold", **GOLD}]
    public = {"kind": "Public", "name": "more", "target": {"api": "more"}, "reason": "for a test of teams"}
    assert (await team.change(put=[*two, public])).status_code == 200
    assert (await team.put("Authorize/gold", {**GOLD, "target": {"api": "more"}})).status_code in {200, 422}
    assert (await team.change(delete=["Authorize/gold", "Public/more", "Api/more"])).status_code == 200
    # To take away what let callers in leaves nobody in.
    assert (await team.admin.call("DELETE", AT + "Authenticate/orders", team.bob)).status_code in {200, 422}


async def test_an_api_is_neither_given_away_nor_taken(team: Team) -> None:
    bills = {"team": "billing", "paths": ["/bills"], "upstream": "http://203.0.113.8"}
    own = {"paths": ["/own"], "upstream": "http://203.0.113.9"}
    for what, document in {
        "Api/orders": {**ORDERS, "team": "billing", "paths": ["/bills/x"]},
        "Api/bills": {**bills, "team": "orders"},
        "Api/own": {**own, "team": "orders"},
        "Api/new": {**ORDERS, "team": "billing", "paths": ["/bills/x"]},
        "Api/none": {"paths": ["/orders/x"], "upstream": "http://203.0.113.7"},
    }.items():
        await team.refused(await team.put(what, document))
    await team.refused(await team.put("Api/orders", {"paths": ["/orders"], "upstream": "http://203.0.113.7"}))
    await team.refused(await team.put("Api/own", {**own, "timeout": "9s"}))
    await team.refused(await team.admin.call("DELETE", AT + "Api/bills", team.bob))


async def test_a_policy_of_others_isnt_touched_and_none_is_turned_on_others(team: Team) -> None:
    for what, document in {
        "Authorize/everywhere": {"allow": "true"},
        "Authorize/paths": {"target": {"paths": ["/orders"]}, "allow": "true"},
        "Authorize/bills": {"target": {"api": "bills"}, "allow": "true"},
        "Authorize/own": {"target": {"api": "own"}, "allow": "true"},
        "Authorize/mine": {**GOLD, "floor": True},
        "Authorize/floor": {"target": {"api": "orders", "paths": ["/orders/admin"]}, "allow": "true"},
        "Authenticate/bills": {"target": {"api": "orders"}, "any": ["api_key"]},
        "Tls/web": {"target": {"listener": "web"}, "certificate": "a.pem", "private_key": {"secret": "x"}},
        "Tls/orders": {"target": {"listener": "web", "api": "bills"}, "certificate": "a.pem", "private_key": {"secret": "x"}},
        "Public/all": {"reason": "everybody may come in"},
    }.items():
        answer = await team.put(what, document)
        if what.startswith("Tls"):
            assert answer.status_code == 403, what  # it names a file, too
        else:
            await team.refused(answer)
    for what in ("Authorize/floor", "Authenticate/bills", "Authenticate/own"):
        await team.refused(await team.admin.call("DELETE", AT + what, team.bob))
    assert (await team.put("Authorize/gold", GOLD)).status_code == 200
    await team.refused(await team.put("Authorize/gold", {**GOLD, "target": {"api": "bills"}}))
    await team.refused(await team.put("Authorize/gold", {**GOLD, "target": {}}))
    await team.refused(await team.put("Authorize/gold", GOLD | {"mode": "disabled"}, team.eve))


async def test_the_gateway_and_who_may_call_are_the_owners(team: Team) -> None:
    gateway = (await team.admin.call("GET", AT + "Gateway/edge", team.ann)).json()["document"]
    wider = {**gateway, "teams": {"orders": {"paths": ["/"]}}}
    assert (await team.put("Gateway/edge", wider)).status_code == 403
    await team.refused(await team.put("Gateway/edge", {**gateway, "attributes": {"plan": "string", "tier": "string"}}))
    for what, document in {
        "Consumer/acme": {"attributes": {"plan": "gold"}, "credentials": [{"api_key": {"secret": "x"}}]},
        "Issuer/corp": {"issuer": "https://evil.example", "audiences": ["a"], "jwks": {"keys": []}},
    }.items():
        assert (await team.put(what, document)).status_code == 403
        kind, name = what.split("/")
        assert (await team.change(put=[{"kind": kind, "name": name, **document}])).status_code == 403
        assert (await team.change(delete=[what])).status_code == 403


async def test_nothing_is_smuggled_in_beside_what_is_allowed(team: Team) -> None:
    good = {"kind": "Authorize", "name": "gold", **GOLD}
    others = {"kind": "Authorize", "name": "bills", "target": {"api": "bills"}, "allow": "true"}
    await team.refused(await team.change(put=[good, others]))
    await team.refused(await team.change(put=[good], delete=["Authenticate/bills"]))
    await team.refused(await team.change(put=[good], replace=True))
    # An API of others that is her team's within the same change, and a policy on it.
    taken = {"kind": "Api", "name": "bills", **ORDERS, "paths": ["/orders/bills"]}
    await team.refused(await team.change(put=[taken, {**others, "name": "fresh"}]))
    # The contents of a file that a policy of others names.
    sent = {"partners.txt": base64.b64encode(b"0.0.0.0/0\n").decode()}
    await team.refused(await team.change(put=[good], files=sent))
    mine = {"kind": "IpAccess", "name": "mine", "target": {"api": "orders"}, "allow": {"file": "partners.txt"}}
    await team.refused(await team.change(put=[mine], files=sent))
    assert (await team.change(put=[mine])).status_code == 200
    await team.refused(await team.change(put=[mine], files=sent))
    assert (await team.change(put=[good], emergency=True)).status_code == 403
    # All of it as it is, with a change of her own: nothing of others differs, so `bartizan apply` of the whole folder goes.
    held = (await team.admin.call("GET", "/v1/resources?limit=1000", team.ann)).json()["items"]
    whole = [one["document"] for one in held if not one["live"]]
    assert (await team.change(put=[*whole, good], replace=True)).status_code == 200
    less = [one for one in whole if one["name"] != "bills"]
    assert (await team.change(put=[*less, good], replace=True)).status_code == 403


async def test_what_is_everybodys_isnt_a_teams(team: Team) -> None:
    call = team.admin.call
    await team.put("Authorize/gold", GOLD)
    await team.refused(await call("POST", "/v1/rollback", team.bob, json={"reason": "mine"}))
    for what, value in (("consumer", "acme"), ("path", "/orders"), ("ip", "192.0.2.1")):
        for dry in (True, False):
            wanted = {"what": what, "value": value, "seconds": 60, "reason": "x", "dry": dry}
            await team.refused(await call("POST", "/v1/blocks", team.bob, json=wanted))
    held = await call("POST", "/v1/blocks", team.ann, json={"what": "ip", "value": "192.0.2.1", "seconds": 60, "reason": "x"})
    ident = held.json()["block"]["id"]
    await team.refused(await call("DELETE", f"/v1/blocks/{ident}", team.bob))
    zoe = await team.admin.token(team.ann, "zoe", "approver", team="orders")
    await team.refused(await call("POST", f"/v1/blocks/{ident}/approval", zoe))
    await team.refused(await call("GET", "/v1/audit", team.bob))
    assert (await call("GET", "/v1/tokens", team.bob)).status_code == 403
    assert (await call("POST", "/v1/tokens", team.bob, json={"name": "more", "role": "editor"})).status_code == 403
    assert (await call("POST", "/v1/tokens", team.ann, json={"name": "x", "role": "admin", "team": "orders"})).status_code == 422
    unknown = await call("POST", "/v1/tokens", team.ann, json={"name": "x", "role": "editor", "team": "nobody"})
    assert (unknown.status_code, unknown.json()["type"]) == (422, "urn:bartizan:problem:team-unknown")
    told = (await call("GET", "/v1/status", team.bob)).json()
    assert told["warnings"] == [] and told["refused"] == [] and told["more"] == {}
    listed = {one["name"]: one["team"] for one in (await call("GET", "/v1/tokens", team.ann)).json()}
    assert listed == {"ann": None, "bob": "orders", "eve": "billing", "zoe": "orders"}


async def test_an_api_that_changes_hands_on_the_way_isnt_changed_after(team: Team) -> None:
    """Each of these may be looked at before the admin's change and be made after it: it is judged by what it is made of."""
    given = {**ORDERS, "team": "billing", "paths": ["/bills/orders"]}
    back = {**ORDERS}
    for _ in range(8):
        puts = [team.put("Api/orders", {**ORDERS, "timeout": f"{at + 5}s"}) for at in range(3)]
        policy = team.put("Authorize/gold", GOLD)
        answers = await asyncio.gather(
            *puts, policy, team.put("Api/orders", given, team.ann), *(team.put("Api/orders", ORDERS) for _ in "ab")
        )
        assert {one.status_code for one in answers} <= {200, 403, 409, 422}
        while (moved := await team.put("Api/orders", given, team.ann)).status_code == 409:
            await asyncio.sleep(0.05)
        assert moved.status_code in {200, 422}, moved.text
        if moved.status_code == 200:
            await team.refused(await team.put("Api/orders", ORDERS))
            await team.refused(await team.admin.call("DELETE", AT + "Api/orders", team.bob))
        held = (await team.admin.call("GET", AT + "Api/orders", team.ann)).json()["document"]
        assert held["team"] == "billing"
        assert (await team.put("Api/orders", back, team.ann)).status_code == 200


async def test_what_was_seen_is_what_is_changed(team: Team) -> None:
    seen = (await team.admin.call("GET", AT + "Api/orders", team.bob)).headers["etag"]
    others = (await team.admin.call("GET", AT + "Api/bills", team.bob)).headers["etag"]
    for tag in (seen, others, "*", '"0"'):
        answer = await team.put("Api/bills", {**ORDERS, "paths": ["/orders/b"]}, headers={"if-match": tag})
        assert answer.status_code in {403, 412}
    answers = await asyncio.gather(
        *(team.put("Api/orders", {**ORDERS, "timeout": f"{at + 5}s"}, headers={"if-match": seen}) for at in range(6))
    )
    assert sorted(one.status_code for one in answers)[0] == 200
    assert [one.status_code for one in answers].count(200) == 1, [one.status_code for one in answers]


async def test_only_a_rollout_of_its_own_is_a_teams(tmp_path: Path) -> None:
    async with administered(tmp_path, files("{approvals: 1}")) as admin:
        team = await _team(admin)
        zoe = await admin.token(team.ann, "zoe", "approver", team="orders")
        kim = await admin.token(team.ann, "kim", "approver", team="billing")

        async def ask(token: str, what: str = "abort") -> httpx.Response:
            return await admin.call("POST", "/v1/rollout", token, json={"what": what})

        bills = {"kind": "Authorize", "name": "bills", "target": {"api": "bills"}, "allow": "true"}
        assert (await admin.call("POST", "/v1/changes", team.ann, json={"put": [bills]})).status_code == 200
        await rollout(admin, team.ann, "waiting")
        for what in ("abort", "pause", "resume", "promote"):
            await team.refused(await ask(team.bob, what))
        await team.refused(await admin.call("POST", "/v1/rollout/approval", zoe))
        # On top of it, her own change brings the other's along: that isn't hers alone.
        assert (await team.put("Authorize/gold", GOLD)).status_code == 200
        await rollout(admin, team.ann, "waiting")
        await team.refused(await ask(team.bob))
        await team.refused(await admin.call("POST", "/v1/rollout/approval", zoe))
        assert (await ask(team.ann)).status_code == 200
        await team.refused(await ask(team.bob))
        # One that is all hers.
        assert (await team.put("Authorize/gold", GOLD)).status_code == 200
        await rollout(admin, team.ann, "waiting")
        await team.refused(await ask(team.eve))
        await team.refused(await admin.call("POST", "/v1/rollout/approval", kim))
        assert (await ask(team.bob, "pause")).status_code == 200
        assert (await ask(team.bob, "resume")).status_code == 200
        assert (await admin.call("POST", "/v1/rollout/approval", zoe)).status_code == 200
        await rollout(admin, team.ann, "done")


async def test_what_others_name_of_the_machine_isnt_read(tmp_path: Path) -> None:
    tls = 'kind: Api\nname: bills\nteam: billing\npaths: [/bills]\nupstream: {endpoints: [{url: "https://203.0.113.8"}], '
    tls += "tls: {ca: own-ca.pem, certificate: own.pem, private_key: {file: own.key}}}"
    plain = "kind: Api\nname: bills\nteam: billing\npaths: [/bills]\nupstream: http://203.0.113.8"
    assert plain in REST
    named = "\n---\nkind: Consumer\nname: globex\ncredentials: [{api_key: {env: GLOBEX_KEY}}]\n"
    more = {**files(), "rest.yaml": REST.replace(plain, tls) + named, "ca.pem": ca("x").decode()}
    async with administered(tmp_path, more) as admin:
        team = await _team(admin)
        revision = (await admin.call("GET", "/v1/status", team.bob)).json()["revision"]
        for token, shown in ((team.bob, False), (team.ann, True)):
            texts = [(await admin.call("GET", path, token)).text for path in ("/v1/resources", f"/v1/revisions/{revision}")]
            texts.append((await admin.call("GET", AT + "Api/bills", token)).text)
            for text in texts:
                assert ("own.key" in text) is shown and json.loads(text)
            assert ("GLOBEX_KEY" in texts[0]) is shown
