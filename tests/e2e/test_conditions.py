"""Conditions give one verdict however they are judged: by Envoy's matchers, as CEL in Envoy, and by cel-cpp as they are written."""

import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bartizan.condition import Sources, choice, parse
from bartizan.envoy import extension, message
from tests.e2e.condition_lab import ORACLE, SCHEMA, SCRATCH, World, forms, judging, verdict, verdicts
from tests.e2e.condition_maker import Maker

CONDITIONS, WORLDS = 150, 30


def told(texts: list[str], found: list[bool]) -> dict[str, bool | None]:
    """By each text: true, false or neither. All ways to judge it must agree."""
    by_text = {}
    for place, text in enumerate(texts):
        matched, denied, *in_cel = found[4 * place : 4 * place + 4]
        assert [matched, denied] == in_cel, text
        assert not (matched and denied), text
        by_text[text] = True if matched else False if denied else None
    return by_text


def judged(folder: Path, texts: list[str], *worlds: World, sources: Sources = SCRATCH) -> list[dict[str, bool | None]]:
    predicates = [form for text in texts for form in forms(parse(text, SCHEMA, whole_in_cel=True), sources)]
    with judging(folder, predicates) as address, httpx.Client() as client:
        return [told(texts, verdicts(world.ask(client, address))) for world in worlds]


@settings(max_examples=14, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_one_verdict(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    maker = Maker(seed)
    conditions = [parse(maker.text(3), SCHEMA, whole_in_cel=True) for _ in range(CONDITIONS)]
    compiled = [ORACLE.compile(condition.text, disable_check=True) for condition in conditions]
    worlds = [World(), *(maker.world() for _ in range(WORLDS))]
    predicates = [form for condition in conditions for form in forms(condition, SCRATCH)]
    differ: list[tuple[str, World, bool | None, list[bool]]] = []
    with judging(tmp_path_factory.mktemp("envoy"), predicates) as address, httpx.Client() as client:
        for world in worlds:
            found, variables = verdicts(world.ask(client, address)), world.variables()
            for place, condition in enumerate(conditions):
                want, got = verdict(compiled[place], variables), found[4 * place : 4 * place + 4]
                if got != [want is True, want is False] * 2:
                    differ.append((condition.text, world, want, got))
    assert not differ, min(differ, key=lambda each: len(each[0]))


def test_missing_and_mistyped_are_neither(tmp_path: Path) -> None:
    """Each test, its opposite, and what Kleene's logic makes of them, on a principal that isn't what it should be."""
    tests = [
        'principal.plan == "gold"',
        'principal.plan in ["gold", "silver"]',
        'principal.plan.startsWith("g")',
        'principal.plan.matches("gold")',
        'principal.plan < "z"',
        "principal.plan == principal.department",
        "size(principal.plan) > 1",
        "principal.level >= 5",
        "principal.level == 5",
        "principal.level in [5, 6]",
        "principal.level < principal.score",
        "principal.admin",
        '"ops" in principal.groups',
        'request.headers["x-a"] == "1"',
        'device.ja4.startsWith("t13")',
        f'device.certificate == "{"ab" * 32}"',
        "request.size < 10",
        'now.hour("UTC") >= 0',
        'source.ip.within("0.0.0.0/0")',
    ]
    opposites = [f"!({test})" for test in tests]
    absorbed = [f"({test}) || true == has(principal.id)" for test in tests] + [f"({test}) && has(principal.issuer)" for test in tests]
    strings = {"id": "x", "level": "5", "score": "6", "admin": "yes", "groups": "ops"}
    empty, mistyped = World(strings={"id": "x"}), World(strings=strings, numbers={"plan": 1.0, "department": 1.0})
    for found in judged(tmp_path, tests + opposites + absorbed, empty, mistyped):
        assert {found[test] for test in tests + opposites} == {None}
        assert [found[text] for text in absorbed] == [True] * len(tests) + [False] * len(tests)


def test_production_reads_the_clock_and_the_connection(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    before, after = (now + timedelta(hours=hours) for hours in (-1, 1))
    held = [
        'source.ip == "127.0.0.1"',
        'source.ip.within(["10.0.0.0/8", "127.0.0.0/8"])',
        '!source.ip.within("10.0.0.0/8")',
        '!source.ip.within("::/0")',
        f'now.after("{before:%Y-%m-%dT%H:%M:%SZ}") && now.before("{after:%Y-%m-%dT%H:%M:%SZ}")',
        f'now.between("{before:%H:%M}", "{after:%H:%M}", "UTC")',
        f'now.date("UTC") >= "{before:%Y-%m-%d}" && now.date("UTC") <= "{after:%Y-%m-%d}"',
        f'now.hour("UTC") in [{before.hour}, {now.hour}, {after.hour}]',
        f'now.weekday("UTC") in ["{before:%a}", "{after:%a}"]'.lower().replace("utc", "UTC"),
    ]
    # What scratch instances read doesn't count in production.
    forged = World(now="2001-01-01T00:00:00Z", source="10.1.2.3")
    (found,) = judged(tmp_path, held, forged, sources=Sources())
    assert found == dict.fromkeys(held, True)


def test_without_time_zones_nothing_is_admitted(tmp_path: Path) -> None:
    texts = ['now.hour("Europe/Berlin") >= 0', '!now.between("08:00", "08:01", "Europe/Berlin")']
    conditions = [parse(text, SCHEMA) for text in texts]
    predicates = [form for condition in conditions for form in (condition.predicate(), condition.denial())]
    zones = tmp_path / "nowhere"
    zones.mkdir()
    with judging(tmp_path, predicates, zones=str(zones)) as address:
        found = verdicts(httpx.get(f"http://{address}/"))
    assert found == [False] * 4


def test_bytes_that_are_not_text(tmp_path: Path) -> None:
    texts = [
        'request.headers["x-a"] != "b"',
        'request.headers["x-a"].matches("^b")',
        'request.headers["x-a"] == ""',
        "size(request.path) > 0",
    ]
    predicates = [form for text in texts for form in forms(parse(text, SCHEMA, whole_in_cel=True), SCRATCH)]
    with judging(tmp_path, predicates) as address, httpx.Client() as client:
        ask = lambda *headers: told(texts, verdicts(client.get(f"http://{address}/", headers=list(headers))))  # noqa: E731
        assert list(ask((b"x-a", b"b\xff\xfe")).values()) == [True, True, False, True]
        assert list(ask((b"x-a", b"")).values()) == [True, False, True, True]
        assert list(ask((b"x-a", b"b"), (b"X-A", b"c")).values()) == [True, True, False, True]  # one value: "b,c"
        assert list(ask().values()) == [None, None, None, True]
        assert b" 400 " in _raw(address, b"GET /\xff HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")


SMALL = ["^.$", "^..$", "^[^a]$", "^[a-zé]$", "(?i)^É$", r"^\\\\w$", "é", "^.*$", "(?s)^.*$", "^[^b]*$"]


def test_a_pattern_means_the_same_whatever_asks_it(tmp_path: Path) -> None:
    """Matchers see bytes where CEL sees characters; what is said of a value that isn't ASCII must not depend on who is asked."""
    large = [f"(?:{pattern})(?:|{'x' * 120})$" for pattern in SMALL]
    texts = [f'request.headers["x-a"].matches("{pattern}")' for pattern in (*SMALL, *large)]
    oracle = [ORACLE.compile(text, disable_check=True) for text in texts]
    conditions = [parse(text, SCHEMA) for text in texts]
    predicates = [form for one in conditions for form in (one.predicate(SCRATCH), one.denial(SCRATCH))]
    with judging(tmp_path, predicates) as address, httpx.Client() as client:
        for value in ("a", "é", "ÉÉ", "aé", "漢"):
            found = verdicts(client.get(f"http://{address}/", headers=[(b"x-a", value.encode())]))
            for place, compiled in enumerate(oracle):
                want = verdict(compiled, World(headers=[("x-a", value.encode())]).variables())
                wanted = [want is True, want is False] if place < len(SMALL) or value.isascii() else [False, False]
                assert found[2 * place : 2 * place + 2] == wanted, (texts[place], value)


def _raw(address: str, request: bytes) -> bytes:
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(request)
        return connection.recv(4096)


# Certificates.


def _certificate(folder: Path) -> tuple[Path, Path, str]:
    """A self-signed certificate, its key, and its SHA-256."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return certificate, private, made.fingerprint(hashes.SHA256()).hex()


def test_client_certificates(tmp_path: Path) -> None:
    certificate, key, digest = _certificate(tmp_path)
    texts = [f'device.certificate == "{digest}"', f'device.certificate in ["{"00" * 32}"]', "has(device.certificate)"]
    chain = {"certificate_chain": {"filename": str(certificate)}, "private_key": {"filename": str(key)}}
    common = {"tls_certificates": [chain], "validation_context": {"trusted_ca": {"filename": str(certificate)}}}
    tls = message("envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", common_tls_context=common)
    predicates = [form for text in texts for form in forms(parse(text, SCHEMA, whole_in_cel=True), Sources())]
    with judging(tmp_path, predicates, tls) as address:
        for shown, expected in ((True, [True, False, True]), (False, [None, None, False])):
            context = ssl.create_default_context(cafile=str(certificate))
            context.check_hostname = False
            if shown:
                context.load_cert_chain(certificate, key)
            answer = httpx.get(f"https://{address}/", verify=context)
            assert list(told(texts, verdicts(answer)).values()) == expected


# Rate limits.


def test_choice_picks_a_tier(tmp_path: Path) -> None:
    """Each tier is a descriptor with a bucket of its own; a request is counted in the first whose condition is true."""
    texts = ['principal.plan == "gold"', 'principal.level >= 5 && !(principal.plan == "silver")', None]
    tiers = [parse(text, SCHEMA, whole_in_cel=True) if text else None for text in texts]
    expr = message("envoy.extensions.rate_limit_descriptors.expr.v3.Descriptor", descriptor_key="tier", parsed=choice(tiers))
    sizes = {"0": 3, "1": 2, "2": 1}
    gold, high, unknown = (
        World(strings={"plan": "gold"}),
        World(strings={"plan": "free"}, numbers={"level": 7.0}),
        World(numbers={"level": 7.0}),
    )
    with judging(tmp_path, [], limits=(extension("expr", expr), sizes)) as address, httpx.Client() as client:
        for world, served in ((gold, 3), (high, 2), (unknown, 1)):
            statuses = [world.ask(client, address).status_code for _ in range(4)]
            assert statuses == [200] * served + [429] * (4 - served)
