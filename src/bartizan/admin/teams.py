"""What a token of a team may change: the APIs of its team and the policies that cover these alone. It is told by what a change does, not by
how it was asked for."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from bartizan.admin.access import Caller
from bartizan.admin.trusted import HOLDS_FILES
from bartizan.errors import Forbidden
from bartizan.model.api import Api
from bartizan.model.snapshot import LIVE_KINDS, Key, Resource, Snapshot
from bartizan.policies import PolicyKind

CODE = "not-your-teams"
_REFERS = frozenset({"env", "file", "secret", "ca", "certificate"})
_HIDDEN = "***"


def check_whole(team: str | None, what: str) -> None:
    """Forbidden to a token of a team, because it concerns more than one."""
    if team is not None:
        told = f"{what} concerns the whole gateway, and your token is the team {team}'s. Ask somebody whose token belongs to no team."
        raise Forbidden(told, code=CODE)


def check_live(team: str | None, keys: Iterable[Key]) -> None:
    """Forbidden to a token of a team, if one of these is live data: consumers and issuers are everybody's."""
    for kind, name in keys:
        if kind in LIVE_KINDS:
            check_whole(team, f"{kind}/{name}")


def check_team(team: str | None, before: Snapshot, after: Snapshot) -> None:
    """Forbidden to a token of a team, if what differs isn't all the team's, before and after."""
    if team is None:
        return
    for why in _beyond(team, before, after):
        hint = f"Your token is the team {team}'s: it changes its APIs, and policies whose `target.api` is one of them."
        raise Forbidden(f"{why}. {hint}", code=CODE)


def check_touched(team: str | None, before: Snapshot, documents: Mapping[Key, bytes | None]) -> None:
    """Forbidden to a token of a team, if one of these documents would change or take away what isn't the team's. What they make of it
    isn't looked at: that is for `check_team`, once it is known."""
    for key, body in documents.items() if team is not None else ():
        old = before.resources.get(key)
        if old is not None and (body is None or orjson.loads(body) != old.document.value):
            for why in _not_the_teams(str(team), old, before):
                raise Forbidden(f"{why}.", code=CODE)


def is_teams(team: str | None, resource: Resource, snapshot: Snapshot) -> bool:
    """Whether this is the team's alone; everything is to whom no team bounds."""
    return team is None or not any(_not_the_teams(team, resource, snapshot))


def _beyond(team: str, before: Snapshot, after: Snapshot) -> Iterator[str]:
    for key in sorted(before.resources.keys() | after.resources.keys()):
        old, new = before.resources.get(key), after.resources.get(key)
        if old is None or new is None or old.digest != new.digest:
            yield from _not_the_teams(team, old, before)
            yield from _not_the_teams(team, new, after)
    for name in sorted(before.files.keys() & after.files.keys()):
        if before.files[name] != after.files[name]:
            for snapshot in (before, after):
                yield from _not_the_teams_file(team, name, snapshot)


def _not_the_teams(team: str, resource: Resource | None, snapshot: Snapshot) -> Iterator[str]:
    """Why this isn't the team's alone."""
    if resource is None:
        return
    what, value = f"{resource.kind}/{resource.name}", resource.value
    if isinstance(value, Api):
        if value.team != team:
            yield f"{what} isn't an API of the team {team}"
    elif not isinstance(value, PolicyKind):
        yield f"{what} is the gateway owner's"
    elif value.floor:
        yield f"{what} is a floor of the gateway's owner"
    elif value.target.api is None:
        yield f"{what} covers every API, for it has no `target.api`"
    elif (api := snapshot.apis.get(value.target.api)) is None or api.team != team:
        yield f"{what} covers {value.target.api}, which isn't an API of the team {team}"


def _not_the_teams_file(team: str, name: str, snapshot: Snapshot) -> Iterator[str]:
    for policy in snapshot.policies:
        if isinstance(policy, PolicyKind) and name in policy.file_names():
            yield from (f"the file {name} is used elsewhere: {why}" for why in _not_the_teams(team, snapshot.resource(policy), snapshot))


def readable(caller: Caller, kind: str, document: dict[str, Any]) -> dict[str, Any]:
    """A document as this caller may read it: to a token of a team, what others' resources name of secrets and files isn't told."""
    if caller.team is None or kind in HOLDS_FILES or (kind == "Api" and document.get("team") == caller.team):
        return document
    return {str(name): _masked(str(name), value) for name, value in document.items()}


def _masked(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {inner: _masked(str(inner), one) for inner, one in value.items()}
    if isinstance(value, list):
        return [_masked(name, one) for one in value]
    return _HIDDEN if name in _REFERS and isinstance(value, str) else value
