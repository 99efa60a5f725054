"""The table of doors, row by row."""

import pytest

from bartizan.rollout.doors import Counts, counts


@pytest.mark.parametrize(
    ("files", "base", "newest", "expected"),
    [
        ("a", None, None, Counts.FILES),
        ("a", "a", None, Counts.FILES),
        ("a", "a", "a", Counts.IN_STEP),
        ("b", "a", "b", Counts.IN_STEP),
        ("a", None, "a", Counts.IN_STEP),
        ("a", "a", "b", Counts.STORE),
        ("b", "a", "a", Counts.FILES),
        ("c", "a", "b", Counts.DRIFT),
        ("c", None, "b", Counts.DRIFT),
    ],
)
def test_what_counts(files: str, base: str | None, newest: str | None, expected: Counts) -> None:
    assert counts(files, base, newest) is expected
