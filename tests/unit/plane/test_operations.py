"""A change is judged by what it is made of, whatever was looked at before."""

from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from bartizan.errors import Conflict, Forbidden
from bartizan.plane.living import Living
from bartizan.plane.operations import Operations
from bartizan.rollout.asking import By
from tests.unit.plane.test_desk import Rig, compiled, rig

__all__ = ["rig"]
FILES = """
kind: Gateway
name: edge
listeners: [{name: web, address: "127.0.0.1:8080"}]
teams: {orders: {paths: [/orders]}, billing: {paths: [/bills]}}
---
kind: Api
name: orders
team: orders
paths: [/orders]
upstream: http://192.0.2.1
---
kind: Public
name: all
reason: for tests of changes alone
"""
NOBODY = cast(Any, None)
ORDERS = {"kind": "Api", "name": "orders", "team": "orders", "paths": ["/orders"], "upstream": "http://192.0.2.1"}
HERS = By("bob", "m", "192.0.2.1", team="orders")


async def operations(rig: Rig, folder: Path) -> Operations:
    """As far as changes need them."""
    await rig.began(FILES)
    rest = (NOBODY, NOBODY, NOBODY, rig.desk.line.store, NOBODY, NOBODY, NOBODY)
    return Operations(rig.desk, Living(folder, folder, lambda: None), *rest, folder, folder, dict, NOBODY, NOBODY)


def documents(**fields: object) -> dict[tuple[str, str], bytes | None]:
    return {("Api", "orders"): orjson.dumps({**ORDERS, **fields})}


async def test_what_came_since_it_was_looked_at_is_a_conflict(rig: Rig, tmp_path: Path) -> None:
    made = await operations(rig, tmp_path)
    seen = (await made.newest()).revision
    assert seen == compiled(FILES).snapshot.revision
    await made.change(documents(timeout="9s"), By("ann"), None, seen=seen)
    await rig.served()
    with pytest.raises(Conflict):
        await made.change(documents(timeout="8s"), By("bob"), None, seen=seen)
    await made.change(documents(timeout="8s"), By("bob"), None, seen=(await made.newest()).revision)


async def test_an_api_that_was_given_away_meanwhile_isnt_taken_back(rig: Rig, tmp_path: Path) -> None:
    made = await operations(rig, tmp_path)
    await made.change(documents(timeout="9s"), HERS, None)
    await made.change(documents(team="billing", paths=["/bills"]), By("ann"), None)
    for again in (documents(), documents(timeout="1s"), {("Api", "orders"): None}):
        with pytest.raises(Forbidden):
            await made.change(again, HERS, None)
    with pytest.raises(Forbidden):
        await made.roll_back(None, HERS, owner=False)
