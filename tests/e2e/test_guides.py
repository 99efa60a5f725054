"""The guides are true: each request gets the answer that the page says, and each command prints what the page shows."""

import asyncio
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.gateway import upstream as serving
from tests.e2e.test_admin import Admin, administered
from tests.e2e.test_remote import bartizan
from tests.e2e.test_rollouts import REST

GUIDES = Path(__file__).parents[2] / "docs" / "guide"


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
    assert len(lines) == 17
    async with administered(tmp_path) as admin:
        known = {"FIRST": admin.first, "ANN": ""}
        for line, status in lines:
            answer = await asyncio.to_thread(asked, line.replace("http://127.0.0.1:9181", admin.url), known)
            assert answer.status_code == int(status), (line, answer.text)
            if "token" in (told := answer.json()):
                known["ANN"] = told["token"]


@pytest.fixture
def upstream() -> Iterator[int]:
    with serving() as port:
        yield port


def plain(text: str) -> str:
    """What is printed, without what differs from run to run."""
    text = re.sub(r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b", "ID", text)
    text = re.sub(r"\b[0-9a-f]{16}\b", "REVISION", text)
    text = re.sub(r"brk_[0-9a-f]+", "BLOCK", text)
    return re.sub(r"[0-9][0-9,.]*", "N", text).strip()


async def test_the_first_safe_policy_change_is_as_the_page_shows_it(tmp_path: Path, upstream: int) -> None:
    text = (GUIDES / "rollouts.md").read_text()
    yaml = re.findall(r"```yaml(?: fragment)?\n(.*?)```", text, re.DOTALL)
    owner, cases, wrong, right = yaml
    shown_all = "".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL))
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
