"""The page: what people see in a browser. Every state of it is an address, and it works without a script.

Documents are shown as the text that was indexed, escaped; no HTML of theirs is ever rendered. Nothing is loaded from
another host. The style sheet and the script are files of ours, without a build.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.datastructures import UploadFile
from starlette.responses import FileResponse, RedirectResponse, Response

from docsim.models import Correction, Document
from docsim.search import highlighting
from docsim.serving import forms, page_snippets, templating
from docsim.serving.access import FIELD
from docsim.serving.api import allowed, file_document
from docsim.serving.guard import COOKIE
from docsim.serving.ids import DocumentId
from docsim.serving.limits import in_thread, searching
from docsim.serving.parameters import Nothing
from docsim.serving.problems import Problem
from docsim.serving.reading import Asked, Reading
from docsim.serving.routing import DirectRoute
from docsim.serving.templating import page as _page
from docsim.serving.tokens import SESSION_SECONDS, Tokens
from docsim.serving.use import Said, person_of
from docsim.text.matching import Matcher
from docsim.use.records import Kind

__all__ = ["problem", "routes"]

PER_PAGE = 10
FACETED = 50
"""The best hits, whose metadata can be chosen from."""

SHARED = 2000
"""Characters of a text that its results have an address with."""

_FACETS, _VALUES = 6, 8
_HERE = Path(__file__).parent
_STATIC = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}

routes = APIRouter(include_in_schema=False, route_class=DirectRoute)


class SearchPage(Nothing):
    """What the page with the search shows."""

    q: Annotated[str, Field(max_length=10_000)] = ""
    f: list[Annotated[str, Field(max_length=1000)]] = Field([], max_length=20)
    offset: Annotated[int, Field(ge=0, le=10_000)] = 0
    part: bool = False
    thanks: bool = False
    plain: bool = False


class DocumentPage(Nothing):
    """Which passage of a document is marked, what was searched for, and as which question that was recorded."""

    start: Annotated[int, Field(ge=0)] = 0
    end: Annotated[int, Field(ge=0)] = 0
    q: Annotated[str, Field(max_length=10_000)] = ""
    s: Annotated[str, Field(max_length=64)] = ""
    thanks: bool = False


class FeedbackForm(Nothing):
    """What somebody says with a button, or what the script says of how long a document was read."""

    s: Annotated[str, Field(min_length=1, max_length=64)]
    kind: Kind
    id: Annotated[str | None, Field(min_length=1, max_length=4096)] = None
    seconds: Annotated[float | None, Field(ge=0, le=86_400)] = None
    back: Annotated[str, Field(max_length=20_000)] = "/"


class MorePage(Nothing):
    """What else hits are to resemble, and what they are to differ from."""

    like: list[Annotated[str, Field(min_length=1, max_length=4096)]] = Field([], max_length=20)
    unlike: list[Annotated[str, Field(min_length=1, max_length=4096)]] = Field([], max_length=20)


class HavePage(Nothing):
    """A text that something like it is looked for."""

    text: Annotated[str, Field(max_length=SHARED)]


class WhyPage(Nothing):
    """What a document is compared with: a question or another document."""

    q: Annotated[str, Field(max_length=10_000)] = ""
    a: Annotated[str, Field(max_length=4096)] = ""


@routes.get("/")
async def search(request: Request, asked: Annotated[SearchPage, Query()]) -> Response:
    """Show the search, and what it found."""
    access, reading = allowed(request), _reading(request)
    found, facets, more = None, [], False
    chosen = [tuple(one.split("=", 1)) for one in asked.f if "=" in one]
    if asked.q.strip():
        where: dict[str, Any] = {}
        for name, value in chosen:
            where.setdefault(name, []).append(value)
        wanted = Asked(_best(asked.offset), where=where or None, plain=asked.plain, highlight=False)
        best = await searching(reading.search, access, asked.q, wanted)
        found = best | {"hits": best["hits"][asked.offset : asked.offset + PER_PAGE]}
        reading.use.asked(found, asked.q, person=person_of(request), route="page")
        facets, more = _facets(best["hits"][:FACETED], chosen), len(best["hits"]) > asked.offset + PER_PAGE
    shown: dict[str, Any] = {"q": asked.q, "chosen": chosen, "facets": facets, "found": found, "offset": asked.offset}
    shown |= {"more": more, "faceted": FACETED, "s": (found or {}).get("query_id"), "thanks": asked.thanks}
    template = "hits.html" if asked.part else "search.html"
    return _page(
        request,
        template,
        **shown,
        hits=_hits(found, asked.q),
        link=_linker(asked.q, chosen, plain=asked.plain),
        per=PER_PAGE,
    )


@routes.get("/d/{id:path}")
async def document(request: Request, id: DocumentId, asked: Annotated[DocumentPage, Query()]) -> Response:
    """Show a document, at the passage that was found."""
    reading = _reading(request)
    shown = await in_thread(reading.document, allowed(request), id)
    s = asked.s if reading.use.is_on else ""
    if s and not asked.thanks:
        reading.use.happened(Said("opened", id, s), person=person_of(request), route="page")
    parts, metadata = page_snippets.cut(shown["text"], asked.start, asked.end), _plain(shown["metadata"])
    told: dict[str, Any] = {"q": asked.q, "metadata": metadata, "s": s, "thanks": asked.thanks}
    return _page(request, "document.html", document=shown, parts=parts, **told)


@routes.post("/feedback")
async def feedback(request: Request, _: Annotated[Nothing, Query()]) -> Response:
    """Record what somebody says of a document, or that nothing helped; then show the page that they come from."""
    said = forms.read(FeedbackForm, await forms.sent(request))
    reading, person = _reading(request), person_of(request)
    if said.id is not None:
        await in_thread(reading.document, allowed(request), said.id)
    reading.use.happened(Said(said.kind, said.id, said.s, None, said.seconds), person=person, route="page")
    if said.kind == "dwell":
        return Response(status_code=204)
    place, hash, anchor = (said.back if _is_own(said.back) else "/").partition("#")
    return RedirectResponse(f"{place}{'&' if '?' in place else '?'}thanks=true{hash}{anchor}", 303)


@routes.get("/more/{id:path}")
async def more(request: Request, id: DocumentId, asked: Annotated[MorePage, Query()]) -> Response:
    """Show documents that are similar to one, and maybe to others, and unlike some."""
    access, reading = allowed(request), _reading(request)
    found = await searching(reading.similar, access, [id, *asked.like], asked.unlike, Asked(PER_PAGE))
    seed = await in_thread(reading.document, access, id)
    shown: dict[str, Any] = {"title": "Similar documents", "seed": seed, "same": None, "a": id}
    shown |= {"like": asked.like, "unlike": asked.unlike, "link": _examples(id, asked)}
    return _page(request, "similar.html", **shown, hits=_hits(found, ""))


@routes.get("/why/{id:path}")
async def why(request: Request, id: DocumentId, asked: Annotated[WhyPage, Query()]) -> Response:
    """Show why a document is similar to a question or to another document."""
    if bool(asked.q.strip()) == bool(asked.a):
        raise Problem(400, "expected either a question, q, or a document, a, to compare with")
    side = asked.a or Document("query", asked.q)
    found = await in_thread(_reading(request).explain, allowed(request), side, id)
    pairs = [
        {
            "similarity": one["similarity"],
            "a": page_snippets.telling(one["a"]),
            "b": page_snippets.telling(one["b"]),
            "span": one["b"],
        }
        for one in found["pairs"]
    ]
    return _page(request, "why.html", found=found, pairs=pairs, q=asked.q, a=asked.a)


@routes.get("/have")
async def have_text(request: Request, asked: Annotated[HavePage, Query()]) -> Response:
    """Show what there is like a text."""
    return await _like(request, Document("text", asked.text), "What there is like this text")


@routes.post("/have")
async def have(request: Request, _: Annotated[Nothing, Query()]) -> Response:
    """Show what there is like a file that is uploaded, or a text that is pasted."""
    async with request.form(max_files=1, max_fields=2, max_part_size=16 << 20) as form:
        file, text = form.get("file"), str(form.get("text") or "")
        name, content = (file.filename or "", await file.read()) if isinstance(file, UploadFile) else ("", b"")
    if name and content:
        return await _like(request, await in_thread(file_document, content, name), f"What there is like {name}")
    if text.strip() and len(text) <= SHARED:
        return RedirectResponse(f"/have?{urlencode({'text': text})}", 303)
    return await _like(request, Document("text", text), "What there is like this text")


async def _like(request: Request, given: Document, title: str) -> Response:
    found = await in_thread(_reading(request).similar_to, allowed(request), given, Asked(PER_PAGE))
    hits = _hits(found, "")
    return _page(request, "similar.html", title=title, seed=None, same=found["same"], hits=hits, a="", text=given.text)


# Signing in


@routes.get("/login")
async def login(request: Request) -> Response:
    """Ask for a token."""
    return _page(request, "login.html", next=request.query_params.get("next", "/"), wrong=False)


@routes.post("/login")
async def sign_in(request: Request) -> Response:
    """Begin a session for who has a token."""
    async with request.form(max_files=0, max_fields=2) as form:
        token, place = str(form.get("token", "")).strip(), str(form.get("next", "/"))
    tokens: Tokens = request.app.state.tokens
    session = await in_thread(tokens.begin, token)
    if session is None:
        return _page(request, "login.html", status=401, next=place, wrong=True)
    answer = RedirectResponse(place if _is_own(place) else "/", 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, session, SESSION_SECONDS, httponly=True, samesite="lax", secure=secure)
    return answer


@routes.post("/logout")
async def sign_out(request: Request) -> Response:
    """End a session."""
    tokens: Tokens = request.app.state.tokens
    await in_thread(tokens.end, request.cookies.get(COOKIE, ""))
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="lax")
    return answer


# Files


@routes.get("/static/{name}")
async def static(name: str) -> Response:
    """Return the style sheet or the script."""
    if name not in _STATIC:
        raise Problem(404, "expected the path of a page or of the API, found nothing there")
    return FileResponse(_HERE / "static" / name, media_type=_STATIC[name], headers={"Cache-Control": "no-cache"})


@routes.get("/opensearch.xml")
async def opensearch(request: Request) -> Response:
    """Describe the search to browsers, so that it can be asked from the address bar."""
    content = templating.content("opensearch.xml", base=str(request.base_url), name=_reading(request).name)
    return Response(content, media_type="application/opensearchdescription+xml")


def problem(request: Request, found: Problem) -> Response:
    """Return a problem as a page."""
    return _page(request, "problem.html", status=found.status, told=str(found))


def _reading(request: Request) -> Reading:
    reading: Reading = request.app.state.reading
    return reading


def _hits(found: dict[str, Any] | None, q: str) -> list[dict[str, Any]]:
    """Return hits as they are shown: with addresses, and the best passage with the words of the question marked."""
    if not found:
        return []
    corrections = [Correction(**one) for one in found["corrections"]]
    matcher = highlighting.asked(q, found["operators"], corrections) if q else Matcher("")
    shown = []
    for hit in found["hits"]:
        best = hit["passages"][0]
        place = {"start": best["start"], "end": best["end"]} | ({"q": q} if q else {})
        place |= {"s": found["query_id"]} if "query_id" in found else {}
        path = quote(hit["id"], safe="/")
        shown.append(
            {
                "title": hit["title"] or hit["id"],
                "id": hit["id"],
                "path": path,
                "url": f"/d/{path}?{urlencode(place)}#passage",
                "parts": page_snippets.snippet(best["text"], matcher, title=hit["title"]),
                "closeness": _closeness(hit["percentile"]),
                "stale": hit["stale"],
                "similarity": hit["similarity"],
            }
        )
    return shown


def _closeness(percentile: float | None) -> str | None:
    """Return how many of 100 random pairs are less similar, never rounded up, and never all: somebody may be closer."""
    if percentile is None:
        return None
    return f"closer than {min(99.9, math.floor(10 * percentile) / 10):.1f} % of random pairs"


def _best(offset: int) -> int:
    """Return how many hits are looked for: those that are shown, one more, and those whose metadata are counted."""
    return max(FACETED, offset + PER_PAGE + 1)


def _facets(hits: list[dict[str, Any]], chosen: list[Any]) -> list[tuple[str, list[tuple[str, int]]]]:
    """Return the metadata of hits to choose from: names, and values with how many hits have them, most first."""
    counts: dict[str, dict[str, int]] = {}
    for hit in hits:
        for name, value in hit["metadata"].items():
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, str) and 0 < len(one) <= 60 and name != FIELD and (name, one) not in chosen:
                    held = counts.setdefault(name, {})
                    held[one] = held.get(one, 0) + 1
    useful = {name: held for name, held in counts.items() if max(held.values()) > 1}
    ordered = sorted(useful.items(), key=lambda one: -max(one[1].values()))[:_FACETS]
    return [(name, sorted(held.items(), key=lambda one: (-one[1], one[0]))[:_VALUES]) for name, held in ordered]


def _linker(q: str, chosen: list[Any], *, plain: bool) -> Any:
    """Return what makes the address of a search like this one, with a filter more or less, or another page."""

    def link(add: str = "", remove: str = "", offset: int = 0, plain: bool = plain) -> str:
        filters = [f"{name}={value}" for name, value in chosen]
        filters = [one for one in filters if one != remove] + ([add] if add else [])
        pairs = [("q", q), *(("f", one) for one in filters)] + ([("offset", str(offset))] if offset else [])
        pairs += [("plain", "true")] if plain else []
        return f"/?{urlencode(pairs)}"

    return link


def _examples(id: str, asked: MorePage) -> Any:
    """Return what makes the address of a page like this one, with an example more or less."""

    def link(like: str = "", unlike: str = "", remove: str = "") -> str:
        wanted = [one for one in asked.like if one != remove] + ([like] if like else [])
        unwanted = [one for one in asked.unlike if one != remove] + ([unlike] if unlike else [])
        pairs = [("like", one) for one in wanted] + [("unlike", one) for one in unwanted]
        return f"/more/{quote(id, safe='/')}" + (f"?{urlencode(pairs)}" if pairs else "")

    return link


def _plain(metadata: dict[str, Any]) -> list[tuple[str, str]]:
    """Return metadata as lines for people."""
    shown = (
        (name, ", ".join(map(str, value)) if isinstance(value, list) else str(value))
        for name, value in metadata.items()
    )
    return [(name, value) for name, value in shown if value]


def _is_own(place: str) -> bool:
    """Return whether an address leads to this server only."""
    return place.startswith("/") and not place.startswith(("//", "/\\")) and place.isprintable()
