"""Extras: the optional parts of docsim, and the error for an extra that is not installed.

``pip install docsim`` indexes and searches text. Each extra adds to that:

    files    reads PDF, Word, PowerPoint, Excel, EPUB, notebooks, Outlook's mails and dumps of MediaWiki
    eval     evaluates rankings with trec_eval's code, and similarities by rank correlation
    map      draws topic maps
    train    trains, distils and imports encoders
    serve    serves an index to a team: over HTTP, on a page, and to assistants
    postgres keeps an index in PostgreSQL
    embed    encodes the documents of an index in bulk, in several processes
    ray      does so on a cluster of machines, with Ray

    langchain, llamaindex and haystack are for programs that are written with these libraries: a retriever for each

Nothing here imports a package of an extra: importing takes up to seconds, and looking it up takes none.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import find_spec

from docsim.errors import MissingExtra

__all__ = ["PACKAGES", "available", "require"]

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "files": ("markitdown", "mammoth", "pptx", "openpyxl", "pypdfium2", "mwparserfromhell", "oxmsg"),
    "eval": ("ir_measures", "scipy"),
    "map": ("sklearn", "matplotlib"),
    "train": (
        "tensorflow", "keras", "h5py", "tf2onnx", "onnx", "gensim", "safetensors", "scipy", "matplotlib", "optuna",
    ),
    "serve": (
        "fastapi", "uvicorn", "jinja2", "prometheus_client", "mcp", "watchfiles", "python_multipart", "markdown_it",
    ),
    "postgres": ("psycopg",),
    "embed": ("pyarrow",),
    "ray": ("ray", "pyarrow"),
    "langchain": ("langchain_core", "httpx"),
    "llamaindex": ("llama_index", "httpx"),
    "haystack": ("haystack", "httpx"),
}  # fmt: skip
"""The packages of each extra that docsim imports, by their import names."""

_NEWEST_PYTHON = {"train": (3, 13)}  # TensorFlow is not published for newer ones, so the extra is empty there


def available(extra: str) -> bool:
    """Return whether all packages of an extra are installed, without importing them."""
    return all(find_spec(name) is not None for name in PACKAGES[extra])


def require(extra: str, what: str) -> None:
    """Check that an extra is installed.

    Args:
        extra: A key of ``PACKAGES``.
        what: What needs the extra, as the beginning of a sentence: ``a topic map``, ``reading PDF``.

    Raises:
        MissingExtra: The extra is not installed; the message says how to install it.
    """
    if available(extra):
        return
    newest = _NEWEST_PYTHON.get(extra)
    if newest is not None and sys.version_info[:2] > newest:
        running = ".".join(map(str, sys.version_info[:2]))
        raise MissingExtra(f"{what} needs Python {'.'.join(map(str, newest))} or older, this is Python {running}")
    raise MissingExtra(f'{what} needs the extra "{extra}": pip install "docsim[{extra}]"')
