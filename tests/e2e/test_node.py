"""A node, its Envoy and their supervisor, against a control plane that runs in the test."""

import asyncio
import os
import signal
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from bartizan.envoy import packed
from bartizan.node.options import control_socket
from bartizan.xds.control import ControlServer
from bartizan.xds.release import ROUTES, SCOPE
from tests.e2e.node_rig import (
    HTTP,
    ROUTER,
    Rig,
    children,
    cluster,
    endpoints,
    eventually,
    free_port,
    hours,
    listener,
    routes,
    routes_inline,
    running,
    scope,
    scopes,
    tamper,
    warm,
)
from tests.signing import SIGNER


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path / "state")
    await rig.control.start()
    try:
        yield rig
    finally:
        await rig.down()


async def test_boots_and_serves_what_is_published(rig: Rig) -> None:
    await rig.publish(listener(rig.port), routes("one"))
    await rig.up()
    assert await eventually(lambda: rig.serves("one")) < 5
    await eventually(lambda: rig.node().acknowledged)
    assert rig.node().position.revision == "r1"


async def test_a_release_that_comes_to_a_blank_envoy_is_waited_for(rig: Rig) -> None:
    await rig.up(wait=False)
    await eventually(lambda: bool(rig.control.nodes()))
    outcome = await rig.publish(listener(rig.port), routes("one"))
    assert outcome.acknowledged, outcome
    assert await rig.text() == "one"


async def test_an_edit_is_acknowledged_in_milliseconds_among_a_thousand(rig: Rig) -> None:
    names = [f"s{i}" for i in range(1000)]
    await rig.publish(scopes(rig.port), *map(scope, names), *(routes(name, name) for name in names))
    await rig.up()
    await eventually(lambda: rig.node().acknowledged)
    took: list[float] = []
    for i in range(50):
        started = time.perf_counter()
        outcome = await rig.publish(routes(f"edit {i}", "s7"))
        took.append(time.perf_counter() - started)
        assert outcome.acknowledged
        assert await rig.text(**{"x-scope": "s7"}) == f"edit {i}"
    assert await rig.text(**{"x-scope": "s8"}) == "s8"
    print(f"publish to outcome: {statistics.median(took) * 1000:.1f} ms (median), {max(took) * 1000:.1f} ms (max)")
    assert statistics.median(took) < 0.03


async def test_a_refused_release_is_undone_whole(rig: Rig) -> None:
    await rig.publish(listener(rig.port), routes("one"))
    await rig.up()
    await eventually(lambda: rig.serves("one"))
    key = "bz_aVERYSECRETKEYOFACONSUMER"
    twice = packed(
        f"{HTTP}.api_key_auth.v3.ApiKeyAuth", credentials=[{"key": key, "client": c} for c in "ab"], key_sources=[{"header": "x"}]
    )
    bad = listener(rig.port, route_config={"name": "other"}, http_filters=[{"name": "keys", "typed_config": twice}, ROUTER])
    outcome = await rig.publish(routes("two"), bad)
    assert outcome.error and "Duplicated credential key" in outcome.error
    assert key not in outcome.error
    assert rig.node().error == outcome.error
    assert rig.node().position.revision == "r1"
    assert await rig.text() == "one"
    assert key not in rig.said()
    assert key not in (rig.state / "envoy.log").read_text()
    assert (await rig.publish(routes("three"))).acknowledged
    assert await rig.text() == "three"
    assert rig.node().error is None


async def test_a_killed_envoy_is_back_within_a_second(rig: Rig) -> None:
    await rig.publish(listener(rig.port), routes("one"))
    await rig.up()
    await eventually(lambda: rig.serves("one"))
    await rig.publish(routes("two"))
    for _ in range(2):
        killed = rig.pid("envoy.json")
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda killed=killed: not running(killed))
        assert await eventually(lambda: rig.serves("two")) < 1
    await eventually(lambda: rig.node().acknowledged)


async def test_a_killed_node_harms_no_traffic(rig: Rig) -> None:
    await rig.publish(listener(rig.port), routes("one"))
    await rig.up()
    await eventually(lambda: rig.serves("one"))
    envoy, node = rig.pid("envoy.json"), rig.pid("bartizan.node")
    os.kill(node, signal.SIGKILL)
    until = time.monotonic() + 2
    while time.monotonic() < until:
        assert await rig.text() == "one"
    await eventually(lambda: rig.node().acknowledged)
    assert rig.pid("envoy.json") == envoy
    assert rig.pid("bartizan.node") != node
    assert (await rig.publish(routes("two"))).acknowledged
    assert await rig.text() == "two"


async def test_serves_the_last_good_without_a_control_plane(rig: Rig) -> None:
    await rig.publish(listener(rig.port), routes("one"))
    await rig.up()
    await eventually(lambda: rig.serves("one"))
    await rig.publish(routes("two"))
    await eventually(lambda: rig.node().kept)
    await rig.control.stop()
    os.kill(rig.pid("bartizan.node"), signal.SIGKILL)
    os.kill(rig.pid("envoy.json"), signal.SIGKILL)
    assert await eventually(lambda: rig.serves("two")) < 5


async def test_fast_edits_among_thousands_are_kept_at_once(rig: Rig) -> None:
    names = [f"s{i}" for i in range(4000)]
    await rig.publish(scopes(rig.port), *map(scope, names), *(routes(name, name) for name in names))
    await rig.up()
    await eventually(lambda: rig.node().kept and rig.node().acknowledged, 20)
    took: list[float] = []
    for i in range(30):
        assert (await rig.publish(routes(f"edit {i}", "s7"))).acknowledged
        started = time.perf_counter()
        await eventually(lambda: rig.node().kept, 1)
        took.append(time.perf_counter() - started)
    print(f"acknowledged to kept: {statistics.median(took) * 1000:.1f} ms (median), {max(took) * 1000:.1f} ms (max)")
    assert statistics.median(took) < 0.05


async def test_a_refused_release_is_never_on_disk(rig: Rig) -> None:
    await rig.publish(listener(rig.port), routes("one"))
    await rig.up()
    await eventually(lambda: rig.serves("one") if rig.node().kept else False)
    before = (rig.state / "last-good" / "journal").read_bytes()
    bad = listener(rig.port, route_config={"name": "other"}, http_filters=[ROUTER, ROUTER])
    assert (await rig.publish(routes("two"), bad)).error
    await eventually(lambda: rig.node().kept)
    assert (rig.state / "last-good" / "journal").read_bytes() == before


async def test_without_a_state_no_listener_opens(rig: Rig) -> None:
    await rig.control.stop()
    await rig.up(wait=False)
    await eventually(lambda: "nothing to serve yet" in rig.said())
    await eventually(lambda: bool(rig.pid("envoy.json")))
    await asyncio.sleep(1)
    with pytest.raises(httpx.ConnectError):
        await rig.text()


async def test_with_another_key_the_node_says_so_and_doesnt_start(rig: Rig) -> None:
    await rig.publish(listener(rig.port), routes("one"))
    await rig.up()
    await eventually(lambda: rig.serves("one"))
    assert (await rig.publish(routes("two"))).acknowledged
    await eventually(lambda: rig.node().kept)
    assert rig.supervisor
    rig.supervisor.terminate()
    await rig.supervisor.wait()
    right, kept = (rig.state / "node.key").read_bytes(), (rig.state / "last-good" / "journal").read_bytes()
    (rig.state / "node.key").write_bytes(os.urandom(32))
    await rig.up(wait=False)
    assert await asyncio.wait_for(rig.supervisor.wait(), 20) == 1
    assert f"{rig.state / 'node.key'} isn't the one of this state" in rig.said()
    assert (rig.state / "last-good" / "journal").read_bytes() == kept
    (rig.state / "node.key").write_bytes(right)
    await rig.up(wait=False)
    await eventually(lambda: rig.serves("two"))


@pytest.mark.parametrize("damage", ["state", "release", "missing", "swapped"])
async def test_a_tampered_state_is_refused_whole(rig: Rig, damage: str) -> None:
    await rig.publish(listener(rig.port), routes("one"), routes("unused", "other"))
    await rig.up()
    await eventually(lambda: rig.serves("one"))
    for text in ("two", "three"):
        assert (await rig.publish(routes(text))).acknowledged
        await eventually(lambda: rig.node().kept)
    assert rig.supervisor
    rig.supervisor.terminate()
    await rig.supervisor.wait()
    await rig.control.stop()
    tamper(rig.state, damage)
    await rig.up(wait=False)
    await eventually(lambda: "can't be trusted" in rig.said())
    await asyncio.sleep(1.5)
    with pytest.raises(httpx.ConnectError):
        await rig.text()
    rig.control = ControlServer(control_socket(rig.state), SIGNER)
    await rig.control.start()
    await rig.publish(listener(rig.port), routes("again"))
    await eventually(lambda: rig.serves("again"))
    await eventually(lambda: rig.node().acknowledged and rig.node().error is None)


async def test_nothing_outlives_a_killed_supervisor(rig: Rig) -> None:
    await rig.publish(listener(rig.port), routes("one"))
    await rig.up()
    await eventually(lambda: rig.serves("one"))
    assert rig.supervisor
    pids = children(rig.supervisor.pid)
    assert len(pids) == 3  # the node, its Envoy, and its call-out
    rig.supervisor.kill()
    await rig.supervisor.wait()
    await eventually(lambda: not any(map(running, pids)), 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_everything(rig: Rig, number: signal.Signals) -> None:
    await rig.publish(listener(rig.port), routes("one"))
    await rig.up()
    await eventually(lambda: rig.serves("one"))
    assert rig.supervisor
    pids = children(rig.supervisor.pid)
    rig.supervisor.send_signal(number)
    assert await asyncio.wait_for(rig.supervisor.wait(), 5) == 0
    assert not any(map(running, pids))


async def test_an_envoy_that_cannot_start_ends_everything_with_a_sentence(rig: Rig, tmp_path: Path) -> None:
    broken = tmp_path / "envoy"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "x version: 0/1.40.7/Clean/RELEASE/BoringSSL" || exit 3\n')
    broken.chmod(0o755)
    await rig.up("--envoy", str(broken), wait=False)
    assert rig.supervisor
    assert await asyncio.wait_for(rig.supervisor.wait(), 10) == 1
    assert rig.said().splitlines()[-1].startswith("Envoy ended with status 3")
    assert "5 times in a row" in rig.said()


@pytest.mark.parametrize(
    ("script", "sentence"),
    [(None, "No such file"), ("#!/bin/sh\necho 'v version: 0/1.39.2/Clean'", "is Envoy 1.39.2"), ("#!/bin/sh\nexit 1", "isn't an Envoy")],
)
async def test_an_envoy_that_does_not_fit_is_refused_at_once(rig: Rig, tmp_path: Path, script: str | None, sentence: str) -> None:
    envoy = tmp_path / "envoy"
    if script:
        envoy.write_text(script)
        envoy.chmod(0o755)
    await rig.up("--envoy", str(envoy), wait=False)
    assert rig.supervisor
    assert await asyncio.wait_for(rig.supervisor.wait(), 5) == 1
    assert sentence in rig.said()


async def test_a_taken_port_is_told_by_name(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", rig.port)):
        await rig.up(wait=False)
        await eventually(lambda: bool(rig.control.nodes()))
        outcome = await rig.publish(listener(rig.port), routes("one"))
    assert outcome.error and f"cannot bind '127.0.0.1:{rig.port}'" in outcome.error


async def test_a_second_node_on_the_same_state_is_refused(rig: Rig) -> None:
    await rig.publish(listener(rig.port), routes("one"))
    await rig.up()
    second = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bartizan.node", "--state", rig.state, "--control", control_socket(rig.state), "--node-id", "n2"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(second.communicate(), 10)
    assert second.returncode == 78
    assert b"Another node is running" in said


async def test_two_listeners_share_scopes_and_a_new_scope_serves_at_once(rig: Rig) -> None:
    other = free_port()
    await rig.publish(scopes(rig.port), scopes(other, "more"), scope("a"), routes("a", "a"))
    await rig.up()
    await eventually(lambda: rig.node().acknowledged)
    assert (await rig.publish(scope("b"), routes("b", "b"))).acknowledged
    for port in (rig.port, other):
        for name in ("a", "b"):
            assert httpx.get(f"http://127.0.0.1:{port}/", headers={"x-scope": name}).text == name
    await rig.publish(removed=((SCOPE, "a"), (ROUTES, "a")))
    assert httpx.get(f"http://127.0.0.1:{other}/", headers={"x-scope": "a"}).status_code == 404
    assert (await rig.publish(scope("a"), routes("a2", "a"))).acknowledged
    assert await rig.text(**{"x-scope": "a"}) == "a2"


async def test_a_changed_cluster_keeps_its_endpoints(rig: Rig) -> None:
    upstream = free_port()
    echo = listener(upstream, "upstream", route_config=routes_inline("from the upstream"))
    await rig.publish(listener(rig.port), echo, cluster(1), endpoints(upstream), routes("", **{"route": {"cluster": "up"}}))
    await rig.up()
    await eventually(lambda: rig.serves("from the upstream"))
    for seconds in (2, 3):
        outcome = await rig.publish(cluster(seconds))
        assert outcome.acknowledged and outcome.took_s < 1
        assert await eventually(lambda: warm(rig.state), 3) < 2
        assert await rig.text() == "from the upstream"


async def test_envoy_has_time_zones_where_the_machine_has_none(rig: Rig) -> None:
    """The supervisor is started with a TZDIR that leads nowhere, which is what Envoy would read if it weren't given another."""
    await rig.publish(listener(rig.port, http_filters=[hours(), ROUTER], route_config=routes_inline("told")))
    await rig.up()
    await eventually(lambda: rig.serves("told"))
