"""Learning: pages that show what an index lacks, what should be looked at, and what a person should be asked.

They show what people asked, and documents of all groups, so they are for tokens of scope ``admin``. What they need is
imported when they are asked for: most servers never are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import RedirectResponse, Response

from docsim.index import Index
from docsim.serving import forms, page_snippets
from docsim.serving.access import SCOPES
from docsim.serving.analyses import Analyses, Unready
from docsim.serving.api import allowed
from docsim.serving.limits import in_thread
from docsim.serving.parameters import Nothing
from docsim.serving.reading import Answer, Reading
from docsim.serving.routing import DirectRoute
from docsim.serving.templating import page
from docsim.text.matching import Matcher
from docsim.use.log import UseLog
from docsim.use.sittings import key_of

__all__ = ["routes"]

routes = APIRouter(include_in_schema=False, route_class=DirectRoute)

_PER_PAGE = 25
_LISTED = 100
"""Pages of each kind that are listed for somebody to look at."""

_PAIRS = 50
"""Pairs of a question and a document that a person is asked about."""

_SECONDS = 20.0
"""How long something is waited for."""


class GapsPage(Nothing):
    """Which gaps."""

    least: Annotated[float, Field(ge=0, le=1)] = 0.5
    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0


class JudgePage(Nothing):
    """How many pairs somebody could not tell."""

    skip: Annotated[int, Field(ge=0, le=_PAIRS)] = 0


class JudgeForm(Nothing):
    """What somebody says of a question and a document."""

    question: Annotated[str, Field(min_length=1, max_length=10_000)]
    document: Annotated[str, Field(min_length=1, max_length=4096)]
    said: Literal["good", "bad", "found"]
    skip: Annotated[int, Field(ge=0, le=_PAIRS)] = 0


@routes.get("/admin/gaps")
async def gaps(request: Request, asked: Annotated[GapsPage, Query()]) -> Response:
    """Show the recorded questions that nothing answers."""
    try:
        found = await _made(request, ("gaps", asked.least), lambda index: _gaps(index, asked.least))
    except Unready:
        return page(request, "unready.html", status=503, what="List of gaps")
    held = found["gaps"]
    return page(
        request, "gaps.html", found=found, gaps=held[asked.offset : asked.offset + _PER_PAGE], total=len(held),
        least=asked.least, offset=asked.offset, per=_PER_PAGE,
        link=lambda offset: f"/admin/gaps?{urlencode({'least': asked.least, 'offset': offset})}",
    )  # fmt: skip


def _gaps(index: Index, least: float) -> Answer:
    from docsim.jobs import gaps

    return asdict(gaps.find(index, least=least))


@routes.get("/admin/hygiene")
async def hygiene(request: Request, _: Annotated[Nothing, Query()]) -> Response:
    """Show pages that somebody should look at."""
    try:
        found = await _made(request, "hygiene", _hygiene)
    except Unready:
        return page(request, "unready.html", status=503, what="List of pages to look at")
    return page(request, "hygiene.html", found=found, most=_LISTED)


def _hygiene(index: Index) -> Answer:
    from docsim.jobs import hygiene

    return asdict(hygiene.examine(index))


@routes.get("/admin/judge")
async def judge(request: Request, asked: Annotated[JudgePage, Query()]) -> Response:
    """Ask somebody about the question and the document of which an answer would teach most."""
    try:
        found = await _made(request, "pairs", _pairs)
    except Unready:
        return page(request, "unready.html", status=503, what="List of questions")
    reading = _reading(request)
    open_ones = await in_thread(_unjudged, reading.index, found["pairs"])
    if asked.skip >= len(open_ones):
        return page(request, "judge.html", pair=None, recorded=found["recorded"], skip=asked.skip)
    one = open_ones[asked.skip]
    parts = page_snippets.snippet(one["passage"], Matcher(one["question"]), title=one["title"])
    return page(request, "judge.html", pair=one, parts=parts, left=len(open_ones) - asked.skip, skip=asked.skip)


def _pairs(index: Index) -> Answer:
    from docsim.jobs import judging

    return {
        "pairs": [asdict(one) for one in judging.pairs(index, most=_PAIRS)],
        "recorded": UseLog.exists(index.path),
    }


def _unjudged(index: Index, pairs: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the pairs whose documents are still there, and of which nobody has said anything since."""
    from docsim.jobs import judging

    held = {key_of(one.text): one.judgements for one in judging.judged(index).questions}
    said = {(key, each.document) for key, them in held.items() for each in them if each.good or each.bad}
    return [
        one for one in pairs if (key_of(one["question"]), one["document"]) not in said and index.has(one["document"])
    ]


@routes.post("/admin/judge")
async def say(request: Request, _: Annotated[Nothing, Query()]) -> Response:
    """Record what somebody says of a question and a document, and ask about the next."""
    viewer = allowed(request, SCOPES[-1]).viewer
    given, reading = forms.read(JudgeForm, await forms.sent(request)), _reading(request)
    await in_thread(reading.document, allowed(request), given.document)
    await in_thread(_record, reading.index, given, viewer.name)
    return RedirectResponse("/admin/judge" + (f"?skip={given.skip}" if given.skip else ""), 303)


def _record(index: Index, given: JudgeForm, person: str) -> None:
    from docsim.jobs import judging

    judging.answer(index, [(given.question, given.document, given.said)], person=person)


async def _made(request: Request, what: object, make: Callable[[Index], Answer]) -> Answer:
    allowed(request, SCOPES[-1])
    analyses: Analyses = request.app.state.analyses
    seconds = min(_SECONDS, 0.8 * request.app.state.settings.time_limit)
    return await in_thread(analyses.of_use, what, make, seconds=seconds)


def _reading(request: Request) -> Reading:
    reading: Reading = request.app.state.reading
    return reading
