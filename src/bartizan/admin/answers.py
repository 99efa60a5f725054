"""What the admin API answers when something can't be done: RFC 9457 problem+json, with the same problems as the command line shows."""

import logging
import uuid
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from bartizan.errors import BartizanError, Invalid
from bartizan.model.problem import Problem

_log = logging.getLogger(__name__)
TYPE = "urn:bartizan:problem:"
MEDIA = "application/problem+json"
EVERYWHERE = (401, 403, 413, 422, 429, 500, 503)
"""Answers that every operation may give."""
PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
"""Texts without control characters: what a line of a log, a header and a database can hold."""
OF_BODIES = (400, 415)
"""Those of operations that take a body."""
_TITLES = {
    400: "The request can't be read.",
    401: "A valid token is needed.",
    403: "You may not do this.",
    404: "There is nothing here.",
    405: "The method is not allowed here.",
    409: "It was changed by someone else.",
    412: "It isn't what you have seen.",
    413: "The body is too large.",
    415: "The body isn't JSON.",
    422: "What was given is wrong.",
    429: "Too many attempts.",
    500: "It failed for a reason of Bartizan's own.",
    503: "It can't be done now.",
}


class Mistake(BaseModel):
    """One thing that is wrong with what was given, and where."""

    file: str = ""
    line: int = 0
    path: str = ""
    code: str
    message: str
    hint: str = ""


class Trouble(BaseModel):
    """An RFC 9457 problem."""

    type: str = Field(description="What kind of problem, as a URN that doesn't change.")
    title: str
    status: int
    detail: str = ""
    request_id: str = Field(description="Stands in the log too.")
    problems: list[Mistake] = Field(default_factory=list)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These answers for the OpenAPI document, besides those that every operation has."""
    content = {MEDIA: {"schema": {"$ref": "#/components/schemas/Trouble"}}}
    return {one: {"description": _TITLES[one], "content": content} for one in sorted({*EVERYWHERE, *statuses})}


def trouble(
    status: int, code: str, detail: str, problems: list[dict[str, Any]] | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    """The answer."""
    ident = str(uuid.uuid4())
    told = Trouble(
        type=TYPE + code,
        title=_TITLES.get(status, "It can't be done."),
        status=status,
        detail=detail,
        request_id=ident,
        problems=[Mistake(**one) for one in problems or []],
    )
    if status >= 500:
        _log.error("request %s: %s %s", ident, code, detail)
    return JSONResponse(told.model_dump(), status, headers=headers, media_type=MEDIA)


def answer_to(error: BartizanError) -> JSONResponse:
    """The answer that tells of this."""
    found = error.problems if isinstance(error, Invalid) else ()
    problems = [one.to_json() for one in found if isinstance(one, Problem)]
    headers = {"www-authenticate": 'Bearer realm="bartizan"'} if error.status == 401 else {}
    return trouble(error.status, error.code, error.message, problems, headers)


def _methods(request: Request) -> str:
    """What may be done at this path: a route tells of its own method alone."""
    routes = (one for one in request.app.routes if isinstance(one, Route) and one.matches(request.scope)[0] is not Match.NONE)
    return ", ".join(sorted({method for one in routes for method in one.methods or ()}))


def answers_for(app: FastAPI) -> None:
    """Every exception becomes an answer."""

    async def known(_: Request, error: Exception) -> Any:
        assert isinstance(error, BartizanError)  # noqa: S101 - what the handler is registered for
        return answer_to(error)

    async def unreadable(_: Request, error: Exception) -> Any:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
        places = [
            {"path": ".".join(map(str, one["loc"])), "code": "field-" + one["type"].replace("_", "-"), "message": one["msg"]}
            for one in error.errors()
        ]
        return trouble(422, "invalid", "The request isn't what is expected here.", places)

    async def http(request: Request, error: Exception) -> Any:
        assert isinstance(error, HTTPException)  # noqa: S101 - as above
        code = {404: "not-found", 405: "method-not-allowed", 400: "unreadable", 415: "not-json"}.get(error.status_code, "error")
        headers = {"allow": _methods(request)} if error.status_code == 405 else dict(error.headers or {})
        return trouble(error.status_code, code, str(error.detail), headers=headers)

    app.add_exception_handler(BartizanError, known)
    app.add_exception_handler(RequestValidationError, unreadable)
    app.add_exception_handler(HTTPException, http)
