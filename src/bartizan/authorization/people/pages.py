"""Pages: from templates, under a policy by which a browser runs nothing but our own script, and which no other page can frame."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from bartizan.authorization.asking import COOKIE, Asked
from bartizan.errors import Forbidden

_STATIC = {"passkeys.js": "text/javascript; charset=utf-8", "style.css": "text/css; charset=utf-8"}


def _templates() -> Environment:
    made = Environment(loader=PackageLoader("bartizan.authorization"), autoescape=True, undefined=StrictUndefined)
    made.policies["json.dumps_kwargs"] = {"sort_keys": True}
    return made


@dataclass(frozen=True, slots=True)
class Pages:
    """Makes the pages."""

    _templates: Environment = field(default_factory=_templates)

    def page(self, name: str, told: Mapping[str, Any], *, status: int = 200, onward: str = "") -> Response:
        """A page from the template `name`. `onward`: the place to which its form may send people in the end."""
        html = self._templates.get_template(f"{name}.html").render(**told)
        return HTMLResponse(html, status_code=status, headers=secured(onward))


def secured(onward: str = "") -> dict[str, str]:
    """The headers of a page."""
    forms = f"'self' {onward}".strip()
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "form-action": forms,
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    return {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "referrer-policy": "same-origin",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "cache-control": "no-store",
    }


def check_origin(asked: Asked, issuer: str) -> None:
    """Forbidden unless a form was sent from a page of ours: browsers say with each from where it is."""
    if asked.headers.get("origin", "") != issuer:
        raise Forbidden("This form wasn't sent from here. Go back and try again.", code="origin-foreign")


def see(place: str) -> Response:
    """Sends somebody on to a page of ours."""
    return RedirectResponse(place, status_code=303, headers={"cache-control": "no-store", "referrer-policy": "same-origin"})


def with_cookie(answer: Response, cookie: str, lasts_s: float) -> Response:
    """The answer with the session's cookie: for this host alone, and not for scripts (RFC 6265bis, section 4.1.3.2)."""
    answer.set_cookie(COOKIE, cookie, max_age=int(lasts_s), path="/", secure=True, httponly=True, samesite="lax")
    return answer


def without_cookie(answer: Response) -> Response:
    """The answer, which takes the session's cookie away."""
    answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")
    return answer


def static(name: str) -> Response:
    """A script or a style of ours."""
    body = files("bartizan.authorization").joinpath("static").joinpath(name).read_bytes()
    return Response(body, media_type=_STATIC[name], headers={"cache-control": "max-age=3600", "x-content-type-options": "nosniff"})


def is_ours(place: str) -> bool:
    """Whether this is a page to which people may be sent after they logged in."""
    return place.partition("?")[0] in {"/account", "/device"}
