"""What an attribute may hold, and how it is written."""

import json
import re

import pytest
from hypothesis import given, strategies

from bartizan.model.attributes import attribute_problem, attribute_text, name_problem

TEXTS = strategies.text(max_size=300)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("gold", "gold"),
        ("a=b c,d", "a=b c,d"),
        ("Zürich 東京 🐈", "Zürich 東京 🐈"),
        ("x" * 256, "x" * 256),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-3, "-3"),
        (2.5, "2.5"),
        (2**53, "9007199254740992"),
        (1e300, "1e+300"),
        ([], "[]"),
        (("a", 'b"c'), '["a","b\\"c"]'),
        (["a<b>", "ü\\"], '["a\\u003cb\\u003e","ü\\\\"]'),
    ],
)
def test_good_values(value: object, written: str) -> None:
    assert attribute_problem(value) is None
    assert attribute_text(value) == written


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "empty"),
        ("a;b", '";"'),
        ("x" * 257, "longer than 256"),
        ("a\nb", "U\\+000A"),
        ("a\rb", "U\\+000D"),
        ("a\0b", "U\\+0000"),
        ("a\x7fb", "U\\+007F"),
        ("a\u2028b", "U\\+2028"),
        ("a\u202eb", "U\\+202E"),
        ("a\u00a0b", "U\\+00A0"),
        ("a\ud800b", "U\\+D800"),
        (" a", "space"),
        ("a ", "space"),
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        (float("-inf"), "finite"),
        (2**53 + 1, "beyond"),
        (-(2**70), "beyond"),
        ([";"], 'item \\(number 1\\) that may not hold ";"'),
        (["a", "b\n"], "number 2"),
        (["a", ""], "number 2.*empty"),
        (["a", 1], "number 2.*has to be a text"),
        ([["a"]], "number 1.*has to be a text"),
        (["x" * 250] * 17, "longer than 4096 bytes"),
        (None, "has to be"),
        ({"a": 1}, "has to be"),
        (b"a", "has to be"),
    ],
)
def test_bad_values(value: object, problem: str) -> None:
    found = attribute_problem(value)
    assert found is not None
    assert re.search(problem, found)
    with pytest.raises(ValueError, match=problem):
        attribute_text(value)


@given(strategies.one_of(TEXTS, strategies.booleans(), strategies.integers(), strategies.floats(), strategies.lists(TEXTS, max_size=5)))
def test_what_is_written_stays_within_its_field_and_means_the_same(value: object) -> None:
    if attribute_problem(value) is None:
        written = attribute_text(value)
        assert written and ";" not in written and written.isprintable()
        assert (written if isinstance(value, str) else json.loads(written)) == value


@pytest.mark.parametrize("name", ["plan", "costCenter", "a1", "x_y", "Plan", "a" * 64])
def test_good_names(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    "name", ["", "id", "key", "groups", "method", "issuer", "generation", "1a", "_a", "a-b", "a.b", "a;b", "a=b", "ä", "a\n", "a" * 65]
)
def test_bad_names(name: str) -> None:
    assert name_problem(name)
