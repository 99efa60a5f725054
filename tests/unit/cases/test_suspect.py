"""Invariants judged over everyone: what holds, who breaks what doesn't, and mistakes."""

import pytest

from bartizan.cases.read import FoundInvariant, read
from bartizan.cases.suspect import Judge, Suspicion
from tests.unit.meaning.made import FRAME, authorize, made

REFUNDS = authorize('principal.department == "finance" && now.hour("UTC") > 7', "{paths: [/orders/refunds]}", "refunds")
GOLD = authorize('principal.plan == "gold"', name="gold")


def _found(text: str) -> FoundInvariant:
    found = read(f"invariants: [{{name: x, {text}}}]", "f")
    assert not found.problems, found.problems
    return found.invariants[0]


def _suspicion(text: str, *documents: str) -> Suspicion:
    judge = Judge(made(*documents))
    assert not list(judge.problems([_found(text)]))
    return judge.suspicion(_found(text).invariant)


@pytest.mark.parametrize(
    "text",
    [
        "never: {who: anonymous, path: /orders/refunds}",
        "never: {who: anonymous, path: /orders/other}",
        "never: {who: 'principal.plan == \"free\"', path: /orders/refunds}",
        "only: {who: 'principal.department == \"finance\"', path: /orders/refunds}",
        'only: {who: \'principal.department in ["legal", "finance"]\', path: /orders/refunds}',
        "only: {who: 'principal.department.startsWith(\"fin\")', path: /orders/refunds}",
        "never: {who: 'principal.method == \"mtls\"'}",
    ],
)
def test_what_holds(text: str) -> None:
    assert _suspicion(text, REFUNDS) == Suspicion()


@pytest.mark.parametrize(
    ("text", "who", "path", "certain"),
    [
        ("never: {who: anonymous}", "", "/orders/health", True),
        ("never: {who: anyone, path: /orders/refunds}", "acme", "/orders/refunds", False),
        ("never: {who: 'principal.plan == \"free\"', path: /orders}", "globex", "/orders", True),
        ("only: {who: 'principal.plan == \"gold\"', path: /orders/other}", "globex", "/orders/other", True),
        ("only: {who: 'principal.department == \"sales\"', path: /orders/refunds}", "acme", "/orders/refunds", False),
        ("only: {who: 'principal.method == \"api_key\"', path: /orders/refunds}", "corp", "/orders/refunds", False),
        ("never: {who: 'principal.department == \"finance\"', path: /orders, method: [DELETE]}", "acme", "/orders", True),
    ],
)
def test_what_is_broken(text: str, who: str, path: str, certain: bool) -> None:
    found = _suspicion(text, REFUNDS).suspects[0]
    assert (found.person.name, found.point.path, found.certain) == (who, path, certain)
    assert found.certain or found.conditions[0][0] == "Authorize/refunds"


def test_a_path_below_a_route_is_judged_as_such() -> None:
    deep = authorize('request.path.startsWith("/orders/x")', name="deep")
    assert _suspicion("never: {who: anyone, path: /orders/y}", deep) == Suspicion()
    assert _suspicion("never: {who: anyone, path: /orders/x/1}", deep).suspects[0].certain
    whole = _suspicion("never: {who: anyone, path: /orders}", deep).suspects
    assert {(one.point.path, one.certain) for one in whole} == {("/orders/health", True), ("/orders", False)}


def test_how_much_is_broken_is_told() -> None:
    found = _suspicion("never: {who: 'principal.method == \"api_key\"', path: /orders, method: [GET, POST]}")
    assert found.who is not None and found.who.text == "acme, globex"
    assert found.spots == 4  # two routes, two methods


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("never: {who: anonymous, path: /pets}", "invariant-nowhere"),
        ("never: {who: principal.plam}", "condition-unknown-name"),
        ("never: {who: 'request.method == \"GET\"'}", "who-not-principal"),
        ('never: {who: \'principal.plan == "gold" && source.ip.within("10.0.0.0/8")\'}', "who-not-principal"),
        ("never: {who: 'device.type == \"bot\"'}", "who-not-principal"),
    ],
)
def test_mistakes(text: str, code: str) -> None:
    assert [one.code for one in Judge(made()).problems([_found(text)])] == [code]


def test_who_cant_be_told_by_a_place() -> None:
    frame = FRAME.replace("attributes:", "places: {city: a.mmdb}\nattributes:", 1)
    judge = Judge(made(frame=frame))
    (problem,) = judge.problems([_found("never: {who: 'source.country == \"DE\"'}")])
    assert problem.code == "who-not-principal"
