"""Logging in: with a password and a code, or with a passkey; and going on with what somebody was about to do."""

from dataclasses import replace

import orjson
from starlette.responses import Response

from bartizan.authorization.asking import Asked
from bartizan.authorization.here import Here
from bartizan.authorization.people.pages import check_origin, is_ours, see, with_cookie
from bartizan.authorization.person import PHISHING_RESISTANT, TWO_FACTORS, Person
from bartizan.errors import TooMany, Unauthenticated
from bartizan.identity.accounts import Account, Shown
from bartizan.identity.passkeys import Passkey, RelyingParty, thumbprint

_CODE = ("pwd", "otp", "mfa")
_RECOVERY = ("pwd", "mfa")


def login_page(here: Here, asked: Asked) -> Response:
    """Where people log in."""
    return shown(here, asked.one("in"))


def shown(here: Here, leads: str, error: str = "", status: int = 200) -> Response:
    """The page. `leads`: to what somebody is about to do."""
    declared, row = here.declared(), here.interaction(leads)
    value = row.value if row is not None else {}
    options, state = here.relying().request(None)
    return here.pages.page(
        "login",
        {
            "gateway": here.around.gateway_name(),
            "error": error,
            "leads": leads,
            "client": str(value.get("client", "")),
            "hint": str(value.get("hint", "")),
            "passkey_only": bool(value.get("passkey_only")),
            "outside": [(name, one.title or name) for name, one in declared.outside.items()],
            "options": orjson.dumps(options).decode(),
            "challenge": here.challenge(state),
        },
        status=status,
        onward=str(value.get("onward", "")),
    )


def log_in(here: Here, asked: Asked) -> Response:
    """Takes a password and a code."""
    check_origin(asked, here.declared().issuer)
    name, code = asked.field("name"), asked.field("code").strip()
    found = Shown(name, asked.field("password"), code)
    try:
        account = here.tries(asked.origin, name, lambda: here.accounts.login(found))
    except (Unauthenticated, TooMany) as error:
        return shown(here, asked.field("in"), error.message, 429 if isinstance(error, TooMany) else 403)
    is_code = len(code) == 6 and code.isdigit()
    return taken_in(here, asked, person_of(here, account, TWO_FACTORS, _CODE if is_code else _RECOVERY))


def log_in_with_passkey(here: Here, asked: Asked) -> Response:
    """Takes what a passkey says."""
    check_origin(asked, here.declared().issuer)

    answer, found = asked.field("passkey"), []

    def verified(kept: Passkey) -> Passkey:
        found.append(here.relying().shown(state, answer, kept))
        return found[0]

    def attempt() -> Account:
        ident, handle = RelyingParty.holder(answer)
        return here.accounts.login_with(ident, handle.decode("ascii", "replace"), verified)

    try:
        state = here.challenged(asked.field("challenge"))
        account = here.tries(asked.origin, f"passkey {asked.origin}", attempt)
    except (Unauthenticated, TooMany) as error:
        return shown(here, asked.field("in"), error.message, 429 if isinstance(error, TooMany) else 403)
    synced = found[0].backed_up
    who = person_of(here, account, PHISHING_RESISTANT, ("pop", "swk" if synced else "hwk", "user", "mfa"))
    return taken_in(here, asked, replace(who, passkey="" if synced else thumbprint(found[0])))


def person_of(here: Here, account: Account, acr: str, amr: tuple[str, ...]) -> Person:
    """Somebody who has just logged in to their account here."""
    return Person(account.id, account.name, account.name, account.groups, acr, amr, here.interactions.clock(), "", 0.0)


def taken_in(here: Here, asked: Asked, who: Person, leads: str | None = None) -> Response:
    """Somebody has just logged in: they get a session, and go on with what they were about to do."""
    cookie, made = here.logged_in(who, asked.headers.get("user-agent", ""), asked.cookie)
    here.around.note(made.name, "authorization.login", f"session/{made.sid}", asked.origin, acr=made.acr, outside=made.outside)
    return with_cookie(see(onward(here, asked.field("in") if leads is None else leads)), cookie, here.declared().session.total_seconds())


def onward(here: Here, leads: str) -> str:
    """Where somebody goes on who has logged in."""
    row = here.interaction(leads)
    if row is None:
        return "/account"
    place = str(row.value.get("next", ""))
    if place:
        return place if is_ours(place) else "/account"
    return f"/authorize?in={leads}"


def ask_to_log_in(here: Here, place: str) -> Response:
    """Sends somebody to log in, and then back to a page of ours."""
    return see(f"/login?in={here.begin({'next': place})}")
