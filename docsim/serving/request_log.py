"""The log of requests: numbers, a line of JSON for each, metrics; and the headers and errors that every answer shares.

A line says who asked which route, how it went and how long it took. It says nothing of what was asked or found: neither
texts nor ids, unless the server was started with ``--log-texts``.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from docsim.serving import problems
from docsim.serving.server_database import instant
from docsim.serving.settings import Settings
from docsim.text import control_characters

__all__ = ["REGISTRY", "Recorded", "log_to_standard_error"]

logger = logging.getLogger("docsim.serving.requests")

REGISTRY = CollectorRegistry()
"""The metrics of this process."""

_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_SECONDS = Histogram(
    "docsim_http_request_duration_seconds",
    "Seconds from a request to the end of its answer",
    ("method", "route", "status"),
    buckets=_BUCKETS,
    registry=REGISTRY,
)
_QUERIES = Counter("docsim_queries", "Searches answered", ("route",), registry=REGISTRY)
_SEARCHES = ("/v1/search", "/v1/similar", "/v1/similar/file", "/", "/more/{id:path}", "/have")

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


class Recorded:
    """Answers every request, whatever an application does."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        """Record an application."""
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request and record it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else secrets.token_hex(8)
        scope["state"] = {**scope.get("state", {}), "request_id": request_id, "started": time.monotonic()}
        started, status = time.perf_counter(), 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except Exception as error:
            if not status:
                await problems.answer(problems.of(error, request_id), request_id)(scope, receive, sent)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = "/mcp" if scope["path"] == "/mcp" else getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        _SECONDS.labels(method, route, str(status)).observe(seconds)
        if route in _SEARCHES and status == 200:
            _QUERIES.labels(route).inc()
        if not logger.isEnabledFor(logging.INFO):
            return
        state = scope["state"]
        line: dict[str, Any] = {"time": instant(), "request": state["request_id"], "method": method, "route": route}
        line |= {"status": status, "ms": round(1000 * seconds, 2)}
        if "access" in state:
            line["by"] = state["access"].viewer.name
        if self._settings.log_texts and "text" in state:
            line["text"] = state["text"]
        logger.info(control_characters.json_text(line))


def log_to_standard_error() -> None:
    """Write lines about requests to standard error, as they are, and errors with what caused them."""
    control_characters.log_to_standard_error(logging.ERROR)
    logging.getLogger("docsim.serving").setLevel(logging.WARNING)
    lines = logging.StreamHandler()
    lines.setFormatter(logging.Formatter("%(message)s"))
    logger.handlers, logger.propagate = [lines], False
    logger.setLevel(logging.INFO)
