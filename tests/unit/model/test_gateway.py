"""What a Gateway may say."""

import pytest
from pydantic import ValidationError

from bartizan.model.gateway import Gateway

LISTENERS = [{"name": "web", "address": "127.0.0.1:8080"}]


def test_how_long_a_node_takes_keys_without_a_word_isnt_limited_by_itself() -> None:
    assert Gateway.model_validate({"name": "edge", "listeners": LISTENERS}).max_stale is None


@pytest.mark.parametrize(("written", "seconds"), [("3s", 3), ("10m", 600), ("1d", 86_400)])
def test_it_can_be(written: str, seconds: float) -> None:
    made = Gateway.model_validate({"name": "edge", "listeners": LISTENERS, "max_stale": written})
    assert made.max_stale and made.max_stale.total_seconds() == seconds


@pytest.mark.parametrize("written", ["0s", "2s", "2999ms", "10", 10, "-5s", ""])
def test_but_not_shorter_than_nodes_are_spoken_to(written: object) -> None:
    with pytest.raises(ValidationError):
        Gateway.model_validate({"name": "edge", "listeners": LISTENERS, "max_stale": written})
