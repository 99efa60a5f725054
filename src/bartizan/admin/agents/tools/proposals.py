"""Changes that an agent drafts: looked at for mistakes, proposed to people, and read again. None is ever applied here."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import orjson
from pydantic import Field, JsonValue

from bartizan.admin.agents.sight import HIDDEN, Sight
from bartizan.admin.agents.tools._kind import Agent, Answer, Takes, Tool
from bartizan.admin.agents.untrusted import plain, untrusted
from bartizan.admin.plane import Documents
from bartizan.admin.routes.proposals import proposed
from bartizan.admin.routes.resources import Edits
from bartizan.admin.teams import CODE, check_live
from bartizan.admin.trusted import check_inside
from bartizan.errors import Forbidden, Invalid
from bartizan.model.problem import Place, Problem
from bartizan.store import Proposal

_MOST_PROBLEMS = 100
_LONGEST = 4096
"""Characters of one text in a document of a proposal."""


class Drafted(Takes):
    """A draft."""

    put: list[dict[str, JsonValue]] = Field(
        default_factory=list, max_length=100, description="Whole documents with their kind and name, as `read_resource` gives them."
    )
    delete: list[str] = Field(default_factory=list, max_length=100, description="What is taken away, as kind/name.")


class Proposing(Drafted):
    """A draft, and why."""

    message: str = Field(min_length=3, max_length=200, description="Why, in a sentence for the person who decides.")


class OfProposal(Takes):
    """Which proposal."""

    id: str = Field(pattern=r"^prp_[0-9a-f]{1,32}$", description="As `list_proposals` gives it.")


class NoArguments(Takes):
    """Nothing."""


async def _documents(agent: Agent, wanted: Drafted, sight: Sight) -> Documents:
    """What the draft puts and takes away. Forbidden if the caller may not have that changed; NotFound for what it can't see."""
    documents = Edits(put=wanted.put, delete=wanted.delete).documents(sight.snapshot)
    check_live(agent.caller.team, documents)
    for key, body in documents.items():
        if body is None:
            sight.resource(key)
    # What leads inside is refused by names and addresses alone: whoever can have names resolved can tell things to whoever owns them.
    await check_inside([body for body in documents.values() if body is not None], sight.snapshot, resolve=False)
    return documents


_Done = TypeVar("_Done")


async def _drafted(agent: Agent, wanted: Drafted, act: Callable[[Documents], Awaitable[_Done]]) -> _Done:
    """What becomes of a draft. Refusals don't name what isn't seen."""
    sight = await agent.sight()
    documents: Documents = {}
    try:
        documents = await _documents(agent, wanted, sight)
        return await act(documents)
    except Invalid as error:
        own = {f"api/{kind}/{name}" for kind, name in documents}
        found = [one for one in error.problems if isinstance(one, Problem)][:_MOST_PROBLEMS]
        told = tuple(_problem(one, sight, own=one.at.file in own) for one in found)
        raise Invalid(sight.told(error.message), problems=told, code=error.code) from None
    except Forbidden as error:
        raise _discreet(error, agent) from None


def _problem(one: Problem, sight: Sight, *, own: bool) -> Problem:
    """The mistake, without the names of what isn't seen."""
    if not own and not sight.policy(one.at.path.partition(":")[0]):
        return Problem(Place("", 0, HIDDEN), one.code, f"it doesn't go together with {HIDDEN}")
    path = one.at.path or one.at.file.removeprefix("api/")
    return Problem(Place("", 0, path), one.code, sight.told(one.message), sight.told(one.hint))


def _discreet(error: Forbidden, agent: Agent) -> Forbidden:
    """A refusal that doesn't say what there is beside the team's things."""
    team = agent.caller.team
    if team is None or error.code != CODE:
        return error
    told = (
        f"Not all of it is your team's. Put APIs of the team {team}, and policies whose `target.api` is one of these, by names of your own."
    )
    return Forbidden(told, code=CODE)


async def _checked(agent: Agent, wanted: Drafted) -> Answer:
    async def act(documents: Documents) -> Answer:
        await agent.plane.judged(documents, agent.caller.by())
        return {"good": True}

    return await _drafted(agent, wanted, act)


async def _proposed(agent: Agent, wanted: Proposing) -> Answer:
    if not wanted.message.isprintable():
        raise Invalid("The message holds a character that can't be printed.", code="message-unprintable")
    made = await _drafted(agent, wanted, lambda documents: agent.plane.proposals.make(documents, agent.caller.by(wanted.message)))
    told = "It changes nothing until a person applies it. You can't, and you can't approve what becomes of it."
    return {"proposal": _line(made), "note": told, "look": f"bartizan proposal diff {made.id}"}


def _line(one: Proposal) -> dict[str, Any]:
    told = proposed(one).model_dump()
    return {**told, "author": plain(one.draft.author), "message": untrusted(one.draft.message)}


async def _listed(agent: Agent, _: NoArguments) -> Answer:
    return {"proposals": [_line(one) for one in await agent.plane.proposals.all(agent.caller.team)]}


async def _read(agent: Agent, wanted: OfProposal) -> Answer:
    one = await agent.plane.proposals.one(wanted.id, agent.caller.team)
    newest, stale = await agent.plane.proposals.stale(one)
    put = [orjson.loads(body) for _, body in sorted(one.draft.put.items())]
    gone = sorted("/".join(key) for key in one.draft.delete)
    return {"proposal": _line(one), "put": untrusted(put, _LONGEST), "delete": gone, "newest": newest, "stale": stale}


TOOLS = (
    Tool(
        "check_change",
        "Looks for mistakes in a draft of a change, as `bartizan check` does: it is good, or you get every problem with its place. It "
        "tells nothing of what the change would let through or refuse, and keeps nothing.",
        Drafted,
        _checked,
        needs="propose",
        costs="draft",
    ),
    Tool(
        "propose_change",
        "Proposes a change to the people who run the gateway. It changes nothing: one of them looks at it, and applies or discards it. It "
        "has to be without mistakes (`check_change`), and is kept for two weeks.",
        Proposing,
        _proposed,
        needs="propose",
        costs="draft",
        proposes=True,
    ),
    Tool("list_proposals", "The proposals that nobody has applied or discarded yet, the newest first.", NoArguments, _listed),
    Tool("read_proposal", "Reads one proposal, and whether what it touches has changed since.", OfProposal, _read),
)
