"""The overview: pages about the index as a whole, and those on which it is run.

Duplicates and the map are of what whoever looks may see. Status and generations are for who sees all documents; what
changes something is for a token of scope ``admin``, in a session of the page, from a form of the page itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from pydantic import BeforeValidator, Field, TypeAdapter
from starlette.responses import RedirectResponse, Response

from docsim import extras
from docsim.analysis.topic_map import names
from docsim.analysis.topics import Topic
from docsim.errors import StoreError
from docsim.reindex import gate_report
from docsim.serving import forms
from docsim.serving import parameters as given
from docsim.serving.access import SCOPES, Scope
from docsim.serving.administration import begin
from docsim.serving.analyses import Analyses, Unready
from docsim.serving.api import allowed, unrestricted
from docsim.serving.limits import in_thread
from docsim.serving.parameters import Nothing
from docsim.serving.problems import Problem
from docsim.serving.reading import Reading
from docsim.serving.routing import DirectRoute
from docsim.serving.templating import page
from docsim.serving.tokens import Tokens
from docsim.serving.writing import Jobs, Rebuild

__all__ = ["routes"]

routes = APIRouter(include_in_schema=False, route_class=DirectRoute)

_PER_PAGE = 25
_DRAWN = 3000
"""Points that are drawn; of more documents, some from all over."""

_LISTED = 200
_SECONDS = 20.0
"""How long an analysis is waited for."""

_FORMS: Mapping[str, type[Nothing]] = {
    "publish": given.PublishBody,
    "rollback": given.RollbackBody,
    "reindex": given.ReindexBody,
    "adapt": given.AdaptBody,
}


class DuplicatesPage(Nothing):
    """Which groups of duplicates."""

    threshold: Annotated[float | None, Field(gt=0, le=1), BeforeValidator(lambda given: given or None)] = None
    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class MapPage(Nothing):
    """Which topic's documents are listed, and from which on."""

    topic: Annotated[int | None, Field(ge=0, le=10_000)] = None
    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class TokenForm(Nothing):
    """A token to make."""

    name: str
    scope: Scope = "read"
    groups: str = ""
    sees: str = "all"
    days: Annotated[float | None, Field(gt=0, le=36_500)] = None


@routes.get("/duplicates")
async def duplicates(request: Request, asked: Annotated[DuplicatesPage, Query()]) -> Response:
    """Show documents that say the same."""
    analyses: Analyses = request.app.state.analyses
    found = await in_thread(analyses.duplicates, allowed(request), threshold=asked.threshold, seconds=_seconds(request))
    groups = found["groups"]
    shown = groups[asked.offset : asked.offset + _PER_PAGE]
    return page(
        request, "duplicates.html", found=found, groups=shown, total=len(groups), offset=asked.offset, per=_PER_PAGE,
        link=lambda offset: _address("/duplicates", threshold=asked.threshold, offset=offset or None),
    )  # fmt: skip


@routes.get("/map")
async def topic_map(request: Request, asked: Annotated[MapPage, Query()]) -> Response:
    """Show documents in the plane, and those of one topic in a list."""
    extras.require("map", "a topic map")
    analyses: Analyses = request.app.state.analyses
    try:
        found = await in_thread(analyses.map, allowed(request), seed=0, seconds=_seconds(request))
    except Unready:
        return page(request, "unready.html", status=503, what="Map")
    topics = _named(found["topics"])
    if asked.topic is not None and asked.topic >= len(topics):
        raise Problem(404, f"expected the number of a topic, found no topic {asked.topic}")
    points = found["points"]
    members = [one for one in points if one["topic"] == asked.topic]
    return page(
        request, "map.html", topics=topics, shown_topic=asked.topic, total=len(points), offset=asked.offset,
        per=_LISTED, points=points[:: len(points) // _DRAWN + 1], count=len(members),
        members=members[asked.offset : asked.offset + _LISTED],
        link=lambda topic, offset=0: _address("/map", topic=topic, offset=offset or None),
    )  # fmt: skip


def _named(topics: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    short = names([Topic(**one) for one in topics])
    return [{**one, "name": name or "no words"} for one, name in zip(topics, short, strict=True)]


def _address(path: str, **given: object) -> str:
    pairs = {name: value for name, value in given.items() if value is not None}
    return f"{path}?{urlencode(pairs)}" if pairs else path


# Running it


@routes.get("/admin")
async def status(request: Request, _: Annotated[Nothing, Query()]) -> Response:
    """Show what the index holds, where it comes from, and what could not be read."""
    found = await in_thread(_reading(request).status, unrestricted(request))
    waiting = await in_thread(_jobs(request).waiting)
    return page(request, "status.html", found=found, waiting=waiting)


@routes.get("/admin/generations")
async def generations(request: Request, _: Annotated[Nothing, Query()]) -> Response:
    """Show the generations of the index, and the jobs that change which of them answers."""
    unrestricted(request)
    found = await in_thread(_reading(request).generations)
    jobs = await in_thread(_jobs(request).rebuilds) if allowed(request).viewer.may(SCOPES[-1]) else []
    can_adapt = extras.available("train")
    return page(request, "generations.html", found=found["generations"][::-1], jobs=jobs, can_adapt=can_adapt)


@routes.get("/admin/generations/{number}")
async def generation(request: Request, number: int, _: Annotated[Nothing, Query()]) -> Response:
    """Show a generation, and what was found when it was compared with the one before."""
    unrestricted(request)
    one, report = await in_thread(_reported, _reading(request), number)
    return page(request, "generation.html", one=one, report=report)


def _reported(reading: Reading, number: int) -> tuple[dict[str, Any], dict[str, Any] | None]:
    found = [one for one in reading.generations()["generations"] if one["number"] == number]
    if not found:
        raise Problem(404, f"expected the number of a generation, found no generation {number}")
    try:
        report = gate_report.read(reading.index.engine.report_directory(number))
    except StoreError:
        report = {"is_damaged": True}
    return found[0], report


@routes.post("/admin/jobs/{kind}")
async def change(request: Request, kind: str, _: Annotated[Nothing, Query()]) -> Response:
    """Begin to change which encoder answers."""
    allowed(request, SCOPES[-1])
    if kind not in _FORMS:
        raise Problem(404, "expected the path of a page or of the API, found nothing there")
    asked = forms.read(_FORMS[kind], await forms.sent(request))
    rebuild: Rebuild = TypeAdapter(Rebuild).validate_python(kind)
    await in_thread(begin, request, rebuild, asked.model_dump())
    return RedirectResponse("/admin/generations#jobs", 303)


@routes.get("/admin/tokens")
async def tokens(request: Request, _: Annotated[Nothing, Query()]) -> Response:
    """Show who may ask, and a form for more of them."""
    allowed(request, SCOPES[-1])
    return await _tokens_page(request, None)


@routes.post("/admin/tokens")
async def add_token(request: Request, _: Annotated[Nothing, Query()]) -> Response:
    """Make a token, and show it once."""
    allowed(request, SCOPES[-1])
    asked = forms.read(TokenForm, await forms.sent(request))
    groups = [one.strip() for one in asked.groups.split(",") if one.strip()]
    limited = None if asked.sees == "all" else groups
    kept: Tokens = request.app.state.tokens
    made = await in_thread(kept.add, asked.name, scope=asked.scope, groups=limited, days=asked.days)
    return await _tokens_page(request, (asked.name, made))


@routes.post("/admin/tokens/revoke")
async def revoke_token(request: Request, _: Annotated[Nothing, Query()]) -> Response:
    """End a token."""
    allowed(request, SCOPES[-1])
    kept: Tokens = request.app.state.tokens
    await in_thread(kept.revoke, str((await forms.sent(request)).get("name", "")))
    return RedirectResponse("/admin/tokens", 303)


async def _tokens_page(request: Request, made: tuple[str, str] | None) -> Response:
    kept: Tokens = request.app.state.tokens
    return page(request, "tokens.html", tokens=await in_thread(kept.list), made=made, scopes=SCOPES)


def _seconds(request: Request) -> float:
    limit: float = request.app.state.settings.time_limit
    return min(_SECONDS, 0.8 * limit)


def _reading(request: Request) -> Reading:
    reading: Reading = request.app.state.reading
    return reading


def _jobs(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs
