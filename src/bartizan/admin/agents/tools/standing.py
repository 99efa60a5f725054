"""How the gateway stands: what is active, what is on its way, and the revisions of before."""

import asyncio
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from bartizan import __version__
from bartizan.admin.agents.sight import own_in
from bartizan.admin.agents.tools._kind import Agent, Answer, Takes, Tool
from bartizan.admin.agents.untrusted import clean, plain, untrusted
from bartizan.errors import BartizanError
from bartizan.model.snapshot import Key
from bartizan.store import Commit
from bartizan.store.revisions import Revisions

_MOST_STEPS = 20


class NoArguments(Takes):
    """Nothing."""


class Page(Takes):
    """Which commits."""

    before: int | None = Field(default=None, ge=1, le=2**31, description="Only commits before this number: the `next` of the page before.")
    limit: int = Field(default=10, ge=1, le=20, description="How many at most.")


async def _status(agent: Agent, _: NoArguments) -> Answer:
    told = agent.plane.status()
    nodes = told["nodes"]
    return {
        "version": __version__,
        "revision": told["revision"],
        "since": told["since"],
        "generation": told["generation"],
        "nodes": {
            "known": len(nodes),
            "connected": sum(bool(one["connected"]) for one in nodes),
            "acknowledged": sum(bool(one["acknowledged"]) for one in nodes),
        },
        "rollout": await _rollout(agent),
    }


async def _rollout(agent: Agent) -> Answer | None:
    """The newest rollout. Of one that isn't all the team's, only how far it is."""
    one = agent.plane.rollout
    if one is None:
        return None
    told = {"commit": one.number, "revision": one.revision, "status": one.status, "stage": one.stage, "stages": list(one.stages)}
    if not await _is_own(agent, one.before, one.revision):
        return {**told, "of": "others"}
    steps = [{"time": at, "what": plain(what)} for at, what in one.history[-_MOST_STEPS:]]
    people = {"author": plain(one.author), "also": list(map(plain, one.also)), "approved": list(map(plain, one.approved))}
    return {
        **told,
        **people,
        "why": untrusted(one.why),
        "history": untrusted(steps),
        "figures": untrusted({name: dict(each) for name, each in one.figures.items()}),
    }


async def _is_own(agent: Agent, before: str, after: str) -> bool:
    """Whether all that differs between two revisions is the team's."""
    team, revisions = agent.caller.team, agent.plane.store.revisions
    if team is None:
        return True
    try:
        old, new = [await asyncio.to_thread(_content, revisions, one) for one in (before, after)]
    except BartizanError:
        return False
    changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    own = own_in(old, team).keys() | own_in(new, team).keys()
    return bool(changed) and changed <= own


def _content(revisions: Revisions, revision: str) -> Mapping[Key, bytes]:
    return revisions.content(revisions.find(revision)).resources


async def _revisions(agent: Agent, wanted: Page) -> Answer:
    revisions = agent.plane.store.revisions
    found = await asyncio.to_thread(revisions.commits, before=wanted.before, limit=wanted.limit)
    if agent.caller.team is None:
        items = [_commit(one) for one in found]
    else:
        items = await asyncio.to_thread(_of_team, revisions, found, agent.caller.team)
    return {"commits": items, "next": found[-1].number if len(found) == wanted.limit and found[-1].number > 1 else None}


def _commit(one: Commit) -> dict[str, Any]:
    """A commit as it is told. Its message may be what an agent proposed."""
    own = {"number": one.number, "revision": one.revision, "time": one.time, "door": one.door, "author": plain(one.author)}
    return {**own, "message": untrusted(one.message), "loosens": clean(list(one.loosens))}


def _of_team(revisions: Revisions, found: tuple[Commit, ...], team: str) -> list[dict[str, Any]]:
    """The commits with what they changed of the team's; of others only that there was one."""
    oldest = revisions.commits(before=found[-1].number, limit=1) if found else ()
    line = [*found, *oldest]
    own = {one.revision: own_in(revisions.content(one).resources, team) for one in line}
    items: list[dict[str, Any]] = []
    for one, before in zip(line, [*line[1:], None], strict=True):
        if one not in found:
            continue
        new, old = own[one.revision], own[before.revision] if before is not None else {}
        touched = sorted("/".join(key) for key in new.keys() | old.keys() if new.get(key) != old.get(key))
        told: dict[str, Any] = {"number": one.number, "revision": one.revision, "time": one.time, "touches": touched}
        items.append({**told, "author": plain(one.author), "message": untrusted(one.message)} if touched else told)
    return items


TOOLS = (
    Tool(
        "gateway_status",
        "The active revision, how many nodes have it, and the rollout that is under way or was the last.",
        NoArguments,
        _status,
    ),
    Tool(
        "list_revisions",
        "The kept revisions, the newest first: who made them, when and why. With a token of a team: what each changed of the team's.",
        Page,
        _revisions,
    ),
)
