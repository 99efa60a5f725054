"""What contradicts itself by saying of one thing what it is, and what it isn't."""

import pytest

from bartizan.meaning.formula import FALSE, Formula, OfHeader, OfPrincipal, StringTest, every, negation, some
from bartizan.meaning.settle import settled


def _is(text: str, kind: str = "exact") -> OfPrincipal:
    return OfPrincipal("department", StringTest(kind, text))  # type: ignore[arg-type]


FINANCE, SALES, LEGAL = _is("finance"), _is("sales"), _is("legal")


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (every([FINANCE, SALES]), FALSE),
        (every([FINANCE, negation(_is("fin", "prefix"))]), FALSE),
        (every([FINANCE, _is("fin", "prefix")]), FINANCE),
        (every([FINANCE, negation(some([FINANCE, SALES]))]), FALSE),
        (every([FINANCE, some([SALES, LEGAL])]), FALSE),
        (some([every([FINANCE, SALES]), LEGAL]), LEGAL),
        (every([negation(FINANCE), some([FINANCE, LEGAL])]), every([negation(FINANCE), some([FINANCE, LEGAL])])),
        (every([OfHeader("a", StringTest("exact", "x")), OfHeader("a", StringTest("exact", "y"))]), FALSE),
        (every([OfHeader("a", StringTest("exact", "x")), FINANCE]), every([OfHeader("a", StringTest("exact", "x")), FINANCE])),
    ],
)
def test_settled(made: Formula, wanted: Formula) -> None:
    assert settled(made) == wanted
