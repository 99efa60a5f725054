"""The values that conditions compare with."""

from fractions import Fraction
from ipaddress import ip_network

import pytest

from bartizan.policies.resource_policy import values
from bartizan.policies.resource_policy.glob import Wild
from bartizan.policies.resource_policy.notes import Refused


@pytest.mark.parametrize(("value", "text"), [("gold", "gold"), (7, "7"), (True, "true"), ("", ""), ("${*}", "*")])
def test_texts(value: object, text: str) -> None:
    assert values.glob(value, True, wild=True) == tuple(text)


@pytest.mark.parametrize("value", [1.5, None, ["a"], {"a": "b"}])
def test_what_is_no_text(value: object) -> None:
    with pytest.raises(Refused) as refused:
        values.glob(value, True, wild=True)
    assert refused.value.code == "condition-value"


def test_variables_are_refused_and_say_what_their_version_does() -> None:
    for variables, told in ((True, "can't be honoured"), (False, "doesn't know")):
        with pytest.raises(Refused, match=told) as refused:
            values.glob("${aws:username}", variables, wild=True)
        assert refused.value.code == "policy-variable"


def test_an_arn_has_six_parts_and_the_last_may_hold_colons() -> None:
    assert values.arn("arn:aws:iam::edge:user/a:b*", True).parts[5] == (*"user/a:b", Wild.MANY)
    for text in ("*", "arn:aws:iam::edge", 5):
        with pytest.raises(Refused, match="six parts"):
            values.arn(text, True)


@pytest.mark.parametrize(("value", "number"), [(5, 5), ("5", 5), ("-2.50", Fraction(-5, 2)), (0.1, Fraction(1, 10)), (2**53, 2**53)])
def test_numbers_are_exact(value: object, number: Fraction) -> None:
    assert values.number(value) == number


@pytest.mark.parametrize("value", ["", "five", "1e5", "0x10", "NaN", "inf", True, None, 2**53 + 1, "1" * 21, "1_000"])
def test_what_is_no_number(value: object) -> None:
    with pytest.raises(Refused):
        values.number(value)


@pytest.mark.parametrize(("value", "truth"), [(True, True), ("False", False), ("TRUE", True)])
def test_truths(value: object, truth: bool) -> None:
    assert values.truth(value) is truth


@pytest.mark.parametrize("value", ["yes", 1, None, ""])
def test_what_is_neither_true_nor_false(value: object) -> None:
    with pytest.raises(Refused):
        values.truth(value)


def test_addresses() -> None:
    assert values.address("203.0.113.7") == ip_network("203.0.113.7/32")
    assert values.address("2001:DB8::/32") == ip_network("2001:db8::/32")
    assert values.address("::ffff:10.0.0.0/104") == ip_network("10.0.0.0/8")
    for value in ("10.0.0.1/8", "10.0.0", "host", "*", 5, ""):
        with pytest.raises(Refused):
            values.address(value)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1970-01-02", 86400),
        ("1970-02", 31 * 86400),
        ("1970-01-01T01:00+01:00", 0),
        ("1970-01-01T00:00:01Z", 1),
        ("1970-01-01T00:00:01.5Z", Fraction(3, 2)),
        ("2026-03-29T01:00:00Z", 1774746000),
        (1774746000, 1774746000),
        ("1774746000", 1774746000),
    ],
)
def test_moments(value: object, seconds: Fraction) -> None:
    assert values.seconds(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "2030",  # a year, or seconds?
        2030,
        "1970-13",
        "2026-02-30",
        "2026-03-29T01:00:00",  # no zone
        "2026-03-29 01:00:00Z",
        "2026-03T01:00Z",
        "2026-03-29T25:00Z",
        "2026-03-29T01:00:60Z",
        "1969-12-31",
        "9999-12-31T23:59:59Z",
        "9999999999999",
        "now",
        True,
        1.5,
        None,
    ],
)
def test_what_is_no_moment(value: object) -> None:
    with pytest.raises(Refused) as refused:
        values.seconds(value)
    assert refused.value.code == "condition-value"
