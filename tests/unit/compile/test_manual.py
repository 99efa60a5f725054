"""Every kind has a manual and a summary of one sentence."""

import pytest

from bartizan.compile.manual import kind_page, manual, summary
from bartizan.compile.read import TYPES


@pytest.mark.parametrize("kind", TYPES)
def test_each_kind_is_summed_up_in_a_sentence(kind: str) -> None:
    told = summary(kind)
    assert told and "\n" not in told and len(told) < 250 and told[0].isupper() and "```" not in told
    assert kind_page(kind).startswith(f"# {kind}\n\n{manual(kind)}")
