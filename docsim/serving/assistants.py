"""Assistants: the tools as a server of the Model Context Protocol, over standard input and output and over HTTP.

Over HTTP each request stands by itself, so that any worker can answer it, and has passed the same guard as all others:
what it may see is with the request. The SDK takes a while to import, so that happens with the first such request.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from docsim import __version__
from docsim.index import Index
from docsim.serving import problems
from docsim.serving.access import Access, Rules, Viewer
from docsim.serving.limits import in_thread
from docsim.serving.reading import Reading
from docsim.serving.tools import FEEDBACK, TOOLS, Places, Tool, instructions, page_places
from docsim.serving.use import Use
from docsim.text.control_characters import json_text

if TYPE_CHECKING:
    from mcp.server import Server
    from mcp_types import CallToolResult

__all__ = ["Assistants", "serve_standard_input"]


class Assistants:
    """An ASGI application that answers assistants at one path."""

    def __init__(self, reading: Reading) -> None:
        """Answer from an index; nothing is imported or started yet."""
        self._reading = reading
        self._ending = asyncio.Event()
        self._ready: asyncio.Future[Any] | None = None
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if self._ready is None:
            self._ready = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._run(self._ready))
        answer = await asyncio.shield(self._ready)
        await answer(scope, receive, send)

    async def _run(self, ready: asyncio.Future[Any]) -> None:
        """Keep the SDK's manager of sessions open until the end; it has to be opened and closed in one task."""
        try:
            told = await in_thread(
                instructions, self._reading, Access(Viewer("anyone", frozenset()), self._reading.rules)
            )
            server = await in_thread(_server, self._reading, told, None)
            from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

            manager = StreamableHTTPSessionManager(server, json_response=True, stateless=True)
            async with manager.run():
                ready.set_result(manager.handle_request)
                await self._ending.wait()
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)
            self._ready = None

    async def close(self) -> None:
        """End what was started."""
        self._ending.set()
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task


def serve_standard_input(index: Index, use: Use) -> None:
    """Answer an assistant that started this process, which may see everything, until it closes standard input."""
    import anyio
    from mcp.server.stdio import stdio_server

    reading = Reading(index, Rules(), use)
    access = Access(Viewer("local", None), reading.rules)

    async def run() -> None:
        server = _server(reading, instructions(reading, access), access)
        async with stdio_server() as (received, sent):
            await server.run(received, sent, server.create_initialization_options())

    try:
        anyio.run(run)
    finally:
        use.close()


def _server(reading: Reading, told: str, access: Access | None) -> Server[Any]:
    """Return the SDK's server of the tools.

    Args:
        reading: What is asked.
        told: What assistants should know of it.
        access: What may be seen; None where each HTTP request says so.
    """
    import mcp_types as types
    from mcp.server import Server

    tools = {**TOOLS, **FEEDBACK} if reading.use.is_on else TOOLS
    listed = types.ListToolsResult(tools=[_described(name, tool) for name, tool in tools.items()])

    async def list_tools(context: Any, parameters: Any) -> types.ListToolsResult:
        return listed

    async def call_tool(context: Any, parameters: types.CallToolRequestParams) -> types.CallToolResult:
        seen, places = access, page_places("docsim:///")  # no server shows the documents
        if seen is None:
            request = context.request
            assert isinstance(request, Request)
            seen, places = request.state.access, page_places(str(request.base_url))
        called = partial(_called, reading, seen, tools, parameters.name, parameters.arguments or {}, places)
        return await in_thread(called)

    return Server("docsim", version=__version__, instructions=told, on_list_tools=list_tools, on_call_tool=call_tool)


def _described(name: str, tool: Tool) -> Any:
    """Return the description of a tool."""
    import mcp_types as types

    return types.Tool(
        name=name,
        description=tool.parameters.__doc__,
        input_schema=tool.parameters.model_json_schema(),
        output_schema=tool.answer.model_json_schema(mode="serialization"),
        annotations=types.ToolAnnotations(
            read_only_hint=name not in FEEDBACK,
            destructive_hint=False,
            idempotent_hint=True,
            open_world_hint=False,
        ),
    )


def _called(
    reading: Reading, access: Access, tools: Mapping[str, Tool], name: str, given: dict[str, Any], places: Places
) -> CallToolResult:
    """Call a tool; what goes wrong is told to the assistant in one sentence."""
    import mcp_types as types

    started = time.monotonic()
    try:
        if name not in tools:
            raise problems.Problem(404, f"expected one of the tools {', '.join(tools)}, got {name[:100]!r}")
        tool = tools[name]
        answer = tool.call(reading, access, tool.parameters.model_validate(given), places)
    except ValidationError as error:
        told = problems.sentence(list(error.errors(include_url=False)))
    except Exception as error:
        problem = problems.of(error, f"of the tool {name}")
        told = str(problem)
        if problem.status == 404:
            time.sleep(max(0.0, problems.NOT_FOUND_SECONDS - (time.monotonic() - started)))
    else:
        text = json_text(answer)
        return types.CallToolResult(content=[types.TextContent(text=text)], structured_content=answer)
    return types.CallToolResult(content=[types.TextContent(text=told)], is_error=True)
