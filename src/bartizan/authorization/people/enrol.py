"""Enrolling: whoever has an invitation chooses a password, and takes the secret of the second factor into an app."""

from starlette.responses import Response

from bartizan.authorization.asking import Asked
from bartizan.authorization.here import Here
from bartizan.authorization.people.pages import check_origin
from bartizan.errors import BartizanError
from bartizan.identity.accounts import Shown
from bartizan.identity.totp import uri


def enrol_page(here: Here, asked: Asked) -> Response:
    """Where the invitation is shown."""
    return here.pages.page("invited", {"gateway": here.around.gateway_name(), "error": "", "name": asked.one("name")})


def enrol(here: Here, asked: Asked) -> Response:
    """Takes the invitation, and then the password and a code."""
    check_origin(asked, here.declared().issuer)
    name, invitation = asked.field("name"), asked.field("invitation").strip()
    gateway, error = here.around.gateway_name(), ""
    try:
        secret = here.tries(asked.origin, name, lambda: here.accounts.offer(name, invitation))
    except BartizanError as wrong:
        return here.pages.page("invited", {"gateway": gateway, "error": wrong.message, "name": name}, status=403)
    if asked.field("password") or asked.field("code"):
        try:
            return _enrolled(here, asked, name, invitation)
        except BartizanError as wrong:
            error = wrong.message
    told = {"name": name, "invitation": invitation, "secret": secret, "uri": uri(name, secret, f"Bartizan {gateway}".strip())}
    return here.pages.page("enrol", {**told, "gateway": gateway, "error": error}, status=400 if error else 200)


def _enrolled(here: Here, asked: Asked, name: str, invitation: str) -> Response:
    shown = Shown(name, asked.field("password"), asked.field("code").strip())
    codes = here.tries(asked.origin, name, lambda: here.accounts.enrol(shown, invitation))
    here.around.note(name, "people.enrol", name, asked.origin)
    return here.pages.page("enrolled", {"gateway": here.around.gateway_name(), "name": name, "codes": codes})
