"""The application: an index opened once, the routes over it, and what every request has to pass."""

from __future__ import annotations

import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

import anyio
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp

from docsim import __version__
from docsim.engine.opening import is_remote
from docsim.errors import DocsimError
from docsim.index import Index
from docsim.serving import administration, api, dialects, learning, metrics, overview, page, problems, request_log
from docsim.serving.access import read_rules
from docsim.serving.analyses import Analyses
from docsim.serving.assistants import Assistants
from docsim.serving.encoder_jobs import EncoderJobs
from docsim.serving.guard import Guarded
from docsim.serving.limits import Limited, in_thread, wait_for_searches
from docsim.serving.problems import NOT_FOUND_SECONDS, Problem
from docsim.serving.reading import Reading
from docsim.serving.request_log import Recorded
from docsim.serving.server_database import ServerDatabase
from docsim.serving.settings import Settings
from docsim.serving.tokens import Tokens
from docsim.serving.use import Use
from docsim.serving.watching import watched_sources
from docsim.serving.writing import Jobs, Writing
from docsim.use.recording import Recorder

__all__ = ["application", "description", "from_environment"]


def from_environment() -> ASGIApp:
    """Return the application of a worker process, which logs to standard error."""
    request_log.log_to_standard_error()
    return application(Settings.imported())


def application(settings: Settings) -> ASGIApp:
    """Return the application over an index.

    Raises:
        StoreError: There is no finished index, or it is damaged.
        UsageError: The access rules cannot be read.
    """
    rules = read_rules(settings.rules, shown_by_default=settings.shown_by_default)
    index, database = Index.open(settings.index), ServerDatabase(settings.index)
    jobs = Jobs(database)
    recorder = Recorder(settings.index, keep_days=settings.keep_days) if settings.record else None
    reading = Reading(index, rules, Use(recorder, swaps=settings.swaps))
    assistants = Assistants(reading)
    encoder_jobs = EncoderJobs(settings.index, jobs)
    writing = Writing(index, jobs, watched_sources(settings.watch), encoder_jobs.running)
    analyses = Analyses(reading)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if is_remote(settings.index):
            wait_for_searches()
        await in_thread(index.engine.prepare)
        gc.freeze()  # what is there now stays, and is looked through for garbage no more
        gc.enable()
        with writing.running() if database.exists else nullcontext():
            yield
        await assistants.close()
        analyses.close()
        reading.use.close()
        index.close()

    app = _described(lifespan)
    app.state.settings, app.state.reading, app.state.analyses = settings, reading, analyses
    app.state.jobs, app.state.writing, app.state.tokens = jobs, writing, Tokens(database)
    _add_routes(app)
    app.router.routes.append(Route("/mcp", assistants))
    _add_health(app)
    _add_errors(app)
    _describe_errors(app)
    return Recorded(Guarded(Limited(app, settings), settings, rules, app.state.tokens), settings)


def description() -> dict[str, Any]:
    """Return the description of the API, which needs no index."""
    app = _described(None)
    _add_routes(app)
    _describe_errors(app)
    return app.openapi()


def _add_routes(app: FastAPI) -> None:
    for each in (api, administration, dialects, page, overview, learning):
        app.router.routes += each.routes.routes


def _described(lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None) -> FastAPI:
    """Return an application without routes; its own description is all that it serves."""
    return FastAPI(
        title="docsim",
        version=__version__,
        description="Search an index, and change what is in it. Errors are one sentence (RFC 9457).",
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )


def _describe_errors(app: FastAPI) -> None:
    """Describe errors as what they are: problems."""
    generated = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            for path in generated()["paths"].values():
                for operation in path.values():
                    responses = operation["responses"]
                    responses.pop("422", None)
                    content = responses["default"]["content"]
                    responses["default"]["content"] = {"application/problem+json": content["application/json"]}
        return generated()

    app.openapi = described  # type: ignore[method-assign]  # the way that FastAPI documents


def _add_health(app: FastAPI) -> None:
    """Add the routes that tell whoever runs the server how it is."""

    @app.get("/livez", include_in_schema=False)
    async def live() -> Response:
        return PlainTextResponse("ok\n")

    @app.get("/readyz", include_in_schema=False)
    async def ready() -> Response:
        await in_thread(app.state.reading.index.counts)
        return PlainTextResponse("ok\n")

    @app.get("/metrics", include_in_schema=False)
    async def numbers(request: Request) -> Response:
        if api.allowed(request).viewer.groups is not None:
            raise Problem(403, "expected a token that sees all documents, got one that sees those of some groups")
        shown = await in_thread(metrics.exposition, app.state.reading.index, app.state.jobs)
        return Response(shown, media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_errors(app: FastAPI) -> None:
    """Answer every error with a problem."""

    async def answer(request: Request, error: Exception) -> Response:
        request_id: str = request.state.request_id
        problem = problems.of(_as_problem(error), request_id)
        if problem.status == 405:
            problem.headers["Allow"] = _methods(app, request)
        if problem.status == 404:
            spent = time.monotonic() - request.state.started
            await anyio.sleep(max(0.0, NOT_FOUND_SECONDS - spent))
        is_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/v1")
        return page.problem(request, problem) if is_page else problems.answer(problem, request_id)

    for kind in (DocsimError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)


def _methods(app: FastAPI, request: Request) -> str:
    """Return the methods that the path of a request has; each of several routes knows its own only."""
    found = [route for route in app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for route in found for method in getattr(route, "methods", None) or ()}))


def _as_problem(error: Exception) -> Exception:
    """Return what FastAPI raises as a problem, and any other error as it is."""
    if isinstance(error, RequestValidationError):
        found = [one | {"loc": one["loc"][1:]} for one in error.errors()]  # without "query" or "body"
        return Problem(400, problems.sentence(found))
    if isinstance(error, HTTPException):
        told = {404: "expected the path of a page or of the API, found nothing there"}
        told[405] = "expected another method for this path"
        return Problem(error.status_code, told.get(error.status_code, str(error.detail)), error.headers)
    return error
