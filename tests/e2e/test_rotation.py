"""Keys of keys on a real gateway: rotated and rewrapped while it serves and keys are made and revoked; Vault that is down at the start."""

import asyncio
import base64
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bartizan.identity.keys import KeyStore
from bartizan.secrets.keyring import Keyring, load_or_create
from bartizan.secrets.places import sealed_with
from tests.e2e.gateway import Gateway, free_port, gateway
from tests.e2e.gateway import upstream as serving
from tests.e2e.test_secrets import bartizan
from tests.transit import transit

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
blocking: {attempts: 100000}
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Authenticate
name: keys
any: [api_key]
---
kind: Consumer
name: acme
"""


@pytest.fixture
def files() -> Iterator[dict[str, str]]:
    with serving() as port:
        yield {"gateway.yaml": FILES.replace("UPSTREAM", str(port))}


async def asked(gw: Gateway, key: str) -> int:
    return (await gw.get("/orders/1", headers={"x-api-key": key})).status_code


async def until(gw: Gateway, key: str, status: int) -> None:
    deadline = time.monotonic() + 5
    while (now := await asked(gw, key)) != status:
        assert time.monotonic() < deadline, f"{now}, not {status}\n{gw.log()}"
        await asyncio.sleep(0.02)


async def keys(gw: Gateway, *arguments: str) -> Any:
    status, out, err = await bartizan("secret", *arguments, "--state", str(gw.state), "--json")
    assert status == 0, err
    return json.loads(out)


def _write(state: Path, name: str, stop: Any, told: Any) -> None:
    """Another process that makes and revokes keys, with the state open all the while."""
    store = KeyStore(state / "keys.journal", load_or_create(state / "control.key"))
    made, gone, count = [], [], 0
    while not stop.is_set():
        count += 1
        one = store.new("acme", name=name)
        made.append((one.id, one.key.reveal()))
        if count % 3 == 0:
            store.revoke(one.id)
            gone.append(made.pop())
        time.sleep(0.03)
    told.put((made, gone))


@contextmanager
def writers(state: Path) -> Iterator[Any]:
    """Two such processes; afterwards `told` holds what each has made and revoked."""
    context = multiprocessing.get_context("spawn")
    stop, told = context.Event(), context.Queue()
    them = [context.Process(target=_write, args=(state, f"w{number}", stop, told)) for number in range(2)]
    for one in them:
        one.start()
    made: list[tuple[str, str]] = []
    gone: list[tuple[str, str]] = []
    try:
        yield made, gone
    finally:
        stop.set()
        for _ in them:
            more, ended = told.get(timeout=20)
            made += more
            gone += ended
        for one in them:
            one.join(10)


async def _asking(gw: Gateway, key: str, stop: threading.Event) -> int:
    count = 0
    while not stop.is_set():
        assert await asked(gw, key) == 200, gw.log()
        count += 1
        await asyncio.sleep(0.01)
    return count


async def test_keys_are_rotated_while_keys_are_made_and_revoked_and_nothing_is_lost(tmp_path: Path, files: dict[str, str]) -> None:
    async with gateway(tmp_path, files) as gw:
        _, key = gw.new_key("acme")
        await until(gw, key, 200)
        stop = threading.Event()
        asking = asyncio.create_task(_asking(gw, key, stop))
        retired: set[str] = set()
        with writers(gw.state) as (made, gone):
            for _ in range(3):
                for one in await keys(gw, "rotate"):
                    retired |= set(one["retired"])
        stop.set()
        assert await asking > 50
        assert len(made) > 50
        assert len(gone) > 20
        store = KeyStore(gw.state / "keys.journal", load_or_create(gw.state / "control.key"))
        assert {(one.id, one.key.reveal()) for one in store.records()} >= set(made)
        assert len(store.records()) == len(made) + 1
        assert {one.id for one in store.revoked()} == {ident for ident, _ in gone}
        store.close()
        await until(gw, made[-1][1], 200)
        for _, text in made[:: max(1, len(made) // 40)]:
            assert await asked(gw, text) == 200
        for _, text in gone[:: max(1, len(gone) // 40)]:
            await until(gw, text, 401)
        assert len(retired) == 6
        for name in ("control.key", "node.key"):
            assert sealed_with(gw.state / name) == {Keyring(gw.state / name).read().keys[0].id}
        assert "failed and is started again" not in gw.log()
        await _restarts(gw, key, gone[-1][1])


async def _restarts(gw: Gateway, key: str, gone: str) -> None:
    """Each process takes up what was sealed anew."""
    control = gw.pid("bartizan.app")
    os.kill(control, signal.SIGSTOP)
    for which in ("bartizan.node", "envoy"):
        os.kill(gw.pid(which), signal.SIGKILL)
    deadline = time.monotonic() + 20
    while True:
        try:
            if await asked(gw, key) == 200:
                break
        except OSError:
            pass
        except Exception as error:  # noqa: BLE001 - whatever the client makes of a port that is closed
            assert "onnect" in repr(error) or "Read" in repr(error) or "Remote" in repr(error), error
        assert time.monotonic() < deadline, gw.log()
        await asyncio.sleep(0.05)
    assert await asked(gw, gone) == 401
    os.kill(control, signal.SIGKILL)
    os.kill(control, signal.SIGCONT)
    await asyncio.sleep(0.5)
    _, another = gw.new_key("acme")
    deadline = time.monotonic() + 15
    while await asked(gw, another) != 200:
        assert time.monotonic() < deadline, gw.log()
        await asyncio.sleep(0.05)


async def test_a_gateway_begins_with_vault_serves_without_it_and_waits_for_it_at_the_start(
    tmp_path: Path, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("a-good-token")
    port = free_port()
    with transit(port=port) as vault:
        arguments = ("--kek", vault.address, "--kek-token-file", str(tmp_path / "token"))
        async with gateway(tmp_path, files, arguments=arguments) as gw:
            assert not list(gw.state.glob("*.key.next")) + [name for name in ("control.key", "node.key") if (gw.state / name).exists()]
            _, key = gw.new_key("acme")
            await until(gw, key, 200)
            vault.status = 503
            assert await asked(gw, key) == 200
            os.kill(gw.pid("bartizan.node"), signal.SIGKILL)
            deadline = time.monotonic() + 10
            while "Vault is sealed" not in gw.log():
                assert time.monotonic() < deadline, gw.log()
                await asyncio.sleep(0.05)
            assert await asked(gw, key) == 200
            status, _, err = await bartizan("key", "list", "--state", str(gw.state))
            assert status == 1
            assert "Vault is sealed" in err
            vault.status = 0
            await gw.until(lambda now: all(node["connected"] for node in now["nodes"]), 20)
    async with gateway(tmp_path, files, wait=False) as gw:
        deadline = time.monotonic() + 20
        while f"Vault's key http://127.0.0.1:{port}/v1/transit/keys/bartizan can't be asked: Connection refused" not in gw.log():
            assert time.monotonic() < deadline, gw.log()
            await asyncio.sleep(0.05)
        assert "it is asked again in 1 s" in gw.log()
        assert gw.process.returncode is None
        with transit(port=port) as again:
            again.keys = vault.keys
            deadline = time.monotonic() + 30
            while True:
                try:
                    if await asked(gw, key) == 200:
                        break
                except Exception as error:  # noqa: BLE001 - as above
                    assert "onnect" in repr(error), error
                assert time.monotonic() < deadline, gw.log()
                await asyncio.sleep(0.1)


async def test_a_serving_gateway_is_rewrapped_and_what_starts_again_finds_the_key(tmp_path: Path, files: dict[str, str]) -> None:
    (tmp_path / "token").write_text("a-good-token")
    with transit() as vault:
        async with gateway(tmp_path, files) as gw:
            _, key = gw.new_key("acme")
            await until(gw, key, 200)
            was = {ring["keyring"]: ring["keys"] for ring in await keys(gw, "keys")}
            token = ("--kek-token-file", str(tmp_path / "token"))
            told = await keys(gw, "rewrap", vault.address, *token)
            assert [one["wrapped_by"] for one in told] == [f"Vault's key {vault.address}"] * 2
            assert {ring["keyring"]: ring["keys"] for ring in await keys(gw, "keys")} == was
            assert not (gw.state / "control.key").exists()
            vault.asked.clear()
            await keys(gw, "rotate")
            _, another = gw.new_key("acme")
            await until(gw, another, 200)
            status, out, err = await bartizan("audit", "list", "--state", str(gw.state), "--json")
            assert status == 0, err
            assert "secret.rotate" in out
            assert "secret.rewrap" in out
            os.kill(gw.pid("bartizan.app"), signal.SIGKILL)
            await asyncio.sleep(0.3)
            await gw.eventually(lambda: _answers(gw), 20)
            ident, third = gw.new_key("acme")
            await until(gw, third, 200)
            gw.revoke(ident)
            await until(gw, third, 401)
        status, _, err = await bartizan("up", "-f", str(gw.files), "--state", str(gw.state), "--kek", "file")
        assert status == 1
        assert "bartizan secret rewrap file" in err


async def _answers(gw: Gateway) -> bool:
    try:
        return bool((await gw.status())["nodes"][0]["acknowledged"])
    except Exception:  # noqa: BLE001 - it isn't there yet
        return False


async def test_a_variable_opens_the_state_and_envoy_never_sees_it(
    tmp_path: Path, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = base64.b64encode(os.urandom(32)).decode()
    monkeypatch.setenv("BARTIZAN_KEY", text)
    monkeypatch.setenv("PARTNER_PASSWORD", "hidden-in-a-variable")
    async with gateway(tmp_path, files, arguments=("--kek", "env:BARTIZAN_KEY")) as gw:
        _, key = gw.new_key("acme")
        await until(gw, key, 200)
        seen = Path(f"/proc/{gw.pid('envoy')}/environ").read_bytes()
        assert text.encode() not in seen
        assert b"hidden-in-a-variable" not in seen
        assert b"PATH=" in seen
        os.kill(gw.pid("bartizan.app"), signal.SIGKILL)
        await asyncio.sleep(0.3)
        await gw.eventually(lambda: _answers(gw), 20)
        assert not (gw.state / "control.key").exists()
    for wrong, told in (("", "isn't set"), (base64.b64encode(os.urandom(32)).decode(), "isn't the one of this state")):
        monkeypatch.setenv("BARTIZAN_KEY", wrong)
        async with gateway(tmp_path, files, wait=False) as gw:
            assert await asyncio.wait_for(gw.process.wait(), 30) == 1
            assert told in gw.log()
            assert "BARTIZAN_KEY" in gw.log()
            assert not wrong or wrong not in gw.log()


async def test_a_wrong_key_file_is_told_at_the_start_and_nothing_is_made(tmp_path: Path, files: dict[str, str]) -> None:
    async with gateway(tmp_path, files) as gw:
        gw.new_key("acme")
    for name in ("control.key", "node.key"):
        path = gw.state / name
        right, kept = path.read_bytes(), {one.name: one.read_bytes() for one in gw.state.glob("*.keyring")}
        for content in (None, os.urandom(32)):
            path.unlink()
            if content is not None:
                path.write_bytes(content)
                path.chmod(0o600)
            async with gateway(tmp_path, files, wait=False) as again:
                assert await asyncio.wait_for(again.process.wait(), 30) == 1, again.log()
                assert str(path) in again.log()
                assert "isn't there" in again.log() if content is None else "isn't the one of this state" in again.log()
                assert "Traceback" not in again.log()
            if content is None:
                assert not path.exists()
                path.write_bytes(b"")
            assert {one.name: one.read_bytes() for one in gw.state.glob("*.keyring")} == kept
        path.write_bytes(right)
        path.chmod(0o600)
    async with gateway(tmp_path, files) as gw:
        assert (await gw.status())["nodes"]
