"""Files of keys of another gateway: read whole, each mistake by its line, and no key in any of it."""

import json

import pytest

from bartizan.identity.bringing import keys_of
from bartizan.identity.key_text import key_text

NOW = 1_800_000_000.0
KEY = "sk-live-0123456789abcdef"


def lines(*told: object) -> bytes:
    return "\n".join(one if isinstance(one, str) else json.dumps(one) for one in told).encode()


def test_json_lines_and_csv_say_the_same() -> None:
    ours = key_text()
    full = {"consumer": "acme", "key": KEY, "name": "ci", "expires": "2030-01-01T00:00:00Z", "scopes": ["a:r", "b"]}
    by_json = lines(full, "", {"consumer": "beta", "key": ours})
    by_csv = lines("consumer,key,name,expires,scopes", f"acme,{KEY},ci,2030-01-01T00:00:00Z,a:r b", f"beta,{ours},,,")
    for content, numbers in ((by_json, [1, 3]), (by_csv, [2, 3]), (b"\xef\xbb\xbf" + by_csv, [2, 3])):
        found, problems = keys_of(content, "f", NOW)
        assert not problems and [one.line for one in found] == numbers
        first, second = found
        assert (first.wanted.consumer, first.wanted.name, first.wanted.scopes) == ("acme", "ci", ("a:r", "b"))
        assert first.wanted.expires == 1893456000.0 and first.key.reveal() == KEY
        assert second.wanted.expires is None and second.wanted.scopes == () and second.key.reveal() == ours


@pytest.mark.parametrize(
    ("one", "told"),
    [
        ({"consumer": "acme"}, "fewer than 16"),
        ({"key": KEY}, "no consumer"),
        ({"consumer": "Ac me", "key": KEY}, "isn't the name"),
        ({"consumer": 1, "key": KEY}, "no text"),
        ({"consumer": "acme", "key": KEY[:15]}, "fewer than 16"),
        ({"consumer": "acme", "key": KEY * 30}, "more than 512"),
        ({"consumer": "acme", "key": KEY + " x"}, "a space or a comma"),
        ({"consumer": "acme", "key": KEY + "\u00e9"}, "printable ASCII"),
        ({"consumer": "acme", "key": KEY + "\0"}, "printable ASCII"),
        ({"consumer": "acme", "key": "certificate:" + KEY}, "as certificates do"),
        ({"consumer": "acme", "key": "bz_a" + KEY}, "mistyped or cut"),
        ({"consumer": "acme", "key": key_text()[:-1] + "!"}, "mistyped or cut"),
        ({"consumer": "acme", "key": KEY, "name": "a;b"}, "its name"),
        ({"consumer": "acme", "key": KEY, "expires": "tomorrow"}, "no time"),
        ({"consumer": "acme", "key": KEY, "expires": "2030-01-01T00:00:00"}, "no time"),
        ({"consumer": "acme", "key": KEY, "expires": "2020-01-01T00:00:00Z"}, "has expired"),
        ({"consumer": "acme", "key": KEY, "scopes": ["a b"]}, "no scope"),
        ({"consumer": "acme", "key": KEY, "scopes": {"a": 1}}, "neither"),
        ({"consumer": "acme", "key": KEY, KEY: 1}, "1 more field"),
        (f'{{"consumer": "acme", "key": "{KEY}"', "can't be read"),
        ('{"consumer": "acme"} x', "can't be read"),
    ],
)
def test_each_mistake_is_told_by_its_line_and_without_the_key(one: object, told: str) -> None:
    found, problems = keys_of(lines({"consumer": "good", "key": key_text()}, one), "keys.jsonl", NOW)
    assert len(found) == 1
    (problem,) = problems
    assert (problem.at.file, problem.at.line) == ("keys.jsonl", 2) and told in problem.message
    assert KEY[:15] not in str(problem)


def test_a_key_twice_in_a_file_is_a_mistake() -> None:
    _, problems = keys_of(lines({"consumer": "a", "key": KEY}, {"consumer": "b", "key": KEY}), "f", NOW)
    assert [one.at.line for one in problems] == [2] and "line 1" in problems[0].message


@pytest.mark.parametrize("content", [b"", b"\n", b"consumer,key\n", b"\xff\xfe", b'consumer,key\n"open', f"{KEY},acme\n{KEY},b\n".encode()])
def test_a_file_that_holds_no_keys_is_a_mistake(content: bytes) -> None:
    found, problems = keys_of(content, "f", NOW)
    assert not found and problems and not any(KEY in str(one) for one in problems)


def test_every_mistake_is_told_at_once() -> None:
    _, problems = keys_of(lines(*({"consumer": "a", "key": "short"} for _ in range(50))), "f", NOW)
    assert len(problems) == 50
