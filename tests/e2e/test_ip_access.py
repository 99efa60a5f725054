"""IpAccess, end to end: who gets through by address, whatever headers claim, and with 50,000 networks."""

import ipaddress
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from bartizan.telemetry.decision import Verdict, decision_of
from tests.e2e.gateway import Gateway, free_port, gateway, upstream

FILES = """
kind: Gateway
name: edge
listeners:
  - {name: web, address: "127.0.0.1:{port}"}
  - {name: proxied, address: "127.0.0.1:PROXIED", trusted_proxies: [127.0.0.1, 10.0.0.0/8]}
  - {name: six, address: "[::1]:SIX"}
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Api
name: other
paths: [/other]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Public
name: all
reason: only addresses are looked at here
"""

POLICIES = """
kind: IpAccess
name: short
target: {paths: [/orders/short]}
allow: [192.0.2.0/24, "2001:db8::/32", "::1"]
deny: [192.0.2.66, "2001:db8:bad::/48"]
---
kind: IpAccess
name: denied
target: {paths: [/orders/denied]}
deny: [192.0.2.0/24, "::/0"]
---
kind: IpAccess
name: long
target: {paths: [/orders/long, /other]}
deny: {file: many.txt}
---
kind: IpAccess
name: long-allowed
target: {paths: [/orders/members]}
allow: {file: many.txt}
---
kind: IpAccess
name: shadowed
target: {paths: [/orders/shadow]}
deny: [192.0.2.0/24]
mode: shadow
"""

pytestmark = pytest.mark.asyncio(loop_scope="module")


def _many(count: int = 50_000) -> list[str]:
    random.seed(7)
    found = {f"{random.randrange(20, 99)}.{random.randrange(256)}.{random.randrange(256)}.0/24" for _ in range(count * 2)}
    ordered = sorted(found)[: count - 1]
    return [*ordered, "2001:db8:1::/48"]


MANY = _many()


class Ports:
    proxied = 0
    six = 0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gw(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("ip")
    Ports.proxied, Ports.six = free_port(), free_port()
    with upstream() as port:
        (folder / "files").mkdir()
        (folder / "files" / "many.txt").write_text("# many\n" + "\n".join(MANY) + "\n")
        text = FILES.replace("UPSTREAM", str(port)).replace("PROXIED", str(Ports.proxied)).replace("SIX", str(Ports.six))
        async with gateway(folder, {"gateway.yaml": text, "policies.yaml": POLICIES}) as made:
            yield made


async def _from(gw: Gateway, path: str, *forwarded: str) -> int:
    """The status that a caller gets whose proxy says this."""
    headers = [("x-forwarded-for", one) for one in forwarded]
    answer = await gw.client.get(f"http://127.0.0.1:{Ports.proxied}{path}", headers=headers)
    assert answer.status_code in {200, 403}
    if answer.status_code == 403:
        assert answer.json()["type"] == "urn:bartizan:problem:forbidden"
    return answer.status_code


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("192.0.2.1", 200),
        ("::ffff:192.0.2.1", 200),
        ("192.0.2.66", 403),
        ("::ffff:192.0.2.66", 403),
        ("::ffff:c000:242", 403),
        ("192.0.3.1", 403),
        ("2001:db8::1", 200),
        ("2001:db8:bad::1", 403),
        ("2001:db9::1", 403),
        ("::192.0.2.1", 403),
    ],
)
async def test_a_short_list(gw: Gateway, source: str, status: int) -> None:
    assert await _from(gw, "/orders/short", source) == status


@pytest.mark.parametrize(
    ("source", "status"),
    [("192.0.2.1", 403), ("::ffff:192.0.2.1", 403), ("198.51.100.1", 200), ("::ffff:198.51.100.1", 200), ("2001:db8::1", 403)],
)
async def test_without_allow_all_but_the_denied_get_through(gw: Gateway, source: str, status: int) -> None:
    assert await _from(gw, "/orders/denied", source) == status


async def test_fifty_thousand_networks_are_held_once_and_decide_right(gw: Gateway) -> None:
    random.seed(3)
    networks = [ipaddress.ip_network(one) for one in MANY]
    known = set(networks)
    for network in random.sample(networks, 40):
        inside = str(network.network_address + random.randrange(256))
        mapped = f"::ffff:{inside}" if network.version == 4 else inside
        for source in (inside, mapped):
            assert await _from(gw, "/orders/long", source) == 403, source
            assert await _from(gw, "/other", source) == 403, source
            assert await _from(gw, "/orders/members", source) == 200, source
    for _ in range(40):
        outside = ipaddress.ip_address(random.randrange(20 << 24, 99 << 24))
        status = 403 if ipaddress.ip_network(f"{outside}/24", strict=False) in known else 200
        assert await _from(gw, "/orders/long", str(outside)) == status, outside
        assert await _from(gw, "/orders/members", str(outside)) == 603 - status, outside


async def test_a_stranger_cannot_claim_an_address(gw: Gateway) -> None:
    """On a listener without trusted proxies the address is the connection's, whatever is sent."""
    lies = [
        {"x-forwarded-for": "192.0.2.1"},
        {"x-forwarded-for": "192.0.2.1, 127.0.0.1"},
        {"forwarded": "for=192.0.2.1"},
        {"x-real-ip": "192.0.2.1"},
        {"x-envoy-external-address": "192.0.2.1"},
        {"x-envoy-internal": "true"},
        {"x-bartizan-source": "192.0.2.1"},
        {"true-client-ip": "192.0.2.1"},
        {"cf-connecting-ip": "192.0.2.1"},
    ]
    for lie in lies:
        answer = await gw.get("/orders/short", headers=lie)
        assert answer.status_code == 403, lie
        record = await gw.record(answer)
        assert record["source"] == "127.0.0.1"
        assert record["details"].endswith("[IpAccess/short]")
        # Nor does a lie get a denied caller through.
        assert (await gw.get("/orders/long", headers={"x-forwarded-for": "20.0.0.1"})).status_code == 200


async def test_of_what_a_proxy_forwards_the_last_untrusted_address_counts(gw: Gateway) -> None:
    assert await _from(gw, "/orders/short", "192.0.2.66, 192.0.2.1") == 200  # what the caller wrote itself stands to the left
    assert await _from(gw, "/orders/short", "192.0.2.1, 192.0.2.66") == 403
    assert await _from(gw, "/orders/short", "192.0.2.1, 10.1.2.3") == 200  # another of our proxies
    assert await _from(gw, "/orders/short", "192.0.2.66", "192.0.2.1, 10.9.9.9") == 200
    assert await _from(gw, "/orders/short", "192.0.2.1", "192.0.2.66") == 403
    assert await _from(gw, "/orders/short", "192.0.2.1, nonsense") == 403
    assert await _from(gw, "/orders/short", "192.0.2.1, 203.0.113.9, 10.1.2.3") == 403
    assert await _from(gw, "/orders/short") == 403  # the proxy itself


async def test_the_upstream_is_not_told_lies(gw: Gateway) -> None:
    lies = {"x-envoy-external-address": "192.0.2.1", "x-bartizan-source": "192.0.2.1", "x-envoy-original-path": "/x"}
    for url in (gw.url, f"http://127.0.0.1:{Ports.proxied}"):
        told = (await gw.client.get(f"{url}/orders/long", headers=lies)).json()
        assert not [name for name, _ in told["headers"] if name.startswith(("x-envoy", "x-bartizan"))]


async def test_ipv6_callers(gw: Gateway) -> None:
    assert (await gw.client.get(f"http://[::1]:{Ports.six}/orders/short")).status_code == 200
    assert (await gw.client.get(f"http://[::1]:{Ports.six}/orders/denied")).status_code == 403


async def test_in_shadow_the_verdict_is_only_recorded(gw: Gateway) -> None:
    answer = await gw.client.get(f"http://127.0.0.1:{Ports.proxied}/orders/shadow", headers={"x-forwarded-for": "192.0.2.1"})
    assert answer.status_code == 200
    record = await gw.record(answer)
    assert record["shadows"]["IpAccess/shadowed.shadow_engine_result"] == "denied"
    assert "IpAccess/shadowed" not in record["policies"].split()
    assert Verdict("IpAccess/shadowed", "denied", True) in decision_of(record).verdicts


async def test_an_edited_file_is_enforced(gw: Gateway) -> None:
    path = gw.files / "many.txt"
    before = path.read_text()
    assert await _from(gw, "/orders/long", "198.51.100.7") == 200
    await gw.edit("many.txt", before + "198.51.100.0/24\n")
    assert await _from(gw, "/orders/long", "198.51.100.7") == 403
    told = await gw.edit("many.txt", before + "198.51.100.0/33\n", enforced=False)
    assert told["refused"][0]["code"] == "ip-list-line"
    assert await _from(gw, "/orders/long", "198.51.100.7") == 403
    await gw.edit("many.txt", before)
    assert await _from(gw, "/orders/long", "198.51.100.7") == 200
