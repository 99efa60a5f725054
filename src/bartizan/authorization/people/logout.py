"""Logging out (OpenID Connect RP-Initiated Logout 1.0)."""

from authlib.common.urls import add_params_to_uri
from starlette.responses import Response

from bartizan.authorization.asking import Asked
from bartizan.authorization.here import Here
from bartizan.authorization.oauth.server import origin_of
from bartizan.authorization.people.pages import check_origin, see, without_cookie


def logout_page(here: Here, asked: Asked) -> Response:
    """Asks whether somebody wants to log out: no other page can do it for them (OpenID Connect RP-Initiated Logout 1.0)."""
    client = here.declared().clients.get(asked.one("client_id"))
    place = asked.one("post_logout_redirect_uri")
    allowed = place if client is not None and place in client.logout_uris else ""
    session = here.session(asked.cookie)
    told = {"gateway": here.around.gateway_name(), "who": session.person.title if session is not None else ""}
    leads = here.begin({"after": allowed, "state": asked.one("state")[:1000]}) if allowed else ""
    return here.pages.page("logout", {**told, "leads": leads}, onward=origin_of(allowed) if allowed else "")


def logout(here: Here, asked: Asked) -> Response:
    """Ends the session, and all tokens of it."""
    check_origin(asked, here.declared().issuer)
    session = here.session(asked.cookie)
    if session is not None:
        here.sessions.end(session)
        here.around.note(session.person.name, "authorization.logout", f"session/{session.person.sid}", asked.origin)
    return without_cookie(see(_after_logout(here, asked.field("in"))))


def _after_logout(here: Here, leads: str) -> str:
    row = here.interaction(leads)
    place = str(row.value.get("after", "")) if row is not None else ""
    state = str(row.value.get("state", "")) if row is not None else ""
    if not place:
        return "/login"
    return str(add_params_to_uri(place, {"state": state})) if state else place
