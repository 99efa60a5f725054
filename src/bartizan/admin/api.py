"""The admin API as an application: its operations, its answers, and the OpenAPI document that tells of both."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from bartizan import __version__
from bartizan.admin.access import Access, Known
from bartizan.admin.agents.door import PATH
from bartizan.admin.answers import OF_BODIES, Trouble, answers_for, documented, trouble
from bartizan.admin.limits import Bounded, Ending
from bartizan.admin.plane import Plane
from bartizan.admin.refused import Refused
from bartizan.admin.routes import ROUTERS

_DOCUMENT = "/openapi.json"
_LOGINS = frozenset({"/v1/login", "/v1/login/factor", "/v1/login/enrolment", "/v1/login/token"})
"""For those who have no token yet."""
_log = logging.getLogger(__name__)
_TITLE = "Bartizan's admin API"
_TOLD = "Everything that can be changed or looked at. Errors are RFC 9457 problems; `problems` says where what was given is wrong."


def api(plane: Plane, access: Access, agents: ASGIApp | None = None) -> FastAPI:
    """The application; `agents`: where these come in, which is no operation and stands in no document."""
    app = FastAPI(title=_TITLE, version=__version__, docs_url=None, redoc_url=None, openapi_url=_DOCUMENT)
    app.state.plane = plane
    for router in ROUTERS:
        app.include_router(router)
    if agents is not None:
        app.router.routes.append(Route(PATH, agents))
    answers_for(app)
    app.add_exception_handler(Exception, _bug)
    app.add_middleware(Bounded)
    app.add_middleware(Known, access=access, public=frozenset({_DOCUMENT}), logins=_LOGINS)
    app.add_middleware(Refused, tell=plane.refused)
    app.add_middleware(Ending)
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    return app


async def _bug(request: Request, error: Exception) -> Response:
    _log.error("a bug in answering %s %s", request.method, request.url.path, exc_info=error)
    return trouble(500, "internal", "This is an error of Bartizan's own. The log says more under this id.")


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    if app.openapi_schema is None:
        made = get_openapi(title=_TITLE, version=__version__, description=_TOLD, routes=app.routes, openapi_version="3.1.0")
        schema = Trouble.model_json_schema(ref_template="#/components/schemas/{model}")
        inner = schema.pop("$defs", {})
        components = made.setdefault("components", {})
        components.setdefault("schemas", {}).update({"Trouble": schema, **inner})
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"token": []}]
        for path in _LOGINS:
            for operation in made["paths"][path].values():
                operation["security"] = []
        for operation in (one for path in made["paths"].values() for one in path.values()):
            if "requestBody" in operation:
                operation["responses"].update({str(status): told for status, told in documented(*OF_BODIES).items() if status in OF_BODIES})
        app.openapi_schema = made
    return app.openapi_schema
