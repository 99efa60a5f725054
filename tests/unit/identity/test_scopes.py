"""Scopes of keys: what can be one, and what is wrong with a Gateway that doesn't declare them."""

import pytest

from bartizan.compile.read import assemble, read
from bartizan.identity.key_record import KeyRecord
from bartizan.identity.scopes import scopes_problem, undeclared, warnings
from bartizan.model.snapshot import Snapshot
from bartizan.secrets.sealed import Secret

FRAME = "kind: Gateway\nname: edge\nlisteners: [{name: web, address: '127.0.0.1:1'}]\n%s\n---\nkind: Consumer\nname: acme\n"


def snapshot(attributes: str = "") -> Snapshot:
    found = assemble([read(FRAME % attributes, "x.yaml")], {})
    assert isinstance(found, Snapshot), found
    return found


WITH = snapshot("attributes: {scopes: words}")
WITHOUT = (snapshot(), snapshot("attributes: {scopes: list}"), snapshot("attributes: {scope: words}"))


def key(*scopes: str, consumer: str = "acme", ident: str = "key_a") -> KeyRecord:
    return KeyRecord(ident, consumer, "", Secret("bz_text"), 0.0, None, scopes)


@pytest.mark.parametrize("scopes", [(), ("orders:read",), ("a", "b"), ("https://example.com/scope#x?y",), ("!~[]{}",), ("x" * 128,)])
def test_what_scopes_may_be(scopes: tuple[str, ...]) -> None:
    assert scopes_problem(scopes) is None


@pytest.mark.parametrize(
    "scopes",
    [("",), ("a b",), ('a"b',), ("a\\b",), ("a;b",), ("ä",), ("a\n",), ("\0",), ("a", "a"), ("x" * 129,), tuple(map(str, range(65)))],
)
def test_what_they_may_not_be(scopes: tuple[str, ...]) -> None:
    assert scopes_problem(scopes)


def test_as_many_as_there_may_be_can_be_told() -> None:
    assert scopes_problem(tuple(f"{i:0128}" for i in range(31))) is None
    assert scopes_problem(tuple(f"{i:0128}" for i in range(64)))  # Envoy would silently drop so long a list


@pytest.mark.parametrize("after", WITHOUT)
def test_taking_away_what_keys_count_by_is_a_problem(after: Snapshot) -> None:
    (found,) = undeclared([key("a"), key("b", ident="key_b"), key()], after, WITH)
    assert (found.code, found.at.path) == ("scopes-undeclared", "Gateway/edge: attributes")
    assert "key_a, key_b" in found.message and "scopes: words" in found.hint
    (warning,) = warnings([key("a")], after)
    assert "key key_a has scopes" in warning and "refused" in warning


def test_nothing_is_wrong_where_no_key_has_scopes_or_they_are_declared() -> None:
    for after in WITHOUT:
        assert not list(undeclared([key()], after, WITH))
        assert not list(undeclared([key("a", consumer="gone")], after, WITH))
        assert not list(undeclared([key("a")], after, after))  # it can be edited: the key is refused already
        assert not list(undeclared([key("a")], after, None))
        assert not list(warnings([key()], after))
    assert not list(undeclared([key("a")], WITH, WITH))
    assert not list(warnings([key("a")], WITH))
