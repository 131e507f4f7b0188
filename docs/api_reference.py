"""The reference of the Python API: every public name, for mkdocstrings to fill in when the site is built."""

from __future__ import annotations

import docsim
from docsim import errors

__all__ = ["api"]

_INTRODUCTION = """# Python API

These are all public names of docsim; anything else may change without notice. See
[Use docsim from Python](../how-to/python.md) for examples.
"""

_ERRORS = """## Errors

Every error that docsim raises on purpose is a `DocsimError`. [Troubleshooting](../troubleshooting.md) tells what to do
about each.
"""

# In the order in which one meets them; names that are not listed here follow.
_FIRST = ("Index", "Document", "SearchResult", "Hit", "Ranking", "SyncReport", "Encoder")


def api() -> str:
    """Return the page as Markdown with an instruction for mkdocstrings a name."""
    public = [name for name in docsim.__all__ if not name.startswith("__") and name not in errors.__all__]
    names = [*(name for name in _FIRST if name in public), *(name for name in public if name not in _FIRST)]
    parts = [f"::: docsim.{name}" for name in names]
    raised = [f"::: docsim.errors.{name}" for name in errors.__all__]
    return "\n\n".join([_INTRODUCTION.rstrip(), *parts, _ERRORS.rstrip(), *raised]) + "\n"
