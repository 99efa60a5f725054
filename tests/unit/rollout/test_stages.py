"""The life of a change as a table: every event in every status."""

import itertools
from dataclasses import replace

import pytest

from bartizan.errors import BartizanError, Conflict, Forbidden
from bartizan.model.releases import Releases
from bartizan.rollout.stages import Asked, Rollout, Status, asked, failed, noted, obstacle, passed, stages_of

STAGES = ("test", "shadow", "everywhere")
ONE = Rollout(7, "new", "old", "ann", STAGES, at=1)

WHAT: dict[tuple[Asked, Status], str] = {
    ("approve", "waiting"): "waiting",
    ("approve", "running"): "running",
    ("approve", "paused"): "paused",
    ("pause", "waiting"): "paused",
    ("pause", "running"): "paused",
    ("pause", "paused"): "paused",
    ("resume", "waiting"): "rollout-not-paused",
    ("resume", "running"): "rollout-not-paused",
    ("resume", "paused"): "running",
    ("promote", "waiting"): "rollout-waits",
    ("promote", "running"): "running",
    ("promote", "paused"): "running",
    ("abort", "waiting"): "aborted",
    ("abort", "running"): "aborted",
    ("abort", "paused"): "aborted",
}
ENDED: tuple[Status, ...] = ("done", "failed", "aborted", "superseded")


@pytest.mark.parametrize(("what", "status"), WHAT)
def test_what_a_person_asks_for_in_each_status(what: Asked, status: Status) -> None:
    try:
        then = asked(replace(ONE, status=status, why="a reason"), what, "bob", 5.0)
    except BartizanError as error:
        assert error.code == WHAT[what, status]
    else:
        assert then.status == WHAT[what, status]
        assert then.history[-1][0] == 5.0
        assert any("bob" in told for _, told in then.history)
        assert then.at == (2 if what == "promote" else 1)


@pytest.mark.parametrize(("what", "status"), [*itertools.product(("approve", "pause", "resume", "promote", "abort"), ENDED)])
def test_one_that_has_ended_stays_so(what: Asked, status: Status) -> None:
    with pytest.raises(Conflict, match="has ended"):
        asked(replace(ONE, status=status), what, "bob", 5.0)


def test_who_made_it_or_what_it_brings_along_cant_approve_it() -> None:
    one = replace(ONE, also=("eve",))
    for who in ("ann", "eve"):
        with pytest.raises(Forbidden):
            asked(one, "approve", who, 5.0)
    then = asked(one, "approve", "bob", 5.0)
    assert then.approved == ("bob",)
    with pytest.raises(Conflict):
        asked(then, "approve", "bob", 6.0)
    assert asked(then, "approve", "cid", 6.0).approved == ("bob", "cid")


@pytest.mark.parametrize("status", ["running", "paused"])
def test_nobody_promotes_past_tests(status: Status) -> None:
    with pytest.raises(Conflict, match="tests"):
        asked(replace(ONE, at=0, status=status), "promote", "ann", 5.0)


def test_stages_pass_one_by_one_to_the_end() -> None:
    one = replace(ONE, at=0)
    for stage in STAGES:
        assert one.stage == stage
        assert not one.ended
        one = passed(one, 5.0, {"seen": 1})
    assert (one.status, one.stage, one.ended) == ("done", "everywhere", True)
    assert set(one.figures) == set(STAGES)


def test_a_failure_ends_it_with_its_reason() -> None:
    then = failed(ONE, 5.0, "three are refused", {"refused": 3})
    assert (then.status, then.why, then.figures["shadow"]) == ("failed", "three are refused", {"refused": 3})
    assert then.history[-1] == (5.0, "shadow failed: three are refused")


def test_the_history_is_bounded() -> None:
    one = ONE
    for i in range(300):
        one = noted(one, float(i), "again")
    assert (len(one.history), one.history[-1][0]) == (100, 299.0)


def test_it_decides_only_where_it_is_let_out() -> None:
    for at, status in itertools.product(range(3), ("waiting", "running", "paused", "done", "failed", "aborted", "superseded")):
        one = replace(ONE, at=at, status=status)  # type: ignore[arg-type]
        assert one.decides == (at == 2 and status in {"running", "paused", "done"})


def test_tests_run_first_wherever_there_are_some() -> None:
    releases = Releases.model_validate({"stages": ["shadow"]})
    assert stages_of(releases, tests=True) == (("test", "shadow", "everywhere"), 1)
    assert stages_of(releases, tests=False) == (("shadow", "everywhere"), 0)
    written = Releases.model_validate({"stages": ["shadow", "test"]})
    assert stages_of(written, tests=True) == (("shadow", "test", "everywhere"), 0)


def test_what_is_in_the_way() -> None:
    two = Releases.model_validate({"approvals": 2})
    assert "2 more people" in (obstacle(ONE, two, None) or "")
    assert "a second person" in (obstacle(replace(ONE, approved=("bob",)), two, "frozen") or "")
    assert obstacle(replace(ONE, approved=("bob", "cid")), two, "frozen") == "frozen"
    assert obstacle(replace(ONE, approved=("bob", "cid")), two, None) is None
    assert obstacle(replace(ONE, emergency=True), two, "frozen") is None


def test_two_stages_of_one_name_keep_their_figures_apart() -> None:
    one = Rollout(7, "new", "old", "ann", ("canary", "shadow", "canary", "everywhere")).found({"consumers": "acme"})
    one = asked(one, "promote", "bob", 1.0)
    one = passed(passed(one, 2.0, {}), 3.0, {"percent": 5})
    assert one.figures == {"canary": {"consumers": "acme", "promoted_by": "bob"}, "shadow": {}, "canary 2": {"percent": 5}}
    assert [told for _, told in one.history] == ["promoted past canary by bob", "canary passed", "shadow passed", "canary 2 passed"]
    assert failed(replace(one, at=2), 4.0, "no", {}).history[-1][1] == "canary 2 failed: no"
