"""Conditions give one verdict however they are judged: by Envoy's matchers, as CEL in Envoy, and by cel-cpp as they are written."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from condition_lab import ORACLE, SCHEMA, SCRATCH, World, forms, judging, verdict, verdicts
from condition_maker import Maker
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bartizan.condition import Sources, choice, parse
from bartizan.envoy import extension, message

CONDITIONS, WORLDS = 150, 60


@settings(max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck))
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
