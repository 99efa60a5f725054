"""Questions about values, answered as Envoy answers them."""

import pytest

from bartizan.meaning.formula import NumberTest, PresentTest, StringTest
from bartizan.meaning.values import MISSING, UNKNOWN, Begins, Test, Value, answered

ANYTHING = StringTest("regex", r"\C*")


@pytest.mark.parametrize(
    ("test", "value", "wanted"),
    [
        (StringTest("exact", "gold"), "gold", True),
        (StringTest("exact", "Gold", ignore_case=True), "gOLD", True),
        (StringTest("exact", "É", ignore_case=True), "é", None),
        (StringTest("prefix", "go"), "gold", True),
        (StringTest("suffix", "ld"), "gold", True),
        (StringTest("contains", "ol"), "gold", True),
        (StringTest("contains", "x"), "gold", False),
        (StringTest("regex", "g.*"), "gold", True),
        (StringTest("regex", "g"), "gold", False),  # the whole of it
        (StringTest("regex", "g|gold"), "gold", True),
        (StringTest("regex", r"\C*?(?:ol)\C*"), "gold", True),
        (StringTest("regex", r"\\C"), r"\C", True),
        (StringTest("regex", "....."), "gold", False),
        (StringTest("regex", "[\\xc3][\\xa9]"), "é", True),  # bytes are characters to Envoy's matchers
        (StringTest("regex", "."), "é", False),
        (StringTest("regex", "é"), "é", True),
        (StringTest("regex", "("), "(", None),
        (StringTest("exact", "7"), 7.0, False),
        (NumberTest(7), 7.0, True),
        (NumberTest(7), "7", False),
        (NumberTest(2, 7), 7.0, False),
        (NumberTest(2, 7), 2.0, True),
        (PresentTest(), "", True),
        (PresentTest(), MISSING, False),
        (ANYTHING, MISSING, False),
        (ANYTHING, UNKNOWN, None),
        (ANYTHING, Begins("x"), True),
        (StringTest("exact", "acme"), Begins("https://idp|"), False),
        (StringTest("exact", "https://idp|ines"), Begins("https://idp|"), None),
        (StringTest("prefix", "https:"), Begins("https://idp|"), True),
        (StringTest("prefix", "https://idp|a"), Begins("https://idp|"), None),
        (StringTest("contains", "idp"), Begins("https://idp|"), True),
        (StringTest("suffix", "|"), Begins("https://idp|"), None),
        (NumberTest(1), Begins("1"), False),
    ],
)
def test_answers(test: Test, value: Value, wanted: bool | None) -> None:
    assert answered(test, value) is wanted
