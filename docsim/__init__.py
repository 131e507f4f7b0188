"""docsim: document similarity search that trains on your own documents.

    from docsim import Document, Encoder, Index

The names are loaded when first used, so that ``docsim --help`` and shell completion answer at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docsim.encoding.encoder import Encoder as Encoder
    from docsim.errors import DocsimError as DocsimError
    from docsim.index import Index as Index
    from docsim.models import Document as Document
    from docsim.models import Hit as Hit
    from docsim.models import Ranking as Ranking
    from docsim.models import SearchResult as SearchResult
    from docsim.models import SyncReport as SyncReport
    from docsim.search.highlighting import highlighted as highlighted

__version__ = "0.1.0"

_HOMES = {
    "DocsimError": "docsim.errors",
    "Document": "docsim.models",
    "Encoder": "docsim.encoding.encoder",
    "Hit": "docsim.models",
    "Index": "docsim.index",
    "Ranking": "docsim.models",
    "SearchResult": "docsim.models",
    "SyncReport": "docsim.models",
    "highlighted": "docsim.search.highlighting",
}

__all__ = [
    "DocsimError",
    "Document",
    "Encoder",
    "Hit",
    "Index",
    "Ranking",
    "SearchResult",
    "SyncReport",
    "__version__",
    "highlighted",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'docsim' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
