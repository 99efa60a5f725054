"""What is declared: listed, read, and the manual of each kind."""

from typing import Any

from pydantic import Field

from bartizan.admin.agents.tools._kind import Agent, Answer, Takes, Tool
from bartizan.compile.manual import manual, summary
from bartizan.compile.read import TYPES
from bartizan.errors import NotFound
from bartizan.model.snapshot import LIVE_KINDS, Resource
from bartizan.policies import PolicyKind


class Listed(Takes):
    """Which are listed."""

    kind: str = Field(default="", max_length=64, description="Only those of this kind, such as Authorize.")
    after: str = Field(default="", max_length=200, description="The `next` of the page before.")
    limit: int = Field(default=50, ge=1, le=100, description="How many at most.")


class Named(Takes):
    """Which one."""

    kind: str = Field(max_length=64, description="Such as Authorize.")
    name: str = Field(max_length=64, description="Its name.")


class OfKind(Takes):
    """Which kind."""

    kind: str = Field(default="", max_length=64, description="Such as Authorize; without it, all kinds are listed.")


async def _listed(agent: Agent, wanted: Listed) -> Answer:
    sight = await agent.sight()
    seen = [(f"{one.kind}/{one.name}", one) for one in sight.resources() if wanted.kind in {"", one.kind}]
    chosen = [(name, one) for name, one in sorted(seen, key=lambda pair: pair[0]) if name > wanted.after]
    more = chosen[wanted.limit - 1][0] if len(chosen) > wanted.limit else None
    return {"resources": [_line(one) for _, one in chosen[: wanted.limit]], "next": more, "revision": sight.snapshot.revision}


def _line(one: Resource) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": one.kind, "name": one.name, "summary": summary(one.kind)}
    if isinstance(one.value, PolicyKind):
        target = one.value.target.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return {**told, "target": target, "mode": one.value.mode, "floor": one.value.floor}
    return {**told, "live": one.kind in LIVE_KINDS}


async def _read(agent: Agent, wanted: Named) -> Answer:
    one = (await agent.sight()).resource((wanted.kind, wanted.name))
    return {"kind": one.kind, "name": one.name, "digest": one.digest, "document": one.document.value}


async def _described(agent: Agent, wanted: OfKind) -> Answer:
    if not wanted.kind:
        return {"kinds": {kind: summary(kind) for kind in TYPES}}
    if wanted.kind not in TYPES:
        raise NotFound(f"There is no kind {wanted.kind}. Kinds: {', '.join(TYPES)}.", code="kind-unknown")
    gateway = (await agent.plane.newest()).gateway
    return {
        "kind": wanted.kind,
        "manual": manual(wanted.kind),
        "schema": TYPES[wanted.kind].model_json_schema(by_alias=True),
        "attributes": {name: str(kind) for name, kind in gateway.attributes.items()},
    }


TOOLS = (
    Tool("list_resources", "Lists what the newest revision and the live data declare, as far as it is yours to see.", Listed, _listed),
    Tool("read_resource", "Reads one resource as it is declared.", Named, _read),
    Tool(
        "describe_kind",
        "The manual of a kind of resource with its JSON Schema, and the attributes that conditions may read (`principal.NAME`). Read it "
        "before you write a policy of that kind.",
        OfKind,
        _described,
    ),
)
