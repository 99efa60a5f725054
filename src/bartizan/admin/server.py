"""The HTTP of the control plane: status over a private unix socket; health and metrics on a loopback port."""

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from bartizan import __version__
from bartizan.admin.access import Access
from bartizan.admin.agents.door import agents_door
from bartizan.admin.api import api
from bartizan.admin.options import Door
from bartizan.admin.plane import Plane
from bartizan.admin.serving import bound, server
from bartizan.errors import BartizanError
from bartizan.store import Event


async def serve(plane: Plane, private: Path, public: str, door: Door | None = None) -> None:
    """Serves all until cancelled: the API over the unix socket `private` and, if it has one, its `door`; health and metrics at `public`.
    Unavailable if a port is taken."""
    private.unlink(missing_ok=True)
    inside = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        inside.bind(str(private))
    finally:
        os.umask(before)
    outside = bound(public, "health and metrics, which --admin sets,")
    async with asyncio.TaskGroup() as group:
        group.create_task(server(_private_app(plane)).serve([inside]))
        group.create_task(server(_public_app(plane)).serve([outside]))
        if door is not None:
            app = api(plane, Access(plane.operators, local=False), agents_door(plane, door))
            certificate = (
                {"ssl_certfile": door.certificate, "ssl_keyfile": door.private_key, "ssl_ciphers": "ECDHE+AESGCM"}
                if door.certificate
                else {}
            )
            group.create_task(server(app, **certificate).serve([bound(door.address, "the admin API")]))


def _private_app(plane: Plane) -> Starlette:
    """The API for whoever owns the folder, and beside it what only the command line asks."""
    app = api(plane, Access(plane.operators, local=True))

    async def status(_: Request) -> Response:
        return JSONResponse({"version": __version__, **plane.status()})

    async def digests(_: Request) -> Response:
        return JSONResponse(plane.digests())

    async def one(request: Request) -> Response:
        found = plane.declared(request.path_params["kind"], request.path_params["name"])
        return JSONResponse(found if found is not None else {}, status_code=200 if found is not None else 404)

    async def covering(request: Request) -> Response:
        asked = (request.query_params.get(name, "") for name in ("api", "route", "method", "revision"))
        return JSONResponse(plane.covering(*asked))

    async def note(request: Request) -> Response:
        try:
            told = orjson.loads(await request.body())
            event = Event(str(told["actor"]), str(told["action"]), str(told["target"]), "local", "done", dict(told["details"]))
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"title": "This isn't a deed."}, status_code=400)
        await plane.audit(event.actor, event.action, event.target, event.origin, **event.details)
        return JSONResponse({})

    app.router.routes.append(Route("/noted", note, methods=["POST"]))
    routes = {"/status": status, "/digests": digests, "/resources/{kind}/{name}": one, "/covering": covering}
    app.router.routes.extend(Route(path, answer) for path, answer in routes.items())
    return app


def _public_app(plane: Plane) -> Starlette:
    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        ready = bool(plane.status()["revision"]) and await plane.envoy.ready()
        return PlainTextResponse("ready\n" if ready else "not ready\n", status_code=200 if ready else 503)

    async def metrics(_: Request) -> Response:
        try:
            envoy = await plane.envoy.prometheus()
        except BartizanError:
            envoy = ""
        return PlainTextResponse(_own(plane.status(), envoy != "") + envoy, media_type="text/plain; version=0.0.4")

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)])


def _of_context(sources: list[dict[str, Any]]) -> list[str]:
    """How it stands with context sources."""
    numbers = {
        "bartizan_context_subjects": ("Subjects of whom a context source says something.", "subjects"),
        "bartizan_context_stale_subjects": ("Subjects of whom nothing counts any more that a context source said.", "stale_subjects"),
        "bartizan_context_age_seconds": ("How long ago a context source said all at once.", "age"),
    }
    lines = []
    for name, (text, field) in numbers.items() if sources else ():
        lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
        lines += [f'{name}{{source="{one["name"]}"}} {one[field]}' for one in sources if one[field] is not None]
    return lines


def _own(status: dict[str, Any], envoy: bool) -> str:
    """Our own numbers in Prometheus' text format."""
    lines = [
        "# HELP bartizan_info The revision that is active.",
        "# TYPE bartizan_info gauge",
        f'bartizan_info{{version="{__version__}",revision="{status["revision"]}"}} 1',
    ]
    numbers = {
        "bartizan_generation": ("gauge", "The generation of the live data.", status["generation"]),
        "bartizan_revision_since_seconds": ("gauge", "Unix time since which the revision is active.", status["since"]),
        "bartizan_files_refused": ("gauge", "Problems in the files as they are now; 0 if they are what is active.", len(status["refused"])),
        "bartizan_enforced_seconds": (
            "gauge",
            "How long the last change took until every node had it.",
            (status["enforced_ms"] or 0) / 1000,
        ),
        "bartizan_blocked_sources": ("gauge", "Sources blocked for failed attempts.", len(status["blocked"])),
        "bartizan_nodes_connected": ("gauge", "Nodes that are connected.", sum(node["connected"] for node in status["nodes"])),
        "bartizan_envoy_up": ("gauge", "Whether Envoy answers.", int(envoy)),
    }
    for name, (kind, text, value) in numbers.items():
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name} {value}"]
    lines += _of_context(status["context"])
    return "\n".join(lines) + "\n"
