"""Somebody's account: their passkeys and password, where they are logged in, and what they have allowed applications."""

import time
from collections.abc import Callable

import orjson
from starlette.responses import Response

from bartizan.authorization.asking import Asked
from bartizan.authorization.here import Here
from bartizan.authorization.people import consents
from bartizan.authorization.people.login import ask_to_log_in
from bartizan.authorization.people.pages import check_origin, see
from bartizan.authorization.person import PHISHING_RESISTANT, Person
from bartizan.authorization.sessions import Session
from bartizan.errors import BartizanError, Forbidden
from bartizan.identity.accounts import Shown

_RECENTLY_S = 900.0
_FIRST_S = 3600.0
"""So long after enrolling those add their first passkey who may do nothing without one."""
_LABEL = 64


def account_page(here: Here, asked: Asked) -> Response:
    """The account of whoever is logged in."""
    session = here.session(asked.cookie)
    return _page(here, session) if session is not None else ask_to_log_in(here, "/account")


def _page(here: Here, session: Session, error: str = "", status: int = 200) -> Response:
    who, own = session.person, not session.person.outside
    kept = here.accounts.passkeys(who.name) if own else ()
    options, state = here.relying().creation(who.id.encode(), who.name, [one.passkey for one in kept])
    told = {
        "gateway": here.around.gateway_name(),
        "who": who.title,
        "own": own,
        "error": error,
        "strong": own and _is_as_strong(here, who),
        "fresh": here.interactions.clock() - who.at < _RECENTLY_S,
        "passkeys": [(one.passkey.id, one.label, day(one.since), day(one.last) if one.last else "never") for one in kept],
        "sessions": [(one.id, one.agent, day(one.since), one.id == session.id) for one in here.sessions.all(who.id)],
        "consents": [(one.client, " ".join(one.scopes), day(one.since)) for one in consents.all_of(here, who.id)],
        "options": orjson.dumps(options).decode(),
        "challenge": here.challenge(state, who.id),
    }
    return here.pages.page("account", told, status=status)


def day(moment: float) -> str:
    """A moment (seconds since the epoch) as people read it."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))


def account(here: Here, asked: Asked) -> Response:
    """Something is to change."""
    check_origin(asked, here.declared().issuer)
    session = here.session(asked.cookie)
    if session is None:
        return ask_to_log_in(here, "/account")
    do = _DEEDS.get(asked.places.get("deed", ""))
    try:
        if do is None:
            raise Forbidden("This can't be done here.", code="deed-unknown")
        if do in _ONLY_LATELY:
            _check_lately(here, session)
        if do in _ONLY_AS_STRONG and not _is_as_strong(here, session.person):
            raise Forbidden(
                "Log in with a passkey of yours first. If you have none, ask an admin to invite you anew, and add one within an hour.",
                code="passkey-needed",
            )
        do(here, asked, session)
    except BartizanError as error:
        return _page(here, session, error.message, 400)
    here.around.note(session.person.name, f"people.{asked.places['deed']}", session.person.name, asked.origin)
    return see("/account")


def _check_lately(here: Here, session: Session) -> None:
    """Forbidden to whoever found a browser that somebody left logged in; and to people who have no account here."""
    if session.person.outside:
        raise Forbidden("Your account is elsewhere: change it there.", code="account-outside")
    if here.interactions.clock() - session.person.at >= _RECENTLY_S:
        raise Forbidden("Log in again first: you did so some time ago.", code="login-too-old")


def _is_as_strong(here: Here, who: Person) -> bool:
    """Whether they may change their passkeys: with one of them, if there are any. A password and a code can be had by a false page. So
    whose role needs a passkey adds the first one right after enrolling."""
    if who.acr == PHISHING_RESISTANT:
        return True
    account, operators = here.accounts.called(who.name), here.declared().operators
    roles = {account.role, *(operators.groups[one].role for one in account.groups if one in operators.groups)}
    fresh = here.interactions.clock() - (account.enrolled or 0.0) < _FIRST_S
    return not account.passkeys and (fresh or not roles & set(operators.phishing_resistant))


def _add_passkey(here: Here, asked: Asked, session: Session) -> None:
    who = session.person
    state = here.challenged(asked.field("challenge"), who.id)
    label = "".join(letter for letter in asked.field("label") if letter.isprintable()).strip()[:_LABEL] or "passkey"
    here.accounts.add_passkey(who.name, here.relying().created(state, asked.field("passkey")), label)


def _remove_passkey(here: Here, asked: Asked, session: Session) -> None:
    here.accounts.remove_passkey(session.person.name, asked.field("id"))


def _change_password(here: Here, asked: Asked, session: Session) -> None:
    who = session.person
    shown = Shown(who.name, asked.field("password"), asked.field("code").strip())
    here.tries(asked.origin, who.name, lambda: here.accounts.change_password(shown, asked.field("wanted")))
    for one in here.sessions.all(who.id):
        if one.id != session.id:
            here.sessions.end(one, "the password was changed")
    for family in here.tokens.families(who.id):
        if not here.tokens.is_of(family, who):  # those that outlast a session, too: somebody else may have had them made
            here.tokens.end_family(family, "the password was changed")


def _end_session(here: Here, asked: Asked, session: Session) -> None:
    for one in here.sessions.all(session.person.id):
        if one.id == asked.field("id"):
            here.sessions.end(one, "ended by its owner")


def _withdraw(here: Here, asked: Asked, session: Session) -> None:
    consents.withdraw(here, session.person.id, asked.field("client"))


_DEEDS: dict[str, Callable[[Here, Asked, Session], None]] = {
    "passkey-add": _add_passkey,
    "passkey-remove": _remove_passkey,
    "password": _change_password,
    "session-end": _end_session,
    "consent-withdraw": _withdraw,
}
_ONLY_LATELY = (_add_passkey, _remove_passkey, _change_password)
_ONLY_AS_STRONG = (_add_passkey, _remove_passkey)
