"""Tools: what assistants may ask of an index, and answers that never flood them.

All but one only read. Their parameters are checked and unknown ones refused. An answer, as JSON, has at most so many
characters as were asked for, and says how to go on. ``search`` and ``fetch`` also fulfil what ChatGPT's connectors
expect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from pydantic import BaseModel, Field

from docsim.engine.retrying import retried
from docsim.models import DEFAULT_MODE, Document, Mode, Ranking, Stale
from docsim.serving.access import Access
from docsim.serving.parameters import Nothing
from docsim.serving.problems import Problem
from docsim.serving.reading import Asked, Reading
from docsim.serving.use import Said
from docsim.text.control_characters import json_text
from docsim.use.records import Kind

__all__ = ["FEEDBACK", "TOOLS", "Places", "Tool", "instructions", "page_places"]

_Budget = Annotated[
    int, Field(ge=1000, le=100_000, description="Most characters of the answer, as JSON; ask on for what is left out.")
]
_Id = Annotated[str, Field(min_length=1, max_length=4096, description="A document's id.")]
_Query = Annotated[str, Field(max_length=100_000, description="A question, a few words or a whole text.")]
_SAMPLED, _FIELDS = 200, 20


class Search(Nothing):
    """Find the documents most similar to a question or a text, best first, each with its best passage.

    The query may hold operators: "exact words", -word, title:word, begin*.
    """

    query: _Query
    k: Annotated[int, Field(ge=1, le=50, description="Number of results.")] = 8
    offset: Annotated[
        int, Field(ge=0, le=10_000, description="Skip this many results: next_offset of the last answer.")
    ] = 0
    where: Annotated[str | None, Field(description="Only documents whose metadata match, such as team = 'sre'.")] = None
    within: Annotated[str, Field(description="Only documents whose id is this path or lies below it.")] = ""
    mode: Annotated[Mode, Field(description="Rank by meaning, by shared words, or by both.")] = DEFAULT_MODE
    plain: Annotated[bool, Field(description="Take the query as it is: read no operators, correct nothing.")] = False
    max_characters: _Budget = 8000


class Similar(Nothing):
    """Find the documents most similar to an indexed document, or to a draft: does this exist already?"""

    id: _Id | None = None
    text: Annotated[str | None, Field(max_length=1_000_000, description="A text, instead of an id.")] = None
    k: Annotated[int, Field(ge=1, le=50, description="Number of results.")] = 8
    max_characters: _Budget = 8000


class Fetch(Nothing):
    """Read a document, or a part of it: go on at next_start of the last answer."""

    id: _Id
    start: Annotated[int, Field(ge=0, description="Offset of the first character.")] = 0
    max_characters: _Budget = 12_000


class Explain(Nothing):
    """Say why a document is similar to a question or to another document: passages, and the words that carry it."""

    id: _Id
    query: _Query | None = None
    other: Annotated[str | None, Field(max_length=4096, description="Id of a document, instead of a question.")] = None
    max_characters: _Budget = 4000


class Feedback(Nothing):
    """Say which documents answered a question, and which did not, once you know; searching gets better by it."""

    query_id: str | None = Field(None, min_length=1, max_length=64, description="The question: query_id of a search.")
    query: str | None = Field(None, min_length=1, max_length=10_000, description="The question itself, instead.")
    good: list[_Id] = Field([], max_length=20, description="Ids of documents that answered it.")
    bad: list[_Id] = Field([], max_length=20, description="Ids of documents that did not.")


class TellStatus(Nothing):
    """Say how many documents there are, and how fresh the index is."""


class Result(BaseModel):
    """A document that was found."""

    id: str
    title: str
    url: str
    text: Annotated[str, Field(description="Its best passage, or the beginning of it.")]
    start: int
    end: int
    similarity: float
    percentile: Annotated[float | None, Field(description="How many of 100 random pairs are less similar.")]
    stale: Annotated[Stale | None, Field(description="Its file has changed since it was read, or is gone.")] = None


class Results(BaseModel):
    """Documents that were found, best first."""

    results: list[Result]
    next_offset: int | None
    revision: int
    same: list[str] = []
    operators: list[str] = []
    corrections: Annotated[
        list[dict[str, str]], Field(description="Words that were searched for instead of others that nothing holds.")
    ] = []
    nothing_here: Annotated[bool, Field(description="Whether probably nothing here answers the question.")] = False
    query_id: Annotated[str | None, Field(description="Names the question, for feedback.")] = None


class Fetched(BaseModel):
    """A document, or a part of it."""

    id: str
    title: str
    text: str
    url: str
    metadata: dict[str, Any]
    start: int
    end: int
    length: int
    next_start: int | None
    revision: int
    stale: Annotated[Stale | None, Field(description="Its file has changed since it was read, or is gone.")] = None


class AnyAnswer(BaseModel):
    """Anything else, as an object."""


Places = Callable[[str, Mapping[str, int]], str]
"""Returns the address of a document, opened at a passage."""


@dataclass(frozen=True, slots=True)
class Tool:
    """Something that assistants may call.

    Attributes:
        parameters: What it takes.
        answer: What it answers with.
        call: Answers.
    """

    parameters: type[Nothing]
    answer: type[BaseModel]
    call: Callable[[Reading, Access, Any, Places], dict[str, Any]]


def _search(reading: Reading, access: Access, given: Search, places: Places) -> dict[str, Any]:
    ranking = Ranking(given.offset)
    asked = Asked(given.k, given.mode, given.where, given.within, ranking, plain=given.plain, highlight=False)
    found = reading.search(access, given.query, asked)
    reading.use.asked(found, given.query, person=access.viewer.name, route="mcp")
    understood = _understood(found)
    budget = given.max_characters - len(json_text(understood))
    return _results(found, places, budget, offset=given.offset, k=given.k) | understood


def _similar(reading: Reading, access: Access, given: Similar, places: Places) -> dict[str, Any]:
    if (given.id is None) == (given.text is None):
        raise Problem(400, "expected either id or text, got " + ("neither" if given.id is None else "both"))
    if given.id is not None:
        found = reading.similar(access, [given.id], [], Asked(given.k))
    else:
        found = reading.similar_to(access, Document("draft", given.text or ""), Asked(given.k))
    return _results(found, places, given.max_characters, offset=0, k=given.k)


def _fetch(reading: Reading, access: Access, given: Fetch, places: Places) -> dict[str, Any]:
    found = reading.document(access, given.id)
    text, length = found["text"][given.start : given.start + given.max_characters], len(found["text"])
    answer = {"id": found["id"], "title": found["title"], "text": text, "url": places(found["id"], {})}
    answer |= {"metadata": found["metadata"], "start": given.start, "end": length, "length": length}
    answer |= {"next_start": length, "revision": found["revision"]}  # as long as they can get
    answer |= {"stale": found["stale"]} if found["stale"] else {}
    if len(json_text(answer | {"text": ""})) > given.max_characters // 2:
        answer |= {"metadata": {}, "title": found["title"][:200]}
    while (over := len(json_text(answer)) - given.max_characters) > 0 and answer["text"]:
        answer["text"] = answer["text"][: -max(over // 2, 1)]
    end = given.start + len(answer["text"])
    return answer | {"end": end, "next_start": end if end < length else None}


def _explain(reading: Reading, access: Access, given: Explain, places: Places) -> dict[str, Any]:
    if (given.query is None) == (given.other is None):
        raise Problem(400, "expected either query or other, got " + ("neither" if given.query is None else "both"))
    side = given.other if given.other is not None else Document("query", given.query or "")
    found = reading.explain(access, side, given.id)
    pairs = [{"similarity": one["similarity"], "a": _side(one["a"]), "b": _side(one["b"])} for one in found["pairs"]]
    terms = [{"words": one["words"], "documents": one["documents"]} for one in found["terms"]]
    answer = {"a": found["a"], "b": found["b"], "similarity": found["similarity"], "pairs": pairs, "terms": terms}
    for one in ("a", "b"):
        answer[one] = {name: value[:200] for name, value in answer[one].items()}
    while len(json_text(answer)) > given.max_characters and (terms or pairs):
        (terms if not pairs or len(terms) > 3 * len(pairs) else pairs).pop()
    return answer


def _side(span: Mapping[str, Any]) -> dict[str, Any]:
    words = sorted(span["words"], key=lambda one: -one["contribution"])[:6]
    shown = [[one["text"][:40], round(one["contribution"], 3)] for one in words]
    return {"start": span["start"], "end": span["end"], "text": span["text"][:300], "words": shown}


def _status(reading: Reading, access: Access, given: TellStatus, places: Places) -> dict[str, Any]:
    found = reading.status(access)
    names = ("documents", "passages", "failed", "generation", "revision")
    read = [one["finished"] for one in found.get("sources", ()) if one["finished"]]
    return {name: found[name] for name in names if name in found} | ({"last_sync": max(read)} if read else {})


def _feedback(reading: Reading, access: Access, given: Feedback, places: Places) -> dict[str, Any]:
    said: list[tuple[Kind, str]] = [("good", id) for id in given.good]
    said += [("bad", id) for id in given.bad]
    if not said:
        raise Problem(400, "expected at least one id of a document that is good or bad, got none")
    for _, id in said:
        reading.document(access, id)
    query, text = given.query_id, given.query
    for kind, id in said:
        query = reading.use.happened(Said(kind, id, query, text), person=access.viewer.name, route="mcp")
        text = None
    return {"query_id": query, "recorded": len(said)}


def _results(found: Mapping[str, Any], places: Places, budget: int, *, offset: int, k: int) -> dict[str, Any]:
    """Return results that fit into a budget: with shorter passages, or else fewer."""
    results = [_result(hit, places) for hit in found["hits"]]
    answer = {
        "results": results,
        "next_offset": offset + k,
        "revision": found["revision"],
        "same": found.get("same", ()),
    } | ({"query_id": found["query_id"]} if "query_id" in found else {})
    shown, whole = len(results), len(results)
    while len(json_text(answer)) > budget and results:
        longest = max(len(one["text"]) for one in results)
        if longest > 200:
            for one in results:
                one["text"] = one["text"][: longest * 3 // 4]
        else:
            results.pop()
            shown = len(results)
    following = offset + shown if shown < whole or whole == k else None
    return answer | {"next_offset": following, "same": list(answer["same"])}


def _understood(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a question was taken for, where that is not what it says."""
    told: dict[str, Any] = {name: list(found[name]) for name in ("operators", "corrections") if found[name]}
    return told | ({"nothing_here": True} if found["nothing_here"] else {})


def _result(hit: Mapping[str, Any], places: Places) -> dict[str, Any]:
    best = hit["passages"][0]
    where = {"start": best["start"], "end": best["end"]}
    percentile = hit["percentile"]
    return {
        "id": hit["id"],
        "title": hit["title"][:300],
        "url": places(hit["id"], where),
        "text": best["text"],
        **where,
        "similarity": round(hit["similarity"], 3),
        "percentile": None if percentile is None else round(percentile, 2),
    } | ({"stale": hit["stale"]} if hit["stale"] else {})


TOOLS: Mapping[str, Tool] = {
    "search": Tool(Search, Results, _search),
    "similar": Tool(Similar, Results, _similar),
    "fetch": Tool(Fetch, Fetched, _fetch),
    "explain": Tool(Explain, AnyAnswer, _explain),
    "status": Tool(TellStatus, AnyAnswer, _status),
}
"""The tools by name."""

FEEDBACK = {"feedback": Tool(Feedback, AnyAnswer, _feedback)}
"""The tool that is there as well where use is recorded."""


def page_places(base: str) -> Places:
    """Return what makes addresses of documents on the page of a server."""

    def place(id: str, at: Mapping[str, int]) -> str:
        return f"{base}d/{quote(id, safe='/')}" + (f"?{urlencode(at)}#passage" if at else "")

    return place


@retried
def instructions(reading: Reading, access: Access) -> str:
    """Return what an assistant should know of an index, made from the documents that somebody sees."""
    with reading.index.engine.snapshot() as snapshot:
        sample = snapshot.documents(snapshot.sample(_SAMPLED).tolist()).values()
        seen = [one.document for one in sample if access.sees(one.document)]
    fields = Counter(name for document in seen for name in document.metadata if name.isidentifier() and len(name) < 40)
    named = ", ".join(name for name, _ in fields.most_common(_FIELDS))
    folders = Counter(document.id.partition("/")[0] for document in seen if "/" in document.id)
    lying = ", ".join(json_text(name) for name, _ in folders.most_common(_FIELDS) if len(name) < 60)
    parts = ["Searches a knowledge base. Call search first, then fetch what looks right, and cite documents by id."]
    parts += [f"Metadata that where can filter by: {named}."] if named else []
    parts += [f"Folders that within can name: {lying}."] if lying else []
    return " ".join(parts)
