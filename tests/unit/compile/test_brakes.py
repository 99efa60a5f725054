"""Brakes compile into refusals with names; keys into none, because they leave the tables."""

from bartizan.compile.brakes import name_of, refused
from bartizan.identity.brake import Brake


def brake(ident: str, what: str, value: str) -> Brake:
    return Brake(ident, what, value, "why", "ann", 0.0, 1.0)  # type: ignore[arg-type]


def test_each_has_its_place() -> None:
    found = refused(
        [brake("b", "path", "/orders"), brake("a", "ip", "192.0.2.0/24"), brake("c", "consumer", "acme"), brake("d", "key", "k")]
    )
    assert [name for name, _ in found.early] == ["block/a", "block/b"]
    assert [name for name, _ in found.late] == ["block/c"]
    assert name_of(brake("c", "consumer", "acme")) == "block/c"


def test_a_path_is_refused_with_what_lies_below_it_in_any_case() -> None:
    ((_, predicate),) = refused([brake("a", "path", "/orders.v1")]).early
    assert predicate.single_predicate.value_match.safe_regex.regex == r"(?i)/orders\.v1(?:[/?]\C*)?"


def test_the_root_is_everything() -> None:
    ((_, predicate),) = refused([brake("a", "path", "/")]).early
    assert predicate.single_predicate.value_match.safe_regex.regex == r"(?i)/\C*"
