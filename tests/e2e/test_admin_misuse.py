"""What someone with a token that may less than she wants tries at the admin API, and doesn't get."""

import asyncio
import base64
from pathlib import Path

from tests.e2e.gateway import free_port, gateway
from tests.e2e.test_admin import DENY, FILES, administered
from tests.e2e.test_rollouts import GOLD, TESTS, asks, files, put, rollout

API = {"paths": ["/steal"], "upstream": "http://203.0.113.7:80"}
NEAR = (
    "http://2130706433",
    "http://0x7f.1:80",
    "http://0x7f000001",
    "http://017700000001",
    "http://127.1",
    "http://127.0.0.1.",
    "http://localhost.:9180",
    "http://a.localhost",
    "http://0.0.0.0:9180",
    "http://[::]:9180",
    "http://[::1]",
    "http://[::ffff:7f00:1]",
    "http://[::127.0.0.1]",
    "http://[64:ff9b::7f00:1]",
    "http://[2002:7f00:1::]",
    "http://[fe80::1]",
    "http://169.254.169.254",
    "http://[fd00:ec2::254]",
    "http://168.63.129.16",
    "http://nowhere.invalid",
)


async def test_no_spelling_of_an_address_near_the_gateway_gets_past(tmp_path: Path) -> None:
    async with administered(tmp_path) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        bob = await admin.token(ann, "bob", "editor")
        at = "/v1/resources/Api/steal"
        for url in NEAR:
            for form in (url, [url], {"endpoints": [{"url": "http://203.0.113.7"}, {"url": url}]}):
                answer = await admin.call("PUT", at, bob, json={**API, "upstream": form})
                assert answer.status_code == 403, (form, answer.text)
        several = {"put": [{"kind": "Api", "name": "steal", **API, "upstream": NEAR[0]}]}
        assert (await admin.call("POST", "/v1/changes", bob, json=several)).status_code == 403
        # What is far away goes; with a health check, and a path of its own.
        far = {**API, "upstream": {"endpoints": [{"url": "http://203.0.113.7"}], "health_check": {"path": "/latest"}}}
        assert (await admin.call("PUT", at, bob, json=far)).status_code == 422  # nobody may call it: that is a problem, no matter of trust
        # What an admin has let in stays, but not with another port, where something else listens.
        orders = {"paths": ["/orders"], "upstream": "http://127.0.0.1:9", "timeout": "10s"}
        at = "/v1/resources/Api/orders"
        assert (await admin.call("PUT", at, bob, json={**orders, "upstream": "http://127.0.0.1:9180"})).status_code == 403
        assert (await admin.call("PUT", at, bob, json=orders)).status_code == 200


async def test_what_is_the_owners_an_editor_cant_change(tmp_path: Path) -> None:
    async with administered(tmp_path) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        bob = await admin.token(ann, "bob", "editor")
        at = "/v1/resources/Gateway/edge"
        gateway = (await admin.call("GET", at, bob)).json()["document"]
        for field, value in {
            "otlp": "http://203.0.113.7:4317",
            "releases": {"approvals": 1},
            "blocking": {"attempts": 100_000},
            "records": {"keep": "1MB"},
            "listeners": [{"name": "web", "address": "0.0.0.0:80"}],
        }.items():
            answer = await admin.call("PUT", at, bob, json={**gateway, field: value})
            assert (answer.status_code, answer.json()["type"]) == (403, "urn:bartizan:problem:owners-own"), (field, answer.text)
        other = {"replace": True, "put": [{**gateway, "name": "other", "releases": {"approvals": 5}}]}
        assert (await admin.call("POST", "/v1/changes", bob, json=other)).status_code == 403
        assert (await admin.call("PUT", at, bob, json={**gateway, "attributes": {"plan": "string", "tier": "string"}})).status_code == 200
        tls = {"kind": "Tls", "name": "web", "target": {"listener": "web"}, "certificate": "/etc/shadow", "private_key": {"env": "HOME"}}
        answer = await admin.call(
            "POST", "/v1/changes", bob, json={"put": [tls], "files": {"/etc/shadow": base64.b64encode(b"x").decode()}}
        )
        assert answer.status_code == 403
        upstream = {"endpoints": [{"url": "https://203.0.113.7"}], "tls": {"ca": "/etc/shadow"}}
        assert (await admin.call("PUT", "/v1/resources/Api/steal", bob, json={**API, "upstream": upstream})).status_code == 403


async def test_nobody_gets_past_tests_approval_and_windows_by_another_door(tmp_path: Path, upstream: int) -> None:
    more = {"orders.test.yaml": TESTS}
    async with administered(tmp_path, files("{approvals: 1}", upstream, **more)) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        bob = await admin.token(ann, "bob", "editor")
        _, key = admin.gw.new_key("globex")
        await put(admin, bob, GOLD)
        failed = await rollout(admin, ann, "failed")
        # What failed its tests is no way back, neither by name nor by default.
        back = await admin.call("POST", "/v1/rollback", bob, json={"revision": failed["revision"], "reason": "round"})
        assert (back.status_code, back.json()["type"]) == (409, "urn:bartizan:problem:revision-never-active")
        # What waits for somebody neither, and it can't be promoted past that.
        await put(admin, bob, {**GOLD, "allow": 'principal.plan != "x"'})
        waiting = await rollout(admin, ann, "waiting")
        back = await admin.call("POST", "/v1/rollback", bob, json={"revision": waiting["revision"], "reason": "round"})
        assert back.status_code == 409
        for token in (bob, ann):
            assert (await admin.call("POST", "/v1/rollout", token, json={"what": "promote"})).status_code == 409
        await admin.call("POST", "/v1/rollout", bob, json={"what": "pause"})
        assert (await admin.call("POST", "/v1/rollout", bob, json={"what": "promote"})).status_code == 409
        assert (await admin.gw.status())["revision"] == failed["before"]
        assert await asks(admin.gw, key) == 200


async def test_whose_change_another_change_brings_along_cant_approve_that(tmp_path: Path, upstream: int) -> None:
    async with administered(tmp_path, files("{approvals: 1}", upstream)) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        eve, bob = await admin.token(ann, "eve", "admin"), await admin.token(ann, "bob", "editor")
        await put(admin, eve, {**GOLD, "allow": 'principal.plan != "x"'}, "hers")
        await rollout(admin, ann, "waiting")
        await put(admin, bob, {**GOLD, "allow": 'principal.plan != "y"'}, "his")
        told = await rollout(admin, ann, "waiting")
        assert (told["author"], told["also"]) == ("bob", ["eve"])
        assert (await admin.call("POST", "/v1/rollout/approval", eve)).status_code == 403
        assert (await admin.call("POST", "/v1/rollout/approval", ann)).status_code == 200
        await rollout(admin, ann, "done")


async def test_what_was_given_up_isnt_brought_along_by_the_next_change(tmp_path: Path, upstream: int) -> None:
    async with administered(tmp_path, files("{approvals: 1}", upstream)) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        bob = await admin.token(ann, "bob", "admin")
        _, key = admin.gw.new_key("globex")
        await put(admin, ann, GOLD, "given-up")
        await rollout(admin, ann, "waiting")
        assert (await admin.call("POST", "/v1/rollout", ann, json={"what": "abort"})).status_code == 200
        assert (await admin.call("GET", "/v1/resources/Authorize/given-up", ann)).status_code == 404
        await put(admin, ann, {**GOLD, "allow": 'principal.plan != "x"'}, "next")
        await rollout(admin, ann, "waiting")
        assert (await admin.call("POST", "/v1/rollout/approval", bob)).status_code == 200
        await rollout(admin, ann, "done")
        assert await asks(admin.gw, key) == 200


async def test_an_editor_goes_back_but_not_past_the_owners_rules(tmp_path: Path) -> None:
    async with administered(tmp_path) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        bob = await admin.token(ann, "bob", "editor")
        before = (await admin.gw.status())["revision"]
        gateway = (await admin.call("GET", "/v1/resources/Gateway/edge", ann)).json()["document"]
        at = "/v1/resources/Gateway/edge"
        made = await admin.call("PUT", at, ann, json={**gateway, "releases": {"approvals": 1}})
        await admin.gw.until(lambda now: now["revision"] == made.json()["revision"])
        back = {"revision": before, "reason": "no more approvals"}
        answer = await admin.call("POST", "/v1/rollback", bob, json=back)
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:bartizan:problem:owners-own")
        assert (await admin.call("POST", "/v1/rollback", ann, json=back)).status_code == 200


async def test_two_changes_at_once_dont_undo_each_other(tmp_path: Path) -> None:
    async with administered(tmp_path) as admin:
        ann = await admin.token(admin.first, "ann", "admin")
        names = [f"n{i}" for i in range(6)]
        calls = [admin.call("PUT", f"/v1/resources/IpAccess/{name}", ann, json=DENY) for name in names]
        answers = await asyncio.gather(*calls)
        kept = {name for name, one in zip(names, answers, strict=True) if one.status_code == 200}
        assert kept
        assert {one.status_code for one in answers} <= {200, 409}
        held = (await admin.call("GET", "/v1/resources?kind=IpAccess", ann)).json()["items"]
        assert {one["name"] for one in held} == kept


async def test_the_first_tokens_file_goes_when_it_was_used(tmp_path: Path) -> None:
    async with administered(tmp_path) as admin:
        file = admin.gw.state / "first-token"
        assert file.exists()
        await admin.token(admin.first, "ann", "admin")
        await admin.gw.eventually(lambda: _gone(file))


async def _gone(file: Path) -> bool:
    return not file.exists()


async def test_a_lost_store_with_a_known_node_never_mints_another(tmp_path: Path) -> None:
    async with administered(tmp_path) as admin:
        await admin.token(admin.first, "ann", "admin")
        await admin.gw.eventually(lambda: _gone(admin.gw.state / "first-token"))
        await admin.gw.until(lambda now: all(node["kept"] for node in now["nodes"]))
        state = admin.gw.state
    lost = [path for path in state.iterdir() if path.name.startswith(("store.", "audit."))]
    assert lost
    for path in lost:
        path.unlink()
    async with gateway(tmp_path, FILES, arguments=("--api", f"127.0.0.1:{free_port()}")) as gw:
        await gw.until(lambda now: bool(now["revision"]))
        await asyncio.sleep(0.5)
        assert not (gw.state / "first-token").exists()
