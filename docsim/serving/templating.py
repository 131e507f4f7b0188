"""Templating: pages made from templates, which escape whatever comes from documents."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, select_autoescape
from starlette.responses import HTMLResponse, Response

from docsim import extras
from docsim.rendering import pages
from docsim.serving.access import SCOPES, Access
from docsim.serving.guard import COOKIE

__all__ = ["content", "page"]

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(default=True),
    trim_blocks=True,
    lstrip_blocks=True,
)


@functools.cache
def _has_map() -> bool:
    return extras.available("map")


def content(template: str, **shown: Any) -> str:
    """Return what a template makes of some values."""
    return pages.shown(_templates.get_template(template).render(**shown))


def page(request: Request, template: str, *, status: int = 200, **shown: Any) -> Response:
    """Return a page, which knows who looks at it and what they may do."""
    access: Access | None = getattr(request.state, "access", None)
    viewer = access.viewer if access is not None else None
    known: dict[str, Any] = {
        "signed_in": viewer.name if viewer is not None and COOKIE in request.cookies else None,
        "sees_all": viewer is not None and viewer.groups is None,
        "is_admin": viewer is not None and viewer.may(SCOPES[-1]),
        "is_known": viewer is not None,
        "has_map": _has_map(),
        "path": request.url.path,
    }
    return HTMLResponse(content(template, **known, **shown), status)
