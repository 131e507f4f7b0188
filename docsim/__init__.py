"""docsim: document similarity search that trains on your own documents.

    from docsim import Document, Encoder, Index

The names are loaded when first used, so that ``docsim --help`` and shell completion answer at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docsim.encoder import Encoder as Encoder
    from docsim.errors import DocsimError as DocsimError
    from docsim.index import Index as Index
    from docsim.records import Document as Document
    from docsim.records import Hit as Hit
    from docsim.records import Ranking as Ranking
    from docsim.records import SearchResult as SearchResult
    from docsim.records import SyncReport as SyncReport

__version__ = "0.1.0"

_HOMES = {
    "DocsimError": "docsim.errors",
    "Document": "docsim.records",
    "Encoder": "docsim.encoder",
    "Hit": "docsim.records",
    "Index": "docsim.index",
    "Ranking": "docsim.records",
    "SearchResult": "docsim.records",
    "SyncReport": "docsim.records",
}

__all__ = ["DocsimError", "Document", "Encoder", "Hit", "Index", "Ranking", "SearchResult", "SyncReport", "__version__"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'docsim' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
