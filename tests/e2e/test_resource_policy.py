"""Resource policies: Envoy and AWS's rules give one verdict, whatever the document; and a gateway enforces them end to end."""

from typing import Any

import httpx
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bartizan.condition import Sources
from bartizan.envoy import message
from bartizan.model.api import Api
from bartizan.model.gateway import Gateway as Declared
from bartizan.policies import Place
from bartizan.policies.resource_policy import ResourcePolicy
from tests.e2e.aws_maker import API, GATEWAY, Maker, request_of
from tests.e2e.aws_reference import allowed
from tests.e2e.condition_lab import SCHEMA, SCRATCH, World, judging, verdicts

DOCUMENTS, WORLDS = 150, 60
API_DECLARED = Api.model_validate({"kind": "Api", "name": API, "paths": ["/"], "upstream": "http://127.0.0.1:1"})
GATEWAY_DECLARED = Declared.model_validate({"kind": "Gateway", "name": GATEWAY, "listeners": [{"name": "web", "address": "127.0.0.1:1"}]})


def predicate(document: dict[str, Any], sources: Sources = SCRATCH) -> Message:
    """What a policy with this document lets through, taken out of its filter."""
    policy = ResourcePolicy(name="p", document=document)
    faults = list(policy.faults(SCHEMA, {}))
    assert not faults, (document, faults)
    place = Place(policy.id, False, API_DECLARED, "/", GATEWAY_DECLARED, SCHEMA, sources)
    (one,) = policy.compile(place).filters
    rbac = message("envoy.extensions.filters.http.rbac.v3.RBAC")
    assert one.typed_config.Unpack(rbac)
    found: Message = rbac.matcher.matcher_list.matchers[0].predicate
    return found


@settings(max_examples=4, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_envoy_decides_as_aws_does(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    maker = Maker(seed)
    documents = [maker.document() for _ in range(DOCUMENTS)]
    worlds = [World(), *(maker.world() for _ in range(WORLDS))]
    differ: list[tuple[Any, World, bool]] = []
    let_through = 0
    with judging(tmp_path_factory.mktemp("envoy"), [predicate(one) for one in documents]) as address, httpx.Client() as client:
        client.headers.clear()
        for world in worlds:
            request = request_of(world)
            for document, got in zip(documents, verdicts(world.ask(client, address)), strict=True):
                let_through += got
                if got != allowed(document, request):
                    differ.append((document, world, got))
    assert not differ, min(differ, key=lambda each: len(str(each[0])))
    assert let_through > len(documents) * len(worlds) / 20
