"""Devices without a browser: somebody types the code that the device shows, sees what asks, and allows it (RFC 8628, section 3.3)."""

from starlette.responses import Response

from bartizan.authorization.asking import Asked
from bartizan.authorization.here import Here
from bartizan.authorization.people.consents import agree
from bartizan.authorization.people.login import ask_to_log_in
from bartizan.authorization.people.pages import check_origin
from bartizan.authorization.person import Person
from bartizan.errors import NotFound, TooMany


def device_page(here: Here, asked: Asked) -> Response:
    """Where the code is typed. Who isn't logged in logs in first, and types it after: a link that holds it is how people are tricked."""
    session = here.session(asked.cookie)
    if session is None:
        return ask_to_log_in(here, "/device")
    return _page(here, session.person, "")


def device(here: Here, asked: Asked) -> Response:
    """Takes the code, and then the decision."""
    check_origin(asked, here.declared().issuer)
    session = here.session(asked.cookie)
    if session is None:
        return ask_to_log_in(here, "/device")
    who, code = session.person, asked.field("user_code")
    try:
        # Codes are short: who tries many is somebody else's device (RFC 8628, section 5.1).
        here.lockout.check(f"device {who.id}")
        waiting = here.server().devices.typed(code)
        client = here.server().query_client(waiting.get_client_id()) if waiting is not None else None
        if waiting is None or client is None:
            here.lockout.wrong(f"device {who.id}")
            raise NotFound("Nothing waits for this code: it was mistyped, used, or has ended.", code="device-code-unknown")
        decision = asked.field("decision")
        if decision not in {"allow", "deny"}:
            scopes = [(one, here.declared().scopes.get(one, one)) for one in waiting.get_scope().split()]
            return _page(here, who, "", {"client": client.title, "code": waiting.get_user_code(), "scopes": scopes})
        here.server().devices.decide(code, who if decision == "allow" else None)
        if decision == "allow":
            agree(here, who, client.name, waiting.get_scope())  # so that it stands among what they can withdraw
    except (NotFound, TooMany) as error:
        return _page(here, who, error.message, status=400)
    here.around.note(who.name, "authorization.device", f"client/{client.name}", asked.origin, decision=decision)
    return here.pages.page("device_done", {"gateway": here.around.gateway_name(), "allowed": decision == "allow", "client": client.title})


def _page(here: Here, who: Person, error: str, waiting: dict[str, object] | None = None, status: int = 200) -> Response:
    told = {"gateway": here.around.gateway_name(), "who": who.title, "error": error, "waiting": waiting}
    return here.pages.page("device", told, status=status)
