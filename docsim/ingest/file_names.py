"""Names of files: what counts as a suffix, and what is left without it."""

from __future__ import annotations

import functools
import re
from pathlib import PurePosixPath

from docsim.ingest import manpages

__all__ = ["stem", "suffix"]

_SUFFIX = re.compile(r"\.(?!\d+\Z)[A-Za-z0-9_+~-]{1,12}\Z")
_PACKED = re.compile(r"(?<=.)\.(?:gz|bz2|tgz|tbz2?|xz|txz)\Z", re.IGNORECASE)


@functools.lru_cache(1_024)  # a file is asked about several times
def suffix(name: str) -> str:
    """Return the suffix of a name in lower case, with its dot. What follows a dot in a sentence or a date is none."""
    rest, dot, last = name.rstrip("/").rpartition("/")[2].rpartition(".")
    found = dot + last if rest else ""
    return found.lower() if _SUFFIX.match(found) or found.lower() in manpages.SUFFIXES else ""


def stem(name: str) -> str:
    """Return the name of a file without its suffix, and without those of packers: ``export`` for ``export.tar.gz``."""
    return PurePosixPath(_PACKED.sub("", name)).stem or name
