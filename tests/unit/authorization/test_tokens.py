"""Tokens: what they tell, how long they count, and that a refresh token somebody has a copy of ends all that came of it."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from bartizan.authorization.person import Person
from bartizan.authorization.tokens import ACCESS, Issued, Wanted, audiences_of
from bartizan.errors import Conflict, Unauthenticated
from bartizan.identity.accounts import Place
from bartizan.store import Authorization
from tests.unit.authorization.rig import ISSUER, Rig

SCOPE = "openid offline_access"


def wanted(rig: Rig, who: Person | None, scope: str = "openid", **more: Any) -> Wanted:
    return Wanted(rig.client(), who, scope, **more)


def began(rig: Rig, scope: str = "openid", who: Person | None = None) -> tuple[str, Issued]:
    """A family: its first refresh token, and what was made with it."""
    made = rig.tokens.issue(rig.declared, wanted(rig, who or rig.logged_in()[1], scope), refresh=True)
    return str(made.answer["refresh_token"]), made


def used(rig: Rig, text: str, client: str = "web") -> Issued | None:
    """What an application gets for a refresh token; None if it counts no more."""
    if (row := rig.tokens.family(text, client)) is None:
        return None
    who = rig.tokens.person_of(row)
    assert who is not None
    return rig.tokens.refreshed(rig.declared, row, text, wanted(rig, who, str(row.value["scope"])))


def next_of(rig: Rig, text: str) -> str:
    made = used(rig, text)
    assert made is not None
    return str(made.answer["refresh_token"])


def blocked(rig: Rig) -> set[str]:
    return {value for claim, value, _, _ in rig.gateway.blocked if claim == "token"}


def counts(rig: Rig, made: Issued) -> bool:
    try:
        return bool(rig.tokens.read(rig.declared, made.answer["access_token"]))
    except Unauthenticated as error:
        assert error.code == "token-unknown"
        return False


def test_an_access_token_tells_who_for_whom_and_how_they_logged_in(rig: Rig) -> None:
    rig.account("ann", "sales")
    who = rig.logged_in("ann")[1]
    made = rig.tokens.issue(rig.declared, wanted(rig, who, "openid orders.read"))
    assert rig.tokens.read(rig.declared, made.answer["access_token"]) == {
        "iss": ISSUER,
        "sub": who.id,
        "aud": ["orders", "stock"],
        "client_id": "web",
        "scope": "openid orders.read",
        "iat": int(rig.now),
        "exp": int(rig.now) + 300,
        "jti": made.jti,
        "sid": who.sid,
        "auth_time": int(who.at),
        "acr": "mfa",
        "amr": ["pwd", "otp"],
        "groups": ["sales"],
        "preferred_username": "ann",
    }
    assert set(made.answer) == {"access_token", "token_type", "expires_in", "scope"} and made.answer["expires_in"] == 300
    assert made.jti != rig.tokens.issue(rig.declared, wanted(rig, who)).jti


def test_a_token_of_an_application_by_itself_is_nobodys_and_never_refreshed(rig: Rig) -> None:
    made = rig.tokens.issue(rig.declared, Wanted(rig.client("phone"), None, "openid"), refresh=True)
    claims = rig.tokens.read(rig.declared, made.answer["access_token"])
    assert claims["sub"] == claims["client_id"] == claims["aud"] == "phone" and "sid" not in claims and "groups" not in claims
    assert made.family == "" and "refresh_token" not in made.answer


def test_a_token_for_another_carries_on_who_it_was_and_no_more(rig: Rig) -> None:
    subject = {
        "sub": "usr_1",
        "sid": "s1",
        "groups": ["a"],
        "acr": "phr",
        "exp": 1,
        "aud": "evil",
        "scope": "all",
        "client_id": "x",
        "jti": "1",
    }
    made = rig.tokens.issue(
        rig.declared, wanted(rig, None, "openid", audiences=("stock",), actor={"sub": "web"}, until=rig.now + 9.9, subject=subject)
    )
    claims = rig.tokens.read(rig.declared, made.answer["access_token"])
    assert {name: claims[name] for name in ("sub", "sid", "groups", "acr", "aud", "scope", "client_id", "act")} == {
        "sub": "usr_1",
        "sid": "s1",
        "groups": ["a"],
        "acr": "phr",
        "aud": "stock",
        "scope": "openid",
        "client_id": "web",
        "act": {"sub": "web"},
    }
    assert claims["exp"] == int(rig.now) + 9 and claims["jti"] == made.jti != "1", "not for longer than that token"


def test_an_access_token_counts_here_until_it_ends(rig: Rig) -> None:
    _, made = began(rig)
    rig.now += 299
    assert counts(rig, made)
    rig.now += 1
    assert not counts(rig, made)


@pytest.mark.parametrize(
    "claims",
    [{"iss": "https://evil.example.com"}, {"exp": None}, {"exp": "9000000000"}, {"exp": 9e9}, {"iss": None}, {"iss": ISSUER + "/"}],
)
def test_what_a_key_of_ours_signed_otherwise_doesnt_count(rig: Rig, claims: dict[str, Any]) -> None:
    rig.here.keys.tend(1e6)
    good: dict[str, Any] = {"iss": ISSUER, "exp": 9_000_000_000, "jti": "1"}
    assert rig.tokens.read(rig.declared, rig.here.keys.signed(good, ACCESS)) == good
    with pytest.raises(Unauthenticated):
        rig.tokens.read(rig.declared, rig.here.keys.signed({**good, **claims}, ACCESS))
    with pytest.raises(Unauthenticated):
        rig.tokens.read(rig.declared, rig.here.keys.signed(good, "JWT"))


def test_a_token_that_was_revoked_counts_no_more_here_nor_at_any_node(rig: Rig) -> None:
    (_, made), (_, other) = began(rig), began(rig)
    rig.tokens.revoke(made.jti, made.expires, "because")
    rig.tokens.revoke(made.jti, made.expires, "because")
    assert not counts(rig, made) and counts(rig, other)
    assert rig.gateway.blocked == [("token", made.jti, made.expires + 90, "because")]


def test_what_has_ended_long_ago_neednt_be_revoked(rig: Rig) -> None:
    rig.tokens.revoke("old", rig.now - 90, "because")
    assert rig.gateway.blocked == []
    rig.tokens.revoke("recent", rig.now - 89, "because")
    assert [value for _, value, *_ in rig.gateway.blocked] == ["recent"], "the clock of a node may be behind"


def test_with_the_session_its_tokens_end(rig: Rig) -> None:
    cookie, who = rig.logged_in()
    text, made = began(rig, who=who)
    session = rig.sessions.of(cookie)
    assert session is not None
    rig.sessions.end(session)
    row = rig.tokens.family(text, "web")
    assert not counts(rig, made) and row is not None and rig.tokens.person_of(row) is None


def test_a_token_to_log_in_with_counts_once(rig: Rig) -> None:
    assert [rig.tokens.once({"jti": one}) for one in ("a", "a", "b")] == [True, False, True]
    rig.tokens.revoke("c", rig.now + 9, "because")
    assert rig.tokens.once({"jti": "c"}), "it is something else to be revoked"


def test_a_refresh_token_is_followed_by_another_each_time(rig: Rig) -> None:
    first, _ = began(rig)
    rig.now += 100
    second = next_of(rig, first)
    assert second != first and second.startswith("bzr_fam_") and second.partition(".")[0] == first.partition(".")[0]
    rig.now += 100
    made = used(rig, second)
    assert made is not None and counts(rig, made) and made.family == second.partition(".")[0].removeprefix("bzr_")


@pytest.mark.parametrize(("later", "again"), [(0.0, True), (10.0, True), (10.01, False), (3000.0, False)])
def test_a_refresh_token_counts_again_for_ten_seconds(rig: Rig, later: float, again: bool) -> None:
    """Two requests may have been under way at once."""
    first, made = began(rig)
    second = next_of(rig, first)
    rig.now += later
    assert (rig.tokens.family(first, "web") is not None) is again
    assert (rig.tokens.family(second, "web") is not None) is again, "one that was used before ends all that came of it"
    if not again:
        assert made.jti in blocked(rig) or later > 390
        assert rig.gateway.noted[-1][:3] == ("ann", "authorization.revoke", "client/web")


def test_the_ten_seconds_dont_begin_anew(rig: Rig) -> None:
    first, _ = began(rig)
    next_of(rig, first)
    rig.now += 8
    next_of(rig, first)
    rig.now += 3
    assert used(rig, first) is None


def test_when_one_is_used_again_all_access_tokens_of_it_end(rig: Rig) -> None:
    first, made = began(rig)
    second = used(rig, first)
    assert second is not None
    third = used(rig, str(second.answer["refresh_token"]))
    assert third is not None
    rig.now += 11
    assert used(rig, first) is None
    assert blocked(rig) == {made.jti, second.jti, third.jti} and not any(counts(rig, one) for one in (made, second, third))
    assert used(rig, str(third.answer["refresh_token"])) is None


def test_what_is_no_refresh_token_ends_nothing_that_it_doesnt_name(rig: Rig) -> None:
    text, made = began(rig)
    family, _, secret = text.removeprefix("bzr_").partition(".")
    for wrong in (
        "",
        "bzr_",
        secret,
        f"{family}.{secret}",
        f"bzr_{family}",
        f"bzr_{family}.",
        f"bzr_bzr_{family}.{secret}",
        f"bzr_{family.upper()}.{secret}",
        f"bzr_{family}\0.{secret}",
        f"bzr_fam_\0.{secret}",
        f"bzr_fam_\ud800.{secret}",
        f"bzr_fam_00.{secret}",
        str(made.answer["access_token"]),
    ):
        assert rig.tokens.family(wrong, "web") is None and rig.tokens.find_family(wrong) is None
    assert rig.tokens.find_family(f"bzr_{family}.wrong") is None
    assert rig.tokens.family(text, "web") is not None


def test_another_applications_refresh_token_counts_not_and_stays(rig: Rig) -> None:
    text, _ = began(rig)
    assert rig.tokens.family(text, "phone") is None and rig.tokens.family(text, "web") is not None


@pytest.mark.parametrize("wrong", ["wrong", "", " ", "é", "\ud800"])
def test_a_secret_that_was_never_given_ends_the_family(rig: Rig, wrong: str) -> None:
    text, made = began(rig)
    assert rig.tokens.family(f"{text.partition('.')[0]}.{wrong}", "web") is None
    assert (rig.tokens.family(text, "web") is None) is bool(wrong) and (made.jti in blocked(rig)) is bool(wrong)


def test_of_many_that_are_used_at_once_all_count_and_one_family_stays(rig: Rig) -> None:
    first, _ = began(rig)
    made: list[Issued | None] = []
    start = threading.Barrier(6)

    def use() -> None:
        start.wait()
        made.append(used(rig, first))

    threads = [threading.Thread(target=use) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    texts = {str(one.answer["refresh_token"]) for one in made if one is not None}
    assert len(texts) == 6
    row = rig.tokens.find_family(first)
    assert row is not None and len(row.value["alive"]) == 7 and len(row.value["secrets"]) == 7  # type: ignore[arg-type]
    assert all(rig.tokens.family(one, "web") for one in texts)


def test_of_too_many_at_once_those_go_first_that_were_used_first(rig: Rig) -> None:
    texts = [began(rig)[0]]
    for _ in range(12):
        rig.now += 0.5
        texts.append(next_of(rig, texts[-1]))
    assert all(rig.tokens.find_family(one) for one in texts[-8:]) and not any(rig.tokens.find_family(one) for one in texts[:-8])
    assert used(rig, texts[-1]) is not None


def test_an_unused_one_isnt_forgotten_for_those_that_were_used(rig: Rig) -> None:
    for _ in range(5):  # which one is forgotten, must not hang on what they are
        text, _ = began(rig)
        kept = next_of(rig, text)
        for _ in range(12):
            rig.now += 0.1
            text = next_of(rig, text)
        assert used(rig, kept) is not None


def test_access_tokens_of_one_family_are_only_so_many(rig: Rig) -> None:
    text, made = began(rig)
    all_made = [made]
    for _ in range(52):
        rig.now += 1
        after = used(rig, text)
        assert after is not None
        text = str(after.answer["refresh_token"])
        all_made.append(after)
    assert blocked(rig) == {one.jti for one in all_made[:3]}
    assert [counts(rig, one) for one in all_made] == [False] * 3 + [True] * 50


def test_access_tokens_that_ended_make_room(rig: Rig) -> None:
    text, _ = began(rig)
    for _ in range(55):
        rig.now += 10
        text = next_of(rig, text)
    row = rig.tokens.find_family(text)
    assert row is not None and len(row.value["alive"]) == 30 and blocked(rig) == set()  # type: ignore[arg-type]


def test_what_was_revoked_meanwhile_isnt_refreshed(rig: Rig) -> None:
    text, _ = began(rig)
    row = rig.tokens.family(text, "web")
    assert row is not None
    rig.tokens.end_family(row, "because")
    rig.tokens.end_family(row, "because")
    who = rig.person()
    with pytest.raises(Conflict):
        rig.tokens.refreshed(rig.declared, row, text, wanted(rig, who))
    assert len(rig.gateway.noted) == 1 and rig.tokens.families(who.id) == ()


def family(rig: Rig, text: str) -> Authorization:
    row = rig.tokens.family(text, "web")
    assert row is not None
    return row


def test_a_refresh_token_lasts_as_long_as_the_session(rig: Rig) -> None:
    text, _ = began(rig)
    assert family(rig, text).expires == rig.now + 3600
    rig.now += 3000
    text = next_of(rig, text)
    assert family(rig, text).expires == rig.now + 600
    rig.now += 600
    assert used(rig, text) is None


def test_with_offline_access_it_lasts_until_it_isnt_used(rig: Rig) -> None:
    cookie, who = rig.logged_in()
    text, _ = began(rig, SCOPE, who)
    session = rig.sessions.of(cookie)
    assert session is not None
    rig.sessions.end(session)
    for seconds in (0, 36000 - 1, 36000 - 1):
        rig.now += seconds
        assert rig.tokens.person_of(family(rig, text)) is not None
        text = next_of(rig, text)
    rig.now += 36000
    assert used(rig, text) is None


def test_a_shorter_life_of_refresh_tokens_counts_for_those_of_sessions_too(rig: Rig) -> None:
    rig.declare(refresh_token="10m")
    text, _ = began(rig)
    assert family(rig, text).expires == rig.now + 600


def test_who_is_known_elsewhere_has_nothing_that_outlasts_the_session(rig: Rig) -> None:
    gail = Person("out_1", "7@google", "Gail", (), "", (), rig.now, "", 0.0, outside="google")
    cookie, who = rig.sessions.begin(gail, 3600, "")
    text, _ = began(rig, SCOPE, who)
    assert family(rig, text).expires == rig.now + 3600
    assert rig.tokens.person_of(family(rig, text)) == who
    rig.declare(outside={})
    assert rig.tokens.person_of(family(rig, text)) is None
    rig.declare()
    session = rig.sessions.of(cookie)
    assert session is not None
    rig.sessions.end(session)
    assert rig.tokens.person_of(family(rig, text)) is None


@pytest.mark.parametrize("how", ["removed", "invited anew", "another of this name"])
def test_who_is_here_no_more_gets_none_even_with_offline_access(rig: Rig, how: str) -> None:
    text, _ = began(rig, SCOPE)
    if how == "invited anew":
        rig.accounts.invite("ann", Place())
    else:
        rig.accounts.remove("ann")
    if how == "another of this name":
        rig.account("ann")
    assert rig.tokens.person_of(family(rig, text)) is None


def test_new_groups_are_told_with_the_next_token(rig: Rig) -> None:
    text, _ = began(rig, SCOPE)
    rig.accounts.put("ann", Place(None, None, ("sales",)))
    made = used(rig, text)
    assert made is not None and rig.tokens.read(rig.declared, made.answer["access_token"])["groups"] == ["sales"]


def test_families_are_found_by_owner_and_by_id(rig: Rig) -> None:
    (one, made), (two, _) = began(rig), began(rig)
    bobs, _ = began(rig, who=rig.logged_in("bob")[1])
    assert len(rig.tokens.families(rig.person().id)) == 2
    rig.tokens.end_by_id(made.family, "because")
    rig.tokens.end_by_id(made.family, "because")
    rig.tokens.end_by_id("", "because")
    assert rig.tokens.family(one, "web") is None and family(rig, two) and family(rig, bobs)


def test_the_store_holds_no_refresh_token(rig: Rig) -> None:
    text, _ = began(rig)
    text = next_of(rig, text)
    with rig.store.database.reading() as connection:
        kept = repr(connection.exec_driver_sql("SELECT * FROM authorizations").all())
    assert text.partition(".")[2] not in kept and text.partition(".")[0].removeprefix("bzr_") in kept


def test_a_family_that_was_tampered_with_counts_no_more(rig: Rig) -> None:
    text, _ = began(rig)
    with rig.store.database.writing("authorizations") as connection:
        connection.exec_driver_sql("UPDATE authorizations SET body = replace(body, 'openid', 'openid orders.read') WHERE kind = 'family'")
    assert rig.tokens.family(text, "web") is None


def test_for_whom_a_token_is_meant() -> None:
    assert audiences_of({"aud": "a"}) == ("a",) and audiences_of({"aud": ["a", "b"]}) == ("a", "b")


def test_a_person_as_strong_as_it_is_asked(rig: Rig) -> None:
    who = rig.person(acr="mfa")
    assert who.reaches("mfa") and who.reaches("") and not who.reaches("phr") and not who.reaches("gold")
    assert (
        replace(who, acr="phr").reaches("mfa")
        and not replace(who, acr="gold").reaches("mfa")
        and not replace(who, acr="gold").reaches("gold")
    )
