"""Tls, end to end: what is spoken and what isn't, client certificates, redirects, and certificates that change under load."""

import asyncio
import contextlib
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.certificates import Authority, Pair, authority
from tests.e2e.gateway import Gateway, free_port, gateway, upstream

FILES = """
kind: Gateway
name: edge
listeners:
  - {name: web, address: "127.0.0.1:{port}"}
  - {name: any, address: "127.0.0.1:ANY"}
  - {name: newest, address: "127.0.0.1:NEWEST"}
  - {name: clear, address: "127.0.0.1:CLEAR"}
attributes: {plan: string}
blocking: {attempts: 100000}
---
kind: Api
name: orders
paths: [/orders]
upstream: http://127.0.0.1:UPSTREAM
identity_headers: {x-caller: id, x-plan: plan, x-method: method}
---
kind: Consumer
name: acme
attributes: {plan: gold}
credentials: [{certificate: {ca: partners, san: spiffe://corp/acme}}]
---
kind: Consumer
name: globex
attributes: {plan: free}
credentials: [{fingerprint: FINGERPRINT}]
---
kind: Consumer
name: gone
disabled: true
credentials: [{certificate: {ca: partners, san: spiffe://corp/gone}}]
"""

POLICIES = """
kind: Authenticate
name: callers
target: {except: [/orders/open]}
any: [api_key, {mtls: partners}]
---
kind: Public
name: open
target: {paths: [/orders/open]}
reason: here only TLS is looked at
---
kind: Authorize
name: gold
target: {paths: [/orders/gold]}
allow: principal.plan == "gold"
---
kind: Tls
name: web
target: {listener: web}
certificate: web.pem
private_key: {file: web.key}
http: {address: "127.0.0.1:PLAIN"}
hsts: {max_age: 30d, include_subdomains: true}
client_cas: {partners: partners.pem, others: others.pem}
---
kind: Tls
name: any
target: {listener: any}
certificate: web.pem
private_key: {file: web.key}
aes_only: false
http: {address: "127.0.0.1:REFUSING", answer: refuse}
---
kind: Tls
name: newest
target: {listener: newest}
certificate: web.pem
private_key: {file: web.key}
min_version: "1.3"
"""

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROOT, PARTNERS = authority("Web"), authority("Partners")
OTHERS = Authority(
    x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, 'Ünï, "Co" + <x>; #1\\ '),
            x509.NameAttribute(NameOID.COMMON_NAME, "#others=1"),
            x509.NameAttribute(NameOID.EMAIL_ADDRESS, "a@b"),
        ]
    )
)
ACME = PARTNERS.client("spiffe://corp/acme")
GLOBEX = PARTNERS.issue("nameless")
PORTS = {name: free_port() for name in ("ANY", "NEWEST", "CLEAR", "PLAIN", "REFUSING")}


def _filled(text: str, port: int) -> str:
    text = text.replace("UPSTREAM", str(port)).replace("FINGERPRINT", GLOBEX.fingerprint)
    for name, number in PORTS.items():
        text = text.replace(name, str(number))
    return text


@dataclass(frozen=True)
class Calls:
    """Requests over TLS."""

    gw: Gateway
    folder: Path
    upstream: int

    def context(self, pair: Pair | None = None) -> ssl.SSLContext:
        """What a caller brings along."""
        context = ssl.create_default_context(cadata=ROOT.pem.decode())
        if pair is not None:
            context.load_cert_chain(*pair.save(self.folder, f"client-{pair.fingerprint[:8]}"))
        return context

    async def get(self, path: str, pair: Pair | None = None, **more: object) -> httpx.Response:
        """A GET on a connection of its own."""
        async with httpx.AsyncClient(verify=self.context(pair)) as client:
            return await client.get(f"https://localhost:{self.gw.port}{path}", **more)  # type: ignore[arg-type]

    async def edit(self, text: str, *, enforced: bool = True) -> dict[str, object]:
        """Edits the policies."""
        return await self.gw.edit("policies.yaml", _filled(text, self.upstream), enforced=enforced)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def calls(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Calls]:
    folder: Path = tmp_path_factory.mktemp("tls")
    files = folder / "files"
    files.mkdir()
    ROOT.server().save(files, "web")
    (files / "partners.pem").write_bytes(PARTNERS.pem)
    (files / "others.pem").write_bytes(OTHERS.pem)
    with upstream() as port:
        async with gateway(folder, {"gateway.yaml": _filled(FILES, port), "policies.yaml": _filled(POLICIES, port)}) as gw:
            yield Calls(gw, folder, port)


def _speaks(port: int, *arguments: str) -> str | None:
    """What openssl agrees on with the gateway when it offers only this; None if they don't agree."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-brief", *arguments]
    done = subprocess.run(command, input=b"", capture_output=True, timeout=10, check=False)
    told = (done.stdout + done.stderr).decode()
    lines = dict(line.split(": ", 1) for line in told.splitlines() if ": " in line)
    return f"{lines['Protocol version']} {lines['Ciphersuite']}" if "Ciphersuite" in lines else None


OLD = ("-cipher", "DEFAULT:@SECLEVEL=0")
NOT_AES = [
    ("-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"),
    ("-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"),
]
NEVER = [
    ("-tls1", *OLD),
    ("-tls1_1", *OLD),
    ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"),
    ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384"),
    ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"),
    ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-CCM"),
    ("-tls1_2", "-cipher", "ECDHE-ECDSA-ARIA128-GCM-SHA256"),
    ("-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"),
]


@pytest.mark.parametrize("offer", [*NOT_AES, *NEVER, ("-tls1_3", "-groups", "X25519")], ids=" ".join)
async def test_a_scan_finds_nothing_but_aes(calls: Calls, offer: tuple[str, ...]) -> None:
    assert await asyncio.to_thread(_speaks, calls.gw.port, *offer) is None


@pytest.mark.parametrize(
    ("offer", "agreed"),
    [
        (("-tls1_2",), "TLSv1.2 ECDHE-ECDSA-AES"),
        (("-tls1_3",), "TLSv1.3 TLS_AES_"),
        (("-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"), "TLSv1.3 TLS_AES_128_GCM_SHA256"),
    ],
)
async def test_aes_is_spoken_in_both_versions(calls: Calls, offer: tuple[str, ...], agreed: str) -> None:
    found = await asyncio.to_thread(_speaks, calls.gw.port, *offer)
    assert found is not None
    assert found.startswith(agreed)


async def test_the_scan_would_find_other_ciphers(calls: Calls) -> None:
    for offer in NOT_AES:
        assert await asyncio.to_thread(_speaks, PORTS["ANY"], *offer) is not None, offer
    for offer in NEVER:
        assert await asyncio.to_thread(_speaks, PORTS["ANY"], *offer) is None, offer


async def test_a_minimum_of_1_3_holds_with_aes_only(calls: Calls) -> None:
    assert await asyncio.to_thread(_speaks, PORTS["NEWEST"], "-tls1_2") is None
    assert await asyncio.to_thread(_speaks, PORTS["NEWEST"], *NOT_AES[1]) is None
    assert await asyncio.to_thread(_speaks, PORTS["NEWEST"], "-tls1_3") is not None


async def test_http2_and_hsts_over_tls_only(calls: Calls) -> None:
    async with httpx.AsyncClient(verify=calls.context(), http2=True) as client:
        for path, status in (("/orders/open", 200), ("/orders", 401), ("/nowhere", 404)):
            answer = await client.get(f"https://localhost:{calls.gw.port}{path}")
            assert answer.status_code == status
            assert answer.http_version == "HTTP/2"
            assert answer.headers["strict-transport-security"] == "max-age=2592000; includeSubDomains"
    async with httpx.AsyncClient() as client:
        assert "strict-transport-security" not in (await client.get(f"http://127.0.0.1:{PORTS['CLEAR']}/orders/open")).headers


async def test_callers_without_tls_are_led_there_or_refused(calls: Calls) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"http://127.0.0.1:{PORTS['PLAIN']}/orders/a?b=c", content=b"x")
        assert answer.status_code == 308
        assert answer.headers["location"] == f"https://127.0.0.1:{calls.gw.port}/orders/a?b=c"
        answer = await client.get(f"http://127.0.0.1:{PORTS['REFUSING']}/orders/open")
        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:bartizan:problem:https-only"
        with pytest.raises(httpx.TransportError):
            await client.get(f"http://127.0.0.1:{calls.gw.port}/orders/open")


async def test_a_certificate_lets_in_whom_it_means(calls: Calls) -> None:
    stranger = PARTNERS.client("spiffe://corp/stranger")
    for pair, caller, plan in ((stranger, "partners|spiffe://corp/stranger", None), (ACME, "acme", "gold"), (GLOBEX, "globex", "free")):
        answer = await calls.get("/orders", pair)
        assert answer.status_code == 200, caller
        headers = dict(answer.json()["headers"])
        assert headers["x-caller"] == caller
        assert headers["x-method"] == "mtls"
        assert headers.get("x-plan", "-") in {plan, "-", ""} if plan is None else headers["x-plan"] == plan
        assert not [name for name in headers if name.startswith(("x-bartizan", "x-forwarded-client-cert"))]
        record = await calls.gw.record(answer)
        assert (record["principal"], record["auth_method"], record["issuer"]) == (caller, "mtls", "partners")
        assert (await calls.get("/orders/gold", pair)).status_code == (200 if plan == "gold" else 403)


async def test_without_a_certificate_or_with_the_wrong_one_nobody_gets_in(calls: Calls) -> None:
    assert (await calls.get("/orders")).status_code == 401
    # A CA that is verified here, but not accepted by the policy: same name, another CA.
    assert (await calls.get("/orders", OTHERS.client("spiffe://corp/acme"))).status_code == 401
    # Whom it means isn't clear, or they are disabled.
    two = PARTNERS.issue("two", (x509.UniformResourceIdentifier("spiffe://corp/acme"), x509.UniformResourceIdentifier("spiffe://corp/b")))
    for pair in (two, PARTNERS.issue("none"), PARTNERS.client("spiffe://corp/gone"), PARTNERS.client("spiffe://corp/a b")):
        assert (await calls.get("/orders", pair)).status_code == 401


async def test_a_certificate_that_cannot_be_verified_ends_the_handshake(calls: Calls) -> None:
    below = Authority(OTHERS.subject, PARTNERS)  # a CA below one of ours, named like another of ours
    cases = {
        "expired": PARTNERS.client("spiffe://corp/acme", (-9, -2)),
        "not yet valid": PARTNERS.client("spiffe://corp/acme", (2, 9)),
        "unknown CA": authority("Partners").client("spiffe://corp/acme"),
        "named like another CA": below.issue("c", (x509.UniformResourceIdentifier("spiffe://corp/acme"),), above=(below,)),
        "not signed by a CA": Authority.issue(below, "c", (x509.UniformResourceIdentifier("spiffe://corp/acme"),)),
    }
    for why, pair in cases.items():
        try:
            answer = await calls.get("/orders", pair)
        except (httpx.TransportError, ssl.SSLError):
            continue
        raise AssertionError(f"{why}: {answer.status_code}")


async def test_a_certificate_beside_another_credential_is_refused(calls: Calls) -> None:
    _, key = calls.gw.new_key("acme")

    async def accepted() -> bool:
        return (await calls.get("/orders", headers={"x-api-key": key})).status_code == 200

    await calls.gw.eventually(accepted)
    for headers in ({"x-api-key": key}, {"x-api-key": "wrong-wrong-wrong-wrong"}, {"authorization": "Bearer a.b.c"}):
        assert (await calls.get("/orders", ACME, headers=headers)).status_code == 401


async def test_no_key_can_pass_for_a_certificate(calls: Calls) -> None:
    forged = ["certificate:partners|spiffe://corp/acme", f"certificate:sha256={GLOBEX.fingerprint}"]
    async with httpx.AsyncClient() as client:
        for key in forged:
            assert (await calls.get("/orders", headers={"x-api-key": key})).status_code == 401
            assert (await client.get(f"http://127.0.0.1:{PORTS['CLEAR']}/orders", headers={"x-api-key": key})).status_code == 401
    spoofed = {
        "x-bartizan-key": forged[0],
        "x-bartizan-ca": "partners",
        "x-bartizan-cert": "partners|spiffe://corp/acme",
        "x-forwarded-client-cert": "URI=spiffe://corp/acme",
    }
    for name, value in spoofed.items():
        assert (await calls.get("/orders", headers={name: value})).status_code == 401


async def test_a_public_route_does_not_mind_certificates(calls: Calls) -> None:
    for pair in (ACME, OTHERS.client("spiffe://x"), PARTNERS.issue("none")):
        answer = await calls.get("/orders/open", pair)
        assert answer.status_code == 200
        assert dict(answer.json()["headers"]).get("x-caller", "-") in {"-", ""}


async def test_a_disabled_consumer_is_out_within_a_second(calls: Calls) -> None:
    text = _filled(FILES, calls.upstream)
    await calls.gw.edit("gateway.yaml", text.replace("name: acme\n", "name: acme\ndisabled: true\n"))

    async def status_is(code: int) -> bool:
        return (await calls.get("/orders", ACME)).status_code == code

    await calls.gw.eventually(lambda: status_is(401), 2)
    await calls.gw.edit("gateway.yaml", text)
    await calls.gw.eventually(lambda: status_is(200), 2)


async def test_two_consumers_cannot_list_one_certificate(calls: Calls) -> None:
    text = _filled(FILES, calls.upstream)
    told = await calls.gw.edit("gateway.yaml", text.replace("spiffe://corp/gone", "spiffe://corp/acme"), enforced=False)
    assert {one["code"] for one in told["refused"]} == {"certificate-taken"}
    told = await calls.gw.edit("gateway.yaml", text.replace("ca: partners, san: spiffe://corp/gone", "ca: nobody, san: a"), enforced=False)
    assert {one["code"] for one in told["refused"]} == {"ca-unknown"}
    (calls.gw.files / "gateway.yaml").write_text(text.replace("{port}", str(calls.gw.port)))
    await calls.gw.until(lambda now: not now["refused"])


async def _serial(calls: Calls) -> int:
    """The serial number of the certificate that is served now."""
    _, writer = await asyncio.open_connection("localhost", calls.gw.port, ssl=calls.context(), server_hostname="localhost")
    told = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.close()
    return x509.load_der_x509_certificate(told).serial_number


def _number(pair: Pair) -> int:
    return x509.load_pem_x509_certificate(pair.pem).serial_number


async def test_a_new_certificate_is_served_under_load_without_a_failed_request(calls: Calls) -> None:
    stop, counts = asyncio.Event(), [0, 0]

    async def anew() -> None:
        while not stop.is_set():
            assert (await calls.get("/orders/open")).status_code == 200
            counts[0] += 1

    async def kept() -> None:
        async with httpx.AsyncClient(verify=calls.context(), http2=True) as client:
            while not stop.is_set():
                assert (await client.get(f"https://localhost:{calls.gw.port}/orders/open")).status_code == 200
                counts[1] += 1
                await asyncio.sleep(0.002)

    async with asyncio.TaskGroup() as group:
        for caller in (anew, anew, kept, kept):
            group.create_task(caller())
        for _ in range(4):
            pair = ROOT.server()
            pair.save(calls.gw.files, "web")
            deadline = time.monotonic() + 5
            while await _serial(calls) != _number(pair):
                assert time.monotonic() < deadline, "the new certificate isn't served"
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.2)
        stop.set()
    assert min(counts) > 10
    assert not (await calls.gw.status())["error"]


async def test_a_pair_that_is_not_good_changes_nothing_and_is_told(calls: Calls) -> None:
    good = await _serial(calls)
    files = calls.gw.files
    kept = (files / "web.pem").read_bytes(), (files / "web.key").read_bytes()
    expired = ROOT.server((-9, -2))
    weak = authority("x").server()
    bad = {
        "isn't the key of": (kept[0], weak.key),
        "isn't a certificate": (b"nonsense", kept[1]),
        "isn't a private key": (kept[0], b"nonsense"),
        "has expired": (expired.pem, expired.key),
    }
    for why, (pem, key) in bad.items():
        (files / "web.pem").write_bytes(pem)
        (files / "web.key").write_bytes(key)
        told = await calls.gw.until(lambda now, why=why: any(why in one for one in now["warnings"]))
        assert not any("PRIVATE" in one for one in told["warnings"])
        assert await _serial(calls) == good
        assert (await calls.get("/orders/open")).status_code == 200
    (files / "web.key").unlink()
    await calls.gw.until(lambda now: any("can't be read" in one for one in now["warnings"]))
    assert await _serial(calls) == good
    (files / "web.pem").write_bytes(kept[0])
    (files / "web.key").write_bytes(kept[1])
    await calls.gw.until(lambda now: not now["warnings"])


async def test_what_cannot_be_served_is_refused_when_written(calls: Calls) -> None:
    cases = {
        POLICIES.replace("name: any\n", "name: any\nmode: disabled\n"): "mode-unsupported",
        POLICIES.replace("name: any\n", "name: any\nmode: shadow\n"): "mode-unsupported",
        POLICIES.replace("{listener: any}", "{listener: web}"): "tls-twice",
        POLICIES.replace("{listener: any}", "{listener: nowhere}"): "listener-unknown",
        POLICIES.replace("{listener: any}", "{listener: any, api: orders}"): "tls-target",
        POLICIES.replace("others: others.pem", "others: partners.pem"): "client-ca-subject",
        POLICIES.replace("others: others.pem", "others: web.pem"): "client-ca-unusable",
        POLICIES.replace("others: others.pem", "others: none.pem"): "file-unreadable",
        POLICIES.replace("certificate: web.pem", "certificate: none.pem", 1): "certificate-unusable",
        POLICIES.replace("{file: web.key}", "abc"): "field-value-error",
        POLICIES.replace("target: {paths: [/orders/open]}", "target: {listener: clear}"): "target-unsupported",
    }
    for text, code in cases.items():
        told = await calls.edit(text, enforced=False)
        assert code in {one["code"] for one in told["refused"]}, (code, told["refused"])  # type: ignore[union-attr,index,attr-defined]
    (calls.gw.files / "policies.yaml").write_text(_filled(POLICIES, calls.upstream))
    await calls.gw.until(lambda now: not now["refused"])


async def test_an_edit_of_the_least_version_is_enforced(calls: Calls) -> None:
    await calls.edit(POLICIES.replace('min_version: "1.3"', "mode: enforce"))
    assert await asyncio.to_thread(_speaks, PORTS["NEWEST"], "-tls1_2") is not None
    await calls.edit(POLICIES)

    async def refused() -> bool:
        return await asyncio.to_thread(_speaks, PORTS["NEWEST"], "-tls1_2") is None

    await calls.gw.eventually(refused, 5)


async def test_a_ca_that_is_taken_away_counts_at_once(calls: Calls) -> None:
    async with httpx.AsyncClient(verify=calls.context(ACME)) as client:
        url = f"https://localhost:{calls.gw.port}/orders"
        assert (await client.get(url)).status_code == 200
        without = POLICIES.replace("partners: partners.pem, ", "").replace(", {mtls: partners}", ", {mtls: others}")
        text = _filled(FILES, calls.upstream).replace("ca: partners", "ca: others")
        (calls.gw.files / "gateway.yaml").write_text(text.replace("{port}", str(calls.gw.port)))
        await calls.edit(without)

        async def out() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return (await client.get(url)).status_code == 401
            return True

        await calls.gw.eventually(out, 3)
