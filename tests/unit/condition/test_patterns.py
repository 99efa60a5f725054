"""Patterns, tried on the RE2 that Envoy has too."""

import json

import pytest
from cel_expr_python import cel
from hypothesis import given
from hypothesis import strategies as st

from bartizan.condition import patterns

_SEARCH = cel.NewEnv(variables={"text": cel.Type.STRING, "pattern": cel.Type.STRING}).compile("text.matches(pattern)")


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches."""
    found = _SEARCH.eval(data={"text": text, "pattern": f"^(?:{pattern})$"})
    assert found.type() == cel.Type.BOOL, found.value()
    return bool(found.value())


def is_list(text: str) -> bool:
    odd = matches(patterns.found_in(patterns.ODD_ESCAPE), text)
    return matches(patterns.LIST, text) and not odd


def holds(value: str, text: str) -> bool:
    return matches(patterns.list_holds(value) + patterns.ANYTHING, text)


_TEXTS = st.text(st.one_of(st.sampled_from("\",\\[]{} /<>&'ab\x07\n\x7fé😀u0041"), st.characters(codec="utf-8")), max_size=6)


@given(st.lists(_TEXTS, max_size=4), _TEXTS, st.booleans(), st.sampled_from([(",", ":"), (", ", ": ")]))
def test_lists_hold_what_they_hold(values: list[str], other: str, ascii_only: bool, separators: tuple[str, str]) -> None:
    """Whatever quotes, commas and brackets stand in the elements."""
    text = json.dumps(values, ensure_ascii=ascii_only, separators=separators)
    if "\\\\u00" in text:
        return  # a backslash before "u00": counts as malformed
    assert is_list(text)
    assert all(holds(value, text) for value in values)
    assert holds(other, text) == (other in values)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('a"b', r'["a\u0022b"]'),
        ("a/b", r'["a\/b"]'),
        ("<&>", r'["\u003c\u0026\u003e"]'),
        ("é", r'["\u00E9"]'),
        ("😀", r'["\uD83D\ude00"]'),
        ("a", '[ 1 , "a" ]'),
    ],
)
def test_serializers_may_escape(value: str, text: str) -> None:
    assert json.loads(text)[-1] == value
    assert is_list(text)
    assert holds(value, text)


@pytest.mark.parametrize(
    "text", ["", "a", '"a"', '["a"', '"a"]', "[a]", '[["a"]]', '[{"a": 1}]', '["a"]x', '["a" b]', '["a\\"]', r'["\u0061"]', "{}", "null"]
)
def test_what_is_not_a_list(text: str) -> None:
    assert not is_list(text)


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("a.b", "a.b"),
        ("A.B:80", "a.b"),
        ("a.b:", "a.b"),
        ("[::1]", "[::1]"),
        ("[::1]:80", "[::1]"),
        ("xa.b", None),
        ("a.b.c", None),
        ("a.b:x", None),
        ("axb", None),
    ],
)
def test_hosts(authority: str, host: str | None) -> None:
    assert matches(patterns.host_is(["a.b", "[::1]"]), authority) == (host is not None)
    assert matches(patterns.ANY_HOST, authority) == (authority != "a.b:x")


@pytest.mark.parametrize(
    ("how", "part", "found"),
    [
        ("startsWith", "a", {"a.b:80", "A.c"}),
        ("endsWith", ".b", {"a.b:80", "x.b"}),
        ("contains", "1", {"[::1]:8", "x1.c"}),
        ("contains", "8", set()),
    ],
)
def test_parts_of_hosts(how: str, part: str, found: set[str]) -> None:
    for authority in ("a.b:80", "A.c", "x.b", "[::1]:8", "x1.c", "a:b:c"):
        assert matches(patterns.host_has(how, part), authority) == (authority in found)


def test_parts_of_paths() -> None:
    for target, ends, contains in (("/a.png", True, True), ("/a.png?x", True, True), ("/a.pngx", False, True), ("/a?.png", False, False)):
        assert matches(patterns.path_has("endsWith", ".png"), target) == ends
        assert matches(patterns.path_has("contains", ".png"), target) == contains


@pytest.mark.parametrize(
    "pattern", ["(", "a)", "(?=a)", r"(a)\1", "[a", "*", r"\Qa", "a" * 513, "a{1001}", r"(?:\pL{30}){30}", "(?i", "\\"]
)
def test_patterns_that_cannot_be_used(pattern: str) -> None:
    assert patterns.problem(pattern)


@pytest.mark.parametrize("pattern", ["", "^a$", "(?i)a|b", r"\p{Greek}+", "a{1000}", "[[:alpha:]]", "é", r"\Qa(\E", "(?P<n>a)", "(?m)^a$"])
def test_patterns_that_can_be_used(pattern: str) -> None:
    assert patterns.problem(pattern) is None
    assert matches(patterns.found_in(pattern), "xx") == bool(_SEARCH.eval(data={"text": "xx", "pattern": pattern}).value())


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14_0) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Safari/605.1.15", "desktop"),
        ("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120 Safari/537.36", "desktop"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:120.0) Gecko/20100101 Firefox/120.0", "desktop"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1", "mobile"),
        ("Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/120 Mobile Safari/537.36", "mobile"),
        ("Mozilla/5.0 (Linux; Android 13; SM-X900) AppleWebKit/537.36 Chrome/120 Safari/537.36", "tablet"),
        ("Mozilla/5.0 (iPad; CPU OS 16_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1", "tablet"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "bot"),
        ("curl/8.5.0", "bot"),
        ("python-requests/2.31", "bot"),
        ("MyApp/1.0", "unknown"),
        ("", "unknown"),
    ],
)
def test_devices(agent: str, device: str) -> None:
    found = (name for name, pattern in patterns.DEVICES if _SEARCH.eval(data={"text": agent, "pattern": pattern}).value())
    assert next(found, "unknown") == device
