"""The guides are true: each request gets the answer that the page says, and each command prints what the page shows."""

import asyncio
import re
import shlex
import time
from pathlib import Path

import httpx

from tests.e2e.gateway import TokenIssuer
from tests.e2e.kick_rig import kicked
from tests.e2e.test_admin import Admin, administered
from tests.e2e.test_bisect import line_holds
from tests.e2e.test_remote import bartizan, good
from tests.e2e.test_rollouts import GATEWAY, REST

GUIDES = Path(__file__).parents[2] / "docs" / "guide"
QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"


def asked(line: str, known: dict[str, str]) -> httpx.Response:
    """What a curl command of this form gets."""
    words = iter(shlex.split(re.sub(r"\$([A-Z]+)", lambda found: known[found[1]], line))[1:])
    method, headers, url, body = "GET", {}, "", None
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(words)
        else:
            url = word
    return httpx.request(method, url, headers=headers, content=body, timeout=20)


async def test_each_request_of_the_admin_api_gets_the_answer_that_the_page_says(tmp_path: Path) -> None:
    text = (GUIDES / "admin-api.md").read_text()
    lines = re.findall(r"^    (curl .*?)\s+# (\d+), ", text, re.MULTILINE)
    assert len(lines) == 21
    async with administered(tmp_path) as admin:
        known = {"FIRST": admin.first, "ANN": ""}
        for line, status in lines:
            answer = await asyncio.to_thread(asked, line.replace("http://127.0.0.1:9181", admin.url), known)
            assert answer.status_code == int(status), (line, answer.text)
            if "token" in (told := answer.json()):
                known["ANN"] = told["token"]


def plain(text: str) -> str:
    """What is printed, without what differs from run to run."""
    text = re.sub(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b", "ID", text)
    text = re.sub(r"\b[0-9a-f]{16}\b", "REVISION", text)
    text = re.sub(r"brk_[0-9a-f]+", "BLOCK", text)
    return re.sub(r"[0-9][0-9,.]*", "N", text).strip()


async def test_the_first_safe_policy_change_is_as_the_page_shows_it(tmp_path: Path, upstream: int) -> None:
    text = (GUIDES / "rollouts.md").read_text()
    yaml = re.findall(r"```yaml(?: fragment)?\n(.*?)```", text, re.DOTALL)
    owner, cases, wrong, right = yaml[:4]
    shown_all = "".join(one for one in re.findall(r"```console\n(.*?)```", text, re.DOTALL) if one.startswith(("ann$", "bob$")))
    steps = re.split(r"^(?=(?:ann|bob)\$ )", shown_all, flags=re.MULTILINE)
    walk = [re.fullmatch(r"(ann|bob)\$ bartizan (.*?)\n(.*)", one, re.DOTALL) for one in steps if one]
    assert len(walk) == 15
    files = {"gateway.yaml": owner.replace("127.0.0.1:8080", "127.0.0.1:{port}"), "rest.yaml": REST.replace("UPSTREAM", str(upstream))}
    async with administered(tmp_path, files) as admin:
        copy = await _prepared(admin, tmp_path, cases)
        (copy / "refunds.yaml").write_text(wrong)
        ann = await admin.token(admin.first, "ann", "admin")
        tokens = {"ann": ann, "bob": await admin.token(ann, "bob", "approver")}
        for one in walk:
            assert one
            who, command, shown = one.groups()
            if command.startswith("diff") and (await _status(admin, ann)) == "failed":
                (copy / "refunds.yaml").write_text(right)
            arguments = shlex.split(command.replace("https://gateway.example:9181", admin.url).replace("policies", str(copy)))
            if arguments[0] in {"diff", "replay"}:
                arguments += ["--state", str(admin.gw.state)]
            ran = await bartizan(*arguments, env={"BARTIZAN_TOKEN": tokens[who]})
            assert plain(ran.stdout + ran.stderr) == plain(shown), command
            if arguments[0] == "apply" or arguments[:2] == ["rollout", "approve"]:
                await _until_it_rests(admin, ann, "waiting" if who == "ann" else "done")


async def _prepared(admin: Admin, tmp_path: Path, cases: str) -> Path:
    """Some traffic, and a copy of the files with tests."""
    keys = [admin.gw.new_key(name)[1] for name in ("acme", "globex")]
    await admin.gw.eventually(lambda: _good(admin, keys[1]))
    for _ in range(11):
        for key in keys:
            await admin.gw.get("/orders/1", headers={"x-api-key": key})
    await admin.gw.record(await admin.gw.get("/orders/1", headers={"x-api-key": keys[0]}))
    admin.keys = keys
    copy = tmp_path / "policies"
    copy.mkdir()
    for path in admin.gw.files.iterdir():
        (copy / path.name).write_text(path.read_text())
    for folder in (copy, admin.gw.files):
        (folder / "refunds.test.yaml").write_text(cases)
    return copy


async def _good(admin: Admin, key: str) -> bool:
    return (await admin.gw.get("/orders/1", headers={"x-api-key": key})).status_code == 200


async def _status(admin: Admin, token: str) -> str:
    answer = await admin.call("GET", "/v1/rollout", token)
    return str(answer.json()["status"])


async def _until_it_rests(admin: Admin, token: str, *statuses: str) -> None:
    """Until the rollout is so, or has failed; with traffic meanwhile, for the shadow stage."""
    for _ in range(200):
        if await _status(admin, token) in {"failed", "done", *statuses} - ({"waiting"} if "done" in statuses else set()):
            return
        for key in admin.keys if "done" not in statuses else ():
            await admin.gw.get("/orders/1", headers={"x-api-key": key})
        await asyncio.sleep(0.1)
    raise AssertionError(await _status(admin, token))


def shown(guide: str, command: str) -> str:
    """What the page shows below this command."""
    text = (GUIDES / guide).read_text()
    found = re.search(rf"^```console\n\$ {re.escape(command)}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert found, (guide, command)
    return found[1]


async def test_the_diff_of_the_quickstart_is_as_the_page_shows_it(tmp_path: Path) -> None:
    issued = tmp_path / ".bartizan" / "quickstart" / "jwks.json"
    issued.parent.mkdir(parents=True)
    issued.write_text(TokenIssuer().jwks())
    sides = [tmp_path / "here" / name for name in ("policies", "candidate")]
    for side in sides:
        side.mkdir(parents=True)
        for name in ("gateway.yaml", "policies.yaml"):
            (side / name).write_text((QUICKSTART / name).read_text())
    edited = (sides[1] / "policies.yaml").read_text()
    for old, new in (
        (
            'principal.department == "finance"',
            """'principal.department in ["finance", "sales"] && now.between("08:00", "18:00", "Europe/Berlin")'""",
        ),
        ("[5/second]", "[10/second]"),
    ):
        assert edited.count(old) == 1
        edited = edited.replace(old, new)
    (sides[1] / "policies.yaml").write_text(edited)
    ran = await bartizan("diff", "--from", sides[0], sides[1])
    assert (ran.returncode, ran.stdout + ran.stderr) == (2, shown("diff.md", "bartizan diff --from policies candidate"))


async def test_bisect_and_the_keys_of_operations_are_as_the_pages_show_them(tmp_path: Path, upstream: int) -> None:
    rest = REST.replace("UPSTREAM", str(upstream)).replace("plan: gold", "plan: bronze")
    async with administered(tmp_path, {"gateway.yaml": GATEWAY.replace("RELEASES", "{}"), "rest.yaml": rest}) as admin:
        ada, state = await admin.token(admin.first, "ada", "admin"), ("--state", admin.gw.state)
        _, key = admin.gw.new_key("acme")
        await admin.gw.eventually(lambda: _good(admin, key))
        plans = {"target": {"api": "orders"}, "allow": 'principal.plan == "gold"'}
        probing = {"target": {"api": "orders"}, "deny": ["192.0.2.1"]}
        for path, body, why in (
            ("IpAccess/strangers", probing, "a stranger"),
            ("Authorize/plans", plans, "orders for gold alone"),
            ("IpAccess/more", probing, "the same once more"),
        ):
            answer = await admin.call("PUT", f"/v1/resources/{path}", ada, json=body, headers={"x-message": why})
            assert answer.status_code == 200, answer.text
        await line_holds(admin.gw, 4)
        await admin.gw.eventually(lambda: _refused(admin, key))
        refused = await admin.gw.get("/orders/1", headers={"x-api-key": key})
        await admin.gw.record(refused)
        told = await good("bisect", refused.headers["x-request-id"], *state)
        assert _unlike(told) == _unlike(shown("bisect.md", "bartizan bisect 3f1c2a5e-1d1f-4a0e-9c55-6f0d8e1b7a10"))
        block = re.search(r"```sh\n(bartizan key new acme.*?)```", (GUIDES / "operations.md").read_text(), re.DOTALL)
        assert block
        new, listed, revoke = (line.split()[1:] for line in block[1].splitlines())
        await good(*new, *state)
        ident = next(line.split()[0] for line in (await good(*listed, *state)).splitlines() if " ci" in line)
        await good(*(ident if word.startswith("key_") else word for word in revoke), *state)


async def _refused(admin: Admin, key: str) -> bool:
    return (await admin.gw.get("/orders/1", headers={"x-api-key": key})).status_code == 403


def _unlike(text: str) -> str:
    """What is printed, without names and moments that differ from run to run."""
    for pattern, name in (
        (r"\b[0-9a-f]{16}\b", "REVISION"),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:[0-9.]+)?( UTC|Z)?", "MOMENT"),
        (r"\b(localhost|127\.0\.0\.1):\d+", "HOST"),
        (r"\bkey_[a-z0-9]+", "KEY"),
    ):
        text = re.sub(pattern, name, text)
    return text


MORE = """---
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
name: closed
target: {api: orders, paths: [/orders/closed]}
allow: principal.plan == "gold"
---
kind: Authorize
name: unmet
target: {api: orders, paths: [/orders/old]}
allow: principal.plan == "gold"
"""


async def test_lint_is_as_the_page_shows_it(tmp_path: Path, upstream: int) -> None:
    rest = REST.replace("UPSTREAM", str(upstream)).replace(
        "---", "---\nkind: Authorize\nname: plans\ntarget: {api: orders}\nallow: PLANS\n---", 1
    )
    files = {"gateway.yaml": GATEWAY.replace("RELEASES", "{}"), "rest.yaml": rest.replace("PLANS", 'principal.plan in ["gold", "silver"]')}
    async with administered(tmp_path, {**files, "more.yaml": MORE}) as admin:
        _, key = admin.gw.new_key("acme", expires=time.time() + 86_400)
        await admin.gw.eventually(lambda: _good(admin, key))
        for path in ("/orders/refunds", "/orders/closed"):
            answer = await admin.gw.get(path, headers={"x-api-key": key})
        await admin.gw.record(answer)
        told = await good("lint", "-f", admin.gw.files, "--state", admin.gw.state)
    page = shown("lint.md", "bartizan lint -f policies/")
    assert re.sub(r"\d+ recorded", "N recorded", _unlike(told)) == re.sub(r"\d+ recorded", "N recorded", _unlike(page))


async def test_the_status_of_a_fleet_is_as_the_page_shows_it(tmp_path: Path) -> None:
    blocks = re.findall(r"```\n((?:  node|revision).*?)```", (GUIDES / "fleet.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    async with kicked(tmp_path, "{}") as fleet:
        await fleet.put({"target": {"api": "orders"}, "deny": ["192.0.2.1"]})
        await fleet.until(lambda told: len(told["nodes"]) == 2 and told["rollout"] is not None and told["rollout"]["status"] == "done")
        await fleet.all_hold((await fleet.status())["revision"])
        told = _shapes(await fleet.told("status", "--state", fleet.state))
    for line in _shapes("".join(blocks)):
        assert line in told, (line, told)


def _shapes(text: str) -> set[str]:
    """The lines, without what differs from machine to machine: all other machines are alike, whatever waits there."""
    lines = (re.sub(r", [0-9.]+ \w?B wait there", "", line) for line in text.splitlines())
    return {plain(re.sub(r"edge-\d", "edge", _unlike(line))) for line in lines}
