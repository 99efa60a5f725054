"""The revision that changed an answer."""

import pytest

from bartizan.replay.bisect import every_change, last_change


class Past:
    """Answers by place; `?` can't be told."""

    def __init__(self, answers: str) -> None:
        self.answers = answers
        self.asked: list[int] = []

    async def ask(self, place: int) -> str | None:
        self.asked.append(place)
        return None if self.answers[place] == "?" else self.answers[place]


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        ("", None),
        ("a", None),
        ("aa", None),
        ("ab", (0, 1)),
        ("aaab", (2, 3)),
        ("abbb", (0, 1)),
        ("aaaabbbb", (3, 4)),
        ("a" * 99 + "b", (98, 99)),
        ("a" + "b" * 99, (0, 1)),
        ("aabbaabb", (5, 6)),
    ],
)
async def test_it_is_found_with_few_questions(answers: str, wanted: tuple[int, int] | None) -> None:
    past = Past(answers)
    assert await last_change(len(answers), past.ask) == wanted
    assert len(set(past.asked)) <= 2 + 2 * len(answers).bit_length()


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        ("???", None),
        ("?b", None),
        ("a?b", (0, 2)),
        ("aa??bb", (1, 4)),
        ("ab??", (0, 1)),
        ("?a?bb?", (1, 3)),
        ("?ab", (1, 2)),
        ("????ab??b?", (4, 5)),
    ],
)
async def test_what_cant_be_told_is_passed_over(answers: str, wanted: tuple[int, int] | None) -> None:
    assert await last_change(len(answers), Past(answers).ask) == wanted


@pytest.mark.parametrize("count", [2, 3, 5, 8, 21])
async def test_any_single_change_is_found(count: int) -> None:
    for at in range(1, count):
        answers = "a" * at + "b" * (count - at)
        assert await last_change(count, Past(answers).ask) == (at - 1, at)


async def test_a_change_that_was_taken_back_is_found_by_asking_all() -> None:
    answers = "aabaa?b"
    assert await every_change(len(answers), Past(answers).ask) == [(4, 6), (2, 3), (1, 2)]
    assert await every_change(0, Past("").ask) == []
