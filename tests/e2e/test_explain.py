"""What a scratch instance says of a request is what the running gateway answers; and `explain` tells both to their owner."""

import asyncio
import json
import re
import shlex
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from bartizan.identity.table import ConsumerView, identity
from bartizan.model.snapshot import Snapshot
from bartizan.rollout.folder import Folder
from bartizan.scratch import Principal, Question, Scratch, Token, UnknownKey
from bartizan.telemetry.decision import Verdict, decision_of
from tests.e2e.gateway import Gateway, TokenIssuer, gateway, upstream

ISSUER = TokenIssuer()
OTHER = TokenIssuer(url="https://other.example.com", kid="k2")

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
attributes: {plan: string, level: number, staff: bool, regions: list}
blocking: {exempt: [127.0.0.0/8]}
---
kind: Api
name: orders
paths: [/orders, /v1/orders]
methods: [GET, POST, DELETE]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Api
name: reports
hosts: [reports.example.com]
paths: [/reports]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Consumer
name: acme
groups: [ops, 'a"b']
attributes: {plan: gold, level: 7, staff: true, regions: [eu, us]}
---
kind: Consumer
name: globex
attributes: {plan: free, level: 2.5}
---
kind: Consumer
name: gone
attributes: {plan: gold}
disabled: true
---
kind: Issuer
name: corp
issuer: https://idp.example.com
audiences: [orders]
jwks: {file: jwks.json}
attributes: {plan: tier, level: lvl, staff: staff, regions: regions}
groups: roles
---
kind: Issuer
name: other
issuer: https://other.example.com
audiences: [orders]
jwks: {file: other.json}
attributes: {plan: plan}
"""

POLICIES = """
kind: Authenticate
name: callers
target: {api: orders, except: [/orders/health]}
any: [api_key, {jwt: corp}]
---
kind: Authenticate
name: people
target: {api: reports}
any: [{jwt: corp}, {jwt: other}]
---
kind: Public
name: health
target: {api: orders, paths: [/orders/health]}
reason: the load balancer has no credentials
---
kind: Authorize
name: gold-refunds
target: {api: orders, methods: [POST], paths: [/orders/refunds]}
allow: principal.plan == "gold" && principal.level >= 5
---
kind: Authorize
name: europe
target: {api: orders, paths: [/orders/eu]}
allow: '"eu" in principal.regions && principal.staff'
---
kind: Authorize
name: operators
target: {api: orders, paths: [/orders/eu]}
allow: '"ops" in principal.groups'
---
kind: Authorize
name: health-of-nobody
target: {api: orders, paths: [/orders/health/deep]}
allow: principal.id == "acme"
---
kind: Authorize
name: no-robots
target: {api: orders, paths: [/orders/people]}
allow: device.type != "bot" && !(request.headers["x-tenant"] == "evil")
---
kind: Authorize
name: candidate
target: {api: orders}
allow: principal.plan == "gold"
mode: shadow
---
kind: Authorize
name: office-hours
target: {api: orders, paths: [/orders/hours]}
allow: now.between("09:00", "17:00", "Europe/Berlin") && now.weekday("Europe/Berlin") != "sun"
---
kind: Authorize
name: from-the-office
target: {api: orders, paths: [/orders/office]}
allow: source.ip.within(["198.51.100.0/24", "2001:db8::/32"])
---
kind: IpAccess
name: no-partners
target: {api: orders, paths: [/orders/office]}
deny: [198.51.100.9]
---
kind: RateLimit
name: by-plan
target: {api: orders, except: [/orders/limited]}
per: [principal.id, request.method]
tiers:
  - {when: principal.plan == "gold", windows: [1000/second, 100000/hour]}
  - {windows: [500/second]}
---
kind: RateLimit
name: tight
target: {api: orders, paths: [/orders/limited]}
per: principal.id
tiers: [{windows: [2/hour]}]
"""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gw(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("explain")
    with upstream() as port:
        (folder / "files").mkdir()
        (folder / "files" / "jwks.json").write_text(ISSUER.jwks())
        (folder / "files" / "other.json").write_text(OTHER.jwks())
        async with gateway(folder, {"gateway.yaml": FILES.replace("UPSTREAM", str(port)), "policies.yaml": POLICIES}) as made:
            yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scratch(gw: Gateway) -> AsyncIterator[Scratch]:
    found = Folder(gw.files).snapshot()
    assert isinstance(found, Snapshot)
    async with Scratch(found) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def keys(gw: Gateway) -> Mapping[str, str]:
    """A key of each consumer, known to the gateway."""
    found = {name: gw.new_key(name)[1] for name in ("acme", "globex", "gone")}
    for name in ("acme", "globex"):

        async def accepted(key: str = found[name]) -> bool:
            return (await gw.get("/orders", headers={"x-api-key": key})).status_code == 200

        await gw.eventually(accepted)
    return found


def callers(scratch: Scratch, keys: Mapping[str, str]) -> dict[str, tuple[Principal | None, dict[str, str]]]:
    """Each caller as the scratch instance is told of it, and with the credential that it shows to the gateway."""

    def bearer(issuer: TokenIssuer, **claims: Any) -> dict[str, str]:
        return {"authorization": f"Bearer {issuer.token(**claims)}"}

    whole = {"tier": "gold", "lvl": 9, "staff": True, "regions": ["eu"], "roles": ["ops", 'x"y,z']}
    wrong = {"tier": ["gold"], "lvl": "nine", "staff": "yes", "regions": "eu", "roles": "ops"}
    return {
        "nobody": (None, {}),
        "acme": (scratch.consumer("acme"), {"x-api-key": keys["acme"]}),
        "globex": (scratch.consumer("globex"), {"x-api-key": keys["globex"]}),
        "disabled": (scratch.consumer("gone"), {"x-api-key": keys["gone"]}),
        "wrong key": (UnknownKey(), {"x-api-key": keys["acme"][:-1] + "!"}),
        "token": (Token("corp", "ines", whole), bearer(ISSUER, **whole)),
        "bare token": (Token("corp", "ines"), bearer(ISSUER)),
        "odd token": (Token("corp", "i;n=e|s", wrong), bearer(ISSUER, sub="i;n=e|s", **wrong)),
        "half a level": (Token("corp", "ines", {"tier": "gold", "lvl": 4.5}), bearer(ISSUER, tier="gold", lvl=4.5)),
        "other issuer": (Token("other", "ines", {"plan": "gold"}), bearer(OTHER, plan="gold")),
    }


REQUESTS = [
    Question("GET", "/orders"),
    Question("POST", "/orders/refunds?a=1"),
    Question("GET", "/orders/refunds"),
    Question("POST", "/orders/refunds/7"),
    Question("GET", "/orders/eu"),
    Question("GET", "/orders/health"),
    Question("GET", "/orders/health/deep"),
    Question("PUT", "/orders"),
    Question("HEAD", "/orders"),
    Question("OPTIONS", "/orders"),
    Question("GET", "/v1/orders/1"),
    Question("GET", "/orders2"),
    Question("GET", "/nothing"),
    Question("GET", "/reports", host="reports.example.com"),
    Question("GET", "/reports"),
    Question("GET", "/orders/people", headers=(("user-agent", "Googlebot/2.1"), ("x-tenant", "good"))),
    Question("GET", "/orders/people", headers=(("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0"), ("x-tenant", "good"))),
    Question("GET", "/orders/people", headers=(("user-agent", "curl/8"),)),
]
DECLARED = {"plan": "string", "level": "number", "staff": "bool", "regions": "list"}
FORGED = "key_a".join(identity(ConsumerView("acme", (), {"plan": "gold"}), DECLARED))
ODD = [
    Question("GET", "/orders;x=1"),
    Question("GET", "/orders/%2e%2e/x"),
    Question("GET", "/orders/%2Fx"),
    Question("GET", "//orders///"),
    Question("GET", "/orders/../orders/health"),
    Question("GET", "/orders/./eu"),
    Question("GET", "/orders/" + "x" * 9000),
    Question("GET", "/orders", headers=(("x_under", "1"),)),
    Question("GET", "/orders", headers=(("x-bartizan-principal", FORGED), ("X-Bartizan-Scope", "*/orders"))),
    Question("GET", "/orders", headers=(("authorization", "Basic Zm9v"),)),
    Question("GET", "/orders", headers=(("authorization", "Bearer nonsense"),)),
    Question("GET", "/orders/health", headers=(("authorization", "Basic Zm9v"), ("x-api-key", "wrong"))),
    Question("GET", "/orders", headers=(("x-api-key", "bz_awrong"),)),
    Question("GET", "/orders", headers=(("x-api-key", "one"), ("x-api-key", "two"))),
    Question("POST", "/orders", headers=(("content-type", "application/grpc"),)),
    Question("GET", "/orders", host="any.example.com:8080"),
    Question("GET", "/reports", host="REPORTS.example.com."),
]
SAME = ("status", "details", "api", "route", "revision", "principal", "auth_method", "issuer", "attributes", "groups", "policies", "path")


async def answered(gw: Gateway, question: Question, credential: Mapping[str, str]) -> tuple[int, str | None]:
    """What the gateway answers: the status, and the request's id if it got as far as that. The bytes are ours: clients tidy up paths."""
    headers = [("host", question.host), *question.headers, *credential.items()]
    if question.method == "HEAD":
        headers.append(("connection", "close"))  # such an answer has no body, so only its end shows that it is whole
    head = [f"{question.method} {question.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
    lines = (await gw.raw("\r\n".join(head).encode())).split(b"\r\n")
    ident = next((line.split(b": ")[1].decode() for line in lines if line.lower().startswith(b"x-request-id:")), None)
    return int(lines[0].split()[1]), ident


def there(value: Any) -> Any:
    """A field of a record without what is empty: what isn't there is empty or left out."""
    if isinstance(value, dict):
        return {name: one for name, one in value.items() if one not in (None, "")}
    return value or None


def verdicts(record: Mapping[str, Any]) -> tuple[Verdict, ...]:
    """What the record alone says of each policy."""
    return decision_of({**record, "limits": []}).verdicts


async def compared(gw: Gateway, scratch: Scratch, asked: list[tuple[str, Question, Mapping[str, str]]]) -> None:
    """Asks both, and compares what both say."""
    answers = await asyncio.gather(*(answered(gw, question, credential) for _, question, credential in asked))
    records: dict[str, dict[str, Any]] = {}

    async def written() -> bool:
        records.update((one.get("request_id", ""), one) for one in gw.records())
        return all(ident in records for _, ident in answers if ident)

    await gw.eventually(written)
    unnamed = {one.get("details") for one in gw.records() if not one.get("request_id")}
    for (who, question, _), (status, ident) in zip(asked, answers, strict=True):
        said = await scratch.record(question)
        assert said["status"] == status, f"{who}, {question}: {said}"
        if ident is None:  # refused before it was given an id
            assert said["details"] in unnamed, f"{who}, {question}: {said['details']}"
            continue
        real = records[ident]
        limits = {one.policy for one in scratch.covering(said) if one.role == "counts"}
        assert {one["policy"] for one in said["limits"]} == (limits if real["details"] == "via_upstream" else set())
        assert verdicts(said) == verdicts(real), f"{who}, {question}"
        for name in SAME:
            assert there(said.get(name)) == there(real.get(name)), f"{who}, {question}: {name}: {said[name]!r}, really {real.get(name)!r}"


async def test_a_scratch_instance_says_of_each_caller_and_request_what_the_gateway_answers(
    gw: Gateway, scratch: Scratch, keys: Mapping[str, str]
) -> None:
    asked = [
        (who, replace(question, principal=principal), credential)
        for who, (principal, credential) in callers(scratch, keys).items()
        for question in REQUESTS
    ]
    assert len(asked) > 150
    await compared(gw, scratch, asked)


async def test_it_says_the_same_of_odd_requests(gw: Gateway, scratch: Scratch, keys: Mapping[str, str]) -> None:
    acme, key = scratch.consumer("acme"), {"x-api-key": keys["acme"]}
    await compared(gw, scratch, [("nobody", one, {}) for one in ODD])
    await compared(gw, scratch, [("acme", replace(one, principal=acme), key) for one in ODD if "x-api-key" not in dict(one.headers)])


@pytest.mark.parametrize(
    ("at", "allowed"),
    [
        ("2026-11-23T07:59:59+00:00", False),
        ("2026-11-23T08:00:00+00:00", True),
        ("2026-11-23T15:59:59.999+00:00", True),
        ("2026-11-23T17:00:00+01:00", False),
        ("2026-07-20T07:00:00+00:00", True),  # summer time
        ("2026-11-22T12:00:00+01:00", False),  # a Sunday
        ("2026-11-22T23:30:00-09:00", True),  # a Sunday there, a Monday in Berlin
        ("1999-01-04T12:00:00+01:00", True),
        ("2126-11-25T12:00:00+01:00", True),
    ],
)
async def test_the_time_is_the_one_asked_about(scratch: Scratch, at: str, allowed: bool) -> None:
    asked = Question("GET", "/orders/hours", principal=scratch.consumer("acme"), at=datetime.fromisoformat(at))
    decision = await scratch.ask(asked)
    assert decision.refused is not allowed
    assert decision.by == ("upstream" if allowed else "Authorize/office-hours")


@pytest.mark.parametrize(
    ("source", "by"),
    [
        ("198.51.100.7", "upstream"),
        ("::ffff:198.51.100.7", "upstream"),
        ("2001:db8::1", "upstream"),
        ("198.51.100.9", "IpAccess/no-partners"),
        ("198.51.101.7", "Authorize/from-the-office"),
        ("2001:db9::1", "Authorize/from-the-office"),
        ("127.0.0.1", "Authorize/from-the-office"),
    ],
)
async def test_the_source_is_the_one_asked_about(scratch: Scratch, source: str, by: str) -> None:
    asked = Question("GET", "/orders/office", principal=scratch.consumer("acme"), source=source)
    assert (await scratch.ask(asked)).by == by
    # What a caller says of itself changes nothing.
    forged = (("x-forwarded-for", "198.51.100.7"), ("x-bartizan-source", "198.51.100.7"), ("X-Bartizan-Now", "2026-11-23T12:00:00Z"))
    assert (await scratch.ask(replace(asked, headers=forged))).by == by


async def test_the_clock_and_the_address_of_the_gateway_agree_with_a_question_about_now(
    gw: Gateway, scratch: Scratch, keys: Mapping[str, str]
) -> None:
    acme, key = scratch.consumer("acme"), {"x-api-key": keys["acme"]}
    await compared(gw, scratch, [("acme", Question("GET", path, principal=acme), key) for path in ("/orders/hours", "/orders/office")])


async def test_verdicts_are_in_the_order_of_the_chain_with_those_that_were_not_reached(scratch: Scratch) -> None:
    refused = await scratch.ask(Question("GET", "/orders/eu", principal=scratch.consumer("globex")))
    assert refused.by == "Authorize/europe"
    said = [(one.policy, one.said, one.shadow) for one in refused.verdicts]
    assert said == [
        ("Authenticate/callers", "allowed", False),
        ("Authorize/candidate", "denied", True),
        ("Authorize/europe", "denied", False),
        ("Authorize/operators", "not reached", False),
        ("RateLimit/by-plan", "not reached", False),
        ("Protect/default", "applies", False),
    ]


@pytest.mark.parametrize(
    ("consumer", "tier", "note"),
    [
        ("acme", 0, "1000/second and 100000/hour for principal.id = acme, request.method = DELETE"),
        ("globex", 1, "500/second for principal.id = globex, request.method = DELETE"),
    ],
)
async def test_it_tells_the_bucket_and_uses_up_none(scratch: Scratch, consumer: str, tier: int, note: str) -> None:
    asked = Question("DELETE", "/orders/1", principal=scratch.consumer(consumer))
    record = await scratch.record(asked)
    assert [(one["policy"], one["tier"]) for one in record["limits"]] == [("RateLimit/by-plan", tier)]
    assert [one.note for one in (await scratch.ask(asked)).verdicts if one.said == "counted"] == [note]
    tight = Question("GET", "/orders/limited", principal=scratch.consumer(consumer))
    assert {(await scratch.ask(tight)).refused for _ in range(10)} == {False}


async def test_two_credentials_are_refused_as_the_gateway_does(gw: Gateway, scratch: Scratch, keys: Mapping[str, str]) -> None:
    headers = {"x-api-key": keys["acme"], "authorization": f"Bearer {ISSUER.token()}"}
    assert (await gw.record(await gw.get("/orders", headers=headers)))["details"].endswith("[ambiguous-credential]")
    acme = scratch.consumer("acme")
    for header in (("authorization", f"Bearer {ISSUER.token()}"), ("x-api-key", "bz_other")):
        assert (await scratch.ask(Question("GET", "/orders", headers=(header,), principal=acme))).by == "ambiguous-credential"
        assert not (await scratch.ask(Question("GET", "/orders/health", headers=(header,), principal=acme))).refused
    # It knows no key and no token, so a real one is a wrong one.
    for name, value in headers.items():
        assert (await scratch.ask(Question("GET", "/orders", headers=((name, value),)))).by == "credentials"


async def test_many_questions_at_once_each_get_their_own_answer(scratch: Scratch) -> None:
    acme, globex = scratch.consumer("acme"), scratch.consumer("globex")
    asked = [
        Question("POST", "/orders/refunds" if i % 3 else "/orders", principal=acme if i % 2 else globex, size=9 if i % 7 == 0 else 0)
        for i in range(1000)
    ]
    decisions = await asyncio.gather(*(scratch.ask(one) for one in asked))
    for i, decision in enumerate(decisions):
        assert decision.refused == bool(i % 3 and not i % 2), (i, decision)


async def explained(gw: Gateway, *arguments: str) -> tuple[int, str, str]:
    """`bartizan explain` as people run it: exit status, output, complaints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bartizan.cli.main", "explain", "--state", str(gw.state), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


async def test_a_question_is_answered_with_the_running_gateways_files(gw: Gateway) -> None:
    status, out, _ = await explained(
        gw,
        *("--method", "POST", "--path", "/orders/refunds", "--consumer", "globex", "--at", "2026-11-23T09:00:00+01:00"),
        *("--source", "198.51.100.7", "--header", "user-agent: x"),
    )
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == "POST localhost/orders/refunds at 2026-11-23T09:00:00+01:00: would be refused with 403"
    assert lines[1] == "by Authorize/gold-refunds: its condition didn't hold"
    assert "principal globex by api_key, from 198.51.100.7" in lines
    assert "  plan = free" in lines and "  staff = missing" in lines
    chain = lines[lines.index("policies, in the order of the chain:") + 1 :]
    assert chain[:3] == ["  Authenticate/callers: allowed", "  Authorize/candidate: denied (shadow)", "  Authorize/gold-refunds: denied"]
    assert lines[-1] == 'Authorize/gold-refunds lets through where: principal.plan == "gold" && principal.level >= 5'


async def test_a_question_about_a_token_in_json(gw: Gateway) -> None:
    claims = ("--claim", "tier=gold", "--claim", "lvl=9", "--claim", 'roles=["ops"]', "--claim", "staff=true")
    status, out, _ = await explained(
        gw, "--json", "--path", "/orders/refunds", "--method", "POST", "--issuer", "corp", "--subject", "ines", *claims
    )
    told = json.loads(out)
    assert (status, told["decision"]["refused"], told["remedy"], told["notes"]) == (0, False, [], [])
    assert told["record"]["principal"] == "https://idp.example.com|ines"
    assert told["record"]["attributes"] == {"plan": "gold", "level": 9, "staff": "true", "regions": None}
    assert told["record"]["groups"] == '["ops"]'


async def test_a_question_about_other_files(gw: Gateway, tmp_path: Path) -> None:
    for file in gw.files.iterdir():
        text = file.read_text().replace('principal.plan == "gold" && principal.level', 'principal.plan == "free" && principal.level')
        (tmp_path / file.name).write_text(text.replace(">= 5", ">= 2"))
    asked = ("--method", "POST", "--path", "/orders/refunds", "--consumer", "globex")
    status, out, _ = await explained(gw, "-f", str(tmp_path), *asked)
    assert (status, out.splitlines()[1]) == (0, "by upstream: every policy let it through")
    (tmp_path / "policies.yaml").write_text("kind: Authorise\nname: x\n")
    status, out, _ = await explained(gw, "-f", str(tmp_path), *asked)
    assert status == 1 and "kind-unknown" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "name a request by its id, or describe one with --path"),
        (("some-id", "--path", "/orders"), "named by its id alone"),
        (("--path", "/orders", "--consumer", "acme", "--issuer", "corp"), "name one"),
        (("--path", "/orders", "--subject", "ines"), "--subject goes with --issuer"),
        (("--path", "/orders", "--claim", "a=b"), "--claim goes with --issuer"),
        (("--path", "/orders", "--at", "2026-11-23T09:00:00"), "isn't a time with its zone"),
        (("--path", "/orders", "--source", "somewhere"), "isn't an IP address"),
        (("--path", "/orders", "--header", "nonsense"), "isn't of the form"),
        (("--path", "/orders", "--header", "x: a\r\nx-bartizan-principal: acme;"), "HTTP can't carry"),
        (("--path", "/orders HTTP/1.1\r\nx: y"), "HTTP can't carry"),
        (("--path", "/orders", "--listener", "nowhere"), "there is no listener 'nowhere'"),
    ],
)
async def test_wrong_use_is_told_with_status_64(gw: Gateway, arguments: tuple[str, ...], sentence: str) -> None:
    status, out, error = await explained(gw, *arguments)
    assert (status, out) == (64, "")
    assert sentence in error


async def test_who_does_not_exist_is_told(gw: Gateway) -> None:
    status, _, error = await explained(gw, "--path", "/orders", "--consumer", "acne")
    assert status == 1 and "There is no Consumer 'acne'. Did you mean 'acme'?" in error
    status, _, error = await explained(gw, "--path", "/orders", "--issuer", "crop", "--subject", "ines")
    assert status == 1 and "There is no Issuer 'crop'. Did you mean 'corp'?" in error


async def recorded(gw: Gateway, answer: httpx.Response) -> str:
    """The request's id, once its record is written."""
    return str((await gw.record(answer))["request_id"])


async def test_a_refusal_is_explained_by_its_id(gw: Gateway, keys: Mapping[str, str]) -> None:
    ident = await recorded(gw, await gw.request("POST", "/orders/refunds", headers={"x-api-key": keys["globex"]}))
    status, out, _ = await explained(gw, ident)
    assert status == 0
    lines = out.splitlines()
    assert lines[1] == "by Authorize/gold-refunds: its condition didn't hold"
    first = lines.index("policies, in the order of the chain:") + 1
    assert lines[first : first + 5] == [
        "  Authenticate/callers: allowed",
        "  Authorize/candidate: denied (shadow)",
        "  Authorize/gold-refunds: denied",
        "  RateLimit/by-plan: not reached",
        "  Protect/default: applies",
    ]
    assert lines[-1] == 'Authorize/gold-refunds lets through where: principal.plan == "gold" && principal.level >= 5'


async def test_a_stranger_is_told_what_every_policy_would_have_wanted(gw: Gateway) -> None:
    ident = await recorded(gw, await gw.get("/orders/eu"))
    told = json.loads((await explained(gw, ident, "--json"))[1])
    assert told["decision"]["by"] == "Authenticate/callers"
    assert told["remedy"] == [
        "Authenticate/callers lets through with an API key or a token of corp",
        'Authorize/europe lets through where: "eu" in principal.regions && principal.staff',
        'Authorize/operators lets through where: "ops" in principal.groups',
    ]


async def test_a_used_up_limit_is_named(gw: Gateway, keys: Mapping[str, str]) -> None:
    answers = [await gw.get("/orders/limited", headers={"x-api-key": keys["acme"]}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    told = json.loads((await explained(gw, await recorded(gw, answers[-1]), "--json"))[1])
    assert (told["decision"]["by"], told["decision"]["why"]) == ("RateLimit/tight", "a limit is used up")
    said = {one["policy"]: one["said"] for one in told["decision"]["verdicts"]}
    assert said["RateLimit/tight"] == "denied" and said["Authenticate/callers"] == "allowed"
    assert told["remedy"] == ["RateLimit/tight lets through 2/hour, for each principal.id"]
    let_through = json.loads((await explained(gw, await recorded(gw, answers[0]), "--json"))[1])["decision"]
    assert {one["policy"]: one["said"] for one in let_through["verdicts"]}["RateLimit/tight"] == "counted"


async def test_an_unknown_id_is_told(gw: Gateway) -> None:
    status, out, error = await explained(gw, "7f671899-5a5a-4b79-8517-d8b9b76b25f2")
    assert (status, out) == (1, "") and "there is no record of" in error


async def test_it_tells_when_the_policies_are_newer_than_the_record(gw: Gateway, keys: Mapping[str, str]) -> None:
    ident = await recorded(gw, await gw.request("POST", "/orders/refunds", headers={"x-api-key": keys["globex"]}))
    elsewhere = await recorded(gw, await gw.get("/reports", headers={"host": "reports.example.com"}))
    assert json.loads((await explained(gw, ident, "--json"))[1])["notes"] == []
    before = (await gw.status())["revision"]
    after = (await gw.edit("policies.yaml", POLICIES.replace("principal.level >= 5", "principal.level >= 6")))["revision"]
    try:
        told = json.loads((await explained(gw, ident, "--json"))[1])
        assert told["notes"] == [f"The policies have changed since: revision {before} judged this, their text is that of {after}."]
        assert told["remedy"] == ['Authorize/gold-refunds lets through where: principal.plan == "gold" && principal.level >= 6']
        # Where nothing has changed, the record's revision still stands.
        assert json.loads((await explained(gw, elsewhere, "--json"))[1])["notes"] == []
    finally:
        await gw.edit("policies.yaml", POLICIES)


async def test_it_tells_when_the_files_are_not_what_runs(gw: Gateway) -> None:
    running = (await gw.status())["revision"]
    await gw.edit("broken.yaml", "kind: Consumer\nname: acme\n", enforced=False)
    try:
        status, out, _ = await explained(gw, "--path", "/orders", "--consumer", "acme")
        assert status == 1 and "name-taken" in out
    finally:
        (gw.files / "broken.yaml").unlink()
        await gw.until(lambda now: not now["refused"] and now["revision"] == running)


async def test_without_a_gateway_the_record_is_told_all_the_same(gw: Gateway, keys: Mapping[str, str], tmp_path: Path) -> None:
    answer = await gw.request("POST", "/orders/refunds", headers={"x-api-key": keys["globex"]})
    record = await gw.record(answer)
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "requests.jsonl").write_text(json.dumps(record) + "\n")
    told = json.loads((await explained(gw, "--state", str(tmp_path), "--json", record["request_id"]))[1])
    assert told["decision"]["by"] == "Authorize/gold-refunds"
    assert told["remedy"] == [] and "No gateway runs with this state" in told["notes"][0]
    told = json.loads((await explained(gw, "--state", str(tmp_path), "-f", str(gw.files), "--json", record["request_id"]))[1])
    assert told["remedy"] and told["notes"] == []
    status, _, error = await explained(gw, "--state", str(tmp_path), "--path", "/orders")
    assert status == 1 and "No gateway runs with the state" in error


GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "explain.md").read_text()
SHOWN = re.findall(r"```console\n\$ bartizan explain (.*)\n((?:.*\n)*?)```", GUIDE)


@pytest.mark.parametrize(("command", "output"), SHOWN, ids=["refused", "let-through"])
async def test_what_the_guide_shows_is_what_is_printed(gw: Gateway, monkeypatch: pytest.MonkeyPatch, command: str, output: str) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    status, out, _ = await explained(gw, *shlex.split(command))
    revision = re.compile(r"revision \w{16}")
    assert (status, revision.sub("", out)) == (0, revision.sub("", output))
