"""What sources say grows old by two clocks, and what has ended stays so: over restarts, and whatever becomes of the time."""

from typing import Any

import pytest

from bartizan.identity.context import Context
from bartizan.model.context import ContextSource

TYPES = {"on_call": "bool", "plan": "string", "level": "number"}
ACME: dict[str, dict[str, Any]] = {"acme": {"on_call": True}}


class Clocks:
    """The time, and a clock that only runs on."""

    def __init__(self) -> None:
        self.now, self.running = 1_700_000_000.0, 500.0

    def pass_(self, seconds: float) -> None:
        self.now += seconds
        self.running += seconds

    def context(self, **more: Any) -> Context:
        made = Context(lambda: self.now, lambda: self.running)
        made.declare(sources(**more), TYPES)
        return made


def sources(**more: Any) -> dict[str, ContextSource]:
    fields = {"name": "hr", "attributes": ["on_call", "plan", "level"], "push": True, "max_age": "60s", **more}
    return {"hr": ContextSource.model_validate(fields)}


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def test_what_is_said_counts_until_it_is_too_old(clocks: Clocks) -> None:
    context = clocks.context()
    assert context.of("acme") == {} and context.counting() == {}
    assert context.take_all("hr", ACME) == {"acme"}
    assert context.of("acme") == {"on_call": True, "@hr": 1.0} and context.counting() == {"hr": (1, clocks.now)}
    clocks.pass_(60)
    assert context.look() == (False, frozenset())
    clocks.pass_(0.1)
    assert context.look() == (True, frozenset()) and context.counting() == {} and context.fresh("acme") == {}
    assert context.look() == (False, frozenset()), "it is told once"
    assert context.take_all("hr", ACME) == {"acme"}, "tables of before don't count by what is said anew"
    assert context.of("acme")["@hr"] == 2.0 and context.fresh("acme") == {"on_call": True}


def test_a_renewal_touches_no_table(clocks: Clocks) -> None:
    context = clocks.context()
    context.take_all("hr", ACME)
    version = context.heard["hr"].version
    clocks.pass_(50)
    assert context.renew("hr") == context.take_all("hr", dict(ACME)) == frozenset()
    clocks.pass_(50)
    assert context.look() == (False, frozenset()) and context.heard["hr"].version == version


def test_one_subject_grows_old_by_itself(clocks: Clocks) -> None:
    context = clocks.context()
    context.take_all("hr", {**ACME, "globex": {"plan": "gold"}})
    clocks.pass_(40)
    assert context.take_one("hr", "acme", {"on_call": False}) == {"acme"}
    assert context.of("acme") == {"on_call": False, "@hr": clocks.now}
    clocks.pass_(30)
    assert context.look() == (True, frozenset()) and context.fresh("globex") == {} and context.fresh("acme") == {"on_call": False}
    clocks.pass_(31)
    assert context.look() == (False, frozenset({"acme"})) and context.of("acme") == {"@hr": 0.0}
    assert context.take_one("hr", "acme", None) == {"acme"} and context.of("acme") == {}


def test_what_is_said_at_once_takes_the_place_of_what_was_said_by_itself(clocks: Clocks) -> None:
    context = clocks.context()
    context.take_one("hr", "acme", {"on_call": True})
    assert context.take_all("hr", {"globex": {"plan": "gold"}}) == {"acme", "globex"} and context.of("acme") == {}
    context.take_one("hr", "globex", {"plan": "gold"})
    assert context.take_all("hr", {"globex": {"plan": "gold"}}) == {"globex"}, "its stamp is another"


@pytest.mark.parametrize("stale", ["keep", {"plan": "free"}, "deny"])
def test_what_holds_then(clocks: Clocks, stale: Any) -> None:
    context = clocks.context(stale=stale)
    context.take_all("hr", {"acme": {"plan": "gold", "on_call": True}})
    context.take_one("hr", "globex", {"plan": "gold"})
    clocks.pass_(1000)
    ended = context.look()
    holds = {"keep": {"plan": "gold"}, "deny": {}}.get(stale if isinstance(stale, str) else "", {"plan": "free"})
    assert context.fresh("globex") == holds and context.fresh("stranger") == {}
    assert ended == ((False, frozenset()) if stale == "keep" else (True, frozenset({"globex"})))
    assert context.of("globex") == ({"plan": "gold", "@hr": clocks.now - 1000} if stale == "keep" else {"@hr": 0.0})


def test_a_clock_that_is_set_back_renews_nothing(clocks: Clocks) -> None:
    context = clocks.context()
    context.take_all("hr", ACME)
    context.take_one("hr", "globex", {"plan": "gold"})
    clocks.pass_(50)
    clocks.now -= 3600
    assert context.look() == (False, frozenset())
    clocks.pass_(11)
    assert context.look() == (True, frozenset({"globex"})), "by the clock that only runs on"
    clocks.now -= 3600
    assert context.look() == (False, frozenset()) and context.fresh("acme") == context.fresh("globex") == {}


def test_a_clock_that_is_set_forward_ends_at_once(clocks: Clocks) -> None:
    context = clocks.context()
    context.take_all("hr", ACME)
    clocks.now += 61
    assert context.look()[0]


@pytest.mark.parametrize("gone_s", [10.0, 55.0, 1000.0])
@pytest.mark.parametrize("set_back_s", [0.0, 3600.0])
def test_a_restart_renews_nothing(clocks: Clocks, gone_s: float, set_back_s: float) -> None:
    context = clocks.context()
    context.take_all("hr", ACME)
    context.take_one("hr", "globex", {"plan": "gold"})
    clocks.pass_(30)
    context.look()
    kept = context.dump()
    clocks.pass_(gone_s)
    clocks.running = 3.0  # the machine was started anew
    clocks.now -= set_back_s
    again = Context(lambda: clocks.now, lambda: clocks.running)
    again.load(kept)
    again.declare(sources(), TYPES)
    assert again.heard["hr"].epoch == context.heard["hr"].epoch and again.of("acme") == context.of("acme")
    too_old = 30 + (0 if set_back_s else gone_s) > 60
    assert again.look() == ((True, frozenset({"globex"})) if too_old else (False, frozenset()))
    clocks.pass_(31)
    again.look()
    assert again.fresh("acme") == again.fresh("globex") == {}


def test_what_has_ended_stays_so_over_a_restart(clocks: Clocks) -> None:
    context = clocks.context()
    context.take_all("hr", ACME)
    clocks.pass_(61)
    context.look()
    kept = context.dump()
    clocks.now -= 3600
    again = Context(lambda: clocks.now, lambda: clocks.running)
    again.load(kept)
    again.declare(sources(), TYPES)
    again.look()
    assert again.counting() == {} and again.fresh("acme") == {}


def test_what_is_declared_otherwise_is_told_otherwise(clocks: Clocks) -> None:
    context = clocks.context()
    context.take_all("hr", {"acme": {"plan": "gold", "on_call": True}})
    context.declare(sources(attributes=["plan"]), TYPES)
    assert context.fresh("acme") == {"plan": "gold"} and context.of("acme") == {"plan": "gold", "@hr": 1.0}
    context.declare(sources(), {**TYPES, "plan": "number"})
    assert context.fresh("acme") == {"on_call": True}, "what isn't of the type any more isn't told"
    context.declare({}, TYPES)
    assert context.of("acme") == {} and context.heard == {}


def test_who_is_no_consumer_is_told_apart(clocks: Clocks) -> None:
    context = clocks.context()
    context.take_all("hr", {**ACME, "https://idp|ines": {"level": 3}, "fleet|spiffe://a": {}})
    assert context.others() == ("fleet|spiffe://a", "https://idp|ines")
