"""What is kept under a secret."""

import pytest
from sqlalchemy import text

from bartizan.authorization.rows import Rows, digest
from bartizan.errors import Conflict
from tests.unit.authorization.rig import Rig


def rows(rig: Rig, kind: str = "session") -> Rows:
    return Rows(rig.store.authorizations, kind)


def test_only_the_secret_leads_to_it_and_the_store_doesnt_hold_it(rig: Rig) -> None:
    secret = rows(rig).hidden({"a": 1}, 60, "ann")
    found = rows(rig).behind(secret)
    assert found is not None and found.value == {"a": 1} and found.owner == "ann" and found.expires == rig.now + 60
    for wrong in ("", secret[:-1], secret + "=", secret.swapcase(), digest(secret), found.id):
        assert rows(rig).behind(wrong) is None
    assert rows(rig, "code").behind(secret) is None, "one of another kind isn't it"
    with rig.store.database.reading() as connection:
        kept = repr(connection.execute(text("SELECT * FROM authorizations")).all())
    assert found.id in kept and secret not in kept
    assert rows(rig).hidden({}, 60) != rows(rig).hidden({}, 60) and len(secret) >= 43


def test_it_ends_by_the_stores_clock(rig: Rig) -> None:
    secret = rows(rig).hidden({}, 60)
    rig.now += 59.9
    assert rows(rig).clock() == rig.now and rows(rig).behind(secret) is not None
    rig.now += 0.1
    assert rows(rig).behind(secret) is None


def test_what_was_is_noted_once(rig: Rig) -> None:
    assert [rows(rig).note("jti", 60), rows(rig).note("jti", 60)] == [True, False]
    rig.now += 60
    assert rows(rig).note("jti", 60)


def test_what_changed_meanwhile_isnt_written_over(rig: Rig) -> None:
    first = rows(rig).put("one", {"n": 1}, 60, "ann")
    second = rows(rig).again(first, {"n": 2}, rig.now + 90)
    assert (second.value, second.expires, second.owner) == ({"n": 2}, rig.now + 90, "ann")
    with pytest.raises(Conflict):
        rows(rig).again(first, {"n": 3}, rig.now + 90)
    with pytest.raises(Conflict):
        rows(rig).put("one", {"n": 3}, 60)
    assert rows(rig).get("one") == second and rows(rig).of("ann") == (second,)
    assert rows(rig).take("one") == second and rows(rig).take("one") is None
    with pytest.raises(Conflict):
        rows(rig).again(second, {"n": 4}, rig.now + 90)


def test_what_stands_beside_each_other_isnt_what_stands_together() -> None:
    assert digest("a", "b") != digest("ab") != digest("b", "a") and digest("a", "bc") != digest("ab", "c")
    assert len({digest(one) for one in ("", "a", "\ud800", "é")}) == 4
