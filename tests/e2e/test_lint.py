"""`bartizan lint` on what a real gateway has served and keeps."""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.e2e.gateway import Gateway, upstream
from tests.e2e.test_admin import administered

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
attributes: {plan: string}
blocking: {exempt: [127.0.0.0/8]}
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Consumer
name: acme
attributes: {plan: gold}
---
kind: Authenticate
name: callers
target: {api: orders}
any: [api_key]
---
kind: Authorize
name: plans
target: {api: orders}
allow: principal.plan in ["gold", "silver"]
---
kind: IpAccess
name: sources
target: {api: orders}
allow: [127.0.0.0/8, 192.0.2.0/24]
"""
BAD = """
---
kind: Authorize
name: again
target: {api: orders, paths: [/orders/refunds]}
allow: principal.plan in ["gold", "silver", "bronze"]
---
kind: Authorize
name: everyone
target: {api: orders}
allow: "true"
---
kind: Authorize
name: nobody
target: {api: orders, paths: [/orders/closed]}
allow: principal.plan == "platinum"
---
kind: Authorize
name: unmet
target: {api: orders, paths: [/orders/old]}
allow: principal.plan == "platinum" && now.before("2020-01-01T00:00:00Z")
"""


async def linted(gw: Gateway, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit status, and what is told as JSON."""
    command = [sys.executable, "-m", "bartizan.cli.main", "lint", "-f", str(gw.files), "--state", str(gw.state), "--json", *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, error = await process.communicate()
    return process.returncode or 0, json.loads(out) if out else {"error": error.decode()}


async def test_what_is_no_good_is_told_and_what_is_good_isnt(tmp_path: Path) -> None:
    with upstream() as port:
        async with administered(tmp_path, {"all.yaml": FILES.replace("UPSTREAM", str(port))}) as admin:
            gw = admin.gw
            _, key = gw.new_key("acme")
            await gw.eventually(lambda: _serves(gw, key))
            status, told = await linted(gw)
            entry = {("entry-never-matched", "IpAccess/sources: allow[1]")}
            assert (status, places(told), told["notes"]) == (0, entry, [])
            await gw.edit("all.yaml", (FILES + BAD).replace("UPSTREAM", str(port)))
            for path in ("/orders/1", "/orders/refunds", "/orders/closed"):
                answer = await gw.get(path, headers={"x-api-key": key})
            await gw.record(answer)
            gw.new_key("acme", expires=time.time() + 3600)
            ann = await admin.token(admin.first, "ann", "admin")
            await admin.token(ann, "ci", "editor", seconds=7200)
            block = {"what": "ip", "value": "203.0.113.9", "seconds": 60, "reason": "scraping"}
            assert (await admin.call("POST", "/v1/blocks", ann, json=block)).status_code == 200
            status, told = await linted(gw, "--strict")
    assert status == 1 and told["requests"] > 3
    assert {one for one in places(told) if one[0] not in {"key-expires", "token-expires", "block-expires"}} == entry | {
        ("rule-dead", "Authorize/again"),
        ("rule-allows-everything", "Authorize/everyone"),
        ("rule-never-matched", "Authorize/nobody"),
        ("rule-never-met", "Authorize/unmet"),
        ("rule-expires", "Authorize/unmet: allow"),
    }
    assert {one["code"] for one in told["findings"]} >= {"key-expires", "token-expires", "block-expires"}
    assert all(one["message"] and one["hint"] and (one["line"] or one["file"] in {"keys", "tokens", "blocks"}) for one in told["findings"])
    dead = next(one for one in told["findings"] if one["code"] == "rule-dead")
    assert "Authorize/plans" in dead["message"]


def places(told: dict[str, Any]) -> set[tuple[str, str]]:
    return {(one["code"], one["path"]) for one in told["findings"]}


async def _serves(gw: Gateway, key: str) -> bool:
    answer = await gw.get("/orders/1", headers={"x-api-key": key})
    await gw.record(answer)
    return answer.status_code == 200
