"""Resource policies: Envoy and AWS's rules give one verdict, whatever the document."""

import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.message import Message

from bartizan.condition import Sources
from bartizan.envoy import message
from bartizan.model.api import Api
from bartizan.model.gateway import Gateway as Declared
from bartizan.policies import Place
from bartizan.policies.resource_policy import ResourcePolicy
from tests.certificates import authority
from tests.e2e.aws_maker import API, GATEWAY, Maker, request_of
from tests.e2e.aws_reference import allowed
from tests.e2e.condition_lab import SCHEMA, SCRATCH, World, judging, verdicts

DOCUMENTS, WORLDS = 150, 60
API_DECLARED = Api.model_validate({"kind": "Api", "name": API, "paths": ["/"], "upstream": "http://127.0.0.1:1"})
GATEWAY_DECLARED = Declared.model_validate({"kind": "Gateway", "name": GATEWAY, "listeners": [{"name": "web", "address": "127.0.0.1:1"}]})


def predicate(document: dict[str, Any], sources: Sources = SCRATCH) -> Message:
    """What a policy with this document lets through."""
    policy = ResourcePolicy(name="p", document=document)
    faults = list(policy.faults(SCHEMA, {}))
    assert not faults, (document, faults)
    place = Place(policy.id, False, API_DECLARED, "/", GATEWAY_DECLARED, SCHEMA, sources)
    fragment = policy.compile(place)
    assert fragment.permit is not None and not fragment.filters
    found: Message = fragment.permit
    return found


@pytest.mark.parametrize("seed", range(4))
def test_envoy_decides_as_aws_does(seed: int, tmp_path: Path) -> None:
    maker = Maker(seed)
    documents = [maker.document() for _ in range(DOCUMENTS)]
    worlds = [World(), *(maker.world() for _ in range(WORLDS))]
    differ: list[tuple[Any, World, bool]] = []
    let_through = 0
    with judging(tmp_path, [predicate(one) for one in documents]) as address, httpx.Client() as client:
        client.headers.clear()
        for world in worlds:
            request = request_of(world)
            for document, got in zip(documents, verdicts(world.ask(client, address)), strict=True):
                let_through += got
                if got != allowed(document, request):
                    differ.append((document, world, got))
    assert not differ, min(differ, key=lambda each: len(str(each[0])))
    assert let_through > len(documents) * len(worlds) / 20


def _document(**statement: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*", **statement}}


def test_the_clock_the_connection_and_its_tls_count_in_production(tmp_path: Path) -> None:
    """With the sources that a gateway really has: headers that a caller sends change nothing."""
    conditions: list[tuple[dict[str, Any], bool, bool]] = [
        ({"Bool": {"aws:SecureTransport": True}}, False, True),
        ({"Bool": {"aws:SecureTransport": "false"}}, True, False),
        ({"Null": {"aws:SecureTransport": False}}, True, True),
        ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, True, True),
        ({"NotIpAddress": {"aws:SourceIp": ["127.0.0.0/8", "::/0"]}}, False, False),
        ({"DateGreaterThan": {"aws:CurrentTime": "2024-01-01T00:00:00Z"}, "NumericLessThan": {"aws:EpochTime": 32503680000}}, True, True),
        ({"DateLessThan": {"aws:EpochTime": "2024-01-01"}}, False, False),
    ]
    predicates = [predicate(_document(Condition=condition), Sources()) for condition, _, _ in conditions]
    root = authority("Web")
    certificate, key = root.server().save(tmp_path, "web")
    pair = {"certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}
    tls = message("envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", common_tls_context={"tls_certificates": [pair]})
    forged = {"x-bartizan-now": "2001-01-01T00:00:00Z", "x-bartizan-source": "10.0.0.1", "x-bartizan-secure": "true"}
    forged |= {"x-forwarded-proto": "https"}
    with judging(tmp_path, predicates) as address:
        assert verdicts(httpx.get(f"http://{address}/", headers=forged)) == [plain for _, plain, _ in conditions]
    context = ssl.create_default_context(cadata=root.pem.decode())
    with judging(tmp_path, predicates, tls) as address, httpx.Client(verify=context) as client:
        answer = client.get(f"https://localhost:{address.rpartition(':')[2]}/", headers={**forged, "x-bartizan-secure": "false"})
        assert verdicts(answer) == [secure for _, _, secure in conditions]
