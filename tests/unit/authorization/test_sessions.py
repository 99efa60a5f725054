"""Sessions: a cookie leads to somebody until it ends, is ended, or their account changes."""

from dataclasses import replace

import pytest

from bartizan.authorization.person import Person
from bartizan.identity.accounts import Place
from tests.unit.authorization.rig import DECLARED, Rig


def outsider(rig: Rig, provider: str = "google") -> Person:
    return Person("out_1", "7@google", "Gail", ("sales",), "", (), rig.now, "", 0.0, outside=provider)


def test_a_cookie_leads_to_who_logged_in_until_it_ends(rig: Rig) -> None:
    cookie, who = rig.logged_in()
    assert who.until == rig.now + 3600 and len(who.sid) == 24
    found = rig.sessions.of(cookie)
    assert found is not None and found.person == who and (found.since, found.agent) == (rig.now, "browser")
    for wrong in ("", cookie[:-1], cookie + "x", found.id, who.sid):
        assert rig.sessions.of(wrong) is None
    rig.now += 3599.9
    assert rig.sessions.of(cookie) is not None
    rig.now += 0.1
    assert rig.sessions.of(cookie) is None and rig.sessions.all(who.id) == ()
    assert rig.gateway.blocked == [], "it ended by itself"


def test_who_logs_in_again_has_the_same_session_and_another_cookie(rig: Rig) -> None:
    cookie, before = rig.logged_in()
    rig.now += 100
    again, who = rig.logged_in(before=cookie, acr="phr")
    assert who.sid == before.sid and who.until == before.until + 100 and again != cookie
    assert rig.sessions.of(cookie) is None, "the cookie of before counts no more"
    found = rig.sessions.of(again)
    assert found is not None and (found.person.acr, found.person.at, found.since) == ("phr", rig.now, rig.now)
    assert len(rig.sessions.all(who.id)) == 1 and rig.gateway.blocked == []


def test_another_browser_is_another_session(rig: Rig) -> None:
    (one, first), (two, second) = rig.logged_in(), rig.logged_in()
    assert first.sid != second.sid and rig.sessions.of(one) and rig.sessions.of(two)
    rig.now += 1
    third = rig.logged_in(before="somebody made this up")[1]
    assert [session.person.sid for session in rig.sessions.all(first.id)][-1] == third.sid
    assert third.sid not in {first.sid, second.sid}


def test_somebody_else_in_the_same_browser_ends_the_session_of_before(rig: Rig) -> None:
    cookie, ann = rig.logged_in("ann")
    _, bob = rig.logged_in("bob", before=cookie)
    assert bob.sid != ann.sid and rig.sessions.of(cookie) is None and rig.sessions.has_ended(ann.sid)
    assert [(claim, value) for claim, value, _, _ in rig.gateway.blocked] == [("session", ann.sid)]


def test_what_is_ended_counts_nowhere_for_as_long_as_a_token_of_it_could(rig: Rig) -> None:
    cookie, who = rig.logged_in()
    session = rig.sessions.of(cookie)
    assert session is not None
    rig.sessions.end(session)
    rig.sessions.end(session)
    assert rig.sessions.of(cookie) is None and rig.sessions.has_ended(who.sid) and not rig.sessions.has_ended("another")
    assert rig.gateway.blocked == [("session", who.sid, rig.now + 3700, "logged out")]
    rig.now += 3699
    assert rig.sessions.has_ended(who.sid)


def test_a_long_session_that_was_ended_is_remembered_until_its_end(rig: Rig) -> None:
    rig.declare(session="30d")
    cookie, who = rig.logged_in()
    session = rig.sessions.of(cookie)
    assert session is not None
    rig.sessions.end(session)
    rig.now = who.until - 1
    assert rig.sessions.has_ended(who.sid), "a refresh token of it asks for it"


def test_all_of_somebodys_are_ended_and_nobody_elses(rig: Rig) -> None:
    one, two, bob = rig.logged_in()[0], rig.logged_in()[0], rig.logged_in("bob")[0]
    assert rig.sessions.end_all(rig.person().id, "because") == 2
    assert rig.sessions.of(one) is None and rig.sessions.of(two) is None and rig.sessions.of(bob) is not None
    assert {reason for *_, reason in rig.gateway.blocked} == {"because"}
    assert rig.sessions.end_all(rig.person().id, "because") == 0


def test_they_are_what_their_account_is_now(rig: Rig) -> None:
    cookie, _ = rig.logged_in()
    rig.accounts.put("ann", Place(None, None, ("sales",)))
    found = rig.sessions.of(cookie)
    assert found is not None and found.person.groups == ("sales",) and found.person.acr == "mfa"


@pytest.mark.parametrize("how", ["invited anew", "removed", "another of this name"])
def test_who_has_no_account_any_more_isnt_logged_in(rig: Rig, how: str) -> None:
    cookie, who = rig.logged_in()
    if how == "invited anew":
        rig.accounts.invite("ann", Place())
    else:
        rig.accounts.remove("ann")
    if how == "another of this name":
        assert rig.account("ann").id != who.id
    assert rig.sessions.of(cookie) is None and rig.sessions.current(who) is None


def test_who_is_known_elsewhere_is_logged_in_as_long_as_that_provider_is_declared(rig: Rig) -> None:
    cookie, who = rig.sessions.begin(outsider(rig), 3600, "browser")
    found = rig.sessions.of(cookie)
    assert found is not None and found.person == who
    assert rig.sessions.of(rig.sessions.begin(outsider(rig, "other"), 3600, "browser")[0]) is None
    rig.declare(outside={})
    assert rig.sessions.of(cookie) is None
    rig.declare(**DECLARED)
    assert rig.sessions.of(cookie) is not None
    rig.gateway.is_declared = None
    assert rig.sessions.of(cookie) is None


def test_an_account_cant_be_taken_for_somebody_elsewhere(rig: Rig) -> None:
    ann = rig.person()
    assert rig.sessions.current(replace(ann, id="out_1")) is None
    cookie, before = rig.logged_in()
    _, made = rig.sessions.begin(outsider(rig), 3600, "browser", cookie)
    assert made.sid != before.sid and rig.sessions.has_ended(before.sid)


def test_what_a_browser_calls_itself_is_cut(rig: Rig) -> None:
    cookie, _ = rig.sessions.begin(rig.person(), 3600, "x" * 5000)
    found = rig.sessions.of(cookie)
    assert found is not None and found.agent == "x" * 200


def test_who_writes_the_store_logs_in_as_nobody(rig: Rig) -> None:
    cookie, _ = rig.logged_in("ann")
    bob = rig.person("bob")
    with rig.store.database.writing("authorizations") as connection:
        connection.exec_driver_sql("UPDATE authorizations SET body = replace(body, ?, ?)", (rig.person("ann").id, bob.id))
    assert rig.sessions.of(cookie) is None


def test_nor_brings_back_what_was_ended(rig: Rig) -> None:
    """The row of before is rightly signed still; but it is known that the session has ended."""
    cookie, _ = rig.logged_in()
    session = rig.sessions.of(cookie)
    assert session is not None
    with rig.store.database.writing("authorizations") as connection:
        connection.exec_driver_sql("CREATE TABLE copied AS SELECT * FROM authorizations")
    rig.sessions.end(session)
    with rig.store.database.writing("authorizations") as connection:
        connection.exec_driver_sql("INSERT INTO authorizations SELECT * FROM copied")
    assert rig.store.authorizations.get(session.id, "session") is not None and rig.sessions.of(cookie) is None
