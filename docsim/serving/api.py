"""The API: routes below ``/v1`` that answer with the command line's own JSON, and take documents."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from starlette.responses import Response

from docsim import extras
from docsim.errors import MissingExtra
from docsim.ingest import conversion_pool, guarded_readers
from docsim.models import Document
from docsim.serving import parameters as given
from docsim.serving import problems
from docsim.serving.access import SCOPES, Access, Scope
from docsim.serving.ids import DocumentId
from docsim.serving.limits import in_thread, searching
from docsim.serving.problems import Problem
from docsim.serving.reading import Asked, Reading
from docsim.serving.routing import DirectRoute, JSONResponse
from docsim.serving.use import person_of
from docsim.serving.writing import Job, Jobs, Writing

__all__ = ["TAKEN", "WENT_WRONG", "allowed", "file_document", "routes", "told", "unrestricted"]

WENT_WRONG: dict[int | str, dict[str, Any]] = {
    "default": {"model": given.ProblemAnswer, "description": "Why it was not answered"}
}
routes = APIRouter(prefix="/v1", responses=WENT_WRONG, route_class=DirectRoute)

_BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_LINES = {"application/x-ndjson": {"schema": {"type": "string"}}}

_POLL = 0.02
"""Seconds between two looks at a job that somebody waits for."""


def allowed(request: Request, scope: Scope = "read") -> Access:
    """Return what whoever asks may see.

    Raises:
        Problem: They may not do what the scope allows.
    """
    access: Access = request.state.access
    if not access.viewer.may(scope):
        needed = " or ".join(SCOPES[SCOPES.index(scope) :])
        raise Problem(403, f"expected a token of scope {needed}, got one of scope {access.viewer.scope}")
    return access


def unrestricted(request: Request) -> Access:
    """Return what whoever asks may see.

    Raises:
        Problem: It is not everything.
    """
    access = allowed(request)
    if access.viewer.groups is not None:
        raise Problem(403, "expected a token that sees all documents, got one that sees those of some groups")
    return access


def _reading(request: Request) -> Reading:
    reading: Reading = request.app.state.reading
    return reading


# Searching


@routes.get("/search", response_model=given.SearchAnswer, summary="Find the documents most similar to a text")
async def search(request: Request, asked: Annotated[given.SearchParameters, Query()]) -> Response:
    """Answer a question, as ``docsim query --json`` does."""
    return await _searched(request, asked.text, asked.asked())


@routes.post("/search", response_model=given.SearchAnswer, summary="The same, asked for as JSON")
async def search_json(request: Request, body: given.SearchBody, _: Annotated[given.Nothing, Query()]) -> Response:
    """Answer a question; ``where`` may also be a mapping of values by field name."""
    return await _searched(request, body.text, body.asked())


async def _searched(request: Request, text: str, asked: Asked) -> Response:
    request.state.text = text
    reading = _reading(request)
    found = await searching(reading.search, allowed(request), text, asked)
    reading.use.asked(found, text, person=person_of(request), route="api")
    return JSONResponse(found)


@routes.get("/similar", response_model=given.SameAnswer, summary="Find documents similar to others, or to a text")
async def similar(request: Request, asked: Annotated[given.SimilarParameters, Query()]) -> Response:
    """Answer for one or several documents, as ``docsim similar --json`` does, or for any text."""
    return await _similar(request, asked.id, asked.unlike, asked.asked(), _document(asked.text, ""))


@routes.post("/similar", response_model=given.SameAnswer, summary="The same, asked for as JSON")
async def similar_json(request: Request, body: given.SimilarBody, _: Annotated[given.Nothing, Query()]) -> Response:
    """Answer for documents or a text; ``where`` may also be a mapping of values by field name."""
    return await _similar(request, body.id, body.unlike, body.asked(), _document(body.text, body.title))


def _document(text: str | None, title: str) -> Document | None:
    return None if text is None else Document("text", text, title)


async def _similar(
    request: Request, positive: list[str], negative: list[str], asked: Asked, document: Document | None
) -> Response:
    if bool(positive) == (document is not None) or (document and negative):
        raise Problem(
            400, "expected either id, and perhaps unlike, or text; got " + ("both" if document else "neither")
        )
    reading, access = _reading(request), allowed(request)
    if document:
        return JSONResponse(await in_thread(reading.similar_to, access, document, asked))
    return JSONResponse(await searching(reading.similar, access, positive, negative, asked) | {"same": []})


@routes.post(
    "/similar/file",
    response_model=given.SameAnswer,
    summary="Find documents similar to a file",
    openapi_extra={"requestBody": {"required": True, "content": _BINARY}},
)
async def similar_file(request: Request, asked: Annotated[given.FileParameters, Query()]) -> Response:
    """Answer for the file that is the body: "do we already have this?". It is read in memory and not kept."""
    body = await request.body()
    reading, access = _reading(request), allowed(request)

    def answer() -> dict[str, Any]:
        return reading.similar_to(access, file_document(body, asked.name), asked.asked())

    return JSONResponse(await in_thread(answer))


def file_document(content: bytes, name: str) -> Document:
    """Return the document in a file, read as ``docsim index`` reads it.

    Raises:
        SourceError: It cannot be read.
        Problem: Its format needs an extra that is not installed.
    """
    suffix = PurePosixPath(name).suffix
    if suffix.lower() in guarded_readers.SUFFIXES:
        try:
            extras.require("files", f"reading {suffix} files")
        except MissingExtra as error:
            raise Problem(415, str(error)) from error
    read = conversion_pool.read(content, suffix, PurePosixPath(name).name or "file")
    return Document(name, read.text, read.title, read.metadata)


@routes.get("/explain", response_model=given.ExplainAnswer, summary="Say why two documents are similar")
async def explain(request: Request, asked: Annotated[given.ExplainParameters, Query()]) -> Response:
    """Explain as ``docsim explain --json`` does; the first side is a document, or a text such as a question."""
    if (asked.a is None) == (asked.text is None):
        raise Problem(400, "expected either a or text, got " + ("neither" if asked.a is None else "both"))
    side = asked.a if asked.a is not None else Document("query", asked.text or "")
    call = _reading(request).explain
    return JSONResponse(await in_thread(call, allowed(request), side, asked.b, pairs=asked.pairs))


@routes.get("/suggest", response_model=given.SuggestAnswer, summary="Complete the beginning of a title")
async def suggest(request: Request, asked: Annotated[given.SuggestParameters, Query()]) -> Response:
    """Return documents whose titles, or words in them, begin with a text."""
    return JSONResponse(await in_thread(_reading(request).suggest, allowed(request), asked.text, asked.limit))


@routes.post("/feedback", response_model=given.FeedbackAnswer, summary="Record what a question led to")
async def feedback(request: Request, body: given.FeedbackBody, _: Annotated[given.Nothing, Query()]) -> Response:
    """Record that a document was opened, read for so long, or called good or bad, or that nothing helped."""
    access, reading, person = allowed(request), _reading(request), person_of(request)
    if body.id is not None:
        await in_thread(reading.document, access, body.id)
    return JSONResponse({"query_id": reading.use.happened(body.said(), person=person, route="api")})


# Documents


@routes.get("/documents", response_model=given.DocumentsAnswer, summary="List documents by id")
async def documents(request: Request, asked: Annotated[given.DocumentsParameters, Query()]) -> Response:
    """Return some documents, and the id to go on after."""
    call, access = _reading(request).documents, allowed(request)
    found = await in_thread(
        call, access, after=asked.after, limit=asked.limit, within=asked.within, at_least=asked.at_least
    )
    return JSONResponse(found)


@routes.get("/documents/{id:path}", response_model=given.DocumentAnswer, summary="Show a document")
async def document(request: Request, id: DocumentId, asked: Annotated[given.StateParameters, Query()]) -> Response:
    """Return a document with its text and passages, as ``docsim show --json`` does."""
    return JSONResponse(await in_thread(_reading(request).document, allowed(request), id, at_least=asked.at_least))


TAKEN: dict[int | str, dict[str, Any]] = {202: {"model": given.JobAnswer, "description": "Taken in"}}


@routes.put(
    "/documents/{id:path}", response_model=given.JobAnswer, responses=TAKEN, summary="Add or replace a document"
)
async def put(
    request: Request, id: DocumentId, body: given.DocumentBody, asked: Annotated[given.Waiting, Query()]
) -> Response:
    """Write a document; writing the same again changes nothing."""
    access = allowed(request, "write")
    if unfit := _unfit(id):
        raise Problem(400, unfit)
    await _check_changeable(request, [id])
    job = await in_thread(_jobs(request).put, [body.document(id)], access.viewer.name)
    return await told(request, job, wait=asked.wait)


@routes.delete("/documents/{id:path}", response_model=given.JobAnswer, responses=TAKEN, summary="Remove a document")
async def delete(request: Request, id: DocumentId, asked: Annotated[given.Waiting, Query()]) -> Response:
    """Remove a document; removing one that is not there changes nothing."""
    access = allowed(request, "write")
    await _check_changeable(request, [id])
    job = await in_thread(_jobs(request).delete, [id], access.viewer.name)
    return await told(request, job, wait=asked.wait)


@routes.post(
    "/documents",
    response_model=given.JobAnswer,
    responses=TAKEN,
    summary="Add or replace many documents",
    openapi_extra={"requestBody": {"required": True, "content": _LINES}},
)
async def post(request: Request, asked: Annotated[given.Waiting, Query()]) -> Response:
    """Write documents, one a line of JSON with id, text, and maybe title and metadata; all lines are checked first."""
    access = allowed(request, "write")
    body = await request.body()
    job = await in_thread(lambda: _jobs(request).put(_records(body), access.viewer.name))
    return await told(request, job, wait=asked.wait)


def _records(body: bytes) -> list[Document]:
    """Return the documents of JSON lines.

    Raises:
        Problem: A line is something else, or two have the same id.
    """
    documents: dict[str, Document] = {}
    for number, line in enumerate(body.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            record = given.DocumentRecord.model_validate_json(line)
        except ValidationError as error:
            raise Problem(400, f"line {number}: {problems.sentence(list(error.errors(include_url=False)))}") from error
        if unfit := _unfit(record.id):
            raise Problem(400, f"line {number}: {unfit}")
        found = record.document(record.id)
        if found.id in documents:
            raise Problem(400, f"line {number}: expected each id once, got {found.id!r} twice")
        documents[found.id] = found
    if not documents:
        raise Problem(400, "expected at least one document, a line of JSON each; got none")
    return list(documents.values())


def _unfit(id: str) -> str | None:
    """Return why an id is none, or None."""
    is_fit = id.strip() and len(id) <= 4096
    return None if is_fit else f"expected an id of 1 to 4096 characters, not all blank; got {id[:80]!r}"


async def _check_changeable(request: Request, ids: list[str]) -> None:
    """Refuse to change what another source holds."""
    writing: Writing = request.app.state.writing
    for id in ids:
        if reason := await in_thread(writing.refusal, id):
            raise Problem(409, reason)


def _jobs(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs


async def told(request: Request, job: Job, *, wait: bool) -> Response:
    """Answer with a job, when it is over if that is waited for, and in time for the request's own limit."""
    end = time.monotonic() + 0.8 * request.app.state.settings.time_limit
    while wait and not job.is_over and time.monotonic() < end:
        await anyio.sleep(_POLL)
        job = _jobs(request).job(job.id) or job
    status = 200 if job.is_over else 202
    return JSONResponse(asdict(job), status, {"Location": f"/v1/jobs/{job.id}"})
