"""What every operation of the admin API is given: the control plane, and who asks, if that is allowed."""

from typing import Annotated, TypeAlias

from fastapi import Depends, Request

from bartizan.admin.access import Caller, allowed
from bartizan.admin.plane import Plane


def _plane(request: Request) -> Plane:
    found: Plane = request.app.state.plane
    return found


The: TypeAlias = Annotated[Plane, Depends(_plane)]
Viewer: TypeAlias = Annotated[Caller, Depends(allowed("view"))]
Editor: TypeAlias = Annotated[Caller, Depends(allowed("edit"))]
Approver: TypeAlias = Annotated[Caller, Depends(allowed("approve"))]
Admin: TypeAlias = Annotated[Caller, Depends(allowed("administer"))]
Maker: TypeAlias = Annotated[Caller, Depends(allowed("make-token"))]
