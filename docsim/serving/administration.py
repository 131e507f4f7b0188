"""Administration: routes below ``/v1`` about the index as a whole, and those that change which encoder answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from docsim import extras
from docsim.serving import parameters as given
from docsim.serving.access import SCOPES
from docsim.serving.analyses import Analyses
from docsim.serving.api import TAKEN, WENT_WRONG, allowed, told, unrestricted
from docsim.serving.ids import JobId
from docsim.serving.limits import in_thread
from docsim.serving.problems import Problem
from docsim.serving.reading import Reading
from docsim.serving.routing import DirectRoute, JSONResponse
from docsim.serving.writing import Jobs, Rebuild

__all__ = ["begin", "routes"]

routes = APIRouter(prefix="/v1", responses=WENT_WRONG, route_class=DirectRoute)

_SHARE = 0.8
"""The share of a request's time that an analysis is waited for."""


def _reading(request: Request) -> Reading:
    reading: Reading = request.app.state.reading
    return reading


def _seconds(request: Request) -> float:
    limit: float = request.app.state.settings.time_limit
    return _SHARE * limit


# The index


@routes.get("/status", summary="Say what the index holds")
async def status(request: Request, _: Annotated[given.Nothing, Query()]) -> Response:
    """Return what the index holds; for those who see all documents, as ``docsim status --json`` does."""
    return JSONResponse(await in_thread(_reading(request).status, allowed(request)))


@routes.get("/generations", summary="List generations")
async def generations(request: Request, _: Annotated[given.Nothing, Query()]) -> Response:
    """Return the generations of the index, if all documents may be seen."""
    unrestricted(request)
    return JSONResponse(await in_thread(_reading(request).generations))


@routes.get("/failures", summary="List what could not be read")
async def failures(request: Request, _: Annotated[given.Nothing, Query()]) -> Response:
    """Return the documents that could not be read the last time, if all documents may be seen."""
    unrestricted(request)
    return JSONResponse(await in_thread(_reading(request).failures))


@routes.get("/duplicates", response_model=given.DuplicatesAnswer, summary="List documents that say the same")
async def duplicates(request: Request, asked: Annotated[given.DuplicatesParameters, Query()]) -> Response:
    """Return groups of equal and nearly equal documents, as ``docsim duplicates --json`` does.

    They are found among the documents that whoever asks may see. This takes a while. If it is not ready in time, the
    answer is 503, the search goes on, and a later request gets the result.
    """
    analyses: Analyses = request.app.state.analyses
    found = await in_thread(analyses.duplicates, allowed(request), threshold=asked.threshold, seconds=_seconds(request))
    groups = found["groups"]
    return JSONResponse(found | {"groups": groups[asked.offset : asked.offset + asked.limit], "total": len(groups)})


@routes.get("/map", response_model=given.MapAnswer, summary="Place documents on a map")
async def topic_map(request: Request, asked: Annotated[given.MapParameters, Query()]) -> Response:
    """Return topics and points, as ``docsim map --json`` does, of the documents that whoever asks may see."""
    extras.require("map", "a topic map")
    analyses: Analyses = request.app.state.analyses
    return JSONResponse(await in_thread(analyses.map, allowed(request), seed=asked.seed, seconds=_seconds(request)))


# Jobs


@routes.get("/jobs", response_model=given.JobsAnswer, summary="List changes of the encoder")
async def jobs(request: Request, _: Annotated[given.Nothing, Query()]) -> Response:
    """Return the last jobs that changed the encoder that answers, or are to, latest first."""
    allowed(request, "admin")
    found = await in_thread(_jobs(request).rebuilds)
    return JSONResponse({"jobs": [asdict(one) for one in found]})


@routes.get("/jobs/{id}", response_model=given.JobAnswer, summary="Say how far a job is")
async def job(request: Request, id: JobId, _: Annotated[given.Nothing, Query()]) -> Response:
    """Return a job: what was asked to be written or changed."""
    allowed(request, "write")
    found = await in_thread(_jobs(request).job, id)
    if found is None:
        raise Problem(404, f"expected the id of a job, found no job {id!r}")
    return JSONResponse(asdict(found))


@routes.post("/publish", response_model=given.JobAnswer, responses=TAKEN, summary="Publish a generation that waits")
async def publish(request: Request, body: given.PublishBody, asked: Annotated[given.Waiting, Query()]) -> Response:
    """Compare the generation that was built with the live one again, and publish it if it passes."""
    return await _begun(request, "publish", body.model_dump(), wait=asked.wait)


@routes.post("/rollback", response_model=given.JobAnswer, responses=TAKEN, summary="Go back to a generation")
async def rollback(request: Request, body: given.RollbackBody, asked: Annotated[given.Waiting, Query()]) -> Response:
    """Make an earlier generation live again; documents that it lacks are embedded first."""
    return await _begun(request, "rollback", body.model_dump(), wait=asked.wait)


@routes.post("/reindex", response_model=given.JobAnswer, responses=TAKEN, summary="Change to another encoder")
async def reindex(request: Request, body: given.ReindexBody, asked: Annotated[given.Waiting, Query()]) -> Response:
    """Build a generation with another encoder beside the live one, and publish it if its answers are not worse."""
    return await _begun(request, "reindex", body.model_dump(), wait=asked.wait)


@routes.post("/adapt", response_model=given.JobAnswer, responses=TAKEN, summary="Train on the documents")
async def adapt(request: Request, body: given.AdaptBody, asked: Annotated[given.Waiting, Query()]) -> Response:
    """Train the encoder on the index's own documents, and re-index with the result. Needs the extra ``train``."""
    return await _begun(request, "adapt", body.model_dump(), wait=asked.wait)


async def _begun(request: Request, kind: Rebuild, asked: Mapping[str, Any], *, wait: bool) -> Response:
    return await told(request, await in_thread(begin, request, kind, asked), wait=wait)


def begin(request: Request, kind: Rebuild, asked: Mapping[str, Any]) -> Any:
    """Take in a change of the encoder that answers, and return the job.

    Raises:
        Problem: Whoever asks may not do it, or there is no such generation.
        MissingExtra: Training is not installed.
    """
    viewer = allowed(request, SCOPES[-1]).viewer
    if kind == "adapt":
        extras.require("train", "adapting an index")
    if kind in ("publish", "rollback"):
        asked = {**asked, "generation": _generation(_reading(request), kind, asked["generation"])}
    return _jobs(request).rebuild(kind, asked, viewer.name)


def _generation(reading: Reading, kind: Rebuild, number: int | None) -> int:
    """Return the generation that is meant, by number, so that the same job done twice means the same one.

    Raises:
        Problem: There is none.
    """
    state = "building" if kind == "publish" else "retired"
    found = [one for one in reading.generations()["generations"] if one["state"] == state]
    found.sort(key=lambda one: (one["published"] or "", one["number"]))
    known = [int(one["number"]) for one in found]
    if known and number in (None, known[-1]):
        return known[-1]
    if number in known:
        return int(number or 0)
    what = "a generation that waits to be published" if kind == "publish" else "a generation that was live before"
    got = "" if number is None else f", got {number}"
    raise Problem(409, f"expected {what}{got}; found {', '.join(map(str, known)) or 'none'}")


def _jobs(request: Request) -> Jobs:
    found: Jobs = request.app.state.jobs
    return found
