"""Dialects: the same index, asked in the words of programs that people have already.

    /v1/models, /v1/embeddings    as OpenAI has them: the model is the encoder, under its fingerprint
    /v1/rerank                    as Jina and Cohere have it: texts of the request, ranked for a question
    /retrieval                    as Dify asks an external knowledge base

The first three know nothing of documents; the last finds what whoever asks may see, like every other search.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query, Request
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from starlette.responses import Response

from docsim.encoding.documents import encode_documents
from docsim.encoding.encoder import Encoder
from docsim.filters.condition import All, Compare, Condition, Either, Exists, Not, Operator, Value, any_of
from docsim.filters.condition import Field as Names
from docsim.models import Document, Ranking
from docsim.search import scoring
from docsim.serving.api import WENT_WRONG, allowed
from docsim.serving.limits import in_thread, searching
from docsim.serving.parameters import Nothing
from docsim.serving.problems import Problem
from docsim.serving.reading import Asked, Reading
from docsim.serving.routing import DirectRoute, JSONResponse

__all__ = ["routes"]

MOST_TEXTS = 2048
routes = APIRouter(responses=WENT_WRONG, route_class=DirectRoute)

_Text = Annotated[str, Field(min_length=1, max_length=1_000_000)]


# OpenAI


class EmbeddingsBody(Nothing):
    """Texts to embed."""

    input: Annotated[_Text | list[_Text], Field(description="A text, or several; not tokens.")]
    model: Annotated[str, Field(description="Fingerprint or name of the encoder.")]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int | None, Field(ge=1, description="If given, the number that the encoder has.")] = None
    user: str | None = None
    input_type: Annotated[
        Literal["query", "document"], Field(description="Encode questions as such; not a parameter of OpenAI's.")
    ] = "document"


class Usage(BaseModel):
    """How many tokens were read."""

    prompt_tokens: int
    total_tokens: int


class Embedding(BaseModel):
    """An embedding of unit norm: numbers, or little-endian float32 in base64."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingsAnswer(BaseModel):
    """An embedding for each text, in the same order."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Usage


class Model(BaseModel):
    """An encoder."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelsAnswer(BaseModel):
    """The encoder that answers."""

    object: Literal["list"]
    data: list[Model]


@routes.get("/v1/models", response_model=ModelsAnswer, summary="Name the encoder, as OpenAI does")
async def models(request: Request, _: Annotated[Nothing, Query()]) -> Response:
    """Return the encoder that answers; its id is its fingerprint."""
    allowed(request)
    encoder = await in_thread(_encoder, request)
    told = {"id": encoder.fingerprint, "object": "model", "created": 0, "owned_by": "docsim"}
    return JSONResponse({"object": "list", "data": [told]})


@routes.post("/v1/embeddings", response_model=EmbeddingsAnswer, summary="Embed texts, as OpenAI does")
async def embeddings(request: Request, body: EmbeddingsBody, _: Annotated[Nothing, Query()]) -> Response:
    """Return embeddings by the encoder that answers; a text of several passages gets their normalised mean."""
    allowed(request)
    return JSONResponse(await in_thread(_embedded, request, body))


def _embedded(request: Request, body: EmbeddingsBody) -> dict[str, Any]:
    encoder = _encoder(request, body.model)
    texts = [body.input] if isinstance(body.input, str) else body.input
    _check_texts(texts, "input")
    documents = [Document(str(number), text) for number, text in enumerate(texts)]
    encoded = encode_documents(encoder, documents, role=body.input_type)
    rows = [scoring.centroid(one) for one in encoded]
    if body.dimensions not in (None, len(rows[0])):
        raise Problem(400, f"expected dimensions {len(rows[0])}, which this encoder has; got {body.dimensions}")
    shown = [_written(row, body.encoding_format) for row in rows]
    data = [{"object": "embedding", "index": number, "embedding": one} for number, one in enumerate(shown)]
    count = sum(len(encoder.tokens(text)) for text in texts)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return {"object": "list", "data": data, "model": encoder.fingerprint, "usage": usage}


def _written(row: NDArray[np.float32], how: str) -> list[float] | str:
    return row.tolist() if how == "float" else base64.b64encode(row.astype("<f4").tobytes()).decode()


# Jina


class TextToRank(Nothing):
    """A text to rank."""

    text: _Text


class RerankBody(Nothing):
    """A question, and texts to rank for it."""

    query: _Text
    documents: Annotated[list[_Text | TextToRank], Field(min_length=1, max_length=MOST_TEXTS)]
    model: Annotated[str | None, Field(description="Fingerprint or name of the encoder.")] = None
    top_n: Annotated[int | None, Field(ge=1, description="Return so many of the best; all by default.")] = None
    return_documents: Annotated[bool, Field(description="Return the texts, too.")] = True


class RankedText(BaseModel):
    """A text and how well it fits, at most 1."""

    index: int
    relevance_score: float
    document: TextToRank | None = None


class TokenUsage(BaseModel):
    """How many tokens were read."""

    total_tokens: int


class RerankAnswer(BaseModel):
    """Texts, best first."""

    model: str
    usage: TokenUsage
    results: list[RankedText]


@routes.post(
    "/v1/rerank",
    response_model=RerankAnswer,
    response_model_exclude_none=True,
    summary="Rank texts for a question, as Jina does",
)
async def rerank(request: Request, body: RerankBody, _: Annotated[Nothing, Query()]) -> Response:
    """Rank texts of the request by similarity to a question. Nothing of the index but its encoder is used."""
    allowed(request)
    request.state.text = body.query
    return JSONResponse(await in_thread(_reranked, request, body))


def _reranked(request: Request, body: RerankBody) -> dict[str, Any]:
    encoder = _encoder(request, body.model)
    texts = [one if isinstance(one, str) else one.text for one in body.documents]
    _check_texts([body.query, *texts], "query and documents")
    question = encode_documents(encoder, [Document("query", body.query)], role="query")[0]
    rows = encode_documents(encoder, [Document(str(number), text) for number, text in enumerate(texts)])
    results = [
        {"index": one.position, "relevance_score": one.score}
        | ({"document": {"text": texts[one.position]}} if body.return_documents else {})
        for one in scoring.rank(question, rows, body.top_n)
    ]
    count = sum(len(encoder.tokens(text)) for text in (body.query, *texts))
    return {"model": encoder.fingerprint, "usage": {"total_tokens": count}, "results": results}


def _check_texts(texts: Sequence[str], what: str) -> None:
    if not texts or len(texts) > MOST_TEXTS:
        raise Problem(400, f"expected 1 to {MOST_TEXTS} texts as {what}, got {len(texts)}")
    if any(not text.strip() for text in texts):
        raise Problem(400, f"expected texts as {what}, got a blank one")


def _encoder(request: Request, model: str | None = None) -> Encoder:
    """Return the encoder that answers.

    Raises:
        Problem: Another model is asked for.
    """
    reading: Reading = request.app.state.reading
    with reading.index.engine.snapshot(encoder=True) as snapshot:
        encoder = snapshot.encoder
    if model is not None and model not in (encoder.fingerprint, encoder.name):
        raise Problem(
            404, f"expected the model {encoder.fingerprint} or {encoder.name}, which answers here; got {model[:100]!r}"
        )
    return encoder


# Dify


class Setting(Nothing):
    """How many records, and how similar at least."""

    top_k: Annotated[int, Field(ge=1, le=1000)] = 5
    score_threshold: Annotated[float | None, Field(ge=-1, le=1)] = None
    score_threshold_enabled: bool = True


_Values = str | int | float | bool | list[str] | None


class Test(Nothing):
    """A test of a field."""

    name: list[str] | str
    comparison_operator: str
    value: _Values = None


class Tests(Nothing):
    """Tests of fields, all or one of which have to be passed."""

    logical_operator: Literal["and", "or"] = "and"
    conditions: list[Test] = Field([], max_length=50)


class RetrievalBody(Nothing):
    """A question, as Dify asks it."""

    knowledge_id: Annotated[str, Field(description="Name of the index: of its directory.")]
    query: _Text
    retrieval_setting: Setting = Setting()
    metadata_condition: Tests | None = None


class Record(BaseModel):
    """A passage that was found, with its document's title; metadata hold its id, metadata and address."""

    content: str
    score: float
    title: str
    metadata: dict[str, Any]


class RetrievalAnswer(BaseModel):
    """What was found, best first."""

    records: list[Record]


@routes.post("/retrieval", response_model=RetrievalAnswer, summary="Find passages, as Dify asks for them")
async def retrieval(request: Request, body: RetrievalBody, _: Annotated[Nothing, Query()]) -> Response:
    """Return the best passage of each document that is found."""
    access, reading = allowed(request), _reading(request)
    name = reading.name
    if body.knowledge_id != name:
        raise Problem(404, f"expected the knowledge id {name}, the name of the index; got {body.knowledge_id[:100]!r}")
    request.state.text = body.query
    setting = body.retrieval_setting
    least = setting.score_threshold if setting.score_threshold_enabled and setting.score_threshold else None
    asked = Asked(
        setting.top_k, ranking=Ranking(min_similarity=least), also=_condition(body.metadata_condition), highlight=False
    )
    found = await searching(reading.search, access, body.query, asked)
    base = str(request.base_url)
    return JSONResponse({"records": [_record(hit, base) for hit in found["hits"]]})


def _reading(request: Request) -> Reading:
    reading: Reading = request.app.state.reading
    return reading


def _record(hit: dict[str, Any], base: str) -> dict[str, Any]:
    from docsim.serving.tools import page_places

    best = hit["passages"][0]
    place = {"start": best["start"], "end": best["end"]}
    metadata = hit["metadata"] | {"document_id": hit["id"], "url": page_places(base)(hit["id"], place)}
    score = max(0.0, min(1.0, hit["similarity"]))
    return {"content": best["text"], "score": score, "title": hit["title"] or hit["id"], "metadata": metadata}


_DIFFERENT = {"is not": "=", "≠": "=", "not in": "=", "not contains": "contains"}
_OPERATORS: dict[str, Operator] = {"is": "=", "=": "=", "in": "=", "contains": "contains"}
_OPERATORS |= {"start with": "like", "end with": "like"}
_OPERATORS |= {">": ">", "<": "<", "≥": ">=", "≤": "<=", "after": ">", "before": "<"}


def _condition(tests: Tests | None) -> Condition | None:
    """Return the condition that Dify's tests of metadata make; None where there are none."""
    if tests is None or not tests.conditions:
        return None
    conditions = tuple(_tested(one) for one in tests.conditions)
    return All(conditions) if tests.logical_operator == "and" else Either(conditions)


def _tested(test: Test) -> Condition:
    names = test.name if isinstance(test.name, list) else [test.name]
    return any_of(_one(tuple(name.split(".")), test.comparison_operator, test.value) for name in names)


def _one(field: Names, operator: str, value: _Values) -> Condition:
    """Return one of Dify's tests of one field."""
    if operator in ("empty", "not empty"):
        return Not(Exists(field)) if operator == "empty" else Exists(field)
    if operator in _DIFFERENT:
        return Not(_one(field, _DIFFERENT[operator], value))
    if operator not in _OPERATORS:
        raise Problem(400, f"expected an operator that Dify has in metadata_condition, got {operator[:40]!r}")
    values: tuple[Value, ...] = tuple(value) if isinstance(value, list) else (value,) if value is not None else ()
    if not values:
        raise Problem(400, f"expected a value for {operator!r} in metadata_condition, got none")
    if operator in ("start with", "end with"):
        values = (f"{values[0]}%" if operator == "start with" else f"%{values[0]}",)
    return Compare(field, _OPERATORS[operator], values)
