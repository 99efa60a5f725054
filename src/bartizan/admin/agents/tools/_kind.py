"""What a tool is: a name, what an agent is told of it, what it takes, and what it answers. One file holds those about one thing."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from bartizan.admin.access import Caller
from bartizan.admin.agents.sight import Sight
from bartizan.admin.plane import Plane

Answer = dict[str, Any]


class Takes(BaseModel):
    """The arguments of a tool."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Agent:
    """Who asks, and whom the answer comes from."""

    plane: Plane
    caller: Caller

    async def sight(self) -> Sight:
        """What it may see of what is newest."""
        return Sight(self.caller.team, await self.plane.newest(), self.plane.store.revisions)


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool."""

    name: str
    told: str
    """What an agent reads of it."""
    takes: type[Takes]
    answer: Callable[[Agent, Any], Awaitable[Answer]]
    """An object of JSON. Raises BartizanError."""
    needs: Literal["view", "propose"] = "view"
    """What the token's role must allow."""
    costs: Literal["", "look", "draft"] = ""
    """Which further bound it counts against: a look at a recorded request, or a draft that is judged."""
    proposes: bool = False
    """It leaves something behind: only where the operator lets agents propose."""
