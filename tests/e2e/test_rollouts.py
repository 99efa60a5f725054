"""A change goes its way through the stages, waits where people have a say, and is stopped and taken back by itself."""

import asyncio
import os
import re
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.gateway import Gateway
from tests.e2e.test_admin import Admin, administered

GATEWAY = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
attributes: {plan: string}
releases: RELEASES
"""
REST = """
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Consumer
name: acme
attributes: {plan: gold}
---
kind: Consumer
name: globex
attributes: {plan: silver}
---
kind: Authenticate
name: callers
target: {api: orders}
any: [api_key]
"""
GOLD = {"target": {"api": "orders"}, "allow": 'principal.plan == "gold"'}
HARMLESS = {"target": {"api": "orders"}, "allow": 'principal.plan in ["gold", "silver"]'}
TESTS = """
- name: globex may read
  given: {principal: {consumer: globex}, path: /orders/1}
  expect: allow
"""


def files(releases: str, upstream: int, **more: str) -> dict[str, str]:
    """The files of a gateway that lets changes out so."""
    return {"gateway.yaml": GATEWAY.replace("RELEASES", releases), "rest.yaml": REST.replace("UPSTREAM", str(upstream)), **more}


async def put(admin: Admin, token: str, policy: Mapping[str, Any], name: str = "plans") -> None:
    """Puts an Authorize."""
    answer = await admin.call("PUT", f"/v1/resources/Authorize/{name}", token, json=dict(policy))
    assert answer.status_code == 200, answer.text


async def rollout(admin: Admin, token: str, *statuses: str, seconds: float = 15) -> dict[str, Any]:
    """The rollout, as soon as it stands so."""
    deadline = time.monotonic() + seconds
    while True:
        told: dict[str, Any] = {}
        with suppress(httpx.TransportError):  # it may be restarting
            answer = await admin.call("GET", "/v1/rollout", token)
            told = answer.json()
            if answer.status_code == 200 and told["status"] in statuses:
                return told
        assert time.monotonic() < deadline, f"still not {statuses}: {told}\n{admin.gw.log()}"
        await asyncio.sleep(0.05)


async def asks(gw: Gateway, key: str) -> int:
    """The status that the holder of a key gets."""
    return (await gw.get("/orders/1", headers={"x-api-key": key})).status_code


async def test_a_revision_whose_tests_fail_isnt_let_out(tmp_path: Path, upstream: int) -> None:
    async with administered(tmp_path, files("{}", upstream, **{"orders.test.yaml": TESTS})) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        _, key = admin.gw.new_key("globex")
        await put(admin, ann, GOLD)
        told = await rollout(admin, ann, "failed")
        assert told["stages"] == ["test", "everywhere"]
        assert "1 of 1 tests fail" in told["why"]
        assert "'globex may read'" in told["why"]
        assert await asks(admin.gw, key) == 200
        await put(admin, ann, HARMLESS)
        await rollout(admin, ann, "done")
        assert await asks(admin.gw, key) == 200
        assert (await admin.gw.status())["revision"] == (await rollout(admin, ann, "done"))["revision"]


async def test_a_failing_edit_of_the_files_isnt_let_out_either(tmp_path: Path, upstream: int) -> None:
    async with administered(tmp_path, files("{}", upstream, **{"orders.test.yaml": TESTS})) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        gw = admin.gw
        _, key = gw.new_key("globex")
        gold = "kind: Authorize\nname: plans\ntarget: {api: orders}\nallow: principal.plan == 'gold'\n"
        (gw.files / "plans.yaml").write_text(gold)
        assert "tests fail" in (await rollout(admin, ann, "failed"))["why"]
        assert await asks(gw, key) == 200
        (gw.files / "plans.yaml").write_text(gold.replace("== 'gold'", "!= ''"))
        told = await rollout(admin, ann, "done")
        assert (await gw.status())["revision"] == told["revision"]


async def test_a_broken_invariant_isnt_let_out(tmp_path: Path, upstream: int) -> None:
    invariant = "invariants:\n- {name: only gold writes, only: {who: principal.plan == 'gold', method: POST, path: /orders}}\n"
    gold = "kind: Authorize\nname: writers\ntarget: {api: orders, methods: [POST]}\nallow: principal.plan == 'gold'\n"
    more = {"orders.test.yaml": invariant, "writers.yaml": gold}
    async with administered(tmp_path, files("{}", upstream, **more)) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        _, key = admin.gw.new_key("globex")
        await admin.gw.eventually(lambda: _is(admin.gw, key, 200))
        assert (await admin.call("DELETE", "/v1/resources/Authorize/writers", ann)).status_code == 200
        told = await rollout(admin, ann, "failed")
        assert "the invariant 'only gold writes': globex gets POST /orders" in told["why"]
        assert (await admin.gw.request("POST", "/orders/1", headers={"x-api-key": key})).status_code == 403


async def test_a_second_person_approves_and_the_author_cant(tmp_path: Path, upstream: int) -> None:
    async with administered(tmp_path, files("{approvals: 1}", upstream)) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        bob = await admin.token(ann, "bob", "approver")
        _, key = admin.gw.new_key("globex")
        await put(admin, ann, GOLD)
        told = await rollout(admin, ann, "waiting")
        assert "a second person must approve" in told["why"]
        assert (await admin.call("POST", "/v1/rollout/approval", ann)).status_code == 403
        await asyncio.sleep(0.3)
        assert await asks(admin.gw, key) == 200
        assert (await admin.call("POST", "/v1/rollout/approval", bob)).status_code == 200
        told = await rollout(admin, ann, "done")
        assert told["approved"] == ["bob"]
        assert await asks(admin.gw, key) == 403
        assert (await admin.call("POST", "/v1/rollout/approval", bob)).status_code == 409


async def test_a_freeze_holds_back_and_an_emergency_passes_it(tmp_path: Path, upstream: int) -> None:
    freeze = '{freezes: [{from: "2020-01-01T00:00:00Z", until: "2100-01-01T00:00:00Z", reason: year end}]}'
    async with administered(tmp_path, files(freeze, upstream)) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        bob = await admin.token(ann, "bob", "editor")
        _, key = admin.gw.new_key("globex")
        await put(admin, ann, GOLD)
        assert "year end" in (await rollout(admin, ann, "waiting"))["why"]
        assert await asks(admin.gw, key) == 200
        change = {"put": [{"kind": "Authorize", "name": "plans", **GOLD}, {"kind": "Authorize", "name": "more", **GOLD}], "emergency": True}
        assert (await admin.call("POST", "/v1/changes", bob, json=change)).status_code == 403
        assert (await admin.call("POST", "/v1/changes", ann, json=change)).status_code == 200
        told = await rollout(admin, ann, "done")
        assert told["emergency"]
        assert await asks(admin.gw, key) == 403


async def test_a_replay_stops_what_would_refuse_yesterdays_callers(tmp_path: Path, upstream: int) -> None:
    async with administered(tmp_path, files("{stages: [{replay: {last: 1h}}]}", upstream)) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        _, key = admin.gw.new_key("globex")
        await admin.gw.eventually(lambda: _is(admin.gw, key, 200))
        for _ in range(5):
            answer = await admin.gw.get("/orders/1", headers={"x-api-key": key})
        await admin.gw.record(answer)
        await put(admin, ann, GOLD)
        told = await rollout(admin, ann, "failed")
        assert "newly refused" in told["why"]
        assert "by globex (Authorize/plans" in told["why"]
        assert told["figures"]["replay"]["newly_refused"] >= 5
        assert await asks(admin.gw, key) == 200
        await put(admin, ann, HARMLESS)
        told = await rollout(admin, ann, "done")
        assert told["figures"]["replay"]["judged"] >= 5


async def _is(gw: Gateway, key: str, status: int) -> bool:
    return await asks(gw, key) == status


async def test_a_shadow_judges_live_requests_and_changes_no_answer(tmp_path: Path, upstream: int) -> None:
    async with administered(tmp_path, files("{stages: [{shadow: {for: 20s, requests: 20}}]}", upstream)) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        _, key = admin.gw.new_key("globex")
        await admin.gw.eventually(lambda: _is(admin.gw, key, 200))
        await put(admin, ann, GOLD)
        answers = [await _while(admin, ann, key, "failed")]
        assert set(answers[0]) == {200}
        assert "newly refused" in (await rollout(admin, ann, "failed"))["why"]
        # Each mismatch stands in the log as it comes: by whom, where, which policy.
        assert re.search(
            r"shadow of revision \w{16}: newly refused: '\w+ orders/orders by globex \(Authorize/\w+, request ", admin.gw.log()
        )
        await put(admin, ann, HARMLESS)
        assert set(await _while(admin, ann, key, "done")) == {200}
        figures = (await rollout(admin, ann, "done"))["figures"]["shadow"]
        assert figures["judged"] >= 20
        assert figures["covered"] == "globex"


async def _while(admin: Admin, token: str, key: str, status: str) -> list[int]:
    """The answers while the rollout isn't so yet."""
    answers = []
    deadline = time.monotonic() + 15
    while (await admin.call("GET", "/v1/rollout", token)).json()["status"] != status:
        answers.append(await asks(admin.gw, key))
        assert time.monotonic() < deadline
    return answers


async def test_a_guard_takes_back_what_brings_errors(tmp_path: Path, upstream: int) -> None:
    async with administered(tmp_path, files("{guards: {for: 20s}}", upstream)) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        _, key = admin.gw.new_key("acme")
        await admin.gw.eventually(lambda: _is(admin.gw, key, 200))
        for _ in range(60):
            await asks(admin.gw, key)
        broken = {"paths": ["/orders"], "upstream": "http://127.0.0.1:9"}
        assert (await admin.call("PUT", "/v1/resources/Api/orders", ann, json=broken)).status_code == 200
        await _while(admin, ann, key, "failed")
        told = await rollout(admin, ann, "failed")
        assert told["why"].startswith("5xx: ")
        await admin.gw.eventually(lambda: _is(admin.gw, key, 200))
        line = (await admin.call("GET", "/v1/revisions", ann)).json()["items"]
        assert (line[0]["door"], line[0]["author"]) == ("rollback", "rollout")


async def test_a_guard_pauses_what_going_back_would_loosen(tmp_path: Path, upstream: int) -> None:
    async with administered(tmp_path, files("{guards: {for: 20s, refused_callers: 1}}", upstream)) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        _, key = admin.gw.new_key("globex")
        await admin.gw.eventually(lambda: _is(admin.gw, key, 200))
        # Strangers can't trip it, however often they are refused.
        await put(admin, ann, HARMLESS)
        for _ in range(30):
            await asks(admin.gw, "bz_wrong")
        assert (await rollout(admin, ann, "running"))["figures"] == {}
        for _ in range(3):
            await asks(admin.gw, key)
        await put(admin, ann, GOLD)
        await _while(admin, ann, key, "paused")
        told = await rollout(admin, ann, "paused")
        assert "refused callers: 1 of 1" in told["why"]
        assert "going back would loosen" in told["why"]
        assert await asks(admin.gw, key) == 403
        # A person may decide to go back.
        assert (await admin.call("POST", "/v1/rollout", ann, json={"what": "abort"})).status_code == 200
        await admin.gw.eventually(lambda: _is(admin.gw, key, 200))


async def test_pause_resume_promote_and_abort(tmp_path: Path, upstream: int) -> None:
    async with administered(tmp_path, files("{stages: [{shadow: {for: 60s}}]}", upstream)) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        _, key = admin.gw.new_key("globex")
        await put(admin, ann, GOLD)
        await rollout(admin, ann, "running")
        for what, status in (("pause", "paused"), ("resume", "running")):
            assert (await admin.call("POST", "/v1/rollout", ann, json={"what": what})).json()["status"] == status
        assert (await admin.call("POST", "/v1/rollout", ann, json={"what": "abort"})).json()["status"] == "aborted"
        assert (await admin.call("POST", "/v1/rollout", ann, json={"what": "resume"})).status_code == 409
        assert await asks(admin.gw, key) == 200
        await put(admin, ann, {**GOLD, "description": "again"})
        await rollout(admin, ann, "running")
        await admin.call("POST", "/v1/rollout", ann, json={"what": "promote"})
        await rollout(admin, ann, "done")
        assert await asks(admin.gw, key) == 403


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_a_rollout_goes_on_after_a_restart_in_its_middle(tmp_path: Path, upstream: int, how: signal.Signals) -> None:
    async with administered(tmp_path, files("{approvals: 1}", upstream)) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        bob = await admin.token(ann, "bob", "approver")
        _, key = admin.gw.new_key("globex")
        await put(admin, ann, GOLD)
        before = await rollout(admin, ann, "waiting")
        os.kill(admin.gw.pid("bartizan.app"), how)
        await admin.gw.eventually(lambda: _answers(admin, ann), 10)
        told = await rollout(admin, ann, "waiting")
        assert (told["number"], told["revision"]) == (before["number"], before["revision"])
        assert await asks(admin.gw, key) == 200
        assert (await admin.gw.status())["revision"] == before["before"]
        assert (await admin.call("POST", "/v1/rollout/approval", bob)).status_code == 200
        await rollout(admin, ann, "done")
        await admin.gw.eventually(lambda: _is(admin.gw, key, 403))
        # What went out stays out after another restart: the files alone don't bring the old one back.
        os.kill(admin.gw.pid("bartizan.app"), how)
        await asyncio.sleep(0.3)
        await admin.gw.eventually(lambda: _answers(admin, ann), 10)
        assert await asks(admin.gw, key) == 403


async def _answers(admin: Admin, token: str) -> bool:
    try:
        return (await admin.call("GET", "/v1/status", token)).json().get("revision", "") != ""
    except (httpx.TransportError, ValueError):  # it isn't back yet
        return False
