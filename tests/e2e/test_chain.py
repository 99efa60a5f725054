"""What a real Envoy makes of a route's chain: without one the route is closed; in one each policy refuses under its own name."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from bartizan.compile import Resources, discovered_body
from bartizan.compile.read import assemble, read
from bartizan.envoy import message_type, names
from bartizan.model.snapshot import Snapshot
from bartizan.scratch import Question, Scratch, instance
from bartizan.telemetry.decision import Verdict, decision_of
from tests.e2e.gateway import Gateway, gateway, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")
DENIED = "rbac_access_denied_matched_policy[{}]"

FRAME = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
---
kind: Public
name: all
reason: these tests look at the chain alone
"""
API = "\n---\nkind: Api\nname: NAME\npaths: [/NAME]\nupstream: http://127.0.0.1:{upstream}\n"


def _bare(found: Any) -> None:
    found.clear()


def _unrelated(found: Any) -> None:
    found.clear()
    cors = message_type("envoy.extensions.filters.http.cors.v3.CorsPolicy")
    found[names.CORS].Pack(cors())


def _misplaced(found: Any) -> None:
    found["policy"].CopyFrom(found[names.POLICIES])
    del found[names.POLICIES]


def _whole(found: Any) -> None:
    assert found[names.POLICIES].type_url.endswith("CompositePerRoute")


CASES: dict[str, tuple[Callable[[Any], None], int, str]] = {
    "whole": (_whole, 200, "via_upstream"),
    "bare": (_bare, 403, DENIED.format("default-deny")),
    "unrelated": (_unrelated, 403, DENIED.format("default-deny")),
    "misplaced": (_misplaced, 403, DENIED.format("default-deny")),
}


def _changed(whole: Resources) -> Resources:
    """The resources with each API's route changed as its case says."""
    found = dict(whole)
    for (type_url, name), body in whole.items():
        if type_url == names.ROUTES:
            config: Any = message_type("envoy.config.route.v3.RouteConfiguration").FromString(body)
            for host in config.virtual_hosts:
                for route in host.routes:
                    CASES[host.name][0](route.typed_per_filter_config)
            found[type_url, name] = config.SerializeToString(deterministic=True)
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def changed() -> AsyncIterator[Scratch]:
    """An Envoy with the production configuration, but for its routes."""
    async with _serving(_changed) as made:
        yield made


@asynccontextmanager
async def _serving(change: Callable[[Resources], Resources]) -> AsyncIterator[Scratch]:
    text = FRAME.replace("{port}", "8080") + "".join(API.replace("NAME", name).replace("{upstream}", "9") for name in CASES)
    snapshot = assemble([read(text, "a.yaml")], {})
    assert isinstance(snapshot, Snapshot), snapshot
    with pytest.MonkeyPatch.context() as patch:
        production = instance.production
        patch.setattr(instance, "production", lambda compiled: change(production(compiled)))
        async with Scratch(snapshot) as made:
            yield made


async def test_where_the_gate_fails_nothing_gets_through() -> None:
    """No scope, so no route, and no route's policies."""
    lua = message_type("envoy.extensions.filters.http.lua.v3.Lua")
    broken: Any = lua()
    broken.default_source_code.inline_string = 'function envoy_on_request(handle) error("broken") end'
    gate = {(names.ECDS, names.GATE): discovered_body(names.GATE, broken)}
    async with _serving(lambda whole: {**whole, **gate}) as made:
        for question in (Question("GET", "/whole"), Question("GET", "/nothing"), Question("POST", "/whole", size=9)):
            record = await made.record(question)
            assert (record["api"], record["status"], record["details"]) == (None, 403, DENIED.format("default-deny"))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_a_route_that_does_not_bring_its_policies_is_closed(changed: Scratch, case: str, method: str) -> None:
    _, status, details = CASES[case]
    for below in ("", "/deep/below"):
        record = await changed.record(Question(method, f"/{case}{below}"))
        assert (record["api"], record["status"], record["details"]) == (case, status, details)
        if status == 403:
            decision = await changed.ask(Question(method, f"/{case}{below}"))
            assert (decision.refused, decision.by) == (True, "default deny")


TWENTY = [f"p{i:02}" for i in range(20)]
AUTHORIZE = """
---
kind: Authorize
name: NAME
target: {api: many}
mode: MODE
allow: '!(request.headers["x-refuse-NAME"] == "yes")'
"""


def _policies(shadow: frozenset[str] = frozenset()) -> str:
    return "".join(AUTHORIZE.replace("NAME", name).replace("MODE", "shadow" if name in shadow else "enforce") for name in TWENTY)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gw(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    with upstream() as port:
        files = {"frame.yaml": FRAME + API.replace("NAME", "many").replace("{upstream}", str(port)), "policies.yaml": _policies()}
        async with gateway(tmp_path_factory.mktemp("chain"), files) as made:
            yield made


def _headers(*refusing: str) -> dict[str, str]:
    """A request that these policies refuse."""
    return {f"x-refuse-{name}": "yes" if name in refusing else "no" for name in TWENTY}


ALL_IDS = [f"Authorize/{name}" for name in TWENTY]


@pytest.mark.parametrize("first", TWENTY)
async def test_of_twenty_policies_the_one_that_refuses_is_named(gw: Gateway, first: str) -> None:
    answer = await gw.get("/many", headers=_headers(first))
    record = await gw.record(answer)
    assert (answer.status_code, record["details"]) == (403, DENIED.format(f"Authorize/{first}"))
    assert record["policies"].split() == ALL_IDS and "shadows" not in record
    at = TWENTY.index(first)
    said = ["allowed"] * at + ["denied"] + ["not reached"] * (19 - at)
    assert decision_of(record).verdicts == tuple(Verdict(name, word, False) for name, word in zip(ALL_IDS, said, strict=True))


@pytest.mark.parametrize(
    ("refusing", "named"), [(("p12", "p03"), "p03"), (("p07", "p08"), "p07"), (("p08", "p19"), "p08"), (tuple(TWENTY), "p00")]
)
async def test_of_several_that_would_refuse_the_first_is_named(gw: Gateway, refusing: tuple[str, ...], named: str) -> None:
    record = await gw.record(await gw.get("/many", headers=_headers(*refusing)))
    assert record["details"] == DENIED.format(f"Authorize/{named}")


async def test_what_a_condition_asks_for_and_is_missing_is_refused_under_its_name(gw: Gateway) -> None:
    headers = _headers()
    del headers["x-refuse-p12"]
    answer = await gw.get("/many", headers=headers)
    assert (await gw.record(answer))["details"] == DENIED.format("Authorize/p12")


async def test_what_all_twenty_let_through_gets_through(gw: Gateway) -> None:
    answer = await gw.get("/many", headers=_headers())
    record = await gw.record(answer)
    assert (answer.status_code, record["details"]) == (200, "via_upstream")
    assert {one.said for one in decision_of(record).verdicts} == {"allowed"} and len(decision_of(record).verdicts) == 20


async def test_policies_in_shadow_between_them_are_asked_and_refuse_nobody(gw: Gateway) -> None:
    shadow = frozenset({"p00", "p04", "p12", "p13", "p19"})
    await gw.edit("policies.yaml", _policies(shadow))
    try:
        answer = await gw.get("/many", headers=_headers("p04", "p12", "p14", "p19"))
        record = await gw.record(answer)
        assert (answer.status_code, record["details"]) == (403, DENIED.format("Authorize/p14"))
        assert record["policies"].split() == [one for one in ALL_IDS if one[-3:] not in shadow]
        said = {one.policy[-3:]: (one.said, one.shadow) for one in decision_of(record).verdicts}
        # p19 stands behind the one that refused.
        assert {name: said.get(name) for name in shadow} == {
            **{"p00": ("allowed", True), "p04": ("denied", True), "p12": ("denied", True), "p13": ("allowed", True), "p19": None}
        }
        assert {said[name] for name in TWENTY[:14] if name not in shadow} == {("allowed", False)}
        assert said["p14"] == ("denied", False) and said["p15"] == ("not reached", False)
        passed = await gw.get("/many", headers=_headers(*shadow))
        told = {one.policy[-3:]: one.said for one in decision_of(await gw.record(passed)).verdicts}
        assert passed.status_code == 200
        assert {name for name, word in told.items() if word == "denied"} == shadow and len(told) == 20
    finally:
        await gw.edit("policies.yaml", _policies())


async def test_an_edit_that_takes_one_out_moves_the_others_and_names_them_still(gw: Gateway) -> None:
    without = _policies().replace(AUTHORIZE.replace("NAME", "p12").replace("MODE", "enforce"), "")
    await gw.edit("policies.yaml", without)
    try:
        assert (await gw.get("/many", headers=_headers("p12"))).status_code == 200
        record = await gw.record(await gw.get("/many", headers=_headers("p12", "p13")))
        assert record["details"] == DENIED.format("Authorize/p13")
    finally:
        await gw.edit("policies.yaml", _policies())


def _deep(name: str, levels: int) -> str:
    """A condition with this many levels that refuses whom the plain one refuses."""
    condition = f'!(request.headers["x-refuse-{name}"] == "yes")'
    for level in range(levels):
        condition = f'({condition} && request.method != "PUT")' if level % 2 else f'({condition} || request.method == "PATCH")'
    return f"\n---\nkind: Authorize\nname: {name}\ntarget: {{api: many}}\nallow: '{condition}'\n"


@pytest.mark.parametrize("levels", [3, 8])
async def test_conditions_as_deep_as_may_be_written_share_filters_that_envoy_reads(gw: Gateway, levels: int) -> None:
    await gw.edit("policies.yaml", "".join(_deep(name, levels if i % 3 else 0) for i, name in enumerate(TWENTY)))
    try:
        for first in ("p00", "p07", "p12", "p19"):
            record = await gw.record(await gw.get("/many", headers=_headers(first)))
            assert record["details"] == DENIED.format(f"Authorize/{first}")
        assert (await gw.get("/many", headers=_headers())).status_code == 200
    finally:
        await gw.edit("policies.yaml", _policies())
