"""How the gateway stands: revision, nodes, what needs attention."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from bartizan import __version__
from bartizan.admin.answers import documented
from bartizan.admin.asked import The, Viewer
from bartizan.admin.bodies import JsonRoute


class Status(BaseModel):
    """How the gateway stands."""

    version: str
    revision: str = Field(description="The active revision; empty before the first.")
    since: float = Field(description="Since when, in seconds since the epoch.")
    generation: int = Field(description="Of the live data: consumers, keys, blocks.")
    drift: str = Field(description="How files and store differ; empty if they don't.")
    error: str
    refused: list[dict[str, Any]] = Field(description="What is wrong with the files as they are.")
    warnings: list[str]
    nodes: list[dict[str, Any]]
    more: dict[str, Any] = Field(description="All else that `bartizan status --json` shows.")


router = APIRouter(tags=["status"], route_class=JsonRoute)


@router.get("/v1/status", operation_id="status", responses=documented())
async def status(plane: The, caller: Viewer) -> Status:
    """How the gateway stands. A token of a team isn't told what is wrong with the files and live data of all."""
    told = plane.status()
    if caller.team is not None:
        told = {name: told[name] for name in Status.model_fields if name in told} | {"refused": [], "warnings": []}
    own = {name: told[name] for name in Status.model_fields if name in told}
    return Status(version=__version__, more={name: value for name, value in told.items() if name not in own}, **own)


@router.get("/v1/nodes", operation_id="nodes", responses=documented())
async def nodes(plane: The, _: Viewer) -> list[dict[str, Any]]:
    """Every node: its revision, since when, and its last error."""
    return list(plane.status()["nodes"])
