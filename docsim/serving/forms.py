"""Forms: what a page sends, read strictly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import ValidationError

from docsim.serving import problems
from docsim.serving.parameters import Nothing
from docsim.serving.problems import Problem

__all__ = ["read", "sent"]

_Form = TypeVar("_Form", bound=Nothing)

_MOST_FIELDS = 10


async def sent(request: Request) -> dict[str, Any]:
    """Return what a form holds, without what was left empty; it brings no files."""
    async with request.form(max_files=0, max_fields=_MOST_FIELDS) as form:
        return {name: value for name, value in form.items() if value != ""}


def read(record: type[_Form], form: Mapping[str, Any]) -> _Form:
    """Return what a form says.

    Raises:
        Problem: It is no form of ours.
    """
    try:
        return record.model_validate(form)
    except ValidationError as error:
        raise Problem(400, problems.sentence(list(error.errors(include_url=False)))) from error
