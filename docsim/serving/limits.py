"""Limits: how large a request may be, how long it may take, and how many are answered at once.

How many requests a minute somebody may make is in ``docsim.serving.rate_limit``.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from docsim.serving.problems import Problem
from docsim.serving.settings import Settings

__all__ = ["Limited", "in_thread", "searching", "wait_for_searches"]

LARGE, SMALL = 32 << 20, 1 << 20
"""The largest body of a request that brings documents or a file, and of any other, in bytes."""

_LARGE_PATHS = ("/v1/documents", "/v1/similar/file", "/have")
_ALWAYS = ("/livez", "/readyz")
_THREADS = max(4, os.cpu_count() or 1)
_SLOW = 0.05
"""Seconds after which a search no longer holds up others."""

_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")


class Limited:
    """Hands an application only requests that are small enough, so many at once, and for so long."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        """Limit an application."""
        self._app, self._settings = app, settings
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or turn it away."""
        if scope["type"] != "http" or scope["path"] in _ALWAYS:
            return await self._app(scope, receive, send)
        if self._running >= self._settings.in_flight:
            message = f"expected at most {self._settings.in_flight} requests at once, got more; ask again"
            raise Problem(503, message, {"Retry-After": "1"})
        self._running += 1
        try:
            await self._in_time(scope, receive, send)
        finally:
            self._running -= 1
        return None

    async def _in_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = None if scope["path"].startswith("/mcp") and scope["method"] == "GET" else self._settings.time_limit
        try:
            async with asyncio.timeout(limit):
                body = await _body(scope, receive)
                if body is not None:
                    await self._app(scope, _replayed(body, receive), send)
        except TimeoutError as error:
            message = f"expected an answer within {self._settings.time_limit:g} s, which was not enough; ask for less"
            raise Problem(503, message, {"Retry-After": "5"}) from error


async def _body(scope: Scope, receive: Receive) -> bytes | None:
    """Return the body of a request; None if the client went away.

    Raises:
        Problem: It is too large.
    """
    limit = LARGE if scope["path"].startswith(_LARGE_PATHS) else SMALL
    too_large = Problem(413, f"expected a body of at most {limit >> 20} MB, got more", {"Connection": "close"})
    declared = Headers(scope=scope).get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise too_large
        more = message.get("more_body", False)
    return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return what receives a body that has been received already, and then whatever comes."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


@functools.cache
def _threads() -> anyio.CapacityLimiter:
    return anyio.CapacityLimiter(_THREADS)


def wait_for_searches() -> None:
    """Let as many requests search as may do anything else: the index is on another machine, and is waited for."""
    _searches().total_tokens = _THREADS


@functools.cache
def _searches() -> anyio.CapacityLimiter:
    return anyio.CapacityLimiter(1)


async def in_thread(function: Callable[_Given, _Found], *given: _Given.args, **named: _Given.kwargs) -> _Found:
    """Call a function that computes or reads in one of a few threads.

    When the request's time is over it is left alone; its thread is free again when the function returns.
    """
    call = functools.partial(function, *given, **named)
    return await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=_threads())


async def searching(function: Callable[_Given, _Found], *given: _Given.args, **named: _Given.kwargs) -> _Found:
    """Call a function that searches an index of this machine, as ``in_thread`` does, but after those before it.

    Most of a search runs in Python, one thread at a time, and searches that take turns within one another take a fifth
    more of the processor (measured by benchmarks/serving.py). A slow one is not waited for.
    """
    async with _searches():
        with _not_waited_for():
            return await in_thread(function, *given, **named)


@contextmanager
def _not_waited_for() -> Iterator[None]:
    """Let another search begin if the block takes long."""
    added = 0

    def make_room() -> None:
        nonlocal added
        added = 1
        _searches().total_tokens += 1

    timer = asyncio.get_running_loop().call_later(_SLOW, make_room)
    try:
        yield
    finally:
        timer.cancel()
        _searches().total_tokens -= added
