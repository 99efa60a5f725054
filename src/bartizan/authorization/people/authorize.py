"""The authorization endpoint: who is it, strongly and lately enough, and do they allow the application what it asks for?"""

from typing import Any

from authlib.oauth2.rfc6749 import OAuth2Error
from authlib.oidc.core.errors import ConsentRequiredError, LoginRequiredError
from starlette.responses import Response

from bartizan.authorization.asking import Asked, OAuthRequest
from bartizan.authorization.clients import Known
from bartizan.authorization.here import Here
from bartizan.authorization.oauth.server import Server, origin_of
from bartizan.authorization.people.consents import agree, agreed
from bartizan.authorization.people.pages import check_origin, see
from bartizan.authorization.person import LEVELS, PHISHING_RESISTANT, Person
from bartizan.errors import Invalid


class Unmet(OAuth2Error):  # type: ignore[misc]  # authlib ships no types
    """OpenID Connect Core Unmet Authentication Requirements 1.0."""

    error = "unmet_authentication_requirements"


class _Query:
    """What an application asks for, on its first way here or when somebody comes back from logging in."""

    def __init__(self, here: Here, asked: Asked, leads: str) -> None:
        row = here.interaction(leads)
        if leads and (row is None or "query" not in row.value):
            raise Invalid("That took too long. Go back to the application, and begin again.", code="interaction-ended")
        kept: Any = row.value if row is not None else {}
        self.leads = leads
        self.pairs = tuple((str(name), str(value)) for name, value in kept["query"]) if row is not None else asked.query
        self.since = float(kept["since"]) if row is not None else here.interactions.clock()
        self.asked = Asked("GET", "/authorize", self.pairs, (), asked.headers, asked.cookies, asked.origin)

    def one(self, name: str) -> str:
        return self.asked.one(name)


def authorize(here: Here, asked: Asked) -> Response:
    """An application sends somebody here."""
    query = _Query(here, asked, asked.one("in"))
    session = here.session(asked.cookie)
    return _answered(here, query, session.person if session is not None else None)


def _answered(here: Here, query: _Query, who: Person | None) -> Response:
    server = here.server()
    try:
        known = who if who is not None and _is_enough(query, who) else None
        grant = _grant(server, query, known)
        client, prompts = grant.request.client, query.one("prompt").split()
        if known is None and "none" in prompts:
            raise LoginRequiredError(redirect_uri=grant.redirect_uri)
        if known is None:
            return _to_login(here, query, client.title, origin_of(grant.redirect_uri), who)
        remembered = _is_sure(client, grant.redirect_uri) and agreed(here, known, client.name, grant.request.scope)
        if (client.declared.consent == "given" or remembered) and "consent" not in prompts:
            return server.decided(grant, known)
        if "none" in prompts:
            raise ConsentRequiredError(redirect_uri=grant.redirect_uri)
        return _consent_page(here, query, grant, known)
    except OAuth2Error as error:
        return _refused(here, server, query, error)


def _is_sure(client: Known, redirect_uri: str) -> bool:
    """Whether nobody else can be at the other end than the application that was allowed something. On a machine of somebody's, at a port or
    behind a scheme of an app's own, anything may listen: there people are asked each time (RFC 8252, section 8.6)."""
    return not client.is_public or redirect_uri.startswith("https://")


def _grant(server: Server, query: _Query, who: Person | None) -> Any:
    request = OAuthRequest(query.asked, server.declared.issuer)
    try:
        grant = server.get_consent_grant(request, who)
        return _checked(grant, query)
    except ValueError as error:  # authlib's own, if what a caller sent can't stand in an error's description
        raise Invalid("The application's request can't be understood.", code="authorization-unfit") from error


def _checked(grant: Any, query: _Query) -> Any:
    """The grant, if what it asks of a login can be had."""
    wanted = query.one("acr_values").split()
    age = query.one("max_age")
    if (wanted and not any(one in LEVELS for one in wanted)) or (age and _seconds(age) is None):
        error = Unmet("None of these 'acr_values', or not this 'max_age', can be met here.")
        error.redirect_uri, error.state = grant.redirect_uri, query.one("state") or None
        raise error
    return grant


def _is_enough(query: _Query, who: Person) -> bool:
    """Whether somebody has logged in as lately and as strongly as the application asks for."""
    if "login" in query.one("prompt").split() and who.at < query.since:
        return False
    age = _seconds(query.one("max_age"))
    if age is not None and who.at < query.since - age:
        return False
    wanted = [one for one in query.one("acr_values").split() if one in LEVELS]
    return not wanted or any(who.reaches(one) for one in wanted)


def _seconds(text: str) -> int | None:
    """What `max_age` says; None if it isn't a number."""
    return int(text[:9]) if text.isascii() and text.isdigit() else None


def _to_login(here: Here, query: _Query, client: str, onward: str, who: Person | None) -> Response:
    wanted = [one for one in query.one("acr_values").split() if one in LEVELS]
    value = {
        "query": [list(pair) for pair in query.pairs],
        "client": client,
        "onward": onward,
        "hint": who.name if who is not None and not who.outside else query.one("login_hint")[:256],
        "passkey_only": wanted == [PHISHING_RESISTANT],
    }
    return see(f"/login?in={here.begin(value)}")


def _consent_page(here: Here, query: _Query, grant: Any, who: Person) -> Response:
    declared, onward = here.declared(), origin_of(grant.redirect_uri)
    leads = query.leads or here.begin({"query": [list(pair) for pair in query.pairs], "onward": onward})
    words = {
        "openid": "know you again",
        "profile": "see your name",
        "groups": "see the groups you belong to",
        "offline_access": "go on doing so while you aren't there",
    }
    scopes = [(one, words.get(one) or declared.scopes.get(one, one)) for one in grant.request.scope.split()]
    told = {"client": grant.request.client.title, "who": who.title, "scopes": scopes, "leads": leads, "place": onward}
    return here.pages.page("consent", {**told, "gateway": here.around.gateway_name()}, onward=onward)


def consent(here: Here, asked: Asked) -> Response:
    """Somebody has decided whether they allow it."""
    check_origin(asked, here.declared().issuer)
    query = _Query(here, asked, asked.field("in"))
    session = here.session(asked.cookie)
    if session is None or not _is_enough(query, session.person):
        return see(f"/authorize?in={query.leads}")
    server, allowed = here.server(), asked.field("decision") == "allow"
    try:
        grant = _grant(server, query, session.person)
        row = here.interaction(query.leads)
        if row is None or here.interactions.take(row.id) is None:
            raise Invalid("This was decided already.", code="interaction-ended")
        name = grant.request.client.name
        here.around.note(
            session.person.name, "authorization.consent", f"client/{name}", asked.origin, decision=asked.field("decision")[:10]
        )
        if allowed:
            agree(here, session.person, name, grant.request.scope)
        return server.decided(grant, session.person if allowed else None)
    except OAuth2Error as error:
        return _refused(here, server, query, error)


def _refused(here: Here, server: Server, query: _Query, error: OAuth2Error) -> Response:
    """To the application, if it is sure that it is one of ours; otherwise here, so that nobody is sent elsewhere (RFC 6749, 4.1.2.1)."""
    if error.redirect_uri:
        error.state = query.one("state") or None
        return server.refused(error)
    told = {"gateway": here.around.gateway_name(), "error": str(error.description or error.error)}
    return here.pages.page("wrong", told, status=400)
