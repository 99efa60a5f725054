"""APIs stay within what their team was granted, and no two teams share a place."""

from bartizan.compile.read import assemble, read
from bartizan.model.snapshot import Snapshot

GATEWAY = 'kind: Gateway\nname: edge\nlisteners: [{name: web, address: "127.0.0.1:8080"}]\nteams: TEAMS\n---\n'
REST = "kind: Public\nname: all\nreason: for a test of teams\n"


def codes(teams: str, *apis: str) -> list[tuple[str, str]]:
    """The codes and places of what is wrong."""
    text = GATEWAY.replace("TEAMS", teams) + REST
    for at, api in enumerate(apis):
        text += f"---\nkind: Api\nname: api-{at}\nupstream: http://192.0.2.1\n{api}\n"
    found = assemble([read(text, "all.yaml")], {})
    return [] if isinstance(found, Snapshot) else [(one.code, one.at.path) for one in found]


TWO = "{orders: {paths: [/orders]}, billing: {paths: [/bills], hosts: [api.example.com]}}"


def test_an_api_within_its_grant_is_good_and_the_owners_may_be_anywhere() -> None:
    assert codes(TWO, "team: orders\npaths: [/orders, /orders/v2]", "paths: [/x]") == []
    assert codes(TWO, "team: billing\nhosts: [api.example.com]\npaths: [/bills]") == []


def test_one_outside_of_it_is_a_problem_at_its_path() -> None:
    assert codes(TWO, "team: orders\npaths: [/orders, /bills]") == [("team-not-granted", "Api/api-0: paths[1]")]
    assert codes(TWO, "team: billing\npaths: [/bills]") == [("team-not-granted", "Api/api-0: paths[0]")]  # on every host


def test_a_team_that_isnt_there_is_a_problem() -> None:
    assert codes(TWO, "team: order\npaths: [/orders]") == [("team-unknown", "Api/api-0: team")]


def test_two_teams_that_share_a_place_are_a_problem() -> None:
    assert codes("{a: {paths: [/x]}, b: {paths: [/x/y]}}") == [("teams-overlap", "Gateway/edge: teams.b")]
