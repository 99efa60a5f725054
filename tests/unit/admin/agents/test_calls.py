"""Which tools there are for whom, and what is told if one can't be called."""

import asyncio
from typing import Any, cast

import orjson
import pytest

from bartizan.admin.access import Caller
from bartizan.admin.agents import calls as calls_module
from bartizan.admin.agents.calls import Calls
from bartizan.admin.agents.tools import TOOLS, Takes, Tool
from bartizan.admin.options import Agents
from bartizan.errors import Forbidden
from bartizan.identity.operators import ROLES, Operator, Role
from bartizan.store import Event


class Plane:
    """Keeps what was refused."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def refused(self, event: Event) -> None:
        self.events.append(event)


def caller(role: Role) -> Caller:
    return Caller(role, "192.0.2.1", Operator("tok_1", role, role, 0.0, None))


def calls(agents: Agents = "propose") -> tuple[Calls, Plane]:
    plane = Plane()
    return Calls(cast(Any, plane), agents), plane


@pytest.mark.parametrize("role", ROLES)
def test_each_role_has_its_tools(role: Role) -> None:
    drafts = {"check_change", "propose_change"} if role in {"proposer", "editor", "admin"} else set()
    every = {one.name for one in TOOLS} if role != "context" else set()  # another system, which sees nothing
    assert {one.name for one in calls()[0].listed(caller(role))} == every - ({"check_change", "propose_change"} - drafts)
    assert {one.name for one in calls("read")[0].listed(caller(role))} == every - {"propose_change"} - ({"check_change"} - drafts)


def test_every_tool_says_what_it_takes() -> None:
    assert len({one.name for one in TOOLS}) == len(TOOLS) == 12
    for one in TOOLS:
        schema = one.takes.model_json_schema()
        assert schema["additionalProperties"] is False
        assert all(field.get("description") for field in schema.get("properties", {}).values()), one.name
        assert one.told.endswith(".") and one.name.islower()
    assert [one.name for one in TOOLS if one.proposes] == ["propose_change"]


async def test_what_isnt_allowed_is_told_and_noted() -> None:
    for agents, role, name, code in (
        ("propose", "viewer", "propose_change", "role-too-low"),
        ("propose", "approver", "check_change", "role-too-low"),
        ("read", "admin", "propose_change", "proposing-off"),
    ):
        made, plane = calls(cast(Agents, agents))
        answer, good = await made.call(caller(cast(Role, role)), name, {})
        assert (good, orjson.loads(answer)["error"]["code"]) == (False, code)
        assert [(one.actor, one.target, one.result) for one in plane.events] == [(role, f"MCP {name}", code)]


async def test_wrong_arguments_are_told_without_what_they_hold() -> None:
    made, _ = calls()
    answer, good = await made.call(caller("viewer"), "read_resource", {"kind": ["s3cret"], "more": "s3cret"})
    told = orjson.loads(answer)["error"]
    assert not good and told["code"] == "arguments-wrong"
    assert {one["at"] for one in told["problems"]} == {"kind", "name", "more"}
    assert b"s3cret" not in answer
    answer, _ = await made.call(caller("viewer"), "x\u202e" * 500, {})
    assert orjson.loads(answer)["error"]["code"] == "tool-unknown" and len(answer) < 1000 and b"\xe2\x80\xae" not in answer


async def test_what_takes_too_long_goes_on_and_holds_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, began = asyncio.Event(), []

    async def slow(*_: object) -> dict[str, Any]:
        began.append(1)
        await gate.wait()
        return {}

    async def quick(*_: object) -> dict[str, Any]:
        return {}

    own = {"slow": Tool("slow", "", Takes, slow, costs="look"), "quick": Tool("quick", "", Takes, quick)}
    monkeypatch.setattr(calls_module, "_BY_NAME", own)
    monkeypatch.setattr(calls_module, "_TAKES_S", 0.05)
    made, _ = calls()
    for _ in range(4):
        answer, good = await made.call(caller("viewer"), "slow", {})
        assert not good and b"agents-too-slow" in answer
    assert len(began) == calls_module.AT_ONCE  # the others wait for them still
    assert (await made.call(caller("viewer"), "quick", {}))[1]
    monkeypatch.setattr(calls_module, "MOST_RUNNING", 4)
    assert b"agents-busy" in (await made.call(caller("viewer"), "quick", {}))[0]
    gate.set()
    await asyncio.sleep(0.05)
    assert len(began) == 4 and not made._running
    assert (await made.call(caller("viewer"), "slow", {}))[1]


async def test_an_answer_is_bounded_and_calls_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    async def large(*_: object) -> dict[str, Any]:
        return {"a": "x" * calls_module.LARGEST}

    async def refused(*_: object) -> dict[str, Any]:
        raise Forbidden("no\u202e")

    own = {"large": Tool("large", "", Takes, large), "refused": Tool("refused", "", Takes, refused)}
    monkeypatch.setattr(calls_module, "_BY_NAME", own)
    made, plane = calls()
    answer, good = await made.call(caller("viewer"), "large", {})
    assert not good and b"answer-too-large" in answer
    answer, good = await made.call(caller("viewer"), "refused", {})
    assert not good and orjson.loads(answer)["error"]["message"] == r"no\u202e"
    for _ in range(calls_module.CALLS[0] - 2):
        await made.call(caller("viewer"), "nothing", {})
    answer, _ = await made.call(caller("viewer"), "nothing", {})
    assert b"agents-too-often" in answer and plane.events[-1].result == "agents-too-often"
