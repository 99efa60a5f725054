"""What every operation of the admin API is given: the control plane, and who asks, if that is allowed."""

from typing import Annotated, TypeAlias

from fastapi import Depends, Request

from bartizan.admin.access import Caller, Unknown, allowed
from bartizan.admin.plane import Plane
from bartizan.admin.teams import check_whole


def _plane(request: Request) -> Plane:
    found: Plane = request.app.state.plane
    return found


def _stranger(request: Request) -> Unknown:
    found: Unknown = request.state.stranger
    return found


def _whoever(request: Request) -> Caller:
    found: Caller = request.state.caller
    return found


async def _overseer(caller: Annotated[Caller, Depends(allowed("view"))]) -> Caller:
    check_whole(caller.team, "the audit log")
    return caller


The: TypeAlias = Annotated[Plane, Depends(_plane)]
Stranger: TypeAlias = Annotated[Unknown, Depends(_stranger)]
Whoever: TypeAlias = Annotated[Caller, Depends(_whoever)]
Viewer: TypeAlias = Annotated[Caller, Depends(allowed("view"))]
Overseer: TypeAlias = Annotated[Caller, Depends(_overseer)]
Speaker: TypeAlias = Annotated[Caller, Depends(allowed("push"))]
Editor: TypeAlias = Annotated[Caller, Depends(allowed("edit"))]
Approver: TypeAlias = Annotated[Caller, Depends(allowed("approve"))]
Admin: TypeAlias = Annotated[Caller, Depends(allowed("administer"))]
Maker: TypeAlias = Annotated[Caller, Depends(allowed("make-token"))]
