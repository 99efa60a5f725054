"""The candidate's answer beside what was decided then."""

from bartizan.replay.asking import Evidence
from bartizan.replay.judging import Answered, Decider, Judged, judged
from bartizan.replay.outcome import Recorded

PLAN, HEADER = Decider("Authorize/plan", frozenset({"principal.plan"})), Decider("Authorize/tenant", frozenset({'request.headers["x"]'}))
ALL = Evidence(frozenset(), True, None)
LITTLE = Evidence(frozenset(), True, frozenset())
NOBODY_KNOWS = Evidence(frozenset(), False, None)
LET, REFUSED = Recorded(False, "upstream"), Recorded(True, "Authorize/plan")


def allows(*deciders: Decider) -> Answered:
    return Answered(False, "upstream", "orders", "/orders", deciders)


def refuses(by: str, *deciders: Decider) -> Answered:
    return Answered(True, by, "orders", "/orders", deciders)


def test_what_is_decided_as_before_is_the_same() -> None:
    assert judged(LET, ALL, allows(PLAN), "GET").change == "same"
    assert judged(REFUSED, ALL, refuses("Authorize/plan", PLAN), "GET").change == "same"


def test_a_change_is_told_by_the_policy_that_makes_it() -> None:
    assert judged(LET, ALL, refuses("Authorize/plan", PLAN), "GET") == Judged("newly refused", "Authorize/plan")
    assert judged(REFUSED, ALL, allows(), "GET") == Judged("newly allowed", "Authorize/plan")
    assert judged(Recorded(True, "IpAccess/x"), ALL, refuses("Authorize/plan", PLAN), "GET") == Judged(
        "refused by another", "Authorize/plan"
    )


def test_what_the_record_lacks_cannot_be_told() -> None:
    lacks = ("principal.plan",)
    for evidence in (LITTLE, NOBODY_KNOWS):
        assert judged(LET, evidence, allows(PLAN), "GET") == Judged("untold", "Authorize/plan", lacks)
        assert judged(LET, evidence, refuses("Authorize/plan", PLAN), "GET") == Judged("untold", "Authorize/plan", lacks)
    assert judged(REFUSED, ALL, allows(HEADER), "GET").change == "untold"
    assert judged(LET, Evidence(frozenset(), True, frozenset({"plan"})), allows(PLAN), "GET").change == "same"


def test_one_that_surely_refuses_is_enough() -> None:
    assert judged(LET, ALL, refuses("Authorize/plan", HEADER, PLAN), "GET") == Judged("newly refused", "Authorize/plan")
    # But who refuses first isn't sure then.
    assert judged(Recorded(True, "Authorize/tenant"), ALL, refuses("Authorize/plan", HEADER, PLAN), "GET").change == "same"
    assert judged(LET, ALL, refuses("method-not-allowed", HEADER), "PUT") == Judged("newly refused", "method-not-allowed")


def test_which_upgrade_was_asked_for_and_whether_it_was_a_preflight_cannot_be_told() -> None:
    assert judged(Recorded(True, "upgrade-not-enabled"), ALL, allows(), "GET").change == "untold"
    answered = Answered(False, "upstream", "orders", "/orders", (), "Cors/pages")
    assert judged(LET, ALL, answered, "OPTIONS") == Judged("untold", "Cors/pages", ('request.headers["origin"]',))
    assert judged(Recorded(False, "Cors"), ALL, answered, "OPTIONS").change == "same"
    assert judged(LET, ALL, answered, "GET").change == "same"
