"""What a team was granted, and what two teams share."""

import pytest

from bartizan.model.team import Team, covers


@pytest.mark.parametrize(
    ("pattern", "host", "does"),
    [
        ("*", "*", True),
        ("*", "a.example.com", True),
        ("a.example.com", "*", False),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "*.b.example.com", True),
        ("*.example.com", "*.example.com", True),
        ("*.b.example.com", "*.example.com", False),
        ("*.example.com", "example.com", False),
        ("*.example.com", "badexample.com", False),
        ("*.example.com", "*.badexample.com", False),
        ("a.example.com", "a.example.com", True),
        ("a.example.com", "b.example.com", False),
    ],
)
def test_a_pattern_covers_a_host(pattern: str, host: str, does: bool) -> None:
    assert covers(pattern, host) is does


def team(*paths: str, hosts: tuple[str, ...] = ("*",)) -> Team:
    return Team(hosts=hosts, paths=paths)


def test_a_grant_is_of_whole_segments_on_its_hosts() -> None:
    orders = team("/orders", hosts=("api.example.com",))
    assert orders.grants("api.example.com", "/orders/refunds")
    assert not orders.grants("api.example.com", "/orders2")
    assert not orders.grants("api.example.com", "/")
    assert not orders.grants("*", "/orders")
    assert team("/").grants("*", "/anything")


@pytest.mark.parametrize(
    ("one", "two", "both"),
    [
        (team("/a"), team("/b"), []),
        (team("/a"), team("/a/b"), ["*/a/b"]),
        (team("/"), team("/a"), ["*/a"]),
        (team("/a", hosts=("x.example",)), team("/a", hosts=("y.example",)), []),
        (team("/a", hosts=("*.example",)), team("/a", hosts=("y.example",)), ["y.example/a"]),
        (team("/a"), team("/a", hosts=("y.example",)), ["y.example/a"]),
        (team("/a"), team("/a"), ["*/a"]),
    ],
)
def test_what_two_teams_share(one: Team, two: Team, both: list[str]) -> None:
    assert list(one.shared(two)) == list(two.shared(one)) == both
