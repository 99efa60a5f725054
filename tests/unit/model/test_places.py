"""Places: what databases tell, and what somebody may say that they do."""

import pytest
from pydantic import ValidationError

from bartizan.model import countries
from bartizan.model.places import PLACES, TELLS, Places, place_text


def test_what_the_named_databases_tell() -> None:
    assert Places().told() == {}
    assert Places(country="a.mmdb").told() == {"source.country": "string"}
    assert list(Places(network="a.mmdb", city="b.mmdb").told()) == [
        *("source.country", "source.region", "source.city", "source.asn", "source.operator")
    ]
    assert {name for told in TELLS.values() for name in told} == PLACES.keys()
    assert dict(Places(network="a.mmdb", city="b.mmdb").files()) == {"city": "b.mmdb", "network": "a.mmdb"}


def test_what_isnt_a_database_is_refused() -> None:
    for wrong in ({"town": "a.mmdb"}, {"city": ""}, {"city": 5}):
        with pytest.raises(ValidationError):
            Places(**wrong)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("country", "DE", "DE"),
        ("city", "São Paulo", "São Paulo"),
        ("asn", 64512, "64512"),
        ("asn", "64512", "64512"),
        ("tor", True, "true"),
        ("tor", "false", "false"),
        ("anonymous", "unknown", "unknown"),
    ],
)
def test_what_may_be_said(name: str, value: object, text: str) -> None:
    assert place_text(name, value) == text


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("colour", "red", "databases tell no 'colour'"),
        ("source.country", "DE", "databases tell no"),
        ("country", "UK", 'write "GB"'),
        ("country", "de", 'write "DE"'),
        ("country", "unknown", "!has"),
        ("country", False, "country is a text"),
        ("city", "", "leave it out"),
        ("city", "a\nb", "city is a text"),
        ("city", "x" * 201, "at most 200"),
        ("asn", -1, "the number of a network"),
        ("asn", True, "the number of a network"),
        ("asn", "12345678901", "the number of a network"),
        ("tor", "yes", "true, false or unknown"),
        ("tor", 1, "true, false or unknown"),
    ],
)
def test_what_may_not(name: str, value: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        place_text(name, value)


def test_the_codes_are_those_of_the_standard() -> None:
    assert len(countries.CODES) == 250 and {"DE", "NO", "GB", "XK"} < countries.CODES
    assert not {"UK", "EU", "ZZ", "XX", "de"} & countries.CODES
