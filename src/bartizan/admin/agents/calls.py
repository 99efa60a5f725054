"""What becomes of an agent's call of a tool: who may, how often, and what is told if it can't be."""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import ValidationError

from bartizan.admin.access import Caller, check_may
from bartizan.admin.agents.bounds import Rate
from bartizan.admin.agents.tools import TOOLS, Agent, Answer, Tool
from bartizan.admin.agents.untrusted import clean, plain
from bartizan.admin.options import Agents
from bartizan.admin.plane import Plane
from bartizan.errors import BartizanError, Forbidden, Invalid, NotFound, TooMany, Unavailable
from bartizan.model.problem import Place, Problem
from bartizan.store import Event

CALLS, LOOKS, DRAFTS = (120, 600), (30, 60), (20, 60)
"""Of one operator, and of all, in a minute: calls, looks at recorded requests, drafts that are judged."""
AT_ONCE, MOST_RUNNING = 2, 32
"""So many looks, and so many drafts, go on at the same time; so many calls begun in all."""
_TAKES_S = 30.0
LARGEST = 256 << 10
"""Bytes of an answer."""
_BY_NAME = {tool.name: tool for tool in TOOLS}


class Calls:
    """The tools of one control plane, for whoever may use them."""

    def __init__(self, plane: Plane, agents: Agents) -> None:
        self._plane, self._proposing = plane, agents == "propose"
        self._calls = Rate(*CALLS, "Agents may call tools")
        self._of = {
            "look": Rate(*LOOKS, "Agents may look at recorded requests"),
            "draft": Rate(*DRAFTS, "Agents may have drafts looked at"),
        }
        self._turns = {what: asyncio.Semaphore(AT_ONCE) for what in self._of}
        self._running: set[asyncio.Task[Answer]] = set()

    def listed(self, caller: Caller) -> list[Tool]:
        """The tools that this caller may use."""
        return [one for one in TOOLS if caller.may(one.needs) and (self._proposing or not one.proposes)]

    async def call(self, caller: Caller, name: str, arguments: Mapping[str, Any]) -> tuple[bytes, bool]:
        """The answer of a tool as JSON, and whether it is one. If not, it says why."""
        try:
            return await self._answered(caller, name, arguments), True
        except BartizanError as error:
            if isinstance(error, Forbidden | TooMany):
                known = name if name in _BY_NAME else "unknown"
                self._plane.refused(
                    Event(caller.name, "operator.refused", f"MCP {known}", caller.origin, error.code, {"status": error.status})
                )
            return orjson.dumps(told(error)), False

    async def _answered(self, caller: Caller, name: str, arguments: Mapping[str, Any]) -> bytes:
        self._calls.take(caller.name)
        if (tool := _BY_NAME.get(name)) is None:
            raise NotFound(f"There is no tool {plain(name, 64)!r}.", code="tool-unknown")
        check_may(caller, tool.needs)
        if tool.proposes and not self._proposing:
            raise Forbidden("Nobody proposes here: `bartizan up --mcp propose` would let agents.", code="proposing-off")
        if tool.costs:
            self._of[tool.costs].take(caller.name)
        answer = orjson.dumps(await self._done(tool, Agent(self._plane, caller), _wanted(tool, arguments)), option=orjson.OPT_NON_STR_KEYS)
        if len(answer) > LARGEST:
            raise Unavailable(f"The answer is larger than {LARGEST >> 10} KiB: ask for less.", code="answer-too-large")
        return answer

    async def _done(self, tool: Tool, agent: Agent, wanted: Any) -> Answer:
        """What the tool answers. If whoever asked doesn't wait for it any longer, it comes to its end all the same: what it has begun in a
        thread can't be stopped, and another isn't to be begun beside it."""
        if len(self._running) >= MOST_RUNNING:
            raise TooMany("Too much is being looked at already. Try again in a moment.", code="agents-busy")
        task = asyncio.create_task(self._in_turn(tool, agent, wanted))
        self._running.add(task)
        task.add_done_callback(self._ended)
        done, _ = await asyncio.wait({task}, timeout=_TAKES_S)
        if not done:
            raise Unavailable(f"It takes longer than {_TAKES_S:.0f} s. Try again later.", code="agents-too-slow")
        return task.result()

    async def _in_turn(self, tool: Tool, agent: Agent, wanted: Any) -> Answer:
        if not tool.costs:
            return await tool.answer(agent, wanted)
        async with self._turns[tool.costs]:
            return await tool.answer(agent, wanted)

    def _ended(self, task: asyncio.Task[Answer]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits for it is told


def _wanted(tool: Tool, arguments: Mapping[str, Any]) -> Any:
    try:
        return tool.takes.model_validate(dict(arguments))
    except ValidationError as error:
        problems = tuple(
            Problem(Place("", 0, ".".join(map(str, one["loc"]))), "field-" + one["type"].replace("_", "-"), one["msg"])
            for one in error.errors(include_url=False, include_input=False, include_context=False)
        )
        raise Invalid(f"{tool.name} takes other arguments.", problems=problems, code="arguments-wrong") from None


def told(error: BartizanError) -> dict[str, Any]:
    """What an agent is told of it. Words of its own arguments may come back in it, so it is cleaned."""
    problems = [one for one in error.problems if isinstance(one, Problem)] if isinstance(error, Invalid) else []
    listed = [{"code": one.code, "at": one.at.path, "message": one.message, "hint": one.hint} for one in problems]
    return {"error": {"code": error.code, "message": plain(error.message, 1000), "problems": [clean(one, 1000) for one in listed]}}
