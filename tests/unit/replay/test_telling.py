"""What came of a replay is the same when it is read back from its JSON."""

import orjson

from bartizan.replay.judging import Judged
from bartizan.replay.tally import Tally, Where
from bartizan.replay.telling import read_back, told

HERE = Where("acme", "orders", "/orders", "GET")


def test_it_comes_back_as_it_was() -> None:
    tally = Tally(asked=3, now=1)
    tally.no_decision["a block refused it"] += 2
    for judged in (Judged("same"), Judged("newly refused", "Authorize/plans"), Judged("newly allowed", "Authorize/old")):
        tally.add(judged, HERE, "an-id")
    tally.add(Judged("untold", "Authorize/headers", ("request.query",)), HERE, "another")
    back = read_back(orjson.loads(orjson.dumps(told(tally))))
    assert told(back) == told(tally)
    assert (back.records, back.judged, back.untold()) == (tally.records, tally.judged, tally.untold())
    assert back.of("newly refused") == tally.of("newly refused")


def test_only_the_largest_groups_are_told_and_the_counts_are_whole() -> None:
    tally = Tally()
    for number in range(5):
        for _ in range(number + 1):
            tally.add(Judged("newly refused", "Authorize/plans"), Where(f"c{number}", "orders", "/orders", "GET"), "")
    found = told(tally, 2)
    assert [one["count"] for one in found["groups"]] == [5, 4] and found["newly_refused"] == 15
