"""What is wrong between teams and APIs: grants that overlap, and APIs outside of what their team was granted."""

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import combinations

from bartizan.model.api import Api
from bartizan.model.problem import Problem
from bartizan.model.snapshot import Resource, Snapshot
from bartizan.model.team import Team


def team_problems(snapshot: Snapshot) -> Iterator[Problem]:
    """Every such problem."""
    teams = snapshot.gateway.teams
    gateway = snapshot.resource(snapshot.gateway)
    for first, second in combinations(teams, 2):
        for place in teams[first].shared(teams[second]):
            told = f"{place} is granted to {first} and to {second}"
            yield Problem(gateway.place(("teams", second)), "teams-overlap", told, "Grant each host and path to one team.")
    for api in snapshot.apis.values():
        if api.team is not None and api.team in teams:
            yield from _outside(api, teams[api.team], snapshot.resource(api))
        elif api.team is not None:
            near = get_close_matches(api.team, list(teams), n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]!r}?" if near else "The Gateway declares teams."
            yield Problem(snapshot.resource(api).place(("team",)), "team-unknown", f"there is no team {api.team!r}", hint)


def _outside(api: Api, team: Team, resource: Resource) -> Iterator[Problem]:
    for at, path in enumerate(api.paths):
        for host in api.hosts:
            if not team.grants(host, path):
                where = f"{path} on every host" if host == "*" else f"{host}{path}"
                hint = "The owner of the gateway grants it, in the Gateway's `teams`."
                yield Problem(resource.place(("paths", at)), "team-not-granted", f"the team {api.team} wasn't granted {where}", hint)
