"""The verdict comes out of the pipe as it went in."""

import os

from bartizan.model.problem import Place, Problem
from bartizan.rollout.verdict import Opening, Verdict


def test_it_goes_through_a_pipe() -> None:
    verdict = Verdict(
        (Problem(Place("a.yaml", 3, "Api/orders: paths[0]"), "field-value-error", "a path begins with /", "Write /orders."),),
        (Opening("web", "[::1]:8080", "::1", 8080),),
    )
    ours, its = os.pipe()
    verdict.write(its)
    with os.fdopen(ours, "rb") as opened:
        assert Verdict.read(opened.read()) == verdict
