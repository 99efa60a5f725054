"""Named secrets: set, listed without their values, deleted. A value is never told again."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field, SecretStr

from bartizan.admin.access import Caller
from bartizan.admin.answers import documented
from bartizan.admin.asked import Editor, The, Viewer
from bartizan.admin.bodies import JsonRoute
from bartizan.admin.teams import CODE
from bartizan.errors import Forbidden

_NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
Name = Annotated[str, Path(pattern=_NAME)]


class NamedSecret(BaseModel):
    """A secret, without its value."""

    name: str
    team: str | None = Field(description="Whose resources may refer to it; null: the gateway owner's own.")
    to: list[str] = Field(description="Where it may be sent; nowhere if there is none.")
    created: float
    changed: float
    by: str = Field(description="Who gave it its value.")
    version: int = Field(description="How often it was set: its first value is 1.")
    used_by: list[str] = Field(description="What refers to it, such as Api/orders: what is active, on its way, or in the files.")
    key: str = Field(description="The id of the key by which it is encrypted.")


class WantedSecret(BaseModel):
    """A secret's value, and what it may be used for. Each time all of it: nobody grants another's value more."""

    value: SecretStr = Field(min_length=1, max_length=65536)
    team: str | None = Field(default=None, pattern=_NAME, description="By default your token's; without one, the gateway owner's own.")
    to: list[Annotated[str, Field(min_length=1, max_length=300)]] = Field(
        default_factory=list, max_length=100, description="Destinations: host, host:port or *.example.com."
    )


router = APIRouter(tags=["secrets"], route_class=JsonRoute)


def _team(caller: Caller, wanted: str | None) -> str | None:
    """Whose secret is meant. Forbidden if the caller may not change it."""
    if caller.team is not None:
        if wanted not in {None, caller.team}:
            raise Forbidden(f"Your token is the team {caller.team}'s: it changes secrets of its own team.", code=CODE)
        return caller.team
    if not caller.may("administer"):
        told = "Secrets are set and deleted by an admin, or by an editor whose token is the team's (`bartizan token new --team`)."
        raise Forbidden(told, code="role-too-low")
    return wanted


@router.get("/v1/secrets", operation_id="listSecrets", responses=documented())
async def listed(plane: The, caller: Viewer) -> list[NamedSecret]:
    """Every secret, without its value. A token of a team sees its team's."""
    return [NamedSecret(**one) for one in plane.named.all() if caller.team in {None, one["team"]}]


@router.put("/v1/secrets/{name}", operation_id="putSecret", responses=documented())
async def put(plane: The, name: Name, wanted: WantedSecret, caller: Editor) -> NamedSecret:
    """Sets a secret. It holds within a second, without a new revision."""
    team = _team(caller, wanted.team)
    return NamedSecret(**await plane.named.set((team, name), tuple(wanted.to), wanted.value.get_secret_value(), caller.by()))


@router.delete("/v1/secrets/{name}", operation_id="deleteSecret", responses=documented(404, 409))
async def delete(
    plane: The,
    name: Name,
    caller: Editor,
    team: Annotated[str | None, Query(pattern=_NAME)] = None,
    force: Annotated[bool, Query(description="Though something refers to it.")] = False,
) -> NamedSecret:
    """Takes a secret away, for good. Refused while something refers to it, unless by force."""
    return NamedSecret(**await plane.named.delete((_team(caller, team), name), caller.by(), force=force))
