"""What is told of a replay."""

from bartizan.cli.replayed import Replayed
from bartizan.replay import Tally, Where
from bartizan.replay.judging import Change, Judged

ANY: tuple[Change, ...] = ("newly refused", "newly allowed")


def tally(**counts: int) -> Tally:
    made = Tally()
    for name, count in counts.items():
        change: Change = name.replace("_", " ")  # type: ignore[assignment]
        for i in range(count):
            made.add(
                Judged(change, "Authorize/x", ("principal.plan",) if change == "untold" else ()),
                Where(f"c{i}\x1b[2J", "a", "/a", "GET"),
                f"r{i}",
            )
    return made


def test_what_makes_it_differ_is_chosen() -> None:
    counts = tally(same=5, newly_refused=2, refused_by_another=3, untold=1)
    assert Replayed("r", counts, ANY, 0, 1.0).differs
    assert not Replayed("r", counts, ANY, 2, 1.0).differs
    assert not Replayed("r", counts, ("newly allowed",), 0, 1.0).differs
    assert not Replayed("r", tally(same=5, refused_by_another=3, untold=2), ANY, 0, 1.0).differs


def test_it_tells_each_change_and_what_cannot_be_told() -> None:
    told = Replayed("r", tally(same=5, newly_refused=2, newly_allowed=1, untold=3), ANY, 0, 2.0, 1).told()
    assert (told["verdict"], told["requests"], told["judged"], told["same"], told["untold"]) == ("differs", 11, 8, 5, 3)
    assert (told["newly_refused"], told["newly_allowed"], told["skipped_lines"]) == (2, 1, 1)
    assert {one["change"] for one in told["groups"]} == {"newly refused", "newly allowed"}
    assert told["untold_because"] == [{"policy": "Authorize/x", "lacks": ("principal.plan",), "count": 3}]


def test_what_callers_sent_steers_no_terminal_and_long_lists_are_cut() -> None:
    lines = list(Replayed("r", tally(newly_refused=50), ANY, 0, 1.0).lines())
    assert not any("\x1b[2J" in line for line in lines)
    assert len(lines) < 50 and any("and 30 more groups" in line for line in lines)
