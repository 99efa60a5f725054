"""Sets of people in words: by what they have in common, or by their names."""

import pytest

from bartizan.meaning import World, people_of
from bartizan.meaning.people import set_of
from bartizan.meaning.who import Teller
from tests.unit.meaning.made import made

PLANS, TEAMS = ("basic", "silver", "pro", "trial", "odd"), ("red", "blue")


def _crowd() -> list[str]:
    return [
        f"kind: Consumer\nname: c{i:02}\nattributes: {{plan: {PLANS[i % 5]}, level: {i}}}\ngroups: [{TEAMS[i % 2]}]\n" for i in range(40)
    ]


@pytest.fixture(scope="module")
def teller() -> Teller:
    snapshot = made(*_crowd()).snapshot
    return Teller(World(snapshot, people_of((snapshot,))))


def _told(teller: Teller, *numbers: int, also: tuple[str, ...] = ()) -> str:
    names = {f"c{i:02}" for i in numbers} | set(also)
    everyone = teller.world.people.all
    return teller.who(set_of((place for place, one in enumerate(everyone) if one.name in names), len(everyone))).text


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([3], "c03"),
        ([1, 2, 39], "c01, c02, c39"),
        (range(2, 40, 5), "consumers with plan=pro (8)"),
        ([i for i in range(40) if i % 5 in (1, 3)], "consumers with plan=silver or trial (16)"),
        (range(30, 40), "consumers with level of 30 and more (10)"),
        (range(10, 20), "consumers with level from 10 to 19 (10)"),
        (range(0, 40, 2), "consumers in the group red (20)"),
        (range(1, 40, 10), "consumers with level=1 or 11 or 21 or 31 (4)"),
        ([i for i in range(40) if i % 5 == 2 and i > 10], "consumers with plan=pro and level from 12 to 37 (6)"),
        ([0, 1, 2, 7, 31], "c00, c01, c02 and 2 more consumers"),
    ],
)
def test_consumers(teller: Teller, numbers: list[int], text: str) -> None:
    assert _told(teller, *numbers) == text


def test_others(teller: Teller) -> None:
    everyone = teller.world.people.everyone
    assert teller.who(everyone).text == "everyone"
    assert teller.who(everyone & ~teller.world.anonymous).text == "all 43 consumers, tokens of corp"
    found = teller.who(teller.world.anonymous)
    assert (found.text, found.anonymous, found.consumers, found.names) == ("anonymous callers", True, 0, ())
    assert _told(teller, 1, also=("corp",)) == "c01, tokens of corp"
    whole = teller.who(everyone)
    assert (whole.consumers, len(whole.names), whole.issuers) == (43, 20, ("corp",))
