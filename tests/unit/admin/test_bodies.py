"""Bodies are JSON, and nothing that only looks like it."""

import pytest

from bartizan.admin.bodies import _is_json


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/merge-patch+json", True),
        ("text/json", False),
        ("text/plain", False),
        ("application/jsonx", False),
        ("multipart/form-data; x=application/json", False),
        ("", False),
    ],
)
def test_only_json_is_json(text: str, good: bool) -> None:
    assert _is_json(text) is good
