"""What is no good any more: dead rules, wide ones, and what ends soon."""

from typing import Any

from bartizan.admin.agents.sight import Sight
from bartizan.admin.agents.tools._kind import Agent, Answer, Takes, Tool
from bartizan.admin.agents.untrusted import plain
from bartizan.model.problem import Problem

_MOST = 200


class NoArguments(Takes):
    """Nothing."""


async def _findings(agent: Agent, _: NoArguments) -> Answer:
    sight = await agent.sight()
    found = [one for one in await agent.plane.hygiene.findings() if sight.policy(one.at.path.partition(":")[0])]
    return {"findings": [_told(one, sight) for one in found[:_MOST]], "more": max(0, len(found) - _MOST)}


def _told(one: Problem, sight: Sight) -> dict[str, Any]:
    return {"code": one.code, "at": one.at.path, "message": plain(sight.told(one.message)), "hint": plain(sight.told(one.hint))}


TOOLS = (
    Tool(
        "list_findings",
        "Rules of the active revision that are no good any more: that decide nothing because another refuses all that they would, that let "
        "everything through, or that end within 30 days.",
        NoArguments,
        _findings,
    ),
)
