"""Prefixes: the words that an imported model expects before questions and documents."""

from __future__ import annotations

import re
from collections.abc import Mapping

from docsim.errors import TrainingError
from docsim.training.imports.model_directory import ModelDirectory, Prompts

__all__ = ["CONVENTIONS", "chosen_prompts", "suspected"]

CONVENTIONS: Mapping[str, Prompts] = {
    "e5": Prompts("query: ", "passage: "),
    "bge": Prompts("Represent this sentence for searching relevant passages: "),
    "bge-zh": Prompts(
        "\u4e3a\u8fd9\u4e2a\u53e5\u5b50\u751f\u6210\u8868\u793a\u4ee5\u7528\u4e8e\u68c0\u7d22\u76f8\u5173\u6587\u7ae0\uff1a"
    ),
    "nomic": Prompts("search_query: ", "search_document: "),
    "none": Prompts(),
}
"""What families of models were trained with, by their model cards: intfloat/e5, BAAI/bge (likewise Snowflake's
arctic-embed and mxbai-embed), BAAI/bge for Chinese, nomic-ai. Their directories often do not say so."""

_NAMES = {
    "e5": re.compile(r"(^|[-_.])e5($|[-_.])", re.IGNORECASE),
    "nomic": re.compile("nomic-embed", re.IGNORECASE),
    "bge-zh": re.compile(r"(^|[-_.])bge[-_.].*zh($|[-_.])", re.IGNORECASE),
    "bge": re.compile(r"(^|[-_.])bge[-_.].*en($|[-_.])", re.IGNORECASE),
}
_MOST_CHARACTERS = 1000


def chosen_prompts(
    model: ModelDirectory, *, convention: str | None = None, query: str | None = None, document: str | None = None
) -> Prompts:
    """Return what stands before texts: what is asked for, or else what the model's directory says.

    Args:
        model: The model.
        convention: One of ``CONVENTIONS``; takes the place of what the directory says.
        query: What stands before questions; takes the place of both.
        document: What stands before documents; likewise.

    Raises:
        TrainingError: There is no such convention, a prefix is too long, or what the directory says cannot be done.
    """
    if convention is not None and convention not in CONVENTIONS:
        raise TrainingError(f"expected a convention of {', '.join(CONVENTIONS)}; got {convention!r}")
    told = CONVENTIONS[convention] if convention is not None else model.prompts()
    chosen = Prompts(told.query if query is None else query, told.document if document is None else document)
    if max(len(chosen.query), len(chosen.document)) > _MOST_CHARACTERS:
        raise TrainingError(f"expected prefixes of at most {_MOST_CHARACTERS} characters; got a longer one")
    return chosen


def suspected(name: str) -> str | None:
    """Return the convention that a model's name hints at; None for most names."""
    return next((convention for convention, pattern in _NAMES.items() if pattern.search(name)), None)
