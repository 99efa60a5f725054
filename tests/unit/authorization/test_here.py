"""The parts together: what somebody was about to do, what a passkey is to answer, and who tries too often."""

import pytest

from bartizan.errors import NotFound, TooMany, Unauthenticated
from tests.unit.authorization.rig import Rig


def test_without_a_declaration_there_is_none(rig: Rig) -> None:
    rig.gateway.is_declared = None
    for ask in (rig.here.declared, rig.here.server, rig.here.relying):
        with pytest.raises(NotFound) as found:
            ask()
        assert found.value.code == "authorization-none"


def test_what_somebody_was_about_to_do_is_kept_for_an_hour(rig: Rig) -> None:
    leads = rig.here.begin({"next": "/account"})
    found = rig.here.interaction(leads)
    assert found is not None and found.value == {"next": "/account", "since": rig.now}
    for wrong in ("", leads[:-1], "x"):
        assert rig.here.interaction(wrong) is None
    assert rig.here.challenges.behind(leads) is None, "it is no challenge"
    rig.now += 3600
    assert rig.here.interaction(leads) is None


@pytest.mark.parametrize("of", ["", "usr_1"])
def test_a_passkey_answers_once_and_only_who_was_asked(rig: Rig, of: str) -> None:
    secret, other = rig.here.challenge("the state", of), rig.here.challenge("another", of)
    assert rig.here.challenged(secret, of) == "the state"
    for shown, whose in ((secret, of), (other, "usr_2"), (other, of), ("", of), ("x", of), (rig.here.begin({"of": of, "state": "x"}), of)):
        with pytest.raises(Unauthenticated) as found:
            rig.here.challenged(shown, whose)
        assert found.value.code == "challenge-ended", "and one that somebody else answered is used up"


def test_a_passkey_answers_in_time(rig: Rig) -> None:
    secret = rig.here.challenge("the state")
    rig.now += 300
    with pytest.raises(Unauthenticated):
        rig.here.challenged(secret)


def wrong() -> None:
    raise Unauthenticated("no")


def test_who_tries_too_often_is_refused_by_address_and_by_name(rig: Rig) -> None:
    for number in range(10):
        with pytest.raises(Unauthenticated):
            rig.here.tries(f"192.0.2.{number}", "ann", wrong)
    with pytest.raises(TooMany):
        rig.here.tries("198.51.100.1", "ann", lambda: pytest.fail("nothing is tried"))
    assert rig.here.tries("192.0.2.1", "bob", lambda: "in") == "in"
    for number in range(10):
        with pytest.raises(Unauthenticated):
            rig.here.tries("203.0.113.1", f"one {number}", wrong)
    with pytest.raises(TooMany):
        rig.here.tries("203.0.113.1", "somebody else", lambda: pytest.fail("nothing is tried"))


def test_a_name_is_no_address(rig: Rig) -> None:
    """Who is called like an address would lock that out."""
    for number in range(10):
        with pytest.raises(Unauthenticated):
            rig.here.tries(f"192.0.2.{number}", "198.51.100.1", wrong)
    assert rig.here.tries("198.51.100.1", "ann", lambda: "in") == "in"


def test_passkeys_belong_to_the_issuers_host(rig: Rig) -> None:
    party = rig.here.relying()
    assert (party.host, party.name, party.origin) == ("login.example.com", "edge", "https://login.example.com")


def refused() -> None:
    raise Unauthenticated("no", code="no")


def test_a_name_is_remembered_by_its_hash_however_long_it_is(rig: Rig) -> None:
    here = rig.here
    for number in range(5):
        with pytest.raises(Unauthenticated):
            here.tries(f"192.0.2.{number}", "x" * 200_000 + str(number), refused)
    assert all(len(key) < 100 for key in here.lockout._wrong) and len(here.lockout._wrong) == 10


def test_a_name_is_locked_out_from_everywhere_and_others_arent(rig: Rig) -> None:
    here = rig.here
    for number in range(10):
        with pytest.raises(Unauthenticated):
            here.tries(f"192.0.2.{number}", "ines", refused)
    with pytest.raises(TooMany):
        here.tries("198.51.100.1", "ines", refused)
    assert here.tries("198.51.100.1", "max", lambda: 1) == 1
    assert {one[2] for one in rig.gateway.noted} == {"account/unknown"}, "what is no name may be a password"
