"""The protocol, spoken by its official library: each message stands for itself, in plain JSON. Imported when the first agent asks."""

import asyncio
import logging
from typing import Any

import mcp_types as types
import orjson
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import ASGIApp

from bartizan import __version__
from bartizan.admin.access import Caller
from bartizan.admin.agents.calls import Calls
from bartizan.admin.agents.tools import Tool
from bartizan.admin.agents.untrusted import NOTE

_log = logging.getLogger(__name__)
_INSTRUCTIONS = (
    "Bartizan is an API gateway whose policies are released like software. With these tools you read its policies, explain requests that "
    "have happened, and, where you may, propose changes to the people who run it. Nothing here changes what the gateway does, and no tool "
    f"tells what would happen to a request that hasn't been made. {NOTE}"
)


def _described(tool: Tool) -> types.Tool:
    told = types.ToolAnnotations(
        read_only_hint=not tool.proposes, destructive_hint=False, idempotent_hint=not tool.proposes, open_world_hint=False
    )
    return types.Tool(name=tool.name, description=tool.told, input_schema=tool.takes.model_json_schema(), annotations=told)


def _server(calls: Calls) -> Server[Any]:
    async def listed(context: Any, _: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_described(one) for one in calls.listed(_caller(context))])

    async def called(context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        call = calls.call(_caller(context), params.name, params.arguments or {})
        (found,) = await asyncio.gather(call, return_exceptions=True)
        answer, good = found if not isinstance(found, BaseException) else _bug(params.name, found)
        text = types.TextContent(type="text", text=answer.decode())
        return types.CallToolResult(content=[text], structured_content=orjson.loads(answer), is_error=not good)

    return Server("bartizan", version=__version__, instructions=_INSTRUCTIONS, on_list_tools=listed, on_call_tool=called)


def _bug(name: str, error: BaseException) -> tuple[bytes, bool]:
    """A tool has raised what it shouldn't. The library would tell the agent its words."""
    _log.error("a bug in the tool %s", name[:64], exc_info=error)
    return orjson.dumps(
        {"error": {"code": "internal", "message": "This is an error of Bartizan's own. Its log says more.", "problems": []}}
    ), False


def _caller(context: Any) -> Caller:
    """Whose request brought this message. Each request brings its own token, and nothing outlasts it."""
    caller: Caller = context.request.state.caller
    return caller


class _Opened:
    """The library's manager of requests, as long as the control plane runs."""

    def __init__(self, calls: Calls) -> None:
        self._manager = StreamableHTTPSessionManager(_server(calls), json_response=True, stateless=True)
        self._ready = asyncio.Event()
        self._task = asyncio.create_task(self._kept())

    async def _kept(self) -> None:
        async with self._manager.run():
            self._ready.set()
            await asyncio.Event().wait()

    async def application(self) -> ASGIApp:
        """What answers a request."""
        await self._ready.wait()
        return self._manager.handle_request


async def opened(calls: Calls) -> ASGIApp:
    """Begins, and gives what answers messages."""
    logging.getLogger("mcp").setLevel(
        logging.ERROR
    )  # it tells of every message that it doesn't like: anybody with a token could fill the log
    return await _Opened(calls).application()
