"""ContextSource: which can be declared, and what is said of those that can't."""

from typing import Any

import pytest
from pydantic import ValidationError

from bartizan.model.context import ContextSource

PULL = {"url": "https://hr.example.com/context"}


def made(**more: Any) -> ContextSource:
    return ContextSource.model_validate(
        {"name": "hr", "attributes": ["plan"], **({"push": True} if not more.keys() & WAYS else {}), **more}
    )


WAYS = {"push", "pull", "file"}


def test_what_isn_t_said_is_strict() -> None:
    one = made()
    assert (one.stale, one.max_age.total_seconds(), dict(one.defaults), one.stamp) == ("deny", 300, {}, "@hr")
    assert made(stale={"plan": "free"}).defaults == {"plan": "free"}
    assert made(pull=PULL).pull.every.total_seconds() == 30  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"push": None}, "give one of"),
        ({"push": False}, "True"),
        ({"push": True, "file": "a.json"}, "give one of"),
        ({"attributes": []}, "at least 1"),
        ({"attributes": ["plan", "plan"]}, "twice"),
        ({"max_age": "2s"}, "3s or more"),
        ({"stale": "allow"}, "deny"),
        ({"pull": {**PULL, "every": "500ms"}}, "1s or more"),
        ({"pull": {**PULL, "every": "10m"}}, "no longer than max_age"),
        ({"pull": {"url": "ftp://hr.example.com"}}, "http://"),
        ({"pull": {"url": "https://me:password@hr.example.com/"}}, "without a password"),
        ({"pull": {"url": "http://hr.example.com/", "authorization": {"secret": "hr"}}}, "https:// alone"),
        ({"pull": {**PULL, "authorization": "Bearer text"}}, "in the open"),
    ],
)
def test_what_can_t_be_declared_is_told(more: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        made(**more)


def test_a_secret_may_be_sent_in_the_clear_to_this_machine_alone() -> None:
    for host in ("127.0.0.1:8080", "localhost", "[::1]"):
        assert made(pull={"url": f"http://{host}/", "authorization": {"secret": "hr"}}).pull is not None
