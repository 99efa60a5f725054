"""The revision that changed an answer."""

import pytest

from bartizan.replay.bisect import first_change


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [("", None), ("a", None), ("aa", None), ("ab", 1), ("aaab", 3), ("abbb", 1), ("aaaabbbb", 4), ("aba", None), ("a" * 99 + "b", 99)],
)
async def test_it_is_found_with_few_questions(answers: str, wanted: int | None) -> None:
    asked: list[int] = []

    def revision(place: int):  # type: ignore[no-untyped-def]
        async def answer() -> str:
            asked.append(place)
            return answers[place]

        return answer

    assert await first_change([revision(i) for i in range(len(answers))]) == wanted
    assert len(asked) == len(set(asked)) <= 2 + len(answers).bit_length()


async def test_where_it_changes_several_times_one_change_is_told() -> None:
    async def a() -> str:
        return "a"

    async def b() -> str:
        return "b"

    found = await first_change([a, b, a, a, b, b])
    assert found in {1, 4}
