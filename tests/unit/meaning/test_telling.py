"""What an edit means is the same when it is read back from its JSON."""

import orjson

from bartizan.meaning import difference
from bartizan.meaning.telling import read_back, told
from tests.unit.meaning.made import FRAME, authorize, made

TIERS = "[{when: principal.plan == 'gold', windows: [99/second]}, {windows: [NUMBER/second]}]"
LIMIT = f"kind: RateLimit\nname: few\ntarget: {{api: orders}}\nper: principal.id\ntiers: {TIERS}\n"


def test_it_comes_back_as_it_was() -> None:
    before = made(authorize('principal.plan == "gold"'), LIMIT.replace("NUMBER", "5"))
    after = made(
        authorize('principal.plan != "free" && now.hour("UTC") > 7'),
        LIMIT.replace("NUMBER", "9"),
        frame=FRAME.replace("plan: gold", "plan: silver"),
    )
    meaning = difference(before, after)
    assert meaning.access and meaning.limits and meaning.callers and meaning.live and meaning.live_limits
    assert read_back(orjson.loads(orjson.dumps(told(meaning)))) == meaning
