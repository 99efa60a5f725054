"""YAML 1.2: what plain scalars mean, lines, and what is refused."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bartizan.lib.yaml import YamlError, documents, written


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("no", "no"),
        ("off", "off"),
        ("yes", "yes"),
        ("1:30", "1:30"),
        ("0o17", 15),
        ("0x1f", 31),
        ("017", 17),
        ("1_000", "1_000"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("true", True),
        ("True", True),
        ("~", None),
        ("null", None),
        ('"1"', "1"),
        ("'true'", "true"),
        ("2026-11-21", "2026-11-21"),
        ("=", "="),
        ("<<", "<<"),
    ],
)
def test_what_a_scalar_means(text: str, value: object) -> None:
    (document,) = documents(f"a: {text}")
    assert document.value == {"a": value}
    assert type(document.value["a"]) is type(value)


def test_lines_of_values() -> None:
    first, second = documents("a: 1\nb:\n  - c: 2\n  - 3\n---\n\nd: 4\n")
    assert first.line(("b", 0, "c")) == 3
    assert first.line(("b", 1)) == 4
    assert first.line(("b", 1, "missing", "below")) == 4
    assert second.line(("d",)) == 7


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "twice"),
        ("a:\n  b: 1\n  b: 2\n", 3, "twice"),
        ("a: [1\n", 2, "expected"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, "tag"),
        ("a: !custom x\n", 1, "tag"),
        ("? [1, 2]\n: x\n", 1, "key"),
        ("a: \x00", 1, "character|control"),
    ],
)
def test_what_is_refused(text: str, line: int, says: str) -> None:
    with pytest.raises(YamlError, match=says) as caught:
        list(documents(text))
    assert caught.value.line == line


def test_aliases_that_explode_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(YamlError, match="too large"):
        list(documents("\n".join(lines)))


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(_PLAIN.filter(lambda value: value is not None), max_size=3))
@example(["0o17", "08", "1e5", "no", "1:30", "~", "", "a\nb", " a\n", "\x7f\x85\u2028\ufeff", {"0x1F": "2001-01-01"}])
@settings(max_examples=300)
def test_what_is_written_is_read_as_the_same(values: list[object]) -> None:
    assert [one.value for one in documents(written(values))] == values
