"""Problems: errors as RFC 9457 has them, in one sentence each, with nothing of the server's inside.

An error that docsim raises on purpose because a request is wrong is told as it is. Any other may name paths of the
server, or documents that whoever asks may not see: it is logged, and the answer names the request only.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.encoders import jsonable_encoder

from docsim.errors import DocsimError, IndexChanged, IndexLocked, MissingExtra, SourceError, Unreachable, UsageError
from docsim.serving.routing import JSONResponse

__all__ = ["NOT_FOUND_SECONDS", "Problem", "answer", "of", "sentence"]

logger = logging.getLogger(__name__)

NOT_FOUND_SECONDS = 0.05
"""How long it takes at least to say that something is not there, so that nothing can be told from the time."""


class Problem(UsageError):
    """A request that cannot be answered.

    Attributes:
        status: The HTTP status.
        headers: Headers of the answer.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Make a problem of a status and a sentence for whoever asked."""
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


def of(error: Exception, request_id: str) -> Problem:
    """Return the problem that an error is to whoever asked, and log what it hides."""
    match error:
        case Problem():
            return error
        case MissingExtra():
            return Problem(501, str(error))
        case UsageError():
            return Problem(400, str(error))
        case SourceError():
            return Problem(422, str(error))
        case IndexChanged() | IndexLocked() | Unreachable():
            return _later(error, request_id)
    logger.error("request %s failed", request_id, exc_info=error)
    kind = "the index cannot answer" if isinstance(error, DocsimError) else "this should not happen"
    return Problem(500, f"{kind}; the server's log says why under request {request_id}")


def _later(error: IndexChanged | IndexLocked | Unreachable, request_id: str) -> Problem:
    if not isinstance(error, Unreachable):
        return Problem(503, "the index is being changed; ask again", {"Retry-After": "1"})
    logger.warning("request %s could not be answered: %s", request_id, error)
    return Problem(503, "the database of the index cannot be reached; ask again", {"Retry-After": "5"})


def answer(problem: Problem, request_id: str) -> JSONResponse:
    """Return a problem as ``application/problem+json``."""
    content = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": str(problem),
        "request_id": request_id,
    }
    return JSONResponse(content, problem.status, problem.headers, "application/problem+json")


def sentence(errors: list[Any]) -> str:
    """Return what is wrong with the parameters of a request, the first thing only, in one sentence."""
    error = jsonable_encoder(errors[0])
    name = ".".join(map(str, error["loc"])) or "the body"
    match error["type"]:
        case "extra_forbidden":
            return f"expected no parameter {name!r}, which this request does not have"
        case "missing":
            return f"expected {name}, got none"
        case "json_invalid":
            return f"expected JSON: {error['ctx']['error']}"
    told = error["msg"].removeprefix("Value error, ").replace("Input should be", f"expected {name} to be", 1)
    told = told if name in told else f"{name}: {told}"
    return f"{told}; got {error.get('input')!r:.80}"
