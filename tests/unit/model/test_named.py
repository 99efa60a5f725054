"""Where a named secret may be sent, and for whom."""

import pytest

from bartizan.model.named import OWN, Destination, Grant, Use, destination


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("partner.example.com", "partner.example.com"),
        (" Partner.Example.com:8443 ", "partner.example.com:8443"),
        ("*.example.com", "*.example.com"),
        ("203.0.113.7:443", "203.0.113.7:443"),
        ("[2001:DB8:0::7]:443", "[2001:db8::7]:443"),
        ("[2001:db8::7]", "[2001:db8::7]"),
    ],
)
def test_a_destination_has_one_form(text: str, form: str) -> None:
    assert destination(text) == destination(form) == form


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "*:443",
        "a b",
        "https://a.example",
        "a.example/x",
        "a.example:0",
        "a.example:65536",
        "a:b",
        "[::1",
        "[a.example]",
        "2001:db8::7",
        "*.",
        "a.*.example",
        "-a.example",
        "a.example:443:443",
        "a..example",
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no destination"):
        destination(text)


@pytest.mark.parametrize(
    ("pattern", "host", "port", "does"),
    [
        ("a.example", "a.example", 443, True),
        ("a.example:443", "a.example", 443, True),
        ("a.example:443", "a.example", 8443, False),
        ("a.example", "b.a.example", 443, False),
        ("*.a.example", "b.a.example", 443, True),
        ("*.a.example", "a.example", 443, False),
        ("*.a.example", "evila.example", 443, False),
        ("a.example", "a.example.", 443, False),
        ("a.example", "a.example.evil", 443, False),
        ("[2001:db8::7]:443", "2001:db8::7", 443, True),
        ("[2001:db8::7]:443", "2001:db8::8", 443, False),
    ],
)
def test_a_pattern_covers_no_more_than_it_says(pattern: str, host: str, port: int, does: bool) -> None:
    assert Grant("orders", (pattern,)).allows(Use("orders", (Destination(host, port),))) is does


def test_every_destination_has_to_be_granted() -> None:
    both = Use("orders", (Destination("a.example", 443), Destination("evil.example", 443)))
    grant = Grant("orders", ("a.example",))
    assert not grant.allows(both)
    assert grant.beyond(both) == (Destination("evil.example", 443),)


@pytest.mark.parametrize("team", [None, "billing"])
def test_it_is_for_its_team_alone(team: str | None) -> None:
    to = (Destination("a.example", 443),)
    assert not Grant("orders", ("a.example",)).allows(Use(team, to))
    assert not Grant(team, ("a.example",)).allows(Use("orders", to))


def test_what_goes_somewhere_isnt_for_what_stays_and_the_other_way_round() -> None:
    assert Grant(None, ()).allows(OWN)
    assert not Grant(None, ("a.example",)).allows(OWN)
    assert not Grant("orders", ()).allows(Use("orders", (Destination("a.example", 443),)))
