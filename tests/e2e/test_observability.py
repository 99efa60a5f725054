"""What is seen of the gateway: health, metrics, traces, records that rotate, request ids that can't be forged."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import pytest
import pytest_asyncio

from bartizan.telemetry.decision import Verdict, decision_of
from tests.e2e.gateway import Gateway, free_port, gateway, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:{port}"}]
otlp: http://127.0.0.1:OTLP
records: {pseudonymise: true, rotate: 20KiB, keep: 5MiB}
---
kind: Api
name: open
paths: [/open]
upstream: http://127.0.0.1:UPSTREAM
---
kind: Public
name: open
reason: what is seen of requests doesn't need a caller
---
kind: Authorize
name: only-get
mode: shadow
allow: request.method == "GET"
"""


class Collector:
    """A real OTLP receiver over gRPC that keeps what it is sent."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.port = free_port()
        self.server = grpc.aio.server()
        handler = grpc.unary_unary_rpc_method_handler(self._export)
        service = grpc.method_handlers_generic_handler("opentelemetry.proto.collector.trace.v1.TraceService", {"Export": handler})
        self.server.add_generic_rpc_handlers((service,))
        self.server.add_insecure_port(f"127.0.0.1:{self.port}")

    async def _export(self, request: bytes, _: object) -> bytes:
        self.received.append(request)
        return b""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def collector() -> AsyncIterator[Collector]:
    made = Collector()
    await made.server.start()
    yield made
    await made.server.stop(None)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gw(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> AsyncIterator[Gateway]:
    with upstream() as port:
        text = FILES.replace("UPSTREAM", str(port)).replace("OTLP", str(collector.port))
        async with gateway(tmp_path_factory.mktemp("seen"), {"all.yaml": text}) as made:
            yield made


async def test_health_and_metrics(gw: Gateway) -> None:
    assert (await gw.get("/open")).status_code == 200
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gw.admin}") as client:
        assert (await client.get("/healthz")).text == "ok\n"
        assert (await client.get("/readyz")).status_code == 200
        text = (await client.get("/metrics")).text
    revision = (await gw.status())["revision"]
    assert f'bartizan_info{{version="0.1.0",revision="{revision}"}} 1' in text
    assert "\nbartizan_nodes_connected 1\n" in text
    assert "\nbartizan_envoy_up 1\n" in text
    assert "envoy_http_downstream_rq_total{" in text


async def test_a_trace_goes_on_and_is_exported(gw: Gateway, collector: Collector) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = await gw.get("/open", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    passed_on = dict(answer.json()["headers"])["traceparent"]
    assert passed_on.split("-")[1] == trace

    async def exported() -> bool:
        return any(bytes.fromhex(trace) in batch for batch in collector.received)

    await gw.eventually(exported, 12)


async def test_a_request_id_cant_be_chosen_by_the_caller(gw: Gateway) -> None:
    chosen = "00000000-0000-4000-8000-000000000000"
    answer = await gw.get("/open", headers={"x-request-id": chosen})
    assert answer.headers["x-request-id"] != chosen


async def test_shadow_verdicts_and_pseudonyms_are_in_the_record(gw: Gateway) -> None:
    answer = await gw.request("POST", "/open", content=b"x")
    assert answer.status_code == 200
    record = await gw.record(answer)
    assert record["shadows"]["Authorize/only-get.shadow_engine_result"] == "denied"
    assert decision_of(record).verdicts == (Verdict("Authorize/only-get", "denied", True),)
    allowed = await gw.record(await gw.get("/open"))
    assert decision_of(allowed).verdicts == (Verdict("Authorize/only-get", "allowed", True),)
    assert record["source"] == "127.0.0.0/24"
    assert record["status"] == 200


async def test_records_rotate_and_none_is_lost(gw: Gateway) -> None:
    folder: Path = gw.state / "records"
    sent = 0
    for _ in range(12):
        answers = await asyncio.gather(*(gw.get(f"/open/{'x' * 500}") for _ in range(40)))
        assert all(answer.status_code == 200 for answer in answers)
        sent += len(answers)
        await asyncio.sleep(0.3)

    async def all_there() -> bool:
        files = [*folder.glob("requests-*.jsonl"), folder / "requests.jsonl"]
        lines = [line for path in files if path.exists() for line in path.read_text().split("\n")[:-1]]
        assert all(json.loads(line)["api"] == "open" for line in lines)
        return len(files) > 1 and sum("xxx" in line for line in lines) == sent

    await gw.eventually(all_there, 10)
