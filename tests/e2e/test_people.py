"""People log in to the admin API with a password and a second factor: by the command line, as they would, and past it."""

import asyncio
import base64
import json
import os
import stat
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from tests.e2e.test_admin import Admin, administered

PASSWORD = "correct horse battery"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def admin(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Admin]:
    async with administered(tmp_path_factory.mktemp("people")) as one:
        one.root = await one.token(one.first, "root", "admin")  # type: ignore[attr-defined]
        yield one


def root(admin: Admin) -> str:
    return str(admin.root)  # type: ignore[attr-defined]


def code(secret: str, steps: int = 0) -> str:
    return TOTP(base64.b32decode(secret), 6, SHA1(), 30).generate(int(time.time()) + 30 * steps).decode()  # noqa: S303 - what apps can do


async def post(admin: Admin, path: str, **body: Any) -> Any:
    """The answer to somebody who has no token."""
    return await admin.client.post(path, json=body)


async def enrolled(admin: Admin, name: str, role: str = "editor") -> tuple[str, dict[str, Any]]:
    """The secret of somebody's second factor, and what they were told. Its code of now is used; the next one isn't."""
    made = await admin.call("POST", "/v1/people", root(admin), json={"name": name, "role": role})
    who = {"name": name, "invitation": made.json()["invitation"]}
    secret = (await post(admin, "/v1/login/factor", **who)).json()["secret"]
    told = await post(admin, "/v1/login/enrolment", **who, password=PASSWORD, code=code(secret))
    assert told.status_code == 200, told.text
    return secret, {**told.json()["session"], "recovery_codes": told.json()["recovery_codes"]}


async def bartizan(home: Path, *arguments: str, lines: str = "") -> tuple[int, str]:
    """What the command says, with these lines typed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bartizan.cli.main", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "XDG_CONFIG_HOME": str(home), "NO_COLOR": "1", "BARTIZAN_TOKEN": ""},
    )
    out, _ = await asyncio.wait_for(process.communicate(lines.encode()), 120)
    return process.returncode or 0, out.decode()


async def test_somebody_is_invited_enrols_works_and_logs_out(admin: Admin, tmp_path: Path) -> None:
    status, invitation = await bartizan(tmp_path, "people", "invite", "ann", "--role", "viewer", "--state", str(admin.gw.state), "--json")
    assert status == 0
    text = json.loads(invitation)["invitation"]
    where = ("--server", admin.url)
    status, told = await bartizan(tmp_path, "login", "ann", *where, "--invitation", "wrong", lines="x\nx\n1\n")
    assert status != 0 and "Ask an admin for another" in told

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bartizan.cli.main", "login", "ann", *where, "--invitation", text),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout and process.stdin
    shown = [(await asyncio.wait_for(process.stdout.readline(), 20)).decode() for _ in range(3)]
    secret = shown[2].split()[1].rstrip(",")
    assert f"secret={secret}" in shown[1] and "otpauth://totp/Bartizan%20edge:ann" in shown[1]
    rest, _ = await process.communicate(f"{PASSWORD}\n{PASSWORD}\n{code(secret)}\n".encode())
    assert process.returncode == 0, rest
    recovery = [line.strip() for line in rest.decode().splitlines() if line.startswith("  ")]
    assert len(recovery) == 10

    kept = tmp_path / "bartizan" / "sessions.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600 and stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert (await bartizan(tmp_path, "status", *where))[0] == 0
    status, told = await bartizan(tmp_path, "block", "--ip", "192.0.2.1", "--for", "1m", "--reason", "x", *where)
    assert status != 0 and "role doesn't allow" in told
    assert "A token is needed" in (await bartizan(tmp_path, "status", "--server", admin.url.replace("127.0.0.1", "localhost")))[1]

    assert (await bartizan(tmp_path, "logout", *where)) == (0, "logged out\n")
    assert "A token is needed" in (await bartizan(tmp_path, "status", *where))[1]
    status, told = await bartizan(tmp_path, "login", "ann", *where, lines=f"{PASSWORD}\n{recovery[0]}\n")
    assert status == 0 and "logged in as ann (viewer)" in told
    status, told = await bartizan(tmp_path, "login", "ann", *where, lines=f"{PASSWORD}\n{recovery[0]}\n")
    assert status != 0 and "Name, password or code is wrong" in told


async def test_a_session_is_a_token_that_ends_is_listed_and_can_be_ended(admin: Admin) -> None:
    secret, told = await enrolled(admin, "bob")
    assert (await admin.call("GET", "/v1/status", told["token"])).status_code == 200
    assert 8 * 3600 - 60 < told["expires"] - time.time() <= 8 * 3600
    listed = {one["id"]: one for one in (await admin.call("GET", "/v1/tokens", root(admin))).json()}
    assert listed[told["id"]]["session"] and listed[told["id"]]["name"] == "bob"
    assert (await admin.call("DELETE", f"/v1/tokens/{told['id']}", root(admin))).status_code == 200
    assert (await admin.call("GET", "/v1/status", told["token"])).status_code == 401
    short = await post(admin, "/v1/login", name="bob", password=PASSWORD, code=code(secret, 1), seconds=1)
    assert short.status_code == 200, short.text
    await asyncio.sleep(1.1)
    assert (await admin.call("GET", "/v1/status", short.json()["token"])).status_code == 401
    assert (await admin.call("POST", "/v1/logout", root(admin))).status_code == 403, "a token isn't a session"


@pytest.mark.parametrize("how", ["removed", "invited anew"])
async def test_who_is_removed_or_invited_anew_is_out_at_once(admin: Admin, how: str) -> None:
    name = f"eve-{how.split()[0]}"
    secret, told = await enrolled(admin, name)
    if how == "removed":
        assert (await admin.call("DELETE", f"/v1/people/{name}", root(admin))).status_code == 200
    else:
        assert (await admin.call("POST", "/v1/people", root(admin), json={"name": name, "role": "viewer"})).status_code == 200
    assert (await admin.call("GET", "/v1/status", told["token"])).status_code == 401
    again = await post(admin, "/v1/login", name=name, password=PASSWORD, code=code(secret, 1))
    assert again.status_code == 401


async def test_only_an_admin_invites_and_nobody_is_told_who_there_is(admin: Admin) -> None:
    _, told = await enrolled(admin, "ed", "editor")
    for method, path in (("GET", "/v1/people"), ("POST", "/v1/people"), ("DELETE", "/v1/people/ed")):
        body = {"json": {"name": "x", "role": "admin"}} if method == "POST" else {}
        assert (await admin.call(method, path, told["token"], **body)).status_code == 403
        assert (await admin.client.request(method, path, **body)).status_code == 401
    known = await post(admin, "/v1/login", name="ed", password="wrong horse battery", code="000000")
    unknown = await post(admin, "/v1/login", name="nobody", password="wrong horse battery", code="000000")
    assert known.status_code == unknown.status_code == 401
    assert known.json()["detail"] == unknown.json()["detail"]
    for answer in (known, unknown):
        assert "set-cookie" not in answer.headers and answer.headers["www-authenticate"]


async def test_what_was_done_is_in_the_audit_log_without_a_secret_and_guessing_locks_out(tmp_path: Path) -> None:
    async with administered(tmp_path) as fresh:
        fresh.root = await fresh.token(fresh.first, "root", "admin")  # type: ignore[attr-defined]
        await _noted(fresh)
        await _locked_out(fresh)


async def _noted(admin: Admin) -> None:
    secret, told = await enrolled(admin, "dora")
    events = (await admin.call("GET", "/v1/audit?limit=1000", root(admin))).json()
    text = json.dumps(events)
    for action in ("people.invite", "people.enrol"):
        assert action in text
    for path in (one for one in admin.gw.state.rglob("*") if one.is_file() and not one.is_socket()):
        content = path.read_bytes()
        for hidden in (PASSWORD, secret, told["token"], told["recovery_codes"][0]):
            assert hidden.encode() not in content, path
    assert not any(hidden in text for hidden in (PASSWORD, secret, told["token"], *told["recovery_codes"]))


async def _locked_out(admin: Admin) -> None:
    statuses = [(await post(admin, "/v1/login", name="dora", password=f"wrong horse {i}", code="000000")).status_code for i in range(14)]
    assert set(statuses[:5]) == {401} and statuses[-1] == 429
    refused = json.loads((await bartizan(admin.gw.folder, "audit", "export", "--state", str(admin.gw.state)))[1].splitlines()[-1])
    assert refused["action"] == "operator.refused" and refused["target"] == "POST /v1/login"
    locked = await admin.call("GET", "/v1/status", root(admin))
    assert locked.status_code == 429
