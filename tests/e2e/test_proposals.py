"""What agents propose: it decides nothing, another person looks at it and applies it, and it goes its way like any change."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.agents import GOLD, Asking, agent, watched
from tests.e2e.test_admin import Admin
from tests.e2e.test_remote import bartizan, good
from tests.e2e.test_rollouts import rollout

AT = "/v1/proposals"
SECOND = "urn:bartizan:problem:second-person-needed"
WHY = "Only gold customers have signed the new terms."


async def _propose(asking: Asking, *documents: dict[str, Any], message: str = WHY, **more: Any) -> str:
    made = await asking.call("propose_change", put=list(documents), message=message, **more)
    assert "changes nothing until a person applies it" in made["note"]
    return str(made["proposal"]["id"])


async def _apply(admin: Admin, token: str, ident: str, **headers: str) -> httpx.Response:
    return await admin.call("POST", f"{AT}/{ident}/application", token, json={}, headers=headers)


def _is(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:bartizan:problem:{code}"), answer.text


async def _drafted(asking: Asking) -> str:
    """What is wrong isn't proposed; what is good is, once, and can be read again."""
    wrong = await asking.refused("check_change", put=[{**GOLD, "allow": "principal.plam == 'gold'"}])
    assert wrong["problems"][0]["at"].startswith("Authorize/gold-only: allow")
    assert (await asking.refused("propose_change", put=[{**GOLD, "what": 1}], message=WHY))["problems"]
    assert await asking.call("check_change", put=[GOLD]) == {"good": True}
    assert (await asking.refused("propose_change", put=[], message=WHY))["code"] == "proposal-empty"
    ident = await _propose(asking, GOLD)
    [one] = (await asking.call("list_proposals"))["proposals"]
    assert (one["id"], one["author"], one["message"]) == (ident, "helper", {"untrusted": WHY})
    read = await asking.call("read_proposal", id=ident)
    assert (read["put"], read["stale"]) == ({"untrusted": [GOLD]}, [])
    return ident


async def _looked_at(ident: str, state: tuple[Any, ...]) -> str:
    """A person looks at it. The newest revision then."""
    assert ident in await good("proposal", "list", *state)
    assert 'allow: principal.plan == "gold"' in await good("proposal", "show", ident, *state)
    told = await good("proposal", "diff", ident, *state, status=2)
    assert "+ Authorize/gold-only" in told and "- loses: globex" in told
    seen = re.search(r"--on ([0-9a-f]{16})", told)
    assert seen
    assert "Another revision is the newest" in await good("proposal", "apply", ident, "--on", "0" * 16, *state, status=1)
    return seen[1]


async def test_a_proposal_decides_nothing_until_another_person_applies_it(tmp_path: Path, upstream: int) -> None:
    async with watched(tmp_path, upstream, releases="{approvals: 1}") as (admin, ann):
        gw, state = admin.gw, ("--state", admin.gw.state)
        helper = await admin.token(ann, "helper", "proposer")
        key = gw.new_key("globex")[1]

        async def status() -> int:
            return (await gw.get("/orders/1", headers={"x-api-key": key})).status_code

        await gw.eventually(lambda: _now(status, 200))
        assert await good("proposal", "list", *state) == "nothing is proposed\n"
        async with agent(admin, helper) as asking:
            ident = await _drafted(asking)
        assert await status() == 200 and (await gw.status())["rollout"] is None
        assert [one["number"] for one in (await admin.call("GET", "/v1/revisions", ann)).json()["items"]] == [1]
        # The agent's token does nothing of the kind over REST either.
        assert (await admin.call("PUT", "/v1/resources/Authorize/gold-only", helper, json=GOLD)).status_code == 403
        _is(await _apply(admin, helper, ident), 403, "role-too-low")
        told = await good("proposal", "apply", ident, "--on", await _looked_at(ident, state), *state)
        assert f"Only gold customers have signed the new terms. ({ident}, proposed by helper)" in told
        now = await rollout(admin, ann, "waiting")
        assert now["also"] == ["helper"] and now["author"].startswith("local:")
        # Who proposed it doesn't approve it, with whatever token.
        other = await admin.token(ann, "helper", "approver")
        _is(await admin.call("POST", "/v1/rollout/approval", other), 403, "second-person-needed")
        assert await status() == 200
        assert (await admin.call("POST", "/v1/rollout/approval", ann)).status_code == 200
        await rollout(admin, ann, "done")
        await gw.eventually(lambda: _now(status, 403))
        await _is_gone(ident, now["author"], state)


async def _is_gone(ident: str, by: str, state: tuple[Any, ...]) -> None:
    assert await good("proposal", "list", *state) == "nothing is proposed\n"
    assert "There is no proposal" in await good("proposal", "show", ident, *state, status=1)
    log = json.loads(await good("audit", "list", "--json", "--action", "proposal", *state))
    assert [(one["actor"], one["action"], one["target"]) for one in log] == [
        ("helper", "proposal.make", f"proposal/{ident}"),
        (by, "proposal.apply", f"proposal/{ident}"),
    ]


async def _now(status: Any, wanted: int) -> bool:
    return bool(await status() == wanted)


async def test_who_proposes_applies_with_none_of_her_tokens(tmp_path: Path, upstream: int) -> None:
    async with watched(tmp_path, upstream) as (admin, ann):
        async with agent(admin, ann) as asking:
            inside = {"kind": "Api", "name": "steal", "paths": ["/steal"], "upstream": "http://127.0.0.1:9180"}
            assert (await asking.refused("propose_change", put=[inside], message=WHY))["code"] == "reaches-inside"
            ident = await _propose(asking, GOLD)
        for role in ("admin", "editor"):
            _is(await _apply(admin, await admin.token(ann, "ann", role), ident), 403, "second-person-needed")
        for role in ("viewer", "proposer", "approver"):
            token = await admin.token(ann, role, role)
            _is(await _apply(admin, token, ident), 403, "role-too-low")
            _is(await admin.call("DELETE", f"{AT}/{ident}", token), 403, "role-too-low")
        ed = await admin.token(ann, "ed", "editor")
        whole = await admin.call("GET", f"{AT}/{ident}", ed)
        assert whole.headers["etag"] == whole.json()["etag"]
        other = {"kind": "IpAccess", "name": "office", "target": {"api": "bills"}, "deny": ["192.0.2.7"]}
        assert (await admin.call("PUT", "/v1/resources/IpAccess/office", ann, json=other)).status_code == 200
        _is(await _apply(admin, ed, ident, **{"if-match": whole.headers["etag"]}), 412, "not-what-you-saw")
        fresh = (await admin.call("GET", f"{AT}/{ident}", ed)).headers["etag"]
        kept = await _apply(admin, ed, ident, **{"if-match": fresh})
        assert (kept.status_code, kept.json()["author"]) == (200, "ed"), kept.text
        documents = (await admin.call("GET", f"/v1/revisions/{kept.json()['number']}", ed)).json()["documents"]
        assert {one["name"] for one in documents} >= {"office", "gold-only"}
        _is(await _apply(admin, ed, ident), 404, "proposal-missing")


async def test_what_has_changed_since_isnt_written_over(tmp_path: Path, upstream: int) -> None:
    async with watched(tmp_path, upstream) as (admin, ann):
        narrow = {"kind": "Authorize", "name": "refunds", "target": {"api": "orders", "paths": ["/orders/refunds"]}}
        async with agent(admin, await admin.token(ann, "helper", "proposer")) as asking:
            edit = await _propose(asking, {**narrow, "allow": 'principal.plan == "silver"'})
            gone = await _propose(asking, delete=["Authorize/refunds"])
            new = await _propose(asking, GOLD)
            for ident, document in ((edit, {**narrow, "allow": 'principal.plan == "bronze"'}), (new, GOLD)):
                name = document["name"]
                assert (await admin.call("PUT", f"/v1/resources/Authorize/{name}", ann, json=document)).status_code == 200
                _is(await _apply(admin, ann, ident), 409, "proposal-stale")
                assert (await asking.call("read_proposal", id=ident))["stale"] == [f"Authorize/{name}"]
        _is(await _apply(admin, ann, gone), 409, "proposal-stale")
        assert (await admin.call("DELETE", f"{AT}/{gone}", ann)).status_code == 200
        _is(await admin.call("GET", f"{AT}/{gone}", ann), 404, "proposal-missing")
        ed = await admin.token(ann, "helper", "proposer")
        assert (await admin.call("DELETE", f"{AT}/{edit}", ed)).status_code == 200  # its author may


async def test_a_team_sees_its_own_proposals_and_none_reaches_beyond_its_author(tmp_path: Path, upstream: int) -> None:
    async with watched(tmp_path, upstream) as (admin, ann):
        bob = await admin.token(ann, "bob", "proposer", team="orders")
        async with agent(admin, bob) as asking:
            ident = await _propose(asking, GOLD)
            for document, code in (
                (
                    {"kind": "Api", "name": "steal", "team": "orders", "paths": ["/orders/s"], "upstream": "http://169.254.169.254"},
                    "reaches-inside",
                ),
                ({"kind": "Gateway", "name": "edge"}, "owners-own"),
            ):
                refused = await asking.refused("propose_change", put=[document], message=WHY)
                assert refused["code"] in {code, "not-your-teams", "invalid"}, refused
        other = await admin.token(ann, "eve", "editor", team="billing")
        assert (await admin.call("GET", AT, other)).json() == []
        for method, path in (("GET", ident), ("GET", f"{ident}/diff"), ("DELETE", ident)):
            _is(await admin.call(method, f"{AT}/{path}", other), 404, "proposal-missing")
        _is(await _apply(admin, other, ident), 404, "proposal-missing")
        async with agent(admin, other) as asking:
            assert (await asking.call("list_proposals"))["proposals"] == []
            assert (await asking.refused("read_proposal", id=ident))["code"] == "proposal-missing"
        # The API becomes another team's meanwhile: what bob proposed isn't his any more, whoever applies it.
        moved = {
            "put": [{"kind": "Api", "name": "orders", "team": "billing", "paths": ["/bills/o"], "upstream": f"http://127.0.0.1:{upstream}"}]
        }
        moved["put"] += [{"kind": "Authorize", "name": "hidden-floor", "target": {"api": "bills"}, "floor": True, "allow": "true"}]
        moved |= {"delete": ["Authorize/refunds"]}  # type: ignore[dict-item]
        answer = await admin.call("POST", "/v1/changes", ann, json=moved)
        assert answer.status_code == 200, answer.text
        _is(await _apply(admin, ann, ident), 403, "not-your-teams")
        hers = await admin.token(ann, "tim", "editor", team="orders")
        assert [one["id"] for one in (await admin.call("GET", AT, hers)).json()] == [ident]
        assert (await admin.call("DELETE", f"{AT}/{ident}", hers)).status_code == 200


async def test_proposals_are_few(tmp_path: Path, upstream: int) -> None:
    async with watched(tmp_path, upstream) as (admin, ann):
        async with agent(admin, await admin.token(ann, "helper", "proposer")) as asking:
            for number in range(20):
                await _propose(asking, {**GOLD, "name": f"gold-{number}"})
            assert (await asking.refused("propose_change", put=[GOLD], message=WHY))["code"] == "agents-too-often"
        large = {**GOLD, "description": "x" * 1000}
        async with agent(admin, await admin.token(ann, "other", "proposer")) as asking:
            many = [
                {**large, "name": f"gold-{number}", "target": {"api": "orders", "paths": [f"/orders/{number}"]}} for number in range(100)
            ]
            ident = await _propose(asking, *many)
            hidden = await asking.refused("propose_change", put=[GOLD], message="fine\u202egnihton")
            assert hidden["code"] == "message-unprintable"
            assert len((await asking.call("read_proposal", id=ident))["put"]["untrusted"]) == 100


GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "agents.md"


def _unlike(text: str) -> str:
    """What is printed, without names and moments that differ from run to run."""
    text = re.sub(r"\bprp_[0-9a-f]{12}\b", "PROPOSAL", text)
    text = re.sub(r"\b[0-9a-f]{16}\b", "REVISION", text)
    text = re.sub(r"local:\w+", "local:ann", text)
    return re.sub(r"\d{4}-\d\d-\d\d", "DAY", text).strip()


async def test_the_agent_of_the_guide_proposes_and_a_person_applies(tmp_path: Path, upstream: int) -> None:
    text = GUIDE.read_text()
    [program] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    [console] = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    async with watched(tmp_path, upstream) as (admin, ann):
        file = tmp_path / "agent.py"
        file.write_text(program.replace("http://127.0.0.1:9181", admin.url))
        env = {**os.environ, "BARTIZAN_TOKEN": await admin.token(ann, "helper", "proposer")}
        ran = await asyncio.to_thread(
            subprocess.run, [sys.executable, file], capture_output=True, text=True, timeout=60, check=False, env=env
        )
        assert ran.returncode == 0, ran.stderr
        *tools, look = ran.stdout.splitlines()
        assert len(tools) == 12 and all(f"`{name}`" in text for name in tools)
        ident = look.split()[-1]
        newest = str((await admin.gw.status())["revision"])
        for step in re.split(r"^(?=\$ )", console, flags=re.MULTILINE)[1:]:
            command, shown = re.fullmatch(r"\$ bartizan (.*?)\n(.*)", step, re.DOTALL).groups()  # type: ignore[union-attr]
            words = [newest if re.fullmatch(r"[0-9a-f]{16}", one) else ident if one.startswith("prp_") else one for one in command.split()]
            ran = await bartizan(*words, "--state", admin.gw.state)
            assert _unlike(ran.stdout + ran.stderr) == _unlike(shown), command
