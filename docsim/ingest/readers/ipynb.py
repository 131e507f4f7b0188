"""Jupyter notebooks of every format: text and code of the cells, without their outputs.

Our own reading of the JSON: markitdown knows format 4 only, and nbformat brings a validator and its schemas along.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from docsim.errors import SourceError
from docsim.ingest.content import FileContent, one_line, titled
from docsim.ingest.encodings import decode
from docsim.ingest.markup import markdown

__all__ = ["read"]


def read(data: bytes) -> FileContent:
    """Read a notebook as Markdown. Formats 2 and 3 have their cells in worksheets, and code under another name."""
    notebook = json.loads(decode(data))
    if not isinstance(notebook, dict):
        raise SourceError("the file is no notebook")
    described = notebook.get("metadata")
    metadata: dict[str, Any] = described if isinstance(described, dict) else {}
    cells = [
        *_listed(notebook, "cells"),
        *(cell for sheet in _listed(notebook, "worksheets") for cell in _listed(sheet, "cells")),
    ]
    content = markdown("\n\n".join(filter(None, (_cell(cell, _language(metadata)) for cell in cells))))
    named = metadata.get("title") or metadata.get("name")
    return titled(content, one_line(named)) if isinstance(named, str) and named.strip() else content


def _listed(found: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    values = found.get(name)
    return (one for one in (values if isinstance(values, list) else ()) if isinstance(one, dict))


def _cell(cell: dict[str, Any], language: str) -> str:
    kind = cell.get("cell_type")
    text = _joined(cell.get("source", cell.get("input", ""))).strip("\n")
    if not text.strip():
        return ""
    if kind == "code":
        return f"```{cell.get('language') or language}\n{text}\n```"
    if kind == "heading":
        marks = {level: "#" * level for level in range(1, 7)}.get(cell.get("level", 1), "#")
        return f"{marks} {' '.join(text.split())}"
    return text


def _joined(source: Any) -> str:
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _language(metadata: dict[str, Any]) -> str:
    for name, field in (("language_info", "name"), ("kernelspec", "language")):
        found = metadata.get(name)
        if isinstance(found, dict) and isinstance(found.get(field), str):
            return str(found[field])
    return "python"
